/*
 * Proportional memory (a page that n processes share counts as an nth part): of the daemon when it has done all that
 * the other rows asked for and is idle, and of a box that waits in the pool.
 *
 * What a box takes is what one more of them adds: two mounts, one after the other, each of which has computed a few
 * results at once, with room for ONE and for MORE boxes. Everything below the daemon counts, divided by the processes
 * that the second has more. Where that differs by no process there is nothing to tell.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "bench.h"

#define ONE 1u
#define MORE 9u
#define INPUTS 16u
#define SETTLE_MS 500 /* until the boxes are forked and the dead are buried */

static struct row rows[] = {
        {.name = "daemon, idle", .verdicts = {{"memory", "MiB", 12, 0, false, NAN}}},
        {.name = "all but boxes", .verdicts = {{"memory", "MiB", 0, 0, false, NAN}}},
        {.name = "pooled box", .verdicts = {{"memory", "MiB", 4, 0, false, NAN}}},
};
static struct row *const daemon_row = &rows[0], *const rest_row = &rows[1], *const box_row = &rows[2];

struct sum {
	double mib;
	unsigned processes;
};

static double proportional_memory(pid_t pid)
{
	char path[64], text[4096] = "";
	unsigned long kib = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	ssize_t size = file_read(path, text, sizeof text - 1);
	const char *line = size > 0 ? strstr(text, "\nPss:") : NULL;
	return line && sscanf(line, "\nPss: %lu kB", &kib) == 1 ? (double)kib / 1024 : NAN;
}

/* NaN as soon as one process does not tell. */
static void add_tree(pid_t pid, void *context)
{
	struct sum *sum = context;
	sum->mib += proportional_memory(pid);
	sum->processes++;
	process_children(pid, add_tree, sum);
}

static void settle(void)
{
	nanosleep(&(struct timespec){.tv_nsec = SETTLE_MS * 1000000l}, NULL);
}

static int measure_pool(struct bench *b, unsigned jobs, struct sum *ret)
{
	struct mount m = {0};
	char inputs[PATH_ROOM], path[PATH_ROOM + 16], hands[16];
	*ret = (struct sum){0};
	snprintf(inputs, sizeof inputs, "%s/pool-%u", b->inputs, jobs);
	int r = file_make_directory(inputs);
	for (unsigned i = 0; r == 0 && i < INPUTS; i++) {
		snprintf(path, sizeof path, "%s/%u", inputs, i);
		r = file_fill(path, PAGE, i);
	}
	r = r ? r : mount_start(b, "pool", jobs, &m);
	snprintf(path, sizeof path, "%s/run/cat/pool-%u", m.path, jobs);
	snprintf(hands, sizeof hands, "%u", jobs);
	const char *const argv[] = {b->zvm, "warm", "-j", hands, path, NULL};
	if (r == 0) {
		r = spawn_run(&(struct spawn){.argv = argv, .output = "/dev/null", .quiet = true});
		if (r)
			complain(r, path, "zvm warm failed");
		settle();
		add_tree(m.daemon, ret);
	}
	mount_end(b, &m);
	return r;
}

static void judge(const struct sum *one, const struct sum *more)
{
	if (more->processes <= one->processes) {
		snprintf(box_row->note, sizeof box_row->note, "a pool of %u has no more processes than one of %u", MORE,
		         ONE);
		return;
	}
	double box = (more->mib - one->mib) / (more->processes - one->processes);
	if (box_row->chosen)
		box_row->verdicts[0].value = box;
	if (!rest_row->chosen)
		return;
	rest_row->verdicts[0].value = one->mib - ONE * box;
	snprintf(rest_row->note, sizeof rest_row->note, "daemon, launcher, zygote of a new mount");
}

static int measure(struct bench *b)
{
	struct sum one, more;
	if (daemon_row->chosen) {
		settle();
		daemon_row->verdicts[0].value = proportional_memory(b->mount.daemon);
	}
	if (!rest_row->chosen && !box_row->chosen)
		return 0;
	mount_end(b, &b->mount); /* two daemons would share their pages */
	int r = measure_pool(b, ONE, &one);
	r = r ? r : measure_pool(b, MORE, &more);
	if (r == 0)
		judge(&one, &more);
	return r;
}

struct group memory = {"proportional memory", rows, sizeof rows / sizeof *rows, measure};
