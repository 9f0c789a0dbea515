/* zvm fsck: is a store what it should be, and if not, make it so. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/store.h>
#include "fsck.h"

#define PROGRESS_NS 200000000ll

struct command {
	bool quiet, progress;
	bool shown; /* a line of progress stands there */
	int64_t last;
};

static const char *size_text(uint64_t bytes, char room[32])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	unsigned unit = 0;
	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(room, 32, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
	return room;
}

static const char *count_text(uint64_t count, const char *what, char room[64])
{
	snprintf(room, 64, "%llu %s%s", (unsigned long long)count, what, count == 1 ? "" : "s");
	return room;
}

static void clear_progress(struct command *command)
{
	if (command->shown)
		fputs("\r\033[K", stderr);
	command->shown = false;
}

static void show_progress(void *context, const struct zvm_fsck *so_far)
{
	struct command *command = context;
	struct timespec t;
	char size[32];
	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	if (now < command->last + PROGRESS_NS)
		return;
	command->last = now;
	command->shown = true;
	fprintf(stderr, "\r\033[K%llu objects (%s), %llu runs", (unsigned long long)so_far->objects,
	        size_text(so_far->object_bytes, size), (unsigned long long)so_far->runs);
}

static const char *const would[] = {
        [ZVM_REMEDY_NONE] = "it is left alone",       [ZVM_REMEDY_SET_ASIDE] = "--repair sets it aside in tmp/",
        [ZVM_REMEDY_REMOVE] = "--repair removes it",  [ZVM_REMEDY_MODE] = "--repair makes it so",
        [ZVM_REMEDY_CLEAR] = "--repair empties them",
};

static const char *const did[] = {
        [ZVM_REMEDY_NONE] = "it is left alone", [ZVM_REMEDY_SET_ASIDE] = "set aside in tmp/",
        [ZVM_REMEDY_REMOVE] = "removed",        [ZVM_REMEDY_MODE] = "corrected",
        [ZVM_REMEDY_CLEAR] = "emptied",
};

static void print_finding(void *context, const struct zvm_finding *finding)
{
	clear_progress(context);
	printf("%s: %s; ", finding->path, finding->wrong);
	if (finding->error)
		printf("it cannot be repaired: %s\n", strerror(-finding->error));
	else
		puts((finding->done ? did : would)[finding->remedy]);
}

static void print_summary(const struct zvm_fsck *fsck)
{
	char size[32], objects[64], runs[64], problems[64], leftovers[64];
	if (fsck->leftovers)
		printf("tmp/ holds %s (%s) of runs under way, of ones that were killed, or set aside\n",
		       count_text(fsck->leftovers, "file", leftovers), size_text(fsck->leftover_bytes, size));
	if (fsck->unverifiable)
		printf("%s can no longer be verified: something that was used is not kept any more\n",
		       count_text(fsck->unverifiable, "run", runs));
	printf("%s (%s), %s, %s", count_text(fsck->objects, "object", objects), size_text(fsck->object_bytes, size),
	       count_text(fsck->runs, "run", runs), count_text(fsck->problems, "problem", problems));
	if (fsck->repair && fsck->problems)
		printf(", %llu repaired", (unsigned long long)fsck->repaired);
	putchar('\n');
}

static int check(const char *path, bool repair, struct command *command)
{
	struct zvm_store *store;
	zvm_autofree char *reason = NULL;
	int r = zvm_store_open(path, repair ? 0 : ZVM_STORE_READONLY, &store, &reason);
	if (r)
		return zvm_complain(125, "fsck", "%s: %s", reason ? reason : path, strerror(-r));
	struct zvm_fsck fsck = {.store = store,
	                        .repair = repair,
	                        .context = command,
	                        .found = print_finding,
	                        .progress = command->progress ? show_progress : NULL};
	r = zvm_fsck(&fsck);
	clear_progress(command);
	if (r == 0 && !command->quiet)
		print_summary(&fsck);
	zvm_store_close(store);
	if (r || fflush(stdout) == EOF)
		return zvm_complain(125, "fsck", "%s cannot be gone through: %s", path, strerror(r ? -r : errno));
	return fsck.problems > fsck.repaired;
}

static void print_help(void)
{
	puts("usage: zvm fsck [--repair] [--store DIR] [-q]\n\n"
	     "Reads all that a store holds and says what is damaged, one line for each. Mounts may go on meanwhile.\n\n"
	     "  --repair      set aside or remove what is damaged: it is computed again when it is asked for\n"
	     "  --store DIR   the store (default: $XDG_CACHE_HOME/zvm or ~/.cache/zvm)\n"
	     "  -q            no summary and no progress\n\n"
	     "The exit status is 0 if all is well or has been repaired, 1 if there is damage, 2 for a wrong command\n"
	     "line, and 125 if there is no such store or it cannot be read.");
}

int zvm_command_fsck(int argc, char **argv)
{
	static const struct option long_options[] = {{"repair", no_argument, NULL, 'r'},
	                                             {"store", required_argument, NULL, 's'},
	                                             {"quiet", no_argument, NULL, 'q'},
	                                             {"help", no_argument, NULL, 'h'},
	                                             {NULL, 0, NULL, 0}};
	struct command command = {0};
	const char *store = NULL;
	bool repair = false;
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "qh", long_options, NULL)) >= 0) {
		switch (c) {
		case 'r': repair = true; break;
		case 's': store = optarg; break;
		case 'q': command.quiet = true; break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(2, "fsck");
		}
	}
	if (argc > optind)
		return zvm_complain(2, "fsck", "%s is one word too many; name the store with --store", argv[optind]);
	zvm_autofree char *default_store = NULL;
	if (!store && zvm_store_default_path(&default_store))
		return zvm_complain(125, "fsck", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	openlog("zvm", LOG_PID, LOG_DAEMON);
	command.progress = !command.quiet && isatty(STDERR_FILENO);
	return check(store ? store : default_store, repair, &command);
}
