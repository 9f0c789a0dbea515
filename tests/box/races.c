/* Threads and processes that race: natively another one wins each time. One race per argument. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4

static pthread_t threads[THREADS];
static char order[1 << 16];
static atomic_int place;

static void note(char who)
{
	int at = atomic_fetch_add(&place, 1);
	if (at < (int)sizeof order - 1)
		order[at] = who;
}

static void in_threads(void *(*work)(void *))
{
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* The order, with runs of the same one counted. */
static void print_order(void)
{
	for (int i = 0, n = atomic_load(&place); i < n;) {
		int from = i;
		while (i < n && order[i] == order[from])
			i++;
		printf("%c%d ", order[from], i - from);
	}
	putchar('\n');
}

/* --- threads --- */

static volatile long total, lost;

static void *add(void *who)
{
	for (int i = 0; i < 3000; i++) {
		long seen = total;
		if (i % (3 + (long)who) == 0)
			sched_yield();
		if (i % (97 + (long)who) == 0)
			usleep(1);
		if (total != seen)
			lost++;
		total = seen + 1; /* what others have added is lost */
	}
	return NULL;
}

static void counter(void)
{
	in_threads(add);
	printf("%ld %ld\n", total, lost);
}

static void *notes(void *who)
{
	for (int i = 0; i < 300; i++) {
		note('a' + (long)who);
		if (i % 7 == (long)who)
			sched_yield();
	}
	return NULL;
}

static void yields(void)
{
	in_threads(notes);
	print_order();
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static long quota = 600;

static void *grab(void *who)
{
	for (;;) {
		pthread_mutex_lock(&lock);
		if (quota-- <= 0) {
			pthread_mutex_unlock(&lock);
			return NULL;
		}
		note('a' + (long)who);
		if (quota % 5 == 0)
			pthread_cond_signal(&turn);
		if (quota % 11 == 0) {
			struct timespec soon;
			clock_gettime(CLOCK_REALTIME, &soon);
			soon.tv_nsec = (soon.tv_nsec + 50000) % 1000000000;
			pthread_cond_timedwait(&turn, &lock, &soon);
		}
		pthread_mutex_unlock(&lock);
		if (quota % 3 == 0)
			usleep(1);
	}
}

static void mutex(void)
{
	in_threads(grab);
	print_order();
}

static sem_t semaphore;
static int pipe_ends[2];

static void *talk(void *who)
{
	for (int i = 0; i < 100; i++) {
		char word = 'a' + (long)who;
		sem_wait(&semaphore);
		write(pipe_ends[1], &word, 1);
		sem_post(&semaphore);
		if (i % 4 == 0)
			usleep(20);
	}
	return NULL;
}

static void semaphores(void)
{
	sem_init(&semaphore, 0, 2);
	pipe(pipe_ends);
	in_threads(talk);
	atomic_store(&place, (int)read(pipe_ends[0], order, sizeof order));
	print_order();
}

static void *where(void *unused)
{
	int local;
	printf("%p %p %d %lx\n", (void *)&local, malloc(100), gettid(), (long)pthread_self());
	return unused;
}

static void stacks(void)
{
	in_threads(where);
}

/* --- processes --- */

static void in_processes(void (*work)(int who))
{
	fflush(stdout);
	for (int i = 0; i < THREADS; i++)
		if (fork() == 0) {
			work(i);
			_exit(i);
		}
}

static void write_slowly(int who)
{
	for (int i = 0; i < 50; i++) {
		char word = 'a' + who;
		write(pipe_ends[1], &word, 1);
		if (i % 8 == who)
			sched_yield();
		if (i % 16 == who)
			usleep(30);
	}
}

/* All write into one pipe while we read it in pieces; how large each piece is, is printed as well. */
static void writers(void)
{
	pipe(pipe_ends);
	in_processes(write_slowly);
	close(pipe_ends[1]);
	for (ssize_t n; (n = read(pipe_ends[0], order + place, 37)) > 0; place += n)
		printf("%zd ", n);
	print_order();
	while (wait(NULL) > 0)
		;
}

static void print_lines(int who)
{
	char line[40];
	for (int i = 0; i < 20; i++) {
		write(1, line, snprintf(line, sizeof line, "process %d line %d\n", who, i));
		if (i % 5 == who)
			usleep(10);
	}
}

static void output(void)
{
	in_processes(print_lines);
	while (wait(NULL) > 0)
		;
}

static void end_soon(int who)
{
	for (int i = 0; i < who * 7 % 5; i++)
		sched_yield();
}

static void children(void)
{
	int status;
	for (int round = 0; round < 5; round++) {
		in_processes(end_soon);
		for (pid_t pid; (pid = wait(&status)) > 0;)
			printf("%d %d, ", pid, WEXITSTATUS(status));
	}
	putchar('\n');
}

static atomic_int *shared;

static void add_shared(int who)
{
	for (int i = 0; i < 2000; i++) {
		int seen = *shared;
		if (i % (3 + who) == 0)
			sched_yield();
		if (i % (97 + who) == 0)
			usleep(1);
		*shared = seen + 1;
	}
}

static void memory(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	in_processes(add_shared);
	while (wait(NULL) > 0)
		;
	printf("%d\n", *shared);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} all[] = {{"counter", counter},       {"yields", yields},     {"mutex", mutex},
	           {"semaphores", semaphores}, {"stacks", stacks},     {"writers", writers},
	           {"output", output},         {"children", children}, {"memory", memory}};
	for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	return 2;
}
