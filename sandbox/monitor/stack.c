/*
 * The stack of a process's first thread. As much of it as RLIMIT_STACK says, at most 8 MiB, is mapped with the program;
 * what is touched below that is mapped then, while the limit, as it is by then, lets it grow. There is room for nearly
 * 2 GiB above what mmap hands out, so that the layout is the same whatever the limit. What has grown counts as memory.
 */
#include "internal.h"

#define STACK_GUARD (1ull << 20) /* as far as it stays away from whatever lies below */
#define STACK_STEP (256ull << 10)
#define STACK_BOTTOM (MAP_TOP + STACK_GUARD)

/* The part of a stack that begins next above an address which nothing is mapped at. */
static struct area *part_above(struct process *p, u64 address)
{
	for (u32 i = 0; i < p->area_count; i++)
		if (p->areas[i].end > address)
			return p->areas[i].start > address && (p->areas[i].flags & AREA_STACK) ? &p->areas[i] : NULL;
	return NULL;
}

static bool grow_to(struct process *p, struct area *part, u64 low)
{
	u64 more = part->start - low;
	if (low < STACK_BOTTOM || !memory_range_free(p, low - STACK_GUARD, part->start) ||
	    memory_over_limit(p, more, false) || memory_charge(more))
		return false;
	jumps_give_way(low, part->start);
	s64 r = native_map(low, more, (int)part->protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r < 0)
		host_failed("the host has no memory to map", r);
	p->charged += more;
	if (part->start == p->stack_low)
		p->stack_low = low;
	part->start = low;
	return true;
}

bool stack_grow(u64 address)
{
	struct process *p = memory_self();
	u64 limit = process_self()->limits[RLIMIT_STACK][0];
	if (address < STACK_BOTTOM || address >= STACK_TOP)
		return false;
	struct area *part = part_above(p, address);
	u64 end = STACK_TOP, lowest = limit < end - STACK_BOTTOM ? page_up(end - limit) : STACK_BOTTOM;
	if (!part || page_down(address) < lowest)
		return false;
	u64 step = address - address % STACK_STEP;
	return grow_to(p, part, step > lowest ? step : lowest) || grow_to(p, part, page_down(address));
}

int stack_map(bool executable, u64 words)
{
	struct process *p = process_self();
	u32 protection = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
	u64 least = page_up(words) + STACK_STEP / 2;
	u64 size = page_down(min_u64(p->limits[RLIMIT_STACK][0], STACK_SIZE));
	size = size < least ? least : size;
	p->stack_high = STACK_TOP;
	p->stack_low = STACK_TOP - size;
	jumps_give_way(p->stack_low, STACK_TOP);
	s64 r = native_map(p->stack_low, size, (int)protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (r < 0)
		host_failed("the host has no memory to map", r);
	if (executable)
		arena->remarks |= ZVM_REMARK_NOT_VETTED;
	return memory_add(p->stack_low, STACK_TOP, protection, AREA_STACK, 0, 0, NO_INDEX, NO_INDEX);
}
