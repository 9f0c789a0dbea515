/*
 * /proc, made up when it is looked at: the guest's own processes, and constants about a machine that does not exist.
 */
#include "files.h"

static const char *const root_files[] = {"cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"};
static const char *const own_files[] = {"auxv",   "cmdline",       "comm",  "environ", "limits", "maps",  "mountinfo",
                                        "mounts", "oom_score_adj", "smaps", "stat",    "statm",  "status"};
static const char *const own_links[] = {"cwd", "exe", "root"};
static const char *const kernel_files[][2] = {
        {"/proc/sys/kernel/hostname", "zvm\n"},
        {"/proc/sys/kernel/osrelease", "6.1.0-zvm\n"},
        {"/proc/sys/kernel/ostype", "Linux\n"},
        {"/proc/sys/kernel/pid_max", "32768\n"},
        {"/proc/sys/kernel/ngroups_max", "65536\n"},
        {"/proc/sys/kernel/cap_last_cap", "40\n"},
        {"/proc/sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000000\n"},
        {"/proc/sys/kernel/threads-max", "256\n"},
        {"/proc/sys/vm/overcommit_memory", "0\n"},
        {"/proc/sys/vm/max_map_count", "65530\n"},
        {"/proc/sys/fs/pipe-max-size", "1048576\n"},
        {"/proc/sys/fs/file-max", "4096\n"},
        {"/proc/sys/net/core/somaxconn", "4096\n"},
};

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

/* "/proc/12/rest" -> process 12 and "rest" (or ""); threads ("/proc/12/task/13/rest") are their process. NULL: not of
 * this form. */
static struct process *split(const char *path, const char **rest)
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

static const char *behind_task(const char *rest)
{
	u32 tid;
	const char *at = rest + 5;
	if (!starts_with(rest, "task/") || !parse_number(&at, &tid) || (*at && *at != '/'))
		return rest;
	return *at ? at + 1 : at;
}

static u32 descriptor_named(const struct process *p, const char *rest)
{
	u32 fd;
	const char *at = rest + 3;
	if (!starts_with(rest, "fd/") || !parse_number(&at, &fd) || *at || fd >= DESCRIPTORS_MAX)
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
	else if (d->kind == KIND_EVENT || d->kind == KIND_TIMER || d->kind == KIND_SIGNAL || d->kind == KIND_EPOLL)
		format(target, ZVM_PATH_MAX, "anon_inode:[%s]",
		       d->kind == KIND_EVENT    ? "eventfd"
		       : d->kind == KIND_TIMER  ? "timerfd"
		       : d->kind == KIND_SIGNAL ? "signalfd"
		                                : "eventpoll");
	else if (d->path != NO_INDEX)
		format(target, ZVM_PATH_MAX, "%s", string_at(d->path));
	else if (description_path(index, target))
		format(target, ZVM_PATH_MAX, "/tmp/#%u (deleted)", d->node + 1);
}

static u32 own_mode(const struct process *p, const char *rest, char target[ZVM_PATH_MAX])
{
	if (!strcmp(rest, "task"))
		return S_IFDIR | 0555;
	if (starts_with(rest, "task/"))
		rest = behind_task(rest);
	if (!*rest || !strcmp(rest, "fd") || !strcmp(rest, "fdinfo"))
		return S_IFDIR | 0555;
	if (listed(own_files, ARRAY_LENGTH(own_files), rest))
		return S_IFREG | 0444;
	if (!strcmp(rest, "exe") || !strcmp(rest, "cwd"))
		format(target, ZVM_PATH_MAX, "%s", *rest == 'e' ? p->executable : p->directory);
	else if (!strcmp(rest, "root"))
		format(target, ZVM_PATH_MAX, "/");
	else if (descriptor_named(p, rest) != NO_INDEX)
		descriptor_target(descriptor_named(p, rest), target);
	else
		return 0;
	return S_IFLNK | 0777;
}

static u32 kernel_mode(const char *path)
{
	size_t length = strlen(path);
	for (u32 i = 0; i < ARRAY_LENGTH(kernel_files); i++) {
		if (!strcmp(kernel_files[i][0], path))
			return S_IFREG | 0444;
		if (starts_with(kernel_files[i][0], path) && kernel_files[i][0][length] == '/')
			return S_IFDIR | 0555;
	}
	return 0;
}

u32 proc_mode(const char *path, char target[ZVM_PATH_MAX])
{
	const char *rest;
	struct process *p = split(path, &rest);
	*target = 0;
	if (p)
		return own_mode(p, rest, target);
	if (!strcmp(path, "/proc"))
		return S_IFDIR | 0555;
	if (!strcmp(path, "/proc/self") || !strcmp(path, "/proc/thread-self")) {
		format(target, ZVM_PATH_MAX, path[6] == 's' ? "%d" : "%d/task/%d", process_self()->pid,
		       task_self()->tid);
		return S_IFLNK | 0777;
	}
	if (!strcmp(path, "/proc/mounts")) {
		format(target, ZVM_PATH_MAX, "self/mounts");
		return S_IFLNK | 0777;
	}
	if (starts_with(path, "/proc/") && listed(root_files, ARRAY_LENGTH(root_files), path + 6))
		return S_IFREG | 0444;
	return kernel_mode(path);
}

u32 proc_descriptor(const char *path)
{
	const char *rest;
	struct process *p = split(path, &rest);
	return p && p == process_self() ? descriptor_named(p, starts_with(rest, "task/") ? behind_task(rest) : rest)
	                                : NO_INDEX;
}

/* --- contents --- */

static u64 uptime_us(void)
{
	return (clock_peek() - EPOCH_NS) / 1000 + 1000000000u;
}

static void root_text(const char *name, struct text *out)
{
	u64 us = uptime_us();
	if (!strcmp(name, "cpuinfo"))
		text_add(out, "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 26\nmodel "
		              "name\t: zvm virtual cpu\nstepping\t: 3\n"
		              "cpu MHz\t\t: 1000.000\ncache size\t: 8192 KB\nphysical id\t: 0\nsiblings\t: 1\ncore "
		              "id\t\t: 0\ncpu cores\t: 1\n"
		              "flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 "
		              "clflush mmx fxsr sse sse2 syscall nx lm pni ssse3 cx16 "
		              "sse4_1 sse4_2 popcnt lahf_lm\nbogomips\t: 2000.00\n"
		              "clflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 40 bits physical, 48 bits "
		              "virtual\n\n");
	else if (!strcmp(name, "meminfo"))
		text_add(out,
		         "MemTotal:       %8lu kB\nMemFree:        %8lu kB\nMemAvailable:   %8lu kB\nBuffers:          "
		         "     0 kB\nCached:                0 kB\nSwapTotal:             0 kB\nSwapFree:              "
		         "0 kB\n",
		         arena->memory_limit / 1024, (arena->memory_limit - arena->memory_used) / 1024,
		         (arena->memory_limit - arena->memory_used) / 1024);
	else if (!strcmp(name, "uptime"))
		text_add(out, "%lu.%02lu 0.00\n", us / 1000000, us % 1000000 / 10000);
	else if (!strcmp(name, "loadavg"))
		text_add(out, "0.00 0.00 0.00 1/%u %d\n", arena->task_count, arena->next_pid - 1);
	else if (!strcmp(name, "stat"))
		text_add(out,
		         "cpu  %lu 0 0 0 0 0 0 0 0 0\ncpu0 %lu 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime "
		         "946683800\nprocesses %d\nprocs_running 1\nprocs_blocked 0\n",
		         us / 10000, us / 10000, arena->next_pid - 1);
	else if (!strcmp(name, "version"))
		text_add(out, "Linux version 6.1.0-zvm (zvm) #1 SMP zvm 2000-01-01\n");
	else
		text_add(out, "nodev\ttmpfs\nnodev\tproc\n");
}

static void status_text(const struct process *p, struct text *out)
{
	u64 kib = memory_mapped_bytes((struct process *)(u64)p) / 1024;
	text_add(out,
	         "Name:\t%s\nUmask:\t%04o\nState:\tR "
	         "(running)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
	         p->name, p->umask, p->pid, p->pid, p->parent);
	text_add(out, "Uid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nFDSize:\t%u\nGroups:\t1000 \n",
	         DESCRIPTORS_MAX);
	text_add(out, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\nVmStk:\t    8192 kB\n",
	         kib, kib, kib, kib);
	text_add(out, "Threads:\t1\nSigQ:\t0/"
	              "1024\nNoNewPrivs:\t1\nSeccomp:\t2\nCpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:"
	              "\t1\nMems_allowed_list:\t0\n");
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

static void memory_text(u64 start, u64 end, struct text *out)
{
	u64 n = min_u64(end - start, out->room - out->size);
	if (start && !guest_read(out->data + out->size, start, n))
		out->size += n;
}

static void stat_text(const struct process *p, struct text *out)
{
	text_add(out, "%d (%s) R %d %d %d 0 -1 4194304 0 0 0 0 %lu 0 0 0 20 0 1 0 100000 %lu %lu 18446744073709551615 ",
	         p->pid, p->name, p->parent, p->group, p->session, (u64)((clock_peek() - EPOCH_NS) / 10000000),
	         memory_mapped_bytes((struct process *)(u64)p),
	         (u64)(memory_mapped_bytes((struct process *)(u64)p) / PAGE_SIZE));
	text_add(out, "%lu %lu %lu 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 %lu %lu %lu %lu %lu %lu %lu 0\n", p->entry,
	         p->entry, p->stack_high, p->break_start, p->break_start, p->break_start, p->arguments_start,
	         p->arguments_end, p->environment_start, p->environment_end);
}

static void own_text(struct process *p, const char *name, struct text *out)
{
	u64 pages = memory_mapped_bytes(p) / PAGE_SIZE;
	bool own_memory = p == process_self();
	if (!strcmp(name, "cmdline") && own_memory)
		memory_text(p->arguments_start, p->arguments_end, out);
	else if (!strcmp(name, "environ") && own_memory)
		memory_text(p->environment_start, p->environment_end, out);
	else if (!strcmp(name, "comm"))
		text_add(out, "%s\n", p->name);
	else if (!strcmp(name, "maps") || !strcmp(name, "smaps"))
		memory_maps_text(p, out, *name == 's');
	else if (!strcmp(name, "status"))
		status_text(p, out);
	else if (!strcmp(name, "stat"))
		stat_text(p, out);
	else if (!strcmp(name, "statm"))
		text_add(out, "%lu %lu 0 0 0 %lu 0\n", pages, pages, pages);
	else if (!strcmp(name, "limits"))
		limits_text(p, out);
	else if (!strcmp(name, "mounts"))
		text_add(out, "zvm / tmpfs rw 0 0\nproc /proc proc rw 0 0\n");
	else if (!strcmp(name, "mountinfo"))
		text_add(out, "1 1 0:20 / / rw - tmpfs zvm rw\n2 1 0:21 / /proc rw - proc proc rw\n");
	else if (!strcmp(name, "oom_score_adj"))
		text_add(out, "0\n");
	else if (!strcmp(name, "auxv")) {
		memcpy(out->data, p->auxv, p->auxv_count * 8);
		out->size = p->auxv_count * 8;
	}
}

static void write_text(const char *path, struct text *out)
{
	const char *rest;
	struct process *p = split(path, &rest);
	if (p) {
		own_text(p, starts_with(rest, "task/") ? behind_task(rest) : rest, out);
		return;
	}
	for (u32 i = 0; i < ARRAY_LENGTH(kernel_files); i++)
		if (!strcmp(kernel_files[i][0], path)) {
			text_add(out, "%s", kernel_files[i][1]);
			return;
		}
	root_text(path + 6, out);
}

int proc_open(const char *path, u32 *page, u32 *page_count, u64 *size)
{
	*page_count = 64;
	*page = pages_take(*page_count);
	if (*page == NO_INDEX)
		return -ENOMEM;
	struct text out = {page_at(*page), 0, *page_count * PAGE_SIZE};
	write_text(path, &out);
	*size = out.size;
	return 0;
}

static void list_names(const char *const *names, u32 count, char type, struct text *out)
{
	for (u32 i = 0; i < count; i++)
		text_add(out, "%c%s\n", type, names[i]);
}

static void list_own(const struct process *p, const char *rest, struct text *out)
{
	if (!strcmp(rest, "task")) {
		for (u32 i = 0; i < arena->task_count; i++)
			if (arena->tasks[i].state != TASK_FREE && arena->tasks[i].state != TASK_ZOMBIE &&
			    &arena->processes[arena->tasks[i].process] == p)
				text_add(out, "d%d\n", arena->tasks[i].tid);
		return;
	}
	rest = starts_with(rest, "task/") ? behind_task(rest) : rest;
	if (!strcmp(rest, "fd") || !strcmp(rest, "fdinfo")) {
		for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
			if (p->descriptors[fd].description != NO_INDEX)
				text_add(out, "l%u\n", fd);
		return;
	}
	if (*rest)
		return;
	text_add(out, "dfd\ndtask\n");
	list_names(own_files, ARRAY_LENGTH(own_files), '-', out);
	list_names(own_links, ARRAY_LENGTH(own_links), 'l', out);
}

static void list_kernel(const char *path, struct text *out)
{
	size_t length = strlen(path);
	char last[64] = "";
	for (u32 i = 0; i < ARRAY_LENGTH(kernel_files); i++) {
		const char *full = kernel_files[i][0];
		char name[64];
		if (!starts_with(full, path) || full[length] != '/')
			continue;
		format(name, sizeof name, "%s", full + length + 1);
		char *slash = strchr(name, '/');
		if (slash)
			*slash = 0;
		if (!strcmp(name, last))
			continue;
		memcpy(last, name, sizeof last);
		text_add(out, "%c%s\n", slash ? 'd' : '-', name);
	}
}

int proc_list(const char *path, struct text *out)
{
	const char *rest;
	struct process *p = split(path, &rest);
	*out->data = 0;
	if (p) {
		list_own(p, rest, out);
		return 0;
	}
	if (strcmp(path, "/proc")) {
		list_kernel(path, out);
		return 0;
	}
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use)
			text_add(out, "d%d\n", arena->processes[i].pid);
	list_names(root_files, ARRAY_LENGTH(root_files), '-', out);
	text_add(out, "lmounts\nlself\ndsys\nlthread-self\n");
	return 0;
}
