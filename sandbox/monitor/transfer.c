/*
 * Calls that move bytes between two descriptors. The kernel's shortcuts have nothing to share here, so they are loops
 * over a buffer in the arena; what they promise (offsets, short counts, errors) is kept.
 */
#include "files.h"

#define BUFFER_PAGES 16u
#define BUFFER_SIZE (BUFFER_PAGES * PAGE_SIZE)
#define TRANSFER_MAX 0x7ffff000ull

struct end {
	struct description *d;
	u64 *offset; /* NULL: its own */
	bool nonblocking;
};

/* Up to n bytes into the buffer, still there to be read again: what cannot be written has not been read. */
static s64 look(const struct end *from, u64 buffer, u64 n)
{
	struct description *d = from->d;
	if (d->kind == KIND_PIPE) {
		s64 there = ring_wait_data(d->ring_in, from->nonblocking);
		return there <= 0 ? there : ring_copy(d->ring_in, 0, buffer, min_u64(n, (u64)there));
	}
	u64 at = from->offset ? *from->offset : d->offset;
	return description_read(d, buffer, n, &at);
}

static void taken(const struct end *from, u64 n)
{
	if (from->d->kind == KIND_PIPE)
		ring_drop(from->d->ring_in, n);
	else
		*(from->offset ? from->offset : &from->d->offset) += n;
}

static s64 put(const struct end *to, u64 buffer, u64 n)
{
	struct description *d = to->d;
	if (d->kind != KIND_PIPE)
		return description_write(d, buffer, n, to->offset);
	s64 r = ring_write(d->ring_out, buffer, n, to->nonblocking, false);
	if (r == -EPIPE)
		signal_send(process_self(), SIGPIPE);
	return r;
}

static s64 move_through(u64 buffer, const struct end *from, const struct end *to, u64 n)
{
	u64 done = 0;
	u32 from_serial = from->d->serial, to_serial = to->d->serial;
	while (done < n) {
		s64 got = look(from, buffer, min_u64(n - done, BUFFER_SIZE));
		if (got > 0 && to->d->serial != to_serial)
			got = -EBADF; /* closed while we waited */
		if (got <= 0)
			return done ? (s64)done : got;
		s64 moved = put(to, buffer, (u64)got);
		if (moved > 0 && from->d->serial == from_serial)
			taken(from, (u64)moved);
		done += moved > 0 ? (u64)moved : 0;
		if (moved < got)
			return done ? (s64)done : moved;
		if (from->d->kind == KIND_PIPE)
			break;
	}
	return (s64)done;
}

static s64 move(const struct end *from, const struct end *to, u64 n)
{
	if (!n)
		return 0;
	u32 page = pages_take(BUFFER_PAGES);
	if (page == NO_INDEX)
		return -ENOMEM;
	s64 r = move_through((u64)page_at(page), from, to, min_u64(n, TRANSFER_MAX));
	pages_give(page, BUFFER_PAGES);
	return r;
}

static struct end end_of(struct description *d, u64 *offset)
{
	return (struct end){d, offset, d->flags & O_NONBLOCK};
}

static int get_offset(u64 address, u64 *offset, u64 **used)
{
	*used = NULL;
	if (!address)
		return 0;
	if (GUEST_GET(*offset, address))
		return -EFAULT;
	*used = offset;
	return (s64)*offset < 0 ? -EINVAL : 0;
}

static int put_offset(u64 address, u64 offset)
{
	return address ? GUEST_PUT(address, offset) : 0;
}

static bool is_file(const struct description *d)
{
	return d->kind == KIND_HOST || d->kind == KIND_NODE || d->kind == KIND_MADE;
}

static bool may_move(const struct description *from, const struct description *to)
{
	return from && to && (to->flags & ACCESS_MODE) != O_RDONLY && (from->flags & ACCESS_MODE) != O_WRONLY;
}

s64 call_sendfile(const u64 *a)
{
	struct description *to = descriptor_open(a[0]), *from = descriptor_open(a[1]);
	u64 offset = 0, *used;
	if (!may_move(from, to))
		return -EBADF;
	if ((!is_file(from) && from->kind != KIND_DEVICE) || (to->flags & O_APPEND))
		return -EINVAL;
	int r = get_offset(a[2], &offset, &used);
	if (r)
		return r;
	struct end source = end_of(from, used), target = end_of(to, NULL);
	s64 n = move(&source, &target, a[3]);
	return put_offset(a[2], offset) ? -EFAULT : n;
}

s64 call_copy_file_range(const u64 *a)
{
	struct description *from = descriptor_open(a[0]), *to = descriptor_open(a[2]);
	u64 in = 0, out = 0, *in_used, *out_used;
	if (from && to && (from->kind == KIND_DIRECTORY || to->kind == KIND_DIRECTORY))
		return -EISDIR;
	if (!may_move(from, to) || to->flags & O_APPEND)
		return -EBADF;
	if (a[5] || !is_file(from) || !is_file(to))
		return -EINVAL;
	int r = get_offset(a[1], &in, &in_used);
	r = r ? r : get_offset(a[3], &out, &out_used);
	if (r)
		return r;
	u64 n = min_u64(a[4], TRANSFER_MAX), size = description_size(from), first = in_used ? in : from->offset,
	    second = out_used ? out : to->offset;
	n = min_u64(n, size > first ? size - first : 0);
	if (from->node != NO_INDEX && from->node == to->node && first < second + n && second < first + n)
		return -EINVAL;
	struct end source = end_of(from, in_used), target = end_of(to, out_used);
	s64 done = move(&source, &target, n);
	return put_offset(a[1], in) || put_offset(a[3], out) ? -EFAULT : done;
}

static bool is_pipe(const struct description *d)
{
	return d->kind == KIND_PIPE || d->kind == KIND_INPUT || d->kind == KIND_OUTPUT;
}

#define SPLICE_NONBLOCK 2u

s64 call_splice(const u64 *a)
{
	struct description *from = descriptor_open(a[0]), *to = descriptor_open(a[2]);
	u64 in = 0, out = 0, *in_used, *out_used;
	if (a[5] & ~0xfull)
		return -EINVAL;
	if (!may_move(from, to))
		return -EBADF;
	if (!is_pipe(from) && !is_pipe(to))
		return -EINVAL;
	if ((a[1] && is_pipe(from)) || (a[3] && is_pipe(to)))
		return -ESPIPE;
	if ((!is_pipe(from) && !is_file(from) && from->kind != KIND_DEVICE) || (to->flags & O_APPEND))
		return -EINVAL;
	if (from->kind == KIND_PIPE && to->kind == KIND_PIPE && from->ring_in == to->ring_out)
		return -EINVAL;
	int r = get_offset(a[1], &in, &in_used);
	r = r ? r : get_offset(a[3], &out, &out_used);
	if (r)
		return r;
	struct end source = end_of(from, in_used), target = end_of(to, out_used);
	source.nonblocking |= (a[5] & SPLICE_NONBLOCK) != 0;
	target.nonblocking |= (a[5] & SPLICE_NONBLOCK) != 0;
	s64 n = move(&source, &target, min_u64(a[4], RING_SIZE));
	return put_offset(a[1], in) || put_offset(a[3], out) ? -EFAULT : n;
}

s64 call_tee(const u64 *a)
{
	struct description *from = descriptor_open(a[0]), *to = descriptor_open(a[1]);
	if (!may_move(from, to))
		return -EBADF;
	if (from->kind != KIND_PIPE || to->kind != KIND_PIPE)
		return is_pipe(from) && is_pipe(to) ? refuse("tee(standard stream)", EINVAL)
		                                    : -EINVAL; /* callers fall back to read and write */
	if (from->ring_in == to->ring_out || (a[3] & ~0xfull))
		return -EINVAL;
	struct end source = end_of(from, NULL), target = end_of(to, NULL);
	source.nonblocking = target.nonblocking = (a[3] & SPLICE_NONBLOCK) || source.nonblocking;
	u32 page = pages_take(BUFFER_PAGES);
	if (page == NO_INDEX)
		return -ENOMEM;
	u32 serial = to->serial;
	s64 n = look(&source, (u64)page_at(page), min_u64(a[2], BUFFER_SIZE));
	if (n > 0)
		n = to->serial == serial ? put(&target, (u64)page_at(page), (u64)n) : -EBADF;
	pages_give(page, BUFFER_PAGES);
	return n;
}

s64 call_vmsplice(const u64 *a)
{
	struct description *d = descriptor_open(a[0]);
	if (!d || !is_pipe(d))
		return -EBADF;
	if (a[3] & ~0xfull)
		return -EINVAL;
	return (d->flags & ACCESS_MODE) == O_RDONLY ? call_readv(a) : call_writev(a);
}
