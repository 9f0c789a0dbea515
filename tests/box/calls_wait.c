/* Waiting: poll, select and epoll, and what can be waited for: pipes, eventfd, timerfd, signalfd. And one's own
 * futexes. */
#include "calls.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

static double now(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static volatile int rung;

static void ring(int number)
{
	rung = number;
}

static void ring_in(long milliseconds)
{
	struct itimerspec t = {.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000000}};
	static timer_t timer;
	static bool made;
	if (!made)
		made = timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0;
	rung = 0;
	timer_settime(timer, 0, &t, NULL);
}

static int revents(int fd, short events)
{
	struct pollfd p = {fd, events, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static void polling(void)
{
	int pair[2], file = make_file("file", "x");
	NEED(pipe(pair) == 0);
	IS("an empty pipe", revents(pair[0], POLLIN), 0);
	IS("can be written", revents(pair[1], POLLIN | POLLOUT), POLLOUT);
	NEED(write(pair[1], "x", 1) == 1);
	IS("a pipe with something", revents(pair[0], POLLIN | POLLRDNORM | POLLPRI), POLLIN | POLLRDNORM);
	struct pollfd many[4] = {{pair[0], POLLIN, 0}, {-1, POLLIN, 99}, {999, POLLIN, 0}, {pair[1], 0, 0}};
	IS("poll counts what is ready", poll(many, 4, -1), 2);
	HOLDS("negative ones are not looked at, closed ones told",
	      !many[1].revents && many[2].revents == POLLNVAL && many[0].revents == POLLIN);
	close(pair[1]);
	IS("without a writer, with something left", revents(pair[0], POLLIN), POLLIN | POLLHUP);
	read(pair[0], many, 1);
	IS("and without", revents(pair[0], POLLIN), POLLHUP);
	close(pair[0]);
	NEED(pipe(pair) == 0);
	close(pair[0]);
	IS("without a reader", revents(pair[1], POLLOUT), POLLOUT | POLLERR);
	close(pair[1]);
	IS("a file is ready always", revents(file, POLLIN | POLLOUT), POLLIN | POLLOUT);
	IS("and a directory", revents(open(".", O_RDONLY), POLLIN), POLLIN);
	IS("and /dev/null", revents(open("/dev/null", O_RDWR), POLLIN | POLLOUT), POLLIN | POLLOUT);
	IS("poll of none, at once", poll(NULL, 0, 0), 0);
	double before = now(CLOCK_MONOTONIC);
	IS("poll of none, for a while", poll(NULL, 0, 30), 0);
	double passed = now(CLOCK_MONOTONIC) - before;
	HOLDS("lets time pass", passed >= 0.03 && passed < 3);
	FAILS("poll of too many", poll(many, 1u << 30, 0), EINVAL);
	NEED(pipe2(pair, O_NONBLOCK) == 0);
	static char block[65536];
	write(pair[1], block, sizeof block);
	IS("a full pipe cannot be written", revents(pair[1], POLLOUT), 0);
	IS("nor when it is a little less full", (read(pair[0], block, 100), revents(pair[1], POLLOUT)), 0);
	IS("but when a page is free", (read(pair[0], block, 3996), revents(pair[1], POLLOUT)), POLLOUT);
	signal(SIGALRM, ring);
	ring_in(20);
	struct pollfd waits = {pair[0], POLLPRI, 0};
	FAILS("a signal interrupts poll", poll(&waits, 1, -1), EINTR);
	IS("after its handler", rung, SIGALRM);

	struct timespec zero = {0, 0}, brief = {0, 20000000}, wrong = {0, 1000000000};
	sigset_t set, old;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	signal(SIGUSR1, ring);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	IS("a blocked signal waits", rung, SIGALRM);
	sigemptyset(&set);
	FAILS("until ppoll lets it through", ppoll(&waits, 1, &brief, &set), EINTR);
	IS("to its handler", rung, SIGUSR1);
	IS("and blocks it again", (sigprocmask(SIG_BLOCK, NULL, &old), sigismember(&old, SIGUSR1)), 1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	FAILS("ppoll with too many nanoseconds", ppoll(&waits, 1, &wrong, NULL), EINVAL);
	FAILS("ppoll with a mask of another size", syscall(SYS_ppoll, &waits, 1, &zero, &set, 4), EINVAL);
	brief.tv_nsec = 20000000;
	IS("ppoll tells how much time is left",
	   (syscall(SYS_ppoll, &waits, 1, &brief, NULL, 8), brief.tv_sec + brief.tv_nsec), 0);
	close(pair[0]);
	close(pair[1]);
}

static void selecting(void)
{
	int pair[2];
	fd_set in, out, odd;
	NEED(pipe(pair) == 0);
	write(pair[1], "x", 1);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&odd);
	FD_SET(pair[0], &in), FD_SET(pair[1], &out), FD_SET(pair[0], &odd);
	struct timeval zero = {0, 0}, brief = {0, 20000};
	IS("select counts bits", select(pair[1] + 1, &in, &out, &odd, &zero), 2);
	HOLDS("and leaves those", FD_ISSET(pair[0], &in) && FD_ISSET(pair[1], &out) && !FD_ISSET(pair[0], &odd));
	read(pair[0], &in, 1);
	FD_ZERO(&in);
	FD_SET(pair[0], &in);
	IS("select until the time is over", select(pair[1] + 1, &in, NULL, NULL, &brief), 0);
	HOLDS("takes it away, and every bit", brief.tv_sec == 0 && brief.tv_usec == 0 && !FD_ISSET(pair[0], &in));
	FD_SET(pair[0], &in);
	FD_ZERO(&odd);
	FD_SET(60, &odd);
	FAILS("select of a closed descriptor", select(61, &odd, NULL, NULL, &zero), EBADF);
	FAILS("select of a negative number", select(-1, &in, NULL, NULL, &zero), EINVAL);
	struct timeval wrong = {-1, 0};
	FAILS("select of a negative time", select(10, &in, NULL, NULL, &wrong), EINVAL);
	close(pair[1]);
	FD_ZERO(&in);
	FD_SET(pair[0], &in);
	IS("the end of a pipe is to be read", select(pair[0] + 1, &in, NULL, NULL, NULL), 1);
	struct timespec moment = {0, 1000000};
	sigset_t set;
	sigemptyset(&set);
	FD_ZERO(&in);
	IS("pselect", pselect(1, &in, NULL, NULL, &moment, &set), 0);
	IS("leaves its time", moment.tv_nsec, 1000000);
	close(pair[0]);
}

/* What epoll tells within no time: the events of the first, and how many there are. */
static unsigned told_by(int epoll, int *count)
{
	struct epoll_event e[8];
	int n = epoll_wait(epoll, e, 8, 0);
	if (count)
		*count = n;
	return n > 0 ? e[0].events : 0;
}

static void watching(void)
{
	int pair[2], epoll = epoll_create1(EPOLL_CLOEXEC), count;
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x123456789abcdefull};
	NEED(pipe2(pair, O_NONBLOCK) == 0);
	IS("EPOLL_CLOEXEC", fcntl(epoll, F_GETFD), FD_CLOEXEC);
	IS("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &e), 0);
	FAILS("twice", epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &e), EEXIST);
	FAILS("change of what is not watched", epoll_ctl(epoll, EPOLL_CTL_MOD, pair[1], &e), ENOENT);
	FAILS("removing what is not watched", epoll_ctl(epoll, EPOLL_CTL_DEL, pair[1], &e), ENOENT);
	FAILS("an unknown command", epoll_ctl(epoll, 9, pair[0], &e), EINVAL);
	FAILS("a file", epoll_ctl(epoll, EPOLL_CTL_ADD, open("file", O_RDONLY), &e), EPERM);
	FAILS("a closed descriptor", epoll_ctl(epoll, EPOLL_CTL_ADD, 999, &e), EBADF);
	FAILS("itself", epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &e), EINVAL);
	FAILS("something that is no epoll", epoll_ctl(pair[0], EPOLL_CTL_ADD, pair[1], &e), EINVAL);
	FAILS("epoll_create of nothing", epoll_create(0), EINVAL);
	FAILS("epoll_create1 with an unknown flag", epoll_create1(1), EINVAL);
	IS("nothing is ready", told_by(epoll, NULL), 0);
	write(pair[1], "abc", 3);
	struct epoll_event got;
	IS("something is", epoll_wait(epoll, &got, 1, -1), 1);
	HOLDS("with its data", got.data.u64 == 0x123456789abcdefull && got.events == EPOLLIN);
	IS("and is told again while it is", told_by(epoll, NULL), EPOLLIN);
	FAILS("room for none", epoll_wait(epoll, &got, 0, 0), EINVAL);

	e.events = EPOLLIN | EPOLLET;
	IS("edge-triggered", epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &e), 0);
	IS("it is told", told_by(epoll, NULL), EPOLLIN);
	IS("once", told_by(epoll, NULL), 0);
	write(pair[1], "d", 1);
	IS("and again when more comes", told_by(epoll, NULL), EPOLLIN);
	read(pair[0], &got, 1);
	IS("not when some is read", told_by(epoll, NULL), 0);
	e.events = EPOLLIN | EPOLLONESHOT;
	epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &e);
	IS("one-shot", told_by(epoll, NULL), EPOLLIN);
	IS("is told once", (write(pair[1], "e", 1), told_by(epoll, NULL)), 0);
	IS("until it is armed again", (epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &e), told_by(epoll, NULL)), EPOLLIN);

	int outer = epoll_create1(0);
	e.events = EPOLLIN;
	epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &e);
	IS("one epoll in another", epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &e), 0);
	IS("is ready when something in it is", told_by(outer, NULL), EPOLLIN);
	FAILS("but not round in a circle", epoll_ctl(epoll, EPOLL_CTL_ADD, outer, &e), ELOOP);
	if (boxed) { /* Linux limits a chain that grows at its lower end only since 6.17 */
		int chain[6];
		for (int i = 0; i < 6; i++)
			chain[i] = epoll_create1(0);
		for (int i = 0; i < 4; i++)
			IS("a chain of epolls", epoll_ctl(chain[i], EPOLL_CTL_ADD, chain[i + 1], &e), 0);
		FAILS("which ends", epoll_ctl(chain[4], EPOLL_CTL_ADD, chain[5], &e), ELOOP);
		for (int i = 0; i < 6; i++)
			close(chain[i]);
	}
	IS("epoll can be polled", revents(outer, POLLIN), POLLIN);
	char drained[16];
	read(pair[0], drained, 16);
	IS("and is not ready when nothing is", revents(outer, POLLIN), 0);

	e.events = EPOLLOUT;
	epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &e);
	IS("writing is told", told_by(epoll, &count), EPOLLOUT);
	IS("alone", count, 1);
	int twin = dup(pair[0]);
	close(pair[0]);
	write(pair[1], "x", 1);
	told_by(epoll, &count);
	IS("a closed descriptor whose file is open is still watched", count, 2);
	close(twin);
	told_by(epoll, &count);
	IS("and then no more", count, 1);
	IS("what nobody reads is an error", told_by(epoll, NULL) & EPOLLERR, EPOLLERR);
	close(pair[1]);
	IS("and gone when it is closed", told_by(epoll, NULL), 0);
	double before = now(CLOCK_MONOTONIC);
	IS("epoll_wait for a while", epoll_wait(epoll, &got, 1, 20), 0);
	HOLDS("lets time pass", now(CLOCK_MONOTONIC) - before >= 0.02);
	struct timespec brief = {0, 10000000};
	IS("epoll_pwait2", syscall(SYS_epoll_pwait2, epoll, &got, 1, &brief, NULL, 8), 0);
	ring_in(10);
	FAILS("a signal interrupts epoll_wait", epoll_wait(epoll, &got, 1, -1), EINTR);

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	e.events = EPOLLIN | EPOLLRDHUP;
	epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &e);
	IS("half of a pair that is shut down", (shutdown(pair[1], SHUT_WR), told_by(epoll, NULL)),
	   EPOLLIN | EPOLLRDHUP);
	IS("and gone", (close(pair[1]), told_by(epoll, NULL)), EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	close(pair[0]);
	close(epoll);
	close(outer);
}

static void counting(void)
{
	uint64_t value;
	int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC), semaphore = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	IS("eventfd begins with its value", (read(fd, &value, 8), value), 3);
	FAILS("and then has none", read(fd, &value, 8), EAGAIN);
	IS("writes add up", (value = 5, write(fd, &value, 8), write(fd, &value, 8), read(fd, &value, 8), value), 10);
	IS("an empty one can be written", revents(fd, POLLIN | POLLOUT), POLLOUT);
	value = ~0ull;
	FAILS("the largest number cannot be added", write(fd, &value, 8), EINVAL);
	value = ~0ull - 1;
	IS("the one below can", write(fd, &value, 8), 8);
	IS("then it is full", revents(fd, POLLIN | POLLOUT), POLLIN);
	value = 1;
	FAILS("and takes no more", write(fd, &value, 8), EAGAIN);
	FAILS("a read of less than 8 bytes", read(fd, &value, 7), EINVAL);
	FAILS("a write of less than 8 bytes", write(fd, &value, 7), EINVAL);
	IS("a semaphore gives one at a time", (read(semaphore, &value, 8), value), 1);
	IS("and another", read(semaphore, &value, 8), 8);
	FAILS("and no more", read(semaphore, &value, 8), EAGAIN);
	FAILS("eventfd with an unknown flag", eventfd(0, 2), EINVAL);
	FAILS("pread of one", pread(fd, &value, 8, 0), ESPIPE);
	close(fd);
	close(semaphore);
}

static void timing(void)
{
	uint64_t value = 0;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), epoll = epoll_create1(0);
	struct itimerspec t = {{0, 0}, {0, 20000000}}, old;
	struct epoll_event e = {.events = EPOLLIN};
	FAILS("a timer that is not set", read(fd, &value, 8), EAGAIN);
	IS("timerfd_settime", timerfd_settime(fd, 0, &t, NULL), 0);
	IS("timerfd_gettime",
	   (timerfd_gettime(fd, &old),
	    old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 20000000),
	   1);
	IS("it is not yet ready", revents(fd, POLLIN), 0);
	struct pollfd p = {fd, POLLIN, 0};
	double before = now(CLOCK_MONOTONIC);
	IS("poll waits for it", poll(&p, 1, 5000), 1);
	HOLDS("as long as it takes", now(CLOCK_MONOTONIC) - before < 4);
	IS("it has gone off once", (read(fd, &value, 8), value), 1);
	t = (struct itimerspec){{0, 5000000}, {0, 5000000}};
	timerfd_settime(fd, 0, &t, NULL);
	poll(NULL, 0, 33);
	HOLDS("at an interval it counts", read(fd, &value, 8) == 8 && value >= 6 && value < 600);
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	IS("epoll waits for it", epoll_wait(epoll, &e, 1, 5000), 1);
	fcntl(fd, F_SETFL, 0);
	IS("read waits for it", (read(fd, &value, 8), read(fd, &value, 8)), 8);
	IS("settime tells what was",
	   (t.it_interval.tv_nsec = 0, t.it_value.tv_nsec = 0, timerfd_settime(fd, 0, &t, &old),
	    old.it_interval.tv_nsec),
	   5000000);
	IS("a time of zero unsets it", revents(fd, POLLIN), 0);
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	t.it_value = (struct timespec){at.tv_sec, at.tv_nsec / 2 + 1};
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL);
	IS("a time that has passed is now", (read(fd, &value, 8), value), 1);
	int wall = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &at);
	t.it_value = (struct timespec){at.tv_sec, at.tv_nsec};
	timerfd_settime(wall, TFD_TIMER_ABSTIME, &t, NULL);
	IS("on the other clock, too", (read(wall, &value, 8), value), 1);
	FAILS("timerfd_create of an unknown clock", timerfd_create(77, 0), EINVAL);
	FAILS("timerfd_create with an unknown flag", timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	t.it_value.tv_nsec = 1000000000;
	FAILS("timerfd_settime with too many nanoseconds", timerfd_settime(fd, 0, &t, NULL), EINVAL);
	FAILS("timerfd_settime of something else", timerfd_settime(epoll, 0, &t, NULL), EINVAL);
	FAILS("timerfd_gettime of a closed one", timerfd_gettime(999, &t), EBADF);
	FAILS("a write to a timer", write(fd, &value, 8), EINVAL);
	int outer = epoll_create1(0);
	e.events = EPOLLIN;
	NEED(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &e) == 0);
	t = (struct itimerspec){{0, 0}, {0, 20000000}};
	timerfd_settime(fd, 0, &t, NULL);
	before = now(CLOCK_MONOTONIC);
	IS("an epoll around the one that watches a timer", epoll_wait(outer, &e, 1, 5000), 1);
	HOLDS("waits no longer than that", now(CLOCK_MONOTONIC) - before < 4);
	close(outer);
	close(fd);
	close(wall);
	close(epoll);
}

static void signalling(void)
{
	struct signalfd_siginfo info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	FAILS("signalfd without a signal", read(fd, &info, sizeof info), EAGAIN);
	IS("is not ready", revents(fd, POLLIN), 0);
	kill(getpid(), SIGUSR2);
	raise(SIGUSR1);
	IS("with one it is", revents(fd, POLLIN), POLLIN);
	IS("a read takes it", read(fd, &info, sizeof info), sizeof info);
	HOLDS("and tells it",
	      info.ssi_signo == SIGUSR1 && info.ssi_pid == (unsigned)getpid() && info.ssi_uid == getuid());
	struct signalfd_siginfo two[2];
	raise(SIGUSR1);
	IS("a read of two takes two", read(fd, two, sizeof two), 2 * sizeof info);
	union sigval value = {.sival_int = 42};
	sigqueue(getpid(), SIGUSR1, value);
	IS("a value comes along", (read(fd, &info, sizeof info), info.ssi_int), 42);
	FAILS("a read of less than one", read(fd, &info, 100), EINVAL);
	sigdelset(&set, SIGUSR1);
	IS("the set can be changed", signalfd(fd, &set, 0), fd);
	IS("then it is not ready", (raise(SIGUSR1), revents(fd, POLLIN)), 0);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int blocking = signalfd(-1, &set, 0);
	pid_t child = fork();
	if (child == 0) {
		usleep(20000);
		kill(getppid(), SIGRTMIN);
		usleep(20000);
		_exit(kill(getppid(), SIGRTMIN));
	}
	IS("a read waits for a signal that another sends", (read(blocking, &info, sizeof info), info.ssi_pid), child);
	struct pollfd waits = {blocking, POLLIN, 0};
	IS("and so does poll", poll(&waits, 1, 5000), 1);
	IS("for another", read(blocking, &info, sizeof info), sizeof info);
	waitpid(child, NULL, 0);
	close(blocking);
	FAILS("signalfd of something else", signalfd(0, &set, 0), EINVAL);
	FAILS("signalfd of a closed one", signalfd(999, &set, 0), EBADF);
	FAILS("signalfd with an unknown flag", signalfd(-1, &set, 1), EINVAL);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR1, ring);
	close(fd);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

static long futex(int *word, int operation, int value, const struct timespec *time, int *other, int third)
{
	return syscall(SYS_futex, word, operation, value, time, other, third);
}

static void own_futexes(void)
{
	int word = 5, other = 7;
	struct timespec brief = {0, 10000000}, wrong = {0, 1000000000}, at;
	FAILS("FUTEX_WAIT for another value", futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
	FAILS("FUTEX_WAIT until the time is over", futex(&word, FUTEX_WAIT_PRIVATE, 5, &brief, NULL, 0), ETIMEDOUT);
	IS("FUTEX_WAKE of nobody", futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	IS("FUTEX_REQUEUE of nobody", futex(&word, FUTEX_REQUEUE, 1, (void *)1, &other, 0), 0);
	FAILS("FUTEX_CMP_REQUEUE of another value", futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &other, 4), EAGAIN);
	IS("FUTEX_WAKE_OP",
	   futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 7)), 0);
	IS("does what it says", other, 10);
	IS("and adds less than nothing",
	   (futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_EQ, 7)), other),
	   9);
	FAILS("a word that is not aligned", futex((int *)((char *)&word + 1), FUTEX_WAIT, 5, &brief, NULL, 0), EINVAL);
	FAILS("too many nanoseconds", futex(&word, FUTEX_WAIT, 5, &wrong, NULL, 0), EINVAL);
	FAILS("no bits to wait for", futex(&word, FUTEX_WAIT_BITSET, 5, &brief, NULL, 0), EINVAL);
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec -= 1;
	FAILS("a time that has passed", futex(&word, FUTEX_WAIT_BITSET, 5, &at, NULL, -1), ETIMEDOUT);
	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec -= 1;
	FAILS("on the other clock", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 5, &at, NULL, -1),
	      ETIMEDOUT);
	FAILS("an unknown operation", futex(&word, 99, 5, NULL, NULL, 0), ENOSYS);
	ring_in(10);
	FAILS("a signal interrupts FUTEX_WAIT", futex(&word, FUTEX_WAIT, 5, NULL, NULL, 0), EINTR);
	struct sigaction restarting = {.sa_handler = ring, .sa_flags = SA_RESTART};
	struct timespec minute = {60, 0};
	sigaction(SIGALRM, &restarting, NULL);
	ring_in(10);
	FAILS("with a timeout it is not made again", futex(&word, FUTEX_WAIT_PRIVATE, 5, &minute, NULL, 0), EINTR);
}

int main(void)
{
	struct sigaction action = {.sa_handler = ring};
	begin();
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	polling();
	selecting();
	watching();
	counting();
	timing();
	signalling();
	sigaction(SIGALRM, &action, NULL);
	own_futexes();
	return end();
}
