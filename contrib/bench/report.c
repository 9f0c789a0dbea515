/* The table, and the same as JSON. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "bench.h"

static const char *const column_names[COLUMNS] = {"native", "bwrap", "cold", "warm"};

void report_name_machine(struct bench *b)
{
	struct utsname u;
	char line[256], model[128] = "unknown processor";
	FILE *cpu = fopen("/proc/cpuinfo", "re");
	while (cpu && fgets(line, sizeof line, cpu))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (cpu)
		fclose(cpu);
	uname(&u);
	snprintf(b->machine, sizeof b->machine, "%s, %ld processors (%s), Linux %s", u.nodename,
	         sysconf(_SC_NPROCESSORS_ONLN), model, u.release);
}

/* --- the table --- */

static int digits(double value)
{
	return value < 10 ? 2 : value < 100 ? 1 : 0;
}

/* "1.82ms 1.09-4.86": median, least and 99th percentile. */
static void print_series(struct series *s)
{
	char range[48] = "";
	double median = series_median(s);
	double unit = median < 1e3 ? 1 : median < 1e6 ? 1e3 : 1e6;
	const char *name = unit < 1e3 ? "us" : unit < 1e6 ? "ms" : "s ";
	if (!s->count) {
		printf(" %20s", "-");
		return;
	}
	double least = series_rank(s, 0) / unit, most = series_rank(s, 0.99) / unit;
	snprintf(range, sizeof range, "%.*f-%.*f", digits(least), least, digits(most), most);
	printf(" %5.*f%s %-12s", digits(median / unit), median / unit, name, range);
}

static void print_ratio(double value)
{
	if (isnan(value))
		printf(" %7s", "-");
	else
		printf(" %7.*f", value < 1 ? 3 : 2, value);
}

static bool holds(const struct verdict *v, double than)
{
	return than <= 0 || (v->at_least ? v->value >= than : v->value <= than);
}

static void print_verdict(const struct verdict *v)
{
	bool in_column = v->what && !strcmp(v->what, COLD_TO_NATIVE);
	if (!v->what || isnan(v->value) || (in_column && v->goal <= 0))
		return;
	if (in_column)
		printf(" ");
	else
		printf("  %s %.*f%s", v->what, v->value < 1 ? 3 : 2, v->value, v->unit);
	if (v->goal > 0)
		printf(" of %g", v->goal);
	if (v->limit > 0)
		printf(" (%g)", v->limit);
	if (!holds(v, v->goal))
		printf("%s", v->limit <= 0 ? ", missed" : holds(v, v->limit) ? ", first missed" : ", both missed");
}

static void print_row(struct row *row)
{
	printf("%-16s", row->name);
	for (enum column c = 0; c < COLUMNS; c++)
		print_series(&row->at[c]);
	print_ratio(row_ratio(row, BWRAP, NATIVE));
	print_ratio(row_ratio(row, WARM, NATIVE));
	print_ratio(row_ratio(row, COLD, NATIVE));
	for (size_t i = 0; i < sizeof row->verdicts / sizeof *row->verdicts; i++)
		print_verdict(&row->verdicts[i]);
	if (*row->note)
		printf("  [%s]", row->note);
	putchar('\n');
}

static void print_group(const struct group *g)
{
	bool titled = false;
	for (size_t i = 0; i < g->count; i++) {
		if (!g->rows[i].chosen && !*g->rows[i].note)
			continue;
		if (!titled)
			printf("\n%s\n", g->title);
		titled = true;
		print_row(&g->rows[i]);
	}
}

void report_table(const struct bench *b, struct group *const *groups)
{
	printf("%s\n%u rounds; median, least-99th percentile; a goal and, in parentheses, an older and weaker one\n",
	       b->machine, b->rounds);
	if (*b->no_bwrap)
		printf("%s\n", b->no_bwrap);
	printf("\n%-16s %-20s %-20s %-20s %-20s %23s\n", "", "native",
	       *b->no_bwrap ? "bwrap (not here)" : "bwrap, same root", "zvm cold", "zvm warm", "times native");
	printf("%-16s %20s %20s %20s %20s %7s %7s %7s\n", "", "", "", "", "", "bwrap", "warm", "cold");
	for (; *groups; groups++)
		print_group(*groups);
}

/* --- JSON --- */

static json_t *number(double value)
{
	return isnan(value) ? json_null() : json_real(value);
}

static json_t *series(struct series *s)
{
	return s->count ? json_pack("{s:f, s:f, s:f, s:I}", "min", series_rank(s, 0), "median", series_median(s), "p99",
	                            series_rank(s, 0.99), "count", (json_int_t)s->count)
	                : json_null();
}

static json_t *verdicts(const struct row *row)
{
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof row->verdicts / sizeof *row->verdicts; i++) {
		const struct verdict *v = &row->verdicts[i];
		if (v->what)
			json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:b}", "what", v->what, "unit",
			                                      v->unit, "value", number(v->value), "goal",
			                                      number(v->goal > 0 ? v->goal : NAN), "limit",
			                                      number(v->limit > 0 ? v->limit : NAN), "at_least",
			                                      v->at_least));
	}
	return list;
}

static json_t *describe(struct row *row, const char *group)
{
	json_t *object = json_pack("{s:s, s:s}", "name", row->name, "group", group);
	for (enum column c = 0; c < COLUMNS; c++)
		json_object_set_new(object, column_names[c], series(&row->at[c]));
	json_object_set_new(object, "verdicts", verdicts(row));
	if (*row->note)
		json_object_set_new(object, "note", json_string(row->note));
	return object;
}

int report_json(const struct bench *b, struct group *const *groups, const char *path)
{
	json_t *rows = json_array();
	for (; *groups; groups++)
		for (size_t i = 0; i < (*groups)->count; i++)
			if ((*groups)->rows[i].chosen)
				json_array_append_new(rows, describe(&(*groups)->rows[i], (*groups)->title));
	json_t *all = json_pack("{s:s, s:s, s:i, s:s*, s:o}", "machine", b->machine, "unit", "us", "rounds",
	                        (int)b->rounds, "no_bwrap", *b->no_bwrap ? b->no_bwrap : NULL, "rows", rows);
	int r = all ? json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : -1;
	json_decref(all);
	return r < 0 ? complain(-errno, path, "cannot be written") : 0;
}
