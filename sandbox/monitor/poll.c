/*
 * poll, select and epoll. All wait the same way: look at every descriptor; if none is ready, block on the one channel
 * that every change of readiness wakes, until the deadline or the next timerfd of the set; look again.
 */
#include "files.h"

#define EDGE (1u << 31)
#define ONE_SHOT (1u << 30)
#define ALWAYS (POLLERR | POLLHUP)

struct watch {
	u32 description, fd;
	u32 events, seen;   /* seen: what an edge-triggered watch has already told */
	u64 data, activity; /* and what had happened when it did */
};

void readiness_changed(void)
{
	wake(channel_poll(), UINT32_MAX);
}

static struct watch *watches(const struct description *epoll)
{
	return block_at(epoll->watches);
}

/* What of `ready` a watch has to tell. An edge is anything new: a bit, or more of what there was. */
static u32 to_tell(const struct watch *w, u32 ready)
{
	if ((w->events & ONE_SHOT) && !(w->events & ~(EDGE | ONE_SHOT)))
		return 0; /* told once, and not armed again */
	ready &= w->events | ALWAYS;
	if ((w->events & EDGE) && !(ready & ~w->seen) &&
	    w->activity == description_activity(description_at(w->description)))
		return 0;
	return ready;
}

static u32 ready_now(const struct description *d)
{
	if (d->kind != KIND_EPOLL)
		return description_ready(d);
	for (u32 i = 0; i < d->watch_count; i++) {
		const struct watch *w = &watches(d)[i];
		if (to_tell(w, ready_now(description_at(w->description))))
			return POLLIN | POLLRDNORM;
	}
	return 0;
}

/* A timerfd makes itself ready: waiting must not go past it. */
static u64 sooner(u64 deadline, const struct description *d)
{
	if (d->kind == KIND_TIMER && d->deadline)
		return min_u64(deadline, d->deadline);
	for (u32 i = 0; d->kind == KIND_EPOLL && i < d->watch_count; i++)
		deadline = sooner(deadline, description_at(watches(d)[i].description));
	return deadline;
}

static u64 deadline_in_ms(s64 ms)
{
	return ms < 0 ? NEVER : clock_peek() + (u64)ms * 1000000u;
}

static int deadline_at(u64 timespec, u64 *deadline)
{
	u64 ns;
	*deadline = NEVER;
	if (!timespec)
		return 0;
	int r = get_timespec(timespec, &ns); /* at most 4e18: the sum cannot overflow */
	if (r == 0)
		*deadline = clock_peek() + ns;
	return r;
}

/* --- poll --- */

struct poll_entry {
	s32 fd;
	short events, returned;
};

static s64 look(u64 address, u32 count, u64 *wait_until)
{
	s64 ready = 0;
	for (u32 i = 0; i < count; i++) {
		struct poll_entry e;
		if (guest_read(&e, address + i * sizeof e, sizeof e))
			return -EFAULT;
		e.returned = 0;
		if (e.fd >= 0) {
			const struct description *d = descriptor_open((u32)e.fd);
			e.returned = d ? (short)(ready_now(d) & ((u32)(u16)e.events | ALWAYS)) : POLLNVAL;
			if (d)
				*wait_until = sooner(*wait_until, d);
		}
		ready += e.returned != 0;
		if (guest_write(address + i * sizeof e + 6, &e.returned, sizeof e.returned))
			return -EFAULT;
	}
	return ready;
}

static s64 poll_until(u64 address, u64 count, u64 deadline)
{
	if (count > process_self()->limits[RLIMIT_NOFILE][0])
		return -EINVAL;
	for (;;) {
		u64 wait_until = deadline;
		s64 ready = look(address, (u32)count, &wait_until);
		if (ready)
			return ready;
		if (clock_peek() >= deadline)
			return 0;
		if (block(channel_poll(), wait_until) == -EINTR)
			return -EINTR;
	}
}

s64 call_poll(const u64 *a)
{
	return poll_until(a[0], (u32)a[1], deadline_in_ms((s32)a[2]));
}

static int change_mask(u64 address, u64 size)
{
	u64 mask;
	if (!address)
		return 0;
	if (size != 8)
		return -EINVAL;
	if (GUEST_GET(mask, address))
		return -EFAULT;
	signal_mask_for_call(mask);
	return 0;
}

/* The kernel tells how much of the time is left; not telling is no failure of the call. */
static void put_left(u64 address, u64 deadline, u64 unit)
{
	u64 now = clock_peek(), left = deadline > now ? deadline - now : 0;
	u64 t[2] = {left / 1000000000u, left % 1000000000u / unit};
	if (address)
		(void)GUEST_PUT(address, t);
}

s64 call_ppoll(const u64 *a)
{
	u64 deadline;
	int r = deadline_at(a[2], &deadline);
	r = r ? r : change_mask(a[3], a[4]);
	if (r)
		return r;
	s64 ready = poll_until(a[0], (u32)a[1], deadline);
	put_left(a[2], deadline, 1);
	return ready;
}

/* --- select --- */

#define SET_BYTES (DESCRIPTORS_MAX / 8)
static const u32 set_events[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

static s64 look_sets(u32 count, u8 asked[3][SET_BYTES], u8 found[3][SET_BYTES], u64 *wait_until)
{
	s64 ready = 0;
	memset(found, 0, 3 * SET_BYTES);
	for (u32 fd = 0; fd < count; fd++) {
		u32 wanted = 0;
		for (u32 s = 0; s < 3; s++)
			wanted |= asked[s][fd / 8] >> (fd % 8) & 1 ? 1u << s : 0;
		if (!wanted)
			continue;
		const struct description *d = descriptor_open(fd);
		if (!d)
			return -EBADF;
		*wait_until = sooner(*wait_until, d);
		u32 now = ready_now(d);
		for (u32 s = 0; s < 3; s++)
			if ((wanted >> s & 1) && (now & set_events[s])) {
				found[s][fd / 8] |= (u8)(1 << fd % 8);
				ready++;
			}
	}
	return ready;
}

static s64 select_until(u64 count, const u64 *sets, u64 deadline)
{
	u8 asked[3][SET_BYTES], found[3][SET_BYTES];
	s64 ready;
	if ((s32)count < 0)
		return -EINVAL;
	count = min_u64((u32)count, DESCRIPTORS_MAX);
	u64 bytes = (count + 63) / 64 * 8;
	memset(asked, 0, sizeof asked);
	for (u32 s = 0; s < 3; s++)
		if (sets[s] && guest_read(asked[s], sets[s], bytes))
			return -EFAULT;
	for (;;) {
		u64 wait_until = deadline;
		ready = look_sets((u32)count, asked, found, &wait_until);
		if (ready || clock_peek() >= deadline)
			break;
		if (block(channel_poll(), wait_until) == -EINTR)
			return -EINTR;
	}
	for (u32 s = 0; s < 3 && ready >= 0; s++)
		if (sets[s] && guest_write(sets[s], found[s], bytes))
			return -EFAULT;
	return ready;
}

s64 call_select(const u64 *a)
{
	u64 deadline = NEVER;
	if (a[4]) {
		s64 t[2];
		if (GUEST_GET(t, a[4]))
			return -EFAULT;
		if (t[0] < 0 || t[1] < 0)
			return -EINVAL;
		deadline = clock_peek() + min_u64((u64)t[0], 4000000000u) * 1000000000u +
		           min_u64((u64)t[1], 4000000000000u) * 1000u;
	}
	s64 ready = select_until(a[0], a + 1, deadline);
	put_left(a[4], deadline, 1000);
	return ready;
}

s64 call_pselect6(const u64 *a)
{
	u64 deadline, mask[2] = {0, 0};
	int r = deadline_at(a[4], &deadline);
	if (r)
		return r;
	if (a[5] && GUEST_GET(mask, a[5]))
		return -EFAULT;
	r = change_mask(mask[0], mask[1]);
	if (r)
		return r;
	s64 ready = select_until(a[0], a + 1, deadline);
	put_left(a[4], deadline, 1);
	return ready;
}

/* --- epoll --- */

static s64 make_epoll(bool close_on_exec)
{
	u32 index = description_new(KIND_EPOLL, O_RDWR);
	if (index == NO_INDEX)
		return -ENFILE;
	files()->epoll_count++;
	return descriptor_put(index, close_on_exec, 0);
}

s64 call_epoll_create(const u64 *a)
{
	return (s32)a[0] <= 0 ? -EINVAL : make_epoll(false);
}

s64 call_epoll_create1(const u64 *a)
{
	return a[0] & ~(u64)O_CLOEXEC ? -EINVAL : make_epoll(a[0] & O_CLOEXEC);
}

#define NESTING_MAX 4

/* How many epolls stand above this one, in the longest chain that watches it; more than may be is as good as many. */
static u32 nesting_above(u32 index, u32 below)
{
	u32 most = below;
	for (u32 i = 0; i < DESCRIPTIONS_MAX && below <= NESTING_MAX && most <= NESTING_MAX; i++) {
		const struct description *d = description_at(i);
		if (d->kind != KIND_EPOLL)
			continue;
		for (u32 k = 0; k < d->watch_count; k++)
			if (watches(d)[k].description == index) {
				u32 above = nesting_above(i, below + 1);
				most = above > most ? above : most;
				break;
			}
	}
	return most;
}

/*
 * Would `inner` come back to `outer`, or be nested too deep below it? Whoever asks whether an epoll is ready goes down
 * all of the chain, so that it must be short, from whichever end it grows. As Linux counts since 6.17.
 */
static bool watches_itself(const struct description *inner, const struct description *outer, u32 depth)
{
	if (inner == outer || depth > NESTING_MAX)
		return true;
	for (u32 i = 0; i < inner->watch_count; i++) {
		const struct description *d = description_at(watches(inner)[i].description);
		if (d->kind == KIND_EPOLL && watches_itself(d, outer, depth + 1))
			return true;
	}
	return false;
}

static struct watch *find_watch(const struct description *epoll, u32 description, u32 fd)
{
	for (u32 i = 0; i < epoll->watch_count; i++)
		if (watches(epoll)[i].description == description && watches(epoll)[i].fd == fd)
			return &watches(epoll)[i];
	return NULL;
}

static void drop_watch(struct description *epoll, struct watch *w)
{
	struct watch *last = &watches(epoll)[epoll->watch_count - 1];
	memmove(w, w + 1, (size_t)((u8 *)(last + 1) - (u8 *)(w + 1)));
	epoll->watch_count--;
}

static bool more_room(struct description *epoll)
{
	if (epoll->watch_count < epoll->watch_room)
		return true;
	u32 room = epoll->watch_room ? epoll->watch_room * 2 : 8;
	u32 block = block_take(room * sizeof(struct watch));
	if (!block)
		return false;
	if (epoll->watch_room) {
		memcpy(block_at(block), watches(epoll), epoll->watch_count * sizeof(struct watch));
		block_give(epoll->watches, epoll->watch_room * sizeof(struct watch));
	}
	epoll->watches = block;
	epoll->watch_room = room;
	return true;
}

/* A description that is freed leaves every epoll set. */
void epoll_forget(u32 description)
{
	for (u32 i = 0; files()->epoll_count && i < files()->description_count; i++) {
		struct description *d = description_at(i);
		for (u32 w = 0; d->kind == KIND_EPOLL && w < d->watch_count;) {
			if (watches(d)[w].description == description)
				drop_watch(d, &watches(d)[w]);
			else
				w++;
		}
	}
}

void epoll_free(struct description *d)
{
	if (d->watch_room)
		block_give(d->watches, d->watch_room * sizeof(struct watch));
	d->watch_room = d->watch_count = 0;
	files()->epoll_count--;
}

struct epoll_entry {
	u32 events;
	u64 data;
} __attribute__((packed));

s64 call_epoll_ctl(const u64 *a)
{
	u32 index, outer;
	struct epoll_entry e = {0, 0};
	struct description *epoll = descriptor_get(a[0], &outer), *d = descriptor_get(a[2], &index);
	if ((u32)a[1] != EPOLL_CTL_DEL && GUEST_GET(e, a[3]))
		return -EFAULT;
	if (!epoll || epoll->kind == KIND_PATH || !d || d->kind == KIND_PATH)
		return -EBADF;
	if (d->kind == KIND_NODE || d->kind == KIND_HOST || d->kind == KIND_DIRECTORY || d->kind == KIND_MADE ||
	    d->kind == KIND_DEVICE)
		return -EPERM;
	if (epoll->kind != KIND_EPOLL || d == epoll)
		return -EINVAL;
	if (d->kind == KIND_EPOLL && (u32)a[1] == EPOLL_CTL_ADD &&
	    watches_itself(d, epoll, nesting_above(outer, 0) + 1))
		return -ELOOP;
	struct watch *w = find_watch(epoll, index, (u32)a[2]);
	switch ((u32)a[1]) {
	case EPOLL_CTL_ADD:
		if (w)
			return -EEXIST;
		if (!more_room(epoll))
			return -ENOMEM;
		watches(epoll)[epoll->watch_count++] = (struct watch){index, (u32)a[2], e.events, 0, e.data, NEVER};
		break;
	case EPOLL_CTL_MOD:
		if (!w)
			return -ENOENT;
		*w = (struct watch){index, (u32)a[2], e.events, 0, e.data, NEVER};
		break;
	case EPOLL_CTL_DEL:
		if (!w)
			return -ENOENT;
		drop_watch(epoll, w);
		break;
	default: return -EINVAL;
	}
	readiness_changed();
	return 0;
}

static s64 collect(struct description *epoll, u64 address, u32 room, u64 *wait_until)
{
	u32 count = 0;
	*wait_until = sooner(*wait_until, epoll);
	for (u32 i = 0; i < epoll->watch_count && count < room; i++) {
		struct watch *w = &watches(epoll)[i];
		const struct description *d = description_at(w->description);
		u32 now = ready_now(d), tell = to_tell(w, now);
		if (tell) {
			struct epoll_entry e = {tell, w->data};
			if (guest_write(address + count * sizeof e, &e, sizeof e))
				return count ? (s64)count : -EFAULT;
			if (w->events & ONE_SHOT)
				w->events &= EDGE | ONE_SHOT;
			count++;
		}
		/* What has gone away may be told again when it comes back. */
		w->seen = now;
		w->activity = description_activity(d);
	}
	return count;
}

#define EVENTS_MAX (0x7fffffff / (s32)sizeof(struct epoll_entry))

static s64 epoll_until(u64 fd, u64 address, u64 room, u64 deadline)
{
	for (;;) {
		/* Looked up each time: while we waited it may have been closed. */
		struct description *epoll = descriptor_open(fd);
		if (!epoll)
			return -EBADF;
		if (epoll->kind != KIND_EPOLL || (s32)room <= 0 || (s32)room > EVENTS_MAX)
			return -EINVAL;
		u64 wait_until = deadline;
		s64 ready = collect(epoll, address, (u32)room, &wait_until);
		if (ready || clock_peek() >= deadline)
			return ready;
		if (block(channel_poll(), wait_until) == -EINTR)
			return -EINTR;
	}
}

s64 call_epoll_wait(const u64 *a)
{
	return epoll_until(a[0], a[1], a[2], deadline_in_ms((s32)a[3]));
}

s64 call_epoll_pwait(const u64 *a)
{
	int r = change_mask(a[4], a[5]);
	return r ? r : epoll_until(a[0], a[1], a[2], deadline_in_ms((s32)a[3]));
}

s64 call_epoll_pwait2(const u64 *a)
{
	u64 deadline;
	int r = deadline_at(a[3], &deadline);
	r = r ? r : change_mask(a[4], a[5]);
	return r ? r : epoll_until(a[0], a[1], a[2], deadline);
}
