/*
 * One stage of a spec, as an action: what a run of it would be given.
 *
 *   struct zvm_stage_action stage;
 *   r = zvm_stage_action(&options, script, words, &input, &stage);
 *   ... stage.action ...
 *   zvm_stage_action_free(&stage);
 *
 * It points into the script and the spec, which must outlive it. Nothing here looks at a file or a store.
 */
#ifndef ZVM_FS_STAGE_H
#define ZVM_FS_STAGE_H

#include <zvm/engine.h>
#include <zvm/record.h>
#include "script.h"

struct zvm_stage_action {
	struct zvm_action action; /* points to the others: not to be copied */
	const char **environment;
	char ok_statuses[1024];
};

/* Of `options` only limits (filled, see below) and any_exit are looked at. 0 or -ENOMEM. */
int zvm_stage_action(const struct zvm_engine_options *options, const struct zvm_script *script,
                     const struct zvm_stage *stage, const struct zvm_digest *input, struct zvm_stage_action *ret);
void zvm_stage_action_free(struct zvm_stage_action *stage);
/* `from` is as freed afterwards. */
void zvm_stage_action_move(struct zvm_stage_action *from, struct zvm_stage_action *to);

/* ZVM_DEFAULT_* for those that are 0. */
void zvm_default_limits(struct zvm_limits *limits);

#endif
