/* zvm warm: many results at once, with a bar, a rate and a summary. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/engine.h>
#include "warm.h"

#define SCRIPTS_MAX 64
#define HANDS_MAX 1024
#define FAILED 1
#define USAGE 2
#define TROUBLE 125

struct options {
	unsigned hands;
	const char *out; /* --out; NULL: through a mount */
	const char *store;
	const char *scripts[SCRIPTS_MAX + 1];
	unsigned script_count;
};

static void print_help(void)
{
	puts("usage: zvm warm [-j N] PATH...\n"
	     "       zvm warm [-j N] --out DIR [--scripts DIR]... [--store DIR] SPEC INPUT...\n\n"
	     "Computes results that are not stored yet. PATH is a file of a mount (mnt/run/SPEC/INPUT), a directory of "
	     "it\n"
	     "(all files below), or a pattern in quotes. With --out no mount is needed: what SPEC makes of each INPUT\n"
	     "(a file, a directory with all below, a pattern) is written to DIR, under the INPUT's last name.\n\n"
	     "  -j N           compute N at a time (default: one for each processor)\n"
	     "  --out DIR      write files to DIR, which is made if it is missing\n"
	     "  --scripts DIR  as for zvm run; may be repeated\n"
	     "  --store DIR    as for zvm run\n\n"
	     "Exit status: 0 all are there, 1 some failed, 2 usage, 125 zvm failed, 128+n ended by signal n; what was "
	     "done by then "
	     "stays.");
}

static int parse_hands(struct options *o, const char *text)
{
	char *end;
	errno = 0;
	unsigned long n = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n < 1 || n > HANDS_MAX)
		return zvm_complain(USAGE, "warm", "-j takes a number from 1 to %d", HANDS_MAX);
	o->hands = (unsigned)n;
	return -1;
}

static int take_option(struct options *o, int option)
{
	switch (option) {
	case 'j': return parse_hands(o, optarg);
	case 'o': o->out = optarg; return -1;
	case 's': o->store = optarg; return -1;
	case 'S':
		if (o->script_count == SCRIPTS_MAX)
			return zvm_complain(USAGE, "warm", "at most %d --scripts directories", SCRIPTS_MAX);
		o->scripts[o->script_count++] = optarg;
		return -1;
	case 'h': print_help(); return 0;
	default: return zvm_complain_of_options(USAGE, "warm");
	}
}

/* -1: go on. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'o'},
	                                        {"store", required_argument, NULL, 's'},
	                                        {"scripts", required_argument, NULL, 'S'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "+j:h", options, NULL)) >= 0) {
		int status = take_option(o, c);
		if (status >= 0)
			return status;
	}
	if (argc - optind < (o->out ? 2 : 1))
		return zvm_complain(USAGE, "warm",
		                    o->out ? "name a SPEC and one INPUT at least"
		                           : "name one PATH of a mount at least");
	if (!o->out && (o->store || o->script_count))
		return zvm_complain(USAGE, "warm", "--store and --scripts go with --out; a mount has its own");
	return -1;
}

/* --- the summary --- */

static void print_summary(const struct zvm_warm *warm)
{
	const size_t *n = warm->crew.outcomes;
	size_t left = warm->crew.count - n[ZVM_CREW_HIT] - n[ZVM_CREW_DONE] - n[ZVM_CREW_FAILED];
	printf("%zu computed, %zu there already, %zu failed", n[ZVM_CREW_DONE], n[ZVM_CREW_HIT],
	       n[ZVM_CREW_FAILED] + warm->list.missing);
	if (left)
		printf(", %zu left", left);
	printf(" in %.1f s", warm->crew.seconds);
	if (warm->saved_us)
		printf("; what was there had taken %.1f s", (double)warm->saved_us / 1e6);
	putchar('\n');
}

static int finish(const struct zvm_warm *warm, int r)
{
	if (r)
		return zvm_complain(TROUBLE, "warm", "cannot begin: %s", strerror(-r));
	print_summary(warm);
	if (warm->crew.ended)
		return 128 + warm->crew.ended;
	return warm->list.missing || warm->crew.outcomes[ZVM_CREW_FAILED] ? FAILED : 0;
}

/* --- through a mount --- */

static bool is_mounted(const char *path)
{
	struct statfs fs;
	return statfs(path, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC; /* what is not there is said later */
}

static int warm_mounted(struct zvm_warm *warm, char *const *paths)
{
	int r = 0;
	for (char *const *path = paths; *path; path++)
		if (!is_mounted(*path))
			return zvm_complain(USAGE, "warm",
			                    "%s is not on a zvm mount; name files of one, or use --out DIR", *path);
	for (char *const *path = paths; r == 0 && *path; path++)
		r = zvm_warm_collect(&warm->list, *path);
	return finish(warm, r ? r : zvm_warm_mounted(warm));
}

/* --- into a directory --- */

static int open_out(const char *path, int *ret)
{
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return -errno;
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

static int warm_with(struct zvm_warm *warm, const struct options *o, struct zvm_store *store,
                     struct zvm_launcher *launcher)
{
	struct zvm_engine_options options = {
	        .store = store, .launcher = launcher, .scripts = o->scripts, .max_jobs = o->hands};
	int r = zvm_engine_open(&options, &warm->engine);
	if (r)
		return finish(warm, r);
	int status = finish(warm, zvm_warm_into(warm));
	zvm_engine_close(warm->engine);
	return status;
}

static int warm_store(struct zvm_warm *warm, const struct options *o, const char *store_path)
{
	struct zvm_store *store;
	struct zvm_launcher *launcher;
	zvm_autofree char *reason = NULL;
	int r = zvm_store_open(store_path, ZVM_STORE_CREATE, &store, &reason);
	if (r)
		return zvm_complain(TROUBLE, "warm", "%s: %s", reason ? reason : store_path, strerror(-r));
	r = zvm_launcher_start(&(struct zvm_launcher_options){.pool = o->hands}, &launcher);
	int status = r ? zvm_complain_of_boxes(TROUBLE, "warm", r) : warm_with(warm, o, store, launcher);
	if (r == 0)
		zvm_launcher_stop(launcher);
	zvm_store_close(store);
	return status;
}

static int warm_into(struct zvm_warm *warm, const struct options *o, char *const *words)
{
	struct zvm_spec *spec;
	zvm_autofree char *default_store = NULL;
	zvm_autofd int out = -1;
	int r = zvm_spec_parse(words[0], &spec);
	if (r)
		return zvm_complain(USAGE, "warm", "SPEC does not parse: %s; zvm(5) says how one is written",
		                    strerror(-r));
	warm->spec = spec;
	r = open_out(o->out, &out);
	warm->directory = out;
	int status = r ? zvm_complain(TROUBLE, "warm", "%s: %s", o->out, strerror(-r)) : -1;
	for (char *const *path = words + 1; r == 0 && *path; path++)
		r = zvm_warm_collect(&warm->list, *path);
	if (status < 0 && !o->store && zvm_store_default_path(&default_store))
		status = zvm_complain(TROUBLE, "warm", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	if (status < 0)
		status = r ? finish(warm, r) : warm_store(warm, o, o->store ? o->store : default_store);
	zvm_spec_free(spec);
	return status;
}

int zvm_command_warm(int argc, char **argv)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct options o = {.hands = processors > 0 ? (unsigned)processors : 1};
	int status = parse(argc, argv, &o);
	if (status >= 0)
		return status;
	struct zvm_warm warm = {.crew = {.label = "warm", .hands = o.hands}};
	signal(SIGPIPE, SIG_IGN);
	status = o.out ? warm_into(&warm, &o, argv + optind) : warm_mounted(&warm, argv + optind);
	zvm_warm_free(&warm);
	return status;
}
