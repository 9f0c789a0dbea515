/*
 * Explaining goes the way of a job (job.c), stage by stage, and stops where that would run something.
 *
 * A stage whose action has stored runs is a hit if the answers of one of them are all given again today and its
 * outputs are there; otherwise the answers that are others now are the reasons. If there is no stored run, the table of
 * names (names.h) says which action this name came to before: what is another in it is the reason, and if nothing is,
 * the run has been evicted. If the table knows no such name either, it was never computed.
 *
 * What a later stage reads is what an earlier one writes, so behind a miss nothing is known.
 */
#include "explain_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/inputs.h>
#include "claim.h"
#include "content.h"
#include "record_file.h"
#include "store_internal.h"

#define RUNS_MAX 64
#define SAVING_MS 500

struct zvm_explainer {
	struct zvm_store *store;
	const struct zvm_facts *facts;
	struct zvm_engine_options options; /* what an action needs of them */
	struct zvm_blobs *blobs;
	struct zvm_scripts *scripts;
	struct zvm_inputs *inputs;
	struct zvm_table *names;
	int claims;
};

int zvm_explainer_open(struct zvm_store *store, const struct zvm_facts *facts, struct zvm_explainer **ret)
{
	struct zvm_explainer *e = calloc(1, sizeof *e);
	if (!e)
		return -ENOMEM;
	e->store = store;
	e->facts = facts;
	e->options = (struct zvm_engine_options){.limits = facts->limits, .any_exit = facts->any_exit};
	zvm_default_limits(&e->options.limits);
	e->claims = zvm_claims_open(zvm_store_directory(store));
	int r = zvm_blobs_open(store, &e->blobs);
	r = r ? r : zvm_scripts_open((const char *const *)facts->scripts, e->blobs, &e->scripts);
	r = r ? r : zvm_names_open(store, &e->names);
	r = r ? r : zvm_inputs_open(facts->inputs, facts->mountpoint, facts->follow, &e->inputs);
	if (r) {
		zvm_explainer_close(e);
		return r;
	}
	*ret = e;
	return 0;
}

void zvm_explainer_close(struct zvm_explainer *e)
{
	if (!e)
		return;
	zvm_inputs_close(e->inputs);
	zvm_table_close(e->names);
	zvm_scripts_close(e->scripts);
	zvm_blobs_close(e->blobs);
	zvm_close_pointer(&e->claims);
	free(e);
}

/* --- reasons --- */

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

struct zvm_reason *zvm_reasons_add(struct zvm_reasons *reasons, const char *kind, const char *subject,
                                   const char *change, const char *was, const char *is)
{
	struct zvm_reason *list = realloc(reasons->list, (reasons->count + 1) * sizeof *list);
	if (!list)
		return NULL;
	reasons->list = list;
	struct zvm_reason *reason = &list[reasons->count++];
	*reason = (struct zvm_reason){
	        .kind = kind, .subject = copy(subject), .change = copy(change), .was = copy(was), .is = copy(is)};
	return reason;
}

void zvm_reasons_free(struct zvm_reasons *reasons)
{
	for (unsigned i = 0; i < reasons->count; i++) {
		struct zvm_reason *reason = &reasons->list[i];
		free(reason->subject);
		free(reason->host);
		free(reason->change);
		free(reason->was);
		free(reason->is);
	}
	free(reasons->list);
	*reasons = (struct zvm_reasons){0};
}

/* `change` alone says all. */
static int say(struct zvm_explained_stage *stage, enum zvm_explained_state state, const char *kind, const char *subject,
               const char *change)
{
	stage->state = state;
	return zvm_reasons_add(&stage->reasons, kind, subject, change, NULL, NULL) ? 0 : -ENOMEM;
}

/* --- stored runs of an action --- */

struct runs {
	int directory;                   /* -1: there is none */
	unsigned long numbers[RUNS_MAX]; /* newest first */
	unsigned count;
};

static int compare_numbers(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

static int list_runs(const struct zvm_store *store, const struct zvm_digest *address, struct runs *ret)
{
	char name[3 + ZVM_DIGEST_TEXT];
	unsigned long number;
	ret->count = 0;
	zvm_digest_format(address, name + 3);
	memcpy(name, name + 3, 2);
	name[2] = '/';
	ret->directory = openat(store->records, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->directory < 0)
		return errno == ENOENT ? 0 : -errno;
	int again = openat(ret->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	if (!dir)
		return -errno;
	for (struct dirent *d; ret->count < RUNS_MAX && (d = readdir(dir));)
		if (zvm_record_file_number(d->d_name, &number))
			ret->numbers[ret->count++] = number;
	closedir(dir);
	qsort(ret->numbers, ret->count, sizeof ret->numbers[0], compare_numbers);
	return 0;
}

static int read_run(const struct runs *runs, unsigned i, struct zvm_action **ret_action, struct zvm_record **ret)
{
	char name[24];
	snprintf(name, sizeof name, "%lu", runs->numbers[i]);
	return zvm_record_file_read_any(runs->directory, name, ret_action, ret);
}

static bool same_action(const struct zvm_action *a, const struct zvm_action *b)
{
	zvm_autobytes struct zvm_bytes x = {0}, y = {0};
	return zvm_action_encode(a, &x) == 0 && zvm_action_encode(b, &y) == 0 && x.size == y.size &&
	       !memcmp(x.data, y.data, x.size);
}

/* --- one run: does it hold? --- */

/* What has become of an object that is not there as it should be. */
static const char *fate_of(const struct zvm_store *store, const struct zvm_digest *digest)
{
	struct stat st;
	char name[3 + ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, name + 3);
	memcpy(name, name + 3, 2);
	name[2] = '/';
	return fstatat(store->objects, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)
	               ? "it is damaged"
	               : "it is no longer kept (evicted, or lost)";
}

static int check_output(struct zvm_explainer *e, const char *subject, const struct zvm_output *output,
                        struct zvm_reasons *reasons)
{
	uint64_t size;
	zvm_autofd int fd = -1;
	char name[ZVM_DIGEST_TEXT];
	if (!output->size || (zvm_store_object(e->store, &output->digest, &fd, &size) == 0 && size == output->size))
		return 0;
	zvm_digest_format(&output->digest, name);
	return zvm_reasons_add(reasons, "output", subject, fate_of(e->store, &output->digest), name, NULL) ? 0
	                                                                                                   : -ENOMEM;
}

static int check_run(struct zvm_explainer *e, const struct zvm_view *view, const struct zvm_record *record,
                     struct zvm_reasons *reasons)
{
	struct zvm_contents contents = zvm_blobs_contents(e->blobs);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < record->dependency_count; i++)
		r = zvm_explain_dependency(e->store, &contents, view, &record->dependencies[i], reasons);
	r = r ? r : check_output(e, "what it wrote to standard output", &record->out, reasons);
	return r ? r : check_output(e, "what it wrote to standard error", &record->err, reasons);
}

static void speak_of(struct zvm_explained_stage *stage, unsigned long number, const struct zvm_record *record)
{
	stage->number = number;
	stage->computed_at = record->computed_at;
	stage->dependency_count = record->dependency_count;
}

/* A run of this very action, checked: *ret_reasons says what is another by now. -ENOENT: it is none. */
static int check_number(struct zvm_explainer *e, const struct zvm_action *action, const struct zvm_view *view,
                        const struct runs *runs, unsigned i, struct zvm_record **ret, struct zvm_reasons *ret_reasons)
{
	struct zvm_action *stored;
	if (read_run(runs, i, &stored, ret))
		return -ENOENT; /* gone meanwhile, or damaged: to a reader it is not there */
	int r = same_action(stored, action) ? check_run(e, view, *ret, ret_reasons) : -ENOENT;
	zvm_action_free(stored);
	if (r) {
		zvm_record_free(*ret);
		zvm_reasons_free(ret_reasons);
	}
	return r;
}

/* The stored runs of this very action: the newest that holds, else why the one that comes closest does not. *ret: the
 * one that holds. */
static int check_runs(struct zvm_explainer *e, const struct zvm_action *action, const struct zvm_view *view,
                      const struct runs *runs, struct zvm_explained_stage *stage, struct zvm_record **ret)
{
	unsigned seen = 0;
	for (unsigned i = 0; i < runs->count && !*ret; i++) {
		struct zvm_record *record;
		struct zvm_reasons reasons = {0};
		int r = check_number(e, action, view, runs, i, &record, &reasons);
		if (r == -ENOENT)
			continue;
		if (r)
			return r;
		bool holds = !reasons.count, closest = !seen++ || reasons.count < stage->reasons.count;
		if (closest) {
			speak_of(stage, runs->numbers[i], record);
			zvm_reasons_free(&stage->reasons);
			stage->reasons = reasons;
		} else {
			zvm_reasons_free(&reasons);
		}
		if (holds)
			*ret = record;
		else
			zvm_record_free(record);
	}
	stage->others = seen ? seen - 1 : 0;
	stage->state = *ret ? ZVM_EXPLAINED_HIT : ZVM_EXPLAINED_MISS;
	return 0;
}

/* --- no stored run --- */

/* The newest run at an address, whosever it is. */
static int read_newest(const struct zvm_store *store, const struct zvm_digest *address, struct zvm_action **ret_action,
                       struct zvm_record **ret, unsigned long *ret_number)
{
	struct runs runs;
	int r = list_runs(store, address, &runs);
	int found = -ENOENT;
	for (unsigned i = 0; r == 0 && found && i < runs.count; i++) {
		found = read_run(&runs, i, ret_action, ret);
		*ret_number = runs.numbers[i];
	}
	zvm_close_pointer(&runs.directory);
	return r ? r : found;
}

static int explain_named(struct zvm_explainer *e, const struct zvm_named *named, const struct zvm_action *action,
                         const struct zvm_stage_files *files, struct zvm_explained_stage *stage)
{
	struct zvm_action *before;
	struct zvm_record *record;
	unsigned long number;
	stage->computed_at = named->when;
	if (zvm_digest_equal(&named->address, &stage->address))
		return say(stage, ZVM_EXPLAINED_MISS, "evicted", "the run",
		           "it is no longer kept (evicted, or found damaged)");
	int r = read_newest(e->store, &named->address, &before, &record, &number);
	if (r == 0) {
		r = zvm_explain_action(before, action, files, &stage->reasons);
		speak_of(stage, number, record);
		zvm_action_free(before);
		zvm_record_free(record);
	} else {
		r = zvm_explain_parts(named->parts, action, files, &stage->reasons);
	}
	if (r == 0 && !stage->reasons.count)
		r = say(stage, ZVM_EXPLAINED_MISS, "action", "the run", "it differs in what is not remembered");
	return r;
}

static int explain_absence(struct zvm_explainer *e, const struct zvm_spec *spec, unsigned number, const char *input,
                           const struct zvm_action *action, const struct zvm_stage_files *files,
                           struct zvm_explained_stage *stage)
{
	struct zvm_name name;
	struct zvm_named named;
	const struct zvm_facts *facts = e->facts;
	stage->state = ZVM_EXPLAINED_MISS;
	int r = zvm_name_of(facts->inputs, (const char *const *)facts->scripts, spec, number, input, &name);
	if (r)
		return r;
	return zvm_names_find(e->names, &name, &named)
	               ? explain_named(e, &named, action, files, stage)
	               : say(stage, ZVM_EXPLAINED_MISS, "never", NULL, "never computed");
}

/* --- stages --- */

/* Who has the claim may have answered his reader and be about to save the run (engine.c): to that reader it is there.
 */
static void let_be_saved(const struct zvm_explainer *e, const struct zvm_digest *address)
{
	static const struct timespec millisecond = {.tv_nsec = 1000000};
	for (int i = 0; i < SAVING_MS && !zvm_claim_is_free(e->claims, address); i++)
		nanosleep(&millisecond, NULL);
}

/* *ret: the run that holds, NULL if none does. */
static int explain_action(struct zvm_explainer *e, const struct zvm_spec *spec, unsigned number, const char *input,
                          const struct zvm_action *action, const struct zvm_stage_files *files,
                          struct zvm_explained_stage *stage, struct zvm_record **ret)
{
	struct runs runs;
	zvm_autobytes struct zvm_bytes bytes = {0};
	int r = zvm_action_encode(action, &bytes);
	if (r)
		return r;
	zvm_memory_hash(bytes.data, bytes.size, &stage->address);
	stage->has_action = true;
	let_be_saved(e, &stage->address);
	r = list_runs(e->store, &stage->address, &runs);
	r = r ? r : check_runs(e, action, files->script->view, &runs, stage, ret);
	zvm_close_pointer(&runs.directory);
	if (r == 0 && !*ret && !stage->reasons.count)
		r = explain_absence(e, spec, number, input, action, files, stage);
	return r;
}

static int find_script(struct zvm_explainer *e, const char *name, struct zvm_explained_stage *stage,
                       struct zvm_script **ret)
{
	struct zvm_script *script;
	int r = zvm_script_find(e->scripts, name, false, &script);
	if (r == -ENOENT || r == -EACCES)
		return say(stage, ZVM_EXPLAINED_REFUSED, "refused", name,
		           r == -ENOENT ? "there is no such script or program" : "it may not be executed");
	if (r)
		return r;
	if (!script->error) {
		*ret = script;
		return 0;
	}
	r = say(stage, ZVM_EXPLAINED_REFUSED, "refused", script->guest_path,
	        script->reason ? script->reason : "it cannot be run");
	zvm_script_unref(script);
	return r;
}

struct input {
	const char *path;
	char *host; /* NULL: an earlier stage's output */
	int64_t since;
	struct zvm_digest digest;
};

/* What this stage wrote is what the next one reads. */
static int take_output(struct zvm_explainer *e, const struct zvm_record *record, struct input *input)
{
	struct zvm_contents contents = zvm_blobs_contents(e->blobs);
	free(input->host);
	input->host = NULL;
	input->since = 0;
	input->digest = record->out.digest;
	return record->out.size ? 0 : contents.keep_bytes(contents.context, "", 0, &input->digest, NULL);
}

static int explain_stage(struct zvm_explainer *e, const struct zvm_spec *spec, unsigned number, struct input *input,
                         struct zvm_explained_stage *stage)
{
	struct zvm_script *script = NULL;
	struct zvm_record *record = NULL;
	struct zvm_stage_action wanted;
	int r = find_script(e, spec->stages[number].words[0], stage, &script);
	if (r || !script)
		return r;
	r = zvm_stage_action(&e->options, script, &spec->stages[number], &input->digest, &wanted);
	if (r == 0) {
		struct zvm_stage_files files = {script, input->host, input->since};
		r = explain_action(e, spec, number, input->path, &wanted.action, &files, stage, &record);
		zvm_stage_action_free(&wanted);
	}
	if (r == 0 && record)
		r = take_output(e, record, input);
	zvm_record_free(record);
	zvm_script_unref(script);
	return r;
}

/* 0 also if there is none to be read, which is the first stage's trouble. */
static int find_input(struct zvm_explainer *e, const char *path, struct input *ret, struct zvm_explained_stage *first)
{
	struct stat st;
	uint64_t size;
	zvm_autofd int fd = -1;
	*ret = (struct input){.path = path};
	int r = zvm_inputs_open_file(e->inputs, path, &fd);
	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (r)
		return say(first, ZVM_EXPLAINED_REFUSED, "refused", path,
		           r == -EISDIR ? "it is a directory" : "there is no such input");
	if (asprintf(&ret->host, "%s/%s", e->facts->inputs, path) < 0)
		ret->host = NULL;
	if (!ret->host || fstat(fd, &st) < 0)
		return ret->host ? -errno : -ENOMEM;
	ret->since = zvm_since(&st);
	return zvm_blob_of_file(e->blobs, fd, &ret->digest, &size, NULL);
}

static char *join_words(char *const *words)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return NULL;
	for (unsigned i = 0; words[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", words[i]);
	return fclose(out) == 0 ? text : NULL;
}

static int explain_stages(struct zvm_explainer *e, const struct zvm_spec *spec, const char *path,
                          struct zvm_explanation *explanation)
{
	struct input input;
	int r = find_input(e, path, &input, &explanation->stages[0]);
	for (unsigned i = 0; r == 0 && i < spec->stage_count; i++) {
		struct zvm_explained_stage *stage = &explanation->stages[i];
		stage->text = join_words(spec->stages[i].words);
		if (!stage->text)
			r = -ENOMEM;
		else if (explanation->state != ZVM_EXPLAINED_HIT)
			r = say(stage, ZVM_EXPLAINED_UNKNOWN, "earlier", "the input",
			        "it is what an earlier stage writes, to be known when that has run");
		else if (stage->state == ZVM_EXPLAINED_HIT)
			r = explain_stage(e, spec, i, &input, stage);
		if (explanation->state == ZVM_EXPLAINED_HIT)
			explanation->state = stage->state;
	}
	free(input.host);
	return r;
}

int zvm_explain(struct zvm_explainer *e, const struct zvm_spec *spec, const char *input, struct zvm_explanation **ret)
{
	struct zvm_explanation *explanation = calloc(1, sizeof *explanation);
	if (!explanation)
		return -ENOMEM;
	explanation->stages = calloc(spec->stage_count, sizeof *explanation->stages);
	explanation->stage_count = explanation->stages ? spec->stage_count : 0;
	int r = explanation->stages ? explain_stages(e, spec, input, explanation) : -ENOMEM;
	if (r) {
		zvm_explanation_free(explanation);
		return r;
	}
	*ret = explanation;
	return 0;
}

void zvm_explanation_free(struct zvm_explanation *explanation)
{
	if (!explanation)
		return;
	for (unsigned i = 0; i < explanation->stage_count; i++) {
		free(explanation->stages[i].text);
		zvm_reasons_free(&explanation->stages[i].reasons);
	}
	free(explanation->stages);
	free(explanation);
}

const struct zvm_explained_stage *zvm_explanation_cause(const struct zvm_explanation *explanation)
{
	for (unsigned i = 0; i < explanation->stage_count; i++)
		if (explanation->stages[i].state != ZVM_EXPLAINED_HIT)
			return &explanation->stages[i];
	return NULL;
}
