/*
 * The part of /proc that is about the guest's own processes: /proc/PID, and /proc/PID/task/TID, which is the same but
 * for the thread's name, number and state. A zombie has neither memory nor files nor places.
 */
#include "files.h"

static const char *const own_files[] = {"auxv",          "cgroup",      "cmdline", "comm",      "environ", "io",
                                        "limits",        "loginuid",    "maps",    "mountinfo", "mounts",  "oom_score",
                                        "oom_score_adj", "personality", "smaps",   "stat",      "statm",   "status"};
static const char *const own_links[] = {"cwd", "exe", "root"};

static bool listed(const char *const *list, u32 count, const char *name)
{
	for (u32 i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static bool parse_number(const char **at, u32 *ret)
{
	const char *start = *at;
	*ret = 0;
	while (**at >= '0' && **at <= '9' && *at - start < 9)
		*ret = *ret * 10 + (u32)(*(*at)++ - '0');
	return *at > start;
}

/* "/proc/12/rest" -> process 12 and "rest" (or ""). NULL: not of this form. */
struct process *proc_split(const char *path, const char **rest)
{
	u32 pid;
	const char *at = path + 6;
	if (!starts_with(path, "/proc/") || !parse_number(&at, &pid) || !pid || (*at && *at != '/'))
		return NULL;
	*rest = *at ? at + 1 : at;
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use && (u32)arena->processes[i].pid == pid)
			return &arena->processes[i];
	return NULL;
}

static const struct task *task_of(const struct process *p, u32 tid)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (task_lives(i) && (u32)arena->tasks[i].tid == tid && &arena->processes[arena->tasks[i].process] == p)
			return &arena->tasks[i];
	return NULL;
}

/* What is behind "task/13/", and whose it is. NULL, and `rest` as it was: not of this form, or nobody's. */
static const struct task *thread_named(const struct process *p, const char **rest)
{
	u32 tid;
	const char *at = *rest + 5;
	if (!starts_with(*rest, "task/") || !parse_number(&at, &tid) || (*at && *at != '/'))
		return NULL;
	const struct task *task = task_of(p, tid);
	if (task)
		*rest = *at ? at + 1 : at;
	return task;
}

static u32 descriptor_named(const struct process *p, const char *rest, const char *directory)
{
	u32 fd;
	const char *at = rest + strlen(directory);
	if (!starts_with(rest, directory) || !parse_number(&at, &fd) || *at || fd >= DESCRIPTORS_MAX)
		return NO_INDEX;
	return p->descriptors[fd].description;
}

static void descriptor_target(u32 index, char target[ZVM_PATH_MAX])
{
	const struct description *d = description_at(index);
	if (d->kind == KIND_INPUT || d->kind == KIND_OUTPUT || d->kind == KIND_PIPE)
		format(target, ZVM_PATH_MAX, "pipe:[%lu]", d->inode);
	else if (d->kind == KIND_SOCKET)
		format(target, ZVM_PATH_MAX, "socket:[%lu]", d->inode);
	else if (d->kind == KIND_EVENT || d->kind == KIND_TIMER || d->kind == KIND_SIGNAL || d->kind == KIND_EPOLL ||
	         d->kind == KIND_PROCESS)
		format(target, ZVM_PATH_MAX, "anon_inode:[%s]",
		       d->kind == KIND_EVENT     ? "eventfd"
		       : d->kind == KIND_TIMER   ? "timerfd"
		       : d->kind == KIND_SIGNAL  ? "signalfd"
		       : d->kind == KIND_PROCESS ? "pidfd"
		                                 : "eventpoll");
	else if (d->path != NO_INDEX)
		format(target, ZVM_PATH_MAX, "%s", string_at(d->path));
	else if (description_path(index, target))
		format(target, ZVM_PATH_MAX, "/tmp/#%u (deleted)", d->node + 1);
}

u32 proc_own_mode(const struct process *p, const char *rest, char target[ZVM_PATH_MAX])
{
	if (!strcmp(rest, "task"))
		return S_IFDIR | 0555;
	if (starts_with(rest, "task/") && !thread_named(p, &rest))
		return 0;
	if (!*rest || !strcmp(rest, "fd") || !strcmp(rest, "fdinfo"))
		return S_IFDIR | 0555;
	if (starts_with(rest, "fdinfo/"))
		return descriptor_named(p, rest, "fdinfo/") == NO_INDEX ? 0 : S_IFREG | 0400;
	if (listed(own_files, ARRAY_LENGTH(own_files), rest))
		return S_IFREG | 0444;
	if (p->zombie && listed(own_links, ARRAY_LENGTH(own_links), rest))
		return S_IFLNK | 0777; /* to nowhere */
	if (!strcmp(rest, "exe") || !strcmp(rest, "cwd"))
		format(target, ZVM_PATH_MAX, "%s", *rest == 'e' ? p->executable : p->directory);
	else if (!strcmp(rest, "root"))
		format(target, ZVM_PATH_MAX, "/");
	else if (descriptor_named(p, rest, "fd/") != NO_INDEX)
		descriptor_target(descriptor_named(p, rest, "fd/"), target);
	else
		return 0;
	return S_IFLNK | 0777;
}

u32 proc_descriptor(const char *path)
{
	const char *rest;
	struct process *p = proc_split(path, &rest);
	if (!p)
		return NO_INDEX;
	(void)thread_named(p, &rest);
	return descriptor_named(p, rest, "fd/");
}

/* --- contents --- */

/* Z: over; T: stopped; R: somebody of it could go on; S: all wait. */
static char state_of(const struct process *p)
{
	if (p->stopped && !p->zombie)
		return 'T';
	for (u32 i = 0; i < arena->task_count && !p->zombie; i++)
		if (&arena->processes[arena->tasks[i].process] == p && arena->tasks[i].state == TASK_RUNNABLE)
			return 'R';
	return p->zombie ? 'Z' : 'S';
}

static char state_of_thread(const struct process *p, const struct task *thread)
{
	char state = state_of(p);
	return state == 'R' && thread && thread->state == TASK_BLOCKED ? 'S' : state;
}

static u32 thread_count(const struct process *p)
{
	u32 n = 0;
	for (u32 i = 0; i < arena->task_count; i++)
		n += &arena->processes[arena->tasks[i].process] == p &&
		     (arena->tasks[i].state == TASK_RUNNABLE || arena->tasks[i].state == TASK_BLOCKED);
	return n;
}

/* Masks of the first thread that is left. */
static void signals_text(const struct process *p, struct text *out)
{
	u64 ignored = 0, caught = 0, blocked = 0, own = 0;
	for (u32 n = 1; n <= 64; n++) {
		ignored |= p->actions[n].handler == (u64)SIG_IGN ? 1ull << (n - 1) : 0;
		caught |= p->actions[n].handler != (u64)SIG_IGN && p->actions[n].handler != (u64)SIG_DFL
		                  ? 1ull << (n - 1)
		                  : 0;
	}
	for (u32 i = arena->task_count; i-- > 0;)
		if (&arena->processes[arena->tasks[i].process] == p) {
			blocked = arena->tasks[i].signal_mask;
			own = arena->tasks[i].signal_pending;
		}
	text_add(
	        out,
	        "SigQ:\t%u/1024\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n",
	        arena->queued_count, own, p->signal_pending, blocked, ignored, caught);
}

static void status_text(struct process *p, const struct task *thread, struct text *out)
{
	char state = state_of_thread(p, thread);
	u64 kib = memory_mapped_bytes(p) / 1024;
	text_add(out,
	         "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
	         thread ? thread->name : p->name, p->umask, state,
	         state == 'R'   ? "running"
	         : state == 'Z' ? "zombie"
	         : state == 'T' ? "stopped"
	                        : "sleeping",
	         p->pid, thread ? thread->tid : p->pid, p->parent);
	text_add(out, "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nFDSize:\t%u\nGroups:\t1000 \n",
	         DESCRIPTORS_MAX);
	text_add(out, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", p->pid, thread ? thread->tid : p->pid,
	         p->group, p->session);
	if (!p->zombie)
		text_add(out,
		         "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t%8lu "
		         "kB\n"
		         "VmRSS:\t%8lu kB\nRssAnon:\t%8lu kB\nRssFile:\t       0 kB\nRssShmem:\t       0 "
		         "kB\nVmData:\t%8lu "
		         "kB\nVmStk:\t%8lu kB\nVmExe:\t       0 kB\nVmLib:\t       0 kB\nVmPTE:\t       0 "
		         "kB\nVmSwap:\t   "
		         "    0 kB\n",
		         kib, kib, kib, kib, kib, kib, (p->stack_high - p->stack_low) / 1024);
	text_add(out, "CoreDumping:\t0\nThreads:\t%u\n", thread_count(p));
	signals_text(p, out);
	text_add(out, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t"
	              "0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n"
	              "Cpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
	              "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
}

static void descriptor_text(const struct process *p, const char *name, struct text *out)
{
	u32 index = descriptor_named(p, name, "fdinfo/");
	if (index == NO_INDEX)
		return;
	const struct description *d = description_at(index);
	text_add(out, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t1\nino:\t%lu\n", d->offset, d->flags, d->inode);
	if (d->kind != KIND_PROCESS)
		return;
	s32 pid = process_find((s64)d->value) ? (s32)d->value : -1;
	text_add(out, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static void limits_text(const struct process *p, struct text *out)
{
	static const char *const names[16][2] = {
	        {"Max cpu time", "seconds"},    {"Max file size", "bytes"},      {"Max data size", "bytes"},
	        {"Max stack size", "bytes"},    {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
	        {"Max processes", "processes"}, {"Max open files", "files"},     {"Max locked memory", "bytes"},
	        {"Max address space", "bytes"}, {"Max file locks", "locks"},     {"Max pending signals", "signals"},
	        {"Max msgqueue size", "bytes"}, {"Max nice priority", ""},       {"Max realtime priority", ""},
	        {"Max realtime timeout", "us"}};
	text_add(out, "%-26s%-21s%-21s%-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (u32 i = 0; i < 16; i++) {
		char value[2][24];
		for (u32 k = 0; k < 2; k++)
			p->limits[i][k] == UINT64_MAX ? format(value[k], sizeof value[k], "unlimited")
			                              : format(value[k], sizeof value[k], "%lu", p->limits[i][k]);
		text_add(out, "%-26s%-21s%-21s%-10s\n", names[i][0], value[0], value[1], names[i][1]);
	}
}

static void memory_text(const struct process *p, u64 start, u64 end, struct text *out)
{
	u64 n = min_u64(end - start, out->room - out->size);
	if (start && !p->zombie && !memory_peek(p, start, out->data + out->size, n))
		out->size += n;
}

static void stat_text(struct process *p, const struct task *thread, struct text *out)
{
	text_add(out,
	         "%d (%s) %c %d %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 %d %d %u 0 100000 %lu %lu 18446744073709551615 ",
	         thread ? thread->tid : p->pid, thread ? thread->name : p->name, state_of_thread(p, thread), p->parent,
	         p->group, p->session, (u64)((clock_peek() - EPOCH_NS) / 10000000), 20 + p->nice, p->nice,
	         thread_count(p), memory_mapped_bytes(p), (u64)(memory_mapped_bytes(p) / PAGE_SIZE));
	text_add(out, "%lu %lu %lu 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 %lu %lu %lu %lu %lu %lu %lu 0\n", p->entry,
	         p->entry, p->stack_high, p->break_start, p->break_start, p->break_start, p->arguments_start,
	         p->arguments_end, p->environment_start, p->environment_end);
}

void proc_own_text(struct process *p, const char *name, struct text *out)
{
	const struct task *thread = thread_named(p, &name);
	u64 pages = memory_mapped_bytes(p) / PAGE_SIZE;
	if (!strcmp(name, "cmdline"))
		memory_text(p, p->arguments_start, p->arguments_end, out);
	else if (!strcmp(name, "environ"))
		memory_text(p, p->environment_start, p->environment_end, out);
	else if (!strcmp(name, "comm"))
		text_add(out, "%s\n", thread ? thread->name : p->name);
	else if (!strcmp(name, "maps") || !strcmp(name, "smaps"))
		memory_maps_text(p, out, *name == 's');
	else if (!strcmp(name, "status"))
		status_text(p, thread, out);
	else if (!strcmp(name, "stat"))
		stat_text(p, thread, out);
	else if (!strcmp(name, "statm"))
		text_add(out, "%lu %lu 0 0 0 %lu 0\n", pages, pages, pages);
	else if (!strcmp(name, "limits"))
		limits_text(p, out);
	else if (!strcmp(name, "mounts"))
		text_add(out,
		         "zvm / tmpfs rw 0 0\nproc /proc proc rw 0 0\nsys /sys sysfs ro 0 0\nhost /usr ext4 ro 0 0\n"
		         "host /script ext4 ro 0 0\n");
	else if (!strcmp(name, "mountinfo"))
		text_add(out, "1 1 0:20 / / rw - tmpfs zvm rw\n2 1 0:21 / /proc rw - proc proc rw\n3 1 0:21 / /sys ro "
		              "- sysfs sys "
		              "ro\n4 1 8:1 /usr /usr ro - ext4 host ro\n5 1 8:1 /script /script ro - ext4 host ro\n");
	else if (!strcmp(name, "cgroup"))
		text_add(out, "0::/\n");
	else if (!strcmp(name, "io"))
		text_add(out, "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n"
		              "cancelled_write_bytes: 0\n");
	else if (!strcmp(name, "oom_score_adj") || !strcmp(name, "oom_score"))
		text_add(out, "0\n");
	else if (!strcmp(name, "loginuid"))
		text_add(out, "4294967295\n");
	else if (!strcmp(name, "personality"))
		text_add(out, "00000000\n");
	else if (starts_with(name, "fdinfo/"))
		descriptor_text(p, name, out);
	else if (!strcmp(name, "auxv")) {
		memcpy(out->data, p->auxv, p->auxv_count * 8);
		out->size = p->auxv_count * 8;
	}
}

void proc_own_list(const struct process *p, const char *rest, struct text *out)
{
	if (!strcmp(rest, "task")) {
		for (u32 i = 0; i < arena->task_count; i++)
			if (task_lives(i) && &arena->processes[arena->tasks[i].process] == p)
				text_add(out, "d%d\n", arena->tasks[i].tid);
		return;
	}
	const struct task *thread = thread_named(p, &rest);
	if (!strcmp(rest, "fd") || !strcmp(rest, "fdinfo")) {
		for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
			if (p->descriptors[fd].description != NO_INDEX)
				text_add(out, "%c%u\n", rest[2] ? '-' : 'l', fd);
		return;
	}
	if (*rest)
		return;
	text_add(out, "dfd\ndfdinfo\n%s", thread ? "" : "dtask\n");
	proc_list_names(own_files, ARRAY_LENGTH(own_files), '-', out);
	proc_list_names(own_links, ARRAY_LENGTH(own_links), 'l', out);
}
