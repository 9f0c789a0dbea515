/*
 * Claims: which process computes an action, where several share a store.
 *
 *   int claims = zvm_claims_open(zvm_store_directory(store)); // -1: no claims here; all of these still work
 *   if (zvm_claim_take(claims, &action) == 0) {               // never waits
 *           ... look once more whether it is stored, compute it, store it ...
 *           zvm_claim_give(claims, &action);
 *   } else {
 *           ... now and then: if (zvm_claim_is_free(claims, &action)) look in the store, and try again
 *   }
 *
 * A claim ends with its process at the latest, however that ends. Claims of one descriptor do not exclude each other:
 * threads of one process agree among themselves (turn.c). Thread-safe.
 */
#ifndef ZVM_FS_CLAIM_H
#define ZVM_FS_CLAIM_H

#include <stdbool.h>
#include <zvm/digest.h>

/* A descriptor of one's own to claim with, to be closed; -1 where the store can only be read. */
int zvm_claims_open(int store_directory);

/* 0: it is ours, or nobody can claim anything on this filesystem; -EAGAIN: another process has it. */
int zvm_claim_take(int claims, const struct zvm_digest *action);
void zvm_claim_give(int claims, const struct zvm_digest *action);
/* Would take succeed just now? */
bool zvm_claim_is_free(int claims, const struct zvm_digest *action);

#endif
