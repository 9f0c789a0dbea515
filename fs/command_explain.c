/* zvm explain: is it stored, and if not, what is another since it was? */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "explain.h"
#include "located.h"

#define TROUBLE 125
#define CODE_LENGTH 12 /* of a digest, for a person */
#define SHORT 24u      /* characters of a value that fit into a line with others */

struct options {
	const char *store;
	bool json, several;
	json_t *all; /* what is printed at the end */
};

static void print_help(void)
{
	puts("usage: zvm explain [--json] [--store DIR] PATH...\n\n"
	     "Says of a file below a mount (run/SPEC/INPUT; err/, info/ and stream/ mean the same run) whether its "
	     "result\n"
	     "is stored, and if not, what is another since it was computed: an argument, the script, a directive in "
	     "it,\n"
	     "the input, a file that the run had opened or looked for in vain, the limits, or zvm itself; or that the\n"
	     "store has let it go. Nothing is run, and nothing changed.\n\n"
	     "  --json        as JSON\n"
	     "  --store DIR   look into this store, instead of the mount's\n\n"
	     "Exit status: 0 all are stored, 1 one would be computed, 2 called wrongly, 125 zvm failed.");
}

/* --- for a person --- */

/* Names and arguments are bytes of anybody's choice: nothing of them may reach a terminal as it is. */
static void print_text(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			printf("\\x%02x", (unsigned char)*text);
		else
			putchar(*text);
}

static void print_time(const char *before, int64_t when)
{
	char text[64];
	struct tm local;
	time_t t = (time_t)when;
	if (!when || !localtime_r(&t, &local) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local))
		return;
	printf("%s%s", before, text);
}

static void print_reason(const struct zvm_reason *reason)
{
	if (reason->subject) {
		print_text(reason->subject);
		printf(": ");
	}
	print_text(reason->change ? reason->change : "another");
}

/* What can be said in a few characters is said at once. */
static void print_in_short(const struct zvm_reason *reason)
{
	print_reason(reason);
	if (reason->was && reason->is && strlen(reason->was) <= SHORT && strlen(reason->is) <= SHORT) {
		printf(" (was ");
		print_text(reason->was);
		printf(", is ");
		print_text(reason->is);
		putchar(')');
	}
}

static void print_details(const struct zvm_reason *reason)
{
	printf("    ");
	print_reason(reason);
	putchar('\n');
	if (reason->was) {
		printf("        was ");
		print_text(reason->was);
		putchar('\n');
	}
	if (reason->is) {
		printf("        is  ");
		print_text(reason->is);
		putchar('\n');
	}
	if (reason->host) {
		printf("        ");
		print_text(reason->host);
		print_time(", as it is since ", reason->since);
		putchar('\n');
	}
}

static const char *const states[] = {"hit", "miss", "refused", "unknown"};

static void print_stage(unsigned number, const struct zvm_explained_stage *stage)
{
	char address[ZVM_DIGEST_TEXT] = "";
	printf("  stage %u, ", number);
	print_text(stage->text);
	printf(": %s\n", states[stage->state]);
	if (stage->has_action)
		zvm_digest_format(&stage->address, address);
	if (stage->state == ZVM_EXPLAINED_HIT)
		printf("    run %.*s/%lu", CODE_LENGTH, address, stage->number);
	if (stage->state == ZVM_EXPLAINED_HIT || stage->computed_at)
		print_time(stage->state == ZVM_EXPLAINED_HIT ? ", computed " : "    last computed ",
		           stage->computed_at);
	if (stage->state == ZVM_EXPLAINED_HIT)
		printf("; %u answers about files hold", stage->dependency_count);
	if (stage->state == ZVM_EXPLAINED_HIT || stage->computed_at)
		putchar('\n');
	for (unsigned i = 0; i < stage->reasons.count; i++)
		print_details(&stage->reasons.list[i]);
	if (stage->state == ZVM_EXPLAINED_MISS && stage->others)
		printf("    (%u more stored runs of it do not hold either)\n", stage->others);
}

static void print_explanation(const struct options *o, const char *path, const struct zvm_explanation *explanation)
{
	const struct zvm_explained_stage *cause = zvm_explanation_cause(explanation);
	if (o->several) {
		print_text(path);
		printf(": ");
	}
	if (!cause) {
		puts("hit");
	} else {
		printf("%s", cause->state == ZVM_EXPLAINED_REFUSED ? "no result: " : "miss: ");
		if (explanation->stage_count > 1)
			printf("stage %u: ", (unsigned)(cause - explanation->stages) + 1);
		print_in_short(&cause->reasons.list[0]);
		if (cause->reasons.count > 1)
			printf(" (and %u more)", cause->reasons.count - 1);
		putchar('\n');
	}
	for (unsigned i = 0; i < explanation->stage_count; i++)
		print_stage(i + 1, &explanation->stages[i]);
}

/* --- for programs --- */

static void set_text(json_t *object, const char *key, const char *value)
{
	json_t *string = value ? json_string(value) : NULL;
	if (value && !string) { /* no UTF-8: as Latin-1, which loses nothing */
		zvm_autobytes struct zvm_bytes utf8 = {0};
		for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
			unsigned char two[2] = {(unsigned char)(0xc0 | *c >> 6), (unsigned char)(0x80 | (*c & 0x3f))};
			zvm_bytes_append(&utf8, *c < 0x80 ? c : two, *c < 0x80 ? 1 : 2);
		}
		string = json_stringn((const char *)utf8.data, utf8.size);
	}
	if (string)
		json_object_set_new(object, key, string);
}

static void set_number(json_t *object, const char *key, int64_t value)
{
	if (value)
		json_object_set_new(object, key, json_integer(value));
}

static json_t *json_of_reason(const struct zvm_reason *reason)
{
	json_t *object = json_object();
	set_text(object, "kind", reason->kind);
	set_text(object, "subject", reason->subject);
	set_text(object, "change", reason->change);
	set_text(object, "was", reason->was);
	set_text(object, "is", reason->is);
	set_text(object, "host", reason->host);
	set_number(object, "since", reason->since);
	return object;
}

static json_t *json_of_stage(const struct zvm_explained_stage *stage)
{
	json_t *object = json_object(), *reasons = json_array();
	char address[ZVM_DIGEST_TEXT];
	set_text(object, "stage", stage->text);
	set_text(object, "state", states[stage->state]);
	if (stage->has_action) {
		zvm_digest_format(&stage->address, address);
		set_text(object, "action", address);
	}
	set_number(object, "run", (int64_t)stage->number);
	set_number(object, "computed_at", stage->computed_at);
	for (unsigned i = 0; i < stage->reasons.count; i++)
		json_array_append_new(reasons, json_of_reason(&stage->reasons.list[i]));
	json_object_set_new(object, "reasons", reasons);
	return object;
}

static void add_json(const struct options *o, const char *path, const struct zvm_explanation *explanation)
{
	json_t *object = json_object(), *stages = json_array();
	set_text(object, "path", path);
	set_text(object, "state", states[explanation->state]);
	for (unsigned i = 0; i < explanation->stage_count; i++)
		json_array_append_new(stages, json_of_stage(&explanation->stages[i]));
	json_object_set_new(object, "stages", stages);
	json_array_append_new(o->all, object);
}

/* --- the command --- */

static int explain_located(const struct options *o, const char *path, const struct zvm_located *located)
{
	struct zvm_explainer *explainer;
	struct zvm_explanation *explanation;
	int r = zvm_explainer_open(located->store, located->facts, &explainer);
	if (r)
		return zvm_complain(TROUBLE, "explain", "%s: %s", path, strerror(-r));
	r = zvm_explain(explainer, located->spec, located->input, &explanation);
	zvm_explainer_close(explainer);
	if (r)
		return zvm_complain(TROUBLE, "explain", "%s: %s", path, strerror(-r));
	if (o->json)
		add_json(o, path, explanation);
	else
		print_explanation(o, path, explanation);
	int status = explanation->state != ZVM_EXPLAINED_HIT;
	zvm_explanation_free(explanation);
	return status;
}

static int explain_path(const struct options *o, const char *path)
{
	struct zvm_located located;
	int status = zvm_locate("explain", path, o->store, &located);
	if (status >= 0)
		return status;
	status = explain_located(o, path, &located);
	zvm_located_free(&located);
	return status;
}

static int explain_all(struct options *o, char **paths)
{
	int worst = 0;
	o->several = paths[0] && paths[1];
	o->all = o->json ? json_array() : NULL;
	for (; *paths; paths++) {
		int status = explain_path(o, *paths);
		worst = status > worst ? status : worst;
	}
	if (o->json && json_dumpf(o->all, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_decref(o->all);
	if (fflush(stdout) || ferror(stdout))
		return zvm_complain(TROUBLE, "explain", "cannot write: %s", strerror(errno));
	return worst;
}

int zvm_command_explain(int argc, char **argv)
{
	static const struct option long_options[] = {{"json", no_argument, NULL, 'j'},
	                                             {"store", required_argument, NULL, 's'},
	                                             {"help", no_argument, NULL, 'h'},
	                                             {NULL, 0, NULL, 0}};
	struct options o = {0};
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'j': o.json = true; break;
		case 's': o.store = optarg; break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(2, "explain");
		}
	}
	if (optind == argc)
		return zvm_complain(2, "explain", "name a PATH below a mount; `zvm explain --help` shows how");
	return explain_all(&o, argv + optind);
}
