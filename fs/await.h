/* The engine, for a thread that has nothing else to do than to wait for its answer. */
#ifndef ZVM_FS_AWAIT_H
#define ZVM_FS_AWAIT_H

#include <stdbool.h>
#include <zvm/engine.h>

/*
 * Requests the target and blocks until there is an answer, which is the caller's reference. `ended`, or NULL, is asked
 * every second: once it says so, the request is abandoned and this is -EINTR. Otherwise 0; the engine's own -errno; or
 * -EIO if it had no answer to give.
 */
int zvm_await(struct zvm_engine *engine, const struct zvm_target *target, bool (*ended)(void), struct zvm_result **ret);

#endif
