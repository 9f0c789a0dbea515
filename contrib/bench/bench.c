/*
 * How long a read takes, beside running the same program natively.
 *
 *     bench [-n ROUNDS] [-w NAME]... [-j FILE] ZVM BUILT
 *
 * BUILT has the programs of ours that are measured (workloads/) and the passthrough. In a directory of its own below
 * $TMPDIR it mounts ZVM and lets each group of rows measure (programs.c, first.c, bulk.c, opens.c, memory.c); then it
 * prints one table, and writes the same as JSON. -w takes rows by name, or by a pattern of it.
 *
 * Medians of interleaved runs: what is compared is run by turns, in one go. Everything that comes out of a box is
 * compared with what comes out natively. Time alone never makes it fail; a wrong byte does.
 *
 * A signal only sets a flag and interrupts what waits; everything unwinds from there. The daemons become children of
 * this process (it is a subreaper), so at the end it finds whatever is still there, ends it, unmounts and removes the
 * directory.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "bench.h"

#define TMPFS_MAGIC 0x01021994
#define USAGE 2
#define STOPPED 130

static struct group *const groups[] = {&programs, &first_runs, &bulk, &opens, &memory, NULL};

/* --- which rows --- */

/* Every row that the pattern matches; to match none is an error. */
static bool choose(const char *pattern)
{
	bool any = false;
	for (struct group *const *g = groups; *g; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			if (fnmatch(pattern, (*g)->rows[i].name, 0) == 0)
				any = (*g)->rows[i].chosen = true;
	if (any)
		return true;
	fprintf(stderr, "bench: there is no row %s; these are:\n", pattern);
	for (struct group *const *g = groups; *g; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			fprintf(stderr, "  %s\n", (*g)->rows[i].name);
	return false;
}

/* --- around it --- */

static int make_fast(struct bench *b)
{
	struct statfs fs;
	snprintf(b->fast, sizeof b->fast, "/dev/shm/zvm-bench.XXXXXX");
	if (statfs("/dev/shm", &fs) == 0 && fs.f_type == TMPFS_MAGIC && mkdtemp(b->fast))
		return 0;
	snprintf(b->fast, sizeof b->fast, "%s/fast", b->directory);
	return file_make_directory(b->fast);
}

static int make_directories(struct bench *b)
{
	const char *tmp = getenv("TMPDIR");
	snprintf(b->directory, sizeof b->directory, "%s/zvm-bench.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(b->directory)) {
		int r = complain(-errno, b->directory, "cannot be made");
		*b->directory = 0;
		return r;
	}
	snprintf(b->inputs, sizeof b->inputs, "%s/inputs", b->directory);
	snprintf(b->scripts, sizeof b->scripts, "%s/scripts", b->directory);
	int r = file_make_directory(b->inputs);
	r = r ? r : file_make_directory(b->scripts);
	return r ? r : make_fast(b);
}

static void end_child(pid_t child, void *context)
{
	(void)context;
	process_end(child);
}

static void take_down(struct bench *b)
{
	mount_end(b, &b->mount);
	process_children(getpid(), end_child, NULL);
	if (*b->fast)
		file_remove_tree(b->fast, true);
	if (*b->directory)
		file_remove_tree(b->directory, true);
}

static int measure(struct bench *b)
{
	int r = make_directories(b);
	if (r == 0)
		spawn_look_for_bwrap(b);
	r = r ? r : mount_start(b, "main", 0, &b->mount);
	for (struct group *const *g = groups; r == 0 && *g; g++)
		r = (*g)->measure(b);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	take_down(b);
	return stopped() ? -EINTR : r;
}

static void free_rows(void)
{
	for (struct group *const *g = groups; *g; g++)
		for (size_t i = 0; i < (*g)->count; i++)
			for (enum column c = 0; c < COLUMNS; c++)
				series_free(&(*g)->rows[i].at[c]);
}

static int usage(void)
{
	fprintf(stderr, "usage: bench [-n ROUNDS] [-w NAME]... [-j FILE] ZVM BUILT\n");
	return USAGE;
}

int main(int argc, char **argv)
{
	static struct bench b = {.rounds = 50};
	static char zvm[PATH_MAX];
	const char *json = NULL;
	bool chosen = false;
	int c;
	while ((c = getopt(argc, argv, "n:w:j:")) >= 0) {
		if (c == 'n')
			b.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'j')
			json = optarg;
		else if (c != 'w')
			return usage();
		else if (choose(optarg))
			chosen = true;
		else
			return USAGE;
	}
	if (argc - optind != 2 || !b.rounds || !realpath(argv[optind], zvm) || !realpath(argv[optind + 1], b.built))
		return usage();
	if (!chosen)
		choose("*");
	b.zvm = zvm;
	snprintf(b.workloads, sizeof b.workloads, "%s/workloads", b.built);
	report_name_machine(&b);
	stop_on_signals();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	int r = measure(&b);
	if (r == 0)
		report_table(&b, groups);
	if (r == 0 && json)
		r = report_json(&b, groups, json);
	free_rows();
	return r == -EINTR ? STOPPED : r ? 1 : 0;
}
