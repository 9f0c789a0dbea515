#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zvm/cleanup.h>
#include "accord.h"
#include "gc_internal.h"
#include "record_file.h"

#define SLICE_NS 2000000u /* the lock is held so long, and for one thing more */
#define BREATH_NS 200000  /* for others, between two times */
#define LEFT_BEHIND_S 86400

uint64_t zvm_gc_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t size_of(const struct zvm_gc *gc, const struct zvm_gc_item *item)
{
	return 512ull * (item->is_record ? gc->records[item->index].blocks : gc->objects[item->index].blocks);
}

/* "ab/DIGEST" */
struct place {
	char text[3 + ZVM_DIGEST_TEXT];
};

static struct place place_of(uint64_t high, uint64_t low, uint32_t twin)
{
	struct place p;
	struct zvm_digest digest = {.high = high, .low = low, .twin = twin};
	zvm_digest_format(&digest, p.text + 3);
	p.text[0] = p.text[3];
	p.text[1] = p.text[4];
	p.text[2] = '/';
	return p;
}

static struct place object_place(const struct zvm_gc_object *o)
{
	return place_of(o->high, o->low, o->twin);
}

static void account(struct zvm_gc *gc, uint64_t bytes)
{
	gc->summary->bytes += bytes;
	if (!gc->options->dry_run)
		zvm_store_add_usage(gc->store, -(int64_t)bytes);
}

/* --- alone for a moment --- */

struct slice {
	struct zvm_gc *gc;
	int lock;
	uint64_t since;
};

static int keep_named(void *context, const struct zvm_digest *named)
{
	struct zvm_gc_object *o = zvm_gc_find(context, named);
	if (o)
		o->kept = true;
	return 0;
}

static void end_slice(struct slice *s)
{
	if (s->lock < 0)
		return;
	zvm_close_pointer(&s->lock);
	s->lock = -1;
	uint64_t took = zvm_gc_clock() - s->since;
	if (took > s->gc->summary->pause_ns)
		s->gc->summary->pause_ns = took;
}

static int begin_slice(struct slice *s)
{
	int r = zvm_accord_lock(s->gc->store, &s->lock);
	if (r)
		return r;
	s->since = zvm_gc_clock();
	r = zvm_accord_read_journal(s->gc->store, &s->gc->journal_at, keep_named, s->gc);
	if (r)
		end_slice(s);
	else if (zvm_page_can_be_written(s->gc->store))
		atomic_fetch_add(&s->gc->store->page->evictions, 1);
	return r;
}

/* Before each thing that is done alone: others get their turn if this one has lasted. */
static int go_on(struct slice *s)
{
	if (s->lock >= 0 && zvm_gc_clock() - s->since < SLICE_NS)
		return 0;
	if (s->lock >= 0) {
		end_slice(s);
		nanosleep(&(struct timespec){.tv_nsec = BREATH_NS}, NULL);
	}
	return begin_slice(s);
}

/* --- objects --- */

static bool may_be_of_a_run(const struct zvm_gc *gc, const struct zvm_gc_object *o)
{
	return o->young && !o->output_used && !o->material_used && zvm_accord_anybody_holds(gc->store);
}

/* 1: it is gone; 0: not. What has got its name since the scan is another file. */
static int remove_object(struct zvm_gc *gc, const struct zvm_gc_item *item)
{
	struct zvm_gc_object *o = &gc->objects[item->index];
	struct place place = object_place(o);
	struct stat st;
	if (o->kept || fstatat(gc->store->objects, place.text, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_ino != o->inode ||
	    may_be_of_a_run(gc, o))
		return 0;
	return unlinkat(gc->store->objects, place.text, 0) == 0;
}

/* --- records --- */

static void keep_object(void *context, const struct zvm_digest *named, bool output)
{
	(void)output;
	keep_named(context, named);
}

static void remove_directory(struct zvm_gc *gc, const struct place *place)
{
	struct stat st;
	if (fstatat(gc->store->records, place->text, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    unlinkat(gc->store->records, place->text, AT_REMOVEDIR) == 0)
		account(gc, (uint64_t)st.st_blocks * 512);
}

struct run_name {
	char text[24];
};

static struct run_name run_name(const struct zvm_gc_record *record)
{
	struct run_name name;
	snprintf(name.text, sizeof name.text, "%llu", (unsigned long long)record->number);
	return name;
}

/*
 * One that has been used since it was looked at stays, or that cannot be removed, and so does all that it names. 1: it
 * is gone; 0: not.
 */
static int remove_run(struct zvm_gc *gc, const struct zvm_gc_record *record, int directory)
{
	struct run_name name = run_name(record);
	struct stat st;
	if (!record->number)
		return 0;
	bool may_go = fstatat(directory, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	              (!record->used || zvm_gc_time(&st) == record->used);
	if (may_go && unlinkat(directory, name.text, 0) == 0)
		return 1;
	int r = record->used ? zvm_gc_named_by(directory, name.text, keep_object, gc) : 0;
	return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

static int remove_record(struct zvm_gc *gc, const struct zvm_gc_item *item)
{
	const struct zvm_gc_record *record = &gc->records[item->index];
	struct place place = place_of(record->high, record->low, 0);
	if (item->directory < 0)
		return 0;
	int r = remove_run(gc, record, item->directory);
	if (r >= 0)
		remove_directory(gc, &place);
	return r;
}

/* --- what is queued --- */

static void count_removed(struct zvm_gc *gc, const struct zvm_gc_item *item)
{
	uint64_t *removed = item->is_record ? &gc->summary->records : &gc->summary->objects;
	uint64_t *left = item->is_record ? &gc->summary->records_left : &gc->summary->objects_left;
	if (item->is_record && !gc->records[item->index].number)
		return;
	if (!item->is_record)
		gc->objects[item->index].gone = true;
	++*removed;
	--*left;
	account(gc, size_of(gc, item));
}

static int remove_item(struct slice *s, struct zvm_gc_item *item)
{
	struct zvm_gc *gc = s->gc;
	int r = gc->options->dry_run ? 0 : go_on(s);
	if (r)
		return r;
	r = gc->options->dry_run ? 1 : item->is_record ? remove_record(gc, item) : remove_object(gc, item);
	if (r == 1)
		count_removed(gc, item);
	return r < 0 ? r : 0;
}

/*
 * What may wait for the disk is done without the lock: finding the files, before, and freeing what they take, by their
 * last close behind it.
 */
int zvm_gc_flush(struct zvm_gc *gc)
{
	struct slice s = {.gc = gc, .lock = -1};
	int r = 0;
	for (unsigned i = 0; r == 0 && i < gc->item_count; i++)
		r = remove_item(&s, &gc->items[i]);
	end_slice(&s);
	for (unsigned i = 0; i < gc->item_count; i++) {
		zvm_close_pointer(&gc->items[i].fd);
		zvm_close_pointer(&gc->items[i].directory);
	}
	gc->item_count = 0;
	gc->queued = 0;
	return r;
}

static int queue(struct zvm_gc *gc, const struct zvm_gc_item *item)
{
	gc->items[gc->item_count++] = *item;
	gc->queued += size_of(gc, item);
	return gc->item_count == ZVM_GC_ITEMS ? zvm_gc_flush(gc) : 0;
}

int zvm_gc_queue_object(struct zvm_gc *gc, uint32_t index)
{
	const struct zvm_gc_object *o = &gc->objects[index];
	struct zvm_gc_item item = {.index = index, .directory = -1, .fd = -1};
	struct place place = object_place(o);
	if (may_be_of_a_run(gc, o))
		return 0;
	if (!gc->options->dry_run)
		item.fd = openat(gc->store->objects, place.text, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	return queue(gc, &item);
}

int zvm_gc_queue_record(struct zvm_gc *gc, uint32_t index)
{
	const struct zvm_gc_record *record = &gc->records[index];
	struct zvm_gc_item item = {.is_record = true, .index = index, .directory = -1, .fd = -1};
	struct place place = place_of(record->high, record->low, 0);
	struct run_name name = run_name(record);
	if (gc->options->dry_run)
		return queue(gc, &item);
	item.directory = openat(gc->store->records, place.text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (item.directory < 0 && record->used && errno != ENOENT) { /* it stays, and what it names is not known here */
		int error = -errno;
		zvm_gc_flush(gc);
		return error;
	}
	if (item.directory >= 0)
		item.fd = openat(item.directory, name.text, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	return queue(gc, &item);
}

/* --- tmp/ --- */

/* No run takes that long to write a file. */
static bool is_left_behind(const struct stat *st, time_t now)
{
	return !S_ISDIR(st->st_mode) && st->st_ctim.tv_sec + LEFT_BEHIND_S < now;
}

int zvm_gc_tidy(struct zvm_gc *gc)
{
	struct stat st;
	time_t now = time(NULL);
	int fd = openat(gc->store->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	for (struct dirent *d; (d = readdir(dir));) {
		if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_left_behind(&st, now))
			continue;
		if (gc->options->dry_run || unlinkat(fd, d->d_name, 0) == 0)
			gc->summary->leftovers++;
	}
	closedir(dir);
	return 0;
}
