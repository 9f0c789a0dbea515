/*
 * Open, read, close of one stored result of 4 KiB, again and again, all of them by turns. The more files a result
 * stands on, the more could have changed since. Beside them the least that FUSE takes: a file of the passthrough
 * program, and natively the input itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "bench.h"

#define ROUNDS 5000u
#define UNCOUNTED 10u
#define MANY_FILES 300u /* beside the hundred of python3 itself */

static const char *const specs[] = {NULL, "busybox cat", "parts.py 0", "parts.py 300"};
#define COUNT (sizeof specs / sizeof *specs)

#define GOALS(goal, limit, times)                                     \
	{                                                             \
		{"warm", "us", goal, limit, false, NAN},              \
		{                                                     \
			"warm:passthrough", "x", times, 0, false, NAN \
		}                                                     \
	}

static struct row rows[COUNT] = {
        {.name = "passthrough", .verdicts = {{"warm", "us", 0, 0, false, NAN}}},
        {.name = "open, 0 files", .verdicts = GOALS(30, 40, 1.5)},
        {.name = "open, 100 files", .verdicts = GOALS(30, 0, 1.5)},
        {.name = "open, 400 files", .verdicts = GOALS(30, 0, 1.5)},
};

static char page[PAGE], got[PAGE + 1];

/* A script that reads as many files of its directory as it is told. */
static int write_script(const struct bench *b)
{
	static const char script[] =
	        "#!/usr/bin/python3\nimport collections, json, re, sys\nfor i in range(int(sys.argv[1])):\n"
	        "    open(f'/script/part-{i}').read()\nsys.stdout.write(sys.stdin.read())\n";
	char path[PATH_ROOM];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < MANY_FILES; i++) {
		snprintf(path, sizeof path, "%s/part-%u", b->scripts, i);
		r = file_write(path, path, strlen(path), 0644);
	}
	snprintf(path, sizeof path, "%s/parts.py", b->scripts);
	return r ? r : file_write(path, script, sizeof script - 1, 0755);
}

static int open_read_close(const char *path, double *us)
{
	double begin = now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got);
	int saved = errno;
	zvm_close_pointer(&fd);
	*us = now() - begin;
	if (n < 0)
		return complain(-saved, path, "cannot be read");
	return n == PAGE && !memcmp(got, page, PAGE) ? 0 : complain(-EIO, path, "has other bytes than natively");
}

/* --- the passthrough program --- */

static bool answers(const char *mountpoint, const char *above)
{
	struct stat here, there;
	return stat(mountpoint, &here) == 0 && stat(above, &there) == 0 && here.st_dev != there.st_dev;
}

static pid_t start_passthrough(const struct bench *b, const char *mountpoint)
{
	char program[PATH_ROOM], from[PATH_ROOM], to[PATH_ROOM], *argv[] = {program, from, to, NULL};
	char *environment[] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, NULL};
	pid_t pid = 0;
	snprintf(program, sizeof program, "%s/passthrough", b->built);
	snprintf(from, sizeof from, "%s", b->inputs);
	snprintf(to, sizeof to, "%s", mountpoint);
	int r = file_make_directory(mountpoint);
	r = r ? r : -posix_spawn(&pid, program, NULL, NULL, argv, environment);
	for (unsigned tries = 0; r == 0 && !answers(mountpoint, b->directory); tries++) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		if (tries > 1000 || stopped())
			r = -ETIMEDOUT;
	}
	return r ? complain(r, program, "does not mount") : pid;
}

static void end_passthrough(pid_t pid, const char *mountpoint)
{
	if (pid > 0)
		process_end(pid);
	rmdir(mountpoint);
}

/* --- measuring --- */

static void name_result(const struct bench *b, size_t i, const char *tree, const char *passthrough, char *ret)
{
	if (specs[i])
		snprintf(ret, PATH_ROOM, "%s/%s/%s/page", b->mount.path, tree, specs[i]);
	else
		snprintf(ret, PATH_ROOM, "%s/page", passthrough);
}

static int measure_one(size_t i, const char *input, const char *result, bool counted)
{
	double native, warm;
	int r = open_read_close(input, &native);
	r = r ? r : open_read_close(result, &warm);
	if (r || !counted)
		return r;
	r = series_add(&rows[i].at[NATIVE], native);
	return r ? r : series_add(&rows[i].at[WARM], warm);
}

static int measure_rounds(const struct bench *b, const char *input, const char *passthrough)
{
	char result[COUNT][PATH_ROOM];
	int r = 0;
	for (size_t i = 0; i < COUNT; i++)
		name_result(b, i, "run", passthrough, result[i]);
	for (unsigned round = 0; r == 0 && round < UNCOUNTED + ROUNDS; round++) {
		if (round % 500 == 0)
			progress("opens, round", round, ROUNDS);
		for (size_t i = 0; r == 0 && i < COUNT; i++)
			if (rows[i].chosen)
				r = measure_one(i, input, result[i], round >= UNCOUNTED);
		if (r == 0 && round == 0)
			r = wait_for_stat_trust(); /* what it computed is trusted, too */
	}
	return r;
}

/* Of how many files the store asks whether they are what they were: info/ tells. */
static void note_dependencies(const struct bench *b, size_t i)
{
	char path[PATH_ROOM];
	name_result(b, i, "info", NULL, path);
	json_t *info = json_load_file(path, 0, NULL);
	const json_t *list = info ? json_object_get(info, "dependencies") : NULL;
	if (list)
		snprintf(rows[i].note, sizeof rows[i].note, "%zu dependencies", json_array_size(list));
	json_decref(info);
}

static void judge(const struct bench *b)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (!rows[i].chosen)
			continue;
		rows[i].verdicts[0].value = series_median(&rows[i].at[WARM]);
		rows[i].verdicts[1].value = rows[i].verdicts[0].value / series_median(&rows[0].at[WARM]);
		if (specs[i])
			note_dependencies(b, i);
	}
}

static int measure(struct bench *b)
{
	char input[PATH_ROOM], mountpoint[PATH_MAX];
	pid_t passthrough = 0;
	bool any = false;
	for (size_t i = 0; i < COUNT; i++)
		any = any || rows[i].chosen;
	if (!any)
		return 0;
	snprintf(input, sizeof input, "%s/page", b->inputs);
	snprintf(mountpoint, sizeof mountpoint, "%s/passthrough", b->directory);
	int r = write_script(b);
	r = r ? r : file_fill(input, PAGE, 0);
	if (r == 0 && file_read(input, page, PAGE) != PAGE)
		return complain(-errno, input, "cannot be read");
	if (r == 0 && rows[0].chosen) {
		passthrough = start_passthrough(b, mountpoint);
		r = passthrough < 0 ? passthrough : 0;
	}
	r = r ? r : wait_for_stat_trust();
	r = r ? r : measure_rounds(b, input, mountpoint);
	if (r == 0)
		judge(b);
	end_passthrough(passthrough, mountpoint);
	return r;
}

struct group opens = {"open, read, close of 4 KiB", rows, COUNT, measure};
