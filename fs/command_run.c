/* zvm run: one spec, standard input to standard output, as in a shell, but boxed and remembered. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/engine.h>
#include "await.h"
#include "content.h"
#include "plain.h"
#include "verify.h"

#define SCRIPTS_MAX 64
#define EXIT_TIME 124
#define EXIT_TROUBLE 125
#define EXIT_NOT_RUNNABLE 126
#define EXIT_NOT_FOUND 127

struct options {
	const char *scripts[SCRIPTS_MAX + 2];
	unsigned script_count;
	const char *store;
	bool no_cache, stats, any_exit;
	FILE *trace;
	unsigned verify;        /* how many runs to compare; 0: only run */
	int pool;               /* boxes kept waiting; 0: none, -1: not said */
	bool template;          /* go on from one */
	char *spec;             /* owned */
	char *script_directory; /* of a script given with a slash; owned */
};

static void print_help(void)
{
	puts("usage: zvm run [--no-cache] [--store DIR] [--scripts DIR]... [--stats] [--trace FILE] [--pool N] "
	     "[--template] SPEC [<INPUT]\n"
	     "       zvm run --verify N [--store DIR] [--scripts DIR]... SPEC [<INPUT]\n\n"
	     "Runs SPEC (\"sort | uniq -c\", \"count.py -v\", \"./count.py\") once in a box, with standard input as "
	     "its input.\n"
	     "A stored result of the same run is given instead of running, unless --no-cache.\n\n"
	     "  --no-cache       compute in any case and remember nothing\n"
	     "  --store DIR      where results are kept (default: $XDG_CACHE_HOME/zvm)\n"
	     "  --scripts DIR    look scripts up here, before /usr/local/bin, /usr/bin and /bin; may be repeated\n"
	     "  --stats          print the counters to stderr afterwards\n"
	     "  --trace FILE     write a line for each system call to FILE; implies --no-cache\n"
	     "  --pool N         keep N boxes waiting, for the stages of a pipeline (0 to 16; default: 1)\n"
	     "  --template       stop it where its input begins to matter, and go on from there: as mounts do with "
	     "what "
	     "is\n"
	     "                   run often. It changes nothing but the time that it takes\n"
	     "  --verify N       run it N times (2 to 1000) under different circumstances and compare output,\n"
	     "                   exit status and system calls; print the output once if all agree, else where they "
	     "part\n\n"
	     "Exit status: the program's; 124 time limit, 125 no result otherwise, zvm failed or the runs of --verify\n"
	     "differ, 126 not runnable, 127 not found, 128+n signal n.");
}

/* "./count.py -v" names a file: its directory becomes the scripts directory. */
static int split_path(struct options *o, const char *spec)
{
	size_t length = strcspn(spec, " ");
	const char *slash = memrchr(spec, '/', length);
	if (!slash) {
		o->spec = strdup(spec);
		return o->spec ? 0 : -ENOMEM;
	}
	char directory[PATH_MAX];
	snprintf(directory, sizeof directory, "%.*s", slash == spec ? 1 : (int)(slash - spec), spec);
	o->script_directory = realpath(directory, NULL);
	if (!o->script_directory)
		return -errno;
	o->spec = strdup(slash + 1);
	o->scripts[o->script_count++] = o->script_directory;
	return o->spec ? 0 : -ENOMEM;
}

/* A number between the two, or -1. */
static int parse_number(const char *text, int least, int most)
{
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	return errno || end == text || *end || n < least || n > most ? -1 : (int)n;
}

static int parse_counts(struct options *o, int option, const char *text)
{
	int n = option == 'v' ? parse_number(text, 2, ZVM_VERIFY_MAX) : parse_number(text, 0, 16);
	if (n < 0)
		return zvm_complain(EXIT_TROUBLE, "run", "%s takes a number from %s",
		                    option == 'v' ? "--verify" : "--pool", option == 'v' ? "2 to 1000" : "0 to 16");
	if (option == 'v')
		o->verify = (unsigned)n;
	else
		o->pool = n;
	return -1;
}

static int open_trace(struct options *o, const char *path)
{
	if (o->trace)
		fclose(o->trace);
	o->trace = fopen(path, "we");
	o->no_cache = true;
	return o->trace ? -1 : zvm_complain(EXIT_TROUBLE, "run", "%s: %s", path, strerror(errno));
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
	        {"no-cache", no_argument, NULL, 'n'},      {"store", required_argument, NULL, 's'},
	        {"scripts", required_argument, NULL, 'd'}, {"stats", no_argument, NULL, 't'},
	        {"trace", required_argument, NULL, 'T'},   {"pool", required_argument, NULL, 'p'},
	        {"template", no_argument, NULL, 'm'},      {"verify", required_argument, NULL, 'v'},
	        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
	};
	int c, status = -1;
	optind = 1;
	while ((c = getopt_long(argc, argv, "+h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'n': o->no_cache = true; break;
		case 's': o->store = optarg; break;
		case 'd':
			if (o->script_count == SCRIPTS_MAX)
				return zvm_complain(EXIT_TROUBLE, "run", "too many --scripts");
			o->scripts[o->script_count++] = optarg;
			break;
		case 't': o->stats = true; break;
		case 'm': o->template = true; break;
		case 'T': status = open_trace(o, optarg); break;
		case 'p':
		case 'v': status = parse_counts(o, c, optarg); break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(EXIT_TROUBLE, "run");
		}
		if (status >= 0)
			return status;
	}
	if (o->verify && (o->stats || o->trace || o->pool >= 0 || o->template))
		return zvm_complain(EXIT_TROUBLE, "run",
		                    "--verify goes with none of --stats, --trace, --pool and --template");
	if (o->template && o->pool == 0)
		return zvm_complain(EXIT_TROUBLE, "run", "--template needs a box that waits: --pool 1 or more");
	if (argc - optind != 1)
		return zvm_complain(EXIT_TROUBLE, "run",
		                    "name one SPEC, in quotes if it has spaces; `zvm run --help` shows how");
	int r = split_path(o, argv[optind]);
	return r ? zvm_complain(EXIT_NOT_FOUND, "run", "%s: %s", argv[optind], strerror(-r)) : -1;
}

/* --- the input --- */

/* Standard input as a regular file: itself if it is one at its start, else copied into the store's tmp. */
static int take_input(struct zvm_store *store, int *ret)
{
	struct stat st;
	char buffer[65536];
	if (fstat(STDIN_FILENO, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
		*ret = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		return *ret < 0 ? -errno : 0;
	}
	zvm_autofd int fd = -1;
	int r = zvm_store_begin(store, &fd);
	while (r == 0) {
		ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : 0;
			break;
		}
		r = zvm_write_all(fd, buffer, (size_t)n);
	}
	if (r == 0)
		*ret = zvm_steal_fd(&fd);
	return r;
}

/* The box dies with us: the launcher reads the end of its socket and kills it. */
static void on_signal(int number)
{
	_exit(128 + number);
}

/* --- the answer --- */

static int copy_out(int from, uint64_t size, int to)
{
	off_t at = 0;
	while ((uint64_t)at < size) {
		ssize_t n = sendfile(to, from, &at, 1 << 30);
		if (n > 0 || (n < 0 && errno == EINTR))
			continue;
		if (n < 0 && errno != EINVAL && errno != ENOSYS)
			return -errno;
		break;
	}
	char buffer[65536];
	while ((uint64_t)at < size) { /* an output that sendfile cannot write to */
		long n = zvm_read_at(from, buffer, sizeof buffer, (uint64_t)at);
		int r = n <= 0 ? -EIO : zvm_write_all(to, buffer, (size_t)n);
		if (r)
			return r;
		at += n;
	}
	return 0;
}

static int exit_status(const struct zvm_result *result)
{
	switch (result->error) {
	case 0: return result->signal ? 128 + result->signal : result->exit_status;
	case -ETIMEDOUT: return EXIT_TIME;
	case -ENOENT: return EXIT_NOT_FOUND;
	case -EACCES:
	case -ENOEXEC:
	case -EINVAL:
	case -ENOTDIR:
	case -ENAMETOOLONG:
	case -E2BIG:
	case -ELOOP: return EXIT_NOT_RUNNABLE;
	default: return EXIT_TROUBLE;
	}
}

static int give(const struct zvm_result *result)
{
	int status = exit_status(result);
	if (copy_out(result->err_fd, result->err_size, STDERR_FILENO))
		status = EXIT_TROUBLE;
	int r = result->error ? 0 : copy_out(result->out_fd, result->out_size, STDOUT_FILENO);
	if (r == -EPIPE) /* as a program in a pipeline would end */
		return 128 + SIGPIPE;
	return r ? zvm_complain(EXIT_TROUBLE, "run", "cannot write the result: %s", strerror(-r)) : status;
}

static void print_stats(struct zvm_engine *engine)
{
	zvm_autofree char *text = NULL;
	size_t size;
	if (zvm_engine_stats_text(engine, &text, &size) == 0)
		fwrite(text, 1, size, stderr);
}

static int run_with(const struct options *o, struct zvm_store *store, struct zvm_launcher *launcher,
                    const struct zvm_spec *spec)
{
	struct zvm_engine *engine;
	zvm_autofd int input = -1;
	struct zvm_engine_options options = {
	        .store = store,
	        .launcher = launcher,
	        .scripts = o->scripts,
	        .max_jobs = 1,
	        .no_cache = o->no_cache,
	        .trace = o->trace ? zvm_plain_trace : NULL,
	        .trace_context = o->trace,
	};
	int r = zvm_engine_open(&options, &engine);
	if (r)
		return zvm_complain(EXIT_TROUBLE, "run", "cannot start: %s", strerror(-r));
	struct zvm_result *result = NULL;
	struct zvm_target target = {.spec = spec, .input_name = ""};
	r = take_input(store, &input);
	target.input_fd = input;
	r = r ? r : zvm_await(engine, &target, NULL, &result);
	int status = r ? zvm_complain(EXIT_TROUBLE, "run", "cannot run it: %s", strerror(-r)) : give(result);
	zvm_result_unref(result);
	if (o->stats)
		print_stats(engine);
	zvm_engine_close(engine);
	return status;
}

static int start_and_run(const struct options *o, struct zvm_store *store, const struct zvm_spec *spec)
{
	struct zvm_launcher *launcher;
	struct zvm_launcher_options options = {
	        .pool = o->pool > 0 ? (unsigned)o->pool : 1, .fresh = o->pool == 0, .template_first = o->template};
	int r = zvm_launcher_start(&options, &launcher);
	if (r)
		return zvm_complain_of_boxes(EXIT_TROUBLE, "run", r);
	int status = run_with(o, store, launcher, spec);
	zvm_launcher_stop(launcher);
	return status;
}

static int verify(const struct options *o, struct zvm_store *store)
{
	zvm_autofd int input = -1;
	int r = take_input(store, &input);
	if (r)
		return zvm_complain(EXIT_TROUBLE, "run", "cannot read the input: %s", strerror(-r));
	struct zvm_verify request = {o->verify, store, o->scripts, o->spec, input};
	return zvm_verify_run(&request);
}

static int open_and_run(const struct options *o, const char *path)
{
	struct zvm_store *store;
	struct zvm_spec *spec;
	zvm_autofree char *reason = NULL;
	int r = zvm_spec_parse(o->spec, &spec);
	if (r)
		return zvm_complain(EXIT_TROUBLE, "run", "SPEC does not parse: %s; zvm(5) says how one is written",
		                    strerror(-r));
	r = zvm_store_open(path, ZVM_STORE_CREATE, &store, &reason);
	if (r) {
		zvm_spec_free(spec);
		return zvm_complain(EXIT_TROUBLE, "run", "%s: %s", reason ? reason : path, strerror(-r));
	}
	int status = o->verify ? verify(o, store) : start_and_run(o, store, spec);
	zvm_store_close(store);
	zvm_spec_free(spec);
	return status;
}

int zvm_command_run(int argc, char **argv)
{
	struct options o = {.pool = -1};
	zvm_autofree char *default_store = NULL;
	int status = parse(argc, argv, &o);
	if (status < 0) {
		signal(SIGPIPE, SIG_IGN);
		signal(SIGINT, on_signal);
		signal(SIGTERM, on_signal);
		if (!o.store && zvm_store_default_path(&default_store))
			status = zvm_complain(EXIT_TROUBLE, "run",
			                      "neither XDG_CACHE_HOME nor HOME is set; name a --store");
		else
			status = open_and_run(&o, o.store ? o.store : default_store);
	}
	if (o.trace && fclose(o.trace) && status != EXIT_TROUBLE)
		status = zvm_complain(EXIT_TROUBLE, "run", "cannot write the trace: %s", strerror(errno));
	free(o.spec);
	free(o.script_directory);
	return status;
}
