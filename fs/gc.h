/*
 * Garbage collection: makes a store as small as it may be, least recently used first.
 *
 *   struct zvm_gc_options options = {.max_bytes = 10ull << 30, .min_free = 1ull << 30};
 *   struct zvm_gc_summary summary;
 *   int r = zvm_gc(store, &options, &summary);
 *
 * Removes nothing that was not asked for: below both limits only leftovers and objects that nobody refers to go. Beyond
 * one, so much goes that a tenth of it is free again. Safe beside everything else that uses the store, and at any
 * moment of being killed. Nobody else waits longer than `pause_ns` for it.
 * 0; -EBUSY: another gc is at work; -EOPNOTSUPP: not on this filesystem; or another -errno, with what was done so far.
 */
#ifndef ZVM_FS_GC_H
#define ZVM_FS_GC_H

#include <stdbool.h>
#include <stdint.h>
#include <zvm/store.h>

#define ZVM_GC_MAX_BYTES (10ull << 30)
#define ZVM_GC_MIN_FREE (1ull << 30)

struct zvm_gc_options {
	uint64_t max_bytes; /* that the store may take, in blocks on the disk */
	uint64_t min_free;  /* of its filesystem */
	bool dry_run;       /* only tell; the store may be opened read-only */
};

struct zvm_gc_summary {
	uint64_t leftovers, objects, records, bytes; /* removed */
	uint64_t objects_left, records_left, bytes_left;
	uint64_t pause_ns; /* the longest that others had to wait */
};

/* What min_free is where nobody says: ZVM_GC_MIN_FREE, or a twentieth of the filesystem if that is less. */
uint64_t zvm_gc_default_free(struct zvm_store *store);

int zvm_gc(struct zvm_store *store, const struct zvm_gc_options *options, struct zvm_gc_summary *ret);

#endif
