/*
 * Garbage collection: what goes first, and why nobody is ever given the wrong bytes, or an error, because of it.
 *
 * Order. A hit needs a record and its outputs. Scripts, inputs and dependencies are only needed to verify it, since at
 * a lookup the host's own files answer for them. So what goes is, until enough is gone: leftovers in tmp/; objects that
 * nobody names; what is only needed to verify, of the least recently used record first; then records, the least
 * recently used first, each with the objects that no later one names. A prepared image (derived.c) is worth as much as
 * the program it was made of. A record file's modification time says when it was used last.
 *
 * Memory. One array of objects and one of records, some 50 bytes for each. What a record names is not kept: an object
 * only gets the time of the latest record that names it. As records go in the order of their times, an object may go
 * when all records up to its time are gone.
 *
 * Everything below is about two things others may do at any moment, without asking: look up a record and open what it
 * names; or run a program, and then save a record that names objects which the run has found.
 *
 * Looking up. An object that is missing is a miss: whoever wants it stores or computes it anew, and gets the same name
 * for it. If a colliding content has got that name meanwhile, its print is another (secret.c), and it is not taken for
 * the one that was meant, wherever its name is remembered: in records, tables, memories and runs under way. So objects
 * may go at any time, and nobody has to be told.
 *
 * Records. gc looks at all records once, without a lock; later ones it does not know. So a record gets its name under a
 * shared lock (accord.c), and all that is removed is removed in short slices under the exclusive one. While a gc is at
 * work, whoever saves also writes what his record names into a journal, which is emptied under the exclusive lock
 * before the scan, and read at the start of each slice: what is in it stays. A record that was saved before the journal
 * began is seen by the scan. And whoever saves looks first whether the outputs are still there: if not, the record is
 * not saved, and the next reader computes again. A record is removed before its objects; one that was used since the
 * scan stays, and all that it names. So no record is ever left without its outputs.
 *
 * Runs. An object that no record names may be one that a run has just stored. So runs hold the store (zvm_store_hold),
 * and what is younger than an hour goes only when nobody does. A run that had found an older object which was removed
 * before it was opened begins again (job.c).
 *
 * Waiting. Nobody waits for gc but those who save a record, and those for one slice. What may have to wait for the disk
 * is done outside it: finding the files, and freeing what they take.
 *
 * Dying. Each step leaves a correct store. The locks are gone with the process, and so is its claim to be the gc.
 */
#include "gc.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <zvm/cleanup.h>
#include "accord.h"
#include "gc_internal.h"

/* --- how much --- */

static uint64_t free_bytes(const struct zvm_store *store, uint64_t *ret_all)
{
	struct statvfs st;
	if (fstatvfs(store->directory, &st) < 0)
		return UINT64_MAX;
	if (ret_all)
		*ret_all = (uint64_t)st.f_blocks * st.f_frsize;
	return (uint64_t)st.f_bavail * st.f_frsize;
}

uint64_t zvm_gc_default_free(struct zvm_store *store)
{
	uint64_t all = UINT64_MAX;
	free_bytes(store, &all);
	return all / 20 < ZVM_GC_MIN_FREE ? all / 20 : ZVM_GC_MIN_FREE;
}

/* In all, what is removed already included. Beyond a limit it is a tenth more, so that the next time is not soon. */
static uint64_t find_goal(const struct zvm_gc *gc)
{
	uint64_t most = gc->options->max_bytes, floor = gc->options->min_free, left = free_bytes(gc->store, NULL);
	uint64_t removed = gc->summary->bytes;
	if (gc->options->dry_run && left < floor) /* it would be free */
		left += removed;
	uint64_t for_size = gc->bytes - removed > most ? gc->bytes - (most - most / 10) : 0;
	uint64_t for_floor = left < floor ? removed + floor + floor / 10 - left : 0;
	return for_size > for_floor ? for_size : for_floor;
}

static bool is_enough(const struct zvm_gc *gc)
{
	return gc->summary->bytes + gc->queued >= gc->goal;
}

/* --- in which order --- */

static uint64_t last_use(const struct zvm_gc_object *o)
{
	return o->output_used > o->material_used ? o->output_used : o->material_used;
}

static int compare_objects(const void *a, const void *b, void *context)
{
	const struct zvm_gc *gc = context;
	uint64_t x = last_use(&gc->objects[*(const uint32_t *)a]), y = last_use(&gc->objects[*(const uint32_t *)b]);
	return (x > y) - (x < y);
}

static int compare_records(const void *a, const void *b, void *context)
{
	const struct zvm_gc *gc = context;
	uint64_t x = gc->records[*(const uint32_t *)a].used, y = gc->records[*(const uint32_t *)b].used;
	return (x > y) - (x < y);
}

/* The indices of both arrays by time. */
struct order {
	uint32_t *objects, *records;
};

static int sort(const struct zvm_gc *gc, struct order *ret)
{
	ret->objects = malloc((gc->object_count + 1) * sizeof *ret->objects);
	ret->records = malloc((gc->record_count + 1) * sizeof *ret->records);
	if (!ret->objects || !ret->records)
		return -ENOMEM;
	for (uint32_t i = 0; i < gc->object_count; i++)
		ret->objects[i] = i;
	for (uint32_t i = 0; i < gc->record_count; i++)
		ret->records[i] = i;
	qsort_r(ret->objects, gc->object_count, sizeof *ret->objects, compare_objects, (void *)(uintptr_t)gc);
	qsort_r(ret->records, gc->record_count, sizeof *ret->records, compare_records, (void *)(uintptr_t)gc);
	return 0;
}

/* What answers nobody and is named by nobody: damaged records, empty directories, objects. */
static int remove_garbage(struct zvm_gc *gc, const struct order *order)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < gc->record_count && !gc->records[order->records[i]].used; i++)
		r = zvm_gc_queue_record(gc, order->records[i]);
	for (size_t i = 0; r == 0 && i < gc->object_count && !last_use(&gc->objects[order->objects[i]]); i++)
		r = zvm_gc_queue_object(gc, order->objects[i]);
	return r ? r : zvm_gc_flush(gc);
}

static int remove_material(struct zvm_gc *gc, const struct order *order)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < gc->object_count && !is_enough(gc); i++) {
		const struct zvm_gc_object *o = &gc->objects[order->objects[i]];
		if (!o->material_used || o->output_used || o->gone)
			continue;
		r = zvm_gc_queue_object(gc, order->objects[i]);
	}
	return r ? r : zvm_gc_flush(gc);
}

static int remove_records(struct zvm_gc *gc, const struct order *order)
{
	size_t at = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < gc->record_count && !is_enough(gc); i++) {
		uint64_t used = gc->records[order->records[i]].used;
		if (!used)
			continue;
		r = zvm_gc_queue_record(gc, order->records[i]);
		if (i + 1 < gc->record_count && gc->records[order->records[i + 1]].used == used)
			continue;
		for (; r == 0 && at < gc->object_count && last_use(&gc->objects[order->objects[at]]) <= used; at++) {
			const struct zvm_gc_object *o = &gc->objects[order->objects[at]];
			if (last_use(o) && !o->gone)
				r = zvm_gc_queue_object(gc, order->objects[at]);
		}
	}
	return r ? r : zvm_gc_flush(gc);
}

/* --- the whole --- */

static int collect(struct zvm_gc *gc)
{
	struct order order = {NULL, NULL};
	int r = sort(gc, &order);
	r = r ? r : remove_garbage(gc, &order);
	gc->goal = find_goal(gc);
	if (r == 0 && !is_enough(gc))
		r = remove_material(gc, &order);
	if (r == 0 && !is_enough(gc))
		r = remove_records(gc, &order);
	free(order.objects);
	free(order.records);
	return r;
}

static int start_journal(struct zvm_gc *gc)
{
	zvm_autofd int lock = -1;
	int r = zvm_accord_lock(gc->store, &lock);
	return r ? r : zvm_accord_start_journal(gc->store);
}

static int scan(struct zvm_gc *gc)
{
	struct zvm_page *page = gc->store->page;
	int64_t before = page ? atomic_load(&page->bytes) : 0;
	int r = zvm_gc_scan(gc);
	if (r == 0 && !gc->options->dry_run && zvm_page_can_be_written(gc->store)) {
		atomic_fetch_add(&page->bytes, (int64_t)gc->bytes - before);
		atomic_store(&page->measured, 1);
	}
	return r;
}

static void tell_page(const struct zvm_gc *gc)
{
	struct zvm_page *page = gc->store->page;
	if (!zvm_page_can_be_written(gc->store))
		return;
	atomic_fetch_add(&page->runs, 1);
	atomic_fetch_add(&page->objects, gc->summary->objects);
	atomic_fetch_add(&page->records, gc->summary->records);
	atomic_fetch_add(&page->freed, gc->summary->bytes);
}

int zvm_gc(struct zvm_store *store, const struct zvm_gc_options *options, struct zvm_gc_summary *ret)
{
	zvm_autofd int alone = -1;
	int r = 0;
	*ret = (struct zvm_gc_summary){0};
	struct zvm_gc *gc = calloc(1, sizeof *gc);
	if (!gc)
		return -ENOMEM;
	gc->store = store;
	gc->options = options;
	gc->summary = ret;
	if (!options->dry_run) {
		r = zvm_accord_become_gc(store, &alone);
		r = r ? r : start_journal(gc);
	}
	r = r ? r : zvm_gc_tidy(gc);
	r = r ? r : scan(gc);
	r = r ? r : collect(gc);
	if (!options->dry_run && alone >= 0)
		tell_page(gc);
	ret->bytes_left = gc->bytes > ret->bytes ? gc->bytes - ret->bytes : 0;
	free(gc->objects);
	free(gc->records);
	free(gc);
	return r;
}
