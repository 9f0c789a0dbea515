/*
 * Every call that takes a pointer, with pointers that are bad: each must be answered EFAULT, none may harm the one who
 * answers. Natively the places where the box keeps its monitor are just empty, so the same is wanted there.
 */
#include "calls.h"
#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>

#define PAGE 4096ul
#define MONITOR 0x7e0000000000ul
#define MONITOR_DATA 0x7e0000100000ul
#define ARENA 0x7e2000000000ul

#define CONTENT "0123456789abcdefghijklmnopqrstuvwxyz"

enum { IN, OUT, STRING };
enum { FILE_FD, DIRECTORY_FD, PIPE_OUT, PIPE_IN, SOCKET_FD, EPOLL_FD, EVENT_FD, TIMER_FD, TIMER_ID, FDS };
static long fds[FDS];
static char *good, *hole, *read_only, *last_page; /* last_page: nothing is mapped behind it */
static int length;
static struct epoll_event event = {.events = EPOLLIN};

#define F(which) (-1000 - (which)) /* stands for a descriptor */
#define P (-2000)                  /* stands for the bad pointer */
#define G (-2001)                  /* a good one to as many zeros as anybody wants */
#define FROM ((long)"f")
#define NEW ((long)"new")

struct row {
	const char *name;
	long number;
	long arguments[6];
	int way;
	int size; /* at least what is read or written there; 0: no more than a byte */
	bool may_be_short;
};

#define ROW(call, way, size, ...)                                                        \
	{                                                                                \
#call "(" #__VA_ARGS__ ")", SYS_##call, {__VA_ARGS__ }, way, size, false \
	}
#define SHORT(call, way, size, ...)                                                     \
	{                                                                               \
#call "(" #__VA_ARGS__ ")", SYS_##call, {__VA_ARGS__ }, way, size, true \
	}

static struct timespec no_time = {0, 0};
static struct timeval no_timeval = {0, 0};
static struct itimerspec no_interval;
static uint64_t no_signals;
#define SOON ((long)&no_time)

static const struct row rows[] = {
        SHORT(read, OUT, 16, F(FILE_FD), P, 16),
        SHORT(write, IN, 16, F(FILE_FD), P, 16),
        SHORT(pread64, OUT, 16, F(FILE_FD), P, 16, 0),
        SHORT(pwrite64, IN, 16, F(FILE_FD), P, 16, 0),
        ROW(readv, IN, 16, F(FILE_FD), P, 1),
        ROW(writev, IN, 16, F(FILE_FD), P, 1),
        ROW(preadv, IN, 16, F(FILE_FD), P, 1, 0, 0),
        ROW(pwritev, IN, 16, F(FILE_FD), P, 1, 0, 0),
        ROW(preadv2, IN, 16, F(FILE_FD), P, 1, 0, 0, 0),
        ROW(pwritev2, IN, 16, F(FILE_FD), P, 1, 0, 0, 0),
        SHORT(read, OUT, 16, F(PIPE_OUT), P, 16),
        SHORT(write, IN, 16, F(PIPE_IN), P, 16),
        ROW(read, OUT, 8, F(EVENT_FD), P, 8),
        ROW(write, IN, 8, F(EVENT_FD), P, 8),
        SHORT(read, OUT, 16, F(SOCKET_FD), P, 16),
        SHORT(write, IN, 16, F(SOCKET_FD), P, 16),
        ROW(open, STRING, 0, P, O_RDONLY),
        ROW(openat, STRING, 0, AT_FDCWD, P, O_RDONLY),
        ROW(openat2, STRING, 0, AT_FDCWD, P, G, sizeof(struct open_how)),
        ROW(openat2, IN, 24, AT_FDCWD, FROM, P, sizeof(struct open_how)),
        ROW(creat, STRING, 0, P, 0644),
        ROW(stat, STRING, 0, P, G),
        ROW(stat, OUT, 144, FROM, P),
        ROW(lstat, STRING, 0, P, G),
        ROW(lstat, OUT, 144, FROM, P),
        ROW(fstat, OUT, 144, F(FILE_FD), P),
        ROW(newfstatat, STRING, 0, AT_FDCWD, P, G, 0),
        ROW(newfstatat, OUT, 144, AT_FDCWD, FROM, P, 0),
        ROW(statx, STRING, 0, AT_FDCWD, P, 0, 0x7ff, G),
        ROW(statx, OUT, 256, AT_FDCWD, FROM, 0, 0x7ff, P),
        ROW(statfs, STRING, 0, P, G),
        ROW(statfs, OUT, 120, FROM, P),
        ROW(fstatfs, OUT, 120, F(FILE_FD), P),
        ROW(access, STRING, 0, P, 0),
        ROW(faccessat, STRING, 0, AT_FDCWD, P, 0),
        ROW(faccessat2, STRING, 0, AT_FDCWD, P, 0, 0),
        ROW(readlink, STRING, 0, P, G, 16),
        ROW(readlink, OUT, 0, (long)"l", P, 16),
        ROW(readlinkat, STRING, 0, AT_FDCWD, P, G, 16),
        ROW(readlinkat, OUT, 0, AT_FDCWD, (long)"l", P, 16),
        ROW(getcwd, OUT, 0, P, 4096),
        ROW(chdir, STRING, 0, P),
        ROW(rename, STRING, 0, P, NEW),
        ROW(rename, STRING, 0, FROM, P),
        ROW(renameat, STRING, 0, AT_FDCWD, P, AT_FDCWD, NEW),
        ROW(renameat2, STRING, 0, AT_FDCWD, FROM, AT_FDCWD, P, 0),
        ROW(mkdir, STRING, 0, P, 0755),
        ROW(mkdirat, STRING, 0, AT_FDCWD, P, 0755),
        ROW(rmdir, STRING, 0, P),
        ROW(unlink, STRING, 0, P),
        ROW(unlinkat, STRING, 0, AT_FDCWD, P, 0),
        ROW(link, STRING, 0, P, NEW),
        ROW(link, STRING, 0, FROM, P),
        ROW(linkat, STRING, 0, AT_FDCWD, P, AT_FDCWD, NEW, 0),
        ROW(symlink, STRING, 0, P, NEW),
        ROW(symlink, STRING, 0, FROM, P),
        ROW(symlinkat, STRING, 0, FROM, AT_FDCWD, P),
        ROW(mknod, STRING, 0, P, S_IFIFO | 0600, 0),
        ROW(mknodat, STRING, 0, AT_FDCWD, P, S_IFIFO | 0600, 0),
        ROW(chmod, STRING, 0, P, 0644),
        ROW(fchmodat, STRING, 0, AT_FDCWD, P, 0644),
        ROW(chown, STRING, 0, P, -1, -1),
        ROW(lchown, STRING, 0, P, -1, -1),
        ROW(fchownat, STRING, 0, AT_FDCWD, P, -1, -1, 0),
        ROW(truncate, STRING, 0, P, 0),
        ROW(utime, STRING, 0, P, G),
        ROW(utime, IN, 16, FROM, P),
        ROW(utimes, IN, 32, FROM, P),
        ROW(futimesat, IN, 32, AT_FDCWD, FROM, P),
        ROW(utimensat, STRING, 0, AT_FDCWD, P, G, AT_SYMLINK_NOFOLLOW),
        ROW(utimensat, IN, 32, AT_FDCWD, FROM, P, 0),
        ROW(getxattr, STRING, 0, P, (long)"user.x", G, 16),
        ROW(setxattr, STRING, 0, P, (long)"user.x", G, 1, 0),
        ROW(listxattr, STRING, 0, P, G, 16),
        ROW(removexattr, STRING, 0, P, (long)"user.x"),
        ROW(getdents, OUT, 0, F(DIRECTORY_FD), P, 4096),
        ROW(getdents64, OUT, 0, F(DIRECTORY_FD), P, 4096),
        ROW(pipe, OUT, 8, P),
        ROW(pipe2, OUT, 8, P, 0),
        ROW(socketpair, OUT, 8, AF_UNIX, SOCK_STREAM, 0, P),
        ROW(sendto, IN, 4, F(SOCKET_FD), P, 4, 0, 0, 0),
        SHORT(recvfrom, OUT, 4, F(SOCKET_FD), P, 4, MSG_DONTWAIT, 0, 0),
        ROW(sendmsg, IN, 56, F(SOCKET_FD), P, 0),
        ROW(recvmsg, IN, 56, F(SOCKET_FD), P, MSG_DONTWAIT),
        ROW(getsockopt, OUT, 4, F(SOCKET_FD), SOL_SOCKET, SO_TYPE, P, (long)&length),
        ROW(getsockopt, IN, 4, F(SOCKET_FD), SOL_SOCKET, SO_TYPE, G, P),
        ROW(setsockopt, IN, 4, F(SOCKET_FD), SOL_SOCKET, SO_REUSEADDR, P, 4),
        ROW(getsockname, IN, 4, F(SOCKET_FD), G, P),
        ROW(getpeername, IN, 4, F(SOCKET_FD), G, P),
        ROW(bind, IN, 110, F(SOCKET_FD), P, 110),
        ROW(connect, IN, 110, F(SOCKET_FD), P, 110),
        ROW(sendto, IN, 110, F(SOCKET_FD), G, 1, MSG_DONTWAIT, P, 110),
        ROW(memfd_create, STRING, 0, P, 0),
        ROW(ioctl, OUT, 4, F(PIPE_OUT), 0x541b, P),
        ROW(ioctl, IN, 4, F(PIPE_OUT), 0x5421, P),
        ROW(fcntl, IN, 32, F(FILE_FD), F_GETLK, P),
        ROW(fcntl, IN, 32, F(FILE_FD), F_SETLK, P),
        ROW(sendfile, IN, 8, F(PIPE_IN), F(FILE_FD), P, 1),
        ROW(copy_file_range, IN, 8, F(FILE_FD), P, F(FILE_FD), G, 0, 0),
        ROW(splice, IN, 8, F(FILE_FD), P, F(PIPE_IN), 0, 1, 0),
        ROW(vmsplice, IN, 16, F(PIPE_IN), P, 1, 0),
        ROW(poll, IN, 8, P, 1, 0),
        ROW(ppoll, IN, 8, P, 1, SOON, 0, 8),
        ROW(ppoll, IN, 16, 0, 0, P, 0, 8),
        ROW(ppoll, IN, 8, 0, 0, SOON, P, 8),
        ROW(select, IN, 8, 64, P, 0, 0, (long)&no_timeval),
        ROW(select, IN, 16, 0, 0, 0, 0, P),
        ROW(pselect6, IN, 8, 64, 0, P, 0, SOON, 0),
        ROW(pselect6, IN, 16, 0, 0, 0, 0, P, 0),
        ROW(pselect6, IN, 16, 0, 0, 0, 0, SOON, P),
        ROW(epoll_ctl, IN, 12, F(EPOLL_FD), EPOLL_CTL_MOD, F(PIPE_OUT), P),
        ROW(epoll_wait, OUT, 12, F(EPOLL_FD), P, 1, 0),
        ROW(epoll_pwait, OUT, 12, F(EPOLL_FD), P, 1, 0, 0, 8),
        ROW(epoll_pwait, IN, 8, F(EPOLL_FD), G, 1, 0, P, 8),
        ROW(epoll_pwait2, IN, 16, F(EPOLL_FD), G, 1, P, 0, 8),
        ROW(signalfd4, IN, 8, -1, P, 8, 0),
        ROW(timerfd_settime, IN, 32, F(TIMER_FD), 0, P, 0),
        ROW(timerfd_settime, OUT, 32, F(TIMER_FD), 0, (long)&no_interval, P),
        ROW(timerfd_gettime, OUT, 32, F(TIMER_FD), P),
        ROW(timer_create, IN, 64, CLOCK_REALTIME, P, G),
        ROW(timer_create, OUT, 4, CLOCK_REALTIME, 0, P),
        ROW(timer_settime, IN, 32, F(TIMER_ID), 0, P, 0),
        ROW(timer_settime, OUT, 32, F(TIMER_ID), 0, (long)&no_interval, P),
        ROW(timer_gettime, OUT, 32, F(TIMER_ID), P),
        ROW(gettimeofday, OUT, 16, P, 0),
        ROW(gettimeofday, OUT, 8, 0, P),
        ROW(time, OUT, 8, P),
        ROW(times, OUT, 32, P),
        ROW(clock_gettime, OUT, 16, CLOCK_MONOTONIC, P),
        ROW(clock_getres, OUT, 16, CLOCK_MONOTONIC, P),
        ROW(nanosleep, IN, 16, P, 0),
        ROW(clock_nanosleep, IN, 16, CLOCK_MONOTONIC, 0, P, 0),
        ROW(getitimer, OUT, 32, 0, P),
        ROW(setitimer, IN, 32, 0, P, 0),
        ROW(setitimer, OUT, 32, 1, (long)&no_interval, P),
        ROW(adjtimex, IN, 208, P),
        ROW(rt_sigaction, IN, 32, SIGUSR1, P, 0, 8),
        ROW(rt_sigaction, OUT, 32, SIGUSR1, 0, P, 8),
        ROW(rt_sigprocmask, IN, 8, SIG_BLOCK, P, 0, 8),
        ROW(rt_sigprocmask, OUT, 8, SIG_BLOCK, 0, P, 8),
        ROW(rt_sigpending, OUT, 8, P, 8),
        ROW(rt_sigtimedwait, IN, 8, P, 0, SOON, 8),
        ROW(rt_sigtimedwait, IN, 16, (long)&no_signals, 0, P, 8),
        ROW(rt_sigsuspend, IN, 8, P, 8),
        ROW(rt_sigqueueinfo, IN, 128, 1, 0, P),
        ROW(sigaltstack, IN, 24, P, 0),
        ROW(sigaltstack, OUT, 24, 0, P),
        ROW(futex, IN, 0, P, FUTEX_WAIT, 0, SOON),
        ROW(futex, IN, 0, P, FUTEX_CMP_REQUEUE, 0, 0, G, 0),
        ROW(futex, IN, 16, G, FUTEX_WAIT, 0, P),
        ROW(uname, OUT, 390, P),
        ROW(sysinfo, OUT, 112, P),
        ROW(getrlimit, OUT, 16, RLIMIT_NOFILE, P),
        ROW(setrlimit, IN, 16, RLIMIT_CORE, P),
        ROW(prlimit64, IN, 16, 0, RLIMIT_CORE, P, 0),
        ROW(prlimit64, OUT, 16, 0, RLIMIT_CORE, 0, P),
        ROW(getrusage, OUT, 144, RUSAGE_SELF, P),
        ROW(getresuid, OUT, 4, P, G, G),
        ROW(getresuid, OUT, 4, G, G, P),
        ROW(getresgid, OUT, 4, G, P, G),
        ROW(capget, IN, 4, P, G),
        ROW(sched_getparam, OUT, 4, 0, P),
        ROW(sched_setparam, IN, 4, 0, P),
        ROW(sched_setscheduler, IN, 4, 0, 0, P),
        ROW(sched_rr_get_interval, OUT, 16, 0, P),
        ROW(sched_getaffinity, OUT, 8, 0, 1024, P),
        ROW(sched_setaffinity, IN, 8, 0, 8, P),
        ROW(sched_getattr, OUT, 48, 0, P, 48, 0),
        ROW(getcpu, OUT, 4, P, 0, 0),
        ROW(getcpu, OUT, 4, 0, P, 0),
        ROW(prctl, STRING, 0, PR_SET_NAME, P),
        ROW(prctl, OUT, 16, PR_GET_NAME, P),
        ROW(prctl, OUT, 4, PR_GET_PDEATHSIG, P),
        ROW(arch_prctl, OUT, 8, ARCH_GET_FS, P),
        ROW(get_robust_list, OUT, 8, 0, P, G),
        ROW(get_robust_list, OUT, 8, 0, G, P),
        ROW(getrandom, OUT, 0, P, 16, 0),
        ROW(clone3, IN, 88, P, 88),
};

static void prepare(void)
{
	int pair[2];
	static char sixty_four_kib[65536];
	char *at = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	NEED(at != MAP_FAILED && munmap(at + 20 * PAGE, 20 * PAGE) == 0);
	good = at;
	last_page = at + 19 * PAGE;
	hole = at + 30 * PAGE;
	read_only = at + 50 * PAGE;
	NEED(mprotect(read_only, PAGE, PROT_READ) == 0);
	fds[FILE_FD] = make_file("f", CONTENT);
	NEED(symlink("f", "l") == 0);
	fds[DIRECTORY_FD] = open(".", O_RDONLY);
	NEED(pipe2(pair, O_NONBLOCK) == 0);
	fds[PIPE_OUT] = pair[0], fds[PIPE_IN] = pair[1];
	NEED(write(pair[1], sixty_four_kib, 1000) == 1000);
	NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	fds[SOCKET_FD] = pair[0];
	NEED(write(pair[1], sixty_four_kib, 1000) == 1000);
	fds[EPOLL_FD] = epoll_create1(0);
	NEED(epoll_ctl((int)fds[EPOLL_FD], EPOLL_CTL_ADD, (int)fds[PIPE_OUT], &event) == 0);
	fds[EVENT_FD] = eventfd(0, EFD_NONBLOCK);
	fds[TIMER_FD] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	int id;
	NEED(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, &id) == 0);
	fds[TIMER_ID] = id;
}

/* What a call may have used up or changed. */
static void refresh(void)
{
	uint64_t one = 1;
	memset(good, 0, 16 * PAGE);
	memset(last_page, 'x', PAGE);
	length = 4;
	NEED(pwrite((int)fds[FILE_FD], CONTENT, sizeof CONTENT - 1, 0) == sizeof CONTENT - 1);
	lseek((int)fds[FILE_FD], 0, SEEK_SET);
	lseek((int)fds[DIRECTORY_FD], 0, SEEK_SET);
	write((int)fds[EVENT_FD], &one, 8);
	syscall(SYS_close_range, 100, ~0u, 0);
	unlink("new");
}

static long call(const struct row *row, const void *pointer)
{
	long a[6];
	for (int i = 0; i < 6; i++) {
		a[i] = row->arguments[i];
		if (a[i] == P)
			a[i] = (long)pointer;
		else if (a[i] == G)
			a[i] = (long)good + i * 2 * (long)PAGE;
		else if (a[i] <= F(0) && a[i] > F(FDS))
			a[i] = fds[F(0) - a[i]];
	}
	refresh();
	errno = 0;
	long r = syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return r == -1 ? -errno : r;
}

static void check(const struct row *row, const char *kind, const void *pointer, bool may_be_short)
{
	char name[256];
	snprintf(name, sizeof name, "%s with a pointer %s", row->name, kind);
	long r = call(row, pointer);
	told(r == -EFAULT || (may_be_short && r >= 0), name, "wanted EFAULT, got %ld, %s", r < 0 ? -1 : r,
	     error_name(r < 0 ? -r : 0));
}

static void check_row(const struct row *row)
{
	static const struct {
		const char *kind;
		unsigned long address;
	} places[] = {{"to the kernel", 0xffff888000000000ul},
	              {"to the kernel's last bytes", ~7ul},
	              {"that is no address", 0x0000800000000000ul},
	              {"that is none either", 0x8000000000000000ul},
	              {"to the monitor's text", MONITOR},
	              {"to the monitor's data", MONITOR_DATA},
	              {"to the arena", ARENA},
	              {"to the arena's descriptions", ARENA + (4 << 20)},
	              {"to the first page", 8}};
	check(row, "to nothing", hole, false);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		check(row, places[i].kind, (void *)places[i].address, false);
	if (row->way == OUT)
		check(row, "to what cannot be written", read_only, false);
	if (row->way == STRING)
		check(row, "to a string without end", last_page + PAGE - 3, false);
	if (row->size > 1)
		check(row, "whose end is over the edge", last_page + PAGE - row->size + 1, row->may_be_short);
}

/* Pointers within what a pointer points to. */
static void inner_pointers(void)
{
	struct iovec parts[2] = {{good, 4}, {hole, 4}};
	struct iovec lost = {hole, 4}, monitor = {(void *)ARENA, 4}, kernel = {(void *)~0ul, 4};
	struct msghdr message = {.msg_iov = (void *)hole, .msg_iovlen = 1};
	int fd = (int)fds[FILE_FD];
	refresh();
	FAILS("readv into nothing", readv(fd, &lost, 1), EFAULT);
	FAILS("readv into the arena", readv(fd, &monitor, 1), EFAULT);
	FAILS("readv into the kernel", readv(fd, &kernel, 1), EFAULT);
	FAILS("writev from nothing", writev(fd, &lost, 1), EFAULT);
	FAILS("writev from the arena", writev(fd, &monitor, 1), EFAULT);
	refresh();
	IS("readv up to what is not there", readv(fd, parts, 2), 4);
	FAILS("sendmsg whose parts are nowhere", sendmsg((int)fds[SOCKET_FD], &message, 0), EFAULT);
	FAILS("recvmsg whose parts are nowhere", recvmsg((int)fds[SOCKET_FD], &message, MSG_DONTWAIT), EFAULT);
	message = (struct msghdr){.msg_iov = &monitor, .msg_iovlen = 1};
	FAILS("sendmsg out of the arena", sendmsg((int)fds[SOCKET_FD], &message, 0), EFAULT);
	FAILS("recvmsg into the arena", recvmsg((int)fds[SOCKET_FD], &message, MSG_DONTWAIT), EFAULT);
	FAILS("vmsplice out of the arena", vmsplice((int)fds[PIPE_IN], &monitor, 1, 0), EFAULT);
	FAILS("read over the edge of the guest", syscall(SYS_read, fd, 0x7bfffffff000, 0x7fffffff0000), EFAULT);
	IS("a robust list that is nowhere is nobody's business", syscall(SYS_set_robust_list, hole, 24), 0);
	IS("nor is the place of a thread's end", syscall(SYS_set_tid_address, ARENA) > 0, 1);
}

/* What the monitor keeps must be as it was: it still answers, and what it answers is right. */
static void still_there(void)
{
	char text[16];
	struct stat st;
	refresh();
	IS("files are still read", pread((int)fds[FILE_FD], text, 4, 10), 4);
	HOLDS("as they were written", !memcmp(text, "abcd", 4));
	IS("and told of", stat("f", &st), 0);
}

int main(void)
{
	begin();
	prepare();
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		check_row(&rows[i]);
	inner_pointers();
	still_there();
	return end();
}
