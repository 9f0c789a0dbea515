/* Process descriptors: what they are, what can be sent to them and waited for, and when they are ready. */
#include "calls.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int pidfd_open_(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static int send_signal(int fd, int number, siginfo_t *info, unsigned flags)
{
	return (int)syscall(SYS_pidfd_send_signal, fd, number, info, flags);
}

static int revents(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static int gate[2];

/* A child that waits until it is let go, and ends with 7. */
static pid_t waiting_child(void)
{
	NEED(pipe(gate) == 0);
	pid_t child = fork();
	if (child == 0) {
		char byte;
		close(gate[1]);
		read(gate[0], &byte, 1);
		_exit(7);
	}
	close(gate[0]);
	return child;
}

static void opening(void)
{
	char target[64] = "", text[512];
	FAILS("no process", pidfd_open_(INT_MAX, 0), ESRCH);
	FAILS("number 0", pidfd_open_(0, 0), EINVAL);
	FAILS("a negative one", pidfd_open_(-1, 0), EINVAL);
	FAILS("an unknown flag", pidfd_open_(getpid(), 1), EINVAL);
	int self = pidfd_open_(getpid(), 0), other = pidfd_open_(getppid() ? getppid() : 1, O_NONBLOCK);
	HOLDS("oneself", self >= 0);
	IS("is closed at exec", fcntl(self, F_GETFD), FD_CLOEXEC);
	IS("can be read and written, it says", fcntl(self, F_GETFL) & O_ACCMODE, O_RDWR);
	FAILS("but not read", read(self, text, 1), EINVAL);
	FAILS("nor written", write(self, text, 1), EINVAL);
	FAILS("nor mapped", (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, self, 0), ENODEV);
	IS("is not ready while it lives", revents(self), 0);
	IS("a copy of it", close(dup(self)), 0);
	snprintf(text, sizeof text, "/proc/self/fd/%d", self);
	readlink(text, target, sizeof target - 1);
	HOLDS("its name", !strcmp(target, "anon_inode:[pidfd]"));
	snprintf(text, sizeof text, "/proc/self/fdinfo/%d", self);
	int fd = open(text, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	text[n < 0 ? 0 : n] = 0;
	const char *pid = strstr(text, "\nPid:\t");
	HOLDS("fdinfo says whose it is", pid && atoi(pid + 6) == getpid());
	struct rlimit few = {3, 0}, old;
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	FAILS("no room for one", pidfd_open_(getpid(), 0), EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	close(fd), close(self), close(other);
}

static volatile int heard;
static siginfo_t said;

static void hear(int number, siginfo_t *info, void *context)
{
	(void)context;
	heard = number;
	said = *info;
}

static void sending(void)
{
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &action, NULL);
	int self = pidfd_open_(getpid(), 0), status;
	IS("a signal to oneself", send_signal(self, SIGUSR1, NULL, 0), 0);
	HOLDS("is heard", heard == SIGUSR1 && said.si_code == SI_USER && said.si_pid == getpid());
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	info.si_value.sival_int = 5;
	IS("with more to say", send_signal(self, SIGUSR1, &info, 0), 0);
	HOLDS("it is told", said.si_code == SI_QUEUE && said.si_value.sival_int == 5);
	FAILS("of another signal", send_signal(self, SIGUSR2, &info, 0), EINVAL);
	IS("none", send_signal(self, 0, NULL, 0), 0);
	FAILS("a number that is none", send_signal(self, 65, NULL, 0), EINVAL);
	FAILS("an unknown flag", send_signal(self, 0, NULL, 1u << 20), EINVAL);
	FAILS("a file", send_signal(open(".", O_RDONLY), 0, NULL, 0), EBADF);
	FAILS("nothing", send_signal(999, 0, NULL, 0), EBADF);
	IS("by its directory in /proc", send_signal(open("/proc/self", O_RDONLY | O_DIRECTORY), 0, NULL, 0), 0);
	close(self);
	pid_t child = waiting_child();
	int fd = pidfd_open_(child, 0);
	info.si_code = SI_USER;
	FAILS("to another in the kernel's name", send_signal(fd, SIGUSR1, &info, 0), EPERM);
	IS("SIGSTOP", send_signal(fd, SIGSTOP, NULL, 0), 0);
	IS("stops it", (waitpid(child, &status, WUNTRACED), status), 0x137f);
	IS("SIGCONT", send_signal(fd, SIGCONT, NULL, 0), 0);
	IS("SIGTERM", send_signal(fd, SIGTERM, NULL, 0), 0);
	siginfo_t got;
	waitid(P_PID, child, &got, WEXITED | WNOWAIT);
	IS("who is over can be sent to", send_signal(fd, SIGTERM, NULL, 0), 0);
	waitpid(child, &status, 0);
	IS("and ended by it", status, SIGTERM);
	FAILS("until he has been waited for", send_signal(fd, 0, NULL, 0), ESRCH);
	FAILS("then nobody has that number", pidfd_open_(child, 0), ESRCH);
	close(fd), close(gate[1]);
}

static void waiting(void)
{
	siginfo_t info;
	pid_t child = waiting_child();
	int fd = pidfd_open_(child, 0), impatient = pidfd_open_(child, O_NONBLOCK), epoll = epoll_create1(0);
	IS("O_NONBLOCK", fcntl(impatient, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	IS("a child that runs is not ready", revents(fd), 0);
	memset(&info, 1, sizeof info);
	IS("waitid by descriptor", waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG), 0);
	IS("tells of nobody", info.si_pid, 0);
	FAILS("one that is not to be waited for", waitid(P_PIDFD, impatient, &info, WEXITED), EAGAIN);
	IS("unless that is said anyway", waitid(P_PIDFD, impatient, &info, WEXITED | WNOHANG), 0);
	struct epoll_event e = {EPOLLIN, {.u32 = 4}}, got;
	IS("epoll takes it", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e), 0);
	IS("and has nothing", epoll_wait(epoll, &got, 1, 0), 0);
	close(gate[1]);
	IS("until it ends", epoll_wait(epoll, &got, 1, -1), 1);
	HOLDS("then it can be read", got.events == EPOLLIN && got.data.u32 == 4);
	IS("which poll says, too", revents(fd), POLLIN);
	IS("waitid that only looks", (memset(&info, 0, sizeof info), waitid(P_PIDFD, fd, &info, WEXITED | WNOWAIT)), 0);
	HOLDS("says who and how", info.si_pid == child && info.si_code == CLD_EXITED && info.si_status == 7);
	IS("and waitid", waitid(P_PIDFD, impatient, &info, WEXITED), 0);
	FAILS("once", waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
	IS("it is ready for ever", revents(fd) & POLLIN, POLLIN);
	FAILS("a descriptor that is none", waitid(P_PIDFD, epoll, &info, WEXITED), EBADF);
	FAILS("nor is a closed one", waitid(P_PIDFD, 999, &info, WEXITED), EBADF);
	FAILS("nor a negative one", waitid(P_PIDFD, -1, &info, WEXITED), EINVAL);
	close(fd);
	fd = pidfd_open_(getpid(), 0);
	FAILS("one is no child of one's own", waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
	close(fd), close(impatient), close(epoll);

	/* Of two, the one that is asked for. */
	child = waiting_child();
	int first_gate = gate[1];
	pid_t second = fork();
	if (second == 0)
		_exit(9);
	fd = pidfd_open_(second, 0);
	IS("one of two", waitid(P_PIDFD, fd, &info, WEXITED), 0);
	IS("is that one", info.si_status, 9);
	close(first_gate), close(fd);
	waitpid(child, NULL, 0);
}

struct arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static int at_once(void *fd)
{
	return *(int *)fd == -1 ? 5 : 6;
}

static void cloning(void)
{
	int fd = -1;
	siginfo_t info;
	struct arguments a = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&fd, .exit_signal = SIGCHLD};
	pid_t child = (pid_t)syscall(SYS_clone3, &a, sizeof a);
	if (child == 0)
		_exit(fd == -1 ? 3 : 4);
	HOLDS("clone3 with CLONE_PIDFD", child > 0 && fd >= 0);
	IS("is closed at exec", fcntl(fd, F_GETFD), FD_CLOEXEC);
	IS("waits for that child", waitid(P_PIDFD, fd, &info, WEXITED), 0);
	HOLDS("which knows nothing of it", info.si_pid == child && info.si_status == 3);
	close(fd);
	fd = -1;
	child = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, NULL);
	if (child == 0)
		_exit(fd == -1 ? 3 : 4);
	HOLDS("clone with CLONE_PIDFD", child > 0 && fd >= 0);
	waitid(P_PIDFD, fd, &info, WEXITED);
	HOLDS("does the same", info.si_pid == child && info.si_status == 3);
	close(fd);
	fd = -1;
	static char stack[65536] __attribute__((aligned(16)));
	child = clone(at_once, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &fd, &fd);
	HOLDS("and with CLONE_VFORK", child > 0 && fd >= 0);
	IS("waits as well", waitid(P_PIDFD, fd, &info, WEXITED), 0);
	IS("for that one", info.si_pid, child);
	close(fd);
	FAILS("two answers in one place",
	      syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd, NULL, NULL), EINVAL);
	struct rlimit few = {3, 0}, old;
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	FAILS("no room for one", syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, NULL), EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	FAILS("and nobody was made", waitpid(-1, NULL, 0), ECHILD);
}

int main(void)
{
	begin();
	opening();
	sending();
	waiting();
	cloning();
	return end();
}
