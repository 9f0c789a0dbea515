/*
 * The first run ever of a program: a mount whose store is new, so there are no prepared images and nothing is known of
 * any file. Starting the mount is not counted; the libraries are in the page cache, as they are natively.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "bench.h"

#define ROUNDS 10

/* Without a slash: one of ours. */
static const char *const scripts[] = {"/usr/bin/cat", "report.py"};
#define COUNT (sizeof scripts / sizeof *scripts)

static struct row rows[COUNT] = {
        {.name = "first cat", .verdicts = {{COLD_TO_NATIVE, "x", 1.5, 0, false, NAN}}},
        {.name = "first python3", .verdicts = {{COLD_TO_NATIVE, "x", 1.5, 0, false, NAN}}},
};

static int run_natively(const struct bench *b, const char *script, struct spawn *s)
{
	char path[PATH_ROOM];
	snprintf(path, sizeof path, "%s%s%s", *script == '/' ? "" : b->workloads, *script == '/' ? "" : "/", script);
	const char *const argv[] = {path, NULL};
	s->argv = argv;
	int r = spawn_run(s);
	return r ? complain(r, path, "fails natively") : 0;
}

static int run_in_box(const struct mount *m, const char *script, struct spawn *s)
{
	char path[PATH_ROOM];
	const char *slash = strrchr(script, '/');
	snprintf(path, sizeof path, "%s/run/%s/first", m->path, slash ? slash + 1 : script);
	double begin = now();
	ssize_t size = file_read(path, s->buffer, OUTPUT_MAX);
	s->us = now() - begin;
	s->size = size < 0 ? 0 : (size_t)size;
	return size < 0 ? complain((int)size, path, "cannot be read") : 0;
}

static int measure_one(struct bench *b, size_t i, unsigned round)
{
	static char native_output[OUTPUT_MAX], box_output[OUTPUT_MAX];
	char input[PATH_ROOM];
	struct mount mount = {0};
	struct spawn native = {.input = input, .buffer = native_output}, box = {.buffer = box_output};
	snprintf(input, sizeof input, "%s/first", b->inputs);
	int r = file_fill(input, PAGE, round);
	r = r ? r : mount_start(b, "first", 0, &mount);
	if (r == 0 && round % 2)
		r = run_in_box(&mount, scripts[i], &box);
	if (r == 0)
		r = run_natively(b, scripts[i], &native);
	if (r == 0 && round % 2 == 0)
		r = run_in_box(&mount, scripts[i], &box);
	mount_end(b, &mount);
	if (r)
		return r;
	if (native.size != box.size || memcmp(native.buffer, box.buffer, box.size))
		return complain(-EIO, rows[i].name, "the box wrote something else than the program does natively");
	r = series_add(&rows[i].at[NATIVE], native.us);
	return r ? r : series_add(&rows[i].at[COLD], box.us);
}

static int measure(struct bench *b)
{
	int r = 0;
	for (unsigned round = 0; r == 0 && round < ROUNDS; round++) {
		progress("first runs, round", round, ROUNDS);
		for (size_t i = 0; r == 0 && i < COUNT; i++)
			if (rows[i].chosen)
				r = measure_one(b, i, round);
	}
	for (size_t i = 0; i < COUNT; i++)
		rows[i].verdicts[0].value = row_ratio(&rows[i], COLD, NATIVE);
	return r;
}

struct group first_runs = {"the first run in a new store", rows, COUNT, measure};
