/*
 * clone in all its forms. A thread is a task of this process (thread.c); a process is a real fork of it, made with
 * CLONE_PARENT so that the launcher can reap it whatever becomes of the guest's own tree.
 *
 * The child inherits everything as it was, this very stack included, and waits for its turn before it goes on. The
 * child of a vfork is a task in its parent's memory, as vfork promises (posix_spawn reports errors through it), and
 * becomes a native process of its own when it calls exec.
 */
#include "files.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define NAMESPACE_FLAGS                                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
	 CLONE_PTRACE)

/* As many as RLIMIT_NPROC lets a user have: all of a box are one user's. */
static bool too_many(void)
{
	u64 count = 0;
	for (u32 i = 0; i < arena->process_count; i++)
		count += arena->processes[i].in_use;
	return count >= process_self()->limits[RLIMIT_NPROC][0];
}

/* A slot in which nothing is left, not even the memory that others live in. */
static bool slot_is_free(u32 index)
{
	return index >= arena->process_count ||
	       (!arena->processes[index].in_use && task_self()->host != index && task_guest_of(index) == NO_INDEX);
}

static struct process *process_new(u32 *index)
{
	if (too_many())
		return NULL;
	for (u32 i = 1; i < PROCESSES_MAX; i++)
		if (slot_is_free(i)) {
			if (i >= arena->process_count)
				arena->process_count = i + 1;
			*index = i;
			return &arena->processes[i];
		}
	return NULL;
}

static void copy_process(struct process *to, const struct process *from)
{
	/* All but the areas, which are most of it. */
	size_t behind = offsetof(struct process, charged);
	memcpy(to, from, offsetof(struct process, areas));
	memcpy((u8 *)to + behind, (const u8 *)from + behind, sizeof *to - behind);
	to->pid = arena->next_pid++; /* also its first task's tid */
	to->parent = from->pid;
	to->token = 0;
	to->zombie = 0;
	to->stopped = to->stop_news = to->continue_news = to->adopted = 0;
	to->signal_pending = 0;
	to->death_signal = 0;
	to->subreaper = 0;
	to->executed = 0;
	memset(to->timers, 0, sizeof to->timers);
}

/* The child of a vfork has none of its own, and if it forks, its child has its parent's. */
static void copy_memory(struct process *to, const struct process *from)
{
	to->area_count = from->area_count;
	memcpy(to->areas, from->areas, from->area_count * sizeof from->areas[0]);
	to->charged = from->charged;
	to->break_start = from->break_start;
	to->break_end = from->break_end;
}

/* The native half: 0 in the child, once it has its turn; the child's native pid or -errno in the parent. */
s64 fork_native(void)
{
	s64 pid = native_call(__NR_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0)
		follow_launcher();
	return pid;
}

static void undo_process(struct process *child)
{
	files_exit(child);
	memory_forget(child);
	child->in_use = 0;
}

static struct process *process_copied(u32 *index, bool own_memory)
{
	struct process *parent = process_self();
	struct process *child = process_new(index);
	if (!child)
		return NULL;
	if (own_memory && memory_charge(memory_self()->charged))
		return NULL;
	copy_process(child, parent);
	child->area_count = 0;
	child->charged = 0;
	if (own_memory)
		copy_memory(child, memory_self());
	if (files_fork(parent, child)) {
		undo_process(child);
		return NULL;
	}
	return child;
}

static s64 process_start(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls)
{
	u32 process_index, task_index = task_new(), creator = current_task;
	if (task_index == NO_INDEX)
		return -EAGAIN;
	struct process *child = process_copied(&process_index, true);
	if (!child)
		return -EAGAIN;
	struct task *task = &arena->tasks[task_index];
	*task = *task_self();
	task->process = task->host = process_index;
	task->tid = child->pid;
	task->signal_pending = 0;
	task->sequence = ++arena->sequence;
	task->robust_list = 0;
	task->vfork_parent = 0;
	task->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
	if (flags & CLONE_SETTLS)
		task->fs_base = tls;
	if (flags & CLONE_PARENT_SETTID)
		GUEST_PUT(parent_tid, child->pid);
	s64 native = fork_native();
	if (native < 0)
		host_failed("the host has no room for another process", native);
	if (native > 0)
		return child->pid;
	frame_t *frame = task_frame(creator);
	task_frame_set(task_index, frame);
	current_task = task_index;
	process_first_wait(process_index);
	native_call(__NR_arch_prctl, ARCH_SET_FS, task->fs_base, 0, 0, 0, 0);
	if (stack)
		frame->uc_mcontext.rsp = stack;
	if (flags & CLONE_CHILD_SETTID)
		GUEST_PUT(child_tid, task->tid);
	return 0;
}

static u32 task_by_tid(s32 tid)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (arena->tasks[i].tid == tid && arena->tasks[i].state == TASK_RUNNABLE)
			return i;
	return NO_INDEX;
}

/* A task in our own memory but of another process; we wait until it has called exec or ended. */
static s64 vfork_start(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls)
{
	u32 process_index, creator = current_task;
	struct process *child = process_copied(&process_index, false);
	if (!child)
		return -EAGAIN;
	arena->next_pid--; /* thread_start numbers its task: one number for both */
	s64 tid = thread_start(flags, stack, parent_tid, child_tid, tls, process_index);
	if (tid < 0) {
		undo_process(child);
		return tid;
	}
	u32 task_index = task_by_tid((s32)tid);
	struct task *task = &arena->tasks[task_index];
	task->vfork_parent = creator + 1;
	while (task->tid == tid && task->vfork_parent == creator + 1)
		block_uninterrupted(channel_vfork(task_index));
	return tid;
}

void vfork_release(struct task *task)
{
	if (!task->vfork_parent)
		return;
	task->vfork_parent = 0;
	wake(channel_vfork((u32)(task - arena->tasks)), 1);
}

/*
 * The native process stays its parent's, who goes on there in its turn; the child forks off for good, and what it will
 * map is open there alone. Nobody may be here any more: then it is the child's. All that the guest can do wrong has
 * been checked by now.
 */
void vfork_leave(const int fds[2])
{
	struct task *task = task_self();
	u32 host = task->host;
	bool alone = task_guest_of(host) == NO_INDEX;
	s64 native = alone ? 0 : fork_native();
	if (native < 0)
		host_failed("the host has no room for another process", native);
	if (native == 0 && !alone) {
		process_first_wait(task->process);
		return;
	}
	task->host = task->process;
	vfork_release(task);
	if (alone)
		return;
	files_moved(process_self(), host);
	for (u32 i = 0; i < 2; i++)
		if (fds[i] >= 0)
			native_close(fds[i]);
	task_moved(host);
}

static s64 clone_any(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls)
{
	if (flags & NAMESPACE_FLAGS)
		return refuse("clone(namespaces)", EPERM);
	if ((flags & THREAD_FLAGS) == THREAD_FLAGS)
		return thread_start(flags, stack, parent_tid, child_tid, tls, task_self()->process);
	runs_part(); /* a template is one process */
	if ((flags & CLONE_VM) && !(flags & CLONE_VFORK))
		return refuse("clone(CLONE_VM)", EINVAL);
	if (flags & CLONE_VM)
		return vfork_start(flags, stack, parent_tid, child_tid, tls);
	return process_start(flags, stack, parent_tid, child_tid, tls);
}

/* With a descriptor of the child, which only its parent has. */
static s64 clone_described(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls, u64 descriptor_at)
{
	s32 fd = -1;
	if (!(flags & CLONE_PIDFD))
		return clone_any(flags, stack, parent_tid, child_tid, tls);
	if ((flags & (CLONE_THREAD | CLONE_DETACHED)) || ((flags & CLONE_PARENT_SETTID) && parent_tid == descriptor_at))
		return -EINVAL;
	if (!descriptor_room())
		return -EMFILE;
	if (GUEST_PUT(descriptor_at, fd))
		return -EFAULT;
	s64 child = clone_any(flags, stack, parent_tid, child_tid, tls);
	if (child <= 0)
		return child;
	fd = (s32)pidfd_make((s32)child, 0);
	(void)GUEST_PUT(descriptor_at, fd);
	return child;
}

s64 call_clone(const u64 *a)
{
	return clone_described((u32)a[0], a[1], a[2], a[3], a[4], a[2]);
}

s64 call_clone3(const u64 *a)
{
	u64 arguments[11] = {
	        0}; /* flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup */
	if (a[1] < 64 || a[1] > 4096)
		return -EINVAL;
	if (guest_read(arguments, a[0], min_u64(a[1], sizeof arguments)))
		return -EFAULT;
	u64 stack = arguments[5] ? arguments[5] + arguments[6] : 0;
	return clone_described(arguments[0], stack, arguments[3], arguments[2], arguments[7], arguments[1]);
}

s64 call_fork(const u64 *a)
{
	(void)a;
	return clone_any(SIGCHLD, 0, 0, 0, 0);
}

s64 call_vfork(const u64 *a)
{
	(void)a;
	return clone_any(CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
}
