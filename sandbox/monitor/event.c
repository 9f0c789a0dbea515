/* eventfd, timerfd and signalfd: counters that can be polled. */
#include "files.h"

#define COUNTER_MAX 0xfffffffffffffffeull
#define SEMAPHORE 1u
#define BOOT_OFFSET (EPOCH_NS - 1000ull * 1000000000ull) /* the monotonic clock's zero (time.c) */

static s64 make(u32 kind, u64 flags, u32 *index)
{
	*index = description_new(kind, O_RDWR | ((u32)flags & O_NONBLOCK));
	return *index == NO_INDEX ? -ENFILE : 0;
}

static s64 make_event(u64 value, u64 flags)
{
	u32 index;
	if (flags & ~(u64)(SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	s64 r = make(KIND_EVENT, flags, &index);
	if (r)
		return r;
	description_at(index)->value = (u32)value;
	description_at(index)->device = flags & SEMAPHORE;
	return descriptor_put(index, flags & O_CLOEXEC, 0);
}

s64 call_eventfd(const u64 *a)
{
	return make_event(a[0], 0);
}

s64 call_eventfd2(const u64 *a)
{
	return make_event(a[0], a[1]);
}

/* How often a timer has expired since it was last read; 0: not yet. */
static u64 expirations(const struct description *d)
{
	if (!d->deadline || d->deadline > clock_peek())
		return 0;
	return d->interval ? 1 + (clock_peek() - d->deadline) / d->interval : 1;
}

static u64 take_expirations(struct description *d)
{
	u64 n = expirations(d);
	if (n)
		d->deadline = d->interval ? d->deadline + n * d->interval : 0;
	return n;
}

static u64 signals_ready(const struct description *d)
{
	return (task_self()->signal_pending | process_self()->signal_pending) & d->value;
}

/* Until anything changes; -EBADF: meanwhile it has been closed. */
static s64 wait_ready(const struct description *d, u64 deadline)
{
	u32 serial = d->serial;
	if (d->flags & O_NONBLOCK)
		return -EAGAIN;
	if (block(channel_poll(), deadline) == -EINTR)
		return -EINTR;
	return d->serial == serial ? 0 : -EBADF;
}

/* Takes the lowest of the signals that are ready, as struct signalfd_siginfo. */
static void take_signal(const struct description *d, u8 out[128])
{
	u32 uid = 1000;
	struct signal_info info;
	u32 number = (u32)signal_take(d->value, &info);
	memset(out, 0, 128);
	memcpy(out, &number, 4);
	memcpy(out + 8, &info.code, 4);
	memcpy(out + 12, &info.pid, 4);
	memcpy(out + 16, &uid, 4);
	memcpy(out + 40, &info.status, 4);
	memcpy(out + 44, &info.value, 4);
	memcpy(out + 48, &info.value, 8);
}

/* As many as there are and fit, waiting for the first alone. */
static s64 read_signals(struct description *d, u64 to, u64 n)
{
	u8 out[128];
	u64 done = 0;
	if (n < sizeof out)
		return -EINVAL;
	while (!signals_ready(d)) {
		s64 r = wait_ready(d, NEVER);
		if (r)
			return r;
	}
	for (; n - done >= sizeof out && signals_ready(d); done += sizeof out) {
		take_signal(d, out);
		if (put_bytes(to + done, out, sizeof out))
			return done ? (s64)done : -EFAULT;
	}
	return (s64)done;
}

s64 event_read(struct description *d, u64 to, u64 n)
{
	u64 value;
	if (d->kind == KIND_SIGNAL)
		return read_signals(d, to, n);
	if (n < 8)
		return -EINVAL;
	while (!(value = d->kind == KIND_TIMER ? take_expirations(d) : d->value)) {
		s64 r = wait_ready(d, d->kind == KIND_TIMER && d->deadline ? d->deadline : NEVER);
		if (r)
			return r;
	}
	if (d->kind == KIND_EVENT) {
		value = d->device & SEMAPHORE ? 1 : value;
		d->value -= value;
		d->activity++;
		readiness_changed();
	}
	return put_bytes(to, &value, sizeof value) ? -EFAULT : 8;
}

s64 event_write(struct description *d, u64 from, u64 n)
{
	u64 value;
	if (n < 8 || d->kind != KIND_EVENT)
		return -EINVAL;
	if (get_bytes(&value, from, sizeof value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	while (value > COUNTER_MAX - d->value) {
		s64 r = wait_ready(d, NEVER);
		if (r)
			return r;
	}
	d->value += value;
	d->activity++;
	readiness_changed();
	return 8;
}

s64 call_timerfd_create(const u64 *a)
{
	u32 index;
	if ((a[0] != 0 && a[0] != 1 && a[0] != 7 && a[0] != 8 && a[0] != 9) || (a[1] & ~(u64)(O_CLOEXEC | O_NONBLOCK)))
		return -EINVAL;
	s64 r = make(KIND_TIMER, a[1], &index);
	if (r)
		return r;
	description_at(index)->wall_clock = a[0] == 0 || a[0] == 8;
	return descriptor_put(index, a[1] & O_CLOEXEC, 0);
}

static struct description *timer_get(u64 fd, s64 *error)
{
	struct description *d = descriptor_get(fd, NULL);
	*error = d ? -EINVAL : -EBADF;
	return d && d->kind == KIND_TIMER ? d : NULL;
}

static int put_timer(u64 address, const struct description *d)
{
	u64 now = clock_peek(), left = 0;
	if (d->deadline > now)
		left = d->deadline - now;
	else if (d->deadline && d->interval)
		left = d->interval - (now - d->deadline) % d->interval;
	u64 t[4] = {d->interval / 1000000000u, d->interval % 1000000000u, left / 1000000000u, left % 1000000000u};
	return GUEST_PUT(address, t);
}

s64 call_timerfd_settime(const u64 *a)
{
	s64 error;
	u64 interval, first, given[4];
	struct description *d = timer_get(a[0], &error);
	if (!d)
		return error;
	if (GUEST_GET(given, a[2]))
		return -EFAULT;
	if (a[1] & ~3ull)
		return -EINVAL;
	int r = get_timespec(a[2], &interval);
	r = r ? r : get_timespec(a[2] + 16, &first);
	if (r)
		return r;
	if (a[3] && put_timer(a[3], d))
		return -EFAULT;
	d->interval = interval;
	d->activity++;
	d->deadline = !first ? 0 : !(a[1] & 1) ? clock_peek() + first : d->wall_clock ? first : first + BOOT_OFFSET;
	readiness_changed();
	return 0;
}

s64 call_timerfd_gettime(const u64 *a)
{
	s64 error;
	struct description *d = timer_get(a[0], &error);
	return d ? put_timer(a[1], d) : error;
}

static s64 make_signal(u64 fd, u64 mask_at, u64 size, u64 flags)
{
	u64 mask;
	u32 index;
	if (size != 8 || (flags & ~(u64)(O_CLOEXEC | O_NONBLOCK)))
		return -EINVAL;
	if (GUEST_GET(mask, mask_at))
		return -EFAULT;
	mask &= ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1));
	if ((s32)fd != -1) {
		struct description *d = descriptor_get(fd, NULL);
		if (!d || d->kind != KIND_SIGNAL)
			return d ? -EINVAL : -EBADF;
		d->value = mask;
		return (s64)(s32)fd;
	}
	s64 r = make(KIND_SIGNAL, flags, &index);
	if (r)
		return r;
	description_at(index)->value = mask;
	return descriptor_put(index, flags & O_CLOEXEC, 0);
}

s64 call_signalfd(const u64 *a)
{
	return make_signal(a[0], a[1], a[2], 0);
}

s64 call_signalfd4(const u64 *a)
{
	return make_signal(a[0], a[1], a[2], a[3]);
}

u64 description_activity(const struct description *d)
{
	u64 sum = d->activity;
	if (d->kind == KIND_TIMER)
		return sum + expirations(d);
	if (d->kind == KIND_SIGNAL)
		return signals_ready(d);
	if (d->ring_in != NO_INDEX)
		sum += ring_at(d->ring_in)->written + ((u64)ring_at(d->ring_in)->writers << 48);
	if (d->ring_out != NO_INDEX)
		sum += ring_at(d->ring_out)->read + ((u64)ring_at(d->ring_out)->readers << 56);
	return sum;
}

/* What is to be read and may be written, and what says that there will be no more of it. */
static u32 pipe_bits(const struct description *d)
{
	u32 ready = 0;
	if (d->ring_in != NO_INDEX)
		ready |= (ring_used(d->ring_in) ? POLLIN : 0) | (ring_at(d->ring_in)->writers ? 0 : POLLHUP);
	if (d->ring_out == NO_INDEX)
		return ready;
	if (!ring_at(d->ring_out)->readers)
		ready |= POLLOUT | POLLERR;
	else if (RING_SIZE - ring_used(d->ring_out) >= 4096)
		ready |= POLLOUT;
	return ready;
}

static u32 ready_bits(const struct description *d)
{
	switch (d->kind) {
	case KIND_EVENT: return (d->value ? POLLIN : 0) | (d->value < COUNTER_MAX ? POLLOUT : 0);
	case KIND_TIMER: return expirations(d) ? POLLIN : 0;
	case KIND_SIGNAL: return signals_ready(d) ? POLLIN : 0;
	case KIND_PIPE: return pipe_bits(d);
	case KIND_SOCKET: return socket_ready(d);
	case KIND_PROCESS: return pidfd_ready(d);
	case KIND_INPUT: runs_part(); return d->offset >= arena->input_size ? POLLHUP : POLLIN;
	case KIND_OUTPUT: return POLLOUT;
	case KIND_EPOLL: return 0; /* poll.c looks inside */
	default: return POLLIN | POLLOUT;
	}
}

u32 description_ready(const struct description *d)
{
	u32 ready = ready_bits(d);
	return ready | (ready & POLLIN ? POLLRDNORM : 0) | (ready & POLLOUT ? POLLWRNORM : 0);
}
