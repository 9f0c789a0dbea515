/*
 * Tasks of one process are switched here, on their own alternate stacks: only the callee-saved registers, the stack
 * pointer and the FS base change hands; every task later returns to the guest through its own kernel frame.
 *
 * A new thread starts with a copy of its creator's frame at the same place of its own stack, so rt_sigreturn from there
 * gives it the creator's registers with its own stack pointer and a zero in rax.
 */
#include "internal.h"

static void set_fs_base(u64 base)
{
	native_call(__NR_arch_prctl, ARCH_SET_FS, base, 0, 0, 0, 0);
}

void token_take(u32 process)
{
	u32 *word = &arena->processes[process].token;
	while (!__atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE))
		native_call(__NR_futex, (u64)word, FUTEX_WAIT, 0, 0, 0, 0);
}

/* Until it is ours to run with. */
static void token_wait(u32 process)
{
	do
		token_take(process);
	while (peek_answer(process));
}

void token_hand(u32 process)
{
	u32 *word = &arena->processes[process].token;
	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	native_call(__NR_futex, (u64)word, FUTEX_WAKE, 1, 0, 0, 0);
}

/* In the process that now holds the token: continue the task that was chosen, on its stack. */
static void resume(u64 *save)
{
	u32 next = arena->running;
	struct task *task = &arena->tasks[next];
	current_task = next;
	memory_follow();
	set_fs_base(task->fs_base);
	gate_stack_use(task->stack_slot);
	stack_switch(save, task->saved_stack);
	/* We have it again, and faults are to arrive on our own stack. */
	stack_slot_use(task_self()->stack_slot);
}

void task_switch(u32 next)
{
	u32 self = current_task;
	u32 host = arena->tasks[self].host;
	arena->tasks[next].state = TASK_RUNNABLE;
	if (next == self)
		return;
	arena->running = next;
	if (arena->tasks[next].host != host) {
		token_hand(arena->tasks[next].host);
		token_wait(host);
		if (arena->running == self) {
			memory_follow();
			return;
		}
	}
	state_keep(task_frame(self));
	resume(&arena->tasks[self].saved_stack);
}

/* A forked child's first act: wait until the scheduler has chosen it. */
void process_first_wait(u32 process)
{
	token_wait(process);
	memory_follow();
	if (arena->running == current_task)
		return;
	state_keep(task_frame(current_task));
	resume(&arena->tasks[current_task].saved_stack);
}

void task_resume_other(void)
{
	u64 unused;
	u32 host = task_self()->host;
	u32 next = task_choose();
	arena->tasks[next].state = TASK_RUNNABLE;
	arena->running = next;
	if (arena->tasks[next].host != host) {
		token_hand(arena->tasks[next].host);
		token_wait(host);
	}
	resume(&unused);
	__builtin_unreachable();
}

/* The current task is over, and its process with it. The native one stays while it is the home of others. */
void task_leave_for_good(void)
{
	u32 host = task_self()->host;
	if (task_guest_of(host) != NO_INDEX)
		task_resume_other();
	memory_forget(&arena->processes[host]);
	u32 next = task_choose();
	arena->tasks[next].state = TASK_RUNNABLE;
	arena->running = next;
	token_hand(arena->tasks[next].host);
	native_exit(0);
}

/* The current task ends, others of its process go on. */
void thread_end(void)
{
	struct task *task = task_self();
	u32 zero = 0;
	if (task->clear_tid && !GUEST_PUT(task->clear_tid, zero))
		futex_wake_guest(task->clear_tid, 1);
	robust_list_release(task);
	task->state = TASK_ZOMBIE;
	task_resume_other();
}

bool task_lives(u32 index)
{
	return arena->tasks[index].state == TASK_RUNNABLE || arena->tasks[index].state == TASK_BLOCKED;
}

u32 task_guest_of(u32 host)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (task_lives(i) && i != current_task && arena->tasks[i].host == host)
			return i;
	return NO_INDEX;
}

/* The current task goes on in another native process, which waits for the token; here whoever comes next. */
void task_moved(u32 old_host)
{
	u64 unused;
	arena->running = current_task;
	token_hand(task_self()->host);
	token_wait(old_host);
	resume(&unused);
	__builtin_unreachable();
}

u32 task_new(void)
{
	for (u32 i = 0; i < TASKS_MAX; i++)
		if (arena->tasks[i].state == TASK_FREE || (arena->tasks[i].state == TASK_ZOMBIE && i != current_task)) {
			if (i >= arena->task_count)
				arena->task_count = i + 1;
			memset(&arena->tasks[i], 0, sizeof arena->tasks[i]);
			return i;
		}
	return NO_INDEX;
}

/* A stack slot that no task of this process uses. */
static u32 free_slot(void)
{
	for (u32 slot = 0; slot < TASKS_MAX; slot++) {
		bool used = false;
		for (u32 i = 0; i < arena->task_count && !used; i++)
			used = task_lives(i) && arena->tasks[i].host == task_self()->host &&
			       arena->tasks[i].stack_slot == slot;
		if (!used)
			return slot;
	}
	return NO_INDEX;
}

void task_start(void);

/* The kernel's frame, with everything above it in the slot (the vector state), copied to the same offset of the new
 * slot. */
static frame_t *copy_frame(const struct task *from, u32 slot)
{
	frame_t *frame = task_frame(current_task);
	state_keep(frame);
	u64 low = (u64)frame, high = stack_slot_at(from->stack_slot) + STACK_SLOT_SIZE;
	u64 shift = stack_slot_at(slot) - stack_slot_at(from->stack_slot);
	memcpy((void *)(low + shift), (void *)low, high - low);
	frame_t *copy = (frame_t *)(low + shift);
	copy->uc_mcontext.fpstate = (void *)((u64)frame->uc_mcontext.fpstate + shift);
	copy->uc_stack.ss_sp = (void *)stack_slot_at(slot);
	copy->uc_stack.ss_size = STACK_SLOT_SIZE;
	copy->uc_stack.ss_flags = 0;
	copy->uc_link = NULL; /* it leaves through the kernel */
	return copy;
}

s64 thread_start(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls, u32 process)
{
	struct task *self = task_self();
	u32 slot = free_slot();
	u32 index = slot == NO_INDEX ? NO_INDEX : task_new();
	if (index == NO_INDEX)
		return -EAGAIN;
	struct task *task = &arena->tasks[index];
	frame_t *frame = copy_frame(self, slot);
	task->process = process;
	task->host = self->host;
	task->stack_slot = slot;
	task->tid = arena->next_pid++;
	task->fs_base = flags & CLONE_SETTLS ? tls : self->fs_base;
	task->signal_mask = self->signal_mask;
	task->deadline = NEVER;
	task->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
	memcpy(task->name, self->name, sizeof task->name);
	frame->uc_mcontext.rax = 0;
	if (stack)
		frame->uc_mcontext.rsp = stack;
	/* What stack_switch pops: r15 r14 r13 r12 rbx rbp, then where to
	 * return. task_start takes its frame from rbx. */
	u64 *top = (u64 *)(((u64)frame - 256) & ~15ull);
	memset(top, 0, 7 * sizeof *top);
	top[4] = (u64)frame;
	top[6] = (u64)task_start;
	task->saved_stack = (u64)top;
	task_frame_set(index, frame);
	if ((flags & CLONE_PARENT_SETTID) && GUEST_PUT(parent_tid, task->tid))
		return -EFAULT;
	if ((flags & CLONE_CHILD_SETTID) && GUEST_PUT(child_tid, task->tid))
		return -EFAULT;
	task->sequence = ++arena->sequence;
	task->state = TASK_RUNNABLE;
	return task->tid;
}

s64 call_set_tid_address(const u64 *a)
{
	task_self()->clear_tid = a[0];
	return task_self()->tid;
}

s64 call_set_robust_list(const u64 *a)
{
	if (a[1] != 24)
		return -EINVAL;
	task_self()->robust_list = a[0];
	return 0;
}

s64 call_get_robust_list(const u64 *a)
{
	u64 size = 24, head = task_self()->robust_list;
	if (a[0] && (s32)a[0] != task_self()->tid)
		return -EPERM;
	return GUEST_PUT(a[1], head) || GUEST_PUT(a[2], size) ? -EFAULT : 0;
}

s64 call_sched_yield(const u64 *a)
{
	(void)a;
	yield();
	return 0;
}
