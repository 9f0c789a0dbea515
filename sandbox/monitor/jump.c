/*
 * Jumps in mapped images. What becomes executable of an image that has some gets the image's trampolines with it, at
 * the place that they were made for (jumps.h, on the host's side). The guest does not see them: they are no area of
 * its, no address depends on them, and where it wants the place itself they give way. Then, and where there is no room
 * in the first place, the jumps are undone: each window gets its own bytes back, which the trampolines hold, and the
 * calls trap.
 *
 * What is noted here is of the native process, like the mappings themselves, and is forked with them.
 */
#include "internal.h"

#define AREAS 64
#define JUMP 0xe9
#define JUMP_SIZE 5u
#define SYSCALL_SIZE 2u
#define WINDOW_MAX 16u
#define FILL 0xfa

struct trampolines {
	u64 start, end;
	u64 base;    /* where the file's first byte lies with the code that jumps there */
	u32 content; /* the host's number of the file; 0: the program or its interpreter */
};
static struct trampolines areas[AREAS];
static u32 area_count;

/* A slot that has something in it. */
struct slot {
	u64 at;
	u64 after; /* the `syscall` */
	u32 size;  /* of the displaced instruction */
	bool forward;
	u8 bytes[ZVM_JUMP_SLOT];
};

static bool parse_slot(u64 at, const u8 *bytes, struct slot *ret)
{
	u8 tag = bytes[ZVM_JUMP_SLOT - 1];
	u32 size = tag & ~ZVM_JUMP_FORWARD, call = tag & ZVM_JUMP_FORWARD ? 0 : size;
	s32 distance;
	if (!size || size + ZVM_JUMP_CALL >= ZVM_JUMP_SLOT || size + SYSCALL_SIZE > WINDOW_MAX)
		return false;
	memcpy(&distance, bytes + call + 3, sizeof distance);
	*ret = (struct slot){
	        .at = at, .after = at + call + 7 + (u64)(s64)distance, .size = size, .forward = tag & ZVM_JUMP_FORWARD};
	memcpy(ret->bytes, bytes, sizeof ret->bytes);
	return true;
}

/* The slot that holds an address. */
static bool find_slot(u64 address, struct slot *ret)
{
	u8 bytes[ZVM_JUMP_SLOT];
	for (u32 i = 0; i < area_count; i++) {
		u64 at = address - (address - areas[i].start) % ZVM_JUMP_SLOT;
		if (address >= areas[i].start && address < areas[i].end && at != areas[i].start)
			return !guest_read(bytes, at, sizeof bytes) && parse_slot(at, bytes, ret);
	}
	return false;
}

u64 jump_displaced(u64 rip)
{
	struct slot slot;
	if (!area_count || !find_slot(rip, &slot))
		return 0;
	if (slot.forward)
		return rip == slot.at + ZVM_JUMP_CALL ? slot.after : 0;
	u64 site = slot.after - SYSCALL_SIZE, done = rip - slot.at;
	return done == 0 ? site - slot.size : done == slot.size ? site : 0;
}

bool jump_hides(u64 rip)
{
	struct slot slot;
	return area_count && find_slot(rip, &slot) && (slot.forward || rip != slot.at + slot.size);
}

u64 jump_resume(u64 rip)
{
	u8 code[JUMP_SIZE];
	s32 distance;
	struct slot slot;
	if (!area_count || guest_read(code, rip - SYSCALL_SIZE, sizeof code) || code[0] != JUMP)
		return 0;
	memcpy(&distance, code + 1, sizeof distance);
	u64 to = rip - SYSCALL_SIZE + JUMP_SIZE + (u64)(s64)distance;
	if (!find_slot(to, &slot) || slot.at != to || !slot.forward || slot.after != rip)
		return 0;
	return slot.at + ZVM_JUMP_CALL;
}

/* --- undoing --- */

/*
 * What is within one page of text that has these jumps, unless the guest has written something else there. Nobody runs
 * there just now; and whether it may be read by the guest just now does not matter.
 */
static void undo_piece(const struct trampolines *t, u64 at, const u8 *jump, const u8 *own, u64 size)
{
	u8 found[WINDOW_MAX];
	const struct area *area = memory_find(memory_self(), at);
	if (!area || !(area->flags & AREA_PREPARED) || area->start - area->offset != t->base ||
	    area->content != t->content)
		return;
	s64 r = native_protect(page_down(at), PAGE_SIZE, PROT_READ | PROT_WRITE);
	if (r == 0) {
		if (!guest_read(found, at, size) && !memcmp(found, jump, size))
			(void)guest_write(at, own, size);
		r = native_protect(page_down(at), PAGE_SIZE, (int)area->protection);
	}
	if (r < 0)
		host_failed("the host does not let text be changed", r);
}

static void undo_slot(const struct trampolines *t, const struct slot *slot)
{
	u8 jump[WINDOW_MAX] = {JUMP}, own[WINDOW_MAX] = {0x0f, 0x05};
	u64 before = slot->forward ? SYSCALL_SIZE : 0, size = before + slot->size;
	u64 at = slot->after - SYSCALL_SIZE - (slot->forward ? 0 : slot->size);
	s32 distance = (s32)(slot->at - (at + JUMP_SIZE));
	memcpy(own + before, slot->bytes + (slot->forward ? ZVM_JUMP_CALL : 0), slot->size);
	memcpy(jump + 1, &distance, sizeof distance);
	memset(jump + JUMP_SIZE, FILL, sizeof jump - JUMP_SIZE);
	u64 first = min_u64(size, PAGE_SIZE - at % PAGE_SIZE);
	undo_piece(t, at, jump, own, first);
	if (first < size)
		undo_piece(t, at + first, jump + first, own + first, size - first);
}

/* What the slots say, read from the image, or (-1) where they are mapped. */
static void undo_all(const struct trampolines *t, int image, u64 offset)
{
	u8 part[PAGE_SIZE / 4];
	struct slot slot;
	for (u64 at = t->start; at < t->end; at += sizeof part) {
		s64 r = image < 0 ? guest_read(part, at, sizeof part)
		                  : native_pread(image, (u64)part, sizeof part, offset + (at - t->start));
		if (r < 0)
			return;
		for (u64 i = 0; i < sizeof part; i += ZVM_JUMP_SLOT)
			if (at + i != t->start && parse_slot(at + i, part + i, &slot))
				undo_slot(t, &slot);
	}
}

static void give_up(u32 index)
{
	const struct trampolines gone = areas[index];
	undo_all(&gone, -1, 0);
	native_unmap(gone.start, gone.end - gone.start);
	areas[index] = areas[--area_count];
	frames_leave(gone.start, gone.end);
}

void jumps_give_way(u64 start, u64 end)
{
	for (u32 i = area_count; i-- > 0;)
		if (areas[i].start < end && areas[i].end > start)
			give_up(i);
}

void jumps_text_moves(u64 base)
{
	for (u32 i = area_count; i-- > 0;)
		if (areas[i].base == base)
			give_up(i);
}

void jumps_clear(void)
{
	area_count = 0;
}

/* --- mapping --- */

/* Is none of its text mapped any more? */
static bool is_left_over(const struct trampolines *t)
{
	const struct process *p = memory_self();
	for (u32 i = 0; i < p->area_count; i++)
		if ((p->areas[i].flags & AREA_PREPARED) && p->areas[i].content == t->content &&
		    p->areas[i].start - p->areas[i].offset == t->base)
			return false;
	return true;
}

static bool is_room(u64 start, u64 end)
{
	if (start < MAP_BOTTOM || !guest_range(start, end - start) || !memory_range_free(memory_self(), start, end))
		return false;
	for (u32 i = area_count; i-- > 0;) {
		bool overlaps = areas[i].start < end && areas[i].end > start;
		if ((overlaps || area_count == AREAS) && is_left_over(&areas[i]))
			give_up(i);
		else if (overlaps)
			return false;
	}
	return area_count < AREAS;
}

int jumps_map(u64 at, u64 offset, const struct zvm_jumps *jumps, int image, u32 content)
{
	u64 base = at - offset, start = base + (u64)jumps->reach;
	const struct trampolines t = {start, start + jumps->size, base, content};
	if (!jumps->size)
		return 0;
	for (u32 i = 0; i < area_count; i++)
		if (areas[i].base == base && areas[i].content == content && areas[i].start == start)
			return 0;
	if (handoff.no_jumps || !is_room(t.start, t.end)) {
		undo_all(&t, image, jumps->offset);
		return 0;
	}
	s64 r = native_map(start, jumps->size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_NORESERVE, image,
	                   jumps->offset);
	if (r < 0)
		return (int)r;
	areas[area_count++] = t;
	return 0;
}
