/*
 * Processes of a box: virtual ids counted from 1, exit. (fork.c makes them, exec.c changes them, wait.c waits
 * for them, stop.c stops them.)
 *
 * A process that ends becomes a zombie until its parent has asked; orphans go to pid 1. The run ends with the last
 * task, or when pid 1 has ended and nobody else holds stdout or stderr: the reader could get no further byte.
 */
#include "internal.h"

#define STATUS_EXIT(code) (((code)&0xff) << 8)

s64 call_getpid(const u64 *a)
{
	(void)a;
	return process_self()->pid;
}

s64 call_getppid(const u64 *a)
{
	(void)a;
	return process_self()->parent;
}

s64 call_gettid(const u64 *a)
{
	(void)a;
	return task_self()->tid;
}

struct process *process_find(s64 pid)
{
	if (pid == 0)
		return process_self();
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use && arena->processes[i].pid == pid)
			return &arena->processes[i];
	return NULL;
}

s64 call_getpgid(const u64 *a)
{
	struct process *p = process_find((s32)a[0]);
	return p ? p->group : -ESRCH;
}

s64 call_getpgrp(const u64 *a)
{
	(void)a;
	return process_self()->group;
}

s64 call_getsid(const u64 *a)
{
	struct process *p = process_find((s32)a[0]);
	return p ? p->session : -ESRCH;
}

s64 call_setpgid(const u64 *a)
{
	struct process *p = process_find((s32)a[0]);
	s64 group = (s32)a[1];
	if (group < 0)
		return -EINVAL;
	if (!p || (p != process_self() && p->parent != process_self()->pid))
		return -ESRCH;
	if (p->session == p->pid || p->session != process_self()->session)
		return -EPERM;
	if (p != process_self() && p->executed)
		return -EACCES;
	p->group = group ? (s32)group : p->pid;
	return 0;
}

s64 call_setsid(const u64 *a)
{
	struct process *p = process_self();
	(void)a;
	if (p->group == p->pid)
		return -EPERM;
	p->group = p->session = p->pid;
	return p->pid;
}

/* --- the end of a process --- */

static void status_to_report(int status, u32 *end, int *value)
{
	*end = status & 0x7f ? ZVM_REPORT_SIGNAL : ZVM_REPORT_EXIT;
	*value = status & 0x7f ? status & 0x7f : status >> 8 & 0xff;
}

static NORETURN void run_over(const char *message)
{
	u32 end;
	int value;
	status_to_report(arena->first_status, &end, &value);
	run_end(end, value, message ? message : arena->first_message);
}

static bool output_held(void)
{
	bool any = false;
	for (u32 i = 0; i < arena->process_count; i++) {
		const struct process *p = &arena->processes[i];
		if (!p->in_use || p->zombie)
			continue;
		any = true;
		if (files_hold_output(p))
			return true;
	}
	return any && rights_hold_output();
}

/* An output was closed: perhaps the last one that somebody held after pid 1 had ended. */
void run_over_if_unheard(void)
{
	if (arena->processes[0].zombie && !output_held())
		run_over(NULL);
}

/* The next ancestor that asked for them, or process 1. */
static s32 reaper_of(const struct process *p)
{
	for (s32 pid = p->parent; pid > 1;) {
		const struct process *ancestor = process_find(pid);
		if (!ancestor)
			break;
		if (ancestor->subreaper && !ancestor->zombie)
			return pid;
		pid = ancestor->parent;
	}
	return 1;
}

static void tell_parent(struct process *p)
{
	struct process *parent = process_find(p->parent);
	if (!parent || parent == p || parent->zombie) {
		p->in_use = p == &arena->processes[0];
		return;
	}
	int status = p->exit_status;
	const struct signal_info info = {.code = status & 0x7f ? 2 /* CLD_KILLED */ : 1 /* CLD_EXITED */,
	                                 .pid = p->pid,
	                                 .status = status & 0x7f ? status & 0x7f : status >> 8 & 0xff};
	if (parent->actions[SIGCHLD].handler == (u64)SIG_IGN || parent->actions[SIGCHLD].flags & SA_NOCLDWAIT)
		p->in_use = 0;
	(void)signal_post(parent, SIGCHLD, &info);
	wake(channel_child((u32)(parent - arena->processes)), UINT32_MAX); /* each may wait for another child */
}

static void give_orphans_away(const struct process *parent)
{
	s32 reaper = reaper_of(parent);
	for (u32 i = 0; i < arena->process_count; i++) {
		struct process *p = &arena->processes[i];
		if (!p->in_use || p->parent != parent->pid || p == parent)
			continue;
		p->parent = reaper;
		p->adopted = reaper == 1;
		if (p->zombie) {
			tell_parent(p);
			continue;
		}
		if (p->death_signal)
			signal_send(p, p->death_signal);
		group_left(p, parent, NULL);
	}
}

void process_end_others(void)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (i == current_task || !task_lives(i) || task->process != task_self()->process)
			continue;
		robust_list_release(task);
		vfork_release(task);
		task->state = TASK_ZOMBIE;
	}
}

static NORETURN void process_end(int status, const char *message)
{
	struct process *p = process_self();
	struct task *self = task_self();
	u32 index = self->process;
	process_end_others();
	robust_list_release(self);
	self->state = TASK_ZOMBIE;
	if (task_guest_of(index) == NO_INDEX)
		memory_forget(p);
	files_exit(p);
	p->zombie = 1;
	wake(channel_poll(), UINT32_MAX); /* for its descriptors */
	p->exit_status = status;
	p->end_sequence = ++arena->sequence;
	if (index == 0) {
		arena->first_status = status;
		format(arena->first_message, sizeof arena->first_message, "%s", message ? message : "");
	}
	process_unstop(p);
	give_orphans_away(p);
	group_left(p, p->parent ? process_find(p->parent) : NULL, p);
	tell_parent(p);
	run_over_if_unheard();
	vfork_release(self);
	task_leave_for_good();
}

void process_die(int number, const char *message)
{
	process_end(number, message);
}

s64 call_exit_group(const u64 *a)
{
	process_end(STATUS_EXIT((int)a[0]), NULL);
}

s64 call_exit(const u64 *a)
{
	u32 others = 0;
	for (u32 i = 0; i < arena->task_count; i++)
		others += i != current_task &&
		          (arena->tasks[i].state == TASK_RUNNABLE || arena->tasks[i].state == TASK_BLOCKED) &&
		          arena->tasks[i].process == task_self()->process;
	if (!others)
		process_end(STATUS_EXIT((int)a[0]), NULL);
	thread_end();
}
