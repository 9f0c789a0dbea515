/*
 * Small inputs, one program a row: natively, in bwrap, cold (an input that nobody has seen before, open to end of
 * file), warm (the same once more, when the inputs are known by their stat).
 *
 * Round by round and program by program, so that a noisy moment hits all alike; who comes first of the three takes
 * turns. What the box wrote is compared with what the program writes natively, and so is what bwrap's wrote. The first
 * round only fills the page cache and is not counted.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

enum content { TEXT, JSON, SQL };

/* What takes long comes in every fifth round only. */
#define SELDOM 5

struct program {
	const char *spec;
	const char *argv[6]; /* the same natively; argv[0] without a slash: one of ours, in workloads/ */
	enum content content;
	unsigned every;
};

static const struct program list[] = {
        {"true", {"/usr/bin/true"}, TEXT, 1},
        {"busybox cat", {"/usr/bin/busybox", "cat"}, TEXT, 1},
        {"cat", {"/usr/bin/cat"}, TEXT, 1},
        /* With more than one number wc pads by the size of a file, and there is none in a pipe. */
        {"wc -w", {"/usr/bin/wc", "-w"}, TEXT, 1},
        {"gawk {n+=NF}END{print%20n}", {"/usr/bin/gawk", "{n+=NF}END{print n}"}, TEXT, 1},
        {"perl -ne $n+=length;END{print$n}", {"/usr/bin/perl", "-ne", "$n+=length;END{print$n}"}, TEXT, 1},
        {"lua5.4 -e print(#io.read('a'))", {"/usr/bin/lua5.4", "-e", "print(#io.read('a'))"}, TEXT, 1},
        {"jq -c .words", {"/usr/bin/jq", "-c", ".words"}, JSON, 2},
        {"report.py", {"report.py"}, TEXT, 2},
        {"sqlite3", {"/usr/bin/sqlite3"}, SQL, 1},
        {"compute", {"compute"}, TEXT, SELDOM},
        {"files", {"files"}, TEXT, SELDOM},
        {"memory", {"memory"}, TEXT, SELDOM},
};
#define COUNT (sizeof list / sizeof *list)

/* What is asked of a cold run, as a part of what the native one takes. */
#define ROW(title, goal, limit)                                                               \
	{                                                                                     \
		.name = title, .verdicts = { {COLD_TO_NATIVE, "x", goal, limit, false, NAN} } \
	}

static struct row rows[COUNT] = {
        ROW("true", 0, 0),        ROW("static cat", 0, 0), ROW("cat", 0.4, 3),      ROW("wc", 0.4, 0),
        ROW("gawk", 0.3, 0),      ROW("perl", 0.3, 0),     ROW("lua", 0.4, 0),      ROW("jq", 0.08, 0),
        ROW("python3", 0.4, 1.3), ROW("sqlite3", 0.3, 0),  ROW("compute", 1.01, 0), ROW("files", 1.0, 0),
        ROW("memory", 0, 0),
};

/* What stands around the numbers. */
static const struct shape {
	const char *begin, *named, *line, *line_end, *end;
} shapes[] = {
        [TEXT] = {"", "\n", "some words in line ", "\n", "the end\n"},
        [JSON] = {"{\"id\":\"", "\",\"words\":[0", ",\"word ", "\"", "]}\n"},
        [SQL] = {"-- ", "\ncreate table t(n);\n", "insert into t values(", ");\n", "select count(*), sum(n) from t;\n"},
};

/* Almost 4 KiB that differ from all others, of the kind that the program reads. */
static int write_input(const char *path, const char *name, const struct shape *shape, unsigned round)
{
	char text[PAGE], *at = text, *full = text + PAGE - 128;
	at += sprintf(at, "%s%s %u %f%s", shape->begin, name, round, now(), shape->named);
	for (int line = 0; at < full; line++)
		at += sprintf(at, "%s%d%s", shape->line, line, shape->line_end);
	at += sprintf(at, "%s", shape->end);
	return file_write(path, text, (size_t)(at - text), 0644);
}

static unsigned every(const struct bench *b, size_t i)
{
	return list[i].every < b->rounds ? list[i].every : b->rounds;
}

static void name_paths(const struct bench *b, size_t i, unsigned round, char *input, char *result)
{
	snprintf(input, PATH_ROOM, "%s/program-%zu-%u", b->inputs, i, round);
	snprintf(result, PATH_ROOM, "%s/run/%s/program-%zu-%u", b->mount.path, list[i].spec, i, round);
}

static int run_natively(const struct bench *b, const struct program *p, struct spawn *s, bool in_bwrap)
{
	const char *argv[8] = {NULL}, *all[BWRAP_ARGUMENTS_MAX];
	char path[PATH_ROOM];
	memcpy(argv, p->argv, sizeof p->argv);
	if (!strchr(argv[0], '/')) {
		snprintf(path, sizeof path, "%s/%s", in_bwrap ? "/script" : b->workloads, p->argv[0]);
		argv[0] = path;
	}
	s->argv = argv;
	s->tmp = b->fast;
	if (in_bwrap) {
		spawn_bwrap(b, argv, all);
		s->argv = all;
		s->tmp = NULL;
	}
	int r = spawn_run(s);
	if (!in_bwrap)
		file_remove_tree(b->fast, false);
	return r;
}

static int read_result(const char *path, struct spawn *s)
{
	double begin = now();
	ssize_t size = file_read(path, s->buffer, OUTPUT_MAX);
	s->us = now() - begin;
	s->size = size < 0 ? 0 : (size_t)size;
	return size < 0 ? (int)size : 0;
}

static int run_column(const struct bench *b, const struct program *p, enum column column, const char *result,
                      struct spawn *s)
{
	return column == COLD ? read_result(result, s) : run_natively(b, p, s, column == BWRAP);
}

/* All three of one round; what the others wrote has to be what the native one did. */
static int measure_round(const struct bench *b, size_t i, unsigned round)
{
	static char outputs[COLUMNS][OUTPUT_MAX];
	char input[PATH_ROOM], result[PATH_ROOM];
	struct spawn s[COLUMNS];
	name_paths(b, i, round, input, result);
	int r = write_input(input, rows[i].name, &shapes[list[i].content], round);
	for (unsigned k = 0; r == 0 && k < WARM; k++) {
		enum column column = (round / every(b, i) + k) % WARM;
		s[column] = (struct spawn){.input = input, .buffer = outputs[column]};
		if (column == BWRAP && *b->no_bwrap)
			continue;
		r = run_column(b, &list[i], column, result, &s[column]);
		if (r)
			complain(r, rows[i].name, column == COLD ? "cannot be read from the mount" : "fails natively");
	}
	for (enum column column = 0; r == 0 && column < WARM; column++) {
		if (column == BWRAP && *b->no_bwrap)
			continue;
		if (s[column].size != s[NATIVE].size || memcmp(outputs[column], outputs[NATIVE], s[NATIVE].size))
			return complain(-EIO, rows[i].name,
			                column == COLD ? "the box wrote something else than the program does natively"
			                               : "in bwrap it writes something else");
		if (round > 0)
			r = series_add(&rows[i].at[column], s[column].us);
	}
	return r;
}

static int measure_warm(const struct bench *b, size_t i, unsigned round)
{
	static char output[OUTPUT_MAX];
	char input[PATH_ROOM], result[PATH_ROOM];
	struct spawn s = {.buffer = output};
	name_paths(b, i, round, input, result);
	int r = read_result(result, &s);
	if (r)
		return complain(r, rows[i].name, "cannot be read again");
	return round > 0 ? series_add(&rows[i].at[WARM], s.us) : 0;
}

static int each_round(const struct bench *b, int (*measure)(const struct bench *b, size_t i, unsigned round))
{
	int r = 0;
	for (unsigned round = 0; r == 0 && round <= b->rounds; round++) {
		progress("programs, round", round, b->rounds);
		for (size_t i = 0; r == 0 && i < COUNT; i++)
			if (rows[i].chosen && round % every(b, i) == 0)
				r = measure(b, i, round);
	}
	return r;
}

static bool look_for(size_t i)
{
	const char *program = list[i].argv[0];
	if (strchr(program, '/') && access(program, X_OK) < 0) {
		snprintf(rows[i].note, sizeof rows[i].note, "%s is not installed", program);
		rows[i].chosen = false;
	}
	return rows[i].chosen;
}

static int measure(struct bench *b)
{
	bool any = false;
	for (size_t i = 0; i < COUNT; i++)
		any = (rows[i].chosen && look_for(i)) || any;
	int r = any ? each_round(b, measure_round) : 0;
	if (r == 0 && any)
		r = wait_for_stat_trust();
	if (r == 0 && any)
		r = each_round(b, measure_warm);
	for (size_t i = 0; i < COUNT; i++)
		rows[i].verdicts[0].value = row_ratio(&rows[i], COLD, NATIVE);
	return r;
}

struct group programs = {"programs on 4 KiB", rows, COUNT, measure};
