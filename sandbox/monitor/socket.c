/*
 * Sockets: how they are made, ended and asked about. Every family but AF_UNIX is refused: there is nobody to talk to.
 * (address.c: names; listener.c: connections; message.c: what is said; rights.c: descriptors that come along.)
 */
#include "sockets.h"

#define LEVEL_SOCKET 1
#define RAW 3u /* datagrams by another name */
#define TYPES 11u

static const char *family_name(u64 family)
{
	static const char *const names[] = {"AF_UNSPEC", "AF_UNIX", "AF_INET"};
	return family < ARRAY_LENGTH(names) ? names[family]
	       : family == 10               ? "AF_INET6"
	       : family == 16               ? "AF_NETLINK"
	       : family == 17               ? "AF_PACKET"
	                                    : "AF_OTHER";
}

/* Family, type and protocol as socket and socketpair are given them: 0, or why not. */
static s64 check_kind(const char *call, const u64 *a, u32 *type)
{
	*type = (u32)a[1] & TYPE_MASK;
	if ((u32)a[0] != FAMILY_UNIX) {
		char detail[48];
		format(detail, sizeof detail, "%s(%s)", call, family_name((u32)a[0]));
		return refuse(detail, EAFNOSUPPORT);
	}
	if (((u32)a[1] & ~(TYPE_MASK | O_CLOEXEC | O_NONBLOCK)) || *type >= TYPES)
		return -EINVAL;
	if ((u32)a[2] > 1)
		return -EPROTONOSUPPORT;
	*type = *type == RAW ? DATAGRAM : *type;
	return *type == STREAM || *type == DATAGRAM || *type == SEQUENCED ? 0 : -ESOCKTNOSUPPORT;
}

/* --- making them --- */

static u32 free_record(void)
{
	for (u32 i = 0; i < SOCKETS_MAX; i++)
		if (socket_at(i)->state == SOCKET_FREE) {
			if (i >= files()->socket_count)
				files()->socket_count = i + 1;
			return i;
		}
	return NO_INDEX;
}

/* What is sent to a datagram socket goes into a ring of its own, which it keeps open for writers itself. */
static bool give_ring(struct description *d)
{
	d->ring_in = ring_new();
	if (d->ring_in == NO_INDEX)
		return false;
	ring_at(d->ring_in)->messages = true;
	return true;
}

u32 socket_new(u32 type, u32 flags)
{
	u32 record = free_record(), index = record == NO_INDEX ? NO_INDEX : description_new(KIND_SOCKET, flags);
	if (index == NO_INDEX)
		return NO_INDEX;
	struct description *d = description_at(index);
	d->mode = S_IFSOCK | 0777;
	d->inode = 0x10000 + d->serial;
	d->socket = record + 1;
	*socket_at(record) = (struct socket){.state = SOCKET_NEW,
	                                     .type = type,
	                                     .description = index,
	                                     .peer = NO_INDEX,
	                                     .node = NO_INDEX,
	                                     .peer_id = -1};
	if (type != DATAGRAM || give_ring(d))
		return index;
	description_release(index);
	return NO_INDEX;
}

int socket_join(struct socket *one, struct socket *two)
{
	struct description *first = description_at(one->description), *second = description_at(two->description);
	if (one->type != DATAGRAM) {
		u32 in = ring_new(), out = in == NO_INDEX ? NO_INDEX : ring_new();
		if (out == NO_INDEX) {
			if (in != NO_INDEX) {
				ring_reader_gone(in);
				ring_writer_gone(in);
			}
			return -ENOMEM;
		}
		first->ring_in = second->ring_out = in;
		first->ring_out = second->ring_in = out;
		ring_at(in)->messages = ring_at(out)->messages = one->type == SEQUENCED;
	}
	one->peer = second->socket - 1;
	two->peer = first->socket - 1;
	one->state = two->state = SOCKET_CONNECTED;
	return 0;
}

s64 call_socket(const u64 *a)
{
	u32 type;
	s64 r = check_kind("socket", a, &type);
	if (r)
		return r;
	u32 index = socket_new(type, O_RDWR | ((u32)a[1] & O_NONBLOCK));
	return index == NO_INDEX ? -ENFILE : descriptor_put(index, (u32)a[1] & O_CLOEXEC, 0);
}

s64 call_socketpair(const u64 *a)
{
	u32 type, flags = O_RDWR | ((u32)a[1] & O_NONBLOCK);
	s64 r = check_kind("socketpair", a, &type);
	if (r)
		return r;
	u32 first = socket_new(type, flags), second = first == NO_INDEX ? NO_INDEX : socket_new(type, flags);
	if (second == NO_INDEX || socket_join(socket_of(description_at(first)), socket_of(description_at(second)))) {
		if (first != NO_INDEX)
			description_release(first);
		if (second != NO_INDEX)
			description_release(second);
		return -ENFILE;
	}
	for (u32 i = 0; i < 2; i++) {
		struct socket *s = socket_of(description_at(i ? second : first));
		s->peer_pid = process_self()->pid;
		s->peer_id = 1000;
	}
	return put_pair(first, second, (u32)a[1] & O_CLOEXEC, a[3]);
}

struct description *socket_get(u64 fd, s64 *error)
{
	struct description *d = descriptor_open(fd);
	*error = !d ? -EBADF : -ENOTSOCK;
	return d && d->kind == KIND_SOCKET ? d : NULL;
}

/* --- ending them --- */

/* Its peer, who may still ask for its name, and who learns that what it has said was not read. */
static void leave_peer(const struct description *d, const struct socket *s, struct socket *peer, bool unheard)
{
	peer->peer = NO_INDEX;
	peer->peer_gone = true;
	peer->peer_name = s->name;
	if (s->type != DATAGRAM && (unheard || ring_used(d->ring_in)))
		peer->error = ECONNRESET;
}

static void leave_peers(const struct description *d, struct socket *s, bool unheard)
{
	u32 self = d->socket - 1;
	for (u32 i = 0; i < files()->socket_count; i++)
		if (socket_at(i)->state != SOCKET_FREE && socket_at(i)->peer == self)
			leave_peer(d, s, socket_at(i), unheard);
	s->peer = NO_INDEX;
}

/* Who has connected and was not accepted is told so. */
static void refuse_queue(struct socket *l)
{
	while (l->queued) {
		struct socket *end = socket_at(l->first);
		struct description *d = description_at(end->description);
		l->first = end->next;
		l->queued--;
		leave_peers(d, end, true);
		description_release(end->description);
	}
}

void socket_close(struct description *d)
{
	struct socket *s = socket_of(d);
	u32 index = d->socket - 1;
	refuse_queue(s);
	leave_peers(d, s, false);
	if (s->node != NO_INDEX) {
		node_at(s->node)->references--;
		node_release(s->node);
	}
	if (s->type == DATAGRAM && d->ring_in != NO_INDEX)
		ring_writer_gone(d->ring_in);
	s->state = SOCKET_FREE;
	d->socket = 0;
	wake(channel_accept(index), UINT32_MAX);
	wake(channel_connect(index), UINT32_MAX);
	readiness_changed();
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
	struct socket *s = socket_of(d);
	s->shut |= how + 1;
	if ((s->shut & SHUT_IN) && d->ring_in != NO_INDEX)
		ring_at(d->ring_in)->deaf = true;
	if ((s->shut & SHUT_OUT) && d->ring_out != NO_INDEX) {
		ring_writer_gone(d->ring_out);
		d->ring_out = NO_INDEX;
	}
	if (d->ring_in != NO_INDEX)
		wake(channel_pipe(d->ring_in), UINT32_MAX);
	wake(channel_accept(d->socket - 1), UINT32_MAX);
	wake(channel_connect(d->socket - 1), UINT32_MAX);
	readiness_changed();
	return 0;
}

/* --- readiness --- */

#define READ_HANG_UP 0x2000u /* POLLRDHUP */
#define ROOM_TO_TELL 4096u

static bool input_over(const struct description *d)
{
	return d->ring_in == NO_INDEX || ring_at(d->ring_in)->deaf || !ring_at(d->ring_in)->writers;
}

static bool output_over(const struct description *d)
{
	return d->ring_out == NO_INDEX || ring_at(d->ring_out)->deaf || !ring_at(d->ring_out)->readers;
}

static bool has_room(u32 ring)
{
	return RING_SIZE - ring_used(ring) >= ROOM_TO_TELL;
}

static u32 ready_datagrams(const struct description *d, const struct socket *s)
{
	u32 ready = ring_used(d->ring_in) ? POLLIN : 0;
	if (s->shut & SHUT_IN)
		ready |= POLLIN | READ_HANG_UP;
	if (s->shut == (SHUT_IN | SHUT_OUT))
		ready |= POLLHUP;
	if (s->peer == NO_INDEX || has_room(description_at(socket_at(s->peer)->description)->ring_in))
		ready |= POLLOUT;
	return ready;
}

static u32 ready_connected(const struct description *d)
{
	u32 ready = d->ring_in != NO_INDEX && ring_used(d->ring_in) ? POLLIN : 0;
	if (input_over(d))
		ready |= POLLIN | READ_HANG_UP;
	if (input_over(d) && output_over(d))
		ready |= POLLHUP;
	return ready | (output_over(d) || has_room(d->ring_out) ? POLLOUT : 0);
}

static u32 ready_alone(const struct socket *s)
{
	u32 ready = s->state == SOCKET_LISTENING ? 0 : POLLOUT | POLLHUP;
	if (s->shut & SHUT_IN)
		ready |= POLLIN | READ_HANG_UP;
	if (s->shut == (SHUT_IN | SHUT_OUT))
		ready |= POLLHUP;
	return ready | (s->queued ? POLLIN : 0);
}

u32 socket_ready(const struct description *d)
{
	const struct socket *s = socket_of(d);
	u32 ready = s->type == DATAGRAM            ? ready_datagrams(d, s)
	            : s->state == SOCKET_CONNECTED ? ready_connected(d)
	                                           : ready_alone(s);
	return ready | (s->error ? POLLERR : 0) | (ready & POLLOUT ? POLLWRBAND : 0);
}

/* --- options --- */

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
static s64 option_value(struct socket *s, u32 option, u32 value[4])
{
	memset(value, 0, 4 * sizeof value[0]);
	switch (option) {
	case TYPE: value[0] = s->type; return 4;
	case SEND_ROOM:
	case RECEIVE_ROOM: value[0] = RING_SIZE; return 4;
	case DOMAIN:
	case RECEIVE_LOW:
	case SEND_LOW: value[0] = 1; return 4;
	case ACCEPTS: value[0] = s->state == SOCKET_LISTENING; return 4;
	case PEER_CREDENTIALS:
		value[0] = (u32)s->peer_pid;
		value[1] = value[2] = (u32)s->peer_id;
		return 12;
	case RECEIVE_TIMEOUT:
	case SEND_TIMEOUT: return 16;
	case LINGER: return 8;
	case ERROR:
		value[0] = s->error;
		s->error = 0;
		return 4;
	case REUSE:
	case BROADCAST:
	case KEEP_ALIVE:
	case PASS_CREDENTIALS:
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
	s64 size = option_value(socket_of(d), (u32)a[2], value);
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
	case PASS_CREDENTIALS: return number ? refuse("setsockopt(SO_PASSCRED)", ENOPROTOOPT) : 0;
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
