/*
 * Signals, without the kernel's: masks, actions and alternate stacks live in the arena, and a signal is delivered when
 * a system call returns (or where it arises, for faults), by pushing a frame of the kernel's own layout on the guest's
 * stack and sending the guest to its handler. rt_sigreturn is emulated from that frame. So delivery happens at points
 * that the guest's own acts fix.
 *
 * What stops a process, and lets it go on, takes effect where it is sent (stop.c).
 */
#include "internal.h"

#define BIT(number) (1ull << ((number)-1))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define RED_ZONE 128

struct signal_frame {
	u64 restorer;
	struct ucontext context;
	struct siginfo info;
};

static const char *const names[] = {
        "0",         "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
        "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
        "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
        "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
};

/* --- sending --- */

static bool ignored_by_default(int number)
{
	return BIT(number) & (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH));
}

static bool is_ignored(const struct process *process, int number)
{
	u64 handler = process->actions[number].handler;
	return handler == (u64)SIG_IGN || (handler == (u64)SIG_DFL && ignored_by_default(number));
}

/* Wakes whoever of the process may take it. */
static void wake_for_signal(struct process *process, int number)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (task->state == TASK_BLOCKED && &arena->processes[task->process] == process &&
		    !(task->signal_mask & BIT(number)))
			task_interrupt(i);
	}
}

/* --- the queue of real-time signals behind the one in its owner's table --- */

static bool owner_lives(s32 owner)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		const struct task *t = &arena->tasks[i];
		if ((t->state == TASK_RUNNABLE || t->state == TASK_BLOCKED) &&
		    (owner == -t->tid || owner == arena->processes[t->process].pid))
			return true;
	}
	return false;
}

static struct queued_signal *free_entry(void)
{
	for (u32 i = 0; i < QUEUED_MAX; i++)
		if (!arena->queued[i].owner)
			return &arena->queued[i];
	for (u32 i = 0; i < QUEUED_MAX; i++)
		if (!owner_lives(arena->queued[i].owner)) {
			arena->queued_count--;
			return &arena->queued[i];
		}
	return NULL;
}

static s64 enqueue(s32 owner, int number, const struct signal_info *info)
{
	struct queued_signal *q = free_entry();
	if (!q)
		return -EAGAIN;
	*q = (struct queued_signal){owner, number, ++arena->sequence, *info};
	arena->queued_count++;
	return 0;
}

static bool dequeue(s32 owner, int number, struct signal_info *info)
{
	struct queued_signal *first = NULL;
	for (u32 i = 0; i < QUEUED_MAX && arena->queued_count; i++) {
		struct queued_signal *q = &arena->queued[i];
		if (q->owner == owner && q->number == number && (!first || q->sequence < first->sequence))
			first = q;
	}
	if (!first)
		return false;
	*info = first->info;
	first->owner = 0;
	arena->queued_count--;
	return true;
}

/* Whatever waits, for the process or one of its threads, is gone. */
void signal_forget(struct process *process, int number)
{
	struct signal_info info;
	process->signal_pending &= ~BIT(number);
	while (dequeue(process->pid, number, &info))
		;
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (&arena->processes[task->process] != process || !task_lives(i))
			continue;
		task->signal_pending &= ~BIT(number);
		while (dequeue(-task->tid, number, &info))
			;
	}
}

/* A second signal of the same number is lost if the number is a standard one, and waits its turn if not. */
static s64 put_pending(u64 *pending, struct signal_info *infos, s32 owner, int number, const struct signal_info *info)
{
	if (*pending & BIT(number))
		return number < 32 ? 0 : enqueue(owner, number, info);
	*pending |= BIT(number);
	infos[number] = *info;
	return 0;
}

/* An ignored signal that is blocked waits all the same: somebody may ask for it, or handle it by then. */
static bool is_lost(const struct process *process, int number)
{
	if (!is_ignored(process, number))
		return false;
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].state != TASK_FREE && arena->tasks[i].state != TASK_ZOMBIE &&
		    &arena->processes[arena->tasks[i].process] == process)
			return !(arena->tasks[i].signal_mask & BIT(number));
	return true;
}

s64 signal_post(struct process *process, int number, const struct signal_info *info)
{
	if (number < 1 || number > 64 || !process->in_use || process->zombie)
		return 0;
	stop_signal_sent(process, number);
	if (is_lost(process, number) || stop_at_once(process, number))
		return 0;
	s64 r = put_pending(&process->signal_pending, process->pending_info, process->pid, number, info);
	if (r == 0) {
		wake_for_signal(process, number);
		wake(channel_poll(), UINT32_MAX); /* who waits for a signalfd has it blocked */
	}
	return r;
}

void signal_send(struct process *process, int number)
{
	const struct signal_info nothing = {.code = 0x80 /* SI_KERNEL */};
	(void)signal_post(process, number, &nothing);
}

static struct task *task_find(s32 tid)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (task->tid == tid && task->state != TASK_FREE && task->state != TASK_ZOMBIE)
			return task;
	}
	return NULL;
}

bool signal_posted(const struct process *process, s32 thread, int number, s32 code, s32 pid)
{
	const struct task *task = thread ? task_find(thread) : NULL;
	u64 pending = task ? task->signal_pending : process->signal_pending;
	const struct signal_info *info = task ? &task->pending_info[number] : &process->pending_info[number];
	s32 owner = thread ? -thread : process->pid;
	if (!(pending & BIT(number)))
		return false;
	if (info->code == code && info->pid == pid)
		return true;
	for (u32 i = 0; i < QUEUED_MAX && arena->queued_count; i++) {
		const struct queued_signal *q = &arena->queued[i];
		if (q->owner == owner && q->number == number && q->info.code == code && q->info.pid == pid)
			return true;
	}
	return false;
}

static s64 signal_send_task(struct task *task, int number, const struct signal_info *info)
{
	struct process *process = &arena->processes[task->process];
	stop_signal_sent(process, number);
	if (!(task->signal_mask & BIT(number)) && (is_ignored(process, number) || stop_at_once(process, number)))
		return 0;
	s64 r = put_pending(&task->signal_pending, task->pending_info, -task->tid, number, info);
	if (r == 0 && task->state == TASK_BLOCKED && !(task->signal_mask & BIT(number)))
		task_interrupt((u32)(task - arena->tasks));
	if (r == 0)
		wake(channel_poll(), UINT32_MAX);
	return r;
}

s64 signal_post_thread(s32 thread, int number, const struct signal_info *info)
{
	struct task *task = task_find(thread);
	return task ? signal_send_task(task, number, info) : -ESRCH;
}

static u64 pending_of(const struct task *task)
{
	return task->signal_pending | arena->processes[task->process].signal_pending;
}

bool signal_deliverable(void)
{
	struct process *process = process_self();
	u64 ready = pending_of(task_self()) & ~task_self()->signal_mask;
	for (int n = 1; n <= 64 && ready; n++)
		if ((ready & BIT(n)) && !is_ignored(process, n))
			return true;
	return false;
}

static void take_pending(u64 *pending, struct signal_info *infos, s32 owner, int number, struct signal_info *info)
{
	*pending &= ~BIT(number);
	*info = infos[number];
	infos[number] = (struct signal_info){0};
	if (number >= 32 && dequeue(owner, number, &infos[number]))
		*pending |= BIT(number);
}

int signal_take(u64 set, struct signal_info *info)
{
	struct task *task = task_self();
	struct process *process = process_self();
	u64 ready = pending_of(task) & set;
	if (!ready)
		return 0;
	int number = __builtin_ctzll(ready) + 1;
	if (task->signal_pending & BIT(number))
		take_pending(&task->signal_pending, task->pending_info, -task->tid, number, info);
	else
		take_pending(&process->signal_pending, process->pending_info, process->pid, number, info);
	return number;
}

/* --- delivering --- */

static void fill_info(struct siginfo *to, int number, const struct signal_info *from)
{
	memset(to, 0, sizeof *to);
	to->si_signo = number;
	to->si_code = from->code;
	to->si_pid = from->pid;
	to->si_uid = 1000;
	if (number == SIGCHLD)
		to->si_status = from->status;
	else
		to->si_value.sival_ptr = (void *)from->value;
	if (from->code == -2) {
		to->si_tid = from->pid;
		if ((u32)from->pid < TIMERS_MAX) /* who queues it himself may name any */
			to->si_overrun = process_self()->timers[from->pid].overrun;
	}
}

static bool on_alternate_stack(const struct task *task, u64 stack)
{
	return task->alternate_size && stack - task->alternate_stack <= task->alternate_size;
}

static u64 handler_stack(const struct task *task, const struct signal_action *action, u64 stack)
{
	if ((action->flags & SA_ONSTACK) && task->alternate_size && !on_alternate_stack(task, stack))
		return task->alternate_stack + task->alternate_size;
	return stack - RED_ZONE;
}

/*
 * What the kernel notes about a fault, made independent of what it had in memory: an access that is not allowed counts
 * as one to a page that is there, whether or not it has been read in yet.
 */
static void fill_fault(struct sigcontext *to, const struct siginfo *info)
{
	const u64 page_fault = 14, present = 1;
	if (to->trapno != page_fault)
		to->cr2 = 0;
	else
		to->err = (to->err & ~present) | (info->si_code == SEGV_ACCERR ? present : 0);
}

/* Without a fault these fields are of the last one, which may have been the monitor's own. */
static void forget_fault(struct sigcontext *to)
{
	to->trapno = to->err = to->cr2 = 0;
}

static int push_frame(frame_t *frame, int number, const struct siginfo *info, const struct signal_action *action)
{
	struct task *task = task_self();
	struct signal_frame out;
	u64 stack = handler_stack(task, action, frame->uc_mcontext.rsp);
	u64 state = (stack - STATE_ROOM) & ~63ull;
	u64 at = ((state - sizeof out + 8) & ~15ull) - 8;
	if (state_save(state, frame))
		return -EFAULT;
	memset(&out, 0, sizeof out);
	out.restorer = action->restorer;
	out.info = *info;
	out.context.uc_flags = frame->uc_flags & ~(u64)UC_FP_XSTATE;
	out.context.uc_stack.ss_sp = (void *)task->alternate_stack;
	out.context.uc_stack.ss_size = task->alternate_size;
	out.context.uc_stack.ss_flags = !task->alternate_size                              ? SS_DISABLE
	                                : on_alternate_stack(task, frame->uc_mcontext.rsp) ? SS_ONSTACK
	                                                                                   : 0;
	out.context.uc_mcontext = frame->uc_mcontext;
	out.context.uc_mcontext.fpstate = (void *)state;
	out.context.uc_mcontext.oldmask = 0;
	out.context.uc_sigmask = task->restore_mask ? task->saved_mask : task->signal_mask;
	if (guest_write(at, &out, sizeof out))
		return -EFAULT;
	task->restore_mask = false;
	struct sigcontext *registers = &frame->uc_mcontext;
	registers->rdi = (u64)number;
	registers->rsi = at + offsetof(struct signal_frame, info);
	registers->rdx = at + offsetof(struct signal_frame, context);
	registers->rax = 0;
	registers->rsp = at;
	registers->rip = action->handler;
	registers->eflags &= ~0x10500ull; /* direction, trap and resume flags */
	return 0;
}

static NORETURN void die_by(int number, const char *message)
{
	process_die(number, message);
}

/* Runs the handler, or the default. `info` as the handler sees it. */
static void deliver(frame_t *frame, int number, const struct siginfo *info, const char *crash)
{
	struct task *task = task_self();
	struct process *process = process_self();
	struct signal_action action = process->actions[number];
	if (action.handler == (u64)SIG_IGN)
		return;
	if (action.handler == (u64)SIG_DFL) {
		if (signal_stops(number)) {
			process_stop(process, number);
			stay_stopped();
		} else if (!ignored_by_default(number)) {
			die_by(number, crash);
		}
		return;
	}
	if (push_frame(frame, number, info, &action))
		die_by(SIGSEGV, "killed by SIGSEGV: no stack for a signal handler");
	if (action.flags & SA_RESETHAND)
		process->actions[number].handler = (u64)SIG_DFL;
	task->signal_mask |= action.mask;
	if (!(action.flags & SA_NODEFER))
		task->signal_mask |= BIT(number);
	task->signal_mask &= ~UNBLOCKABLE;
}

const char *signal_name(int number)
{
	return (u32)number < ARRAY_LENGTH(names) ? names[number] : "a signal";
}

/*
 * A call that a signal interrupted is made again if the handler says SA_RESTART and the call is one of those that may
 * be; otherwise the guest sees EINTR. A futex wait with a timeout is none: it would wait for all of it again.
 */
static bool restartable(u64 call, const struct sigcontext *registers)
{
	switch (call) {
	case __NR_futex: return !registers->r10;
	case __NR_read:
	case __NR_readv:
	case __NR_write:
	case __NR_writev:
	case __NR_wait4:
	case __NR_waitid:
	case __NR_fcntl:
	case __NR_flock:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_accept:
	case __NR_accept4:
	case __NR_connect:
	case __NR_ioctl:
	case __NR_open:
	case __NR_openat:
	case __NR_getrandom: return true;
	default: return false;
	}
}

static void restart_or_fail(frame_t *frame, int number)
{
	const struct signal_action *action = &process_self()->actions[number];
	bool handled = action->handler != (u64)SIG_DFL && action->handler != (u64)SIG_IGN;
	bool stopped = !handled && signal_stops(number) && current_call != __NR_rt_sigtimedwait;
	if ((s64)frame->uc_mcontext.rax != -EINTR || (!stopped && !restartable(current_call, &frame->uc_mcontext)))
		return;
	if (handled && !(action->flags & SA_RESTART))
		return;
	frame->uc_mcontext.rax = current_call;
	frame->uc_mcontext.rip -= 2;
}

void signals_deliver(frame_t *frame)
{
	struct task *task = task_self();
	u64 call = current_call;
	stay_stopped();
	current_call = call; /* others have made theirs */
	for (bool first = true;;) {
		struct signal_info info = {0};
		struct siginfo full;
		u64 mask = task->signal_mask;
		int number = signal_take(~mask, &info);
		if (!number)
			break;
		if (is_ignored(process_self(), number))
			continue;
		if (first)
			restart_or_fail(frame, number);
		first = false;
		fill_info(&full, number, &info);
		forget_fault(&frame->uc_mcontext);
		deliver(frame, number, &full, NULL);
	}
	if (task->restore_mask) {
		task->signal_mask = task->saved_mask;
		task->restore_mask = false;
	}
}

static void crash_message(char *to, size_t room, const frame_t *frame, int number, u64 address)
{
	const struct area *area = memory_find(memory_self(), frame->uc_mcontext.rip);
	const char *where = area && area->name != NO_INDEX ? string_at(area->name) : "no file";
	u64 offset = area ? frame->uc_mcontext.rip - area->start + area->offset : 0;
	arena->fault_name = area ? area->name : NO_INDEX;
	arena->fault_offset = offset;
	format(to, room, "killed by %s at 0x%lx (%s+0x%lx), address 0x%lx", names[number], (u64)frame->uc_mcontext.rip,
	       where, offset, address);
}

void signal_fault(frame_t *frame, int number, const struct siginfo *info)
{
	struct process *process = process_self();
	struct siginfo copy = *info;
	char message[256];
	crash_message(message, sizeof message, frame, number, (u64)info->si_addr);
	/* Blocked or ignored faults kill: returning would only fault again. */
	if ((task_self()->signal_mask & BIT(number)) || process->actions[number].handler == (u64)SIG_IGN)
		process->actions[number].handler = (u64)SIG_DFL;
	fill_fault(&frame->uc_mcontext, info);
	deliver(frame, number, &copy, message);
}

/* --- the calls --- */

s64 call_rt_sigaction(const u64 *a)
{
	struct signal_action new, old;
	if (a[3] != 8 || a[0] < 1 || a[0] > 64)
		return -EINVAL;
	int number = (int)a[0];
	struct signal_action *action = &process_self()->actions[number];
	old = *action;
	if (a[1]) {
		if (GUEST_GET(new, a[1]))
			return -EFAULT;
		if (number == SIGKILL || number == SIGSTOP)
			return -EINVAL;
		new.mask &= ~UNBLOCKABLE;
		*action = new;
		if (is_ignored(process_self(), number))
			signal_forget(process_self(), number);
	}
	return a[2] ? GUEST_PUT(a[2], old) : 0;
}

s64 call_rt_sigprocmask(const u64 *a)
{
	struct task *task = task_self();
	u64 old = task->signal_mask, set;
	if (a[3] != 8)
		return -EINVAL;
	if (a[1]) {
		if (GUEST_GET(set, a[1]))
			return -EFAULT;
		set &= ~UNBLOCKABLE;
		if (a[0] == SIG_BLOCK)
			task->signal_mask |= set;
		else if (a[0] == SIG_UNBLOCK)
			task->signal_mask &= ~set;
		else if (a[0] == SIG_SETMASK)
			task->signal_mask = set;
		else
			return -EINVAL;
	}
	return a[2] ? GUEST_PUT(a[2], old) : 0;
}

s64 call_rt_sigreturn(const u64 *a)
{
	frame_t *frame = task_frame(current_task);
	struct task *task = task_self();
	struct ucontext saved;
	(void)a;
	u64 at = frame->uc_mcontext.rsp - 8;
	if (guest_read(&saved, at + offsetof(struct signal_frame, context), sizeof saved) ||
	    state_restore(frame, (u64)saved.uc_mcontext.fpstate))
		die_by(SIGSEGV, "killed by SIGSEGV: rt_sigreturn from a frame that is not there");
	void *state = frame->uc_mcontext.fpstate;
	struct sigcontext kept = frame->uc_mcontext;
	frame->uc_mcontext = saved.uc_mcontext;
	frame->uc_mcontext.fpstate = state;
	frame->uc_mcontext.cs = kept.cs;
	frame->uc_mcontext.ss = kept.ss;
	frame->uc_mcontext.gs = kept.gs;
	frame->uc_mcontext.fs = kept.fs;
	frame->uc_mcontext.eflags = (saved.uc_mcontext.eflags & 0x240dd5) | 0x202;
	task->signal_mask = saved.uc_sigmask & ~UNBLOCKABLE;
	if (!on_alternate_stack(task, kept.rsp) || !(saved.uc_stack.ss_flags & SS_ONSTACK)) {
		if (!(saved.uc_stack.ss_flags & SS_DISABLE)) {
			task->alternate_stack = (u64)saved.uc_stack.ss_sp;
			task->alternate_size = saved.uc_stack.ss_size;
		}
	}
	frame_replaced = true;
	return 0;
}

s64 call_rt_sigpending(const u64 *a)
{
	u64 set = pending_of(task_self()) & task_self()->signal_mask;
	return a[1] > 8 ? -EINVAL : GUEST_PUT(a[0], set);
}

/* Changes the mask until the call returns; a handler then runs with the new mask and returns to the old one. */
void signal_mask_for_call(u64 mask)
{
	struct task *task = task_self();
	if (!task->restore_mask) {
		task->saved_mask = task->signal_mask;
		task->restore_mask = true;
	}
	task->signal_mask = mask & ~UNBLOCKABLE;
}

s64 call_rt_sigsuspend(const u64 *a)
{
	u64 mask;
	if (a[1] != 8)
		return -EINVAL;
	if (GUEST_GET(mask, a[0]))
		return -EFAULT;
	signal_mask_for_call(mask);
	while (!signal_deliverable())
		block(channel_sleep(current_task), NEVER);
	return -EINTR;
}

s64 call_pause(const u64 *a)
{
	(void)a;
	while (!signal_deliverable())
		block(channel_sleep(current_task), NEVER);
	return -EINTR;
}

s64 call_rt_sigtimedwait(const u64 *a)
{
	u64 set, deadline = NEVER, ns;
	struct signal_info info;
	struct siginfo full;
	struct task *task = task_self();
	if (a[3] != 8)
		return -EINVAL;
	if (GUEST_GET(set, a[0]))
		return -EFAULT;
	if (a[2]) {
		int r = get_timespec(a[2], &ns);
		if (r)
			return r;
		deadline = clock_peek() + ns;
	}
	for (;;) {
		int number = signal_take(set & ~UNBLOCKABLE, &info);
		if (number) {
			fill_info(&full, number, &info);
			if (a[1] && GUEST_PUT(a[1], full))
				return -EFAULT;
			return number;
		}
		/* While waiting, the awaited signals count as unblocked, so that sending one wakes us. */
		u64 mask = task->signal_mask;
		task->signal_mask &= ~set;
		int r = block(channel_sleep(current_task), deadline);
		task->signal_mask = mask;
		if (r == -ETIMEDOUT)
			return -EAGAIN;
		if (r == -EINTR && !(pending_of(task) & set))
			return -EINTR;
	}
}

s64 call_sigaltstack(const u64 *a)
{
	struct task *task = task_self();
	u64 stack = task_frame(current_task)->uc_mcontext.rsp;
	bool active = on_alternate_stack(task, stack);
	struct {
		u64 base;
		u32 flags, unused;
		u64 size;
	} new, old = {task->alternate_stack,
	              !task->alternate_size ? SS_DISABLE
	              : active              ? SS_ONSTACK
	                                    : 0,
	              0, task->alternate_size};
	if (a[0]) {
		if (GUEST_GET(new, a[0]))
			return -EFAULT;
		if (active)
			return -EPERM;
		if (new.flags & ~(SS_DISABLE | SS_ONSTACK | 0x80000000u))
			return -EINVAL;
		if (!(new.flags &SS_DISABLE) && new.size < 2048)
			return -ENOMEM;
		task->alternate_stack = new.flags &SS_DISABLE ? 0 : new.base;
		task->alternate_size = new.flags &SS_DISABLE ? 0 : new.size;
	}
	return a[1] ? GUEST_PUT(a[1], old) : 0;
}

s64 call_restart_syscall(const u64 *a)
{
	(void)a;
	return -EINTR;
}

static struct process *process_by_pid(s64 pid)
{
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use && arena->processes[i].pid == pid)
			return &arena->processes[i];
	return NULL;
}

static s64 kill_one(struct process *process, int number)
{
	const struct signal_info info = {.pid = process_self()->pid};
	return signal_post(process, number, &info);
}

s64 call_kill(const u64 *a)
{
	s64 pid = (s32)a[0];
	int number = (int)(s32)a[1];
	if (number < 0 || number > 64)
		return -EINVAL;
	if (pid > 0) {
		struct process *process = process_by_pid(pid);
		return process ? kill_one(process, number) : -ESRCH;
	}
	s64 group = pid == 0 ? process_self()->group : -pid;
	s64 result = -ESRCH;
	for (u32 i = 0; i < arena->process_count; i++) {
		struct process *process = &arena->processes[i];
		if (!process->in_use || process->zombie)
			continue;
		if (pid == -1 ? process != process_self() && process->pid != 1 : process->group == group)
			result = kill_one(process, number);
	}
	return result;
}

static s64 kill_task(s64 group, s64 tid, int number, const struct signal_info *info)
{
	if (number < 0 || number > 64 || tid <= 0)
		return -EINVAL;
	struct task *task = task_find((s32)tid);
	if (!task || (group > 0 && arena->processes[task->process].pid != group))
		return -ESRCH;
	return number ? signal_send_task(task, number, info) : 0;
}

s64 call_tkill(const u64 *a)
{
	struct signal_info info = {.code = -6 /* SI_TKILL */, .pid = process_self()->pid};
	return kill_task(0, (s32)a[0], (int)(s32)a[1], &info);
}

s64 call_tgkill(const u64 *a)
{
	struct signal_info info = {.code = -6, .pid = process_self()->pid};
	if ((s32)a[0] <= 0)
		return -EINVAL;
	return kill_task((s32)a[0], (s32)a[1], (int)(s32)a[2], &info);
}

/* Only to oneself may one pretend to be the kernel. */
static int get_queued(u64 from, s32 pid, struct signal_info *info)
{
	struct siginfo full;
	if (GUEST_GET(full, from))
		return -EFAULT;
	if ((full.si_code >= 0 || full.si_code == -6) && pid != process_self()->pid)
		return -EPERM;
	*info = (struct signal_info){.code = full.si_code, .pid = full.si_pid, .value = (u64)full.si_value.sival_ptr};
	return 0;
}

s64 call_rt_sigqueueinfo(const u64 *a)
{
	struct signal_info info;
	int number = (int)(s32)a[1];
	struct process *process = process_by_pid((s32)a[0]);
	if (number < 0 || number > 64)
		return -EINVAL;
	int r = get_queued(a[2], (s32)a[0], &info);
	if (r)
		return r;
	if (!process)
		return -ESRCH;
	return signal_post(process, number, &info);
}

s64 call_rt_tgsigqueueinfo(const u64 *a)
{
	struct signal_info info;
	int r = get_queued(a[3], (s32)a[0], &info);
	return r ? r : kill_task((s32)a[0], (s32)a[1], (int)(s32)a[2], &info);
}

/* What was handled has its default again, what was ignored stays so; what is blocked or waits is kept. */
void signal_reset_for_exec(struct process *process)
{
	struct task *task = task_self();
	for (int i = 1; i <= 64; i++) {
		bool ignored = process->actions[i].handler == (u64)SIG_IGN;
		process->actions[i] = (struct signal_action){.handler = (u64)(ignored ? SIG_IGN : SIG_DFL)};
	}
	task->alternate_stack = task->alternate_size = task->alternate_flags = 0;
	if (task->restore_mask)
		task->signal_mask = task->saved_mask;
	task->restore_mask = false;
}
