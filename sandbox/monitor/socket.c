/*
 * Sockets: AF_UNIX pairs within the box, as two rings. Every other family and every address is refused: there is nobody
 * to talk to. Datagrams and sequenced packets keep their borders by a length before each message.
 */
#include "files.h"

#define FAMILY_UNIX 1
#define TYPE_MASK 0xfu
#define STREAM 1u
#define DATAGRAM 2u
#define SEQUENCED 5u
#define OUT_OF_BAND 1u
#define PEEK 2u
#define TRUNCATE 0x20u
#define DONT_WAIT 0x40u
#define WAIT_ALL 0x100u
#define NO_SIGNAL 0x4000u
#define KNOWN_FLAGS                                                                                  \
	(PEEK | TRUNCATE | DONT_WAIT | WAIT_ALL | NO_SIGNAL | 4u /* DONTROUTE */ | 0x80u /* EOR */ | \
	 0x8000u /* MORE */ | 0x40000000u /* CMSG_CLOEXEC */)
#define LEVEL_SOCKET 1
#define HEADER 4u

static const char *family_name(u64 family)
{
	static const char *const names[] = {"AF_UNSPEC", "AF_UNIX", "AF_INET"};
	return family < ARRAY_LENGTH(names) ? names[family]
	       : family == 10               ? "AF_INET6"
	       : family == 16               ? "AF_NETLINK"
	       : family == 17               ? "AF_PACKET"
	                                    : "AF_OTHER";
}

s64 call_socket(const u64 *a)
{
	char detail[48];
	format(detail, sizeof detail, "socket(%s)", family_name((u32)a[0]));
	return refuse(detail, EAFNOSUPPORT);
}

static u32 socket_end(u32 in, u32 out, u32 type)
{
	u32 index = description_new(KIND_SOCKET, O_RDWR | (type & O_NONBLOCK));
	if (index == NO_INDEX)
		return NO_INDEX;
	struct description *d = description_at(index);
	d->ring_in = in;
	d->ring_out = out;
	d->mode = S_IFSOCK | 0777;
	d->inode = 0x10000 + d->serial;
	d->device = type & TYPE_MASK;
	d->peer_pid = process_self()->pid;
	return index;
}

static void give_back(u32 ring)
{
	if (ring == NO_INDEX)
		return;
	ring_reader_gone(ring);
	ring_writer_gone(ring);
}

static s64 make_pair(u32 type, u64 address)
{
	u32 one = ring_new(), two = one == NO_INDEX ? NO_INDEX : ring_new();
	u32 first = two == NO_INDEX ? NO_INDEX : socket_end(one, two, type);
	if (first == NO_INDEX) {
		give_back(one);
		give_back(two);
		return -ENFILE;
	}
	u32 second = socket_end(two, one, type);
	if (second == NO_INDEX) {
		ring_reader_gone(two);
		ring_writer_gone(one);
		description_release(first);
		return -ENFILE;
	}
	ring_at(one)->messages = ring_at(two)->messages = (type & TYPE_MASK) != STREAM;
	return put_pair(first, second, type & O_CLOEXEC, address);
}

s64 call_socketpair(const u64 *a)
{
	u32 type = (u32)a[1] & TYPE_MASK;
	if ((u32)a[0] != FAMILY_UNIX) {
		char detail[48];
		format(detail, sizeof detail, "socketpair(%s)", family_name((u32)a[0]));
		return refuse(detail, EAFNOSUPPORT);
	}
	if ((u32)a[1] & ~(TYPE_MASK | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (type != STREAM && type != DATAGRAM && type != SEQUENCED)
		return -ESOCKTNOSUPPORT;
	if ((u32)a[2] > 1)
		return -EPROTONOSUPPORT;
	return make_pair((u32)a[1], a[3]);
}

static struct description *socket_get(u64 fd, s64 *error)
{
	struct description *d = descriptor_open(fd);
	*error = !d ? -EBADF : -ENOTSOCK;
	return d && d->kind == KIND_SOCKET ? d : NULL;
}

/* --- one message, in one buffer or in the parts of an iovec --- */

struct parts {
	struct vector single; /* if vectors is 0 */
	u64 vectors, count, sum;
};

static int part_get(const struct parts *parts, u64 i, struct vector *ret)
{
	if (!parts->vectors) {
		*ret = parts->single;
		return 0;
	}
	if (guest_read(ret, parts->vectors + i * sizeof *ret, sizeof *ret))
		return -EFAULT;
	return guest_range(ret->base, ret->size) ? 0 : -EFAULT;
}

/* `n` bytes behind the first `skip` into the parts. */
static s64 scatter(u32 ring, u64 skip, const struct parts *parts, u64 n)
{
	u64 done = 0;
	for (u64 i = 0; i < parts->count && done < n; i++) {
		struct vector v;
		if (part_get(parts, i, &v))
			return -EFAULT;
		u64 step = min_u64(v.size, n - done);
		if (ring_copy(ring, skip + done, v.base, step) < 0)
			return -EFAULT;
		done += step;
	}
	return (s64)done;
}

static s64 receive_message(u32 ring, const struct parts *parts, u32 flags, bool *cut)
{
	u32 length;
	ring_copy(ring, 0, (u64)&length, HEADER);
	u64 n = min_u64(length, parts->sum);
	s64 got = scatter(ring, HEADER, parts, n);
	*cut = n < length;
	if (got >= 0 && !(flags & PEEK))
		ring_drop(ring, HEADER + length);
	return got >= 0 && (flags & TRUNCATE) ? (s64)length : got;
}

static s64 receive_stream(u32 ring, const struct parts *parts, u32 flags, bool nonblocking)
{
	u64 wanted = flags & WAIT_ALL && !(flags & PEEK) ? min_u64(parts->sum, RING_SIZE) : 1;
	while (ring_used(ring) < wanted && ring_at(ring)->writers && !nonblocking) {
		u32 serial = ring_at(ring)->serial;
		if (block(channel_pipe(ring), NEVER) == -EINTR)
			break;
		if (!ring_at(ring)->in_use || ring_at(ring)->serial != serial)
			return -EBADF;
	}
	s64 got = scatter(ring, 0, parts, min_u64(parts->sum, ring_used(ring)));
	if (got > 0 && !(flags & PEEK))
		ring_drop(ring, (u64)got);
	return got;
}

static s64 receive(struct description *d, const struct parts *parts, u32 flags, bool *cut)
{
	bool nonblocking = (d->flags & O_NONBLOCK) || (flags & DONT_WAIT);
	u32 ring = d->ring_in;
	*cut = false;
	if (flags & OUT_OF_BAND)
		return d->device == STREAM ? -EINVAL : -EOPNOTSUPP;
	if (flags & ~KNOWN_FLAGS)
		return refuse("recv(flags)", EOPNOTSUPP);
	if (ring == NO_INDEX)
		return 0;
	bool messages = ring_at(ring)->messages;
	if (!parts->sum && !messages)
		return 0;
	s64 r = ring_wait_data(ring, nonblocking);
	if (r <= 0)
		return r;
	return messages ? receive_message(ring, parts, flags, cut) : receive_stream(ring, parts, flags, nonblocking);
}

static s64 send_message(u32 ring, const struct parts *parts, bool nonblocking)
{
	u32 length = (u32)parts->sum;
	if (parts->sum > RING_SIZE - HEADER)
		return -EMSGSIZE;
	s64 r = ring_wait_room(ring, HEADER + length, nonblocking);
	if (r)
		return r;
	u64 written = ring_at(ring)->written;
	ring_append(ring, (u64)&length, HEADER);
	u64 done = 0;
	for (u64 i = 0; i < parts->count && r >= 0 && done < length; i++) {
		struct vector v;
		r = part_get(parts, i, &v);
		if (r == 0)
			r = ring_append(ring, v.base, min_u64(v.size, length - done));
		done += r > 0 ? (u64)r : 0;
	}
	if (r >= 0 && done < length) /* while we waited, another has made the vectors shorter */
		r = -EFAULT;
	if (r < 0) { /* a bad pointer: as if nothing had been sent */
		ring_at(ring)->written = written;
		return r;
	}
	return (s64)length;
}

static s64 send_stream(u32 ring, const struct parts *parts, bool nonblocking)
{
	s64 done = 0;
	u32 serial = ring_at(ring)->serial;
	for (u64 i = 0; i < parts->count && ring_at(ring)->serial == serial; i++) {
		struct vector v;
		s64 r = part_get(parts, i, &v);
		if (r == 0 && v.size)
			r = ring_write(ring, v.base, v.size, nonblocking, false);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((u64)r < v.size)
			break;
	}
	return done;
}

static s64 send(struct description *d, const struct parts *parts, u32 flags)
{
	bool nonblocking = (d->flags & O_NONBLOCK) || (flags & DONT_WAIT), datagram = d->device == DATAGRAM;
	s64 r;
	if (flags & OUT_OF_BAND)
		return -EOPNOTSUPP;
	if (flags & ~KNOWN_FLAGS)
		return refuse("send(flags)", EOPNOTSUPP);
	if (d->ring_out == NO_INDEX)
		r = -EPIPE;
	else if (!ring_at(d->ring_out)->readers)
		r = datagram ? -ECONNREFUSED : -EPIPE;
	else
		r = ring_at(d->ring_out)->messages ? send_message(d->ring_out, parts, nonblocking)
		                                   : send_stream(d->ring_out, parts, nonblocking);
	if (r == -EPIPE && !(flags & NO_SIGNAL) && !datagram)
		signal_send(process_self(), SIGPIPE);
	return r;
}

static struct parts single(u64 address, u64 n)
{
	return (struct parts){.single = {address, n}, .count = 1, .sum = n};
}

s64 socket_read(struct description *d, u64 to, u64 n, u32 flags)
{
	bool cut;
	struct parts parts = single(to, n);
	return receive(d, &parts, flags, &cut);
}

s64 socket_write(struct description *d, u64 from, u64 n, u32 flags)
{
	struct parts parts = single(from, n);
	return send(d, &parts, flags);
}

/* --- the calls --- */

s64 call_recvfrom(const u64 *a)
{
	s64 error;
	u32 none = 0;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	if (!guest_range(a[1], a[2]))
		return -EFAULT;
	s64 got = socket_read(d, a[1], min_u64(a[2], 0x7ffff000), (u32)a[3]);
	if (got >= 0 && a[4] && GUEST_PUT(a[5], none)) /* the other end has no name */
		return -EFAULT;
	return got;
}

s64 call_sendto(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	if (a[4])
		return -EISCONN;
	return guest_range(a[1], a[2]) ? socket_write(d, a[1], min_u64(a[2], 0x7ffff000), (u32)a[3]) : -EFAULT;
}

struct guest_message {
	u64 name;
	u32 name_size, unused;
	u64 vectors, vector_count, control, control_size;
	u32 flags, unused_too;
};

static s64 parts_of(const struct guest_message *m, struct parts *ret)
{
	if (m->vector_count > VECTORS_MAX)
		return -EMSGSIZE;
	s64 sum = vectors_check(m->vectors, m->vector_count);
	if (sum < 0)
		return sum;
	*ret = (struct parts){.vectors = m->vectors, .count = m->vector_count, .sum = (u64)sum};
	return 0;
}

static s64 send_one(struct description *d, u64 address, u32 flags)
{
	struct guest_message m;
	struct parts parts;
	if (GUEST_GET(m, address))
		return -EFAULT;
	if (m.control_size)
		return refuse("sendmsg(control data)", EINVAL);
	if (m.name && m.name_size)
		return -EISCONN;
	s64 r = parts_of(&m, &parts);
	return r ? r : send(d, &parts, flags);
}

static s64 receive_one(struct description *d, u64 address, u32 flags)
{
	struct guest_message m;
	struct parts parts;
	bool cut;
	if (GUEST_GET(m, address))
		return -EFAULT;
	s64 r = parts_of(&m, &parts);
	if (r)
		return r;
	s64 got = receive(d, &parts, flags, &cut);
	if (got < 0)
		return got;
	m.name_size = 0;
	m.control_size = 0;
	m.flags = cut ? TRUNCATE : 0;
	return GUEST_PUT(address, m) ? -EFAULT : got;
}

s64 call_sendmsg(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	return d ? send_one(d, a[1], (u32)a[2]) : error;
}

s64 call_recvmsg(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	return d ? receive_one(d, a[1], (u32)a[2]) : error;
}

#define MANY_MAX 1024u
#define WAIT_FOR_ONE 0x10000u

/* struct mmsghdr: a message and how many bytes went. After the first, receiving takes only what is there. */
static s64 many(const u64 *a, bool out)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	u32 count = (u32)min_u64((u32)a[2], MANY_MAX), flags = (u32)a[3] & ~WAIT_FOR_ONE, done = 0;
	if (!d)
		return error;
	u32 serial = d->serial;
	for (; done < count && d->serial == serial; done++) {
		u64 address = a[1] + done * (sizeof(struct guest_message) + 8);
		bool wait = out || !done || !((u32)a[3] & WAIT_FOR_ONE);
		s64 r = out ? send_one(d, address, flags) : receive_one(d, address, wait ? flags : flags | DONT_WAIT);
		u32 moved = (u32)r;
		if (r >= 0 && GUEST_PUT(address + sizeof(struct guest_message), moved))
			r = -EFAULT;
		if (r < 0)
			return done ? (s64)done : r;
	}
	return done;
}

s64 call_sendmmsg(const u64 *a)
{
	return many(a, true);
}

s64 call_recvmmsg(const u64 *a)
{
	return a[4] ? refuse("recvmmsg(timeout)", ENOSYS) : many(a, false);
}

s64 call_shutdown(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	u32 how = (u32)a[1];
	if (!d)
		return error;
	if (how > 2)
		return -EINVAL;
	if (how != 1 && d->ring_in != NO_INDEX) {
		ring_reader_gone(d->ring_in);
		d->ring_in = NO_INDEX;
	}
	if (how != 0 && d->ring_out != NO_INDEX) {
		ring_writer_gone(d->ring_out);
		d->ring_out = NO_INDEX;
	}
	return 0;
}

enum option {
	REUSE = 2,
	TYPE = 3,
	ERROR = 4,
	BROADCAST = 6,
	SEND_ROOM = 7,
	RECEIVE_ROOM = 8,
	KEEP_ALIVE = 9,
	LINGER = 13,
	PASS_CREDENTIALS = 16,
	PEER_CREDENTIALS = 17,
	RECEIVE_LOW = 18,
	SEND_LOW = 19,
	RECEIVE_TIMEOUT = 20,
	SEND_TIMEOUT = 21,
	ACCEPTS = 30,
	PROTOCOL = 38,
	DOMAIN = 39
};

/* The value of an option; its size, or -errno. */
static s64 option_value(const struct description *d, u32 option, u32 value[4])
{
	memset(value, 0, 4 * sizeof value[0]);
	switch (option) {
	case TYPE: value[0] = d->device; return 4;
	case SEND_ROOM:
	case RECEIVE_ROOM: value[0] = RING_SIZE; return 4;
	case DOMAIN:
	case RECEIVE_LOW:
	case SEND_LOW: value[0] = 1; return 4;
	case PEER_CREDENTIALS:
		value[0] = (u32)d->peer_pid;
		value[1] = value[2] = 1000;
		return 12;
	case RECEIVE_TIMEOUT:
	case SEND_TIMEOUT: return 16;
	case LINGER: return 8;
	case REUSE:
	case ERROR:
	case BROADCAST:
	case KEEP_ALIVE:
	case PASS_CREDENTIALS:
	case ACCEPTS:
	case PROTOCOL: return 4;
	default: return -ENOPROTOOPT;
	}
}

s64 call_getsockopt(const u64 *a)
{
	s64 error;
	s32 room;
	u32 value[4];
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	if ((u32)a[1] != LEVEL_SOCKET)
		return -EOPNOTSUPP;
	if (GUEST_GET(room, a[4]))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	s64 size = option_value(d, (u32)a[2], value);
	if (size < 0)
		return size;
	room = (s32)min_u64((u64)room, (u64)size);
	return guest_write(a[3], value, (size_t)room) || GUEST_PUT(a[4], room) ? -EFAULT : 0;
}

s64 call_setsockopt(const u64 *a)
{
	s64 error;
	u64 time[2];
	u32 number;
	if (!socket_get(a[0], &error))
		return error;
	if ((u32)a[1] != LEVEL_SOCKET)
		return -EOPNOTSUPP;
	if ((u32)a[4] < sizeof number)
		return -EINVAL;
	if (GUEST_GET(number, a[3]))
		return -EFAULT;
	switch ((u32)a[2]) {
	case RECEIVE_TIMEOUT:
	case SEND_TIMEOUT:
		if ((u32)a[4] < sizeof time)
			return -EINVAL;
		if (GUEST_GET(time, a[3]))
			return -EFAULT;
		return time[0] || time[1] ? refuse("setsockopt(timeout)", ENOPROTOOPT) : 0;
	case PASS_CREDENTIALS: return refuse("setsockopt(SO_PASSCRED)", ENOPROTOOPT);
	case REUSE: /* hints, which change nothing between two ends in one box */
	case BROADCAST:
	case SEND_ROOM:
	case RECEIVE_ROOM:
	case KEEP_ALIVE:
	case LINGER:
	case RECEIVE_LOW: return 0;
	default: return -ENOPROTOOPT;
	}
}

/* Neither end has a name: the family alone. */
static s64 unnamed(const u64 *a)
{
	s64 error;
	u16 family = FAMILY_UNIX;
	s32 room;
	if (!socket_get(a[0], &error))
		return error;
	if (GUEST_GET(room, a[2]))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	u32 size = sizeof family;
	return guest_write(a[1], &family, min_u64((u64)room, size)) || GUEST_PUT(a[2], size) ? -EFAULT : 0;
}

s64 call_getsockname(const u64 *a)
{
	return unnamed(a);
}

s64 call_getpeername(const u64 *a)
{
	return unnamed(a);
}
