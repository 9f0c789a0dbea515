/* Time: clocks, sleeping, and the timers that raise signals. In the box a clock goes on by what is asked of it alone.
 */
#include "calls.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

static long long ns_of(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static long long now(clockid_t clock)
{
	struct timespec t = {0, 0};
	clock_gettime(clock, &t);
	return ns_of(&t);
}

/* Of so many seconds less than one has passed; in the box it may have been none at all. */
static bool left(const time_t *seconds, time_t given)
{
	return *seconds == given || *seconds == given - 1;
}

static volatile int heard, code;
static volatile long given;

static void hear(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	heard++;
	code = info->si_code;
	given = info->si_value.sival_int;
}

static void clocks(void)
{
	static const clockid_t known[] = {CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
	                                  CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
	                                  CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};
	struct timespec t;
	bool all = true, forward = true, fine = true;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		long long before = now(known[i]);
		all &= clock_gettime(known[i], &t) == 0;
		fine &= t.tv_nsec >= 0 && t.tv_nsec < 1000000000;
		forward &= now(known[i]) >= before;
		all &= clock_getres(known[i], &t) == 0 && (ns_of(&t) > 0);
	}
	HOLDS("every clock is known", all);
	HOLDS("none goes back", forward);
	HOLDS("seconds have a billion nanoseconds", fine);
	FAILS("an unknown clock", clock_gettime(99, &t), EINVAL);
	FAILS("its resolution", clock_getres(99, &t), EINVAL);
	IS("a resolution nobody wants to see", syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL), 0);
	FAILS("setting the clock", clock_settime(CLOCK_REALTIME, &(struct timespec){0, 0}), EPERM);
	struct timeval tv;
	IS("gettimeofday", gettimeofday(&tv, NULL), 0);
	HOLDS("is the same clock", llabs(tv.tv_sec - (long long)time(NULL)) <= 1 && tv.tv_usec < 1000000);
	clockid_t own;
	IS("the processor clock of a process", clock_getcpuclockid(0, &own), 0);
	IS("can be read", clock_gettime(own, &t), 0);
	struct tms ticks;
	HOLDS("times", times(&ticks) > 0);
	struct rusage usage;
	IS("getrusage", getrusage(RUSAGE_SELF, &usage), 0);
	IS("of children", getrusage(RUSAGE_CHILDREN, &usage), 0);
	IS("of a thread", getrusage(RUSAGE_THREAD, &usage), 0);
	FAILS("of an unknown one", getrusage(77, &usage), EINVAL);
	IS("ticks are hundredths", sysconf(_SC_CLK_TCK), 100);
	struct timex state = {.modes = 0};
	HOLDS("adjtimex tells of the clock", adjtimex(&state) >= 0);
	state.modes = ADJ_OFFSET;
	FAILS("and changes nothing", adjtimex(&state), EPERM);
	if (boxed) { /* the clock of the box: from the start of 2000, a microsecond a query */
		long long first = now(CLOCK_REALTIME);
		HOLDS("it is 2000", first >= 946684800ll * 1000000000 && first < 946684860ll * 1000000000);
		IS("a query takes a microsecond", now(CLOCK_REALTIME) - first, 1000);
		IS("on each clock", now(CLOCK_MONOTONIC) - (first - 946684800ll * 1000000000 + 1000ll * 1000000000),
		   2000);
		IS("the resolution says so", (clock_getres(CLOCK_MONOTONIC, &t), ns_of(&t)), 1000);
	}
}

static void sleeping(void)
{
	struct timespec t = {0, 20000000}, left = {7, 7};
	long long before = now(CLOCK_MONOTONIC);
	IS("nanosleep", nanosleep(&t, NULL), 0);
	HOLDS("lets time pass", now(CLOCK_MONOTONIC) - before >= 20000000);
	FAILS("too many nanoseconds", nanosleep(&(struct timespec){0, 1000000000}, NULL), EINVAL);
	FAILS("a negative time", nanosleep(&(struct timespec){-1, 0}, NULL), EINVAL);
	before = now(CLOCK_REALTIME);
	IS("clock_nanosleep", clock_nanosleep(CLOCK_REALTIME, 0, &t, NULL), 0);
	HOLDS("on that clock", now(CLOCK_REALTIME) - before >= 20000000);
	before = now(CLOCK_MONOTONIC) + 20000000;
	t = (struct timespec){before / 1000000000, before % 1000000000};
	IS("until a time", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	HOLDS("and no less", now(CLOCK_MONOTONIC) >= before);
	IS("until a time that has passed",
	   clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL), 0);
	IS("on an unknown clock", clock_nanosleep(99, 0, &t, NULL), EINVAL);
	IS("on a thread's own", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EINVAL);
	struct itimerval soon = {{0, 0}, {0, 20000}};
	heard = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	t = (struct timespec){5, 0};
	FAILS("a signal interrupts nanosleep", nanosleep(&t, &left), EINTR);
	HOLDS("which tells what is left", heard == 1 && left.tv_sec == 4);
	heard = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	IS("and pause", pause(), -1);
	IS("after its handler", heard, 1);
	before = now(CLOCK_MONOTONIC);
	IS("usleep", usleep(10000), 0);
	HOLDS("lets time pass, too", now(CLOCK_MONOTONIC) - before >= 10000000);
}

static void interval_timers(void)
{
	struct itimerval t = {{0, 0}, {10, 0}}, old;
	IS("setitimer", setitimer(ITIMER_REAL, &t, NULL), 0);
	IS("getitimer", getitimer(ITIMER_REAL, &old), 0);
	HOLDS("tells what is left", left(&old.it_value.tv_sec, 10) && old.it_interval.tv_sec == 0);
	t = (struct itimerval){{0, 0}, {0, 0}};
	IS("setitimer to nothing", setitimer(ITIMER_REAL, &t, &old), 0);
	HOLDS("tells what was", left(&old.it_value.tv_sec, 10));
	IS("and unsets it", (getitimer(ITIMER_REAL, &old), old.it_value.tv_sec + old.it_value.tv_usec), 0);
	FAILS("an unknown timer", setitimer(9, &t, NULL), EINVAL);
	t.it_value.tv_usec = 1000000;
	FAILS("too many microseconds", setitimer(ITIMER_REAL, &t, NULL), EINVAL);
	IS("alarm", alarm(100), 0);
	HOLDS("tells what is left", alarm(0) >= 99);
	IS("and nothing when there is none", alarm(0), 0);
	t = (struct itimerval){{0, 10000}, {0, 10000}};
	heard = 0;
	setitimer(ITIMER_REAL, &t, NULL);
	while (heard < 3)
		pause();
	HOLDS("an interval goes on", heard >= 3);
	IS("from the kernel", code, SI_KERNEL);
	t = (struct itimerval){{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &t, NULL);
	t.it_value.tv_usec = 1000;
	heard = 0;
	IS("a timer of the processor", setitimer(ITIMER_PROF, &t, NULL), 0);
	for (volatile long i = 0; !heard && i < 1000000000; i++)
		if (i % 1000 == 0)
			now(CLOCK_MONOTONIC);
	IS("goes off while one works", heard, 1);
}

static void posix_timers(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42},
	                none = {.sigev_notify = SIGEV_NONE};
	struct itimerspec t = {{0, 0}, {0, 10000000}}, old;
	timer_t timer, quiet;
	IS("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	heard = 0;
	IS("timer_settime", timer_settime(timer, 0, &t, NULL), 0);
	pause();
	HOLDS("raises its signal with its value", heard == 1 && code == SI_TIMER && given == 42);
	IS("once", (timer_gettime(timer, &old), old.it_value.tv_nsec), 0);
	t = (struct itimerspec){{5, 0}, {100, 0}};
	timer_settime(timer, 0, &t, NULL);
	IS("timer_gettime", timer_gettime(timer, &old), 0);
	HOLDS("tells what is left", left(&old.it_value.tv_sec, 100) && old.it_interval.tv_sec == 5);
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	long long until = ns_of(&at) + 20000000;
	t = (struct itimerspec){{0, 0}, {until / 1000000000, until % 1000000000}};
	heard = 0;
	timer_settime(timer, TIMER_ABSTIME, &t, &old);
	HOLDS("tells what was", old.it_interval.tv_sec == 5);
	pause();
	HOLDS("until a time", heard == 1 && now(CLOCK_MONOTONIC) >= until);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t = (struct itimerspec){{0, 1000000}, {0, 1000000}};
	timer_settime(timer, 0, &t, NULL);
	usleep(20500);
	heard = 0;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	HOLDS("a blocked one counts what it could not tell", heard >= 1 && timer_getoverrun(timer) >= 15);
	IS("timer_delete", timer_delete(timer), 0);
	FAILS("twice", syscall(SYS_timer_delete, timer), EINVAL);
	IS("one that tells nobody", timer_create(CLOCK_REALTIME, &none, &quiet), 0);
	t = (struct itimerspec){{0, 0}, {50, 0}};
	IS("can be asked",
	   (timer_settime(quiet, 0, &t, NULL), timer_gettime(quiet, &old), left(&old.it_value.tv_sec, 50)), true);
	t.it_value.tv_nsec = 1000000000;
	FAILS("too many nanoseconds", timer_settime(quiet, 0, &t, NULL), EINVAL);
	timer_delete(quiet);
	FAILS("an unknown clock", timer_create(99, NULL, &timer), EINVAL);
	event.sigev_signo = 99;
	FAILS("an unknown signal", timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
	bool fine = true;
	timer_t many[20];
	for (int i = 0; i < 20; i++)
		fine &= timer_create(CLOCK_MONOTONIC, NULL, &many[i]) == 0;
	HOLDS("there may be many", fine);
	for (int i = 0; i < 20; i++)
		timer_delete(many[i]);
}

/* Who never waits must still hear of the time, and let others sleep. */
static void busy(void)
{
	struct itimerval soon = {{0, 0}, {0, 50000}};
	int status, polls = 0;
	heard = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	for (long i = 0; !heard && i < 1000000000; i++)
		getppid();
	IS("an alarm goes off while one makes calls", heard, 1);
	pid_t child = fork();
	if (child == 0)
		_exit(usleep(50000) ? 1 : 5);
	while (waitpid(child, &status, WNOHANG) == 0)
		polls++;
	IS("a child wakes while one asks for it", WEXITSTATUS(status), 5);
	struct itimerval never = {{0, 0}, {0, 0}};
	soon.it_value.tv_usec = 20000;
	heard = 0;
	setitimer(ITIMER_VIRTUAL, &soon, NULL);
	for (long i = 0; !heard && i < 1000000000; i++)
		getppid();
	IS("a timer of one's own work, too", heard, 1);
	setitimer(ITIMER_VIRTUAL, &never, NULL);
}

static volatile int called;

static void call_me(union sigval value)
{
	called = value.sival_int;
}

static void threads(void)
{
	struct sigevent event = {
	        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = call_me, .sigev_value.sival_int = 42};
	struct itimerspec t = {{0, 0}, {0, 10000000}};
	timer_t timer;
	IS("a timer that starts a thread", timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	timer_settime(timer, 0, &t, NULL);
	for (int i = 0; i < 100 && !called; i++)
		usleep(10000);
	IS("starts it, with its value", called, 42);
	timer_delete(timer);
	struct sigevent other = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	other._sigev_un._tid = INT_MAX;
	FAILS("a timer for a thread that is not there", timer_create(CLOCK_MONOTONIC, &other, &timer), EINVAL);
}

/* A child has none of its parent's timers, and time goes on for both. */
static void children(void)
{
	struct itimerval t = {{0, 0}, {100, 0}}, old;
	int status;
	setitimer(ITIMER_REAL, &t, NULL);
	pid_t child = fork();
	if (child == 0) {
		getitimer(ITIMER_REAL, &old);
		_exit(old.it_value.tv_sec != 0 || usleep(30000));
	}
	long long before = now(CLOCK_MONOTONIC);
	IS("a child inherits no timer", (waitpid(child, &status, 0), status), 0);
	HOLDS("and time passes while one waits for it", now(CLOCK_MONOTONIC) - before > 15000000);
	alarm(0);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO};
	begin();
	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGPROF, &action, NULL);
	sigaction(SIGVTALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	clocks();
	sleeping();
	interval_timers();
	posix_timers();
	children();
	busy();
	threads();
	return end();
}
