/*
 * What sockets say to each other. A stream is the bytes of a ring; datagrams and sequenced packets keep their borders
 * by a length before each message. Descriptors that come along, and the names of datagrams' senders, are in parcels
 * beside the ring (rights.c); a read of a stream ends behind the bytes that brought some.
 */
#include "sockets.h"

#define KNOWN_FLAGS                                                                                  \
	(PEEK | TRUNCATE | DONT_WAIT | WAIT_ALL | NO_SIGNAL | 4u /* DONTROUTE */ | 0x80u /* EOR */ | \
	 0x8000u /* MORE */ | RIGHTS_CLOEXEC)
#define HEADER 4u

/* One message, in one buffer or in the parts of an iovec. */
struct parts {
	struct vector single; /* if vectors is 0 */
	u64 vectors, count, sum;
};

struct outgoing {
	struct parts parts;
	struct rights *rights;
	const struct socket_name *to; /* NULL: to the peer */
	u32 flags;
};

struct incoming {
	struct parts parts;
	struct control control;
	struct socket_name from;
	u32 flags;
	bool cut;
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

static struct parts single(u64 address, u64 n)
{
	return (struct parts){.single = {address, n}, .count = 1, .sum = n};
}

/* --- receiving --- */

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

static s64 receive_message(u32 ring, struct incoming *in)
{
	u32 length;
	ring_copy(ring, 0, (u64)&length, HEADER);
	u64 n = min_u64(length, in->parts.sum);
	s64 got = scatter(ring, HEADER, &in->parts, n);
	if (got < 0)
		return got;
	in->cut = n < length;
	struct parcel *p = parcel_first(ring, 1);
	if (p) {
		in->from = p->from;
		parcel_deliver(ring, &in->control);
	}
	if (!(in->flags & PEEK))
		ring_drop(ring, HEADER + length);
	return in->flags & TRUNCATE ? (s64)length : got;
}

/* How much of it one read may take: not beyond bytes that bring something. */
static u64 readable(u32 ring, u64 n)
{
	const struct parcel *p = parcel_first(ring, n);
	return p ? min_u64(n, p->end - ring_at(ring)->read) : n;
}

static s64 receive_stream(u32 ring, struct incoming *in, bool nonblocking)
{
	u64 sum = in->parts.sum, wanted = in->flags & WAIT_ALL && !(in->flags & PEEK) ? min_u64(sum, RING_SIZE) : 1;
	while (ring_used(ring) < wanted && !parcel_first(ring, ring_used(ring)) && ring_at(ring)->writers &&
	       !ring_at(ring)->deaf && !nonblocking) {
		u32 serial = ring_at(ring)->serial;
		if (block(channel_pipe(ring), NEVER) == -EINTR)
			break;
		if (!ring_at(ring)->in_use || ring_at(ring)->serial != serial)
			return -EBADF;
	}
	s64 got = scatter(ring, 0, &in->parts, readable(ring, min_u64(sum, ring_used(ring))));
	if (got > 0 && parcel_first(ring, (u64)got))
		parcel_deliver(ring, &in->control);
	if (got > 0 && !(in->flags & PEEK))
		ring_drop(ring, (u64)got);
	return got;
}

static s64 take_error(struct socket *s)
{
	s64 error = s->error;
	s->error = 0;
	return -error;
}

/* Why nothing can be received in this state; 0: something can, or could. */
static s64 refuse_receiving(const struct description *d, const struct socket *s, u32 flags)
{
	if (flags & OUT_OF_BAND)
		return s->type == STREAM ? -EINVAL : -EOPNOTSUPP;
	if (flags & ~KNOWN_FLAGS)
		return refuse("recv(flags)", EOPNOTSUPP);
	if (d->ring_in == NO_INDEX)
		return s->type == STREAM ? -EINVAL : -ENOTCONN;
	return 0;
}

static s64 receive(struct description *d, struct incoming *in)
{
	struct socket *s = socket_of(d);
	bool nonblocking = (d->flags & O_NONBLOCK) || (in->flags & DONT_WAIT);
	in->control.peek = in->flags & PEEK;
	in->control.close_on_exec = in->flags & RIGHTS_CLOEXEC;
	s64 r = refuse_receiving(d, s, in->flags);
	if (r)
		return r;
	u32 ring = d->ring_in, serial = d->serial;
	bool messages = ring_at(ring)->messages;
	if (!in->parts.sum && !messages)
		return 0;
	if (s->error && (messages || !ring_used(ring)))
		return take_error(s);
	r = ring_wait_data(ring, nonblocking);
	if (d->serial != serial)
		return -EBADF;
	if (r == 0 && s->error)
		return take_error(s);
	if (r <= 0)
		return r;
	if (s->type != DATAGRAM)
		in->from = s->peer == NO_INDEX ? s->peer_name : socket_at(s->peer)->name;
	return messages ? receive_message(ring, in) : receive_stream(ring, in, nonblocking);
}

/* --- sending --- */

static s64 gather(u32 ring, const struct parts *parts, u64 length)
{
	u64 done = 0;
	for (u64 i = 0; i < parts->count && done < length; i++) {
		struct vector v;
		s64 r = part_get(parts, i, &v);
		if (r == 0)
			r = ring_append(ring, v.base, min_u64(v.size, length - done));
		if (r < 0)
			return r;
		done += (u64)r;
	}
	return done < length ? -EFAULT : 0; /* while we waited, another has made the vectors shorter */
}

static s64 send_message(u32 ring, const struct socket *s, const struct outgoing *out, bool nonblocking)
{
	u32 length = (u32)out->parts.sum, parcel = 0;
	if (out->parts.sum > RING_SIZE - HEADER)
		return -EMSGSIZE;
	s64 r = ring_wait_room(ring, HEADER + length, nonblocking);
	if (r)
		return r;
	u64 start = ring_at(ring)->written;
	ring_append(ring, (u64)&length, HEADER);
	r = gather(ring, &out->parts, length);
	if (r == 0 && (out->rights->count || (s->type == DATAGRAM && s->name.size))) {
		parcel = parcel_new(out->rights, &s->name);
		r = parcel ? 0 : -ENOBUFS;
	}
	if (r < 0) { /* as if nothing had been sent */
		ring_at(ring)->written = start;
		return r;
	}
	if (parcel)
		parcel_add(ring, parcel, start, start + 1);
	return (s64)length;
}

static s64 send_bytes(u32 ring, const struct parts *parts, bool nonblocking)
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

static s64 send_stream(u32 ring, const struct socket *s, const struct outgoing *out, bool nonblocking)
{
	if (!out->rights->count || !out->parts.sum)
		return send_bytes(ring, &out->parts, nonblocking);
	s64 r = ring_wait_room(ring, 1, nonblocking);
	if (r)
		return r;
	u32 parcel = parcel_new(out->rights, &s->name);
	if (!parcel)
		return -ENOBUFS;
	u64 start = ring_at(ring)->written, room = RING_SIZE - ring_used(ring);
	parcel_add(ring, parcel, start, start + min_u64(out->parts.sum, room));
	r = send_bytes(ring, &out->parts, nonblocking);
	if (r < 0) /* before the first byte, so nobody has had it */
		parcel_remove(ring, parcel);
	return r;
}

static s64 send_connected(struct description *d, const struct outgoing *out, bool nonblocking)
{
	struct socket *s = socket_of(d);
	if (s->type == STREAM && out->to)
		return s->state == SOCKET_CONNECTED ? -EISCONN : -EOPNOTSUPP;
	if (s->type == SEQUENCED && s->error)
		return take_error(s);
	if (s->state != SOCKET_CONNECTED)
		return -ENOTCONN;
	if (d->ring_out == NO_INDEX || ring_at(d->ring_out)->deaf || !ring_at(d->ring_out)->readers)
		return -EPIPE;
	return s->type == STREAM ? send_stream(d->ring_out, s, out, nonblocking)
	                         : send_message(d->ring_out, s, out, nonblocking);
}

/* Whom a datagram goes to: the one who has the name, or the peer, of whom it is told once that he has gone. */
static s64 find_target(struct socket *s, const struct socket_name *to, u32 *target)
{
	if (to) {
		s64 r = address_find(to, DATAGRAM, target);
		if (r)
			return r;
	} else if (s->peer == NO_INDEX) {
		bool gone = s->peer_gone;
		s->peer_gone = false;
		s->state = SOCKET_NEW;
		return gone ? -ECONNREFUSED : -ENOTCONN;
	} else {
		*target = s->peer;
	}
	const struct socket *other = socket_at(*target);
	if (other->peer != NO_INDEX && socket_at(other->peer) != s)
		return -EPERM;
	return s->shut & SHUT_OUT || other->shut & SHUT_IN ? -EPIPE : 0;
}

static s64 send_datagram(struct description *d, const struct outgoing *out, bool nonblocking)
{
	u32 target, serial = d->serial;
	if (socket_of(d)->error)
		return take_error(socket_of(d));
	for (;;) {
		s64 r = find_target(socket_of(d), out->to, &target);
		if (r)
			return r;
		r = send_message(description_at(socket_at(target)->description)->ring_in, socket_of(d), out,
		                 nonblocking);
		if (d->serial != serial)
			return -EBADF;
		if (r != -EBADF && r != -EPIPE) /* otherwise he has closed it while we waited */
			return r;
	}
}

static s64 send(struct description *d, const struct outgoing *out)
{
	bool nonblocking = (d->flags & O_NONBLOCK) || (out->flags & DONT_WAIT);
	u32 type = socket_of(d)->type;
	if (out->flags & OUT_OF_BAND)
		return -EOPNOTSUPP;
	if (out->flags & ~KNOWN_FLAGS)
		return refuse("send(flags)", EOPNOTSUPP);
	s64 r = type == DATAGRAM ? send_datagram(d, out, nonblocking) : send_connected(d, out, nonblocking);
	if (r == -EPIPE && !(out->flags & NO_SIGNAL) && type == STREAM)
		signal_send(process_self(), SIGPIPE);
	return r;
}

s64 socket_read(struct description *d, u64 to, u64 n, u32 flags)
{
	struct incoming in = {.parts = single(to, n), .flags = flags};
	return receive(d, &in);
}

static s64 send_plain(struct description *d, u64 from, u64 n, u32 flags, const struct socket_name *to)
{
	struct rights none;
	none.count = 0;
	return send(d, &(struct outgoing){single(from, n), &none, to, flags});
}

s64 socket_write(struct description *d, u64 from, u64 n, u32 flags)
{
	return send_plain(d, from, n, flags, NULL);
}

/* Lengths of messages are not to be read, though they lie between what is. */
s64 socket_unread(const struct description *d)
{
	const struct socket *s = socket_of(d);
	u64 sum = 0;
	u32 length;
	if (s->state == SOCKET_LISTENING)
		return -EINVAL;
	if (d->ring_in == NO_INDEX)
		return 0;
	u64 used = ring_used(d->ring_in);
	if (s->type == STREAM)
		return (s64)used;
	for (u64 at = 0; at < used && !(at && s->type == DATAGRAM); at += HEADER + length) {
		ring_copy(d->ring_in, at, (u64)&length, HEADER);
		sum += length;
	}
	return (s64)sum;
}

/* --- the calls --- */

#define LONGEST 0x7ffff000u

static int put_from(u64 to, s32 room, const struct socket_name *from)
{
	return guest_write(to, from->bytes, min_u64((u64)room, from->size));
}

s64 call_recvfrom(const u64 *a)
{
	s64 error;
	s32 room;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	if (!guest_range(a[1], a[2]))
		return -EFAULT;
	struct incoming in = {.parts = single(a[1], min_u64(a[2], LONGEST)), .flags = (u32)a[3]};
	s64 got = receive(d, &in);
	if (got < 0 || !a[4])
		return got;
	if (GUEST_GET(room, a[5]))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	return put_from(a[4], room, &in.from) || GUEST_PUT(a[5], in.from.size) ? -EFAULT : got;
}

/* Only datagrams look at the name itself. */
static s64 get_target(const struct description *d, u64 from, u64 size, struct socket_name *to,
                      const struct socket_name **ret)
{
	*ret = NULL;
	if (!from || !(u32)size)
		return 0;
	*ret = to;
	s64 r = address_get(from, size, to);
	return r == -EFAULT || socket_of(d)->type == DATAGRAM ? r : 0;
}

s64 call_sendto(const u64 *a)
{
	s64 error;
	struct socket_name name;
	const struct socket_name *to;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	if (!guest_range(a[1], a[2]))
		return -EFAULT;
	s64 r = get_target(d, a[4], a[5], &name, &to);
	return r ? r : send_plain(d, a[1], min_u64(a[2], LONGEST), (u32)a[3], to);
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
	struct socket_name to;
	struct rights rights;
	struct outgoing out = {.rights = &rights, .flags = flags};
	if (GUEST_GET(m, address))
		return -EFAULT;
	s64 r = get_target(d, m.name, m.name_size, &to, &out.to);
	r = r ? r : parts_of(&m, &out.parts);
	r = r ? r : rights_get(m.control_size ? m.control : 0, m.control_size, &rights);
	if (r)
		return r;
	r = send(d, &out);
	rights_drop(&rights);
	parcels_sweep();
	return r;
}

static s64 receive_one(struct description *d, u64 address, u32 flags)
{
	struct guest_message m;
	struct incoming in = {.flags = flags};
	if (GUEST_GET(m, address))
		return -EFAULT;
	if ((s32)m.name_size < 0)
		return -EINVAL;
	s64 r = parts_of(&m, &in.parts);
	if (r)
		return r;
	in.control.at = m.control;
	in.control.room = m.control ? m.control_size : 0;
	s64 got = receive(d, &in);
	if (got < 0)
		return got;
	if (m.name && put_from(m.name, (s32)m.name_size, &in.from))
		return -EFAULT;
	m.name_size = m.name ? in.from.size : m.name_size;
	m.control_size = in.control.at - m.control;
	m.flags = (in.cut ? TRUNCATE : 0) | (in.control.cut ? CONTROL_CUT : 0) | (flags & RIGHTS_CLOEXEC);
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
