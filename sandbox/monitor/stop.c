/*
 * Stopping and going on. A process that is stopped is one that the scheduler passes over, whatever its tasks do or wait
 * for; what they wait for may come meanwhile, and they find it when they go on. So a stop takes effect where the signal
 * is sent, also on who waits in a call, and no call has to be made again for it, but for the few that Linux ends with
 * EINTR when a stop comes upon them.
 */
#include "internal.h"

#define BIT(number) (1ull << ((number)-1))
#define STOPS (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))
#define CLD_STOPPED_CODE 5
#define CLD_CONTINUED_CODE 6

bool signal_stops(int number)
{
	return BIT(number) & STOPS;
}

static bool lives(const struct process *p)
{
	return p->in_use && !p->zombie;
}

/*
 * Nobody outside the group, in its session, has a child in it: then nobody is there to let it go on, and what a
 * terminal would stop it with is ignored. Who has been given to process 1 counts as nobody's child.
 */
static bool orphaned(s32 group, const struct process *ignored)
{
	for (u32 i = 0; i < arena->process_count; i++) {
		const struct process *p = &arena->processes[i];
		if (!lives(p) || p == ignored || p->group != group || p->adopted || !p->parent)
			continue;
		const struct process *parent = process_find(p->parent);
		if (parent && parent->group != group && parent->session == p->session)
			return false;
	}
	return true;
}

static void tell_parent(const struct process *p, s32 code, s32 status)
{
	struct process *parent = p->parent ? process_find(p->parent) : NULL;
	if (!parent || !lives(parent))
		return;
	const struct signal_info info = {.code = code, .pid = p->pid, .status = status};
	if (parent->actions[SIGCHLD].handler != (u64)SIG_IGN && !(parent->actions[SIGCHLD].flags & SA_NOCLDSTOP))
		(void)signal_post(parent, SIGCHLD, &info);
	wake(channel_child((u32)(parent - arena->processes)), UINT32_MAX);
}

static bool ended_by_stop(u32 call)
{
	return call == __NR_epoll_wait || call == __NR_epoll_pwait || call == __NR_epoll_pwait2 ||
	       call == __NR_rt_sigtimedwait;
}

void process_unstop(struct process *p)
{
	arena->stopped -= p->stopped != 0;
	p->stopped = p->stop_news = 0;
}

void process_stop(struct process *p, int number)
{
	if (p->stopped || (number != SIGSTOP && orphaned(p->group, NULL)))
		return;
	arena->stopped++;
	p->stopped = p->stop_news = (u32)number;
	p->continue_news = 0;
	p->news_sequence = ++arena->sequence;
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (task->state == TASK_BLOCKED && &arena->processes[task->process] == p && ended_by_stop(task->call))
			task->cut_short = true;
	}
	tell_parent(p, CLD_STOPPED_CODE, number);
}

/* Behind everybody who could run all the while, in the order of the table. */
static void go_on(const struct process *p)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		struct task *task = &arena->tasks[i];
		if (task_lives(i) && &arena->processes[task->process] == p &&
		    (task->state == TASK_RUNNABLE || task->cut_short))
			task_interrupt(i);
	}
}

static void process_continue(struct process *p)
{
	if (!p->stopped)
		return;
	process_unstop(p);
	p->continue_news = 1;
	p->news_sequence = ++arena->sequence;
	go_on(p);
	tell_parent(p, CLD_CONTINUED_CODE, SIGCONT);
}

/* What sending does besides: each kind takes the other back, whatever becomes of the signal itself. */
void stop_signal_sent(struct process *p, int number)
{
	if (signal_stops(number)) {
		signal_forget(p, SIGCONT);
	} else if (number == SIGCONT) {
		for (int n = SIGSTOP; n <= SIGTTOU; n++)
			signal_forget(p, n);
		process_continue(p);
	} else if (number == SIGKILL && p->stopped) {
		process_unstop(p);
		go_on(p);
	}
}

/* Some thread of it has the signal neither blocked nor asked for (sigwait). */
static bool open_to(const struct process *p, int number)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		const struct task *task = &arena->tasks[i];
		bool asks = task->state == TASK_BLOCKED && task->call == __NR_rt_sigtimedwait;
		if (task_lives(i) && &arena->processes[task->process] == p && !asks &&
		    !(task->signal_mask & BIT(number)))
			return true;
	}
	return false;
}

bool stop_at_once(struct process *p, int number)
{
	if (!signal_stops(number) || p->actions[number].handler != (u64)SIG_DFL || p->stopped || !open_to(p, number))
		return false;
	process_stop(p, number);
	return true;
}

void stay_stopped(void)
{
	while (process_self()->stopped) {
		task_self()->sequence = ++arena->sequence;
		task_switch(task_choose());
	}
}

/* --- groups that nobody looks after any more --- */

static bool has_stopped(s32 group)
{
	for (u32 i = 0; i < arena->process_count; i++)
		if (lives(&arena->processes[i]) && arena->processes[i].group == group && arena->processes[i].stopped)
			return true;
	return false;
}

static void let_go(s32 group)
{
	static const int both[] = {SIGHUP, SIGCONT};
	for (u32 n = 0; n < ARRAY_LENGTH(both); n++)
		for (u32 i = 0; i < arena->process_count; i++)
			if (lives(&arena->processes[i]) && arena->processes[i].group == group)
				signal_send(&arena->processes[i], both[n]);
}

void group_left(const struct process *member, const struct process *parent, const struct process *ending)
{
	if (parent && parent->group != member->group && parent->session == member->session &&
	    orphaned(member->group, ending) && has_stopped(member->group))
		let_go(member->group);
}
