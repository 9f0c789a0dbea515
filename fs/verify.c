/* See verify.h. */
#include "verify.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/store.h>
#include "compare.h"
#include "content.h"

#define EXIT_TIME 124
#define EXIT_TROUBLE 125
#define ARGUMENTS_MAX 160

/* struct zvm_verify with its paths made absolute. */
struct request {
	unsigned runs;
	struct zvm_store *store;
	const char *store_path;
	char **scripts;
	const char *spec;
	int input_fd;
};

/* What one run left: files in the store's tmp, and how the process ended. */
struct outcome {
	int out, err, trace;
	int status; /* as waitpid tells it */
};

/* --- circumstances: what a process inherits, different in each run; the first has them as they are --- */

static void change_environment(unsigned run)
{
	char padding[4096];
	if (run % 3 == 2)
		clearenv();
	memset(padding, 'x', sizeof padding);
	padding[run * 997 % sizeof padding] = 0;
	setenv("ZVM_VERIFY_PADDING", padding, 1);
	setenv("LC_ALL", run % 2 ? "C" : "C.UTF-8", 1);
	setenv("TZ", run % 2 ? "Asia/Tokyo" : "America/New_York", 1);
}

static void change_signals(unsigned run)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, run % 2 ? SIGUSR1 : SIGALRM);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(run % 2 ? SIGCHLD : SIGUSR1, SIG_IGN);
}

static void change_limits(unsigned run)
{
	struct rlimit stack, files;
	if (getrlimit(RLIMIT_STACK, &stack) == 0) {
		stack.rlim_cur = run % 2 ? 1u << 20 : stack.rlim_max;
		setrlimit(RLIMIT_STACK, &stack);
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > 600) {
		files.rlim_cur = 512 + run % 64;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void change_processor(unsigned run)
{
	cpu_set_t all, one;
	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof all, &all) < 0)
		return;
	int skip = (int)run % CPU_COUNT(&all);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all) && skip-- == 0)
			CPU_SET(i, &one);
	sched_setaffinity(0, sizeof one, &one);
}

static void spend_pids(unsigned count)
{
	while (count--) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static void change_circumstances(unsigned run)
{
	static const mode_t masks[] = {022, 0, 077, 027};
	spend_pids(run % 7);
	if (nice((int)(run % 4)) < 0)
		errno = 0; /* -1 may be its answer too, and either will do */
	umask(masks[run % 4]);
	change_environment(run);
	change_limits(run);
	change_processor(run);
	change_signals(run);
	if (run % 2 && chdir("/") < 0)
		errno = 0;
	if (run % 2)
		personality(ADDR_NO_RANDOMIZE);
	for (unsigned i = 0; i < run % 5; i++)
		open("/dev/null", O_RDONLY); /* inherited, and left open on purpose */
}

/* Load on the other processor, during every second run. */
static void *spin(void *context)
{
	atomic_bool *stop = context;
	while (!atomic_load_explicit(stop, memory_order_relaxed))
		;
	return NULL;
}

/* --- one run --- */

struct command {
	const char *words[ARGUMENTS_MAX];
	unsigned count;
	char trace[32], pool[16];
};

static void build_command(const struct request *v, unsigned run, int trace_fd, struct command *c)
{
	static const char *const start[] = {"zvm", "run", "--no-cache", "--store"};
	for (size_t i = 0; i < sizeof start / sizeof *start; i++)
		c->words[c->count++] = start[i];
	c->words[c->count++] = v->store_path;
	for (unsigned i = 0; v->scripts[i] && c->count + 8 < ARGUMENTS_MAX; i++) {
		c->words[c->count++] = "--scripts";
		c->words[c->count++] = v->scripts[i];
	}
	snprintf(c->trace, sizeof c->trace, "/dev/fd/%d", trace_fd);
	snprintf(c->pool, sizeof c->pool, "%u", run % 3); /* a box made for this run, or one that has waited */
	if (run % 3 == 2)
		c->words[c->count++] = "--template";
	const char *const end[] = {"--trace", c->trace, "--pool", c->pool, v->spec};
	for (size_t i = 0; i < sizeof end / sizeof *end; i++)
		c->words[c->count++] = end[i];
}

static void become_run(const struct request *v, unsigned run, const struct outcome *o)
{
	struct command command = {0};
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	int trace = fcntl(o->trace, F_DUPFD, 20);
	build_command(v, run, trace, &command);
	if (trace < 0 || lseek(v->input_fd, 0, SEEK_SET) < 0 || dup2(v->input_fd, STDIN_FILENO) < 0 ||
	    dup2(o->out, STDOUT_FILENO) < 0 || dup2(o->err, STDERR_FILENO) < 0)
		_exit(EXIT_TROUBLE);
	signal(SIGPIPE, SIG_DFL);
	if (run)
		change_circumstances(run);
	execv("/proc/self/exe", (char *const *)(uintptr_t)command.words);
	_exit(EXIT_TROUBLE);
}

static int start_and_wait(const struct request *v, unsigned run, struct outcome *o)
{
	pid_t pid = fork();
	if (pid == 0)
		become_run(v, run, o);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &o->status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int run_once(const struct request *v, unsigned run, struct outcome *o)
{
	atomic_bool stop = false;
	pthread_t spinner;
	int r = zvm_store_begin(v->store, &o->out);
	r = r ? r : zvm_store_begin(v->store, &o->err);
	r = r ? r : zvm_store_begin(v->store, &o->trace);
	if (r)
		return r;
	bool loaded = run % 2 && pthread_create(&spinner, NULL, spin, &stop) == 0;
	r = start_and_wait(v, run, o);
	atomic_store(&stop, true);
	if (loaded)
		pthread_join(spinner, NULL);
	return r;
}

static void close_outcome(struct outcome *o)
{
	zvm_close_pointer(&o->out);
	zvm_close_pointer(&o->err);
	zvm_close_pointer(&o->trace);
	*o = (struct outcome){-1, -1, -1, 0};
}

/* --- comparing --- */

static int compare_stream(const char *name, unsigned run, int first, int other)
{
	struct zvm_compare_parting p;
	int r = zvm_compare_streams(first, other, &p);
	if (r == 1)
		fprintf(stderr,
		        "zvm run: run %u differs from run 1 in %s, at byte %llu:\n    run 1: %s\n    run %u: %s\n", run,
		        name, (unsigned long long)p.at, p.a, run, p.b);
	return r;
}

static void print_line(unsigned run, const struct zvm_compare_line *line)
{
	fprintf(stderr, "    run %u: %s\n", run, *line->text ? line->text : "nothing any more");
}

static int compare_traces(unsigned run, int first, int other)
{
	struct zvm_compare_line lines[2];
	int r = zvm_compare_traces(first, other, lines);
	if (r <= 0)
		return r;
	const struct zvm_compare_line *which = &lines[lines[0].number ? 0 : 1];
	fprintf(stderr, "zvm run: run %u differs from run 1 in ", run);
	if (which->number)
		fprintf(stderr, "system call %llu of stage %u:\n", (unsigned long long)which->number, which->stage);
	else
		fprintf(stderr, "how stage %u ended:\n", which->stage);
	print_line(1, &lines[0]);
	print_line(run, &lines[1]);
	return 1;
}

static int compare_statuses(unsigned run, int first, int other)
{
	if (first == other)
		return 0;
	fprintf(stderr, "zvm run: run %u differs from run 1 in exit status: %d and %d\n", run, WEXITSTATUS(first),
	        WEXITSTATUS(other));
	return 1;
}

/* 0: the same in all; 1: not, and it has been said; or -errno. */
static int compare(unsigned run, const struct outcome *first, const struct outcome *other)
{
	int out = compare_stream("standard output", run, first->out, other->out);
	int err = compare_stream("standard error", run, first->err, other->err);
	int status = compare_statuses(run, first->status, other->status);
	int trace = compare_traces(run, first->trace, other->trace);
	int failed = out < 0 ? out : err < 0 ? err : trace < 0 ? trace : 0;
	return failed ? failed : out | err | status | trace;
}

static int print_file(int from, int to)
{
	char piece[65536];
	for (uint64_t at = 0;;) {
		long n = zvm_read_at(from, piece, sizeof piece, at);
		if (n <= 0)
			return (int)n;
		int r = zvm_write_all(to, piece, (size_t)n);
		if (r)
			return r;
		at += (uint64_t)n;
	}
}

static int give(const struct outcome *o)
{
	int r = print_file(o->err, STDERR_FILENO);
	r = r ? r : print_file(o->out, STDOUT_FILENO);
	if (r == -EPIPE)
		return 128 + SIGPIPE;
	return r ? zvm_complain(EXIT_TROUBLE, "run", "cannot write the result: %s", strerror(-r))
	         : WEXITSTATUS(o->status);
}

/* Its last line of trace tells a time limit from a program that exits with that status. */
static bool timed_out(const struct outcome *o)
{
	struct stat st;
	struct zvm_compare_line last;
	return WEXITSTATUS(o->status) == EXIT_TIME && fstat(o->trace, &st) == 0 && st.st_size > 0 &&
	       zvm_compare_find_line(o->trace, (uint64_t)st.st_size - 1, &last) == 0 && last.number == 0 &&
	       strstr(last.text, ": no result: ");
}

/* A run that did not end by itself, but when the real time was over, has nothing to compare. */
static int run_and_check(const struct request *v, unsigned run, struct outcome *o)
{
	int r = run_once(v, run, o);
	if (r)
		return zvm_complain(EXIT_TROUBLE, "run", "cannot verify: %s", strerror(-r));
	if (!WIFEXITED(o->status))
		return zvm_complain(EXIT_TROUBLE, "run", "run %u of zvm itself was killed by signal %d", run + 1,
		                    WTERMSIG(o->status));
	if (!timed_out(o))
		return 0;
	print_file(o->err, STDERR_FILENO);
	return zvm_complain(EXIT_TIME, "run", "run %u was ended by its time limit: there is nothing to compare",
	                    run + 1);
}

static int verify(const struct request *v, struct outcome *first, struct outcome *other)
{
	int status = run_and_check(v, 0, first);
	for (unsigned run = 1; !status && run < v->runs; run++) {
		status = run_and_check(v, run, other);
		int r = status ? 0 : compare(run + 1, first, other);
		close_outcome(other);
		if (r < 0)
			return zvm_complain(EXIT_TROUBLE, "run", "cannot compare: %s", strerror(-r));
		if (r)
			return EXIT_TROUBLE;
	}
	return status ? status : give(first);
}

static void free_paths(char **paths)
{
	for (char **p = paths; p && *p; p++)
		free(*p);
	free(paths);
}

/* Some runs start in another directory. A path that leads nowhere stays as it is: each run will say so. */
static char *absolute_path(const char *path)
{
	char *absolute = realpath(path, NULL);
	return absolute ? absolute : strdup(path);
}

static char **absolute_paths(const char *const *paths)
{
	size_t n = 0;
	while (paths[n])
		n++;
	char **list = calloc(n + 1, sizeof *list);
	for (size_t i = 0; list && i < n; i++)
		if (!(list[i] = absolute_path(paths[i]))) {
			free_paths(list);
			return NULL;
		}
	return list;
}

int zvm_verify_run(const struct zvm_verify *v)
{
	struct outcome first = {-1, -1, -1, 0}, other = {-1, -1, -1, 0};
	zvm_autofree char *store_path = absolute_path(zvm_store_path(v->store));
	char **scripts = absolute_paths(v->scripts);
	if (!store_path || !scripts) {
		free_paths(scripts);
		return zvm_complain(EXIT_TROUBLE, "run", "cannot verify: %s", strerror(ENOMEM));
	}
	struct request request = {v->runs, v->store, store_path, scripts, v->spec, v->input_fd};
	int status = verify(&request, &first, &other);
	close_outcome(&first);
	close_outcome(&other);
	free_paths(scripts);
	return status;
}
