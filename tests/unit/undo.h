/*
 * Takes a prepared image back to the file that it was made of, jump by jump, by what its trampolines say; and checks
 * each on the way. Written against protocol.h alone, for test_prepare and fuzz_prepare.
 */
#ifndef UNDO_H
#define UNDO_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include "protocol.h"

struct undo {
	const struct zvm_image *plan;
	const struct zvm_jumps *jumps;
	const unsigned char *original;
	unsigned char *image; /* the file's bytes are restored in it */
	size_t size;          /* of the file */
	size_t backward, forward;
};

static const struct zvm_segment *undo_text(const struct undo *u)
{
	for (uint32_t i = 0; i < u->plan->segment_count; i++)
		if (u->plan->segments[i].protection & PROT_EXEC)
			return &u->plan->segments[i];
	return NULL;
}

static uint64_t undo_target(const unsigned char *displacement, uint64_t behind)
{
	int32_t distance;
	memcpy(&distance, displacement, sizeof distance);
	return behind + (uint64_t)(int64_t)distance;
}

static bool undo_decodes(const unsigned char *code, uint64_t length, ZydisDecodedInstruction *ret)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code, length, ret)) && ret->length == length;
}

/* NULL, or what is wrong with the trampoline at `slot`, an address; `bytes` are its own. */
static const char *undo_slot(struct undo *u, uint64_t slot, const unsigned char *bytes, uint64_t area)
{
	static const unsigned char syscall_bytes[] = {0x0f, 0x05};
	const struct zvm_segment *text = undo_text(u);
	bool forward = bytes[31] & 0x80;
	uint64_t n = bytes[31] & 0x7f, call = forward ? 0 : n, moved = forward ? 20 : 0;
	const unsigned char *c = bytes + call;
	ZydisDecodedInstruction i;
	if (n + 20 > 31 || (forward && n + 25 > 31))
		return "a slot that overflows";
	if (memcmp(c, "\x48\x8d\x0d", 3) || memcmp(c + 7, "\x4c\x8d\x1d", 3) || memcmp(c + 14, "\xff\x25", 2))
		return "no way to the gate";
	uint64_t after = undo_target(c + 3, slot + call + 7), resume = undo_target(c + 10, slot + call + 14);
	uint64_t site = after - 2 - text->address + text->file_offset, window = forward ? site : site - n;
	uint64_t length = forward ? 2 + n : n, end = (forward ? site + 2 + n : site + 2);
	if (undo_target(c + 16, slot + call + 20) != area || resume != (forward ? slot + 20 : after))
		return "it goes on elsewhere";
	if (window < text->file_offset || window > site || end > text->file_offset + text->file_size)
		return "a window outside of the text";
	if (memcmp(u->original + site, syscall_bytes, 2))
		return "no system call";
	if (memcmp(u->original + (forward ? site + 2 : window), bytes + moved, n))
		return "not the displaced instruction";
	if (!undo_decodes(bytes + moved, n, &i) || (i.attributes & ZYDIS_ATTRIB_IS_RELATIVE))
		return "what is displaced may not be";
	if (i.raw.imm[0].size && i.raw.imm[0].value.u == 15 && !forward)
		return "rt_sigreturn";
	if (u->image[window] != 0xe9 ||
	    undo_target(u->image + window + 1, window - text->file_offset + text->address + 5) != slot)
		return "no jump leads there";
	for (uint64_t k = 5; k < length; k++)
		if (u->image[window + k] != 0xfa)
			return "no filling";
	if (forward && (u->image[site + 2] != 0xf4 || window / 4096 != (end - 1) / 4096))
		return "a boundary inside that does not trap";
	if (!forward && memcmp(u->image + site, syscall_bytes, 2))
		return "the system call is gone";
	if (forward && (bytes[20 + n] != 0xe9 || undo_target(bytes + 21 + n, slot + 25 + n) != after + n))
		return "it does not come back";
	memcpy(u->image + window, u->original + window, length);
	u->forward += forward;
	u->backward += !forward;
	return NULL;
}

static const char *undo_jumps(struct undo *u)
{
	const struct zvm_segment *text = undo_text(u);
	const unsigned char *slots = u->image + u->jumps->offset;
	uint64_t gate;
	if (!u->jumps->size)
		return NULL;
	uint64_t area = text->address - text->file_offset + (uint64_t)u->jumps->reach;
	memcpy(&gate, slots, sizeof gate);
	if (gate != ZVM_GATE || u->jumps->offset % 4096 || u->jumps->size % 4096 || u->jumps->reach % 4096)
		return "no gate, or no whole pages";
	for (uint64_t at = 32; at < u->jumps->size; at += 32) {
		const char *wrong = slots[at + 31] ? undo_slot(u, area + at, slots + at, area) : NULL;
		if (wrong)
			return wrong;
	}
	return NULL;
}

#endif
