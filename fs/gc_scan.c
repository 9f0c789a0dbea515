#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zvm/cleanup.h>
#include <zvm/record.h>
#include "derived.h"
#include "gc_internal.h"
#include "record_file.h"
#include "survey.h"

#define YOUNG_S 3600

/* A content that was made of another one. */
struct edge {
	uint64_t source_inode;
	struct zvm_digest source, derived;
};

struct scan {
	struct zvm_gc *gc;
	struct edge *edges; /* by inode */
	size_t edge_count, edge_room;
	time_t now;
	char shelf[3];
};

/* Room for one more; the array grows by a half. */
static int make_room(void **array, size_t *room, size_t count, size_t size)
{
	if (count < *room)
		return 0;
	size_t more = *room ? *room + *room / 2 : 256;
	void *grown = realloc(*array, more * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

uint64_t zvm_gc_time(const struct stat *st)
{
	const struct timespec *t = &st->st_mtim;
	return t->tv_sec <= 0 ? 1 : (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

static uint32_t blocks_of(const struct stat *st)
{
	return st->st_blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)st->st_blocks;
}

/* --- objects --- */

static int compare_edges(const void *a, const void *b)
{
	uint64_t x = ((const struct edge *)a)->source_inode, y = ((const struct edge *)b)->source_inode;
	return (x > y) - (x < y);
}

static int add_edge(void *context, uint64_t source, const struct zvm_digest *derived)
{
	struct scan *s = context;
	int r = make_room((void **)&s->edges, &s->edge_room, s->edge_count, sizeof *s->edges);
	if (r == 0)
		s->edges[s->edge_count++] = (struct edge){.source_inode = source, .derived = *derived};
	return r;
}

static void name_sources(struct scan *s, uint64_t inode, const struct zvm_digest *digest)
{
	size_t from = 0, to = s->edge_count;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		if (s->edges[middle].source_inode < inode)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < s->edge_count && s->edges[from].source_inode == inode; from++)
		s->edges[from].source = *digest;
}

/* A directory grows with its names, and they are many. */
static void count_shelf(struct scan *s, const struct zvm_surveyed *found)
{
	struct stat st;
	if (!strcmp(s->shelf, found->shelf_name) || fstat(found->shelf, &st) < 0)
		return;
	snprintf(s->shelf, sizeof s->shelf, "%.2s", found->shelf_name);
	s->gc->bytes += (uint64_t)st.st_blocks * 512;
}

static int add_object(void *context, const struct zvm_surveyed *found)
{
	struct scan *s = context;
	struct zvm_gc *gc = s->gc;
	struct stat st;
	if (!found->ours || fstatat(found->shelf, found->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	count_shelf(s, found);
	if (!S_ISREG(st.st_mode))
		return 0;
	int r = make_room((void **)&gc->objects, &gc->object_room, gc->object_count, sizeof *gc->objects);
	if (r)
		return r;
	gc->objects[gc->object_count++] = (struct zvm_gc_object){.high = found->digest.high,
	                                                         .low = found->digest.low,
	                                                         .inode = st.st_ino,
	                                                         .twin = found->digest.twin,
	                                                         .blocks = blocks_of(&st),
	                                                         .young = st.st_ctim.tv_sec + YOUNG_S > s->now};
	gc->bytes += (uint64_t)st.st_blocks * 512;
	gc->summary->objects_left++;
	name_sources(s, st.st_ino, &found->digest);
	return gc->object_count > UINT32_MAX - 1 ? -E2BIG : 0;
}

static int compare_objects(const void *a, const void *b)
{
	const struct zvm_gc_object *x = a, *y = b;
	if (x->high != y->high)
		return x->high < y->high ? -1 : 1;
	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return (x->twin > y->twin) - (x->twin < y->twin);
}

struct zvm_gc_object *zvm_gc_find(const struct zvm_gc *gc, const struct zvm_digest *digest)
{
	struct zvm_gc_object key = {.high = digest->high, .low = digest->low, .twin = digest->twin};
	return gc->object_count ? bsearch(&key, gc->objects, gc->object_count, sizeof key, compare_objects) : NULL;
}

/* --- records --- */

int zvm_gc_named_by(int directory, const char *number,
                    void (*visit)(void *context, const struct zvm_digest *named, bool output), void *context)
{
	struct zvm_action *action;
	struct zvm_record *record;
	int r = zvm_record_file_read_any(directory, number, &action, &record);
	if (r)
		return r;
	if (record->out.size)
		visit(context, &record->out.digest, true);
	if (record->err.size)
		visit(context, &record->err.digest, true);
	visit(context, &action->script_blob, false);
	visit(context, &action->input_blob, false);
	for (unsigned i = 0; i < record->dependency_count; i++)
		if (record->dependencies[i].answer.has_content)
			visit(context, &record->dependencies[i].answer.digest, false);
	zvm_action_free(action);
	zvm_record_free(record);
	return 0;
}

struct marking {
	const struct zvm_gc *gc;
	uint64_t used;
};

static void mark(void *context, const struct zvm_digest *named, bool output)
{
	const struct marking *m = context;
	struct zvm_gc_object *o = zvm_gc_find(m->gc, named);
	if (!o)
		return;
	uint64_t *used = output ? &o->output_used : &o->material_used;
	if (m->used > *used)
		*used = m->used;
}

static int add_record(struct zvm_gc *gc, const struct zvm_digest *address, uint64_t number, uint64_t used,
                      const struct stat *st)
{
	int r = make_room((void **)&gc->records, &gc->record_room, gc->record_count, sizeof *gc->records);
	if (r)
		return r;
	gc->records[gc->record_count++] = (struct zvm_gc_record){
	        .high = address->high, .low = address->low, .number = number, .used = used, .blocks = blocks_of(st)};
	gc->bytes += (uint64_t)st->st_blocks * 512;
	return gc->record_count > UINT32_MAX - 1 ? -E2BIG : 0;
}

/* What is damaged answers nobody, and goes first. What cannot be read may name anything: then nothing can go. */
static int scan_run(struct zvm_gc *gc, int directory, const char *name, uint64_t number,
                    const struct zvm_digest *address)
{
	struct stat st;
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	struct marking m = {gc, zvm_gc_time(&st)};
	int r = zvm_gc_named_by(directory, name, mark, &m);
	if (r == -ENOENT)
		return 0;
	if (r && r != -EBADMSG)
		return r;
	gc->summary->records_left++;
	return add_record(gc, address, number, r ? 0 : m.used, &st);
}

static int add_action(void *context, const struct zvm_surveyed *found)
{
	struct scan *s = context;
	struct stat st;
	if (!found->ours)
		return 0;
	int fd = openat(found->shelf, found->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	count_shelf(s, found);
	unsigned runs = 0;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	s->gc->bytes += r ? 0 : (uint64_t)st.st_blocks * 512;
	for (struct dirent *d; r == 0 && (d = readdir(dir));) {
		unsigned long number;
		if (!zvm_record_file_number(d->d_name, &number))
			continue;
		runs++;
		r = scan_run(s->gc, fd, d->d_name, number, &found->digest);
	}
	if (r == 0 && !runs)
		r = add_record(s->gc, &found->digest, 0, 0, &(struct stat){.st_blocks = 0});
	closedir(dir);
	return r;
}

/* A prepared image is worth as much as what it was made of. */
static void mark_derived(struct scan *s)
{
	for (size_t i = 0; i < s->edge_count; i++) {
		struct zvm_gc_object *derived = zvm_gc_find(s->gc, &s->edges[i].derived);
		const struct zvm_gc_object *source = zvm_gc_find(s->gc, &s->edges[i].source);
		if (!derived || !source)
			continue;
		uint64_t used =
		        source->output_used > source->material_used ? source->output_used : source->material_used;
		if (used > derived->material_used)
			derived->material_used = used;
	}
}

/* Objects first: one that comes later is not ours to remove, and records that come later are in the journal. */
int zvm_gc_scan(struct zvm_gc *gc)
{
	struct scan s = {.gc = gc, .now = time(NULL)};
	int r = zvm_derived_each(gc->store, add_edge, &s);
	if (r == 0 && s.edge_count)
		qsort(s.edges, s.edge_count, sizeof *s.edges, compare_edges);
	r = r ? r : zvm_survey_objects(gc->store, add_object, &s);
	if (r == 0 && gc->object_count)
		qsort(gc->objects, gc->object_count, sizeof *gc->objects, compare_objects);
	s.shelf[0] = 0;
	r = r ? r : zvm_survey_records(gc->store, add_action, &s);
	if (r == 0)
		mark_derived(&s);
	free(s.edges);
	return r;
}
