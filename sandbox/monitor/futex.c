/*
 * Futexes. A wait channel is the address in its memory, or, in memory that processes share, the place in the file that
 * is mapped: each may have it at another address. As one task runs at a time, test and wait need no lock.
 */
#include "internal.h"

#define COMMAND_MASK 0x7full
#define OWNER_DIED 0x40000000u
#define TID_MASK 0x3fffffffu
#define ROBUST_LIMIT 2048

static u64 channel_futex(u64 address)
{
	const struct area *area = memory_find(memory_self(), address);
	if (area && (area->flags & AREA_SHARED) && (area->flags & AREA_PRIVATE_FILE))
		return 8ull << 56 | (u64)area->node << 32 | (u32)(area->offset + (address - area->start));
	return 6ull << 56 | (u64)task_self()->host << 48 | address;
}

void futex_wake_guest(u64 address, u32 count)
{
	wake(channel_futex(address), count);
}

static u32 waiters(u64 channel)
{
	u32 n = 0;
	for (u32 i = 0; i < arena->task_count; i++)
		n += arena->tasks[i].state == TASK_BLOCKED && arena->tasks[i].channel == channel;
	return n;
}

static s64 wake_counted(u64 address, u64 count, u32 bits)
{
	u64 channel = channel_futex(address);
	u32 n = 0;
	while (n < count) {
		u32 best = NO_INDEX;
		for (u32 i = 0; i < arena->task_count; i++) {
			const struct task *t = &arena->tasks[i];
			if (t->state == TASK_BLOCKED && t->channel == channel && (t->futex_bits & bits) &&
			    (best == NO_INDEX || t->sequence < arena->tasks[best].sequence))
				best = i;
		}
		if (best == NO_INDEX)
			break;
		arena->tasks[best].woken = true;
		task_interrupt(best);
		n++;
	}
	return n;
}

static s64 wait(u64 address, u32 expected, u64 timeout, bool absolute, bool wall_clock, u32 bits)
{
	u32 value;
	u64 deadline = NEVER, ns;
	if (!bits)
		return -EINVAL;
	if (timeout) {
		int r = get_timespec(timeout, &ns);
		if (r)
			return r;
		/* The monotonic clock is 1000 s old at the start (time.c). */
		deadline = !absolute ? clock_peek() + ns : wall_clock ? ns : ns + EPOCH_NS - 1000ull * 1000000000ull;
	}
	if (GUEST_GET(value, address))
		return -EFAULT;
	if (value != expected)
		return -EAGAIN;
	task_self()->futex_bits = bits;
	return block(channel_futex(address), deadline);
}

static s64 requeue(const u64 *a, bool compare)
{
	u32 value;
	if (compare) {
		if (GUEST_GET(value, a[0]))
			return -EFAULT;
		if (value != (u32)a[5])
			return -EAGAIN;
	}
	s64 n = wake_counted(a[0], (u32)a[2], UINT32_MAX);
	u64 from = channel_futex(a[0]), to = channel_futex(a[4]);
	u64 moves = min_u64((u32)a[3], waiters(from));
	for (u64 moved = 0; moved < moves; moved++) {
		u32 best = NO_INDEX;
		for (u32 i = 0; i < arena->task_count; i++)
			if (arena->tasks[i].state == TASK_BLOCKED && arena->tasks[i].channel == from &&
			    (best == NO_INDEX || arena->tasks[i].sequence < arena->tasks[best].sequence))
				best = i;
		if (best == NO_INDEX)
			break;
		arena->tasks[best].channel = to;
		n++;
	}
	return n;
}

static u32 sign_extended(u32 twelve_bits)
{
	return (u32)((s32)(twelve_bits << 20) >> 20);
}

static s64 wake_op(const u64 *a)
{
	u32 op = (u32)a[5], old, new, argument = sign_extended(op >> 12), compare = sign_extended(op);
	if (GUEST_GET(old, a[4]))
		return -EFAULT;
	if (op >> 28 & 8)
		argument = 1u << (argument & 31);
	switch (op >> 28 & 7) {
	case 0: new = argument; break;
	case 1: new = old + argument; break;
	case 2: new = old | argument; break;
	case 3: new = old & ~argument; break;
	case 4: new = old ^ argument; break;
	default: return -ENOSYS;
	}
	if (GUEST_PUT(a[4], new))
		return -EFAULT;
	bool holds;
	switch (op >> 24 & 15) {
	case 0: holds = old == compare; break;
	case 1: holds = old != compare; break;
	case 2: holds = (s32)old < (s32)compare; break;
	case 3: holds = (s32)old <= (s32)compare; break;
	case 4: holds = (s32)old > (s32)compare; break;
	case 5: holds = (s32)old >= (s32)compare; break;
	default: return -ENOSYS;
	}
	s64 n = wake_counted(a[0], (u32)a[2], UINT32_MAX);
	return holds ? n + wake_counted(a[4], (u32)a[3], UINT32_MAX) : n;
}

s64 call_futex(const u64 *a)
{
	bool wall_clock = a[1] & FUTEX_CLOCK_REALTIME;
	if (a[0] % 4)
		return -EINVAL;
	switch (a[1] & COMMAND_MASK) {
	case FUTEX_WAIT: return wait(a[0], (u32)a[2], a[3], false, false, UINT32_MAX);
	case FUTEX_WAIT_BITSET: return wait(a[0], (u32)a[2], a[3], true, wall_clock, (u32)a[5]);
	case FUTEX_WAKE: return wake_counted(a[0], (u32)a[2], UINT32_MAX);
	case FUTEX_WAKE_BITSET: return a[5] ? wake_counted(a[0], (u32)a[2], (u32)a[5]) : -EINVAL;
	case FUTEX_REQUEUE: return requeue(a, false);
	case FUTEX_CMP_REQUEUE: return requeue(a, true);
	case FUTEX_WAKE_OP: return wake_op(a);
	default: return refuse("futex(priority inheritance)", ENOSYS);
	}
}

/* Locks that a dying task still holds: marked, and one waiter woken to find the mark. */
static void release_robust(const struct task *task, u64 address)
{
	u32 value;
	if (GUEST_GET(value, address) || (value & TID_MASK) != (u32)task->tid)
		return;
	value = (value & 0x80000000u) | OWNER_DIED;
	if (!GUEST_PUT(address, value))
		futex_wake_guest(address, 1);
}

void robust_list_release(const struct task *task)
{
	u64 head[3], entry;
	if (!task->robust_list || GUEST_GET(head, task->robust_list))
		return;
	entry = head[0];
	for (u32 i = 0; i < ROBUST_LIMIT && (entry & ~1ull) != task->robust_list; i++) {
		u64 next;
		if (GUEST_GET(next, entry & ~1ull))
			break;
		release_robust(task, (entry & ~1ull) + head[1]);
		entry = next;
	}
	if (head[2])
		release_robust(task, (head[2] & ~1ull) + head[1]);
}
