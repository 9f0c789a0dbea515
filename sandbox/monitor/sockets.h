/*
 * Sockets of the box's own: AF_UNIX, between its processes, by name or as a pair.
 *
 * A socket is a record beside its description. Streams and sequenced packets that are connected read one ring and write
 * another, which their peer has the other way round; a datagram socket has one ring, which everybody who sends to it
 * writes. Who is connected but not yet accepted is a description without a descriptor, in its listener's queue.
 */
#ifndef MONITOR_SOCKETS_H
#define MONITOR_SOCKETS_H

#include "files.h"

#define FAMILY_UNIX 1
#define TYPE_MASK 0xfu
#define STREAM 1u
#define DATAGRAM 2u
#define SEQUENCED 5u

#define OUT_OF_BAND 1u
#define PEEK 2u
#define CONTROL_CUT 8u
#define TRUNCATE 0x20u
#define DONT_WAIT 0x40u
#define WAIT_ALL 0x100u
#define NO_SIGNAL 0x4000u
#define RIGHTS_CLOEXEC 0x40000000u

#define SHUT_IN 1u
#define SHUT_OUT 2u

static inline struct socket *socket_at(u32 socket)
{
	return &files()->sockets[socket];
}
static inline struct socket *socket_of(const struct description *d)
{
	return socket_at(d->socket - 1);
}
static inline u64 channel_accept(u32 socket)
{
	return (8ull << 56) | socket;
}
static inline u64 channel_connect(u32 socket)
{
	return (9ull << 56) | socket;
}

/* socket.c */
struct description *socket_get(u64 fd, s64 *error);      /* -EBADF, -ENOTSOCK */
u32 socket_new(u32 type, u32 flags);                     /* description of an unconnected one; NO_INDEX */
int socket_join(struct socket *one, struct socket *two); /* each other's peer, with rings between them; 0, -ENOMEM */

/* address.c */
s64 address_get(u64 from, u64 size, struct socket_name *ret); /* 0, -EINVAL, -EFAULT */
s64 address_put(u64 to, u64 size_at, const struct socket_name *name);
s64 address_find(const struct socket_name *name, u32 type, u32 *socket);

/* rights.c: what comes along with bytes, from the first of them on */
struct rights {
	u32 count;
	u32 descriptions[RIGHTS_MAX];
};
struct parcel {
	u32 next;       /* block; 0: the last */
	u32 size;       /* of this block */
	u64 start, end; /* in what has been written into the ring */
	struct socket_name from;
	u32 count;
	u32 descriptions[];
};
/* Room for control data in a message that is being received. */
struct control {
	u64 at, room;
	bool peek, close_on_exec, cut;
};
s64 rights_get(u64 control, u64 size, struct rights *ret); /* of a message to be sent; takes references */
void rights_drop(struct rights *rights);
/* Takes the rights over; 0: there is no memory, and they are still the caller's. */
u32 parcel_new(struct rights *rights, const struct socket_name *from);
void parcel_add(u32 ring, u32 parcel, u64 start, u64 end);
void parcel_remove(u32 ring, u32 parcel);
struct parcel *parcel_first(u32 ring, u64 within); /* the one that starts within the next so many to be read, or NULL */
void parcel_deliver(u32 ring, struct control *room); /* the first one's rights, and then it is gone */

#endif
