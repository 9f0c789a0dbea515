/*
 * Memory inside the arena: pages for contents, blocks for small things.
 *
 * Behind struct arena the memfd is data pages, handed out from a mark upwards and in power-of-two runs, so that a run
 * given back serves the next request of its class; free runs are chained through their first bytes. Blocks are
 * sixteen bytes to half a page, cut from pages, one chain per power of two. Everything is named by index:
 * a page by its number, a block by its offset in sixteenths, so the arena can be copied as it is.
 */
#include "internal.h"

#define RUN_CLASSES 21  /* up to 2^20 pages: 4 GiB */
#define BLOCK_CLASSES 8 /* 16 .. 2048 bytes */
#define BLOCK_UNIT 16ull

struct heap {
	u32 first_page, next_page, page_end, unused;
	u32 free_runs[RUN_CLASSES];
	u32 free_blocks[BLOCK_CLASSES];
};

_Static_assert(sizeof(struct heap) <= sizeof(((arena_layout *)0)->heap_state), "heap state fits");

static struct heap *heap(void)
{
	return (struct heap *)arena->heap_state;
}

void arena_start(u64 size)
{
	struct heap *h = heap();
	h->first_page = (u32)(page_up(sizeof(arena_layout)) / PAGE_SIZE);
	h->next_page = h->first_page;
	h->page_end = (u32)(size / PAGE_SIZE);
	for (u32 i = 0; i < RUN_CLASSES; i++)
		h->free_runs[i] = NO_INDEX;
}

void arena_extend(u64 size)
{
	heap()->page_end = (u32)(size / PAGE_SIZE);
}

u32 arena_next_page(void)
{
	return heap()->next_page;
}

static u32 class_of(u64 count)
{
	u32 class = 0;
	while ((1ull << class) < count)
		class ++;
	return class;
}

void *page_at(u32 page)
{
	return (void *)(ZVM_ARENA_BASE + page * PAGE_SIZE);
}

u64 page_offset(u32 page)
{
	return page * PAGE_SIZE;
}

u32 pages_take(u32 count)
{
	struct heap *h = heap();
	u32 class = class_of(count);
	if (!count || class >= RUN_CLASSES)
		return NO_INDEX;
	u32 page = h->free_runs[class];
	if (page != NO_INDEX) {
		h->free_runs[class] = *(u32 *)page_at(page);
		memset(page_at(page), 0, (size_t)count * PAGE_SIZE);
		return page;
	}
	if ((u64)h->next_page + (1ull << class) > h->page_end)
		return NO_INDEX;
	page = h->next_page;
	h->next_page += 1u << class; /* fresh pages of a memfd are zero */
	return page;
}

void pages_give(u32 first, u32 count)
{
	struct heap *h = heap();
	u32 class = class_of(count);
	*(u32 *)page_at(first) = h->free_runs[class];
	h->free_runs[class] = first;
}

void *block_at(u32 block)
{
	return (void *)(ZVM_ARENA_BASE + block * BLOCK_UNIT);
}

static u32 block_class(size_t size)
{
	return class_of((size + BLOCK_UNIT - 1) / BLOCK_UNIT);
}

/* Cuts a page into blocks of the class and chains them, lowest first. */
static bool block_refill(u32 class)
{
	u32 page = pages_take(1);
	if (page == NO_INDEX)
		return false;
	u32 units = 1u << class;
	u32 first = (u32)(page * (PAGE_SIZE / BLOCK_UNIT));
	for (u32 at = (u32)(PAGE_SIZE / BLOCK_UNIT); at >= units; at -= units) {
		u32 block = first + at - units;
		*(u32 *)block_at(block) = heap()->free_blocks[class];
		heap()->free_blocks[class] = block;
	}
	return true;
}

u32 block_take(size_t size)
{
	if (!size)
		size = 1;
	u32 class = block_class(size);
	if (class >= BLOCK_CLASSES) {
		u32 page = pages_take((u32)(page_up(size) / PAGE_SIZE));
		return page == NO_INDEX ? 0 : (u32)(page * (PAGE_SIZE / BLOCK_UNIT));
	}
	if (!heap()->free_blocks[class] && !block_refill(class))
		return 0;
	u32 block = heap()->free_blocks[class];
	heap()->free_blocks[class] = *(u32 *)block_at(block);
	memset(block_at(block), 0, BLOCK_UNIT << class);
	return block;
}

void block_give(u32 block, size_t size)
{
	if (!block)
		return;
	u32 class = block_class(size ? size : 1);
	if (class >= BLOCK_CLASSES) {
		pages_give((u32)(block / (PAGE_SIZE / BLOCK_UNIT)), (u32)(page_up(size) / PAGE_SIZE));
		return;
	}
	*(u32 *)block_at(block) = heap()->free_blocks[class];
	heap()->free_blocks[class] = block;
}

int memory_charge(u64 bytes)
{
	if (bytes > arena->memory_limit - arena->memory_used)
		return -ENOMEM;
	arena->memory_used += bytes;
	if (arena->memory_used > arena->memory_peak)
		arena->memory_peak = arena->memory_used;
	return 0;
}

void memory_uncharge(u64 bytes)
{
	arena->memory_used -= min_u64(bytes, arena->memory_used);
}
