/*
 * A stored run's world: every question about a file is answered as it was then, from the record and the store's
 * objects, and the host is never looked at.
 *
 *   struct zvm_replay *replay;
 *   r = zvm_replay_new(store, action, record, &replay);     // both are borrowed; -ENOENT: its script is not kept
 *   request.asker = zvm_replay_asker(replay); request.view = zvm_replay_view(replay);
 *   ... run ...
 *   zvm_replay_free(replay);
 *
 * For one box at a time. A question that the record does not know is answered somehow; that it was asked shows in the
 * new run's dependencies, which zvm_replay_compare looks at.
 */
#ifndef ZVM_FS_REPLAY_H
#define ZVM_FS_REPLAY_H

#include <zvm/record.h>
#include <zvm/store.h>

struct zvm_replay;

int zvm_replay_new(struct zvm_store *store, const struct zvm_action *action, const struct zvm_record *record,
                   struct zvm_replay **ret);
void zvm_replay_free(struct zvm_replay *replay);

struct zvm_asker zvm_replay_asker(struct zvm_replay *replay);
const struct zvm_view *zvm_replay_view(const struct zvm_replay *replay);

/* The first content of an answer that is no longer kept: its path, borrowed; NULL: all are. */
const char *zvm_replay_missing(const struct zvm_replay *replay);

/*
 * The first question that only one of the two runs asked: its path, borrowed, and whether it was the new one; NULL:
 * they asked the same.
 */
const char *zvm_replay_compare(const struct zvm_replay *replay, const struct zvm_dependency *asked, unsigned count,
                               bool *ret_new);

#endif
