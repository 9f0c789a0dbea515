/*
 * Warrants: what a result stands on, kept with it, so that asking whether it is still right costs next to nothing.
 *
 * A result is found by working out the action of each stage and looking for a run of it that holds. All of that hangs
 * on files of the host: the input, each script, each dependency. If every one of them is as it was then, finding it
 * again would give the same, and need not be done. That is a yes only: a warrant which does not hold means that the
 * result has to be looked for, not that it is wrong.
 *
 *   result->warrant = zvm_warrant_new(engine, story, &input_stat, standings);     // NULL: there can be none
 *   if (zvm_warrant_holds(engine, result->warrant, &fresh_input_stat)) ...
 *
 * Thread-safe; counted.
 */
#ifndef ZVM_FS_WARRANT_H
#define ZVM_FS_WARRANT_H

#include "engine_internal.h"

/* `standings`: one for each stage of the story, taken over; any NULL: none can be. `input`: as it was when it was
 * taken for the first stage's input. */
struct zvm_warrant *zvm_warrant_new(struct zvm_engine *engine, const struct zvm_story *story, const struct stat *input,
                                    struct zvm_standing **standings);
bool zvm_warrant_holds(struct zvm_engine *engine, const struct zvm_warrant *warrant, const struct stat *input);
/* Counts as a use of each stage's run, and as a hit. */
void zvm_warrant_note_use(struct zvm_engine *engine, struct zvm_warrant *warrant);
struct zvm_warrant *zvm_warrant_ref(struct zvm_warrant *warrant);
void zvm_warrant_unref(struct zvm_warrant *warrant);

#endif
