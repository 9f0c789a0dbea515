/* Signals: actions, masks, alternate stacks, what a handler is told, and what becomes of a call that one interrupts. */
#include "calls.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

static volatile int count, last, order[16], depth, deepest;
static siginfo_t said;
static volatile void *stack_seen;

static void hear(int number, siginfo_t *info, void *context)
{
	char here;
	(void)context;
	depth++;
	if (depth > deepest)
		deepest = depth;
	if (count < 16)
		order[count] = number;
	count++;
	last = number;
	said = *info;
	stack_seen = &here;
	depth--;
}

static void listen_to(int number, int flags)
{
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO | flags};
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
	count = last = 0;
}

static sigset_t set_of(int number)
{
	sigset_t set;
	sigemptyset(&set);
	if (number)
		sigaddset(&set, number);
	return set;
}

static void alarm_soon(void)
{
	struct itimerval soon = {{0, 0}, {0, 20000}};
	setitimer(ITIMER_REAL, &soon, NULL);
}

static void actions(void)
{
	struct sigaction old, action = {.sa_handler = SIG_IGN};
	IS("sigaction", sigaction(SIGUSR1, &action, &old), 0);
	HOLDS("tells what was", old.sa_handler == SIG_DFL);
	IS("an ignored signal", (raise(SIGUSR1), last), 0);
	listen_to(SIGUSR1, 0);
	IS("raise", (raise(SIGUSR1), last), SIGUSR1);
	HOLDS("says who", said.si_code == SI_TKILL && said.si_pid == getpid() && said.si_uid == getuid());
	IS("kill", (kill(getpid(), SIGUSR1), said.si_code), SI_USER);
	union sigval value = {.sival_int = 7};
	IS("sigqueue", (sigqueue(getpid(), SIGUSR1, value), said.si_value.sival_int), 7);
	IS("says so", said.si_code, SI_QUEUE);
	siginfo_t pretended = {.si_signo = SIGUSR1, .si_code = SI_TIMER};
	pretended.si_timerid = INT_MAX;
	IS("a timer that is none", syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &pretended), 0);
	HOLDS("is told as it was said", said.si_code == SI_TIMER && said.si_timerid == INT_MAX);
	FAILS("kill of nobody", kill(INT_MAX, 0), ESRCH);
	IS("kill of oneself with nothing", kill(getpid(), 0), 0);
	FAILS("kill with no signal", kill(getpid(), 65), EINVAL);
	FAILS("tgkill of nobody", syscall(SYS_tgkill, getpid(), INT_MAX, 0), ESRCH);
	FAILS("an action for SIGKILL", sigaction(SIGKILL, &action, NULL), EINVAL);
	IS("to look at it is not", sigaction(SIGKILL, NULL, &old), 0);
	FAILS("an action for no signal", syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
	FAILS("an action with a mask of another size", syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 16), EINVAL);
	listen_to(SIGUSR1, SA_RESETHAND);
	raise(SIGUSR1);
	HOLDS("SA_RESETHAND", (sigaction(SIGUSR1, NULL, &old), old.sa_handler == SIG_DFL));
	listen_to(SIGRTMIN + 3, 0);
	IS("a real-time signal", (raise(SIGRTMIN + 3), last), SIGRTMIN + 3);
}

static void masks(void)
{
	sigset_t set = set_of(SIGUSR1), old, pending;
	listen_to(SIGUSR1, 0);
	listen_to(SIGUSR2, 0);
	IS("sigprocmask", sigprocmask(SIG_BLOCK, &set, &old), 0);
	IS("tells what was", sigismember(&old, SIGUSR1), 0);
	IS("a blocked signal is not heard", (raise(SIGUSR1), raise(SIGUSR1), count), 0);
	IS("but pending", (sigpending(&pending), sigismember(&pending, SIGUSR1)), 1);
	IS("until it is not blocked", (sigprocmask(SIG_UNBLOCK, &set, NULL), last), SIGUSR1);
	IS("and once", count, 1);
	FAILS("an unknown way", sigprocmask(99, &set, NULL), EINVAL);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigprocmask(SIG_SETMASK, NULL, &old);
	HOLDS("SIGKILL and SIGSTOP cannot be blocked",
	      !sigismember(&old, SIGKILL) && !sigismember(&old, SIGSTOP) && sigismember(&old, SIGTERM));
	count = 0;
	listen_to(SIGRTMIN, 0);
	listen_to(SIGRTMIN + 1, 0);
	raise(SIGUSR2), raise(SIGRTMIN + 1), raise(SIGRTMIN), raise(SIGUSR1);
	set = set_of(0);
	sigprocmask(SIG_SETMASK, &set, NULL);
	IS("those that were blocked are heard", count, 4);
	HOLDS("the last is the first that was pushed", order[3] == SIGUSR1 && order[0] == SIGRTMIN + 1);
	sigset_t real = set_of(SIGRTMIN);
	sigprocmask(SIG_BLOCK, &real, NULL);
	count = 0;
	for (int i = 1; i <= 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
	sigprocmask(SIG_SETMASK, &set, NULL);
	IS("real-time signals are queued, each", count, 3);
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO, .sa_mask = set_of(SIGUSR2)};
	sigaction(SIGUSR1, &action, NULL);
	pid_t child = fork();
	if (child == 0) {
		sigpending(&pending);
		_exit(sigismember(&pending, SIGUSR1));
	}
	int status;
	waitpid(child, &status, 0);
	IS("a child inherits no pending signal", status, 0);
}

static volatile bool blocked_inside, other_inside;

static void look_at_mask(int number)
{
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	blocked_inside = sigismember(&now, number);
	other_inside = sigismember(&now, SIGUSR2);
}

static void inside_handlers(void)
{
	sigset_t now;
	struct sigaction action = {.sa_handler = look_at_mask, .sa_mask = set_of(SIGUSR2)};
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	HOLDS("in a handler its signal and those of its mask are blocked", blocked_inside && other_inside);
	sigprocmask(SIG_BLOCK, NULL, &now);
	HOLDS("and afterwards no more", !sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
	action.sa_flags = SA_NODEFER;
	sigemptyset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	HOLDS("with SA_NODEFER it is not", !blocked_inside);
}

static volatile long long registers_kept = 1;

/* What a handler does to registers and flags is undone; what it does to the saved ones is not. */
static void change_context(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	(void)number;
	(void)info;
	volatile double x = 1.5;
	for (int i = 0; i < 100; i++)
		x = x * 1.1 + i;
	if (u->uc_mcontext.gregs[REG_R12] == 0x1234)
		u->uc_mcontext.gregs[REG_R12] = 0x5678;
}

static void contexts(void)
{
	struct sigaction action = {.sa_sigaction = change_context, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &action, NULL);
	long pid = getpid(), result, r12 = 0x1234, rbx = 77;
	double vector = 3.25, after;
	register long r12_in __asm__("r12") = r12;
	register double xmm __asm__("xmm9") = vector;
	__asm__ volatile("syscall"
	                 : "=a"(result), "+r"(r12_in), "+x"(xmm)
	                 : "0"(SYS_kill), "D"(pid), "S"((long)SIGUSR1)
	                 : "rcx", "r11", "memory");
	after = xmm;
	IS("the call gives what it gives", result, 0);
	IS("what a handler changes in its context is changed", r12_in, 0x5678);
	HOLDS("vector registers are kept", after == 3.25);
	HOLDS("and so is what is on the stack", rbx == 77);
}

static sigjmp_buf back;

static void jump(int number, siginfo_t *info, void *context)
{
	(void)context;
	last = number;
	said = *info;
	siglongjmp(back, 1);
}

static void faults(void)
{
	struct sigaction action = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGTRAP, &action, NULL);
	if (!sigsetjmp(back, 1))
		*(volatile int *)0x1234 = 5;
	HOLDS("a fault says where", last == SIGSEGV && said.si_addr == (void *)0x1234 && said.si_code == SEGV_MAPERR);
	volatile int zero = 0;
	if (!sigsetjmp(back, 1))
		zero = 5 / zero;
	HOLDS("a division by zero", last == SIGFPE && said.si_code == FPE_INTDIV);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("ud2");
	HOLDS("no instruction", last == SIGILL && said.si_code == ILL_ILLOPN);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("int3");
	IS("a breakpoint", last, SIGTRAP);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("hlt");
	IS("an instruction of the kernel's", last, SIGSEGV);
	if (!sigsetjmp(back, 1))
		*(volatile int *)0x8000000000000000ul = 5;
	IS("an address that is none", last, SIGSEGV);
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	HOLDS("siglongjmp gives the mask back", !sigismember(&now, SIGSEGV));
}

static void overflow(char *unused)
{
	char here[4096];
	memset(here, 1, sizeof here);
	overflow(here);
	*unused = here[5];
}

static void alternate_stacks(void)
{
	static char alternate[65536];
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
	IS("sigaltstack without one", (sigaltstack(NULL, &old), old.ss_flags), SS_DISABLE);
	FAILS("one that is too small", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 100}, NULL), ENOMEM);
	FAILS("an unknown flag", sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = 65536, .ss_flags = 77}, NULL),
	      EINVAL);
	IS("sigaltstack", sigaltstack(&stack, NULL), 0);
	listen_to(SIGUSR1, SA_ONSTACK);
	raise(SIGUSR1);
	HOLDS("is where the handler runs",
	      (char *)stack_seen >= alternate && (char *)stack_seen < alternate + sizeof alternate);
	listen_to(SIGUSR1, 0);
	raise(SIGUSR1);
	HOLDS("if it asks for it",
	      !((char *)stack_seen >= alternate && (char *)stack_seen < alternate + sizeof alternate));
	struct sigaction action = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaction(SIGSEGV, &action, NULL);
	if (!sigsetjmp(back, 1))
		overflow(NULL);
	IS("a stack that is full raises SIGSEGV there", last, SIGSEGV);
	IS("and afterwards all is well", (last = 0, raise(SIGUSR1), last), SIGUSR1);
	stack.ss_flags = SS_DISABLE;
	IS("and without it", (sigaltstack(&stack, NULL), sigaltstack(NULL, &old), old.ss_flags), SS_DISABLE);
}

static void interrupting(void)
{
	int pair[2];
	char byte;
	struct timespec brief = {0, 20000000};
	siginfo_t info;
	NEED(pipe(pair) == 0);
	listen_to(SIGALRM, 0);
	alarm_soon();
	FAILS("a signal interrupts read", read(pair[0], &byte, 1), EINTR);
	listen_to(SIGALRM, SA_RESTART);
	pid_t child = fork();
	if (child == 0) {
		usleep(100000);
		write(pair[1], "x", 1);
		_exit(0);
	}
	alarm_soon();
	IS("with SA_RESTART it goes on", read(pair[0], &byte, 1), 1);
	IS("after the handler", count, 1);
	waitpid(child, NULL, 0);
	alarm_soon();
	struct pollfd p = {pair[0], POLLIN, 0};
	FAILS("poll does not", poll(&p, 1, -1), EINTR);
	count = 0;
	alarm_soon();
	sigset_t set = set_of(0);
	FAILS("sigsuspend", sigsuspend(&set), EINTR);
	IS("after the handler, too", count, 1);
	set = set_of(SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	IS("sigwaitinfo", sigwaitinfo(&set, &info), SIGUSR1);
	IS("says who", info.si_pid, getpid());
	FAILS("sigtimedwait until the time is over", sigtimedwait(&set, NULL, &brief), EAGAIN);
	alarm_soon();
	FAILS("another signal interrupts it", sigtimedwait(&set, NULL, &(struct timespec){5, 0}), EINTR);
	int number;
	IS("sigwait", (raise(SIGUSR1), sigwait(&set, &number), number), SIGUSR1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	listen_to(SIGPIPE, 0);
	close(pair[0]);
	FAILS("a write for nobody", write(pair[1], "x", 1), EPIPE);
	IS("raises SIGPIPE", last, SIGPIPE);
}

/* How a child ends that does this. */
static int status_of(void (*act)(void))
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		act();
		_exit(50);
	}
	return waitpid(child, &status, 0) == child ? status : -1;
}

static void by_default(void)
{
	for (int i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP)
			signal(i, SIG_DFL);
	raise(SIGTERM);
}

static void abort_it(void)
{
	abort();
}

static void kill_it(void)
{
	kill(getpid(), SIGKILL);
}

static void ignore_much(void)
{
	signal(SIGCHLD, SIG_DFL);
	raise(SIGCHLD);
	raise(SIGURG);
	raise(SIGWINCH);
	raise(SIGCONT);
}

static void block_fault(void)
{
	sigset_t set = set_of(SIGSEGV);
	signal(SIGSEGV, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*(volatile int *)8 = 1;
}

static void lose_stack(void)
{
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	overflow(NULL);
}

static void *wait_for_child(void *child)
{
	return (void *)(long)waitpid((pid_t)(long)child, NULL, 0);
}

/* Two threads, each for a child of its own; the one whose child ends later has waited longer. */
static void waiting_apart(void)
{
	int pair[2];
	char byte;
	void *result;
	pthread_t thread;
	NEED(pipe(pair) == 0);
	pid_t later = fork();
	if (later == 0)
		_exit(read(pair[0], &byte, 1) != 1);
	NEED(pthread_create(&thread, NULL, wait_for_child, (void *)(long)later) == 0);
	usleep(10000);
	pid_t sooner = fork();
	if (sooner == 0) {
		usleep(20000);
		_exit(0);
	}
	IS("a thread hears of its own child", waitpid(sooner, NULL, 0), sooner);
	NEED(write(pair[1], "x", 1) == 1 && pthread_join(thread, &result) == 0);
	IS("and another of the other", result, later);
	close(pair[0]);
	close(pair[1]);
}

static void ends(void)
{
	IS("SIGTERM ends", WTERMSIG(status_of(by_default)), SIGTERM);
	IS("abort", WTERMSIG(status_of(abort_it)), SIGABRT);
	IS("SIGKILL", WTERMSIG(status_of(kill_it)), SIGKILL);
	IS("what is ignored by default", WEXITSTATUS(status_of(ignore_much)), 50);
	IS("a fault that is blocked and ignored", WTERMSIG(status_of(block_fault)), SIGSEGV);
	IS("a handler without a stack", WTERMSIG(status_of(lose_stack)), SIGSEGV);
	listen_to(SIGCHLD, 0);
	pid_t child = fork();
	if (child == 0)
		_exit(9);
	while (!count)
		usleep(1000);
	HOLDS("SIGCHLD says who and how",
	      said.si_signo == SIGCHLD && said.si_pid == child && said.si_code == CLD_EXITED && said.si_status == 9);
	int status;
	IS("and the child waits", waitpid(child, &status, WNOHANG), child);
	struct rusage used;
	memset(&used, 0xff, sizeof used);
	signal(SIGCHLD, SIG_DFL);
	child = fork();
	if (child == 0)
		_exit(0);
	HOLDS("waitid tells what a child used", syscall(SYS_waitid, P_PID, child, NULL, WEXITED, &used) == 0 &&
	                                                used.ru_utime.tv_sec == 0 && used.ru_nsignals == 0);
	siginfo_t info;
	child = fork();
	if (child == 0)
		_exit(3);
	NEED(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
	FAILS("a child that has ended will not stop", waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG), ECHILD);
	IS("and is still there", waitpid(child, &status, WNOHANG), child);
	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child == 0)
		_exit(0);
	FAILS("ignored, no child waits", waitpid(child, &status, 0), ECHILD);
	FAILS("waitid of nobody", waitid(P_ALL, 0, &info, WEXITED), ECHILD);
	FAILS("waitid for nothing", waitid(P_ALL, 0, &info, 0), EINVAL);
	FAILS("wait4 with an unknown flag", syscall(SYS_wait4, -1, NULL, 1 << 20, NULL), EINVAL);
}

/* --- what is ignored leaves nothing behind --- */

static int woken[2]; /* a pipe */
static volatile bool got;

static void *waits_blocked(void *unused)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	NEED(write(woken[1], "x", 1) == 1);
	while (!got)
		sched_yield();
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return unused;
}

static void ignoring(void)
{
	sigset_t set;
	char byte;
	const int queued = SIGRTMIN + 3;
	sigemptyset(&set);
	sigaddset(&set, queued);
	listen_to(queued, 0);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), queued, (union sigval){.sival_int = i});
	signal(queued, SIG_IGN);
	listen_to(queued, 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	IS("what waited is gone once it is ignored", count, 0);
	kill(getpid(), queued);
	IS("and does not come with a later one", count, 1);
	pthread_t thread;
	NEED(pipe(woken) == 0);
	got = false;
	listen_to(SIGUSR1, 0);
	NEED(pthread_create(&thread, NULL, waits_blocked, NULL) == 0);
	NEED(read(woken[0], &byte, 1) == 1);
	pthread_kill(thread, SIGUSR1);
	signal(SIGUSR1, SIG_IGN);
	listen_to(SIGUSR1, 0);
	got = true;
	pthread_join(thread, NULL);
	IS("nor what waited for another thread", count, 0);
}

static void *reads_on(void *unused)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return (void *)read(woken[0], unused, 1);
}

/* A call that is made again after a handler is made again, whatever else was pending. */
static void restarting_beside_ignored(void)
{
	pthread_t thread;
	sigset_t set;
	char byte = 0;
	void *result;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	signal(SIGHUP, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	listen_to(SIGUSR1, SA_RESTART);
	NEED(pthread_create(&thread, NULL, reads_on, &byte) == 0);
	usleep(10000);
	kill(getpid(), SIGHUP);
	pthread_kill(thread, SIGUSR1);
	usleep(10000);
	NEED(write(woken[1], "y", 1) == 1);
	pthread_join(thread, &result);
	IS("an ignored signal beside a handled one does not end a read", (long)result, 1);
	IS("the handler has run", count, 1);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGHUP, SIG_DFL);
}

/* A zombie whose parent ends: whoever inherits it is told. */
static void inheriting(void)
{
	int hold[2], ready[2];
	char byte;
	NEED(pipe(hold) == 0 && pipe(ready) == 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	listen_to(SIGCHLD, 0);
	pid_t middle = fork();
	if (!middle) { /* lives on, and so does its own child until that has a zombie */
		close(hold[1]);
		pid_t parent = fork();
		if (!parent) {
			if (!fork())
				_exit(7);
			usleep(50000);
			_exit(0);
		}
		read(hold[0], &byte, 1);
		_exit(waitpid(parent, NULL, 0) == parent ? 3 : 4);
	}
	close(hold[0]);
	int status, before;
	pid_t found = waitpid(-1, &status, 0);
	HOLDS("an inherited zombie ends a wait for any child",
	      found > 0 && found != middle && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	IS("and was signalled", count > 0, 1);
	before = close(hold[1]);
	IS("its first parent lived all the time",
	   before == 0 && waitpid(middle, &status, 0) == middle ? WEXITSTATUS(status) : -1, 3);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	signal(SIGCHLD, SIG_DFL);
}

int main(void)
{
	begin();
	actions();
	masks();
	inside_handlers();
	contexts();
	faults();
	alternate_stacks();
	interrupting();
	signal(SIGCHLD, SIG_DFL);
	waiting_apart();
	ignoring();
	restarting_beside_ignored();
	inheriting();
	ends();
	return end();
}
