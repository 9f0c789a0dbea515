/*
 * /proc and /sys, made up when they are looked at: the guest's own processes (proc_own.c), and constants about a
 * machine that does not exist.
 */
#include "files.h"

static const char *const root_files[] = {"cpuinfo", "filesystems", "loadavg", "meminfo",
                                         "stat",    "uptime",      "version", "vmstat"};
/* In the order of a listing: what lies together stands together. */
static const char *const kernel_files[][2] = {
        {"/proc/cmdline", "zvm\n"},
        {"/proc/diskstats", ""},
        {"/proc/net/dev", "Inter-|   Receive                                                |  Transmit\n face |bytes  "
                          "  packets errs drop "
                          "fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"},
        {"/proc/partitions", "major minor  #blocks  name\n\n"},
        {"/proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"},
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
        {"/proc/sys/fs/pipe-max-size", "65536\n"},
        {"/proc/sys/fs/file-max", "4096\n"},
        {"/proc/sys/net/core/somaxconn", "4096\n"},
        {"/sys/devices/system/cpu/online", "0\n"},
        {"/sys/devices/system/cpu/possible", "0\n"},
        {"/sys/devices/system/cpu/present", "0\n"},
        {"/sys/devices/system/cpu/kernel_max", "0\n"},
        {"/sys/devices/system/cpu/cpu0/topology/core_cpus", "1\n"},
        {"/sys/devices/system/cpu/cpu0/topology/core_id", "0\n"},
        {"/sys/devices/system/cpu/cpu0/topology/core_siblings", "1\n"},
        {"/sys/devices/system/cpu/cpu0/topology/core_siblings_list", "0\n"},
        {"/sys/devices/system/cpu/cpu0/topology/package_cpus", "1\n"},
        {"/sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"},
        {"/sys/devices/system/cpu/cpu0/topology/thread_siblings", "1\n"},
        {"/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n"},
        {"/sys/devices/system/node/online", "0\n"},
        {"/sys/devices/system/node/possible", "0\n"},
        {"/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n"},
        {"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "2097152\n"},
};

static bool listed(const char *const *list, u32 count, const char *name)
{
	for (u32 i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

bool proc_makes(const char *path)
{
	return starts_with(path, "/proc") || starts_with(path, "/sys");
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
	struct process *p = proc_split(path, &rest);
	*target = 0;
	if (p)
		return proc_own_mode(p, rest, target);
	if (!strcmp(path, "/proc") || !strcmp(path, "/sys"))
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

/* --- contents --- */

static u64 uptime_us(void)
{
	return (clock_peek() - EPOCH_NS) / 1000 + 1000000000u;
}

/* What is not used is free; nothing is cached, swapped or shared. */
static void meminfo_text(struct text *out)
{
	static const char *const zero[] = {
	        "Buffers",    "Cached",      "SwapCached", "SwapTotal",       "SwapFree",      "Dirty",
	        "Writeback",  "Mapped",      "Shmem",      "KReclaimable",    "Slab",          "SReclaimable",
	        "SUnreclaim", "KernelStack", "PageTables", "HugePages_Total", "HugePages_Free"};
	u64 total = arena->memory_limit / 1024, used = arena->memory_used / 1024;
	const struct {
		const char *name;
		u64 kib;
	} lines[] = {{"MemTotal:", total},
	             {"MemFree:", total - used},
	             {"MemAvailable:", total - used},
	             {"Active:", used},
	             {"Active(anon):", used},
	             {"Inactive:", 0},
	             {"AnonPages:", used},
	             {"CommitLimit:", total},
	             {"Committed_AS:", used},
	             {"VmallocTotal:", 34359738367ull},
	             {"Hugepagesize:", 2048}};
	for (u32 i = 0; i < ARRAY_LENGTH(lines); i++)
		text_add(out, "%-16s%8lu kB\n", lines[i].name, lines[i].kib);
	for (u32 i = 0; i < ARRAY_LENGTH(zero); i++) {
		char name[32];
		format(name, sizeof name, "%s:", zero[i]);
		text_add(out, starts_with(name, "Huge") ? "%-16s%8u\n" : "%-16s%8u kB\n", name, 0);
	}
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
		meminfo_text(out);
	else if (!strcmp(name, "vmstat"))
		text_add(out, "nr_free_pages %lu\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n",
		         (u64)((arena->memory_limit - arena->memory_used) / PAGE_SIZE));
	else if (!strcmp(name, "uptime"))
		text_add(out, "%lu.%02lu 1000.00\n", us / 1000000, us % 1000000 / 10000);
	else if (!strcmp(name, "loadavg"))
		text_add(out, "0.00 0.00 0.00 1/%u %d\n", arena->task_count, arena->next_pid - 1);
	else if (!strcmp(name, "stat"))
		text_add(out,
		         "cpu  %lu 0 0 100000 0 0 0 0 0 0\ncpu0 %lu 0 0 100000 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime "
		         "946683800\nprocesses %d\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		         us / 10000 - 100000, us / 10000 - 100000, arena->next_pid - 1);
	else if (!strcmp(name, "version"))
		text_add(out, "Linux version 6.1.0-zvm (zvm) #1 SMP zvm 2000-01-01\n");
	else
		text_add(out, "nodev\ttmpfs\nnodev\tproc\n");
}

static void write_text(const char *path, struct text *out)
{
	const char *rest;
	struct process *p = proc_split(path, &rest);
	if (p) {
		proc_own_text(p, rest, out);
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

void proc_list_names(const char *const *names, u32 count, char type, struct text *out)
{
	for (u32 i = 0; i < count; i++)
		text_add(out, "%c%s\n", type, names[i]);
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
	struct process *p = proc_split(path, &rest);
	*out->data = 0;
	if (p) {
		proc_own_list(p, rest, out);
		return 0;
	}
	if (strcmp(path, "/proc")) {
		list_kernel(path, out);
		return 0;
	}
	for (u32 i = 0; i < arena->process_count; i++)
		if (arena->processes[i].in_use)
			text_add(out, "d%d\n", arena->processes[i].pid);
	proc_list_names(root_files, ARRAY_LENGTH(root_files), '-', out);
	text_add(out, "lmounts\nlself\nlthread-self\n");
	list_kernel(path, out);
	return 0;
}
