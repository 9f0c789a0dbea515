/*
 * Rings: what pipes, FIFOs and sockets are made of. 64 KiB in the arena, read and written by whoever has the
 * processor; an empty or full one is waited for with block(). A fixed capacity means a fixed place where a writer has
 * to stop, and so a fixed order.
 *
 * While a task waits, another may close the last descriptor and the slot may be used anew; the serial number tells.
 */
#include "files.h"

#define RING_PAGES (RING_SIZE / PAGE_SIZE)
#define ATOMIC_SIZE 4096u /* PIPE_BUF */

struct ring *ring_at(u32 ring)
{
	return &files()->rings[ring];
}

u64 ring_used(u32 ring)
{
	return ring_at(ring)->written - ring_at(ring)->read;
}

u32 ring_new(void)
{
	for (u32 i = 0; i < RINGS_MAX; i++) {
		struct ring *r = ring_at(i);
		if (r->in_use)
			continue;
		if (memory_charge(RING_SIZE))
			return NO_INDEX;
		u32 page = pages_take(RING_PAGES);
		if (page == NO_INDEX) {
			memory_uncharge(RING_SIZE);
			return NO_INDEX;
		}
		*r = (struct ring){.in_use = 1,
		                   .readers = 1,
		                   .writers = 1,
		                   .page = page,
		                   .serial = ++files()->serial,
		                   .node = NO_INDEX};
		return i;
	}
	return NO_INDEX;
}

static void changed(u32 ring)
{
	wake(channel_pipe(ring), UINT32_MAX);
	readiness_changed();
}

static void release_unused(u32 ring)
{
	struct ring *r = ring_at(ring);
	changed(ring);
	if (r->readers || r->writers)
		return;
	if (r->node != NO_INDEX)
		node_at(r->node)->ring = NO_INDEX;
	pages_give(r->page, RING_PAGES);
	memory_uncharge(RING_SIZE);
	r->in_use = 0;
}

void ring_reader_gone(u32 ring)
{
	if (!--ring_at(ring)->readers)
		parcels_drop(ring);
	release_unused(ring);
}

void ring_writer_gone(u32 ring)
{
	ring_at(ring)->writers--;
	release_unused(ring);
}

/* Waits for a change of it: 0, -EINTR, or -EBADF if it is gone. */
static s64 wait_change(u32 ring, bool nonblocking)
{
	u32 serial = ring_at(ring)->serial;
	if (nonblocking)
		return -EAGAIN;
	if (block(channel_pipe(ring), NEVER) == -EINTR)
		return -EINTR;
	return ring_at(ring)->in_use && ring_at(ring)->serial == serial ? 0 : -EBADF;
}

s64 ring_wait_data(u32 ring, bool nonblocking)
{
	while (!ring_used(ring)) { /* what is left when the last writer goes is still to be read */
		if (!ring_at(ring)->writers || ring_at(ring)->deaf)
			return 0;
		s64 r = wait_change(ring, nonblocking);
		if (r)
			return r;
	}
	return (s64)ring_used(ring);
}

s64 ring_wait_room(u32 ring, u64 room, bool nonblocking)
{
	for (;;) {
		if (!ring_at(ring)->readers || ring_at(ring)->deaf)
			return -EPIPE;
		if (RING_SIZE - ring_used(ring) >= room)
			return 0;
		s64 r = wait_change(ring, nonblocking);
		if (r)
			return r;
	}
}

s64 ring_copy(u32 ring, u64 skip, u64 to, u64 n)
{
	const struct ring *r = ring_at(ring);
	u64 used = ring_used(ring);
	n = min_u64(n, used - min_u64(skip, used)); /* never what others have written before */
	u64 at = (r->read + skip) % RING_SIZE, first = min_u64(n, RING_SIZE - at);
	u8 *base = page_at(r->page);
	if (put_bytes(to, base + at, first) || (n > first && put_bytes(to + first, base, n - first)))
		return -EFAULT;
	return (s64)n;
}

void ring_drop(u32 ring, u64 n)
{
	ring_at(ring)->read += min_u64(n, ring_used(ring));
	changed(ring);
}

s64 ring_append(u32 ring, u64 from, u64 n)
{
	struct ring *r = ring_at(ring);
	u64 at = r->written % RING_SIZE, first = min_u64(n, RING_SIZE - at);
	u8 *base = page_at(r->page);
	if (get_bytes(base + at, from, first) || (n > first && get_bytes(base, from + first, n - first)))
		return -EFAULT;
	r->written += n;
	changed(ring);
	return (s64)n;
}

s64 ring_read(u32 ring, u64 to, u64 n, bool nonblocking, bool peek)
{
	if (!n)
		return 0;
	s64 got = ring_wait_data(ring, nonblocking);
	if (got <= 0)
		return got;
	got = ring_copy(ring, 0, to, min_u64(n, (u64)got));
	if (got > 0 && !peek)
		ring_drop(ring, (u64)got);
	return got;
}

/* -EPIPE comes without its signal: that is the caller's to send. */
s64 ring_write(u32 ring, u64 from, u64 n, bool nonblocking, bool is_pipe)
{
	u64 done = 0;
	/* Up to PIPE_BUF bytes go in together or not at all. */
	u64 needed = is_pipe && n <= ATOMIC_SIZE ? n : 1;
	while (done < n) {
		s64 r = ring_wait_room(ring, needed, nonblocking);
		if (r == 0)
			r = ring_append(ring, from + done, min_u64(RING_SIZE - ring_used(ring), n - done));
		if (r < 0)
			return done ? (s64)done : r;
		done += (u64)r;
	}
	return (s64)done;
}

/* --- making them --- */

static void take_end(struct description *d, u32 ring, bool read)
{
	*(read ? &d->ring_in : &d->ring_out) = ring;
	d->inode = 0x10000 + ring_at(ring)->serial; /* the same at both ends */
}

static u32 pipe_end(u32 ring, bool read, u32 flags)
{
	u32 index = description_new(KIND_PIPE, (read ? O_RDONLY : O_WRONLY) | (flags & (O_NONBLOCK | O_DIRECT)));
	if (index == NO_INDEX)
		return NO_INDEX;
	take_end(description_at(index), ring, read);
	description_at(index)->mode = S_IFIFO | 0600;
	return index;
}

/* Two descriptors to the guest, or none. */
s64 put_pair(u32 first, u32 second, bool close_on_exec, u64 address)
{
	s32 fds[2];
	s64 fd = descriptor_put(first, close_on_exec, 0);
	if (fd < 0) {
		description_release(second);
		return fd;
	}
	fds[0] = (s32)fd;
	fd = descriptor_put(second, close_on_exec, 0);
	if (fd >= 0) {
		fds[1] = (s32)fd;
		if (!GUEST_PUT(address, fds))
			return 0;
		process_self()->descriptors[fds[1]].description = NO_INDEX;
		description_release(second);
		fd = -EFAULT;
	}
	process_self()->descriptors[fds[0]].description = NO_INDEX;
	description_release(first);
	return fd;
}

static s64 make_pipe(u64 address, u32 flags)
{
	if (flags & ~(u32)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	if (flags & O_DIRECT) /* packets: a read would have to end where a write did */
		return refuse("pipe2(O_DIRECT)", EINVAL);
	u32 ring = ring_new();
	if (ring == NO_INDEX)
		return -ENFILE;
	u32 out = pipe_end(ring, true, flags), in = pipe_end(ring, false, flags);
	if (out == NO_INDEX || in == NO_INDEX) {
		out == NO_INDEX ? ring_reader_gone(ring) : description_release(out);
		in == NO_INDEX ? ring_writer_gone(ring) : description_release(in);
		return -ENFILE;
	}
	return put_pair(out, in, flags & O_CLOEXEC, address);
}

s64 call_pipe(const u64 *a)
{
	return make_pipe(a[0], 0);
}

s64 call_pipe2(const u64 *a)
{
	return make_pipe(a[0], (u32)a[1]);
}

/* --- FIFOs: a ring found by name --- */

static struct ring *fifo_ring(u32 index)
{
	struct node *node = node_at(index);
	if (node->ring == NO_INDEX) {
		u32 ring = ring_new();
		if (ring == NO_INDEX)
			return NULL;
		node->ring = ring;
		ring_at(ring)->readers = ring_at(ring)->writers = 0;
		ring_at(ring)->node = index;
	}
	return ring_at(node->ring);
}

/* Opening waits for somebody at the other end, if only one who has come and gone meanwhile. */
static s64 fifo_meet(u32 ring, u32 flags)
{
	struct ring *r = ring_at(ring);
	u32 mode = flags & ACCESS_MODE;
	const u32 *others = mode == O_RDONLY ? &r->writers : &r->readers;
	const u32 *came = mode == O_RDONLY ? &r->writer_opens : &r->reader_opens;
	u32 before = *came;
	if (mode == O_RDWR || (mode == O_RDONLY && (flags & O_NONBLOCK)))
		return 0;
	while (!*others && *came == before) {
		s64 error = wait_change(ring, flags & O_NONBLOCK);
		if (error)
			return error == -EAGAIN ? -ENXIO : error;
	}
	return 0;
}

s64 fifo_open(u32 node, u32 flags, u32 *description)
{
	u32 mode = flags & ACCESS_MODE;
	*description = description_new(KIND_PIPE, flags);
	if (*description == NO_INDEX)
		return -ENFILE;
	struct ring *r = fifo_ring(node);
	struct description *d = description_at(*description);
	if (!r) {
		description_release(*description);
		return -ENOSPC;
	}
	u32 ring = node_at(node)->ring;
	d->node = node;
	d->inode = node + 1;
	d->mode = node_at(node)->mode;
	node_at(node)->references++;
	if (mode != O_WRONLY) {
		d->ring_in = ring;
		r->readers++;
		r->reader_opens++;
	}
	if (mode != O_RDONLY) {
		d->ring_out = ring;
		r->writers++;
		r->writer_opens++;
	}
	changed(ring);
	s64 error = fifo_meet(ring, flags);
	if (error)
		description_release(*description);
	return error;
}
