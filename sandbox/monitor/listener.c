/*
 * Connections: listen, connect and accept. Who connects is connected at once, to an end that waits in the listener's
 * queue; he may write to it and leave before anybody accepts. A full queue is waited for, first come first served.
 */
#include "sockets.h"

#define BACKLOG_MAX 4096u /* net.core.somaxconn */
#define FAMILY_ANY 0

s64 call_listen(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	struct socket *s = socket_of(d);
	if (s->type == DATAGRAM)
		return -EOPNOTSUPP;
	if (!s->name.size || s->state == SOCKET_CONNECTED)
		return -EINVAL;
	s->state = SOCKET_LISTENING;
	s->backlog = (u32)min_u64((u32)a[1], BACKLOG_MAX);
	s->owner_pid = s->peer_pid = process_self()->pid;
	s->peer_id = 1000;
	wake(channel_connect(d->socket - 1), UINT32_MAX);
	return 0;
}

/* --- connect --- */

static s64 wait_for_room(const struct description *d, u32 listener)
{
	u32 serial = d->serial;
	if (d->flags & O_NONBLOCK)
		return -EAGAIN;
	if (block(channel_connect(listener), NEVER) == -EINTR)
		return -EINTR;
	return d->serial == serial ? 0 : -EBADF;
}

/* Looked up again after each wait: by then another may have the name. */
static s64 find_listener(const struct description *d, const struct socket_name *name, u32 *listener)
{
	for (;;) {
		s64 r = address_find(name, socket_of(d)->type, listener);
		if (r)
			return r;
		const struct socket *l = socket_at(*listener);
		if (l->state != SOCKET_LISTENING || (l->shut & SHUT_IN))
			return -ECONNREFUSED;
		if (l->queued <= l->backlog)
			return 0;
		r = wait_for_room(d, *listener);
		if (r)
			return r;
	}
}

static void enqueue(struct socket *l, u32 socket)
{
	if (l->queued++)
		socket_at(l->last)->next = socket;
	else
		l->first = socket;
	l->last = socket;
	socket_at(socket)->next = NO_INDEX;
	description_at(l->description)->activity++;
	wake(channel_accept((u32)(l - files()->sockets)), UINT32_MAX);
	readiness_changed();
}

static s64 connect_to_listener(struct description *d, const struct socket_name *name)
{
	u32 listener;
	s64 r = find_listener(d, name, &listener);
	if (r)
		return r;
	struct socket *s = socket_of(d), *l = socket_at(listener);
	if (s->state != SOCKET_NEW)
		return s->state == SOCKET_CONNECTED ? -EISCONN : -EINVAL;
	u32 index = socket_new(s->type, O_RDWR);
	if (index == NO_INDEX)
		return -ENOMEM;
	struct socket *end = socket_of(description_at(index));
	r = socket_join(s, end);
	if (r) {
		description_release(index);
		return r;
	}
	end->name = l->name;
	end->peer_pid = process_self()->pid;
	s->peer_pid = l->owner_pid;
	s->peer_id = end->peer_id = 1000;
	enqueue(l, description_at(index)->socket - 1);
	return 0;
}

/* A datagram socket forgets what came from others than its new peer. */
static void change_peer(struct description *d, u32 peer)
{
	struct socket *s = socket_of(d);
	if (s->peer != NO_INDEX && s->peer != peer) {
		parcels_drop(d->ring_in);
		ring_drop(d->ring_in, RING_SIZE);
		if (socket_at(s->peer)->peer == d->socket - 1)
			socket_at(s->peer)->error = ECONNRESET;
	}
	s->peer = peer;
	s->peer_gone = false;
	s->state = peer == NO_INDEX ? SOCKET_NEW : SOCKET_CONNECTED;
	readiness_changed();
	parcels_sweep();
}

static s64 connect_datagrams(struct description *d, const struct socket_name *name, u64 size)
{
	u16 family;
	u32 peer;
	if (size < sizeof family)
		return -EINVAL;
	memcpy(&family, name->bytes, sizeof family);
	if (family == FAMILY_ANY) {
		change_peer(d, NO_INDEX);
		return 0;
	}
	s64 r = address_find(name, DATAGRAM, &peer);
	if (r)
		return r;
	const struct socket *other = socket_at(peer);
	if (other->peer != NO_INDEX && other->peer != d->socket - 1)
		return -EPERM;
	change_peer(d, peer);
	return 0;
}

s64 call_connect(const u64 *a)
{
	s64 error;
	struct socket_name name;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	s64 r = address_get(a[1], a[2], &name);
	bool any = r == -EINVAL && socket_of(d)->type == DATAGRAM && !name.bytes[0] && !name.bytes[1];
	if (r && !any)
		return r;
	return socket_of(d)->type == DATAGRAM ? connect_datagrams(d, &name, name.size) : connect_to_listener(d, &name);
}

/* --- accept --- */

static s64 take_first(struct description *d, u32 *description)
{
	struct socket *l = socket_of(d);
	u32 index = d->socket - 1, serial = d->serial;
	while (!l->queued) {
		if (l->shut & SHUT_IN)
			return -EINVAL;
		if (d->flags & O_NONBLOCK)
			return -EAGAIN;
		if (block(channel_accept(index), NEVER) == -EINTR)
			return -EINTR;
		if (d->serial != serial)
			return -EBADF;
	}
	struct socket *end = socket_at(l->first);
	l->first = end->next;
	l->queued--;
	*description = end->description;
	wake(channel_connect(index), UINT32_MAX);
	return 0;
}

static s64 put_caller(const struct socket *end, u64 to, u64 size_at)
{
	if (!to)
		return 0;
	return address_put(to, size_at, end->peer_gone ? &end->peer_name : &socket_at(end->peer)->name);
}

static s64 accept(u64 fd, u64 to, u64 size_at, u32 flags)
{
	u32 index;
	s64 error;
	if (!descriptor_get(fd, NULL))
		return -EBADF;
	if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	if (!descriptor_room())
		return -EMFILE;
	struct description *d = socket_get(fd, &error);
	if (!d)
		return error;
	if (socket_of(d)->type == DATAGRAM)
		return -EOPNOTSUPP;
	if (socket_of(d)->state != SOCKET_LISTENING)
		return -EINVAL;
	s64 r = take_first(d, &index);
	if (r)
		return r;
	description_at(index)->flags |= flags & O_NONBLOCK;
	r = put_caller(socket_of(description_at(index)), to, size_at);
	if (r) { /* nobody else may have it any more */
		description_release(index);
		return r;
	}
	return descriptor_put(index, flags & O_CLOEXEC, 0);
}

s64 call_accept(const u64 *a)
{
	return accept(a[0], a[1], a[2], 0);
}

s64 call_accept4(const u64 *a)
{
	return accept(a[0], a[1], a[2], (u32)a[3]);
}
