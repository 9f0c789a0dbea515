/*
 * How a system call becomes a jump.
 *
 * A jump needs five bytes and `syscall` has two, so one instruction beside it is displaced into a trampoline:
 *
 *   backward   mov $1, %eax; syscall            the mov becomes the jump; the syscall stays. Nine of ten are so.
 *   forward    syscall; cmp $-4096, %rax; ja    the syscall and the first bytes of the cmp become the jump
 *
 * Exactly one instruction, so that a window has few boundaries inside, and every one of them still behaves, whoever
 * jumps there, known to us or not. Backward: the only boundary is the syscall itself, which is there and traps.
 * Forward: the only one is the cmp, where the second byte of the jump's displacement lies. Its trampoline is put where
 * that byte is f4, hlt: it faults, and the monitor goes on in the trampoline, at the copy of the cmp. So a signal
 * handler may return there, a thread start there, a debugger's or a coroutine's context be loaded, and no list of
 * branch targets has to be complete. What remains of a window is filled with cli, which faults too and cannot be taken
 * for an instruction that prepare.c replaced.
 *
 * The guest never sees an address of a trampoline: the monitor is told the address behind the original `syscall`, and
 * that is what signal frames, restarts and unwinders get; and a fault in a displaced instruction is one at its own
 * address. So unwind tables stay true, and a thread that is cancelled in a call is where its libc looks for it.
 *
 * Left to the trap: calls beside which no such instruction is known; forward ones whose window crosses a page, because
 * where the second is missing the call comes before the fault; and rt_sigreturn, whose bytes unwinders look for.
 * Nothing here is needed for the box to be right, only to be fast.
 *
 * One thing is different, for a guest that gives back a page in the middle of a function and then calls it: where the
 * mov is in the page before and the syscall in the missing one, the call is still made.
 *
 * Trampolines are code, but nothing in an image may move. They lie a constant distance above it, nearly as far as a
 * jump reaches: for libraries that is between the mappings and the stack, for programs beyond their heap. Where a guest
 * wants that very place it gets it, and the monitor undoes the jumps (monitor/jump.c).
 */
#include "jumps.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096ull
#define DISTANCE 0x7c000000ull
#define SLOT ZVM_JUMP_SLOT
#define AREA_MAX (1u << 20)
#define HLT 0xf4
#define CLI 0xfa
#define JUMP_SIZE 5u
#define SYSCALL_SIZE 2u
#define BACKWARD_MAX 11u /* what a slot has room for */
#define FORWARD_MAX 6u
#define RT_SIGRETURN 15

struct maker {
	const struct zvm_elf_bytes *elf;
	const struct zvm_segment *text;
	ZydisDecoder decoder;
	unsigned char *copy, *slots;
	bool *used;
	uint64_t area;      /* its address, unbiased */
	uint64_t next, end; /* the first slot that may be free for whoever can take any; behind the last taken */
	size_t count;
};

/* The one segment that is executable; NULL: there are several, or it is writable. */
static const struct zvm_segment *text_of(const struct zvm_image *image)
{
	const struct zvm_segment *text = NULL;
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		if (!(s->protection & PROT_EXEC))
			continue;
		if (text || (s->protection & PROT_WRITE))
			return NULL;
		text = s;
	}
	return text;
}

static uint64_t address_of(const struct maker *m, uint64_t offset)
{
	return m->text->address + (offset - m->text->file_offset);
}

static bool in_one_page(uint64_t start, uint64_t end)
{
	return start / PAGE == (end - 1) / PAGE;
}

/* Is it as the file has it? Nothing has been put there yet. */
static bool is_untouched(const struct maker *m, uint64_t start, uint64_t end)
{
	return !memcmp(m->copy + start, m->elf->data + start, end - start);
}

static void put_displacement(unsigned char *at, uint64_t from, uint64_t to)
{
	int32_t displacement = (int32_t)(to - from);
	memcpy(at, &displacement, sizeof displacement);
}

/* --- which instruction may be displaced --- */

static bool decode_whole(const struct maker *m, uint64_t offset, uint64_t length, ZydisDecodedInstruction *ret)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&m->decoder, NULL, m->elf->data + offset, length, ret)) &&
	       ret->length == length;
}

static bool is_sigreturn(const ZydisDecodedInstruction *i)
{
	return (i->opcode == 0xc7 || (i->opcode & 0xf8) == 0xb8) && i->raw.imm[0].value.u == RT_SIGRETURN;
}

/* A mov or lea that means the same wherever it stands. If it faults, it can be made again from its start. */
static bool is_movable(const ZydisDecodedInstruction *i)
{
	if (i->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT || (i->attributes & ZYDIS_ATTRIB_IS_RELATIVE) || is_sigreturn(i))
		return false;
	return (i->opcode >= 0x88 && i->opcode <= 0x8b) || (i->opcode & 0xf8) == 0xb8 || i->opcode == 0xc7 ||
	       i->opcode == 0x8d;
}

/* cmp $-4096, %rax (or -4095, or %eax): is it an error? */
static bool is_error_check(const unsigned char *at, uint64_t *ret_length)
{
	static const unsigned char whole[] = {0x48, 0x3d};
	uint64_t prefix = at[0] == 0x3d ? 1 : memcmp(at, whole, sizeof whole) ? 0 : 2;
	int32_t value;
	memcpy(&value, at + prefix, sizeof value);
	*ret_length = prefix + sizeof value;
	return prefix && value < 0 && value >= -4096;
}

/* --- slots --- */

static bool is_free(const struct maker *m, uint64_t slot)
{
	return slot && slot < AREA_MAX / SLOT && !m->used[slot];
}

/* A slot whose distance from the jump's end has f4 as its second byte: some eight in each 64 KiB. */
static uint64_t forward_slot(const struct maker *m, uint64_t jump_end)
{
	const uint64_t cycle = 1u << 16, first = (uint64_t)HLT << 8;
	uint64_t at = (jump_end + first - m->area) % cycle;
	for (uint64_t slot = (at + SLOT - 1) / SLOT; slot < AREA_MAX / SLOT;) {
		uint64_t distance = (m->area + slot * SLOT - jump_end) % cycle;
		if (distance < first || distance > first + 0xff)
			slot += (cycle - SLOT * 8) / SLOT;
		else if (is_free(m, slot))
			return slot;
		else
			slot++;
	}
	return 0;
}

static uint64_t any_slot(struct maker *m)
{
	while (m->next < AREA_MAX / SLOT && !is_free(m, m->next))
		m->next++;
	return is_free(m, m->next) ? m->next : 0;
}

static void take_slot(struct maker *m, uint64_t slot, unsigned tag)
{
	memset(m->slots + slot * SLOT, HLT, SLOT);
	m->slots[slot * SLOT + SLOT - 1] = (unsigned char)tag;
	m->used[slot] = true;
	if (slot >= m->end)
		m->end = slot + 1;
	m->count++;
}

/* lea after, %rcx; lea resume, %r11; jmp *gate */
static void put_call(struct maker *m, uint64_t at, uint64_t after, uint64_t resume)
{
	static const unsigned char code[ZVM_JUMP_CALL] = {0x48, 0x8d, 0x0d, 0, 0,    0,    0, 0x4c, 0x8d, 0x1d,
	                                                  0,    0,    0,    0, 0xff, 0x25, 0, 0,    0,    0};
	unsigned char *to = m->slots + (at - m->area);
	memcpy(to, code, sizeof code);
	put_displacement(to + 3, at + 7, after);
	put_displacement(to + 10, at + 14, resume);
	put_displacement(to + 16, at + 20, m->area);
}

/* A jump to a slot, and what is left of the window. */
static void put_jump(struct maker *m, uint64_t offset, uint64_t length, uint64_t slot)
{
	unsigned char *at = m->copy + offset;
	memset(at, CLI, length);
	at[0] = 0xe9;
	put_displacement(at + 1, address_of(m, offset) + JUMP_SIZE, m->area + slot * SLOT);
}

/* --- rewriting --- */

static bool rewrite_backward(struct maker *m, const struct zvm_site *site)
{
	ZydisDecodedInstruction i;
	uint64_t n = site->before, start = site->offset - n, end = site->offset + SYSCALL_SIZE, slot;
	if (n > BACKWARD_MAX || start < m->text->file_offset || !is_untouched(m, start, end) ||
	    !decode_whole(m, start, n, &i) || !is_movable(&i) || !(slot = any_slot(m)))
		return false;
	uint64_t at = m->area + slot * SLOT, after = address_of(m, site->offset) + SYSCALL_SIZE;
	take_slot(m, slot, (unsigned)n);
	memcpy(m->slots + slot * SLOT, m->elf->data + start, n);
	put_call(m, at + n, after, after);
	put_jump(m, start, n, slot);
	return true;
}

static bool rewrite_forward(struct maker *m, const struct zvm_site *site)
{
	uint64_t next = site->offset + SYSCALL_SIZE, n, slot, end = m->text->file_offset + m->text->file_size;
	if (!site->followed || end - next < FORWARD_MAX || !is_error_check(m->elf->data + next, &n) ||
	    !in_one_page(site->offset, next + n) || !is_untouched(m, site->offset, next + n) ||
	    !(slot = forward_slot(m, address_of(m, site->offset) + JUMP_SIZE)))
		return false;
	uint64_t at = m->area + slot * SLOT, resume = at + ZVM_JUMP_CALL;
	unsigned char *copied = m->slots + slot * SLOT + ZVM_JUMP_CALL;
	take_slot(m, slot, ZVM_JUMP_FORWARD | (unsigned)n);
	put_call(m, at, address_of(m, next), resume);
	memcpy(copied, m->elf->data + next, n);
	copied[n] = 0xe9;
	put_displacement(copied + n + 1, resume + n + JUMP_SIZE, address_of(m, next + n));
	put_jump(m, site->offset, SYSCALL_SIZE + n, slot);
	return true;
}

static bool is_known_call(const struct maker *m, const struct zvm_site *site)
{
	return site->kind == ZVM_SITE_SYSCALL && site->proven && site->offset >= m->text->file_offset &&
	       site->offset - m->text->file_offset <= m->text->file_size - SYSCALL_SIZE;
}

/* Which way is decided for each alone, but forward ones choose their slots first: they have fewer to choose from. */
static void rewrite(struct maker *m, const struct zvm_sites *sites)
{
	for (int forward = 1; forward >= 0; forward--) {
		for (size_t i = 0; i < sites->count; i++) {
			const struct zvm_site *site = &sites->list[i];
			if (!is_known_call(m, site) || forward == (site->before >= JUMP_SIZE))
				continue;
			if (forward)
				rewrite_forward(m, site);
			else
				rewrite_backward(m, site);
		}
	}
}

static int start(struct maker *m)
{
	const uint64_t gate = ZVM_GATE;
	m->area = m->elf->image->low + DISTANCE;
	m->next = m->end = 1;
	m->slots = calloc(AREA_MAX, 1);
	m->used = calloc(AREA_MAX / SLOT, sizeof *m->used);
	if (!m->slots || !m->used)
		return -ENOMEM;
	memcpy(m->slots, &gate, sizeof gate);
	ZydisDecoderInit(&m->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return 0;
}

/* Does a jump reach from all of the text to the trampolines, and back? */
static bool within_reach(const struct zvm_image *image, const struct zvm_segment *text)
{
	return text && text->file_size >= SYSCALL_SIZE && image->high - image->low <= DISTANCE;
}

int zvm_jumps_make(const struct zvm_elf_bytes *elf, const struct zvm_sites *sites, unsigned char *copy,
                   struct zvm_jump_area *ret)
{
	struct maker m = {.elf = elf, .text = text_of(elf->image), .copy = copy};
	*ret = (struct zvm_jump_area){.left = sites->proven[ZVM_SITE_SYSCALL]};
	if (!ret->left || !within_reach(elf->image, m.text))
		return 0;
	int r = start(&m);
	if (r == 0)
		rewrite(&m, sites);
	if (m.count) {
		ret->bytes = m.slots;
		ret->size = (m.end * SLOT + PAGE - 1) / PAGE * PAGE;
		ret->reach = (int64_t)(m.area - m.text->address + m.text->file_offset);
		ret->rewritten = m.count;
		ret->left -= m.count;
	} else {
		free(m.slots);
	}
	free(m.used);
	return r;
}

void zvm_jumps_free(struct zvm_jump_area *area)
{
	free(area->bytes);
	area->bytes = NULL;
}
