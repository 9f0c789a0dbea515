/* See stage.h. */
#include "stage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const base_environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                               "HOME=/home/zvm",
                                               "PWD=/home/zvm",
                                               "TMPDIR=/tmp",
                                               "LANG=C.UTF-8",
                                               "TZ=UTC",
                                               "USER=zvm"};
#define BASE_COUNT (sizeof base_environment / sizeof base_environment[0])

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return n == strcspn(b, "=") && !memcmp(a, b, n);
}

/* The fixed environment, with what the script declares: replaced in place, or added behind, in its order. */
static int build_environment(const struct zvm_directives *d, const char ***ret)
{
	const char **list = calloc(BASE_COUNT + d->environment_count + 1, sizeof *list);
	size_t n = BASE_COUNT;
	if (!list)
		return -ENOMEM;
	memcpy(list, base_environment, sizeof base_environment);
	for (unsigned i = 0; i < d->environment_count; i++) {
		size_t at = 0;
		while (at < n && !same_name(list[at], d->environment[i]))
			at++;
		list[at] = d->environment[i];
		n += at == n;
	}
	*ret = list;
	return 0;
}

static void build_statuses(bool any_exit, const struct zvm_directives *d, char *text, size_t room)
{
	size_t n = 0;
	if (any_exit) {
		snprintf(text, room, "any");
		return;
	}
	*text = 0;
	for (int status = 0; status < 256 && n + 5 < room; status++)
		if (d->ok[status / 8] >> (status % 8) & 1)
			n += (size_t)snprintf(text + n, room - n, "%s%d", n ? "," : "", status);
}

static struct zvm_limits build_limits(struct zvm_limits limits, const struct zvm_directives *d)
{
	if (d->memory_bytes)
		limits.memory_bytes = d->memory_bytes;
	if (d->output_bytes)
		limits.output_bytes = d->output_bytes;
	if (d->timeout_s)
		limits.wall_ms = d->timeout_s * 1000ull;
	return limits;
}

int zvm_stage_action(const struct zvm_engine_options *options, const struct zvm_script *script,
                     const struct zvm_stage *stage, const struct zvm_digest *input, struct zvm_stage_action *ret)
{
	int r = build_environment(&script->directives, &ret->environment);
	if (r)
		return r;
	build_statuses(options->any_exit, &script->directives, ret->ok_statuses, sizeof ret->ok_statuses);
	ret->action = (struct zvm_action){
	        .box_version = ZVM_BOX_VERSION,
	        .script = script->guest_path,
	        .script_blob = script->digest,
	        .script_mode = script->st.st_mode & 0777,
	        .arguments = (const char *const *)stage->words + 1,
	        .environment = ret->environment,
	        .limits = build_limits(options->limits, &script->directives),
	        .input_blob = *input,
	        .ok_statuses = ret->ok_statuses,
	};
	return 0;
}

void zvm_stage_action_free(struct zvm_stage_action *stage)
{
	free(stage->environment);
	stage->environment = NULL;
}

void zvm_stage_action_move(struct zvm_stage_action *from, struct zvm_stage_action *to)
{
	*to = *from;
	to->action.ok_statuses = to->ok_statuses;
	from->environment = NULL;
}

void zvm_default_limits(struct zvm_limits *limits)
{
	if (!limits->memory_bytes)
		limits->memory_bytes = ZVM_DEFAULT_MEMORY;
	if (!limits->output_bytes)
		limits->output_bytes = ZVM_DEFAULT_OUTPUT;
	if (!limits->wall_ms)
		limits->wall_ms = ZVM_DEFAULT_WALL_MS;
}
