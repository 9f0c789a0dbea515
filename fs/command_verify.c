/* zvm verify: runs stored results again, from what is kept of them, and compares. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "explain.h"
#include "located.h"
#include "sweep.h"

#define TROUBLE 125
#define SAMPLE_MAX 10000000ul
#define JOBS_MAX 256ul
#define RATE_MIN 1e-6 /* one in eleven days */
#define RATE_MAX 1e6

struct options {
	const char *store;
	unsigned long sample; /* 0: all */
	unsigned long jobs;
	double rate;
	char **paths; /* NULL-terminated; none: the whole store */
};

static void print_help(void)
{
	puts("usage: zvm verify [--store DIR] [-j N] [--rate R] [PATH... | --sample N]\n\n"
	     "Runs stored results again and compares output, exit status, system calls and files asked for. The "
	     "script,\n"
	     "the input and every file come from the store as they were, whatever the host has by now; nothing is\n"
	     "remembered. Where a result differs, it is said at which byte, and where two new runs part from each "
	     "other.\n"
	     "What of a result is no longer kept, or another version of zvm computed, cannot be verified; it is "
	     "counted.\n\n"
	     "  PATH...       the runs that these files of a mount (run/SPEC/INPUT) stand for now; else all in the "
	     "store\n"
	     "  --sample N    N of all, chosen at random\n"
	     "  --rate R      at most R a second (10, 0.5)\n"
	     "  -j N          N at a time (default: 1)\n"
	     "  --store DIR   the store (default: that of the mount, else $XDG_CACHE_HOME/zvm)\n\n"
	     "Exit status: 0 all are the same, 1 one differs, 2 called wrongly, 125 zvm failed, 130 interrupted.");
}

/* --- an end from outside --- */

static int interrupt_fd = -1;

static void on_signal(int number)
{
	uint64_t one = 1;
	int saved = errno;
	(void)number;
	if (write(interrupt_fd, &one, sizeof one) < 0)
		_exit(TROUBLE);
	errno = saved;
}

static int catch_signals(void)
{
	interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt_fd < 0)
		return -errno;
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return 0;
}

static bool interrupted(void)
{
	uint64_t count;
	return read(interrupt_fd, &count, sizeof count) == sizeof count;
}

/* --- paths --- */

/* The runs that are hits; what is no hit is not there to be verified. */
static int add_explained(struct zvm_sweep *sweep, const char *path, const struct zvm_explanation *explanation)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < explanation->stage_count; i++) {
		const struct zvm_explained_stage *stage = &explanation->stages[i];
		if (stage->state == ZVM_EXPLAINED_HIT)
			r = zvm_sweep_add(sweep, &stage->address, stage->number);
	}
	if (r == 0 && explanation->state != ZVM_EXPLAINED_HIT)
		zvm_sweep_cannot(sweep, path, "it is not stored; `zvm explain` tells why");
	return r;
}

static int add_path(struct zvm_sweep *sweep, const char *path, const struct zvm_located *located)
{
	struct zvm_explainer *explainer;
	struct zvm_explanation *explanation = NULL;
	int r = zvm_explainer_open(located->store, located->facts, &explainer);
	if (r)
		return r;
	r = zvm_explain(explainer, located->spec, located->input, &explanation);
	r = r ? r : add_explained(sweep, path, explanation);
	zvm_explanation_free(explanation);
	zvm_explainer_close(explainer);
	return r;
}

static int add_paths(const struct options *o, struct zvm_sweep *sweep)
{
	int r = 0;
	for (char **path = o->paths; r == 0 && *path; path++) {
		struct zvm_located located;
		if (zvm_locate("verify", *path, o->store, &located) >= 0)
			return -EINVAL; /* it has been said */
		r = add_path(sweep, *path, &located);
		zvm_located_free(&located);
	}
	return r;
}

/* All of one store: a launcher and a summary are for one. -1, or an exit status. */
static int find_store(const struct options *o, char **ret)
{
	for (char **path = o->paths; *path; path++) {
		struct zvm_located located;
		int status = zvm_locate("verify", *path, o->store, &located);
		if (status >= 0)
			return status;
		const char *store = o->store ? o->store : located.facts->store;
		bool other = *ret && strcmp(*ret, store);
		if (!*ret)
			*ret = strdup(store);
		zvm_located_free(&located);
		if (other)
			return zvm_complain(2, "verify",
			                    "these are paths of several stores; name those of one at a time");
	}
	if (*ret)
		return -1;
	if (o->store)
		*ret = strdup(o->store);
	else if (zvm_store_default_path(ret))
		return zvm_complain(TROUBLE, "verify", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	return *ret ? -1 : zvm_complain(TROUBLE, "verify", "no memory");
}

/* --- the command --- */

static int summarize(const struct zvm_sweep_counts *c, int r)
{
	printf("%llu verified, %llu differ, %llu not verifiable\n", (unsigned long long)c->same,
	       (unsigned long long)c->differ, (unsigned long long)c->cannot);
	if (fflush(stdout) || ferror(stdout))
		return zvm_complain(TROUBLE, "verify", "cannot write: %s", strerror(errno));
	if (r && r != -EINTR && r != -EINVAL)
		zvm_complain(TROUBLE, "verify", "the store cannot be read: %s", strerror(-r));
	if (c->differ)
		return 1;
	if (interrupted())
		return 128 + SIGINT;
	return r || c->trouble ? TROUBLE : 0;
}

static int sweep_with(const struct options *o, struct zvm_store *store, struct zvm_launcher *launcher)
{
	struct zvm_sweep_options options = {
	        .jobs = (unsigned)o->jobs, .rate = o->rate, .progress = isatty(STDERR_FILENO)};
	struct zvm_sweep_counts counts;
	struct zvm_sweep *sweep;
	struct zvm_blobs *blobs;
	int r = zvm_blobs_open(store, &blobs);
	if (r)
		return zvm_complain(TROUBLE, "verify", "cannot start: %s", strerror(-r));
	options.rechecker = (struct zvm_rechecker){store, blobs, launcher, interrupt_fd};
	r = zvm_sweep_start(&options, &sweep);
	if (r) {
		zvm_blobs_close(blobs);
		return zvm_complain(TROUBLE, "verify", "cannot start: %s", strerror(-r));
	}
	r = *o->paths ? add_paths(o, sweep) : zvm_sweep_store(sweep, o->sample);
	zvm_sweep_finish(sweep, &counts);
	zvm_blobs_close(blobs);
	return summarize(&counts, r);
}

static int open_and_sweep(const struct options *o, const char *path)
{
	struct zvm_store *store;
	struct zvm_launcher *launcher;
	zvm_autofree char *reason = NULL;
	int r = zvm_store_open(path, 0, &store, &reason);
	if (r)
		return zvm_complain(TROUBLE, "verify", "%s: %s", reason ? reason : path, strerror(-r));
	r = zvm_launcher_start(&(struct zvm_launcher_options){.pool = (unsigned)o->jobs}, &launcher);
	int status = r ? zvm_complain_of_boxes(TROUBLE, "verify", r) : sweep_with(o, store, launcher);
	if (r == 0)
		zvm_launcher_stop(launcher);
	zvm_store_close(store);
	return status;
}

/* 0, or the exit status 2 after a message. */
static int parse_count(const char *name, const char *text, unsigned long most, unsigned long *ret)
{
	char *end;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || errno || *end || !*ret || *ret > most)
		return zvm_complain(2, "verify", "%s takes a number from 1 to %lu", name, most);
	return 0;
}

static int parse_rate(const char *text, double *ret)
{
	char *end;
	*ret = strtod(text, &end);
	if (*text < '0' || *text > '9' || *end || !(*ret >= RATE_MIN && *ret <= RATE_MAX))
		return zvm_complain(2, "verify", "--rate takes a number from 0.000001 to 1000000, of results a second");
	return 0;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {{"sample", required_argument, NULL, 'n'},
	                                             {"rate", required_argument, NULL, 'r'},
	                                             {"store", required_argument, NULL, 's'},
	                                             {"help", no_argument, NULL, 'h'},
	                                             {NULL, 0, NULL, 0}};
	int c, status = 0;
	optind = 1;
	while (!status && (c = getopt_long(argc, argv, "hj:", long_options, NULL)) >= 0) {
		switch (c) {
		case 'n': status = parse_count("--sample", optarg, SAMPLE_MAX, &o->sample); break;
		case 'j': status = parse_count("-j", optarg, JOBS_MAX, &o->jobs); break;
		case 'r': status = parse_rate(optarg, &o->rate); break;
		case 's': o->store = optarg; break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(2, "verify");
		}
	}
	o->paths = argv + optind;
	if (!status && *o->paths && o->sample)
		return zvm_complain(2, "verify", "name PATHs or a --sample, not both");
	return status ? status : -1;
}

int zvm_command_verify(int argc, char **argv)
{
	struct options o = {.jobs = 1};
	zvm_autofree char *store = NULL;
	int status = parse(argc, argv, &o);
	if (status < 0)
		status = find_store(&o, &store);
	if (status >= 0)
		return status;
	int r = catch_signals();
	if (r)
		return zvm_complain(TROUBLE, "verify", "cannot start: %s", strerror(-r));
	status = open_and_sweep(&o, store);
	zvm_close_pointer(&interrupt_fd);
	return status;
}
