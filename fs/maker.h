/*
 * Makes templates (box.h) in the background, one at a time, of kinds of runs that have been wanted more than once.
 *
 *   zvm_maker_want(engine->maker, script, action);   // after a run whose outcome says wants_template
 *
 * Thread-safe. What is wanted beyond a few is forgotten; it will be wanted again.
 */
#ifndef ZVM_FS_MAKER_H
#define ZVM_FS_MAKER_H

#include <zvm/record.h>
#include "script.h"

struct zvm_engine;
struct zvm_maker;

int zvm_maker_open(struct zvm_engine *engine, struct zvm_maker **ret);
/* Waits for the one under way. */
void zvm_maker_close(struct zvm_maker *maker);
void zvm_maker_want(struct zvm_maker *maker, struct zvm_script *script, const struct zvm_action *action);

#endif
