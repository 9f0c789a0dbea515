/* Prints what differs from run to run, or from machine to machine, when nobody prevents it. One aspect per argument. */
#include <dirent.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static void registers(void)
{
	unsigned selector = 0, limit = 0;
	__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(0x7b));
	__asm__ volatile("mov %%gs, %0" : "=r"(selector));
	printf("%x %x %d\n", limit, selector, sched_getcpu());
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
	           {"registers", registers}, {"leftovers", leftovers}};
	if (argc > 2)
		directory = argv[2];
	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].print();
			return 0;
		}
	return 2;
}
