/*
 * Moving bytes: read, write, their vectored and positioned forms, and seeking. Addresses come checked against the
 * guest's range where a call enters, so that below that point a buffer may also be the monitor's own.
 */
#include "files.h"

#define TRANSFER_MAX 0x7ffff000ull
#define HASH_SEED 4 /* bytes of /dev/urandom that Perl reads for one */

/* --- reading --- */

static s64 read_device(u32 device, u64 to, u64 n)
{
	u8 some[256];
	switch (device) {
	case DEVICE_NULL: return 0;
	case DEVICE_ZERO:
	case DEVICE_FULL: return put_zeros(to, n) ? -EFAULT : (s64)n;
	default:
		n = min_u64(n, 32 << 20);
		random_for_start(n == HASH_SEED ? n : NEVER);
		for (u64 done = 0; done < n;) {
			u64 step = min_u64(sizeof some, n - done);
			random_bytes(some, step);
			if (put_bytes(to + done, some, step))
				return done ? (s64)done : -EFAULT;
			done += step;
		}
		return (s64)n;
	}
}

/* As much as is asked for, up to the end: a short read would depend on the host. */
static s64 read_native(const struct description *d, u64 size, u64 to, u64 n, u64 offset)
{
	u64 done = 0;
	if ((s64)offset < 0)
		return -EINVAL;
	while (done < n) {
		s64 got = native_pread(d->native_fd, to + done, n - done, offset + done);
		if (got == -EINTR || (got == -EFAULT && memory_fault(to + done)))
			continue;
		if (got < 0 && got != -EFAULT)
			host_failed("the host cannot read a file", got);
		if (got <= 0)
			return done ? (s64)done : got;
		done += (u64)got;
		if (offset + done >= size)
			break;
	}
	return (s64)done;
}

static s64 read_made(const struct description *d, u64 to, u64 n, u64 offset)
{
	if (offset >= d->size)
		return 0;
	n = min_u64(n, d->size - offset);
	return put_bytes(to, (u8 *)page_at(d->page) + offset, n) ? -EFAULT : (s64)n;
}

static s64 read_any(struct description *d, u64 to, u64 n, u64 *offset)
{
	u64 *at = offset ? offset : &d->offset;
	s64 got;
	if ((d->flags & ACCESS_MODE) == O_WRONLY || d->kind == KIND_PATH || d->kind == KIND_OUTPUT)
		return -EBADF;
	n = min_u64(n, TRANSFER_MAX);
	switch (d->kind) {
	case KIND_INPUT:
		runs_part();
		got = read_native(d, arena->input_size, to, n, *at);
		break;
	case KIND_HOST: got = read_native(d, d->size, to, n, *at); break;
	case KIND_NODE: got = data_read(d->node, *at, to, n); break;
	case KIND_MADE: got = read_made(d, to, n, *at); break;
	case KIND_DEVICE: return read_device(d->device, to, n);
	case KIND_DIRECTORY: return -EISDIR;
	case KIND_PIPE:
		return d->ring_in == NO_INDEX ? -EBADF : ring_read(d->ring_in, to, n, d->flags & O_NONBLOCK, false);
	case KIND_SOCKET: return socket_read(d, to, n, 0);
	case KIND_EVENT:
	case KIND_TIMER:
	case KIND_SIGNAL: return event_read(d, to, n);
	default: return -EINVAL;
	}
	if (got > 0)
		*at += (u64)got;
	return got;
}

s64 description_read(struct description *d, u64 to, u64 n, u64 *offset)
{
	s64 got = read_any(d, to, n, offset);
	if (got > 0)
		arena->bytes_read += (u64)got;
	return got;
}

/* --- writing --- */

/* stdout and stderr: straight from guest memory into the result; the limit is inclusive. */
static s64 write_output(struct description *d, u64 from, u64 n)
{
	runs_part();
	u64 *written = &arena->output_written[d->device];
	u64 allowed = min_u64(n, arena->output_limit - *written), done = 0;
	while (done < allowed) {
		s64 put = native_write(d->native_fd, from + done, allowed - done);
		if (put == -EINTR || (put == -EFAULT && memory_fault(from + done)))
			continue;
		if (put == -EFAULT)
			return done ? (s64)done : put;
		if (put <= 0)
			host_failed("the host cannot keep what was written", put ? put : -EIO);
		done += (u64)put;
		*written += (u64)put;
	}
	if (allowed < n)
		run_end(ZVM_REPORT_OUTPUT_LIMIT, 0,
		        d->device ? "stderr reached the output limit" : "stdout reached the output limit");
	return (s64)done;
}

static s64 write_node(struct description *d, u64 from, u64 n, u64 *at)
{
	const struct node *node = node_at(d->node);
	u64 limit = process_self()->limits[RLIMIT_FSIZE][0];
	if (d->flags & O_APPEND)
		*at = node->size;
	if ((node->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) ||
	    ((node->seals & F_SEAL_GROW) && n && *at + n > node->size))
		return -EPERM;
	if (n && *at >= limit) {
		signal_send(process_self(), SIGXFSZ);
		return -EFBIG;
	}
	s64 put = data_write(d->node, *at, from, min_u64(n, limit - *at));
	if (put > 0)
		*at += (u64)put;
	return put;
}

/* Writing for nobody raises a signal, too. */
static s64 told(s64 result)
{
	if (result == -EPIPE)
		signal_send(process_self(), SIGPIPE);
	return result;
}

static s64 write_any(struct description *d, u64 from, u64 n, u64 *offset)
{
	if ((d->flags & ACCESS_MODE) == O_RDONLY || d->kind == KIND_PATH)
		return -EBADF;
	n = min_u64(n, TRANSFER_MAX);
	switch (d->kind) {
	case KIND_OUTPUT: return write_output(d, from, n);
	case KIND_NODE: return write_node(d, from, n, offset ? offset : &d->offset);
	case KIND_DEVICE: return d->device == DEVICE_FULL ? -ENOSPC : (s64)n;
	case KIND_PIPE:
		return d->ring_out == NO_INDEX ? -EBADF
		                               : told(ring_write(d->ring_out, from, n, d->flags & O_NONBLOCK, true));
	case KIND_SOCKET: return socket_write(d, from, n, 0);
	case KIND_EVENT: return event_write(d, from, n);
	default: return -EINVAL;
	}
}

s64 description_write(struct description *d, u64 from, u64 n, u64 *offset)
{
	s64 put = write_any(d, from, n, offset);
	if (put > 0)
		arena->bytes_written += (u64)put;
	return put;
}

bool seekable(const struct description *d)
{
	return d->kind == KIND_HOST || d->kind == KIND_NODE || d->kind == KIND_MADE || d->kind == KIND_DIRECTORY ||
	       d->kind == KIND_DEVICE;
}

/* --- the calls --- */

static s64 transfer(u64 fd, u64 address, u64 n, u64 *offset, bool write)
{
	struct description *d = descriptor_open(fd);
	if (!d)
		return -EBADF;
	if (offset && !seekable(d))
		return -ESPIPE;
	if (offset && (s64)*offset < 0)
		return -EINVAL;
	if ((d->flags & ACCESS_MODE) == (write ? O_RDONLY : O_WRONLY))
		return -EBADF;
	if (!guest_range(address, n))
		return -EFAULT;
	return write ? description_write(d, address, n, offset) : description_read(d, address, n, offset);
}

s64 call_read(const u64 *a)
{
	return transfer(a[0], a[1], a[2], NULL, false);
}

s64 call_write(const u64 *a)
{
	return transfer(a[0], a[1], a[2], NULL, true);
}

s64 call_pread64(const u64 *a)
{
	u64 offset = a[3];
	return transfer(a[0], a[1], a[2], &offset, false);
}

s64 call_pwrite64(const u64 *a)
{
	u64 offset = a[3];
	return transfer(a[0], a[1], a[2], &offset, true);
}

s64 vectors_check(u64 vectors, u64 count)
{
	u64 sum = 0;
	if (count > VECTORS_MAX)
		return -EINVAL;
	for (u64 i = 0; i < count; i++) {
		struct vector v;
		if (guest_read(&v, vectors + i * sizeof v, sizeof v))
			return -EFAULT;
		if ((s64)v.size < 0)
			return -EINVAL;
		if (!guest_range(v.base, v.size))
			return -EFAULT;
		sum = min_u64(sum + v.size, TRANSFER_MAX);
	}
	return (s64)sum;
}

/* Each part in turn, until one is not done whole. */
static s64 each_vector(u64 fd, u64 vectors, u64 count, bool write, u64 *offset)
{
	struct description *d = descriptor_open(fd);
	s64 done = 0;
	if (!d || (d->flags & ACCESS_MODE) == (write ? O_RDONLY : O_WRONLY))
		return -EBADF;
	if (offset && !seekable(d))
		return -ESPIPE;
	s64 sum = vectors_check(vectors, count);
	if (sum <= 0)
		return sum;
	u32 serial = d->serial;
	/* What fits into PIPE_BUF goes into a pipe together. */
	if (write && d->kind == KIND_PIPE && sum <= 4096 && d->ring_out != NO_INDEX) {
		s64 r = ring_wait_room(d->ring_out, (u64)sum, d->flags & O_NONBLOCK);
		if (r)
			return told(r);
	}
	for (u64 i = 0; i < count && d->serial == serial; i++) {
		struct vector v;
		if (guest_read(&v, vectors + i * sizeof v, sizeof v) || !guest_range(v.base, v.size))
			return done ? done : -EFAULT;
		v.size = min_u64(v.size, TRANSFER_MAX - (u64)done);
		if (!v.size)
			continue;
		/* A pipe or socket that has given something must not block for the next part. */
		if (!write && done && !seekable(d) && d->kind != KIND_INPUT && !(description_ready(d) & POLLIN))
			break;
		s64 r = write ? description_write(d, v.base, v.size, offset)
		              : description_read(d, v.base, v.size, offset);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((u64)r < v.size)
			break;
	}
	return done;
}

s64 call_readv(const u64 *a)
{
	return each_vector(a[0], a[1], a[2], false, NULL);
}

s64 call_writev(const u64 *a)
{
	return each_vector(a[0], a[1], a[2], true, NULL);
}

static s64 positioned(const u64 *a, bool write, bool may_be_current)
{
	u64 offset = a[3];
	if (may_be_current && offset == UINT64_MAX)
		return each_vector(a[0], a[1], a[2], write, NULL);
	return (s64)offset < 0 ? -EINVAL : each_vector(a[0], a[1], a[2], write, &offset);
}

s64 call_preadv(const u64 *a)
{
	return positioned(a, false, false);
}

s64 call_pwritev(const u64 *a)
{
	return positioned(a, true, false);
}

/* RWF_HIPRI, _DSYNC and _SYNC ask for a haste that memory has anyway; the others mean something. */
#define HASTE 7ull
#define AT_THE_END 16ull /* RWF_APPEND */

s64 call_preadv2(const u64 *a)
{
	return a[5] & ~HASTE ? -EOPNOTSUPP : positioned(a, false, true);
}

/* Each part of an appending write begins where the file ends, as with O_APPEND; only this call sees the flag. */
static s64 append(const u64 *a)
{
	struct description *d = descriptor_open(a[0]);
	if (!d)
		return -EBADF;
	u32 flags = d->flags, serial = d->serial;
	d->flags |= O_APPEND;
	s64 r = positioned(a, true, true);
	if (d->serial == serial)
		d->flags = (d->flags & ~(u32)O_APPEND) | (flags & O_APPEND);
	return r;
}

s64 call_pwritev2(const u64 *a)
{
	if (a[5] & ~(HASTE | AT_THE_END))
		return -EOPNOTSUPP;
	return a[5] & AT_THE_END ? append(a) : positioned(a, true, true);
}

/* --- seeking --- */

u64 description_size(const struct description *d)
{
	return d->kind == KIND_NODE ? node_at(d->node)->size : d->size;
}

/* SEEK_DATA and SEEK_HOLE: only private files have holes. */
static s64 seek_data(const struct description *d, s64 offset, bool hole)
{
	u64 size = description_size(d);
	if (offset < 0 || (u64)offset >= size)
		return -ENXIO;
	if (d->kind != KIND_NODE)
		return hole ? (s64)size : offset;
	u64 found = data_seek(d->node, (u64)offset, hole);
	return !hole && found >= size ? -ENXIO : (s64)found;
}

s64 call_lseek(const u64 *a)
{
	struct description *d = descriptor_open(a[0]);
	s64 offset = (s64)a[1];
	u32 whence = (u32)a[2];
	if (!d)
		return -EBADF;
	if (whence > 4)
		return -EINVAL;
	if (d->kind == KIND_DEVICE || d->kind == KIND_EVENT || d->kind == KIND_TIMER || d->kind == KIND_SIGNAL ||
	    d->kind == KIND_EPOLL)
		return 0; /* they have no position, and nobody minds */
	if (!seekable(d))
		return -ESPIPE;
	if (whence > 2 && d->kind != KIND_DIRECTORY) {
		offset = seek_data(d, offset, whence == 4);
		if (offset < 0)
			return offset;
	} else if (whence &&
	           __builtin_add_overflow(offset, (s64)(whence == 1 ? d->offset : description_size(d)), &offset)) {
		return -EINVAL;
	}
	if (offset < 0)
		return -EINVAL;
	if (d->kind == KIND_DIRECTORY && offset == 0 && d->listed) { /* rewinddir: look again */
		if (d->page != NO_INDEX)
			pages_give(d->page, d->page_count);
		d->page = NO_INDEX;
		d->size = 0;
		d->listed = false;
	}
	d->offset = (u64)offset;
	return offset;
}
