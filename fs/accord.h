/*
 * How gc and all who use a store keep out of each other's way: locks, and a page that they share. gc.c tells why each
 * is needed. The part that is for everybody is in store.h (zvm_store_hold) and store_internal.h.
 *
 *   r = zvm_accord_save(store, &action, record, &lock);    // then give the record its name, then close(lock)
 *
 * All of it is in the file stat/gc: the page, behind it the journal; locks on single bytes of it (F_OFD_SETLK, each on
 * a description of its own, so threads exclude each other too, and closing it is giving it back).
 */
#ifndef ZVM_FS_ACCORD_H
#define ZVM_FS_ACCORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <zvm/record.h>
#include <zvm/store.h>

/* All zero at first. Written by gc but for `bytes`, to which each adds what he writes. Losing it costs a gc. */
struct zvm_page {
	atomic_ulong evictions; /* raised before objects go */
	atomic_long bytes;      /* that the store takes */
	atomic_ulong measured;  /* gc has counted it; before, `bytes` is only what came since the page was made */
	atomic_ulong runs, objects, records, freed; /* of all gcs: how many, and what they removed */
};

/* Part of opening and closing a store. Without a page it is usable: nothing is counted then. */
void zvm_page_open(struct zvm_store *store);
void zvm_page_close(struct zvm_store *store);
/*
 * To be asked before each write to the page, which kills where there is nothing behind it: a filesystem that never
 * writes in place (btrfs) needs room for it each time it has been written back, and one that an error has stopped (xfs)
 * takes nothing any more. What is not counted then, the next gc counts.
 */
bool zvm_page_can_be_written(struct zvm_store *store);

/*
 * To be held while a record gets its name. 0, with *ret -1 where no gc can come; -ESTALE: an output has gone meanwhile;
 * or another -errno: it must not be saved.
 */
int zvm_accord_save(struct zvm_store *store, const struct zvm_action *action, const struct zvm_record *record,
                    int *ret);

/* --- for gc --- */

/* Who has it is alone: nobody is saving a record. */
int zvm_accord_lock(struct zvm_store *store, int *ret);
/* 0 with a descriptor that makes this process the one gc; -EBUSY: another is; -EOPNOTSUPP: not on this filesystem. */
int zvm_accord_become_gc(struct zvm_store *store, int *ret);
/* With the lock: from now on records are written into the journal, too. */
int zvm_accord_start_journal(struct zvm_store *store);
/* With the lock: what records saved since the last call name. A visitor that returns non-zero ends it. */
int zvm_accord_read_journal(struct zvm_store *store, uint64_t *at,
                            int (*visit)(void *context, const struct zvm_digest *named), void *context);
/* With the lock: does any process work on something that has no record yet? */
bool zvm_accord_anybody_holds(struct zvm_store *store);

#endif
