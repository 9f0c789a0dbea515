/* Shared by explain.c (which stage is a miss), explain_action.c and explain_dependency.c (what is another by now). */
#ifndef ZVM_FS_EXPLAIN_INTERNAL_H
#define ZVM_FS_EXPLAIN_INTERNAL_H

#include "explain.h"
#include "names.h"

/*
 * One more reason, a copy of what is given. `change`, `was` and `is` may be NULL. Returns it to have `host` and `since`
 * set, which it owns then; NULL: no memory.
 */
struct zvm_reason *zvm_reasons_add(struct zvm_reasons *reasons, const char *kind, const char *subject,
                                   const char *change, const char *was, const char *is);
void zvm_reasons_free(struct zvm_reasons *reasons);

/* What stands behind the parts of the action that is wanted now. */
struct zvm_stage_files {
	const struct zvm_script *script;
	const char *input_host; /* NULL: the input is what an earlier stage wrote */
	int64_t input_since;
};

/* explain_action.c: how the action that was last computed differs from the one wanted. 0 or -ENOMEM. */
int zvm_explain_action(const struct zvm_action *was, const struct zvm_action *is, const struct zvm_stage_files *files,
                       struct zvm_reasons *reasons);
/* The same if only hashes of its parts are known. */
int zvm_explain_parts(const uint32_t was[ZVM_PART_COUNT], const struct zvm_action *is,
                      const struct zvm_stage_files *files, struct zvm_reasons *reasons);

/*
 * explain_dependency.c: does what a run was told still hold, and if not, what is another? 0 with a reason added if
 * not; or -errno.
 */
int zvm_explain_dependency(struct zvm_store *store, const struct zvm_contents *contents, const struct zvm_view *view,
                           const struct zvm_dependency *dependency, struct zvm_reasons *reasons);

/* Since when a file is as it is: no change leaves this time as it was. 0: it is not there. */
int64_t zvm_since(const struct stat *st);

#endif
