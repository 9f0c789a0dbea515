/* Prints what differs from run to run, or from machine to machine, when nobody prevents it. One aspect per argument. */
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

extern char **environ;
static const char *directory = "/";

static void print_bytes(const void *data, size_t size)
{
	for (const unsigned char *at = data; size--; at++)
		printf("%02x", *at);
	putchar('\n');
}

static void clocks(void)
{
	struct timespec t;
	struct timeval v;
	struct tms cpu;
	static const clockid_t ids[] = {
	        CLOCK_REALTIME,        CLOCK_MONOTONIC,          CLOCK_BOOTTIME,          CLOCK_MONOTONIC_RAW,
	        CLOCK_REALTIME_COARSE, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI};
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		clock_gettime(ids[i], &t);
		printf("clock %d: %lld.%09ld\n", (int)ids[i], (long long)t.tv_sec, t.tv_nsec);
	}
	gettimeofday(&v, NULL);
	printf("%lld.%06ld %lld %ld %ld\n", (long long)v.tv_sec, (long)v.tv_usec, (long long)time(NULL), (long)clock(),
	       (long)times(&cpu));
}

static void counter(void)
{
	unsigned processor;
	printf("%llu", (unsigned long long)__rdtsc());
	printf(" %llu\n", (unsigned long long)__rdtscp(&processor));
}

/* The page of the kernel at a fixed address that answers the time without being asked by a system call. */
static void vsyscall(void)
{
	long (*now)(long *) = (long (*)(long *))0xffffffffff600400;
	struct timeval v = {0, 0};
	long (*today)(struct timeval *, void *) = (long (*)(struct timeval *, void *))0xffffffffff600000;
	printf("%ld ", now(NULL));
	today(&v, NULL);
	printf("%ld.%06ld\n", (long)v.tv_sec, (long)v.tv_usec);
}

static void sleeping(void)
{
	struct timespec a, b, nap = {0, 20000000};
	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&nap, NULL);
	usleep(1000);
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%lld\n", (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec);
}

static void chance(void)
{
	unsigned char bytes[24];
	if (getrandom(bytes, sizeof bytes, 0) == sizeof bytes)
		print_bytes(bytes, sizeof bytes);
	if (getentropy(bytes, sizeof bytes) == 0)
		print_bytes(bytes, sizeof bytes);
	print_bytes((void *)getauxval(AT_RANDOM), 16);
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen(i ? "/dev/random" : "/dev/urandom", "r");
		if (file && fread(bytes, 1, sizeof bytes, file) == sizeof bytes)
			print_bytes(bytes, sizeof bytes);
		fclose(file);
	}
}

static void addresses(void)
{
	int local;
	void *heap = malloc(10), *big = malloc(1 << 20),
	     *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("%p %p %p %p %p %p %p %p %lx\n", (void *)&local, heap, big, page, (void *)addresses, (void *)printf,
	       sbrk(0), (void *)environ, getauxval(AT_BASE));
}

static void identity(void)
{
	struct utsname name;
	struct passwd *user = getpwuid(getuid());
	struct sysinfo machine;
	uname(&name);
	sysinfo(&machine);
	printf("%d %d %d %d %d %d %s %s\n", getpid(), getppid(), getuid(), getegid(), getsid(0), getpgrp(),
	       user ? user->pw_name : "nobody", user ? user->pw_dir : "");
	printf("%s %s %s %s %s\n", name.sysname, name.nodename, name.release, name.version, name.machine);
	printf("%ld %d %ld %lu %lu %d\n", sysconf(_SC_NPROCESSORS_ONLN), get_nprocs_conf(), sysconf(_SC_PHYS_PAGES),
	       machine.totalram, machine.freeram, machine.procs);
}

static void usage(void)
{
	struct rusage u;
	struct rlimit limit;
	getrusage(RUSAGE_SELF, &u);
	printf("%ld.%06ld %ld %ld %ld\n", (long)u.ru_utime.tv_sec, (long)u.ru_utime.tv_usec, u.ru_maxrss, u.ru_minflt,
	       u.ru_nivcsw);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit(i, &limit) == 0)
			printf("%d: %lld %lld\n", i, (long long)limit.rlim_cur, (long long)limit.rlim_max);
}

static void inherited(void)
{
	char path[4096];
	mode_t mask = umask(0);
	cpu_set_t cpus;
	sched_getaffinity(0, sizeof cpus, &cpus);
	printf("%s %o nice %d cpus %d tty %d\n", getcwd(path, sizeof path), (unsigned)mask,
	       getpriority(PRIO_PROCESS, 0), CPU_COUNT(&cpus), isatty(0) | isatty(2));
	for (char **e = environ; *e; e++)
		puts(*e);
	for (int fd = 0; fd < 64; fd++)
		if (lseek(fd, 0, SEEK_CUR) >= 0 || dup2(fd, fd) == fd)
			printf("descriptor %d\n", fd);
}

static void files(void)
{
	static const char *const paths[] = {
	        "/usr", "/etc", "/usr/bin/env", "/tmp", "/dev/null", "/proc/self", "/usr/share/common-licenses/GPL-3",
	        "."};
	struct stat st;
	struct statvfs fs;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (stat(paths[i], &st) == 0)
			printf("%s %llu %llu %o %lu %u %u %lld %lld %lld %lld\n", paths[i],
			       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, st.st_mode,
			       (unsigned long)st.st_nlink, st.st_uid, st.st_gid, (long long)st.st_size,
			       (long long)st.st_blocks, (long long)st.st_mtime, (long long)st.st_ctim.tv_nsec);
	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) == 0)
			printf("%d %llu %o %lld\n", fd, (unsigned long long)st.st_ino, st.st_mode,
			       (long long)st.st_mtime);
	if (statvfs("/tmp", &fs) == 0)
		printf("%lu %lu %lu\n", (unsigned long)fs.f_blocks, (unsigned long)fs.f_bfree,
		       (unsigned long)fs.f_ffree);
}

static void listing(void)
{
	DIR *dir = opendir(directory);
	for (struct dirent *d; dir && (d = readdir(dir));)
		printf("%llu %s %d %ld\n", (unsigned long long)d->d_ino, d->d_name, d->d_type, telldir(dir));
}

static void names(void)
{
	for (int i = 0; i < 3; i++) {
		char name[] = "/tmp/fileXXXXXX";
		int fd = mkstemp(name);
		printf("%s %s\n", name, fd >= 0 ? "made" : "not made");
	}
}

/* What the kernel tells a program at its start, the random bytes and the page with its own code included. */
static int print_object(struct dl_phdr_info *object, size_t size, void *unused)
{
	printf("%s %lx %d\n", object->dlpi_name, (unsigned long)object->dlpi_addr, object->dlpi_phnum);
	return 0;
}

static void vector(void)
{
	unsigned long *at = (unsigned long *)environ;
	while (*at)
		at++;
	for (at++; at[0]; at += 2)
		printf("%lu %lx\n", at[0], at[1]);
	print_bytes((void *)getauxval(AT_RANDOM), 16);
	printf("%s %s\n", (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM));
	dl_iterate_phdr(print_object, NULL);
}

static void schedule(void)
{
	struct sched_param parameter;
	struct timespec slice = {0, 0};
	unsigned processor = 0, node = 0;
	cpu_set_t cpus;
	sched_getaffinity(0, sizeof cpus, &cpus);
	sched_getparam(0, &parameter);
	sched_rr_get_interval(0, &slice);
	syscall(SYS_getcpu, &processor, &node, NULL);
	printf("on %d %u %u of %d, policy %d priority %d nice %d slice %ld io %ld slack %d\n", sched_getcpu(),
	       processor, node, CPU_COUNT(&cpus), sched_getscheduler(0), parameter.sched_priority,
	       getpriority(PRIO_PROCESS, 0), slice.tv_nsec, syscall(SYS_ioprio_get, 1, 0), prctl(PR_GET_TIMERSLACK));
}

static void settings(void)
{
	static const int questions[] = {PR_GET_DUMPABLE,   PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP,   PR_GET_KEEPCAPS,
	                                PR_GET_SECUREBITS, PR_GET_THP_DISABLE,  PR_GET_TIMERSLACK};
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct capabilities[2] = {{0}};
	gid_t groups[64];
	sigset_t set;
	for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
		printf("%d ", prctl(questions[i], 0, 0, 0, 0));
	printf("\npersonality %x\n", personality(0xffffffff));
	if (syscall(SYS_capget, &header, capabilities) == 0)
		print_bytes(capabilities, sizeof capabilities);
	for (int i = 0, n = getgroups(64, groups); i < n; i++)
		printf("group %u\n", groups[i]);
	sigprocmask(SIG_BLOCK, NULL, &set);
	print_bytes(&set, 8);
	for (int i = 1; i < 32; i++) {
		struct sigaction action = {0};
		sigaction(i, NULL, &action);
		printf("%d ", action.sa_handler == SIG_IGN);
	}
	putchar('\n');
}

static void space(void)
{
	static const char *const paths[] = {"/", "/usr", "/tmp", "/home", "/proc", "/dev", "/dev/shm", "/etc"};
	struct statfs fs;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (statfs(paths[i], &fs) == 0)
			printf("%s %lx %ld %ld %ld %ld %ld %ld %x %ld\n", paths[i], (long)fs.f_type, (long)fs.f_bsize,
			       (long)fs.f_blocks, (long)fs.f_bfree, (long)fs.f_bavail, (long)fs.f_files,
			       (long)fs.f_ffree, fs.f_fsid.__val[0], (long)fs.f_flags);
}

static void print_all_of(const char *name)
{
	struct statx st = {0};
	if (statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_ALL, &st))
		return;
	printf("%llu %u:%u %o %u %llu %llu %u %lld.%09u %lld.%09u %lld.%09u\n", (unsigned long long)st.stx_ino,
	       st.stx_dev_major, st.stx_dev_minor, st.stx_mode, st.stx_nlink, (unsigned long long)st.stx_size,
	       (unsigned long long)st.stx_blocks, st.stx_blksize, (long long)st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec,
	       (long long)st.stx_ctime.tv_sec, st.stx_ctime.tv_nsec, (long long)st.stx_btime.tv_sec,
	       st.stx_btime.tv_nsec);
}

/* Files of its own: their numbers, times and blocks, and the order in which their directory lists them. */
static void created(void)
{
	char place[] = "/tmp/createdXXXXXX", name[20], entries[4096];
	if (!mkdtemp(place) || chdir(place))
		return;
	for (int i = 0; i < 12; i++) {
		snprintf(name, sizeof name, "%c%d", 'a' + i * 7 % 26, i);
		int fd = open(name, O_CREAT | O_WRONLY, 0666);
		write(fd, entries, i * 1000 % 4096);
		close(fd);
		print_all_of(name);
	}
	link("a0", "b0");
	symlink("a0", "c0");
	mkdir("d0", 0777);
	print_all_of("a0"), print_all_of("c0"), print_all_of("d0"), print_all_of(".");
	long size = syscall(SYS_getdents64, open(".", O_RDONLY | O_DIRECTORY), entries, sizeof entries);
	for (long at = 0; at < size; at += ((struct dirent *)(entries + at))->d_reclen) {
		struct dirent *d = (struct dirent *)(entries + at);
		printf("%llu %lld %d %d %s\n", (unsigned long long)d->d_ino, (long long)d->d_off, d->d_reclen,
		       d->d_type, d->d_name);
		unlink(d->d_name);
		rmdir(d->d_name);
	}
	chdir("/");
	rmdir(place);
}

static void leftovers(void)
{
	/* What start-up left on the stack below us. */
	volatile unsigned char below[6000];
	unsigned long sum = 0;
	for (size_t i = 0; i < sizeof below; i++)
		sum = sum * 31 + below[i];
	printf("%lx\n", sum);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} all[] = {{"clocks", clocks},       {"counter", counter},     {"vsyscall", vsyscall}, {"sleeping", sleeping},
	           {"chance", chance},       {"addresses", addresses}, {"identity", identity}, {"usage", usage},
	           {"inherited", inherited}, {"files", files},         {"listing", listing},   {"names", names},
	           {"vector", vector},       {"leftovers", leftovers}, {"schedule", schedule}, {"settings", settings},
	           {"space", space},         {"created", created}};
	if (argc > 2)
		directory = argv[2];
	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].print();
			return 0;
		}
	return 2;
}
