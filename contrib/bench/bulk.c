/*
 * Much at once.
 *
 *   1 GiB cat       natively `cat a >b`; cold, what is read from the mount while the store keeps it
 *   256 MiB again   a stored result read from the mount (warm) beside its object file (native)
 *   1,000 inputs    by xargs -P2 with a process each, and by `zvm warm -j2`, ten times: 10,000 in all
 *
 * The first and the last end early where they take too long, and the table says after how many rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "bench.h"

#define BIG (1024ul << 20)
#define BIG_ROUNDS 3
#define BIG_NEEDS (4ul << 30)
#define AGAIN (256ul << 20)
#define AGAIN_ROUNDS 20
#define BATCH 1000u
#define BATCHES 10u
#define BUFFER (1u << 20)
#define ENOUGH 12e6 /* microseconds after which no other round begins */

static struct row rows[] = {
        {.name = "1 GiB cat", .verdicts = {{COLD_TO_NATIVE, "x", 1.3, 0, false, NAN}}},
        {.name = "256 MiB again", .verdicts = {{"speed of the object file", "x", 0.95, 0, true, NAN}}},
        {.name = "1,000 inputs", .verdicts = {{"throughput of xargs", "x", 3, 0, true, NAN}}},
};
static struct row *const big = &rows[0], *const again = &rows[1], *const many = &rows[2];

static char buffer[BUFFER];

static int read_through(const char *path, double *us)
{
	double begin = now();
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : 1;
	while (n > 0 && !stopped())
		n = read(fd, buffer, sizeof buffer);
	*us = now() - begin;
	if (stopped())
		return -EINTR;
	return n < 0 ? complain(-errno, path, "cannot be read") : 0;
}

static bool is_enough(struct row *row, double begin, unsigned done, unsigned of)
{
	if (now() - begin < ENOUGH)
		return false;
	snprintf(row->note, sizeof row->note, "%u rounds of %u, as they took long", done, of);
	return true;
}

/* --- 1 GiB --- */

static int read_and_note(const char *path, enum column column)
{
	double us;
	int r = read_through(path, &us);
	return r ? r : series_add(&big->at[column], us);
}

static int copy_big(const struct bench *b, const char *input, const char *copy, enum column column)
{
	static const char *const argv[] = {"/usr/bin/cat", NULL};
	const char *all[BWRAP_ARGUMENTS_MAX];
	struct spawn s = {.argv = argv, .input = input, .output = copy};
	if (column == BWRAP) {
		spawn_bwrap(b, argv, all);
		s.argv = all;
	}
	unlink(copy);
	int r = spawn_run(&s);
	return r ? complain(r, big->name, "fails natively") : series_add(&big->at[column], s.us);
}

/* The mount is this round's own, so that the disk holds one result at most. */
static int run_big(const struct bench *b, const struct mount *m, unsigned round)
{
	char input[PATH_ROOM], copy[PATH_ROOM], result[PATH_ROOM];
	int r = 0;
	snprintf(input, sizeof input, "%s/big", b->inputs);
	snprintf(copy, sizeof copy, "%s/big-copy", b->directory);
	snprintf(result, sizeof result, "%s/run/cat/big", m->path);
	for (unsigned k = 0; r == 0 && k < WARM; k++) {
		enum column column = (round + k) % WARM;
		if (column == COLD)
			r = read_and_note(result, COLD);
		else if (column == NATIVE || !*b->no_bwrap)
			r = copy_big(b, input, copy, column);
	}
	r = r ? r : read_and_note(result, WARM);
	r = r ? r : file_compare(result, copy);
	unlink(copy);
	return r;
}

static int measure_big(struct bench *b)
{
	char input[PATH_ROOM];
	struct statvfs fs;
	struct mount mount = {0};
	if (statvfs(b->directory, &fs) == 0 && fs.f_bavail * fs.f_frsize < BIG_NEEDS) {
		snprintf(big->note, sizeof big->note, "needs 4 GiB below $TMPDIR, and there is less");
		return 0;
	}
	int r = 0;
	double begin = now();
	snprintf(input, sizeof input, "%s/big", b->inputs);
	for (unsigned round = 0; r == 0 && round < BIG_ROUNDS; round++) {
		if (is_enough(big, begin, round, BIG_ROUNDS))
			break;
		progress("1 GiB, round", round, BIG_ROUNDS);
		r = file_fill(input, BIG, round);
		r = r ? r : mount_start(b, "big", 0, &mount);
		r = r ? r : run_big(b, &mount, round);
		mount_end(b, &mount);
	}
	unlink(input);
	big->verdicts[0].value = row_ratio(big, COLD, NATIVE);
	return r;
}

/* --- 256 MiB --- */

static char object[PATH_MAX];

static int is_object(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)at;
	if (type != FTW_F || st->st_size != (off_t)AGAIN)
		return 0;
	snprintf(object, sizeof object, "%s", path);
	return 1;
}

static int measure_again(struct bench *b)
{
	char input[PATH_ROOM], result[PATH_ROOM];
	double us;
	snprintf(input, sizeof input, "%s/again", b->inputs);
	snprintf(result, sizeof result, "%s/run/cat/again", b->mount.path);
	int r = file_fill(input, AGAIN, 0);
	r = r ? r : read_through(result, &us);
	if (r == 0 && nftw(b->mount.store, is_object, 16, FTW_PHYS) != 1)
		return complain(-ENOENT, again->name, "the store has no file of that size");
	r = r ? r : file_compare(result, input);
	r = r ? r : file_compare(object, input);
	for (unsigned round = 0; r == 0 && round < AGAIN_ROUNDS; round++) {
		progress("256 MiB, round", round, AGAIN_ROUNDS);
		for (unsigned k = 0; r == 0 && k < 2; k++) {
			bool warm = (round + k) % 2;
			r = read_through(warm ? result : object, &us);
			r = r ? r : series_add(&again->at[warm ? WARM : NATIVE], us);
		}
	}
	unlink(input);
	again->verdicts[0].value = row_ratio(again, NATIVE, WARM);
	return r;
}

/* --- many inputs --- */

struct batch {
	char inputs[PATH_ROOM], list[PATH_ROOM], output[PATH_ROOM], results[PATH_ROOM];
};

static int write_batch(struct batch *batch, unsigned number)
{
	char path[PATH_ROOM + 16];
	FILE *names = fopen(batch->list, "we");
	int r = names ? file_make_directory(batch->inputs) : complain(-errno, batch->list, "cannot be written");
	for (unsigned i = 0; r == 0 && i < BATCH; i++) {
		snprintf(path, sizeof path, "%s/%u", batch->inputs, i);
		fprintf(names, "%s\n", path);
		r = file_fill(path, PAGE, number * BATCH + i);
	}
	if (names && fclose(names) != 0 && r == 0)
		r = complain(-errno, batch->list, "cannot be written");
	return r;
}

/* Both write what comes to one place, as each cat writes its page at once. */
static int run_xargs(const struct batch *batch)
{
	const char *const argv[] = {"/usr/bin/xargs", "-a", batch->list, "-P2", "-n1", "/usr/bin/cat", NULL};
	struct spawn s = {.argv = argv, .output = batch->output};
	int r = spawn_run(&s);
	return r ? complain(r, "xargs", "fails") : series_add(&many->at[NATIVE], s.us);
}

static int run_warm(const struct bench *b, const struct batch *batch, enum column column)
{
	const char *const argv[] = {b->zvm, "warm", "-j", "2", batch->results, NULL};
	struct spawn s = {.argv = argv, .output = "/dev/null", .quiet = true};
	int r = spawn_run(&s);
	return r ? complain(r, batch->results, "zvm warm failed") : series_add(&many->at[column], s.us);
}

/* Each page in xargs' output, in whatever order, is the result of the input whose number it begins with. */
static int compare_batch(const struct batch *batch, unsigned number)
{
	char path[PATH_ROOM + 16], page[PAGE], result[PAGE + 1];
	unsigned count = 0, input;
	zvm_autofd int fd = open(batch->output, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && read(fd, page, PAGE) == PAGE) {
		if (sscanf(page, "%u", &input) != 1 || input / BATCH != number)
			return complain(-EIO, batch->output, "xargs and cat mixed up their output");
		snprintf(path, sizeof path, "%s/%u", batch->results, input % BATCH);
		if (file_read(path, result, sizeof result) != PAGE || memcmp(page, result, PAGE))
			return complain(-EIO, path, "the box wrote something else than the program does natively");
		count++;
	}
	return count == BATCH ? 0 : complain(-EIO, batch->output, "xargs and cat wrote less than they read");
}

static int measure_batch(struct bench *b, unsigned number)
{
	struct batch batch;
	snprintf(batch.inputs, sizeof batch.inputs, "%s/batch-%u", b->inputs, number);
	snprintf(batch.list, sizeof batch.list, "%s/batch-list", b->directory);
	snprintf(batch.output, sizeof batch.output, "%s/batch-output", b->directory);
	snprintf(batch.results, sizeof batch.results, "%s/run/cat/batch-%u", b->mount.path, number);
	int r = write_batch(&batch, number);
	if (r == 0 && number % 2)
		r = run_warm(b, &batch, COLD);
	r = r ? r : run_xargs(&batch);
	if (r == 0 && number % 2 == 0)
		r = run_warm(b, &batch, COLD);
	r = r ? r : run_warm(b, &batch, WARM);
	return r ? r : compare_batch(&batch, number);
}

static int measure_many(struct bench *b)
{
	int r = 0;
	double begin = now();
	for (unsigned number = 0; r == 0 && number < BATCHES; number++) {
		if (is_enough(many, begin, number, BATCHES))
			break;
		progress("10,000 inputs, batch", number, BATCHES);
		r = measure_batch(b, number);
	}
	many->verdicts[0].value = row_ratio(many, NATIVE, COLD);
	return r;
}

static int measure(struct bench *b)
{
	int r = big->chosen ? measure_big(b) : 0;
	if (r == 0 && again->chosen)
		r = measure_again(b);
	if (r == 0 && many->chosen)
		r = measure_many(b);
	return r;
}

struct group bulk = {"much at once", rows, sizeof rows / sizeof *rows, measure};
