/*
 * The keeper of a mount's store: sees to it that it stays below its limits, by starting `zvm gc` when it does not.
 *
 *   struct zvm_keeper *keeper;
 *   int r = zvm_keeper_start(&options, &keeper);   // a thread, with the signal mask of the caller
 *   zvm_keeper_stop(keeper);                       // when nobody commits any more; ends a gc under way; NULL is none
 */
#ifndef ZVM_FS_KEEPER_H
#define ZVM_FS_KEEPER_H

#include <zvm/store.h>

struct zvm_keeper;

struct zvm_keeper_options {
	struct zvm_store *store; /* outlives the keeper */
	uint64_t max_bytes, min_free;
};

int zvm_keeper_start(const struct zvm_keeper_options *options, struct zvm_keeper **ret);
void zvm_keeper_stop(struct zvm_keeper *keeper);

#endif
