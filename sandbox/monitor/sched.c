/*
 * Who runs. Exactly one task of a box runs at a time; it keeps the processor until it blocks, yields, ends or has made
 * TURN_CALLS system calls, and then the runnable task that has waited longest goes on. Which one that is depends only
 * on what the tasks did, so the order is the same in every run.
 *
 * Every wait is block(channel, deadline). A wake marks waiters runnable, first come first served; they test their
 * condition again when they run. When nobody is runnable, the virtual clock jumps to the earliest deadline or timer;
 * when there is none either, everybody waits for somebody else for ever: the run ends as a deadlock at once. Who is
 * stopped (stop.c) neither runs nor lets the clock jump, and whoever waits for him waits for ever.
 */
#include "internal.h"

#define TURN_CALLS 1000

void task_interrupt(u32 index)
{
	struct task *task = &arena->tasks[index];
	task->state = TASK_RUNNABLE;
	task->sequence = ++arena->sequence;
}

static bool is_stopped(const struct task *task)
{
	return arena->stopped && arena->processes[task->process].stopped;
}

static u32 next_runnable(void)
{
	u32 best = NO_INDEX;
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].state == TASK_RUNNABLE && !is_stopped(&arena->tasks[i]) &&
		    (best == NO_INDEX || arena->tasks[i].sequence < arena->tasks[best].sequence))
			best = i;
	return best;
}

static u64 earliest_deadline(void)
{
	u64 first = NEVER;
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].state == TASK_BLOCKED && !is_stopped(&arena->tasks[i]))
			first = min_u64(first, arena->tasks[i].deadline);
	return first;
}

static void expire_deadlines(void)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].state == TASK_BLOCKED && arena->tasks[i].deadline <= arena->clock_ns)
			task_interrupt(i);
}

static NORETURN void deadlock(void)
{
	char message[256];
	struct text text = {message, 0, sizeof message};
	text_add(&text, "deadlock: ");
	for (u32 i = 0, told = 0; i < arena->task_count && told < 4; i++) {
		const struct task *task = &arena->tasks[i];
		if (!task_lives(i))
			continue;
		told++;
		if (is_stopped(task))
			text_add(&text, "task %d (%s) is stopped by %s; ", task->tid, task->name,
			         signal_name((int)arena->processes[task->process].stopped));
		else
			text_add(&text, "task %d (%s) waits in %s; ", task->tid, task->name, call_name(task->call));
	}
	text_add(&text, "and nobody is left to wake it");
	run_end(ZVM_REPORT_DEADLOCK, 0, message);
}

/* Longer than it takes all timers of a box to go off once: what still fires then are intervals that nobody hears. */
#define UNHEARD_MAX (TIMERS_MAX * PROCESSES_MAX)

/* Finds who goes on, moving the clock if everybody waits. */
u32 task_choose(void)
{
	arena->turn = arena->calls;
	for (u32 unheard = 0;; unheard++) {
		u32 next = next_runnable();
		if (next != NO_INDEX)
			return next;
		u64 deadline = earliest_deadline(), at = min_u64(deadline, arena->next_timer);
		if (at == NEVER || (deadline == NEVER && unheard > UNHEARD_MAX))
			deadlock();
		clock_advance_to(at);
		expire_deadlines();
		if (arena->clock_ns >= arena->next_timer)
			timers_fire();
	}
}

int block(u64 channel, u64 deadline)
{
	struct task *task = task_self();
	if (signal_deliverable())
		return -EINTR;
	if (deadline <= arena->clock_ns)
		return -ETIMEDOUT;
	task->channel = channel;
	task->call = (u32)current_call;
	task->deadline = deadline;
	task->sequence = ++arena->sequence;
	task->woken = task->cut_short = false;
	task->state = TASK_BLOCKED;
	task_switch(task_choose());
	task->channel = 0;
	if (task->cut_short)
		return -EINTR;
	if (task->woken)
		return 0;
	if (signal_deliverable())
		return -EINTR;
	return deadline <= arena->clock_ns ? -ETIMEDOUT : 0;
}

int block_uninterrupted(u64 channel)
{
	struct task *task = task_self();
	u64 mask = task->signal_mask;
	task->signal_mask = UINT64_MAX;
	int r = block(channel, NEVER);
	task->signal_mask = mask;
	return r;
}

void wake(u64 channel, u32 count)
{
	while (count--) {
		u32 best = NO_INDEX;
		for (u32 i = 0; i < arena->task_count; i++)
			if (arena->tasks[i].state == TASK_BLOCKED && arena->tasks[i].channel == channel &&
			    (best == NO_INDEX || arena->tasks[i].sequence < arena->tasks[best].sequence))
				best = i;
		if (best == NO_INDEX)
			return;
		arena->tasks[best].woken = true;
		task_interrupt(best);
	}
}

void yield(void)
{
	struct task *task = task_self();
	task->sequence = ++arena->sequence;
	task_switch(task_choose());
}

/* A task that polls without ever waiting would keep those from running whom it polls for. */
void yield_if_long(void)
{
	if (arena->calls - arena->turn < TURN_CALLS)
		return;
	/* Nor would an alarm go off, or a sleeper wake: where somebody waits for the time, each call counts as a query.
	 */
	if (min_u64(earliest_deadline(), arena->next_timer) != NEVER) {
		clock_advance_to(arena->clock_ns + TURN_CALLS * 1000);
		expire_deadlines();
	}
	yield();
}
