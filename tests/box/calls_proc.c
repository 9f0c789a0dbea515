/* /proc, /sys, /dev and the made-up part of /etc, read as programs read them. */
#include "calls.h"
#include <dirent.h>
#include <elf.h>
#include <link.h>
#include <mntent.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>

static char text[1 << 20];

/* The whole of a file, in the pieces that a program with a small buffer sees. */
static long slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	long size = 0, n;
	*text = 0;
	if (fd < 0)
		return -1;
	while ((n = read(fd, text + size, size + 1000 < (long)sizeof text ? 1000 : 0)) > 0)
		size += n;
	close(fd);
	text[size] = 0;
	return size;
}

/* What stands behind `key` at the start of a line, NULL if it does not. */
static const char *field(const char *key)
{
	size_t length = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += line != text;
		if (!strncmp(line, key, length))
			return line + length + strspn(line + length, " \t:");
		if (!*line)
			break;
	}
	return NULL;
}

static long number(const char *key)
{
	const char *at = field(key);
	return at ? atol(at) : -1;
}

static bool has(const char *needle)
{
	return strstr(text, needle) != NULL;
}

static void own_status(void)
{
	HOLDS("status", slurp("/proc/self/status") > 500);
	HOLDS("its name", field("Name") && !strncmp(field("Name"), "calls_proc\n", 11));
	IS("its process", number("Pid"), getpid());
	IS("its parent", number("PPid"), getppid());
	IS("its user", number("Uid"), getuid());
	IS("its threads", number("Threads"), 1);
	HOLDS("its state", field("State") && !strncmp(field("State"), "R (running)", 11));
	IS("its mask", strtol(field("Umask"), NULL, 8), 022);
	HOLDS("its memory", number("VmSize") > 500 && number("VmRSS") > 100 && number("VmPeak") >= number("VmSize"));
	static const char *const keys[] = {"Tgid",
	                                   "TracerPid",
	                                   "FDSize",
	                                   "Groups",
	                                   "VmHWM",
	                                   "VmData",
	                                   "VmStk",
	                                   "VmExe",
	                                   "VmLib",
	                                   "VmSwap",
	                                   "SigQ",
	                                   "SigPnd",
	                                   "SigBlk",
	                                   "SigIgn",
	                                   "SigCgt",
	                                   "CapEff",
	                                   "NoNewPrivs",
	                                   "Seccomp",
	                                   "Cpus_allowed",
	                                   "Cpus_allowed_list",
	                                   "Mems_allowed_list",
	                                   "voluntary_ctxt_switches"};
	bool all = true;
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
		all &= field(keys[i]) != NULL;
	HOLDS("all that programs look for", all);
	signal(SIGUSR1, SIG_IGN);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	slurp("/proc/self/status");
	IS("what it ignores", strtoul(field("SigIgn"), NULL, 16) >> (SIGUSR1 - 1) & 1, 1);
	IS("what it blocks", strtoul(field("SigBlk"), NULL, 16) >> (SIGUSR2 - 1) & 1, 1);
}

static void own_numbers(void)
{
	slurp("/proc/self/stat");
	int pid, parent, count = 0;
	char name[64], state;
	IS("stat", sscanf(text, "%d (%63[^)]) %c %d", &pid, name, &state, &parent), 4);
	HOLDS("says who", pid == getpid() && parent == getppid() && !strcmp(name, "calls_proc") && state == 'R');
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		count++;
	IS("in 52 numbers", count, 52);
	long size, resident, shared, code, library, data, dirty;
	slurp("/proc/self/statm");
	IS("statm",
	   sscanf(text, "%ld %ld %ld %ld %ld %ld %ld", &size, &resident, &shared, &code, &library, &data, &dirty), 7);
	HOLDS("counts pages", size >= resident && resident > 10 && !library && !dirty);
	HOLDS("comm", slurp("/proc/self/comm") == 11 && !strcmp(text, "calls_proc\n"));
	HOLDS("limits",
	      slurp("/proc/self/limits") > 1000 && has("Max open files") && has("Soft Limit") && has("Max stack size"));
	HOLDS("cgroup", slurp("/proc/self/cgroup") > 3 && has(":/"));
	HOLDS("oom_score_adj", slurp("/proc/self/oom_score_adj") > 0);
	HOLDS("io", slurp("/proc/self/io") > 0 && number("rchar") >= 0 && number("write_bytes") >= 0);
}

extern char **environ;

static void own_memory(char **argv)
{
	static char words[4096];
	long length_of_words = 0;
	for (char **word = argv; *word; word++)
		length_of_words += sprintf(words + length_of_words, "%s", *word) + 1;
	HOLDS("cmdline",
	      slurp("/proc/self/cmdline") == length_of_words && !memcmp(text, words, (size_t)length_of_words));
	long size = slurp("/proc/self/environ");
	HOLDS("environ", size > 0 && !strcmp(text, environ[0]) && text[size - 1] == 0);
	slurp("/proc/self/auxv");
	const ElfW(auxv_t) *auxv = (void *)text;
	unsigned long entry = 0, page = 0;
	for (; auxv->a_type != AT_NULL; auxv++) {
		entry = auxv->a_type == AT_ENTRY ? auxv->a_un.a_val : entry;
		page = auxv->a_type == AT_PAGESZ ? auxv->a_un.a_val : page;
	}
	HOLDS("auxv", entry == getauxval(AT_ENTRY) && page == 4096);
	char line[1024], *stack = line, *heap = sbrk(4096);
	bool code = false, has_stack = false, has_heap = false, has_libc = false, ordered = true, known = true;
	unsigned long last = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof line, maps)) {
		unsigned long start, stop, offset, inode;
		char rights[8], device[16], name[512] = "";
		known &= sscanf(line, "%lx-%lx %7s %lx %15s %lu %511s", &start, &stop, rights, &offset, device, &inode,
		                name) >= 6;
		ordered &= start >= last && stop > start;
		last = stop;
		code |= (unsigned long)own_memory >= start && (unsigned long)own_memory < stop && rights[2] == 'x' &&
		        strstr(name, "calls_proc");
		has_stack |= !strcmp(name, "[stack]") && (unsigned long)stack >= start && (unsigned long)stack < stop &&
		             rights[1] == 'w';
		has_heap |= !strcmp(name, "[heap]") && (unsigned long)heap >= start && (unsigned long)heap < stop;
		has_libc |= strstr(name, "/libc.so.6") && inode;
	}
	fclose(maps);
	HOLDS("maps", known && ordered);
	HOLDS("has the code", code);
	HOLDS("has the stack", has_stack);
	HOLDS("has the heap", has_heap);
	HOLDS("has the library", has_libc);
	pthread_attr_t attributes;
	void *address;
	size_t length;
	IS("pthread_getattr_np finds the stack", pthread_getattr_np(pthread_self(), &attributes), 0);
	IS("of the first thread", pthread_attr_getstack(&attributes, &address, &length), 0);
	HOLDS("where it is", stack >= (char *)address && stack < (char *)address + length && length >= 1 << 20);
	HOLDS("smaps", slurp("/proc/self/smaps") > 1000 && has("Size:") && has("Rss:"));
}

static void own_links(char **argv)
{
	char target[PATH_MAX], here[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("exe", n > 0 && target[0] == '/' && strstr(target, "/calls_proc"));
	int fd = open("/proc/self/exe", O_RDONLY);
	HOLDS("can be opened", read(fd, here, 4) == 4 && !memcmp(here, "\177ELF", 4));
	close(fd);
	n = readlink("/proc/self/cwd", target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("cwd", getcwd(here, sizeof here) && !strcmp(here, target));
	IS("root", readlink("/proc/self/root", target, sizeof target), 1);
	fd = open(".", O_RDONLY);
	int file = make_file("named", "content");
	char name[64];
	snprintf(name, sizeof name, "/proc/self/fd/%d", file);
	n = readlink(name, target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("fd names files", n > 0 && strstr(target, "/named"));
	unlink("named");
	n = readlink(name, target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("and says when they are gone", n > 10 && !strcmp(target + n - 10, " (deleted)"));
	int again = open(name, O_RDONLY);
	HOLDS("which can be opened all the same", read(again, here, 7) == 7 && !memcmp(here, "content", 7));
	int pair[2];
	NEED(pipe(pair) == 0);
	snprintf(name, sizeof name, "/proc/self/fd/%d", pair[0]);
	n = readlink(name, target, sizeof target - 1);
	struct stat st;
	HOLDS("pipes have numbers", n > 6 && !strncmp(target, "pipe:[", 6) &&
	                                    (fstat(pair[0], &st), strtoul(target + 6, NULL, 10) == st.st_ino));
	DIR *directory = opendir("/proc/self/fd");
	int listed = 0;
	struct dirent *e;
	while ((e = readdir(directory)))
		listed += e->d_name[0] != '.';
	closedir(directory);
	int counted = 1; /* the listing itself */
	for (int i = 0; i < 1024; i++)
		counted += fcntl(i, F_GETFD) >= 0;
	IS("each is listed", listed, counted);
	snprintf(name, sizeof name, "/proc/self/fdinfo/%d", file);
	HOLDS("fdinfo", slurp(name) > 10 && number("pos") == 7 && field("flags"));
	directory = opendir("/proc/self/task");
	listed = 0;
	while ((e = readdir(directory)))
		listed += atoi(e->d_name) == getpid();
	closedir(directory);
	IS("task has the first thread", listed, 1);
	HOLDS("whose name is there", slurp("/proc/thread-self/comm") == 11);
	FAILS("no process has that number", open("/proc/999999/status", O_RDONLY), ENOENT);
	FAILS("nothing is made in /proc", open("/proc/x", O_CREAT | O_WRONLY, 0644), ENOENT);
	FAILS("nor written", open("/proc/self/status", O_WRONLY), EACCES);
}

static void machine(void)
{
	HOLDS("cpuinfo", slurp("/proc/cpuinfo") > 100 && number("processor") == 0 && field("model name") &&
	                         strstr(field("flags"), "sse2"));
	HOLDS("meminfo", slurp("/proc/meminfo") > 100 && number("MemTotal") > 1000 && number("MemFree") >= 0 &&
	                         number("MemAvailable") >= 0);
	HOLDS("all that programs look for",
	      number("Buffers") >= 0 && number("Cached") >= 0 && number("SwapTotal") >= 0 && number("Shmem") >= 0 &&
	              number("Slab") >= 0 && number("Active") >= 0 && number("HugePages_Total") >= 0);
	struct sysinfo info;
	sysinfo(&info);
	IS("the same memory as sysinfo", number("MemTotal") / 1024, info.totalram * info.mem_unit / 1048576);
	double up, idle, one, five, fifteen;
	slurp("/proc/uptime");
	IS("uptime", sscanf(text, "%lf %lf", &up, &idle), 2);
	struct timespec boot;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	HOLDS("the same as the clock's", up <= (double)boot.tv_sec + 1 && up > (double)boot.tv_sec - 2);
	int running, all, last;
	slurp("/proc/loadavg");
	IS("loadavg", sscanf(text, "%lf %lf %lf %d/%d %d", &one, &five, &fifteen, &running, &all, &last), 6);
	HOLDS("stat", slurp("/proc/stat") > 50 && field("cpu ") && field("cpu0") && number("btime") > 0 &&
	                      number("processes") > 0 && field("ctxt"));
	HOLDS("version", slurp("/proc/version") > 20 && !strncmp(text, "Linux version ", 14));
	HOLDS("filesystems", slurp("/proc/filesystems") > 5 && has("nodev\ttmpfs"));
	HOLDS("cmdline", slurp("/proc/cmdline") > 0);
	struct utsname name;
	uname(&name);
	HOLDS("osrelease",
	      slurp("/proc/sys/kernel/osrelease") > 0 && !strncmp(text, name.release, strlen(name.release)));
	HOLDS("hostname",
	      slurp("/proc/sys/kernel/hostname") > 0 && !strncmp(text, name.nodename, strlen(name.nodename)));
	HOLDS("pid_max", slurp("/proc/sys/kernel/pid_max") > 0 && atoi(text) >= 32768);
	HOLDS("overcommit_memory", slurp("/proc/sys/vm/overcommit_memory") > 0);
	HOLDS("boot_id", slurp("/proc/sys/kernel/random/boot_id") == 37);
	HOLDS("cpu/online", slurp("/sys/devices/system/cpu/online") > 0 && text[0] == '0');
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	struct mntent *m;
	bool root = false, proc = false;
	while (mounts && (m = getmntent(mounts))) {
		root |= !strcmp(m->mnt_dir, "/");
		proc |= !strcmp(m->mnt_dir, "/proc") && !strcmp(m->mnt_type, "proc");
	}
	HOLDS("mounts", root && proc);
	HOLDS("mountinfo", slurp("/proc/self/mountinfo") > 20 && has(" - "));
	HOLDS("the old name of mounts", slurp("/etc/mtab") > 10);
}

static void made_up(void)
{
	static const struct {
		const char *path, *content;
	} files[] = {{"/etc/hostname", "zvm\n"},
	             {"/etc/resolv.conf", ""},
	             {"/proc/loadavg", "0.00 0.00 0.00 1/1 1\n"},
	             {"/proc/self/cgroup", "0::/\n"},
	             {"/sys/devices/system/cpu/online", "0\n"},
	             {"/sys/devices/system/cpu/possible", "0\n"},
	             {"/proc/sys/kernel/hostname", "zvm\n"},
	             {"/proc/sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000000\n"}};
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		char name[128];
		snprintf(name, sizeof name, "%s is what it is in every box", files[i].path);
		slurp(files[i].path);
		told(!strcmp(text, files[i].content), name, "it is %s", text);
	}
	HOLDS("hosts", slurp("/etc/hosts") > 0 && has("127.0.0.1") && has("localhost") && has("zvm"));
	HOLDS("nsswitch.conf", slurp("/etc/nsswitch.conf") > 0 && has("passwd:") && has("hosts:"));
	HOLDS("passwd", slurp("/etc/passwd") > 0 && has("zvm:x:1000:1000:"));
	HOLDS("group", slurp("/etc/group") > 0 && has("zvm:x:1000:"));
	FAILS("no shadow", open("/etc/shadow", O_RDONLY), ENOENT);
	HOLDS("localtime is a time zone", slurp("/etc/localtime") > 40 && !memcmp(text, "TZif", 4));
	FAILS("a file of /etc for writing", open("/etc/passwd", O_WRONLY), EACCES);
	FAILS("a new one", open("/etc/new", O_CREAT | O_WRONLY, 0644), EROFS);
	HOLDS("one processor in cpuinfo", slurp("/proc/cpuinfo") > 0 && !has("processor\t: 1"));
	struct stat st;
	IS("/proc is root's", (stat("/proc", &st), st.st_uid), 0);
	IS("and what is in it about oneself is one's own", (stat("/proc/self/", &st), st.st_uid), 1000);
}

static void devices(void)
{
	char bytes[16];
	int fd = open("/dev/null", O_RDWR);
	HOLDS("/dev/null", write(fd, "x", 1) == 1 && read(fd, bytes, 1) == 0);
	fd = open("/dev/zero", O_RDWR);
	memset(bytes, 1, 16);
	HOLDS("/dev/zero", read(fd, bytes, 16) == 16 && !bytes[0] && !bytes[15] && write(fd, "x", 1) == 1);
	fd = open("/dev/full", O_RDWR);
	HOLDS("/dev/full", read(fd, bytes, 16) == 16 && write(fd, "x", 1) == -1 && errno == ENOSPC);
	unsigned long one, two;
	HOLDS("/dev/urandom", read(open("/dev/urandom", O_RDONLY), &one, 8) == 8 &&
	                              read(open("/dev/random", O_RDONLY), &two, 8) == 8 && one && one != two);
	FAILS("/dev/tty without a terminal", open("/dev/tty", O_RDWR), ENXIO);
	struct stat st, other;
	IS("/dev/stdin", (stat("/dev/stdin", &st), fstat(0, &other), st.st_ino), other.st_ino);
	IS("/dev/fd", (stat("/dev/fd/0", &st), st.st_ino), other.st_ino);
	HOLDS("/dev/stdout is standard output",
	      (stat("/dev/stdout", &st), fstat(1, &other), st.st_ino == other.st_ino));
	if (boxed) { /* natively that is for the owner of whatever it is */
		fd = open("/dev/stdout", O_WRONLY);
		HOLDS("and can be opened", fd >= 0);
		FAILS("lseek of it", lseek(fd, 0, SEEK_CUR), ESPIPE);
	}
	FAILS("a device that is not there", open("/dev/sda", O_RDONLY), ENOENT);
}

/* A parent sees its child there, alive and dead. */
static void children(void)
{
	char name[64];
	int status, pair[2], back[2];
	NEED(pipe(pair) == 0 && pipe(back) == 0);
	pid_t child = fork();
	if (child == 0) {
		char byte;
		close(pair[1]);
		write(back[1], "x", 1);
		read(pair[0], &byte, 1);
		_exit(3);
	}
	char byte;
	read(back[0], &byte, 1);
	usleep(50000);
	snprintf(name, sizeof name, "/proc/%d/status", child);
	HOLDS("a child that waits",
	      slurp(name) > 0 && number("PPid") == getpid() && !strncmp(field("State"), "S (sleeping)", 12));
	close(pair[1]);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	HOLDS("a child that is dead", slurp(name) > 0 && !strncmp(field("State"), "Z (zombie)", 10));
	waitpid(child, &status, 0);
	FAILS("a child that is gone", open(name, O_RDONLY), ENOENT);
}

/* --- the other processes of one's own --- */

static int from_child[2], to_child[2];

static const char *of(pid_t pid, const char *what)
{
	static char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
	return path;
}

static void *named_thread(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, "a thread");
	long tid = syscall(SYS_gettid);
	write(from_child[1], &tid, sizeof tid);
	pause();
	return NULL;
}

/* Says that it is ready, and does what it is told. */
static void other(char **argv)
{
	pthread_t thread;
	char order;
	NEED(chdir("below") == 0);
	int fd = make_file("opened", "by another");
	NEED(dup2(fd, 77) == 77);
	prctl(PR_SET_NAME, "renamed");
	signal(SIGUSR1, SIG_IGN);
	pthread_create(&thread, NULL, named_thread, NULL);
	while (read(to_child[0], &order, 1) == 1) {
		if (order == 'w')
			memset(argv[0], 'w', strlen(argv[0]));
		else
			_exit(3);
		write(from_child[1], &order, 1);
	}
	_exit(4);
}

static void order_child(char order)
{
	char done;
	NEED(write(to_child[1], &order, 1) == 1 && read(from_child[0], &done, 1) == 1);
}

static void others_links(pid_t child, long tid)
{
	char target[PATH_MAX], here[PATH_MAX];
	long n = readlink(of(child, "exe"), target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	n = readlink("/proc/self/exe", here, sizeof here - 1);
	here[n < 0 ? 0 : n] = 0;
	HOLDS("exe of another", !strcmp(target, here));
	n = readlink(of(child, "cwd"), target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("cwd", n > 6 && !strcmp(target + n - 6, "/below"));
	IS("a file by its cwd", access(of(child, "cwd/opened"), R_OK), 0);
	n = readlink(of(child, "fd/77"), target, sizeof target - 1);
	target[n < 0 ? 0 : n] = 0;
	HOLDS("what it has open", n > 7 && !strcmp(target + n - 7, "/opened"));
	int fd = open(of(child, "fd/77"), O_RDONLY);
	HOLDS("can be opened", read(fd, here, 10) == 10 && !memcmp(here, "by another", 10));
	close(fd);
	unlink("below/opened");
	fd = open(of(child, "fd/77"), O_RDONLY);
	HOLDS("even when its name is gone", read(fd, here, 10) == 10 && !memcmp(here, "by another", 10));
	close(fd);
	FAILS("what it has not", open(of(child, "fd/78"), O_RDONLY), ENOENT);
	HOLDS("fdinfo", slurp(of(child, "fdinfo/77")) > 10 && number("pos") == 10);
	DIR *directory = opendir(of(child, "task"));
	int listed = 0, own = 0;
	for (struct dirent *e; (e = readdir(directory));) {
		listed += e->d_name[0] != '.';
		own += atol(e->d_name) == tid;
	}
	closedir(directory);
	IS("its threads", listed, 2);
	IS("by their numbers", own, 1);
	char path[64];
	snprintf(path, sizeof path, "task/%ld/comm", tid);
	HOLDS("each with its name", slurp(of(child, path)) == 9 && !strcmp(text, "a thread\n"));
	snprintf(path, sizeof path, "task/%ld/status", tid);
	HOLDS("and number", slurp(of(child, path)) > 100 && number("Pid") == tid && number("Tgid") == child);
	FAILS("no thread of it", open(of(child, "task/999999/comm"), O_RDONLY), ENOENT);
	FAILS("nor is one of ours", open(of(child, strcat(strcpy(path, "task/"), "1/comm")), O_RDONLY), ENOENT);
}

static void others(void)
{
	char marked[64];
	long tid;
	siginfo_t info;
	mkdir("below", 0755);
	NEED(pipe(from_child) == 0 && pipe(to_child) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(to_child[1]);
		static char *const words[] = {"another", "with words", "", NULL}, *const variables[] = {
		                                                                          "A=1", "CHILD=yes", NULL};
		dup2(to_child[0], 50);
		dup2(from_child[1], 51);
		execve("/proc/self/exe", words, variables);
		_exit(99);
	}
	close(to_child[0]);
	NEED(read(from_child[0], &tid, sizeof tid) == sizeof tid);
	usleep(20000);
	snprintf(marked, sizeof marked, "(%s) S %d", "renamed", (int)getpid());
	IS("cmdline of another", slurp(of(child, "cmdline")), 8 + 11 + 1);
	HOLDS("is what it was started with", !memcmp(text, "another\0with words\0", 20));
	IS("environ of another", slurp(of(child, "environ")), 4 + 10);
	HOLDS("is what it was given", !memcmp(text, "A=1\0CHILD=yes", 14));
	order_child('w');
	IS("what it writes there itself", slurp(of(child, "cmdline")), 20);
	HOLDS("is seen", !memcmp(text, "wwwwwww\0with words\0", 20));
	for (int n = 0; n < 5000 && !(slurp(of(child, "stat")) > 50 && has(marked)); n++)
		usleep(1000); /* natively it may not have come to wait yet */
	HOLDS("comm of another", slurp(of(child, "comm")) == 8 && !strcmp(text, "renamed\n"));
	HOLDS("stat", slurp(of(child, "stat")) > 50 && has(marked));
	HOLDS("status", slurp(of(child, "status")) > 300 && number("Pid") == child && number("PPid") == getpid() &&
	                        number("Threads") == 2 && !strncmp(field("State"), "S (sleeping)", 12));
	IS("what it ignores", strtoul(field("SigIgn"), NULL, 16) >> (SIGUSR1 - 1) & 1, 1);
	HOLDS("maps", slurp(of(child, "maps")) > 300 && has("[stack]") && has("calls_proc"));
	HOLDS("limits", slurp(of(child, "limits")) > 300 && has("Max open files"));
	HOLDS("statm", slurp(of(child, "statm")) > 10);
	others_links(child, tid);
	write(to_child[1], "x", 1);
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	snprintf(marked, sizeof marked, ") Z %d", (int)getpid());
	HOLDS("who is over", slurp(of(child, "stat")) > 50 && has(marked));
	HOLDS("says so", slurp(of(child, "status")) > 100 && !strncmp(field("State"), "Z (zombie)", 10));
	IS("and has no words", slurp(of(child, "cmdline")), 0);
	IS("nor memory", slurp(of(child, "maps")), 0);
	FAILS("nor a program", readlink(of(child, "exe"), marked, sizeof marked), ENOENT);
	FAILS("nor a place", readlink(of(child, "cwd"), marked, sizeof marked), ENOENT);
	FAILS("which cannot be opened", open(of(child, "cwd"), O_RDONLY), ENOENT);
	HOLDS("but a name", slurp(of(child, "comm")) == 8);
	waitid(P_PID, child, &info, WEXITED);
	FAILS("until it has been waited for", open(of(child, "stat"), O_RDONLY), ENOENT);

	/* In its parent's memory. */
	IS("a child of vfork", slurp("/proc/self/cmdline") > 0, 1);
	long size = strlen(text);
	memcpy(marked, text, sizeof marked);
	static long seen;
	child = vfork();
	if (child == 0) {
		seen = slurp("/proc/self/cmdline");
		_exit(0);
	}
	waitpid(child, NULL, 0);
	HOLDS("has its parent's words", seen > 0 && size == (long)strlen(text) && !strcmp(text, marked));
}

int main(int argc, char **argv)
{
	if (getenv("CHILD")) {
		to_child[0] = 50;
		from_child[1] = 51;
		other(argv);
	}
	(void)argc;
	begin();
	own_status();
	own_numbers();
	own_memory(argv);
	own_links(argv);
	machine();
	devices();
	if (boxed) /* the box's own */
		made_up();
	children();
	others();
	return end();
}
