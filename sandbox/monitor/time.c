/*
 * Time in a box: one clock, 2000-01-01T00:00:00Z at the start, one microsecond further at every query and the whole
 * length of every sleep, which returns at once. CPU clocks, times and getrusage tell the same time
 * as if the program had done nothing but compute; the monotonic clocks started 1000 s earlier, at "boot".
 */
#include "internal.h"

#define BOOT_NS (1000ull * 1000000000ull)
#define SECOND_NS 1000000000ull
#define QUERY_NS 1000u

struct timespec64 {
	s64 seconds, nanoseconds;
};
struct timeval64 {
	s64 seconds, microseconds;
};

u64 clock_peek(void)
{
	return arena->clock_ns;
}

u64 clock_query(void)
{
	arena->clock_ns += QUERY_NS;
	return arena->clock_ns;
}

void clock_advance_to(u64 ns)
{
	if (ns > arena->clock_ns)
		arena->clock_ns = ns;
}

u64 clock_tsc(void)
{
	return clock_query() - EPOCH_NS + BOOT_NS;
}

static bool clock_known(u64 clock)
{
	return clock <= 11 && clock != 10;
}

/* REALTIME, REALTIME_COARSE, REALTIME_ALARM and TAI count from 1970. */
static bool clock_is_wall(u64 clock)
{
	return clock == 0 || clock == 5 || clock == 8 || clock == 11;
}

static u64 clock_origin(u64 clock)
{
	if (clock_is_wall(clock))
		return 0;
	return clock == 2 || clock == 3 ? EPOCH_NS : EPOCH_NS - BOOT_NS;
}

/* The CPU clocks of processes and threads by number are negative ids; they are this process's. */
static bool clock_read(u64 clock, u64 *ret)
{
	if ((s64)(s32)clock < 0)
		clock = 2;
	if (!clock_known(clock))
		return false;
	*ret = clock_query() - clock_origin(clock);
	return true;
}

static int put_timespec(u64 to, u64 ns)
{
	struct timespec64 t = {(s64)(ns / SECOND_NS), (s64)(ns % SECOND_NS)};
	return GUEST_PUT(to, t);
}

/* 0 and ns, capped so that sums cannot overflow; -EFAULT or -EINVAL. */
int get_timespec(u64 from, u64 *ns)
{
	struct timespec64 t;
	if (GUEST_GET(t, from))
		return -EFAULT;
	if (t.seconds < 0 || t.nanoseconds < 0 || t.nanoseconds >= (s64)SECOND_NS)
		return -EINVAL;
	*ns = t.seconds > 4000000000ll ? 4000000000ull * SECOND_NS : (u64)t.seconds * SECOND_NS + (u64)t.nanoseconds;
	return 0;
}

s64 call_clock_gettime(const u64 *a)
{
	u64 ns;
	if (!clock_read(a[0], &ns))
		return -EINVAL;
	return put_timespec(a[1], ns);
}

s64 call_clock_getres(const u64 *a)
{
	if ((s64)(s32)a[0] >= 0 && !clock_known(a[0]))
		return -EINVAL;
	return a[1] ? put_timespec(a[1], QUERY_NS) : 0;
}

s64 call_gettimeofday(const u64 *a)
{
	u64 ns = clock_query();
	struct timeval64 t = {(s64)(ns / SECOND_NS), (s64)(ns % SECOND_NS / 1000)};
	u32 zone[2] = {0, 0};
	if (a[0] && GUEST_PUT(a[0], t))
		return -EFAULT;
	return a[1] ? GUEST_PUT(a[1], zone) : 0;
}

s64 call_time(const u64 *a)
{
	s64 seconds = (s64)(clock_query() / SECOND_NS);
	if (a[0] && GUEST_PUT(a[0], seconds))
		return -EFAULT;
	return seconds;
}

s64 call_times(const u64 *a)
{
	u64 ticks = (clock_query() - EPOCH_NS) / (SECOND_NS / 100);
	u64 t[4] = {ticks, 0, 0, 0};
	if (a[0] && GUEST_PUT(a[0], t))
		return -EFAULT;
	return (s64)(ticks + BOOT_NS / (SECOND_NS / 100));
}

s64 call_getrusage(const u64 *a)
{
	s64 who = (s32)a[0];
	if (who < -1 || who > 1)
		return -EINVAL;
	u64 ns = clock_query() - EPOCH_NS;
	u64 usage[18] = {0};
	if (who != -1) {
		usage[0] = ns / SECOND_NS;
		usage[1] = ns % SECOND_NS / 1000;
		usage[4] = 8192; /* ru_maxrss: a constant, as the true one depends on the host */
	}
	return GUEST_PUT(a[1], usage);
}

static s64 sleep_until(u64 deadline, u64 remaining_to)
{
	u64 channel = channel_sleep(current_task);
	while (clock_peek() < deadline) {
		int r = block(channel, deadline);
		if (r == -EINTR) {
			if (remaining_to)
				put_timespec(remaining_to, deadline > clock_peek() ? deadline - clock_peek() : 0);
			return -EINTR;
		}
	}
	return 0;
}

s64 call_nanosleep(const u64 *a)
{
	u64 ns;
	int r = get_timespec(a[0], &ns);
	return r ? r : sleep_until(clock_peek() + ns, a[1]);
}

s64 call_clock_nanosleep(const u64 *a)
{
	u64 ns;
	bool absolute = a[1] & 1;
	if ((s64)(s32)a[0] >= 0 && !clock_known(a[0]))
		return -EINVAL;
	if (a[0] == 3)
		return -EINVAL; /* a thread's own CPU clock cannot be slept on */
	int r = get_timespec(a[2], &ns);
	if (r)
		return r;
	if (!absolute)
		return sleep_until(clock_peek() + ns, a[3]);
	return sleep_until(ns + clock_origin((s64)(s32)a[0] < 0 ? 2 : a[0]), 0);
}

/* --- timers --- */

static u64 earliest(const struct process *process)
{
	u64 first = NEVER;
	for (u32 i = 0; i < TIMERS_MAX; i++)
		if (process->timers[i].in_use)
			first = min_u64(first, process->timers[i].deadline);
	return first;
}

u64 timers_next(void)
{
	u64 first = NEVER;
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use && !arena->processes[i].zombie)
			first = min_u64(first, earliest(&arena->processes[i]));
	return first;
}

static void timer_fire(struct process *process, struct timer *timer)
{
	u64 missed = 0;
	if (timer->interval) {
		missed = (arena->clock_ns - timer->deadline) / timer->interval;
		timer->deadline += (missed + 1) * timer->interval;
	} else {
		timer->deadline = NEVER;
	}
	s32 id = (s32)(timer - process->timers), code = id < FIRST_OWN_TIMER ? 0x80 /* SI_KERNEL */ : -2 /* SI_TIMER */;
	if (!timer->signal)
		return;
	/* While one waits to be told, another counts. */
	bool waits = signal_posted(process, timer->thread, timer->signal, code, id);
	timer->overrun = (s32)min_u64(missed + (waits ? (u64)timer->overrun + 1 : 0), 0x7fffffff);
	if (waits)
		return;
	const struct signal_info info = {.code = code, .pid = id, .value = timer->value};
	if (timer->thread)
		(void)signal_post_thread(timer->thread, timer->signal, &info);
	else
		(void)signal_post(process, timer->signal, &info);
}

void timers_fire(void)
{
	for (u32 i = 0; i < arena->process_count; i++) {
		struct process *process = &arena->processes[i];
		if (!process->in_use || process->zombie)
			continue;
		for (u32 t = 0; t < TIMERS_MAX; t++)
			if (process->timers[t].in_use && process->timers[t].deadline <= arena->clock_ns)
				timer_fire(process, &process->timers[t]);
	}
	arena->next_timer = timers_next();
}

static u64 remaining(const struct timer *timer)
{
	if (!timer->in_use || timer->deadline == NEVER)
		return 0;
	return timer->deadline > arena->clock_ns ? timer->deadline - arena->clock_ns : 1;
}

static void arm(struct timer *timer, u64 first, u64 interval)
{
	timer->in_use = 1;
	timer->deadline = first ? arena->clock_ns + first : NEVER;
	timer->interval = interval;
	arena->next_timer = min_u64(arena->next_timer, timer->deadline);
}

static const s32 interval_signal[3] = {SIGALRM, SIGVTALRM, SIGPROF};

s64 call_alarm(const u64 *a)
{
	struct timer *timer = &process_self()->timers[0];
	u64 left = (remaining(timer) + SECOND_NS - 1) / SECOND_NS;
	timer->signal = SIGALRM;
	arm(timer, (u64)(u32)a[0] * SECOND_NS, 0);
	return (s64)left;
}

static int put_interval(u64 to, const struct timer *timer)
{
	u64 left = remaining(timer), interval = timer->in_use ? timer->interval : 0;
	struct timeval64 t[2] = {{(s64)(interval / SECOND_NS), (s64)(interval % SECOND_NS / 1000)},
	                         {(s64)(left / SECOND_NS), (s64)(left % SECOND_NS / 1000)}};
	return GUEST_PUT(to, t);
}

s64 call_getitimer(const u64 *a)
{
	if (a[0] > 2)
		return -EINVAL;
	return put_interval(a[1], &process_self()->timers[a[0]]);
}

s64 call_setitimer(const u64 *a)
{
	if (a[0] > 2)
		return -EINVAL;
	struct timer *timer = &process_self()->timers[a[0]];
	struct timeval64 t[2] = {{0, 0}, {0, 0}};
	if (a[1] && GUEST_GET(t, a[1]))
		return -EFAULT;
	for (int i = 0; i < 2; i++)
		if (t[i].seconds < 0 || t[i].microseconds < 0 || t[i].microseconds >= 1000000)
			return -EINVAL;
	if (a[2] && put_interval(a[2], timer))
		return -EFAULT;
	timer->signal = interval_signal[a[0]];
	arm(timer, min_u64((u64)t[1].seconds, 4000000000ull) * SECOND_NS + (u64)t[1].microseconds * 1000,
	    min_u64((u64)t[0].seconds, 4000000000ull) * SECOND_NS + (u64)t[0].microseconds * 1000);
	return 0;
}

/* struct sigevent: value, signal, how, thread. */
struct signal_event {
	u64 value;
	s32 signal, notify, thread, padding[11];
};

/* Is it a thread of the current process? */
static bool own_thread(s32 tid)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].tid == tid && arena->tasks[i].process == task_self()->process &&
		    arena->tasks[i].state != TASK_FREE && arena->tasks[i].state != TASK_ZOMBIE)
			return true;
	return false;
}

#define NOTIFY_NONE 1
#define NOTIFY_THREAD 4 /* SIGEV_THREAD_ID; SIGEV_THREAD (2) is a signal like any other to the kernel */

s64 call_timer_create(const u64 *a)
{
	struct signal_event event = {.signal = SIGALRM, .notify = 0};
	if ((s64)(s32)a[0] >= 0 && !clock_known(a[0]))
		return -EINVAL;
	if (a[1] && GUEST_GET(event, a[1]))
		return -EFAULT;
	if (event.notify < 0 || event.notify > NOTIFY_THREAD || event.notify == 3)
		return -EINVAL;
	if (event.notify != NOTIFY_NONE && (event.signal < 1 || event.signal > 64))
		return -EINVAL;
	s32 thread = event.notify == NOTIFY_THREAD ? event.thread : 0;
	if (event.notify == NOTIFY_THREAD && !own_thread(thread))
		return -EINVAL;
	struct process *process = process_self();
	for (s32 i = FIRST_OWN_TIMER; i < TIMERS_MAX; i++) {
		struct timer *timer = &process->timers[i];
		if (timer->in_use)
			continue;
		if (GUEST_PUT(a[2], i))
			return -EFAULT;
		*timer = (struct timer){.in_use = 1,
		                        .signal = event.notify == NOTIFY_NONE ? 0 : event.signal,
		                        .thread = thread,
		                        .deadline = NEVER,
		                        .value = a[1] ? event.value : (u64)i};
		return 0;
	}
	return -EAGAIN;
}

static struct timer *timer_of(u64 id)
{
	if (id < FIRST_OWN_TIMER || id >= TIMERS_MAX || !process_self()->timers[id].in_use)
		return NULL;
	return &process_self()->timers[id];
}

static int put_timer(u64 to, const struct timer *timer)
{
	u64 left = remaining(timer);
	struct timespec64 t[2] = {{(s64)(timer->interval / SECOND_NS), (s64)(timer->interval % SECOND_NS)},
	                          {(s64)(left / SECOND_NS), (s64)(left % SECOND_NS)}};
	return GUEST_PUT(to, t);
}

s64 call_timer_settime(const u64 *a)
{
	struct timer *timer = timer_of(a[0]);
	u64 interval, first, given[4];
	if (GUEST_GET(given, a[2]))
		return -EFAULT;
	if (!timer)
		return -EINVAL;
	int r = get_timespec(a[2], &interval);
	if (!r)
		r = get_timespec(a[2] + 16, &first);
	if (r)
		return r;
	if (a[3] && put_timer(a[3], timer))
		return -EFAULT;
	if (first && (a[1] & 1)) { /* absolute: on the wall clock if it is that large, else since boot */
		u64 now = arena->clock_ns;
		u64 at = first > EPOCH_NS / 2 ? first : first + EPOCH_NS - BOOT_NS;
		first = at > now ? at - now : 1;
	}
	arm(timer, first, interval);
	return 0;
}

s64 call_timer_gettime(const u64 *a)
{
	struct timer *timer = timer_of(a[0]);
	return timer ? put_timer(a[1], timer) : -EINVAL;
}

s64 call_timer_getoverrun(const u64 *a)
{
	struct timer *timer = timer_of(a[0]);
	return timer ? timer->overrun : -EINVAL;
}

s64 call_timer_delete(const u64 *a)
{
	struct timer *timer = timer_of(a[0]);
	if (!timer)
		return -EINVAL;
	*timer = (struct timer){0};
	return 0;
}

static s64 read_adjustment(u64 address)
{
	u64 state[26] = {0};
	if (GUEST_GET(state, address))
		return -EFAULT;
	if ((u32)state[0])
		return refuse("adjtimex(set)", EPERM);
	memset(state, 0, sizeof state);
	return GUEST_PUT(address, state) ? -EFAULT : 5; /* TIME_ERROR: unsynchronised */
}

s64 call_adjtimex(const u64 *a)
{
	return read_adjustment(a[0]);
}

s64 call_clock_adjtime(const u64 *a)
{
	if (a[0] == 0)
		return read_adjustment(a[1]);
	return clock_known((u32)a[0]) ? -EOPNOTSUPP : -EINVAL;
}
