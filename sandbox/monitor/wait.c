/*
 * Waiting for children: that one ends, is stopped or goes on. Of several, the one whose news is oldest comes first.
 */
#include "internal.h"

#define WAIT_NOHANG 1u
#define WAIT_STOPPED 2u
#define WAIT_EXITED 4u
#define WAIT_CONTINUED 8u
#define WAIT_NOWAIT 0x01000000u
#define WAIT_KINDS 0xe0000000u /* __WNOTHREAD, __WALL, __WCLONE: all of one's children are of one kind */

#define STATUS_STOPPED(number) (((number) << 8) | 0x7f)
#define STATUS_CONTINUED 0xffff

enum { BY_ALL = 0, BY_PID = 1, BY_GROUP = 2, BY_DESCRIPTOR = 3 };

/* Which children: pid > 0 that one; 0 the own group; -1 any; < -1 the group -pid. */
static bool wanted(const struct process *child, s64 pid)
{
	if (!child->in_use || child->parent != process_self()->pid || child == process_self())
		return false;
	if (pid > 0)
		return child->pid == pid;
	return pid == -1 || child->group == (pid == 0 ? process_self()->group : -pid);
}

/* Since when there is something to tell of it; NEVER: there is nothing. */
static u64 news_since(const struct process *child, u32 what)
{
	if (child->zombie)
		return what & WAIT_EXITED ? child->end_sequence : NEVER;
	if ((child->stop_news && (what & WAIT_STOPPED)) || (child->continue_news && (what & WAIT_CONTINUED)))
		return child->news_sequence;
	return NEVER;
}

/* Without WEXITED zombies do not count: only who lives can still stop or go on. */
static struct process *find_news(s64 pid, u32 what, bool *any)
{
	struct process *found = NULL;
	*any = false;
	for (u32 i = 0; i < arena->process_count; i++) {
		struct process *child = &arena->processes[i];
		if (!wanted(child, pid) || (child->zombie && !(what & WAIT_EXITED)))
			continue;
		*any = true;
		if (news_since(child, what) < (found ? news_since(found, what) : NEVER))
			found = child;
	}
	return found;
}

/* A child of which there is news, blocking if asked to. NULL with *error: -ECHILD, -EINTR, or 0 for "none yet". */
static struct process *wait_for(s64 pid, u32 what, s64 *error)
{
	for (bool interrupted = false;;) {
		bool any;
		struct process *found = find_news(pid, what, &any);
		*error = found ? 0 : !any ? -ECHILD : interrupted ? -EINTR : 0;
		if (found || *error || (what & WAIT_NOHANG))
			return found;
		/* The signal may be that of the child's end: then there is a child, and no error. */
		interrupted = block(channel_child(task_self()->process), NEVER) == -EINTR;
	}
}

/* As wait4 tells it; and once. */
static s32 take_news(struct process *child, bool keep)
{
	s32 status = child->zombie      ? child->exit_status
	             : child->stop_news ? STATUS_STOPPED((s32)child->stop_news)
	                                : STATUS_CONTINUED;
	if (keep)
		return status;
	if (child->zombie)
		child->in_use = 0;
	else
		child->stop_news = child->continue_news = 0;
	return status;
}

s64 call_wait4(const u64 *a)
{
	s64 error;
	u64 usage[18] = {0};
	if (a[2] & ~(u64)(WAIT_NOHANG | WAIT_STOPPED | WAIT_CONTINUED | WAIT_KINDS))
		return -EINVAL;
	struct process *child = wait_for((s32)a[0], (u32)a[2] | WAIT_EXITED, &error);
	if (!child)
		return error;
	s64 pid = child->pid;
	s32 status = take_news(child, false);
	if (a[1] && GUEST_PUT(a[1], status))
		return -EFAULT;
	if (a[3] && GUEST_PUT(a[3], usage))
		return -EFAULT;
	return pid;
}

/* As SIGCHLD tells it. */
static void fill_news(struct siginfo *info, const struct process *child, s32 status)
{
	info->si_signo = SIGCHLD;
	info->si_pid = child->pid;
	info->si_uid = 1000;
	if (status == STATUS_CONTINUED) {
		info->si_code = 6;
		info->si_status = SIGCONT;
	} else if ((status & 0x7f) == 0x7f) {
		info->si_code = 5;
		info->si_status = status >> 8;
	} else {
		info->si_code = status & 0x7f ? 2 : 1;
		info->si_status = status & 0x7f ? status & 0x7f : status >> 8 & 0xff;
	}
}

/* Whom waitid waits for, as wait4 would be told. */
static s64 get_whom(u64 by, s32 id, s64 *pid, bool *nonblocking)
{
	*nonblocking = false;
	switch (by) {
	case BY_ALL: *pid = -1; return 0;
	case BY_PID: *pid = id; return id > 0 ? 0 : -EINVAL;
	case BY_GROUP: *pid = -(s64)id; return id >= 0 ? 0 : -EINVAL;
	case BY_DESCRIPTOR:
		if (id < 0)
			return -EINVAL;
		*pid = pidfd_to_wait_for((u32)id, nonblocking);
		return *pid < 0 ? *pid : 0;
	default: return -EINVAL;
	}
}

s64 call_waitid(const u64 *a)
{
	s64 error, pid;
	bool nonblocking;
	u32 what = (u32)a[3];
	u64 usage[18] = {0};
	struct siginfo info;
	if (what & ~(WAIT_NOHANG | WAIT_NOWAIT | WAIT_EXITED | WAIT_STOPPED | WAIT_CONTINUED | WAIT_KINDS) ||
	    !(what & (WAIT_EXITED | WAIT_STOPPED | WAIT_CONTINUED)))
		return -EINVAL;
	error = get_whom((u32)a[0], (s32)a[1], &pid, &nonblocking);
	if (error)
		return error;
	struct process *child = wait_for(pid, what | (nonblocking ? WAIT_NOHANG : 0), &error);
	if (error)
		return error;
	if (!child && nonblocking && !(what & WAIT_NOHANG))
		return -EAGAIN;
	memset(&info, 0, sizeof info);
	if (child)
		fill_news(&info, child, take_news(child, what & WAIT_NOWAIT));
	if (child && a[4] && GUEST_PUT(a[4], usage))
		return -EFAULT;
	return a[2] ? GUEST_PUT(a[2], info) : 0;
}
