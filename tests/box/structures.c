/* Every byte that a system call writes, padding and unused members included: what the kernel leaves unset is chance. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned char buffer[8192];

/* What the call answered, and the buffer behind its last byte that was written. */
static void show(const char *name, long result)
{
	unsigned long sum = 14695981039346656037ul;
	size_t end = sizeof buffer;
	while (end && buffer[end - 1] == 0xa5)
		end--;
	for (size_t i = 0; i < end; i++)
		sum = (sum ^ buffer[i]) * 1099511628211ul;
	printf("%s %ld: %zu bytes %016lx\n", name, result, end, sum);
	memset(buffer, 0xa5, sizeof buffer);
}

/* The call as it is, without what libc would make of it. */
#define CALL(name, ...) show(#name, syscall(SYS_##name, __VA_ARGS__))

static void files(void)
{
	static const char *const paths[] = {"/", "/usr/bin/env", "/dev/null", "/proc/self/stat", "/tmp", "/etc/passwd"};
	int fd = open("/usr/share/common-licenses", O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		CALL(stat, paths[i], buffer);
		CALL(lstat, paths[i], buffer);
		CALL(statfs, paths[i], buffer);
		CALL(newfstatat, AT_FDCWD, paths[i], buffer, 0);
		CALL(statx, AT_FDCWD, paths[i], 0, 0xfff, buffer);
	}
	for (int i = 0; i < 3; i++)
		CALL(fstat, i, buffer);
	CALL(fstatfs, fd, buffer);
	CALL(getdents64, fd, buffer, 700);
	CALL(getdents, open("/usr/share/common-licenses", O_RDONLY | O_DIRECTORY), buffer, 700);
	CALL(readlink, "/proc/self/exe", buffer, 100);
	CALL(getcwd, buffer, sizeof buffer);
	CALL(fcntl, fd, F_GETLK, memset(buffer, 0, 32));
	CALL(ioctl, 1, 0x5413 /* TIOCGWINSZ */, buffer);
	CALL(ioctl, 0, 0x541b /* FIONREAD */, buffer);
}

static void times(void)
{
	for (int clock = 0; clock < 12; clock++) {
		CALL(clock_gettime, clock, buffer);
		CALL(clock_getres, clock, buffer);
	}
	CALL(gettimeofday, buffer, buffer + 16);
	CALL(times, buffer);
	CALL(getrusage, RUSAGE_SELF, buffer);
	CALL(getrusage, RUSAGE_CHILDREN, buffer);
	CALL(sysinfo, buffer);
	memset(buffer, 0, 208);
	CALL(adjtimex, buffer);
	CALL(getitimer, 0, buffer);
	CALL(uname, buffer);
}

static void settings(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++)
		CALL(prlimit64, 0, i, NULL, buffer);
	CALL(sched_getaffinity, 0, 128, buffer);
	CALL(sched_getparam, 0, buffer);
	CALL(sched_getattr, 0, buffer, 56, 0);
	CALL(sched_rr_get_interval, 0, buffer);
	CALL(getcpu, buffer, buffer + 4, NULL);
	CALL(getgroups, 100, buffer);
	CALL(getresuid, buffer, buffer + 4, buffer + 8);
	CALL(getresgid, buffer, buffer + 4, buffer + 8);
	CALL(rt_sigprocmask, 0, NULL, buffer, 8);
	CALL(rt_sigaction, SIGTERM, NULL, buffer, 8);
	CALL(rt_sigpending, buffer, 8);
	CALL(sigaltstack, NULL, buffer);
	CALL(prctl, 16 /* PR_GET_NAME */, buffer, 0, 0, 0);
	CALL(get_robust_list, 0, buffer, buffer + 8);
	CALL(getrandom, buffer, 100, 0);
	memcpy(buffer, "\x22\x05\x08\x20\0\0\0\0", 8);
	CALL(capget, buffer, buffer + 8);
}

static void events(void)
{
	int ends[2], pair[2], queue = epoll_create1(0), size = 16, timer;
	struct itimerspec soon = {{0, 0}, {0, 1000}};
	struct timespec second = {1, 0};
	sigset_t set;
	pipe(ends);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	write(ends[1], "x", 1);
	epoll_ctl(queue, EPOLL_CTL_ADD, ends[0], &(struct epoll_event){.events = EPOLLIN, .data.u32 = 7});
	CALL(epoll_wait, queue, buffer, 5, 100);
	memcpy(buffer, &(struct pollfd){.fd = ends[0], .events = POLLIN}, 8);
	CALL(poll, buffer, 1, 100);
	CALL(pipe2, buffer, 0);
	CALL(socketpair, AF_UNIX, SOCK_DGRAM, 0, buffer);
	memcpy(buffer + 200, &size, sizeof size);
	CALL(getsockname, pair[0], buffer, buffer + 200);
	memcpy(buffer + 200, &size, sizeof size);
	CALL(getsockopt, pair[0], SOL_SOCKET, SO_PEERCRED, buffer, buffer + 200);
	memcpy(buffer + 200, &size, sizeof size);
	CALL(getsockopt, pair[0], SOL_SOCKET, SO_SNDBUF, buffer, buffer + 200);
	timer = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(timer, 0, &soon, NULL);
	CALL(timerfd_gettime, timer, buffer);
	CALL(read, timer, buffer, 8);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	CALL(read, signalfd(-1, &set, 0), buffer, 128);
	raise(SIGUSR1);
	CALL(rt_sigtimedwait, &set, buffer, &second, 8);
	if (fork() == 0)
		_exit(5);
	CALL(waitid, P_ALL, 0, buffer, WEXITED, buffer + 256);
	CALL(rt_sigtimedwait, &set, buffer, &second, 8);
	if (fork() == 0)
		_exit(5);
	CALL(wait4, -1, buffer, 0, buffer + 16);
}

int main(void)
{
	memset(buffer, 0xa5, sizeof buffer);
	files();
	times();
	settings();
	events();
	return 0;
}
