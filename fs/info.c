/* info/: the story of a run as JSON. The keys are a contract; zvm(5) describes each. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "engine_internal.h"
#include "json.h"

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *digest(const struct zvm_digest *d)
{
	char name[ZVM_DIGEST_TEXT];
	zvm_digest_format(d, name);
	return json_string(name);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *output(const struct zvm_output *o)
{
	json_t *object = json_object();
	set(object, "digest", digest(&o->digest));
	set(object, "size", number(o->size));
	return object;
}

static json_t *strings(char *const *list, unsigned count)
{
	json_t *array = json_array();
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(array, zvm_json_text(list[i]));
	return array;
}

/* For a place that was only looked at: the digest of the answer, so that two records can be compared. */
static struct zvm_digest answer_digest(const struct zvm_answer *a)
{
	char line[4600];
	int n = snprintf(line, sizeof line, "%o %llu %llu %lld %d %s", a->mode, (unsigned long long)a->size,
	                 (unsigned long long)a->inode, (long long)a->mtime, a->elsewhere, a->text ? a->text : "");
	XXH128_hash_t hash = XXH3_128bits(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
	return (struct zvm_digest){.high = hash.high64, .low = hash.low64};
}

static const char *kind_of(const struct zvm_dependency *d)
{
	const struct zvm_answer *a = &d->answer;
	if (a->error)
		return "absent";
	if (a->text)
		return "link";
	if (!a->has_content)
		return "stat";
	return (a->mode & S_IFMT) == S_IFDIR ? "directory" : "file";
}

static json_t *dependency(const struct zvm_dependency *d)
{
	json_t *object = json_object();
	struct zvm_digest looked = answer_digest(&d->answer);
	set(object, "path", zvm_json_text(d->question.path));
	set(object, "kind", json_string(kind_of(d)));
	if (d->answer.error)
		set(object, "absent", json_true());
	else
		set(object, "digest", digest(d->answer.has_content ? &d->answer.digest : &looked));
	return object;
}

static void add_dependencies(json_t *array, const struct zvm_record *record)
{
	for (unsigned i = 0; i < record->dependency_count; i++)
		json_array_append_new(array, dependency(&record->dependencies[i]));
}

static const char *state_of(const struct zvm_stage_story *s)
{
	switch (s->error) {
	case 0: return s->record && s->record->failed ? "failed" : "done";
	case -ENOENT:
	case -EACCES:
	case -ENOEXEC:
	case -EINVAL:
	case -ELOOP:
	case -ENOTDIR:
	case -E2BIG: return "refused";
	default: return "failed";
	}
}

static json_t *calls(const struct zvm_record *r)
{
	json_t *array = json_array();
	for (unsigned i = 0; r && i < r->call_count; i++) {
		char room[32];
		json_t *call = json_object();
		set(call, "name", json_string(zvm_call_name(r->calls[i].number, room)));
		set(call, "kind", json_string(zvm_call_kind(r->calls[i].number)));
		set(call, "count", number(r->calls[i].count));
		json_array_append_new(array, call);
	}
	return array;
}

static void set_record(json_t *object, const struct zvm_record *r)
{
	set(object, "exit_status", r && !r->signal ? json_integer(r->exit_status) : json_null());
	set(object, "signal", r && r->signal ? json_integer(r->signal) : json_null());
	set(object, "stdout", r ? output(&r->out) : json_null());
	set(object, "stderr", r ? output(&r->err) : json_null());
	set(object, "wall_us", number(r ? r->wall_us : 0));
	set(object, "cpu_us", number(r ? r->cpu_us : 0));
	set(object, "max_rss_kib", number(r ? r->max_rss_kib : 0));
	set(object, "refused", r ? strings(r->refused, r->refused_count) : json_array());
	set(object, "system_calls", number(r ? r->system_calls : 0));
	set(object, "virtual_ns", number(r ? r->virtual_ns : 0));
	set(object, "peak_memory", number(r ? r->peak_memory : 0));
	set(object, "calls", calls(r));
	set(object, "bytes_read", number(r ? r->bytes_read : 0));
	set(object, "bytes_written", number(r ? r->bytes_written : 0));
	set(object, "faults", number(r ? r->faults : 0));
	set(object, "walls", r ? strings(r->walls, r->wall_count) : json_array());
	set(object, "unproven", r ? strings(r->unproven, r->unproven_count) : json_array());
	set(object, "not_vetted", json_boolean(r && r->not_vetted));
	set(object, "computed_at", r ? json_integer((json_int_t)r->computed_at) : json_null());
}

static json_t *limits(const struct zvm_limits *l)
{
	json_t *object = json_object();
	set(object, "memory_bytes", number(l->memory_bytes));
	set(object, "output_bytes", number(l->output_bytes));
	set(object, "wall_ms", number(l->wall_ms));
	return object;
}

static void set_stage(json_t *object, const struct zvm_stage_story *s)
{
	json_t *dependencies = json_array(), *script = json_object();
	set(object, "state", json_string(state_of(s)));
	set_record(object, s->record);
	if (s->error)
		set(object, "error", json_string(strerrorname_np(-s->error) ? strerrorname_np(-s->error) : "EIO"));
	if (zvm_stage_line(s))
		set(object, "message", zvm_json_text(zvm_stage_line(s)));
	set(script, "path", s->script ? zvm_json_text(s->script->guest_path) : zvm_json_text(s->name));
	if (s->script)
		set(script, "digest", digest(&s->script->digest));
	set(object, "script", script);
	set(object, "arguments", json_array());
	for (char **a = s->arguments; a && *a; a++)
		json_array_append_new(json_object_get(object, "arguments"), zvm_json_text(*a));
	set(object, "limits", limits(&s->limits));
	if (s->has_input)
		set(object, "input_digest", digest(&s->input));
	if (s->record)
		add_dependencies(dependencies, s->record);
	set(object, "dependencies", dependencies);
}

/* The stage that speaks for the pipeline: the last that failed or could not be run, else the last. */
static unsigned deciding_stage(const struct zvm_story *story)
{
	unsigned decides = story->stage_count - 1;
	bool found = false;
	for (unsigned i = story->stage_count; i-- > 0 && !found;) {
		const struct zvm_stage_story *s = &story->stages[i];
		found = s->error || (s->record && s->record->failed);
		decides = found ? i : decides;
	}
	return decides;
}

/* A pipeline did, used and left unproven what any of its stages did. */
static void add_uses(json_t *whole, const struct zvm_story *story)
{
	static const char *const lists[] = {"dependencies", "refused", "unproven"};
	static const char *const sums[] = {"wall_us",    "cpu_us",        "system_calls",
	                                   "bytes_read", "bytes_written", "faults"};
	const size_t sum_count = sizeof sums / sizeof sums[0];
	json_t *stages = json_array();
	const struct zvm_stage_story *last = &story->stages[story->stage_count - 1];
	json_int_t totals[sizeof sums / sizeof sums[0]] = {0};
	json_object_clear(json_object_get(whole, "script"));
	json_object_del(whole, "script");
	json_object_del(whole, "calls"); /* of each stage its own */
	for (size_t k = 0; k < 3; k++)
		json_array_clear(json_object_get(whole, lists[k]));
	for (unsigned i = 0; i < story->stage_count; i++) {
		json_t *stage = json_object();
		set_stage(stage, &story->stages[i]);
		for (size_t k = 0; k < 3; k++)
			json_array_extend(json_object_get(whole, lists[k]), json_object_get(stage, lists[k]));
		if (json_is_true(json_object_get(stage, "not_vetted")))
			set(whole, "not_vetted", json_true());
		for (size_t k = 0; k < sum_count; k++)
			totals[k] += json_integer_value(json_object_get(stage, sums[k]));
		json_array_append_new(stages, stage);
	}
	for (size_t k = 0; k < sum_count; k++)
		set(whole, sums[k], json_integer(totals[k]));
	set(whole, "stdout", last->record ? output(&last->record->out) : json_null());
	set(whole, "stages", stages);
}

int zvm_story_write_info(const struct zvm_story *story, char **ret, size_t *ret_size)
{
	json_t *whole = json_object();
	if (!whole)
		return -ENOMEM;
	set(whole, "spec", zvm_json_text(story->spec));
	set(whole, "input", zvm_json_text(story->input_name));
	set_stage(whole, &story->stages[deciding_stage(story)]);
	if (story->stage_count > 1)
		add_uses(whole, story);
	set(whole, "box_version", json_string(ZVM_BOX_VERSION));
	char *dumped = json_dumps(whole, JSON_INDENT(2));
	json_decref(whole);
	if (!dumped)
		return -ENOMEM;
	size_t n = strlen(dumped);
	char *line = realloc(dumped, n + 2);
	if (!line) {
		free(dumped);
		return -ENOMEM;
	}
	line[n] = '\n';
	line[n + 1] = 0;
	*ret = line;
	*ret_size = n + 1;
	return 0;
}
