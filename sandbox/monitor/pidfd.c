/*
 * Process descriptors: open files that are a process, by its number, of which no other will ever have it. Readable once
 * it has ended, and as long as somebody keeps them open.
 */
#include "files.h"

#define OF_THREAD O_EXCL /* PIDFD_THREAD, of kernels since 6.9 */

s32 pidfd_pid(const struct description *d)
{
	const char *rest;
	if (d->kind == KIND_PROCESS)
		return (s32)d->value;
	if (d->kind != KIND_DIRECTORY || d->path == NO_INDEX) /* a directory of /proc will do for sending */
		return 0;
	const struct process *p = proc_split(string_at(d->path), &rest);
	return p && !*rest ? p->pid : 0;
}

u32 pidfd_ready(const struct description *d)
{
	const struct process *p = process_find((s64)d->value);
	return !p || p->zombie ? POLLIN : 0;
}

s64 pidfd_make(s32 pid, u32 flags)
{
	u32 index = description_new(KIND_PROCESS, O_RDWR | flags);
	if (index == NO_INDEX)
		return -ENFILE;
	description_at(index)->value = (u32)pid;
	return descriptor_put(index, true, 0);
}

s64 pidfd_to_wait_for(u64 fd, bool *nonblocking)
{
	const struct description *d = descriptor_get(fd, NULL);
	if (!d || d->kind != KIND_PROCESS)
		return -EBADF;
	*nonblocking = d->flags & O_NONBLOCK;
	return (s64)d->value;
}

s64 call_pidfd_open(const u64 *a)
{
	s64 pid = (s32)a[0];
	if (pid <= 0 || ((u32)a[1] & ~(u32)(O_NONBLOCK | OF_THREAD)))
		return -EINVAL;
	if ((u32)a[1] & OF_THREAD)
		return refuse("pidfd_open(PIDFD_THREAD)", EINVAL);
	return process_find(pid) ? pidfd_make((s32)pid, (u32)a[1] & O_NONBLOCK) : -ESRCH;
}

s64 call_pidfd_send_signal(const u64 *a)
{
	const struct description *d = descriptor_get(a[0], NULL);
	s32 pid = d ? pidfd_pid(d) : 0;
	if ((u32)a[3])
		return -EINVAL;
	if (!pid)
		return -EBADF;
	const u64 kill[2] = {(u64)(s64)pid, a[1]}, queue[3] = {(u64)(s64)pid, a[1], a[2]};
	if (!a[2])
		return call_kill(kill);
	s32 number;
	if (GUEST_GET(number, a[2]))
		return -EFAULT;
	return number == (s32)a[1] ? call_rt_sigqueueinfo(queue) : -EINVAL;
}
