/* Inside gc: gc.c decides what goes, gc_scan.c finds what there is, gc_remove.c removes. */
#ifndef ZVM_FS_GC_INTERNAL_H
#define ZVM_FS_GC_INTERNAL_H

#include "gc.h"
#include "store_internal.h"

/* Of a million each there may be one in memory: keep them small. Times are ns of real time; 0: never. */
struct zvm_gc_object {
	uint64_t high, low, inode;
	uint32_t twin;
	uint32_t blocks;                     /* of 512 bytes */
	uint64_t output_used, material_used; /* when the last record that names it was used */
	unsigned gone : 1;
	unsigned young : 1; /* perhaps a run is about to name it */
	unsigned kept : 1;  /* a record names it that we do not know, or know to stay */
};

struct zvm_gc_record {
	uint64_t high, low; /* address of the action */
	uint64_t number;    /* 0: the action has no run */
	uint64_t used;
	uint32_t blocks;
};

struct zvm_gc_item {
	bool is_record;
	uint32_t index;
	int directory,
	        fd; /* a record's action, and the file: open, so that they are at hand, and freed by closing them */
};

#define ZVM_GC_ITEMS 64

struct zvm_gc {
	struct zvm_store *store;
	const struct zvm_gc_options *options;
	struct zvm_gc_summary *summary;
	struct zvm_gc_object *objects; /* by digest */
	struct zvm_gc_record *records;
	size_t object_count, object_room, record_count, record_room;
	uint64_t bytes;        /* that all of it takes */
	uint64_t goal, queued; /* bytes to remove; that what is queued takes */
	uint64_t journal_at;
	struct zvm_gc_item items[ZVM_GC_ITEMS]; /* queued */
	unsigned item_count;
};

/* gc_scan.c */
int zvm_gc_scan(struct zvm_gc *gc);
uint64_t zvm_gc_time(const struct stat *st); /* when a record was used */
struct zvm_gc_object *zvm_gc_find(const struct zvm_gc *gc, const struct zvm_digest *digest);
/* Calls back for each object that a run names: as its output, or as what it takes to verify it. */
int zvm_gc_named_by(int directory, const char *number,
                    void (*visit)(void *context, const struct zvm_digest *named, bool output), void *context);

/* gc_remove.c */
uint64_t zvm_gc_clock(void);
int zvm_gc_tidy(struct zvm_gc *gc);
/* Queued things go in the order in which they came, at the latest with flush. */
int zvm_gc_queue_object(struct zvm_gc *gc, uint32_t index);
int zvm_gc_queue_record(struct zvm_gc *gc, uint32_t index);
int zvm_gc_flush(struct zvm_gc *gc);

#endif
