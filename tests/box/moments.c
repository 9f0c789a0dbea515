/* When things arrive: signals, timers, bytes, readiness; and what the memory around them holds. One matter per
 * argument. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t arrived;

static void count(int number)
{
	arrived++;
}

static void print_sum(const char *name, const void *data, size_t size)
{
	unsigned long sum = 14695981039346656037ul;
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ ((const unsigned char *)data)[i]) * 1099511628211ul;
	printf("%s %016lx\n", name, sum);
}

/* --- timers and signals --- */

/* How far does a loop get between two alarms? */
static void alarms(void)
{
	struct itimerval often = {{0, 1000}, {0, 1000}};
	struct timeval now;
	sigset_t none = {0};
	signal(SIGALRM, count);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (int seen = 0, turns = 0; seen < 10; turns++) {
		gettimeofday(&now, NULL);
		if (arrived != seen) {
			printf("%d ", turns);
			seen = arrived;
		}
	}
	putchar('\n');
}

static void intervals(void)
{
	struct itimerspec often = {{0, 700000}, {0, 700000}};
	struct timespec nap = {0, 3000000}, left = {0, 0};
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &often, NULL);
	signal(SIGALRM, count);
	for (int i = 0; i < 5; i++) {
		unsigned long n = 0;
		struct itimerspec rest;
		struct timespec soon = {0, 100000 * (i + 1)};
		nanosleep(&soon, NULL);
		read(fd, &n, sizeof n);
		timerfd_gettime(fd, &rest);
		ualarm(1000, 0);
		int r = nanosleep(&nap, &left);
		printf("%lu %ld %d %ld\n", n, rest.it_value.tv_nsec, r, left.tv_nsec);
	}
}

/* A child sends; signals that find one waiting are lost, so their number tells the moments. */
static void signals(void)
{
	struct timeval now;
	long turns = 0;
	signal(SIGUSR1, count);
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 50; i++) {
			kill(getppid(), SIGUSR1);
			if (i % 7 == 0)
				sched_yield();
		}
		_exit(0);
	}
	for (int seen = -1; waitpid(child, NULL, WNOHANG) == 0; turns++) {
		if (arrived != seen)
			printf("%ld ", turns);
		seen = arrived;
		sched_yield();
	}
	printf("\n%d arrived\n", arrived);
}

/* --- what a handler sees --- */

static void look(int number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	char line[400];
	unsigned char *state = (void *)c->uc_mcontext.fpregs;
	unsigned long sum = 0;
	for (int i = 0; i < NGREG; i++)
		printf("%llx ", (unsigned long long)c->uc_mcontext.gregs[i]);
	printf("\n%d %d %p flags %lx stack %p\n", number, info->si_code, number == SIGSEGV ? info->si_addr : NULL,
	       c->uc_flags, (void *)&sum);
	print_sum("siginfo", info, sizeof *info);
	print_sum("state", state, 512);
	print_sum("behind it", state + 512, 2048);
	print_sum("notes", state + 464, 48);
	print_sum("reserved", c->uc_mcontext.__reserved1, sizeof c->uc_mcontext.__reserved1);
	if (number == SIGSEGV)
		exit(0);
}

/* An access to a page that is there and not allowed; whether it is in memory must not matter. */
static void faults(void)
{
	static const struct timespec none;
	sigset_t set;
	struct sigaction action = {.sa_sigaction = look, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	kill(getpid(), SIGUSR1);
	int fd = open("/usr/share/common-licenses/GPL-3", O_RDONLY);
	volatile char *page = mmap(NULL, 32768, PROT_READ, MAP_PRIVATE, fd, 0);
	page[16384] = 1;
}

static unsigned char wide[32];

static void clobber(int number)
{
	__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvinsertf128 $1, %%xmm0, %%ymm0, %%ymm5"
	                 :
	                 :
	                 : "xmm0", "xmm5");
	arrived++;
}

static void not_there(int number)
{
	puts("this processor has no wide registers");
	exit(0);
}

/* Registers that cpuid did not offer, used all the same, behind a handler that used them too. */
static void vectors(void)
{
	signal(SIGILL, not_there);
	signal(SIGUSR1, clobber);
	for (int i = 0; i < 32; i++)
		wide[i] = i * 7;
	__asm__ volatile("vmovups %0, %%ymm5" : : "m"(wide) : "xmm5");
	syscall(SYS_tkill, gettid(), SIGUSR1);
	__asm__ volatile("vmovups %%ymm5, %0" : "=m"(wide));
	for (int i = 0; i < 32; i++)
		printf("%d ", wide[i]);
	printf("%d\n", arrived);
}

/* --- bytes --- */

/* How large are the pieces in which the input comes? */
static void pieces(void)
{
	char buffer[65536];
	for (ssize_t n, i = 0; (n = read(0, buffer, 100 + i * 999)) > 0; i = (i + 1) % 60)
		printf("%zd ", n);
	putchar('\n');
}

static void send(int fd, int who)
{
	for (int i = 0; i < 12; i++) {
		char data[3000];
		memset(data, 'a' + who, sizeof data);
		write(fd, data, (i * 791 + who * 333) % 3000);
		if ((i + who) % 3 == 0)
			usleep(50);
	}
	_exit(0);
}

static int start_senders(struct pollfd *set, int n)
{
	for (int i = 0; i < n; i++) {
		int ends[2];
		pipe(ends);
		if (fork() == 0)
			send(ends[1], i);
		close(ends[1]);
		set[i] = (struct pollfd){.fd = ends[0], .events = POLLIN};
	}
	return n;
}

/* Which of three pipes has something, and how much? */
static void polls(void)
{
	struct pollfd set[3];
	char buffer[1500];
	for (int open = start_senders(set, 3); open;) {
		printf("%d: ", poll(set, 3, -1));
		for (int i = 0; i < 3; i++) {
			ssize_t n = set[i].revents ? read(set[i].fd, buffer, sizeof buffer) : -1;
			printf("%zd ", n);
			if (n == 0)
				set[i].fd = -1, open--;
		}
	}
	putchar('\n');
	while (wait(NULL) > 0)
		;
}

static void epolls(void)
{
	struct pollfd set[3];
	struct epoll_event got[3];
	char buffer[1500];
	int open = start_senders(set, 3), fd = epoll_create1(0);
	for (int i = 0; i < 3; i++)
		epoll_ctl(fd, EPOLL_CTL_ADD, set[i].fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = i});
	while (open) {
		int n = epoll_wait(fd, got, 3, -1);
		for (int i = 0; i < n; i++) {
			int which = got[i].data.u32;
			ssize_t size = read(set[which].fd, buffer, sizeof buffer);
			printf("%d=%zd ", which, size);
			if (size == 0)
				close(set[which].fd), open--;
		}
	}
	putchar('\n');
	while (wait(NULL) > 0)
		;
}

static void selects(void)
{
	struct pollfd set[3];
	char buffer[1500];
	for (int open = start_senders(set, 3); open;) {
		fd_set ready;
		struct timeval soon = {0, 20};
		FD_ZERO(&ready);
		for (int i = 0; i < 3; i++)
			if (set[i].fd >= 0)
				FD_SET(set[i].fd, &ready);
		int n = select(20, &ready, NULL, NULL, &soon);
		printf("%d/%ld ", n, (long)soon.tv_usec);
		for (int i = 0; i < 3; i++)
			if (n && set[i].fd >= 0 && FD_ISSET(set[i].fd, &ready) &&
			    read(set[i].fd, buffer, sizeof buffer) == 0)
				set[i].fd = -1, open--;
	}
	putchar('\n');
	while (wait(NULL) > 0)
		;
}

/* --- memory --- */

/* The number of the first allocation that fails, under a limit of our own. */
static void exhaustion(void)
{
	struct rlimit limit = {300 << 20, 300 << 20};
	long n = 0;
	setlocale(LC_ALL, "");
	setrlimit(RLIMIT_AS, &limit);
	while (n < 1000000 &&
	       mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		n++;
	printf("%ld of 64K\n", n);
	for (n = 0; malloc(1000 + n % 50 * 16); n++)
		;
	printf("%ld by malloc, %s\n", n, strerror(errno));
}

/* What lies in memory that nobody has written to since it was given back, and between the members of what was copied.
 */
static void leftovers(void)
{
	struct {
		char c;
		long l;
		char d;
	} padded;
	void *blocks[200];
	padded.c = 1, padded.l = 2, padded.d = 3;
	print_sum("padding", &padded, sizeof padded);
	for (int i = 0; i < 200; i++)
		blocks[i] = malloc(i * 13 + 24);
	for (int i = 0; i < 200; i += 3)
		free(blocks[i]);
	for (int i = 0; i < 200; i += 3) {
		void *block = malloc(i * 13 + 24);
		print_sum("block", block, i * 13 + 24);
	}
}

static void places(void)
{
	void *maps[6], *heap = sbrk(0);
	for (int i = 0; i < 6; i++)
		maps[i] = mmap(NULL, 4096 << i, PROT_READ | PROT_WRITE,
		               MAP_PRIVATE | MAP_ANONYMOUS | (i == 3 ? MAP_32BIT : 0), -1, 0);
	munmap(maps[2], 4096 << 2);
	maps[1] = mremap(maps[1], 8192, 1 << 20, MREMAP_MAYMOVE);
	void *again = mmap(NULL, 4096 << 2, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sbrk(123456);
	for (int i = 0; i < 6; i++)
		printf("%p ", maps[i]);
	printf("%p %p %p %p\n", again, heap, sbrk(0), alloca(10));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {{"alarms", alarms},         {"intervals", intervals}, {"signals", signals}, {"faults", faults},
	           {"pieces", pieces},         {"polls", polls},         {"epolls", epolls},   {"selects", selects},
	           {"exhaustion", exhaustion}, {"leftovers", leftovers}, {"vectors", vectors}, {"places", places}};
	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	return 2;
}
