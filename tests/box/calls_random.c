/*
 * Every call with arguments that make no sense, a few thousand times, from a fixed seed: nothing that a guest says may
 * take the box down, and all of it must be answered the same way each time. Only in the box: what it would do to a
 * machine is nobody's wish, and no answer here is wrong but one.
 *
 *     calls_random [SEED [ROUNDS]]
 */
#include "calls.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define PLAYGROUND 0x200000000000ul
#define PLAYGROUND_SIZE (64 * PAGE)
#define CALLS 470

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

/* Left out: what ends the process or makes another, what waits for what never comes, and what takes from this program
 * what it needs to go on. */
static bool left_out(long number)
{
	switch (number) {
	case SYS_exit:
	case SYS_exit_group:
	case SYS_kill:
	case SYS_tkill:
	case SYS_tgkill:
	case SYS_rt_sigqueueinfo:
	case SYS_rt_tgsigqueueinfo:
	case SYS_pidfd_send_signal:
	case SYS_fork:
	case SYS_vfork:
	case SYS_clone:
	case SYS_clone3:
	case SYS_execve:
	case SYS_execveat:
	case SYS_rt_sigreturn:
	case SYS_rt_sigsuspend:
	case SYS_arch_prctl: /* the thread pointer */ return true;
	default: return false;
	}
}

static bool about_memory(long number)
{
	return number == SYS_mmap || number == SYS_munmap || number == SYS_mremap || number == SYS_mprotect ||
	       number == SYS_madvise || number == SYS_pkey_mprotect || number == SYS_brk;
}

#define AREA_SIZE (16 * PAGE)
static char *area; /* with nothing before it and nothing behind it */
static const char *const paths[] = {"a",
                                    "b",
                                    "dir",
                                    "dir/c",
                                    ".",
                                    "..",
                                    "/",
                                    "",
                                    "/usr/bin/cat",
                                    "/usr",
                                    "/proc/self/maps",
                                    "/proc/self/fd/5",
                                    "/dev/null",
                                    "/etc/passwd",
                                    "/etc",
                                    "/nowhere/at/all",
                                    "l",
                                    "fifo",
                                    "/dev/stdin",
                                    "/script",
                                    "dir/../a",
                                    "/proc/self/cwd/a",
                                    "/dev/fd",
                                    "/proc/1/task"};

static long pointer(void)
{
	static const uint64_t bad[] = {0,
	                               8,
	                               0x10000,
	                               0x7bfffffff000,
	                               0x7c0000000000,
	                               0x7dfffffff000,
	                               0x7e0000000000,
	                               0x7e0000100000,
	                               0x7e2000000000,
	                               0x7e2000400000,
	                               0x7ffffffff000,
	                               0x800000000000,
	                               0xffff800000000000,
	                               ~0ull,
	                               ~4095ull,
	                               1ull << 63};
	switch (next() % 8) {
	case 0: return (long)bad[next() % (sizeof bad / sizeof bad[0])];
	case 1: return (long)(PLAYGROUND + next() % PLAYGROUND_SIZE);
	case 2: return (long)(area + AREA_SIZE - next() % 64);
	case 3:
	case 4: return (long)paths[next() % (sizeof paths / sizeof paths[0])];
	default: return (long)(area + next() % (AREA_SIZE / 8) * 8);
	}
}

static long small(void)
{
	static const long odd[] = {-1,       -2,       -100,     INT_MAX,        INT_MIN,
	                           LONG_MAX, LONG_MIN, 1L << 32, (1L << 32) + 5, 0xffffffff,
	                           4096,     4095,     65536,    1L << 40};
	if (next() % 4 == 0)
		return odd[next() % (sizeof odd / sizeof odd[0])];
	return (long)(next() % (next() % 2 ? 8 : 64));
}

static long argument(void)
{
	switch (next() % 5) {
	case 0:
	case 1: return pointer();
	case 2: return (long)(1ul << next() % 32 | (next() % 2 ? 1ul << next() % 32 : 0));
	default: return small();
	}
}

static long sensible(int i)
{
	switch (next() % 4) {
	case 0: return i ? (long)(next() % 16) : (long)(3 + next() % 22);
	case 1: return i ? 0 : AT_FDCWD;
	case 2: return (long)paths[next() % (sizeof paths / sizeof paths[0])];
	default: return (long)(area + next() % (AREA_SIZE / 16) * 8);
	}
}

/* An address that is none of the program's own, and a length that does not reach there. */
static long address(void)
{
	static const uint64_t places[] = {0,
	                                  0x1000,
	                                  0x10000,
	                                  0x7bffff000000 + 0x400000000,
	                                  0x7dfffffff000,
	                                  0x7e0000000000,
	                                  0x7e2000000000,
	                                  0x7ffffffff000,
	                                  0xffff800000000000,
	                                  ~4095ull};
	if (next() % 3)
		return (long)(PLAYGROUND + next() % 80 * PAGE + (next() % 8 ? 0 : 5));
	return (long)places[next() % (sizeof places / sizeof places[0])];
}

static long size(void)
{
	static const uint64_t sizes[] = {0,          1,          4096,  8192,     4095,          65536,
	                                 1ull << 47, 1ull << 63, ~0ull, ~4095ull, 0x7fffffffffff};
	return (long)sizes[next() % (sizeof sizes / sizeof sizes[0])];
}

static void choose(long number, long a[6])
{
	bool tame = next() % 2; /* likely enough to get past the first checks */
	for (int i = 0; i < 6; i++)
		a[i] = tame ? sensible(i) : argument();
	if (number == SYS_brk)
		a[0] = (long)(next() % 2 ? next() % 4096 : ~next() % 4096);
	else if (about_memory(number)) {
		a[0] = address();
		a[1] = size();
		if (number == SYS_mremap) {
			a[2] = size();
			a[3] = (long)(next() % 8);
			a[4] = address();
		}
		if (number == SYS_mmap) {
			/* Not where the program lies: fixed places only in the playground. */
			if (next() % 2)
				a[0] = (long)(PLAYGROUND + next() % 80 * PAGE);
			else
				a[3] &= ~(MAP_FIXED | MAP_FIXED_NOREPLACE);
			if (next() % 2)
				a[3] = (next() % 2 ? MAP_PRIVATE : MAP_SHARED) | (next() % 2 ? MAP_ANONYMOUS : 0) |
				       (a[3] & MAP_FIXED);
			a[4] = (long)(3 + next() % 16);
			a[5] = next() % 2 ? 0 : (long)(next() % 16 * PAGE);
		}
	}
}

static char place[PATH_MAX];

static void nothing(int number)
{
	(void)number;
}

/* What each call may rely on: somebody to wake it, descriptors of every kind, room for more. */
static void refresh(unsigned round)
{
	struct sigaction action = {.sa_handler = nothing};
	struct itimerval soon = {{1, 0}, {1, 0}};
	sigset_t none;
	sigemptyset(&none);
	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP && i != SIGSEGV && i != SIGBUS)
			sigaction(i, &action, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	if (round % 64)
		return;
	chdir(place);
	umask(022);
	chmod(".", 0755);
	syscall(SYS_close_range, 3, ~0u, 0);
	mmap((void *)PLAYGROUND, PLAYGROUND_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
	     0);
	mkdir("dir", 0755);
	symlink("a", "l");
	mkfifo("fifo", 0600);
	int pair[2];
	open("a", O_RDWR | O_CREAT, 0644);
	open("dir/c", O_RDWR | O_CREAT | O_APPEND, 0644);
	open("/usr/bin/cat", O_RDONLY);
	open(".", O_RDONLY | O_DIRECTORY);
	open("/usr/lib", O_RDONLY | O_DIRECTORY);
	open("/dev/zero", O_RDWR);
	open("/proc/self/status", O_RDONLY);
	pipe(pair);
	syscall(SYS_socketpair, 1, 1 | O_NONBLOCK, 0, pair);
	struct {
		short family;
		char name[6];
	} name = {1, "s"};
	syscall(SYS_socketpair, 1, 2 | O_NONBLOCK, 0, pair);
	int listener = (int)syscall(SYS_socket, 1, 1 | O_NONBLOCK, 0);
	syscall(SYS_bind, listener, &name, sizeof name);
	syscall(SYS_listen, listener, 5);
	syscall(SYS_connect, syscall(SYS_socket, 1, 1 | O_NONBLOCK, 0), &name, sizeof name);
	syscall(SYS_epoll_create1, 0);
	syscall(SYS_eventfd2, 1, 0);
	syscall(SYS_timerfd_create, 1, 0);
	syscall(SYS_memfd_create, "m", 2);
	open("a", O_PATH);
	uint64_t mask = 1 << (SIGUSR2 - 1);
	syscall(SYS_signalfd4, -1, &mask, 8, 0);
}

static uint64_t sum;
static unsigned answered, refused;
static bool trace;

static void make_call(unsigned round)
{
	long number, a[6];
	do
		number = (long)(next() % CALLS);
	while (left_out(number) || (number > SYS_rseq && number < SYS_pidfd_send_signal && next() % 16));
	choose(number, a);
	/* Standard output and error stay. */
	if ((number == SYS_close || number == SYS_close_range || number == SYS_dup2 || number == SYS_dup3) &&
	    ((uint32_t)a[0] <= 2 || (uint32_t)a[1] <= 2))
		return;
	/* And so does the room for descriptors, files and memory: no limit comes back. */
	if (number == SYS_setrlimit || number == SYS_prlimit64)
		a[number == SYS_prlimit64] = (long)(RLIMIT_LOCKS + next() % 6);
	refresh(round);
	memset(area, (int)(next() % 3 ? 0 : next()), AREA_SIZE);
	if (trace)
		fprintf(stderr, "%d %u: %ld(0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx)\n", getpid(), round, number, a[0],
		        a[1], a[2], a[3], a[4], a[5]);
	errno = 0;
	long r = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	sum = (sum ^ (uint64_t)r ^ (uint64_t)errno << 32 ^ (uint64_t)number << 48) * 0x100000001b3ull;
	if (trace)
		fprintf(stderr, "= %ld %s\n", r, r == -1 ? error_name(errno) : "");
	answered += r != -1;
	refused += r == -1;
}

/* Two who share what they have open, and do as they like with it. */
static void share_with_child(unsigned round)
{
	pid_t child = fork();
	if (child == 0) {
		next();
		for (unsigned i = 0; i < 40; i++)
			make_call(round + i);
		_exit((int)(sum & 0x7f));
	}
	for (unsigned i = 0; i < 20; i++)
		make_call(round + i);
	int status = 0;
	refresh(1);
	while (child > 0 && waitpid(child, &status, 0) == -1 && errno == EINTR)
		refresh(1);
	sum = (sum ^ (uint64_t)status) * 0x100000001b3ull;
}

int main(int argc, char **argv)
{
	if (argc > 1 && argv[1][0] == '/') { /* started by a `#!` line, of which this is the file */
		argv++;
		argc--;
	}
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 4000;
	state = (argc > 1 ? (uint64_t)atoll(argv[1]) : 1) * 0x9e3779b97f4a7c15ull;
	trace = argc > 3;
	setvbuf(stdout, NULL, _IONBF, 0);
	begin();
	if (!boxed) {
		printf("calls_random is for the box\n");
		return 1;
	}
	area = (char *)mmap(NULL, AREA_SIZE + 512 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 256 * PAGE;
	NEED(mprotect(area, AREA_SIZE, PROT_READ | PROT_WRITE) == 0);
	NEED(mmap((void *)PLAYGROUND, PLAYGROUND_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	          -1, 0) != MAP_FAILED);
	NEED(getcwd(place, sizeof place));
	for (unsigned round = 0; round < rounds; round++) {
		make_call(round);
		if (round % 250 == 249)
			share_with_child(round);
	}
	printf("\nok %u calls came back: %u answered, %u refused, %016lx\n", answered + refused, answered, refused,
	       sum);
	printf("1..1\n");
	return 0;
}
