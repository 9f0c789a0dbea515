/*
 * How `zvm top` looks: for each mount a line that sums it up, and a table of its jobs. Where there is little room the
 * columns that matter least go first, and what runs keeps half of the line.
 *
 * Each value is taken as what a stranger wrote: a number that is none is unknown, a text may be anything.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include "json.h"
#include "plain.h"
#include "top.h"
#include <zvm/cleanup.h>

#define NAME_ROOM 30 /* what runs gets so many columns, or half of a line that is narrower than twice that */
#define CELL_MAX 64

enum column { USER, STATE, TIME, CPU, SHARE, MEMORY, OUTPUT, STAGE, COLUMN_COUNT };

struct column_kind {
	const char *title;
	unsigned width;
	bool right;
	unsigned rank; /* the highest go first where there is no room */
};

static const struct column_kind columns[COLUMN_COUNT] = {
        [USER] = {"USER", 9, false, 5}, [STATE] = {"STATE", 7, false, 1}, [TIME] = {"TIME", 6, true, 0},
        [CPU] = {"CPU", 6, true, 2},    [SHARE] = {"%CPU", 4, true, 6},   [MEMORY] = {"MEM", 6, true, 3},
        [OUTPUT] = {"OUT", 6, true, 4}, [STAGE] = {"STAGE", 5, false, 7},
};

/* --- values --- */

/* -1: it is not known. */
static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	return json_is_number(value) && json_number_value(value) >= 0 ? json_number_value(value) : -1;
}

static double sum(const json_t *object, const char *a, const char *b)
{
	double x = number(object, a), y = number(object, b);
	return x < 0 || y < 0 ? -1 : x + y;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "";
}

static void put_seconds(char cell[CELL_MAX], double us)
{
	double s = us / 1e6;
	if (us < 0)
		strcpy(cell, "-");
	else if (s < 100)
		snprintf(cell, CELL_MAX, "%.1fs", s);
	else if (s < 6000)
		snprintf(cell, CELL_MAX, "%u:%02u", (unsigned)s / 60, (unsigned)s % 60);
	else if (s < 360000)
		snprintf(cell, CELL_MAX, "%uh%02u", (unsigned)s / 3600, (unsigned)s / 60 % 60);
	else
		snprintf(cell, CELL_MAX, "%.0fh", s / 3600);
}

static void put_size(char cell[CELL_MAX], double bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;
	if (bytes < 0) {
		strcpy(cell, "-");
		return;
	}
	for (; bytes >= 1000 && units[unit + 1]; unit++)
		bytes /= 1024;
	snprintf(cell, CELL_MAX, unit && bytes < 99.95 ? "%.1f%c" : "%.0f%c", bytes, units[unit]);
}

/* --- users --- */

/* As a name, which may be looked up far away: each once. */
static const char *user_name(double uid)
{
	static struct {
		double uid;
		char name[32];
	} known[64];
	static unsigned count, next;
	for (unsigned i = 0; i < count; i++)
		if (known[i].uid == uid)
			return known[i].name;
	unsigned at = next++ % 64;
	const struct passwd *user = uid < 4294967295.0 ? getpwuid((uid_t)uid) : NULL;
	known[at].uid = uid;
	if (user)
		snprintf(known[at].name, sizeof known[at].name, "%s", user->pw_name);
	else
		snprintf(known[at].name, sizeof known[at].name, "%.0f", uid);
	count = next < 64 ? next : 64;
	return known[at].name;
}

/* Who waits first, and how many others do; whoever asked, if nobody does any more. */
static void put_user(char cell[CELL_MAX], const json_t *job)
{
	const json_t *users = json_object_get(job, "reader_uids"), *first = json_array_get(users, 0);
	size_t count = json_array_size(users);
	double uid = json_is_number(first) ? json_number_value(first) : number(job, "uid");
	const char *name = uid < 0 ? "-" : user_name(uid);
	if (count > 1)
		snprintf(cell, CELL_MAX, "%.6s+%zu", name, count - 1);
	else
		snprintf(cell, CELL_MAX, "%s", name);
}

/* --- jobs --- */

static const json_t *job_before(const struct zvm_top_mount *mount, double id)
{
	size_t i;
	json_t *job;
	json_array_foreach(json_object_get(mount->before, "jobs"), i, job)
	{
		if (number(job, "id") == id)
			return job;
	}
	return NULL;
}

/* Of one processor, since the last look, or since it runs if that is later. */
static double processor_share(const struct zvm_top_mount *mount, const json_t *job)
{
	double used = number(job, "cpu_us"), time = number(job, "run_us");
	const json_t *before = job_before(mount, number(job, "id"));
	if (used < 0 || time <= 0)
		return -1;
	if (before && number(before, "stage") == number(job, "stage") && number(before, "cpu_us") >= 0 &&
	    time > number(before, "run_us")) {
		used -= number(before, "cpu_us");
		time -= number(before, "run_us");
	}
	return used > 0 ? used * 100 / time : 0;
}

static void fill_cells(const struct zvm_top_mount *mount, const json_t *job, char cells[COLUMN_COUNT][CELL_MAX])
{
	double share = processor_share(mount, job), memory = number(job, "memory_kib"), run = number(job, "run_us");
	put_user(cells[USER], job);
	snprintf(cells[STATE], CELL_MAX, "%s", text(job, "state"));
	put_seconds(cells[TIME], run < 0 ? number(job, "asked_us") : run);
	put_seconds(cells[CPU], number(job, "cpu_us"));
	strcpy(cells[SHARE], "-");
	if (share >= 0)
		snprintf(cells[SHARE], CELL_MAX, "%.0f", share);
	put_size(cells[MEMORY], memory < 0 ? -1 : memory * 1024);
	put_size(cells[OUTPUT], sum(job, "stdout_bytes", "stderr_bytes"));
	snprintf(cells[STAGE], CELL_MAX, "%.0f/%.0f", number(job, "stage"), number(job, "stages"));
}

/* --- lines --- */

struct page {
	FILE *out;
	unsigned width; /* 0: there is no end */
	bool shown[COLUMN_COUNT];
};

/* Nothing else puts characters onto a page. */
static void put_line(const struct page *page, char *line)
{
	size_t length = line ? strlen(line) : 0;
	if (page->width && length > page->width)
		length = page->width;
	if (line)
		zvm_plain_put(line, length, page->out);
	putc('\n', page->out);
}

static void choose_columns(struct page *page)
{
	unsigned used = 0, name = page->width >= 2 * NAME_ROOM ? NAME_ROOM : page->width / 2;
	for (unsigned rank = 0; rank < COLUMN_COUNT; rank++)
		for (unsigned c = 0; c < COLUMN_COUNT; c++) {
			if (columns[c].rank != rank)
				continue;
			if (page->width && used + columns[c].width + 1 + name > page->width)
				return;
			page->shown[c] = true;
			used += columns[c].width + 1;
		}
}

static void put_row(const struct page *page, char cells[COLUMN_COUNT][CELL_MAX], const char *what, const char *input)
{
	zvm_autofree char *line = NULL;
	size_t size;
	FILE *row = open_memstream(&line, &size);
	if (!row)
		return;
	for (unsigned c = 0; c < COLUMN_COUNT; c++) {
		int width = (int)columns[c].width;
		if (page->shown[c])
			fprintf(row, columns[c].right ? "%*.*s " : "%-*.*s ", width, width, cells[c]);
	}
	fprintf(row, "%s%s%s", what, *input ? "/" : "", input);
	if (fclose(row) == 0)
		put_line(page, line);
}

static void put_jobs(const struct page *page, const struct zvm_top_mount *mount)
{
	char cells[COLUMN_COUNT][CELL_MAX];
	json_t *jobs = json_object_get(mount->now, "jobs"), *job;
	double left_out = number(mount->now, "left_out");
	size_t i;
	for (unsigned c = 0; c < COLUMN_COUNT; c++)
		snprintf(cells[c], CELL_MAX, "%s", columns[c].title);
	if (json_array_size(jobs))
		put_row(page, cells, "SPEC/INPUT", "");
	json_array_foreach(jobs, i, job)
	{
		fill_cells(mount, job, cells);
		put_row(page, cells, text(job, "spec"), text(job, "input"));
	}
	if (left_out > 0) {
		char line[CELL_MAX];
		snprintf(line, sizeof line, "and %.0f more", left_out);
		put_line(page, line);
	}
}

/* How much one of the counters has grown since the last look, or altogether; -1: unknown. */
static double counted(const struct zvm_top_mount *mount, const char *key, bool lately)
{
	double now = number(json_object_get(mount->now, "counters"), key);
	double before = number(json_object_get(mount->before, "counters"), key);
	return !lately || now < 0 ? now : before < 0 || before > now ? -1 : now - before;
}

static void put_rates(FILE *out, const struct zvm_top_mount *mount)
{
	double hits = counted(mount, "cache_hits", false), misses = counted(mount, "cache_misses", false);
	double new_hits = counted(mount, "cache_hits", true), new_misses = counted(mount, "cache_misses", true);
	double seconds = (double)(mount->now_ns - mount->before_ns) / 1e9;
	if (hits >= 0 && misses >= 0 && hits + misses > 0)
		fprintf(out, ", %.1f%% hits", hits * 100 / (hits + misses));
	if (!mount->before || new_hits < 0 || new_misses < 0 || seconds <= 0)
		return;
	if (hits + misses > 0 && new_hits + new_misses > 0)
		fprintf(out, " (now %.0f%%)", new_hits * 100 / (new_hits + new_misses));
	fprintf(out, ", %.1f hits/s, %.1f runs/s", new_hits / seconds, counted(mount, "box_runs", true) / seconds);
}

static void put_state(FILE *out, const struct zvm_top_mount *mount, const char *state)
{
	double n = number(mount->now, state);
	if (n > 0)
		fprintf(out, ", %.0f %s", n, state);
}

static void put_summary(FILE *out, const struct zvm_top_mount *mount)
{
	double most = number(mount->now, "max_jobs"), running = number(mount->now, "running");
	fprintf(out, "%s: ", mount->at);
	if (!mount->now) {
		fputs(zvm_top_trouble(mount), out);
		return;
	}
	fprintf(out, "%.0f running of %.0f", running > 0 ? running : 0, most > 0 ? most : 0);
	put_state(out, mount, "queued");
	put_state(out, mount, "waiting");
	put_state(out, mount, "looking");
	put_state(out, mount, "storing");
	put_rates(out, mount);
	if (json_is_false(json_object_get(mount->now, "all")))
		fputs("; of jobs only yours", out);
}

static void put_mount(const struct page *page, const struct zvm_top_mount *mount)
{
	zvm_autofree char *line = NULL;
	size_t size;
	FILE *out = open_memstream(&line, &size);
	if (!out)
		return;
	put_summary(out, mount);
	if (fclose(out) == 0)
		put_line(page, line);
	put_jobs(page, mount);
}

int zvm_top_text(const struct zvm_top *top, unsigned width, char **ret)
{
	size_t size;
	bool table = false; /* above: then a blank line is between */
	struct page page = {.out = open_memstream(ret, &size), .width = width};
	if (!page.out)
		return -ENOMEM;
	choose_columns(&page);
	for (size_t i = 0; i < top->count; i++) {
		if (zvm_top_is_hidden(top, &top->mounts[i]))
			continue;
		if (table)
			putc('\n', page.out);
		table = json_array_size(json_object_get(top->mounts[i].now, "jobs"));
		put_mount(&page, &top->mounts[i]);
	}
	return fclose(page.out) == 0 ? 0 : -ENOMEM;
}

/* --- for programs --- */

json_t *zvm_top_json(const struct zvm_top *top)
{
	json_t *mounts = json_array();
	for (size_t i = 0; i < top->count; i++) {
		const struct zvm_top_mount *mount = &top->mounts[i];
		if (zvm_top_is_hidden(top, mount))
			continue;
		json_t *object = json_object();
		json_object_set_new(object, "mountpoint", zvm_json_text(mount->at));
		const char *error = strerrorname_np(-mount->error);
		if (mount->now)
			json_object_update_missing(object, mount->now);
		else
			json_object_set_new(object, "error", json_string(error ? error : "EIO"));
		json_array_append_new(mounts, object);
	}
	return json_pack("{s:o}", "mounts", mounts);
}
