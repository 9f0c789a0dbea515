/* Stopping and going on: who is stopped by what, what its parent is told, and what becomes of what it was doing. */
#include "calls.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static int out[2], in[2];

/* A child in a group of its own, as a shell's job: it says that it is there, does something, and says how it went. */
static pid_t job(int (*work)(void))
{
	NEED(pipe(out) == 0 && pipe(in) == 0);
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0);
		write(out[1], "!", 1);
		_exit(work());
	}
	setpgid(child, child);
	char byte;
	NEED(read(out[0], &byte, 1) == 1);
	return child;
}

static void done(pid_t child)
{
	int status;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	for (int i = 0; i < 2; i++) {
		close(out[i]);
		close(in[i]);
	}
}

static int read_one(void)
{
	char byte = 0;
	return read(in[0], &byte, 1) == 1 ? byte : errno;
}

static int count_forever(void)
{
	for (;;) {
		struct timespec moment = {0, 1000000};
		nanosleep(&moment, NULL);
	}
}

static char state_of(pid_t child)
{
	char name[64], text[512], *at;
	snprintf(name, sizeof name, "/proc/%d/stat", (int)child);
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	at = strrchr(text, ')');
	return at ? at[2] : 0;
}

/* Natively that takes as long as the machine has other work. */
static void settle(pid_t child, char state)
{
	for (int i = 0; i < 5000 && state_of(child) != state; i++)
		usleep(1000);
}

static int wait_now(pid_t child, int options)
{
	int status = -1;
	return waitpid(child, &status, options | WNOHANG) == child ? status : -1;
}

static void told_by_wait(void)
{
	int status;
	siginfo_t info;
	pid_t child = job(read_one);
	IS("nothing to tell", waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED), 0);
	IS("kill with SIGSTOP", kill(child, SIGSTOP), 0);
	IS("waitpid with WUNTRACED", waitpid(child, &status, WUNTRACED), child);
	HOLDS("says stopped, and by what", WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP && status == 0x137f);
	IS("which /proc says, too", state_of(child), 'T');
	IS("once", waitpid(child, &status, WNOHANG | WUNTRACED), 0);
	IS("stopping it again", (kill(child, SIGSTOP), waitpid(child, &status, WNOHANG | WUNTRACED)), 0);
	IS("and with another signal", (kill(child, SIGTSTP), waitpid(child, &status, WNOHANG | WUNTRACED)), 0);
	write(in[1], "\x07", 1);
	IS("what it waits for does not let it go on", (usleep(20000), state_of(child)), 'T');
	IS("nor does a signal that would end it", (kill(child, SIGUSR1), usleep(20000), state_of(child)), 'T');
	IS("SIGKILL does", kill(child, SIGKILL), 0);
	IS("and it ends", waitpid(child, &status, WUNTRACED), child);
	HOLDS("by that", WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	done(child);

	child = job(read_one);
	kill(child, SIGSTOP);
	IS("waitid with WSTOPPED", (memset(&info, 0, sizeof info), waitid(P_PID, child, &info, WSTOPPED)), 0);
	HOLDS("says by what", info.si_code == CLD_STOPPED && info.si_status == SIGSTOP && info.si_pid == child &&
	                              info.si_signo == SIGCHLD);
	kill(child, SIGCONT);
	IS("WCONTINUED that only looks",
	   (memset(&info, 0, sizeof info), waitid(P_PID, child, &info, WCONTINUED | WNOWAIT)), 0);
	HOLDS("says so", info.si_code == CLD_CONTINUED && info.si_status == SIGCONT && info.si_pid == child);
	IS("waitpid with WCONTINUED", waitpid(child, &status, WCONTINUED), child);
	HOLDS("says so as well", WIFCONTINUED(status) && status == 0xffff);
	IS("once", waitpid(child, &status, WCONTINUED | WNOHANG), 0);
	IS("it goes on with what it did", (write(in[1], "\x05", 1), waitpid(child, &status, 0)), child);
	HOLDS("and has read it", WIFEXITED(status) && WEXITSTATUS(status) == 5);
	done(child);

	child = job(read_one);
	kill(child, SIGSTOP);
	IS("waitid that looks", (memset(&info, 0, sizeof info), waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT)), 0);
	IS("leaves it", wait_now(child, WUNTRACED), 0x137f);
	kill(child, SIGCONT);
	kill(child, SIGSTOP);
	IS("a stop after going on is what is told", (settle(child, 'T'), wait_now(child, WUNTRACED | WCONTINUED)),
	   0x137f);
	IS("alone", wait_now(child, WUNTRACED | WCONTINUED), -1);
	kill(child, SIGCONT);
	IS("going on after a stop takes the stop back", (settle(child, 'S'), wait_now(child, WUNTRACED)), -1);
	IS("and is told to who asks", wait_now(child, WCONTINUED), 0xffff);
	IS("SIGCONT for who is not stopped", (kill(child, SIGCONT), wait_now(child, WCONTINUED)), -1);
	memset(&info, 1, sizeof info);
	IS("waitid without waiting", waitid(P_PID, child, &info, WSTOPPED | WCONTINUED | WNOHANG), 0);
	HOLDS("says nobody", info.si_pid == 0 && info.si_signo == 0);
	FAILS("waitid for nothing", waitid(P_PID, child, &info, WNOHANG), EINVAL);
	FAILS("with an unknown option", waitid(P_PID, child, &info, WEXITED | 0x100), EINVAL);
	FAILS("waitpid with one", waitpid(child, &status, 0x100), EINVAL);
	write(in[1], "\x05", 1);
	waitid(P_PID, child, &info, WEXITED | WNOWAIT);
	FAILS("who has ended will not stop", waitid(P_PID, child, &info, WSTOPPED | WNOHANG), ECHILD);
	IS("but has ended", wait_now(child, WUNTRACED | WCONTINUED), 5 << 8);
	done(child);
}

static volatile int heard;
static siginfo_t said;

static void hear(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	heard++;
	said = *info;
}

static void told_by_signal(void)
{
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO | SA_RESTART}, old;
	sigaction(SIGCHLD, &action, &old);
	pid_t child = job(read_one);
	int status;
	heard = 0;
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	IS("SIGCHLD when a child stops", (usleep(1000), heard), 1);
	HOLDS("says so", said.si_code == CLD_STOPPED && said.si_status == SIGSTOP && said.si_pid == child);
	kill(child, SIGCONT);
	waitpid(child, &status, WCONTINUED);
	IS("and when it goes on", (usleep(1000), heard), 2);
	HOLDS("says that", said.si_code == CLD_CONTINUED && said.si_status == SIGCONT && said.si_pid == child);
	action.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	kill(child, SIGSTOP);
	IS("with SA_NOCLDSTOP it is waited for all the same", waitpid(child, &status, WUNTRACED), child);
	IS("and not heard", (usleep(1000), heard), 2);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	IS("but its end is", (usleep(1000), heard), 3);
	sigaction(SIGCHLD, &old, NULL);
	done(child);
}

static int stop_oneself(void)
{
	raise(SIGSTOP);
	return 3;
}

static int tty_signals(void)
{
	kill(getpid(), SIGTTIN);
	kill(getpid(), SIGTTOU);
	raise(SIGTSTP);
	return 4;
}

static int blocked_stop(void)
{
	sigset_t set, pending;
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGTSTP);
	sigpending(&pending);
	int waits = sigismember(&pending, SIGTSTP);
	kill(getpid(), SIGCONT);
	sigpending(&pending);
	int taken_back = !sigismember(&pending, SIGTSTP);
	raise(SIGTSTP);
	write(out[1], "?", 1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return waits && taken_back ? 9 : 1;
}

static void stop_handler(int number)
{
	signal(number, SIG_DFL);
	write(out[1], "h", 1);
}

static int handled_stop(void)
{
	signal(SIGTSTP, stop_handler);
	raise(SIGTSTP);
	raise(SIGTSTP);
	signal(SIGTSTP, SIG_IGN);
	raise(SIGTSTP);
	return 6;
}

static int wait_for_stop(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int number = 0;
	sigwait(&set, &number);
	return number;
}

static volatile int continued;

static void hear_continue(int number)
{
	continued = number;
}

static int handle_continue(void)
{
	signal(SIGCONT, hear_continue);
	raise(SIGSTOP);
	return continued;
}

static void ways_to_stop(void)
{
	int status;
	char byte;
	pid_t child = job(stop_oneself);
	waitpid(child, &status, WUNTRACED);
	IS("who stops itself", status, 0x137f);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	IS("goes on behind it", WEXITSTATUS(status), 3);
	done(child);
	child = job(tty_signals);
	waitpid(child, &status, WUNTRACED);
	IS("SIGTTIN", WSTOPSIG(status), SIGTTIN);
	kill(child, SIGCONT);
	waitpid(child, &status, WUNTRACED);
	IS("SIGTTOU", WSTOPSIG(status), SIGTTOU);
	kill(child, SIGCONT);
	waitpid(child, &status, WUNTRACED);
	IS("SIGTSTP", WSTOPSIG(status), SIGTSTP);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	IS("and then the end", WEXITSTATUS(status), 4);
	done(child);
	child = job(blocked_stop);
	read(out[0], &byte, 1);
	waitpid(child, &status, WUNTRACED);
	IS("a stop that was blocked", WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP, 1);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	IS("is taken back by SIGCONT, before and after", WEXITSTATUS(status), 9);
	done(child);
	child = job(handled_stop);
	IS("a handler of SIGTSTP", (read(out[0], &byte, 1), byte), 'h');
	waitpid(child, &status, WUNTRACED);
	IS("that puts the default back", WIFSTOPPED(status), 1);
	kill(child, SIGCONT);
	waitpid(child, &status, WUNTRACED);
	HOLDS("who ignores it is not stopped", WIFEXITED(status) && WEXITSTATUS(status) == 6);
	done(child);
	child = job(wait_for_stop);
	settle(child, 'S');
	usleep(20000);
	kill(child, SIGTSTP);
	waitpid(child, &status, WUNTRACED);
	HOLDS("who waits for it gets it", WIFEXITED(status) && WEXITSTATUS(status) == SIGTSTP);
	done(child);
	child = job(handle_continue);
	waitpid(child, &status, WUNTRACED);
	kill(child, SIGCONT);
	waitpid(child, &status, 0);
	IS("a handler of SIGCONT runs when it goes on", WEXITSTATUS(status), SIGCONT);
	done(child);
	struct sigaction action = {.sa_handler = SIG_IGN};
	FAILS("SIGSTOP cannot be ignored", sigaction(SIGSTOP, &action, NULL), EINVAL);
}

/* --- what a stop comes upon --- */

static int poll_for_long(void)
{
	struct pollfd p = {in[0], POLLIN, 0};
	return poll(&p, 1, 200) == 0 ? 8 : 1;
}

static int sleep_for_long(void)
{
	struct timespec t = {0, 200000000}, left = {0};
	return nanosleep(&t, &left) == 0 ? 8 : 1;
}

static int epoll_for_long(void)
{
	struct epoll_event e = {EPOLLIN, {0}};
	int epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, in[0], &e);
	return epoll_wait(epoll, &e, 1, 100000) == -1 && errno == EINTR ? 8 : 1;
}

static int sigwait_for_long(void)
{
	sigset_t set;
	struct timespec t = {100, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return sigtimedwait(&set, NULL, &t) == -1 && errno == EINTR ? 8 : 1;
}

static int wait_for_child(void)
{
	pid_t child = fork();
	if (child == 0) {
		usleep(100000);
		_exit(8);
	}
	int status;
	return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : 1;
}

static void *tell(void *unused)
{
	(void)unused;
	for (;;) {
		write(out[1], ".", 1);
		usleep(1000);
	}
}

static int two_threads(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, tell, NULL);
	char byte;
	read(in[0], &byte, 1);
	return 8;
}

static bool silent(void)
{
	struct pollfd p = {out[0], POLLIN, 0};
	char text[4096];
	while (poll(&p, 1, 0) > 0)
		read(out[0], text, sizeof text);
	usleep(30000);
	return poll(&p, 1, 0) == 0;
}

static void interrupted(void)
{
	static const struct {
		const char *name;
		int (*work)(void);
	} works[] = {{"poll goes on for the rest of its time", poll_for_long},
	             {"so does nanosleep", sleep_for_long},
	             {"epoll_wait ends", epoll_for_long},
	             {"and sigtimedwait", sigwait_for_long},
	             {"wait goes on", wait_for_child}};
	int status;
	for (unsigned i = 0; i < sizeof works / sizeof works[0]; i++) {
		pid_t child = job(works[i].work);
		settle(child, 'S');
		usleep(20000);
		kill(child, SIGSTOP);
		waitpid(child, &status, WUNTRACED);
		usleep(20000);
		kill(child, SIGCONT);
		waitpid(child, &status, 0);
		IS(works[i].name, WIFEXITED(status) ? WEXITSTATUS(status) : -status, 8);
		done(child);
	}
	pid_t child = job(two_threads);
	char byte;
	IS("a thread says something", read(out[0], &byte, 1), 1);
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	HOLDS("and is stopped with all the others", silent());
	kill(child, SIGCONT);
	IS("goes on with them", read(out[0], &byte, 1), 1);
	write(in[1], "x", 1);
	waitpid(child, &status, 0);
	IS("to the end", WEXITSTATUS(status), 8);
	done(child);
	child = job(count_forever);
	syscall(SYS_tgkill, child, child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	IS("a thread that is stopped stops them all", status, 0x137f);
	done(child);
}

/* --- groups --- */

static int in_orphaned_group(void)
{
	/* A session of its own: nobody of it is outside the group. */
	pid_t child = fork();
	int status;
	if (child == 0) {
		setsid();
		raise(SIGTSTP);
		raise(SIGTTIN);
		_exit(7);
	}
	waitpid(child, &status, WUNTRACED);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int leaves_a_stopped_child(void)
{
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0);
		signal(SIGHUP, stop_handler);
		raise(SIGSTOP);
		_exit(0);
	}
	int status;
	waitpid(child, &status, WUNTRACED);
	return 2;
}

static void groups(void)
{
	int status;
	char byte = 0;
	pid_t child = job(in_orphaned_group);
	waitpid(child, &status, 0);
	IS("nobody is there to let them go on: they are not stopped", WEXITSTATUS(status), 7);
	done(child);
	child = job(leaves_a_stopped_child);
	waitpid(child, &status, 0);
	IS("who leaves stopped ones alone", WEXITSTATUS(status), 2);
	IS("lets them hear SIGHUP", (read(out[0], &byte, 1), byte), 'h');
	done(child);
	child = job(count_forever);
	IS("a whole group", kill(-child, SIGTSTP), 0);
	waitpid(child, &status, WUNTRACED);
	IS("is stopped", WSTOPSIG(status), SIGTSTP);
	IS("and goes on", kill(-child, SIGCONT), 0);
	IS("which is told", (waitpid(child, &status, WCONTINUED), status), 0xffff);
	done(child);
}

int main(void)
{
	begin();
	told_by_wait();
	told_by_signal();
	ways_to_stop();
	interrupted();
	groups();
	return end();
}
