/*
 * Names remembered: which action did this name come to the last time it was computed?
 *
 *   zvm_names_note(names, &name, &address, &action);              // a run of it has just been saved
 *   if (zvm_names_find(names, &name, &found)) ...                 // for zvm explain
 *
 * A *name* is a stage of a spec and all before it, the input's path, and the directories that both are looked up in.
 * Only hashes are kept: enough to find the action's runs, and, if those have been evicted, to say which of its parts
 * is another by now. It may forget any of them (table.h), which costs only explanations. Thread-safe.
 */
#ifndef ZVM_FS_NAMES_H
#define ZVM_FS_NAMES_H

#include <zvm/name.h>
#include <zvm/record.h>
#include "table.h"

/* What an action is made of, as far as it can be told apart afterwards. */
enum zvm_part {
	ZVM_PART_BOX,
	ZVM_PART_SCRIPT_PATH,
	ZVM_PART_SCRIPT,
	ZVM_PART_SCRIPT_MODE,
	ZVM_PART_ARGUMENTS,
	ZVM_PART_ENVIRONMENT,
	ZVM_PART_MEMORY,
	ZVM_PART_OUTPUT,
	ZVM_PART_TIME,
	ZVM_PART_INPUT,
	ZVM_PART_STATUSES,
	ZVM_PART_COUNT
};

/* `kin` is the same for all stages that differ only in their arguments. */
struct zvm_name {
	uint64_t name, kin;
};

/* `scripts` NULL-terminated. 0 or -ENOMEM. */
int zvm_name_of(const char *inputs, const char *const *scripts, const struct zvm_spec *spec, unsigned stage,
                const char *input, struct zvm_name *ret);

void zvm_parts_of(const struct zvm_action *action, uint32_t parts[ZVM_PART_COUNT]);

/* The table, closed with zvm_table_close. A store that is only looked at remembers nothing new. -ENOMEM only. */
int zvm_names_open(struct zvm_store *store, struct zvm_table **ret);

/* `address`: of the action. Whether it succeeds concerns nobody. */
void zvm_names_note(struct zvm_table *names, const struct zvm_name *name, const struct zvm_digest *address,
                    const struct zvm_action *action);

struct zvm_named {
	bool is_kin; /* not this name, but one with other arguments */
	struct zvm_digest address;
	int64_t when; /* real time, seconds */
	uint32_t parts[ZVM_PART_COUNT];
};

/* The last time that this name was computed, else the last time that one with other arguments was; false: neither is
 * known. */
bool zvm_names_find(struct zvm_table *names, const struct zvm_name *name, struct zvm_named *ret);

#endif
