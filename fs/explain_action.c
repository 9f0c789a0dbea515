/* How two actions differ, part by part, in words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>
#include "explain_internal.h"

struct comparison {
	const struct zvm_action *was, *is; /* was NULL: only `parts` are known of it */
	const uint32_t *parts;
	const struct zvm_stage_files *files;
	struct zvm_reasons *reasons;
	uint32_t now[ZVM_PART_COUNT];
};

static char *host_of_script(const struct zvm_script *script)
{
	char *path = NULL;
	if (!script->directory)
		return strdup(script->guest_path);
	return asprintf(&path, "%s/%s", script->directory, script->name) < 0 ? NULL : path;
}

static int add(const struct comparison *c, const char *kind, const char *subject, const char *change, const char *was,
               const char *is)
{
	return zvm_reasons_add(c->reasons, kind, subject, change, was, is) ? 0 : -ENOMEM;
}

static int add_script(const struct comparison *c, const char *kind, const char *change, const char *was, const char *is)
{
	struct zvm_reason *reason = zvm_reasons_add(c->reasons, kind, c->is->script, change, was, is);
	if (!reason)
		return -ENOMEM;
	reason->host = host_of_script(c->files->script);
	reason->since = zvm_since(&c->files->script->st);
	return 0;
}

static int add_contents(const struct comparison *c, enum zvm_part part)
{
	char was[ZVM_DIGEST_TEXT] = "", is[ZVM_DIGEST_TEXT];
	bool script = part == ZVM_PART_SCRIPT;
	if (c->was)
		zvm_digest_format(script ? &c->was->script_blob : &c->was->input_blob, was);
	zvm_digest_format(script ? &c->is->script_blob : &c->is->input_blob, is);
	const char *before = c->was ? was : NULL;
	if (script)
		return add_script(c, "script", "content changed", before, is);
	struct zvm_reason *reason = zvm_reasons_add(
	        c->reasons, "input", "the input",
	        c->files->input_host ? "content changed" : "the stage before writes something else now", before, is);
	if (!reason)
		return -ENOMEM;
	reason->host = c->files->input_host ? strdup(c->files->input_host) : NULL;
	reason->since = c->files->input_since;
	return 0;
}

/* --- lists of words --- */

static size_t count_words(const char *const *words)
{
	size_t n = 0;
	while (words[n])
		n++;
	return n;
}

static int compare_arguments(const struct comparison *c)
{
	char subject[32];
	if (!c->was)
		return add(c, "argument", "the arguments", "they are others now", NULL, NULL);
	size_t before = count_words(c->was->arguments), now = count_words(c->is->arguments);
	for (size_t i = 0; i < before || i < now; i++) {
		const char *was = i < before ? c->was->arguments[i] : NULL, *is = i < now ? c->is->arguments[i] : NULL;
		if (was && is && !strcmp(was, is))
			continue;
		snprintf(subject, sizeof subject, "argument %zu", i + 1);
		int r = add(c, "argument", subject, !was ? "new" : !is ? "gone" : "another", was, is);
		if (r)
			return r;
	}
	return 0;
}

/* Of the same variable; NULL: it is not set. */
static const char *find_variable(const char *const *environment, const char *variable)
{
	size_t n = strcspn(variable, "=");
	for (; *environment; environment++)
		if (!strncmp(*environment, variable, n) && (*environment)[n] == '=')
			return *environment;
	return NULL;
}

static int add_variable(const struct comparison *c, const char *was, const char *is)
{
	char subject[96];
	const char *either = was ? was : is;
	snprintf(subject, sizeof subject, "the variable %.*s", (int)strcspn(either, "=") % 64, either);
	const char *value = was ? strchr(was, '=') : NULL, *now = is ? strchr(is, '=') : NULL;
	return add(c, "environment", subject,
	           !was  ? "the script declares it now"
	           : !is ? "the script declares it no more"
	                 : "the script declares another value",
	           value ? value + 1 : NULL, now ? now + 1 : NULL);
}

static int compare_environments(const struct comparison *c)
{
	int r = 0;
	unsigned before = c->reasons->count;
	if (!c->was)
		return add(c, "environment", "the environment", "the script declares another one", NULL, NULL);
	for (const char *const *is = c->is->environment; r == 0 && *is; is++) {
		const char *was = find_variable(c->was->environment, *is);
		if (!was || strcmp(was, *is))
			r = add_variable(c, was, *is);
	}
	for (const char *const *was = c->was->environment; r == 0 && *was; was++)
		if (!find_variable(c->is->environment, *was))
			r = add_variable(c, *was, NULL);
	if (r == 0 && c->reasons->count == before)
		r = add(c, "environment", "the environment", "it is in another order", NULL, NULL);
	return r;
}

/* --- numbers --- */

static int add_limit(const struct comparison *c, const char *name, bool declared, uint64_t was, uint64_t is)
{
	char before[32], now[32];
	snprintf(before, sizeof before, "%llu", (unsigned long long)was);
	snprintf(now, sizeof now, "%llu", (unsigned long long)is);
	return add(c, declared ? "directive" : "limit", name,
	           declared ? "the script declares another one" : "it is the mount's or the default's now",
	           c->was ? before : NULL, now);
}

static int compare_limits(const struct comparison *c, enum zvm_part part)
{
	const struct zvm_limits none = {0}, *was = c->was ? &c->was->limits : &none, *is = &c->is->limits;
	const struct zvm_directives *d = &c->files->script->directives;
	if (part == ZVM_PART_MEMORY)
		return add_limit(c, "memory limit in bytes", d->memory_bytes, was->memory_bytes, is->memory_bytes);
	if (part == ZVM_PART_OUTPUT)
		return add_limit(c, "output limit in bytes", d->output_bytes, was->output_bytes, is->output_bytes);
	return add_limit(c, "time limit in ms", d->timeout_s, was->wall_ms, is->wall_ms);
}

static int compare_modes(const struct comparison *c)
{
	char was[16], is[16];
	snprintf(was, sizeof was, "%04o", (unsigned)c->parts[ZVM_PART_SCRIPT_MODE]);
	snprintf(is, sizeof is, "%04o", (unsigned)c->is->script_mode);
	return add_script(c, "mode", "permissions changed", was, is);
}

/* --- all --- */

static int compare_part(const struct comparison *c, enum zvm_part part)
{
	const struct zvm_action *was = c->was, *is = c->is;
	switch (part) {
	case ZVM_PART_BOX:
		return add(c, "box", "the box", "this zvm has another", was ? was->box_version : NULL, is->box_version);
	case ZVM_PART_SCRIPT_PATH:
		return add_script(c, "script", "the name means another file", was ? was->script : NULL, is->script);
	case ZVM_PART_SCRIPT:
	case ZVM_PART_INPUT: return add_contents(c, part);
	case ZVM_PART_SCRIPT_MODE: return compare_modes(c);
	case ZVM_PART_ARGUMENTS: return compare_arguments(c);
	case ZVM_PART_ENVIRONMENT: return compare_environments(c);
	case ZVM_PART_STATUSES:
		return add(c, "directive", "exit statuses that are success", "declared by the script, or -o exit=any",
		           was ? was->ok_statuses : NULL, is->ok_statuses);
	default: return compare_limits(c, part);
	}
}

/* What a person would look for first comes first. */
static int compare(struct comparison *c)
{
	static const enum zvm_part order[] = {ZVM_PART_ARGUMENTS, ZVM_PART_SCRIPT_PATH, ZVM_PART_SCRIPT,
	                                      ZVM_PART_INPUT,     ZVM_PART_SCRIPT_MODE, ZVM_PART_ENVIRONMENT,
	                                      ZVM_PART_MEMORY,    ZVM_PART_OUTPUT,      ZVM_PART_TIME,
	                                      ZVM_PART_STATUSES,  ZVM_PART_BOX};
	_Static_assert(sizeof order / sizeof order[0] == ZVM_PART_COUNT, "every part is compared");
	int r = 0;
	zvm_parts_of(c->is, c->now);
	for (size_t i = 0; r == 0 && i < ZVM_PART_COUNT; i++)
		if (c->parts[order[i]] != c->now[order[i]])
			r = compare_part(c, order[i]);
	return r;
}

int zvm_explain_action(const struct zvm_action *was, const struct zvm_action *is, const struct zvm_stage_files *files,
                       struct zvm_reasons *reasons)
{
	uint32_t parts[ZVM_PART_COUNT];
	zvm_parts_of(was, parts);
	return compare(&(struct comparison){.was = was, .is = is, .parts = parts, .files = files, .reasons = reasons});
}

int zvm_explain_parts(const uint32_t was[ZVM_PART_COUNT], const struct zvm_action *is,
                      const struct zvm_stage_files *files, struct zvm_reasons *reasons)
{
	return compare(&(struct comparison){.is = is, .parts = was, .files = files, .reasons = reasons});
}
