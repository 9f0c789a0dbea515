/*
 * Contents of private files: pages of the arena, found through a tree. A file of one level is a single page, so that
 * small files cost no more than that; each further level is a table of 1024. Holes have no page. Pages and tables are
 * counted against the memory limit as they are taken.
 */
#include "files.h"

#define FANOUT 1024u
#define FILE_SIZE_MAX (1ull << 42)

/* Pages that a tree of so many levels reaches. */
static u64 capacity(u32 levels)
{
	u64 pages = 1;
	for (u32 i = 1; i < levels; i++)
		pages *= FANOUT;
	return levels ? pages : 0;
}

static u32 *table_at(u32 table)
{
	return page_at(table);
}

/* A page that the guest pays for; at the limit, first of all what nobody can reach any more is given back. */
static u32 take_page(void)
{
	if (memory_charge(PAGE_SIZE)) {
		nodes_sweep();
		if (memory_charge(PAGE_SIZE))
			return NO_INDEX;
	}
	u32 page = pages_take(1);
	if (page == NO_INDEX)
		memory_uncharge(PAGE_SIZE);
	return page;
}

static void give_page(u32 page)
{
	pages_give(page, 1);
	memory_uncharge(PAGE_SIZE);
}

static u32 take_table(void)
{
	u32 page = take_page();
	if (page != NO_INDEX)
		memset(page_at(page), 0xff, PAGE_SIZE); /* NO_INDEX everywhere */
	return page;
}

/* Another level above, so that `page` can be reached. */
static bool grow(struct node *node, u64 page)
{
	while (capacity(node->levels) <= page) {
		if (node->levels) {
			u32 table = take_table();
			if (table == NO_INDEX)
				return false;
			table_at(table)[0] = node->root;
			node->root = table;
		}
		node->levels++;
	}
	return true;
}

/* The slot of a page; NULL if it (or room for it) is not there. */
static u32 *page_slot(struct node *node, u64 page, bool make)
{
	if (page >= capacity(node->levels) && (!make || !grow(node, page)))
		return NULL;
	u32 *at = &node->root;
	for (u32 level = node->levels; level > 1; level--) {
		if (*at == NO_INDEX) {
			u32 table = make ? take_table() : NO_INDEX;
			if (table == NO_INDEX)
				return NULL;
			*at = table;
		}
		at = &table_at(*at)[page / capacity(level - 1) % FANOUT];
	}
	return at;
}

static u32 page_for_write(u32 index, u64 page)
{
	struct node *node = node_at(index);
	u32 *at = page_slot(node, page, true);
	if (!at)
		return NO_INDEX;
	if (*at == NO_INDEX) {
		*at = take_page();
		node->charged_pages += *at != NO_INDEX;
	}
	return *at;
}

static u32 page_for_read(u32 index, u64 page)
{
	u32 *at = page_slot(node_at(index), page, false);
	return at ? *at : NO_INDEX;
}

u32 files_page(u32 node, u64 offset, bool allocate, u32 *run)
{
	u64 page = offset / PAGE_SIZE;
	*run = 1;
	if (page >= FILE_SIZE_MAX / PAGE_SIZE)
		return NO_INDEX;
	u32 first = allocate ? page_for_write(node, page) : page_for_read(node, page);
	while (first != NO_INDEX && page_for_read(node, page + *run) == first + *run)
		++*run;
	return first;
}

s64 data_read(u32 index, u64 offset, u64 to, u64 n)
{
	struct node *node = node_at(index);
	u64 done = 0;
	if (offset >= node->size)
		return 0;
	n = min_u64(n, node->size - offset);
	while (done < n) {
		u64 within = (offset + done) % PAGE_SIZE, step = min_u64(PAGE_SIZE - within, n - done);
		u32 page = page_for_read(index, (offset + done) / PAGE_SIZE);
		int r = page == NO_INDEX ? put_zeros(to + done, step)
		                         : put_bytes(to + done, (u8 *)page_at(page) + within, step);
		if (r)
			return done ? (s64)done : r;
		done += step;
	}
	return (s64)n;
}

u64 files_mapped_size(u32 node)
{
	node_at(node)->mapped = true;
	return node_at(node)->size;
}

void data_set_size(u32 index, u64 size)
{
	struct node *node = node_at(index);
	u64 old_end = page_up(node->size), new_end = page_up(size);
	node->size = size;
	if (node->mapped && old_end != new_end)
		memory_file_resized(index, old_end, new_end);
}

/* Who changes what a file says does not do so with the rights that it gives. */
static void drop_privileges(struct node *node)
{
	if (node->mode & 06000)
		node->mode &= ~(node->mode & 010 ? 06000u : 04000u);
}

static s64 write_pages(u32 index, u64 offset, u64 from, const void *kernel_from, u64 n)
{
	struct node *node = node_at(index);
	u64 done = 0;
	int error = 0;
	if (offset >= FILE_SIZE_MAX)
		return -EFBIG;
	n = min_u64(n, FILE_SIZE_MAX - offset);
	while (done < n && !error) {
		u64 within = (offset + done) % PAGE_SIZE, step = min_u64(PAGE_SIZE - within, n - done);
		u32 page = page_for_write(index, (offset + done) / PAGE_SIZE);
		if (page == NO_INDEX) {
			error = -ENOSPC;
			break;
		}
		u8 *to = (u8 *)page_at(page) + within;
		if (kernel_from)
			memcpy(to, (const u8 *)kernel_from + done, step);
		else
			error = get_bytes(to, from + done, step);
		done += error ? 0 : step;
	}
	if (!done)
		return error;
	if (offset + done > node->size)
		data_set_size(index, offset + done);
	drop_privileges(node);
	node->modified = node->changed = clock_peek();
	return (s64)done;
}

s64 data_write(u32 node, u64 offset, u64 from, u64 n)
{
	return n ? write_pages(node, offset, from, NULL, n) : 0;
}

s64 data_write_kernel(u32 node, u64 offset, const void *from, u64 n)
{
	return n ? write_pages(node, offset, 0, from, n) : 0;
}

/* What is to be emptied: pages [first, end) of a file. */
struct hole {
	struct node *node;
	u64 first, end;
	bool keep; /* somebody has the pages mapped: wiped, not given back */
};

/*
 * Only what exists is visited: a sparse file may span terabytes. Backwards, since the page given back last is taken
 * first: the next file's pages then follow each other, and mapping it takes few calls.
 */
static void empty_slots(const struct hole *hole, u32 *at, u32 level, u64 base)
{
	if (*at == NO_INDEX)
		return;
	if (level == 1) {
		if (hole->keep) {
			memset(page_at(*at), 0, PAGE_SIZE);
			return;
		}
		give_page(*at);
		*at = NO_INDEX;
		hole->node->charged_pages--;
		return;
	}
	u64 below = capacity(level - 1), from = hole->first > base ? (hole->first - base) / below : 0;
	u64 to = hole->end > base ? min_u64((hole->end - base + below - 1) / below, FANOUT) : 0;
	u32 *table = table_at(*at);
	while (to-- > from)
		empty_slots(hole, &table[to], level - 1, base + to * below);
}

static void wipe(u32 index, u64 from, u64 to)
{
	u32 page = page_for_read(index, from / PAGE_SIZE);
	if (page != NO_INDEX && to > from)
		memset((u8 *)page_at(page) + from % PAGE_SIZE, 0, to - from);
}

/* Zeros in [offset, offset + n): whole pages are given back, the edges wiped. */
void data_punch(u32 index, u64 offset, u64 n)
{
	struct node *node = node_at(index);
	u64 end = offset + n, first = page_up(offset), last = page_down(end);
	if (!node->levels)
		return;
	if (first > last) { /* within one page */
		wipe(index, offset, end);
		return;
	}
	wipe(index, offset, first);
	wipe(index, last, end);
	struct hole hole = {node, first / PAGE_SIZE, min_u64(last / PAGE_SIZE, capacity(node->levels)), false};
	if (hole.first >= hole.end)
		return;
	hole.keep = node_mapped(index, 0, 0);
	empty_slots(&hole, &node->root, node->levels, 0);
}

int data_resize(u32 index, u64 size)
{
	struct node *node = node_at(index);
	if (size > FILE_SIZE_MAX)
		return -EFBIG;
	if (size < node->size) /* to the end of all pages: a mapping may have written behind the end */
		data_punch(index, size, FILE_SIZE_MAX - size);
	else if (size % PAGE_SIZE || node->size % PAGE_SIZE)
		data_punch(index, node->size, min_u64(page_up(node->size), size) - node->size);
	data_set_size(index, size);
	drop_privileges(node);
	node->modified = node->changed = clock_peek();
	return 0;
}

/* From page `page` on, the next that has (or has not) a page behind it; `base` is the first page below `at`. */
static u64 seek_slots(u32 table, u32 level, u64 base, u64 page, bool hole)
{
	u64 span = capacity(level);
	if (page >= base + span || (table == NO_INDEX && !hole))
		return base + span;
	if (table == NO_INDEX || level == 1)
		return (table == NO_INDEX) == hole ? (page > base ? page : base) : base + span;
	u64 below = capacity(level - 1);
	for (u64 i = page > base ? (page - base) / below : 0; i < FANOUT; i++) {
		u64 found = seek_slots(table_at(table)[i], level - 1, base + i * below, page, hole);
		if (found < base + (i + 1) * below)
			return found;
	}
	return base + span;
}

u64 data_seek(u32 index, u64 offset, bool hole)
{
	struct node *node = node_at(index);
	u64 page = offset / PAGE_SIZE, found = node->levels ? seek_slots(node->root, node->levels, 0, page, hole)
	                                       : hole       ? page
	                                                    : 0;
	if (found >= capacity(node->levels) && !hole)
		return node->size;
	u64 at = found * PAGE_SIZE;
	return min_u64(at > offset ? at : offset, node->size);
}

static void free_tables(u32 table, u32 level)
{
	if (level < 2 || table == NO_INDEX)
		return;
	for (u32 i = 0; i < FANOUT; i++)
		free_tables(table_at(table)[i], level - 1);
	give_page(table);
}

void data_free(u32 index)
{
	struct node *node = node_at(index);
	if (!node->levels)
		return;
	struct hole all = {node, 0, capacity(node->levels), false};
	empty_slots(&all, &node->root, node->levels, 0);
	free_tables(node->root, node->levels);
	node->root = NO_INDEX;
	node->levels = 0;
	node->size = 0;
}
