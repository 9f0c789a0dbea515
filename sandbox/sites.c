/*
 * Which bytes are instructions that tell one machine or moment from another, and which are system calls?
 *
 * First by raw bytes: the places in executable memory that look like one (candidates). Three of four are the insides
 * of other instructions, or data, and changing data breaks programs. So each must be proven: there must be a way to it,
 * instruction by instruction, from where something is known to begin.
 *
 *   1. The function that holds it (code.c) is decoded from its start to its end. It must decode, and none of its
 * branches may lead between two boundaries. What is then the inside of another instruction is refuted. What is an
 * instruction is proven if the function's own branches lead there; a table behind a jump may decode as well. Only
 * functions that hold a candidate are decoded.
 *   2. What is left lies in no function, or was not reached. Then all functions are decoded for where they lead to, and
 *      that is followed, and symbols and relocated pointers too; never an address that is merely loaded, which may be a
 *      table's. One contradiction, and nothing between these two functions is believed.
 *
 *   3. What lies between functions and was not reached is read from end to end. If everything decodes, nothing is
 *      privileged and no branch leads between two boundaries, that refutes; but it proves nothing.
 *
 * System calls are looked for as long as it is cheap: they trap where they are not rewritten, so no gap is read for
 * their sake.
 *
 * What is neither proven nor refuted stays as it is, and is counted. (To believe everything that decodes would prove
 * nothing more in the 2,900 ELF files of a large Debian.)
 *
 * The file is hostile: candidates, targets, decoded instructions and what is looked through for each target are
 * bounded; what is beyond stays unproven.
 */
#include "sites.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zvm/cleanup.h>

#define PAGE 4096ull
#define CANDIDATES_MAX (1u << 18)
#define TARGETS_MAX (4u << 20)
#define DECODED_MAX (12u << 20) /* instructions: a second or two */
#define VISITS_MAX (64u << 20)  /* of candidates, for branches into functions: less than a second */
#define INSTRUCTION_MAX 15

/* What is known of a byte: it begins an instruction, one that was also reached, or is inside of one. */
enum mark { UNKNOWN, START, REACHED, INSIDE };

/* The bytes of one executable segment. */
struct stretch {
	uint64_t address, offset, size;
	const unsigned char *bytes;
	unsigned char *marks;
};

enum verdict { OPEN, PROVEN, REFUTED, UNPROVEN };

struct candidate {
	uint64_t address, offset;
	enum zvm_site_kind kind;
	bool decoded;         /* as an instruction of this kind, by somebody who may still turn out wrong */
	uint64_t instruction; /* then: where that begins */
	enum verdict verdict;
};

struct addresses {
	uint64_t *list;
	size_t count, room;
};

struct search {
	const struct zvm_elf_bytes *elf;
	ZydisDecoder decoder;
	struct zvm_functions functions;
	struct stretch stretches[ZVM_SEGMENTS_MAX];
	unsigned stretch_count;
	struct candidate *candidates; /* by address */
	size_t count, room;
	struct addresses inner, outer; /* branches of what is being decoded, to itself; and to elsewhere, of all */
	uint64_t *ends;                /* of each function: where its code ends; 0: not decoded yet */
	bool *believed;                /* of each function */
	bool *gap_bad;                 /* of the gap before function i */
	unsigned budget;               /* of instructions to decode */
	size_t visits;                 /* of candidates that are left */
	int error;
};

/* --- candidates --- */

/* The kind of instruction that these bytes, after the escape byte 0f, would be; -1: none of ours. */
static int kind_of_tail(const unsigned char *tail, uint64_t left)
{
	if (left < 1)
		return -1;
	switch (tail[0]) {
	case 0xa2: return ZVM_SITE_CPUID;
	case 0x05: return ZVM_SITE_SYSCALL;
	case 0x31: return ZVM_SITE_RDTSC;
	case 0x33: return ZVM_SITE_RDPMC;
	case 0x03: return left < 2 || tail[1] < 0xc0 ? -1 : ZVM_SITE_LSL;
	case 0x01:
		return left < 2          ? -1
		       : tail[1] == 0xf9 ? ZVM_SITE_RDTSCP
		       : tail[1] == 0xd0 ? ZVM_SITE_XGETBV
		       : tail[1] == 0xfd ? ZVM_SITE_RDPRU
		                         : -1;
	case 0xc7: return left < 2 || tail[1] < 0xf0 ? -1 : tail[1] < 0xf8 ? ZVM_SITE_RDRAND : ZVM_SITE_RDSEED;
	default: return -1;
	}
}

static void add_candidate(struct search *s, const struct candidate *c)
{
	if (s->error)
		return;
	if (s->count == CANDIDATES_MAX) {
		s->error = -E2BIG;
		return;
	}
	if (s->count == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		struct candidate *more = realloc(s->candidates, room * sizeof *more);
		if (!more) {
			s->error = -ENOMEM;
			return;
		}
		s->candidates = more;
		s->room = room;
	}
	s->candidates[s->count++] = *c;
}

/* Everything that becomes executable with a segment: whole pages. What lies beside the segment is in no function. */
static void scan(struct search *s, const struct stretch *x)
{
	const unsigned char *data = s->elf->data;
	uint64_t low = x->offset / PAGE * PAGE, high = (x->offset + x->size + PAGE - 1) / PAGE * PAGE;
	if (high > s->elf->size)
		high = s->elf->size;
	for (uint64_t at = low; at < high && !s->error; at++) {
		if (data[at] != 0x0f && data[at] != 0xf4)
			continue;
		int kind = kind_of_tail(data + at + 1, high - at - 1);
		bool halt = data[at] == 0xf4, within = at >= x->offset && at < x->offset + x->size;
		struct candidate c = {.address = x->address + (at - x->offset), .offset = at};
		if (kind < 0 || (halt && (!within || kind == ZVM_SITE_SYSCALL)))
			continue;
		c.kind = halt ? ZVM_SITE_HALT : (enum zvm_site_kind)kind;
		c.verdict = within ? OPEN : UNPROVEN;
		add_candidate(s, &c);
	}
}

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->verdict < y->verdict ? -1 : x->verdict > y->verdict;
}

/* The first candidate at or after an address. */
static size_t candidate_from(const struct search *s, uint64_t address)
{
	size_t low = 0, high = s->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (s->candidates[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void find_candidates(struct search *s)
{
	for (uint32_t i = 0; i < s->elf->image->segment_count; i++) {
		const struct zvm_segment *g = &s->elf->image->segments[i];
		if (!(g->protection & PROT_EXEC) || !g->file_size || !zvm_elf_at(s->elf, g->address, g->file_size))
			continue;
		struct stretch *x = &s->stretches[s->stretch_count++];
		*x = (struct stretch){g->address, g->file_offset, g->file_size, s->elf->data + g->file_offset, NULL};
		scan(s, x);
	}
	if (s->count)
		qsort(s->candidates, s->count, sizeof *s->candidates, compare_candidates);
}

static bool any_open(const struct search *s, uint64_t start, uint64_t end, bool hazards_only)
{
	for (size_t i = candidate_from(s, start); i < s->count && s->candidates[i].address < end; i++)
		if (s->candidates[i].verdict == OPEN && (!hazards_only || s->candidates[i].kind < ZVM_SITE_HAZARDS))
			return true;
	return false;
}

/* --- marks --- */

static struct stretch *stretch_of(struct search *s, uint64_t address)
{
	for (unsigned i = 0; i < s->stretch_count; i++)
		if (address >= s->stretches[i].address && address - s->stretches[i].address < s->stretches[i].size)
			return &s->stretches[i];
	return NULL;
}

static enum mark mark_at(struct search *s, uint64_t address)
{
	const struct stretch *x = stretch_of(s, address);
	return x ? (enum mark)x->marks[address - x->address] : UNKNOWN;
}

/* A boundary; or behind the prefixes of an instruction, as glibc jumps over a lock that one thread does not need. */
static bool is_boundary(struct search *s, uint64_t address)
{
	const struct stretch *x = stretch_of(s, address);
	if (!x)
		return false;
	uint64_t at = address - x->address;
	for (; x->marks[at] == INSIDE && at > 0; at--)
		if (!memchr("\xf0\xf2\xf3\x2e\x3e\x66", x->bytes[at - 1], 6))
			return false;
	return x->marks[at] == START || x->marks[at] == REACHED;
}

static void mark(struct stretch *x, uint64_t address, uint64_t length, enum mark first)
{
	unsigned char *at = x->marks + (address - x->address);
	*at = (unsigned char)first;
	memset(at + 1, INSIDE, length - 1);
}

static void push(struct search *s, struct addresses *a, uint64_t address)
{
	if (a->count == a->room) {
		size_t room = a->room ? a->room * 2 : 1024;
		uint64_t *more = room <= TARGETS_MAX ? realloc(a->list, room * sizeof *more) : NULL;
		if (!more) {
			s->error = room <= TARGETS_MAX ? -ENOMEM : -E2BIG;
			return;
		}
		a->list = more;
		a->room = room;
	}
	a->list[a->count++] = address;
}

/* --- decoding --- */

static int kind_of_instruction(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID: return ZVM_SITE_CPUID;
	case ZYDIS_MNEMONIC_RDTSC: return ZVM_SITE_RDTSC;
	case ZYDIS_MNEMONIC_RDTSCP: return ZVM_SITE_RDTSCP;
	case ZYDIS_MNEMONIC_RDRAND: return ZVM_SITE_RDRAND;
	case ZYDIS_MNEMONIC_RDSEED: return ZVM_SITE_RDSEED;
	case ZYDIS_MNEMONIC_RDPID: return ZVM_SITE_RDPID;
	case ZYDIS_MNEMONIC_XGETBV: return ZVM_SITE_XGETBV;
	case ZYDIS_MNEMONIC_RDPRU: return ZVM_SITE_RDPRU;
	case ZYDIS_MNEMONIC_RDPMC: return ZVM_SITE_RDPMC;
	case ZYDIS_MNEMONIC_LSL: return ZVM_SITE_LSL;
	case ZYDIS_MNEMONIC_SYSCALL: return ZVM_SITE_SYSCALL;
	case ZYDIS_MNEMONIC_HLT: return ZVM_SITE_HALT;
	default: return -1;
	}
}

/* Notes that the candidate in this instruction, if there is one, has been decoded. */
static void note_site(struct search *s, const struct stretch *x, uint64_t address, const ZydisDecodedInstruction *i)
{
	int kind = kind_of_instruction(i);
	if (kind < 0)
		return;
	const unsigned char *bytes = x->bytes + (address - x->address);
	/* No prefix is 0f or f4: the first such byte is the opcode's. */
	const unsigned char *opcode = memchr(bytes, kind == ZVM_SITE_HALT ? 0xf4 : 0x0f, i->length);
	uint64_t at = address + (uint64_t)(opcode ? opcode - bytes : 0);
	size_t n = candidate_from(s, at);
	if (!opcode || n == s->count || s->candidates[n].address != at)
		return;
	s->candidates[n].kind = (enum zvm_site_kind)kind; /* rdpid looks like rdseed but for its prefix */
	s->candidates[n].decoded = true;
	s->candidates[n].instruction = address;
}

static bool decode(struct search *s, const struct stretch *x, uint64_t address, uint64_t limit,
                   ZydisDecodedInstruction *ret)
{
	uint64_t left = limit - address, held = x->size - (address - x->address);
	if (left > held)
		left = held;
	if (left > INSTRUCTION_MAX)
		left = INSTRUCTION_MAX;
	if (!left || !s->budget)
		return false;
	s->budget--;
	const unsigned char *bytes = x->bytes + (address - x->address);
	return ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&s->decoder, NULL, bytes, left, ret));
}

static bool branch_target(const ZydisDecodedInstruction *i, uint64_t address, uint64_t *ret)
{
	if (!i->raw.imm[0].size || !i->raw.imm[0].is_relative)
		return false;
	*ret = address + i->length + (uint64_t)i->raw.imm[0].value.s;
	return true;
}

/* Of what was decoded in [start, end): the insides of instructions are refuted, what was reached is proven. */
static void judge(struct search *s, uint64_t start, uint64_t end)
{
	for (size_t i = candidate_from(s, start); i < s->count && s->candidates[i].address < end; i++) {
		struct candidate *c = &s->candidates[i];
		if (c->verdict != OPEN || mark_at(s, c->address) == UNKNOWN)
			continue;
		if (!c->decoded)
			c->verdict = REFUTED;
		else if (mark_at(s, c->instruction) == REACHED)
			c->verdict = PROVEN;
	}
}

static void disbelieve(struct search *s, uint64_t start, uint64_t end)
{
	for (size_t i = candidate_from(s, start); i < s->count && s->candidates[i].address < end; i++)
		if (s->candidates[i].verdict == OPEN)
			s->candidates[i].verdict = UNPROVEN;
}

/* --- 1: functions --- */

/*
 * From its start to its end, and on to where the next begins if the last instruction runs on: clone's frame description
 * ends before its `syscall`, because there is nothing to unwind after it. Returns whether all of it made sense.
 */
static bool decode_function(struct search *s, size_t index, uint64_t *ret_end)
{
	uint64_t at = s->functions.list[index].start, end = s->functions.list[index].end, start = at, target;
	uint64_t limit = zvm_function_limit(&s->functions, index);
	struct stretch *x = stretch_of(s, at);
	ZydisDecodedInstruction i;
	bool runs_on = true;
	*ret_end = end < limit ? end : limit;
	s->inner.count = 0;
	if (!x)
		return false;
	if (end > x->address + x->size)
		end = *ret_end = x->address + x->size;
	while (at < limit && (at < end || runs_on)) {
		if (!decode(s, x, at, limit, &i))
			return at >= end;
		mark(x, at, i.length, START);
		note_site(s, x, at, &i);
		if (branch_target(&i, at, &target))
			push(s, target >= start && target < limit ? &s->inner : &s->outer, target);
		runs_on = !zvm_code_ends_function(&i);
		at += i.length;
		*ret_end = at;
	}
	return !s->error;
}

/*
 * Marks what can be reached in a decoded function from an address. It takes more than lying in a function to be code: a
 * table behind a jump may decode as well.
 */
static void reach(struct search *s, size_t index, uint64_t from)
{
	uint64_t start = s->functions.list[index].start, end = s->ends[index], target;
	struct stretch *x = stretch_of(s, start);
	ZydisDecodedInstruction i;
	s->inner.count = 0;
	push(s, &s->inner, from);
	while (s->inner.count) {
		uint64_t at = s->inner.list[--s->inner.count];
		while (at > start && at < end && x->marks[at - x->address] == INSIDE)
			at--; /* behind a prefix */
		for (; at >= start && at < end && x->marks[at - x->address] == START; at += i.length) {
			if (!decode(s, x, at, zvm_function_limit(&s->functions, index), &i))
				return;
			x->marks[at - x->address] = REACHED;
			if (branch_target(&i, at, &target))
				push(s, &s->inner, target);
			if (zvm_code_ends_path(&i))
				break;
		}
	}
}

static void read_function(struct search *s, size_t index)
{
	uint64_t start = s->functions.list[index].start, end;
	if (s->ends[index])
		return;
	bool believed = decode_function(s, index, &end);
	for (size_t i = 0; i < s->inner.count && believed; i++) {
		if (s->inner.list[i] >= end)
			push(s, &s->outer, s->inner.list[i]);
		else
			believed = is_boundary(s, s->inner.list[i]);
	}
	s->ends[index] = end;
	s->believed[index] = believed;
	if (!believed) {
		disbelieve(s, start, end);
	} else if (any_open(s, start, end, false)) {
		reach(s, index, start);
		judge(s, start, end);
	}
}

static void read_functions_of_candidates(struct search *s)
{
	for (size_t i = 0; i < s->count && !s->error; i++) {
		size_t function = zvm_function_before(&s->functions, s->candidates[i].address);
		if (s->candidates[i].verdict == OPEN && function != SIZE_MAX)
			read_function(s, function);
	}
}

/* --- 2: gaps --- */

/* A gap is known by the function that follows it; the last one by their number. Its bounds within one stretch. */
struct gap {
	size_t index;
	uint64_t start, end;
	struct stretch *stretch;
};

/* false: the address is in a function, or no code at all. */
static bool gap_at(struct search *s, uint64_t address, struct gap *ret)
{
	struct stretch *x = stretch_of(s, address);
	size_t before = zvm_function_before(&s->functions, address), next = before == SIZE_MAX ? 0 : before + 1;
	if (!x || (before != SIZE_MAX && address < s->ends[before]))
		return false;
	*ret = (struct gap){next, x->address, x->address + x->size, x};
	if (before != SIZE_MAX && s->ends[before] > ret->start)
		ret->start = s->ends[before];
	if (next < s->functions.count && s->functions.list[next].start < ret->end)
		ret->end = s->functions.list[next].start;
	return true;
}

/* Is [at + 1, at + length) free of boundaries found by another way? */
static bool inside_free(const struct stretch *x, uint64_t address, uint64_t length)
{
	const unsigned char *inside = x->marks + (address - x->address) + 1;
	return !memchr(inside, START, length - 1) && !memchr(inside, REACHED, length - 1);
}

/* A branch into a function, not to its start: that part of it is reached too. */
static void enter_function(struct search *s, uint64_t at)
{
	size_t index = zvm_function_before(&s->functions, at);
	if (index == SIZE_MAX || at >= s->ends[index] || !s->believed[index] || mark_at(s, at) == REACHED)
		return;
	uint64_t start = s->functions.list[index].start, end = s->ends[index];
	size_t held = candidate_from(s, end) - candidate_from(s, start);
	if (held > s->visits)
		return;
	s->visits -= held;
	if (!any_open(s, start, end, false))
		return;
	reach(s, index, at);
	judge(s, start, end);
}

/* Follows what runs from an address until it leaves or ends; branches are left in s->outer for later. */
static void follow(struct search *s, uint64_t at)
{
	struct gap gap;
	uint64_t target;
	ZydisDecodedInstruction i;
	if (!gap_at(s, at, &gap)) {
		enter_function(s, at);
		return;
	}
	for (; at < gap.end && !s->gap_bad[gap.index]; at += i.length) {
		enum mark known = mark_at(s, at);
		if (known == REACHED || (known == INSIDE && is_boundary(s, at)))
			return;
		if (known == INSIDE || !decode(s, gap.stretch, at, gap.end, &i) ||
		    !inside_free(gap.stretch, at, i.length)) {
			s->gap_bad[gap.index] = true;
			return;
		}
		mark(gap.stretch, at, i.length, REACHED);
		note_site(s, gap.stretch, at, &i);
		if (branch_target(&i, at, &target))
			push(s, &s->outer, target);
		if (zvm_code_ends_path(&i))
			return;
	}
}

static void add_root(void *context, uint64_t address)
{
	struct search *s = context;
	push(s, &s->outer, address);
}

/* --- 3: the rest, read from end to end --- */

/* Where the padding at the end of a gap begins. */
static uint64_t padding_of(const struct gap *gap)
{
	const unsigned char *bytes = gap->stretch->bytes + (gap->start - gap->stretch->address);
	uint64_t size = gap->end - gap->start;
	while (size && (!bytes[size - 1] || bytes[size - 1] == 0xcc))
		size--;
	return gap->start + size;
}

static bool is_unlikely(const ZydisDecodedInstruction *i)
{
	return ((i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) && i->mnemonic != ZYDIS_MNEMONIC_HLT) ||
	       i->meta.category == ZYDIS_CATEGORY_IO || i->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

static bool sweep(struct search *s, const struct gap *gap)
{
	ZydisDecodedInstruction i;
	uint64_t target, end = padding_of(gap);
	s->inner.count = 0;
	for (uint64_t at = gap->start; at < end; at += i.length) {
		if (mark_at(s, at) == INSIDE || !decode(s, gap->stretch, at, gap->end, &i) || is_unlikely(&i) ||
		    !inside_free(gap->stretch, at, i.length))
			return false;
		if (mark_at(s, at) == UNKNOWN)
			mark(gap->stretch, at, i.length, START);
		note_site(s, gap->stretch, at, &i);
		if (branch_target(&i, at, &target) && target >= gap->start && target < gap->end)
			push(s, &s->inner, target);
	}
	for (size_t n = 0; n < s->inner.count; n++)
		if (!is_boundary(s, s->inner.list[n]))
			return false;
	return !s->error;
}

static void judge_gap(struct search *s, const struct gap *gap)
{
	if (!s->gap_bad[gap->index])
		judge(s, gap->start, gap->end);
	if (!any_open(s, gap->start, gap->end, true))
		return;
	if (s->gap_bad[gap->index] || !sweep(s, gap))
		disbelieve(s, gap->start, gap->end);
	else
		judge(s, gap->start, gap->end); /* what is still open then is an instruction, but nothing leads there */
}

static void read_gaps(struct search *s)
{
	struct gap gap;
	for (size_t i = 0; i < s->functions.count && !s->error; i++)
		read_function(s, i);
	zvm_code_roots(s->elf, add_root, s);
	for (size_t i = 0; i < s->outer.count && !s->error; i++)
		follow(s, s->outer.list[i]);
	for (size_t i = 0; i < s->count && !s->error; i++)
		if (s->candidates[i].verdict == OPEN && gap_at(s, s->candidates[i].address, &gap))
			judge_gap(s, &gap);
	for (size_t i = 0; i < s->count; i++)
		if (s->candidates[i].verdict == OPEN)
			s->candidates[i].verdict = UNPROVEN;
}

/* Texts and tables in an executable segment: nothing will lead there, and looking for a way costs most of all. */
static void give_up_outside_code(struct search *s)
{
	struct zvm_code_sections sections;
	zvm_code_sections(s->elf, &sections);
	for (size_t i = 0; i < s->count && sections.count; i++)
		if (s->candidates[i].verdict == OPEN && !zvm_code_sections_hold(&sections, s->candidates[i].address))
			s->candidates[i].verdict = UNPROVEN;
}

/* --- the whole --- */

static int prove(struct search *s)
{
	int r = zvm_code_functions(s->elf, &s->functions);
	if (r)
		return r;
	s->ends = calloc(s->functions.count + 1, sizeof *s->ends);
	s->believed = calloc(s->functions.count + 1, sizeof *s->believed);
	s->gap_bad = calloc(s->functions.count + 1, sizeof *s->gap_bad);
	if (!s->ends || !s->believed || !s->gap_bad)
		return -ENOMEM;
	/* Untouched pages of these cost nothing. */
	for (unsigned i = 0; i < s->stretch_count; i++)
		if (!(s->stretches[i].marks = calloc(s->stretches[i].size, 1)))
			return -ENOMEM;
	ZydisDecoderInit(&s->decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	s->budget = DECODED_MAX;
	s->visits = VISITS_MAX;
	read_functions_of_candidates(s);
	give_up_outside_code(s);
	if (!s->error && any_open(s, 0, UINT64_MAX, true))
		read_gaps(s);
	return s->error;
}

static int compare_sites(const void *a, const void *b)
{
	const struct zvm_site *x = a, *y = b;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->proven - y->proven;
}

/* One place of the file may be mapped twice: it is proven if it is wherever it lies. */
static void add_site(struct zvm_sites *ret, const struct zvm_site *site)
{
	if (ret->count && ret->list[ret->count - 1].offset == site->offset)
		return; /* the unproven one came first */
	ret->list[ret->count++] = *site;
	if (site->proven)
		ret->proven[site->kind]++;
	else
		ret->unproven += site->kind < ZVM_SITE_HAZARDS;
}

/* What room there is around a system call: the instructions beside it, as far as they are reached too. */
static void note_neighbours(struct search *s, uint64_t address, struct zvm_site *site)
{
	const struct stretch *x = stretch_of(s, address);
	uint64_t at = address - x->address, length = 1;
	while (length < at && length < INSTRUCTION_MAX && x->marks[at - length] == INSIDE)
		length++;
	if (length <= at && x->marks[at - length] == REACHED)
		site->before = (unsigned char)length;
	site->followed = at + 2 < x->size && x->marks[at + 2] == REACHED;
}

static int collect(struct search *s, struct zvm_sites *ret)
{
	size_t n = 0;
	ret->list = calloc(s->count + 1, sizeof *ret->list);
	zvm_autofree struct zvm_site *all = calloc(s->count + 1, sizeof *all);
	if (!ret->list || !all)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++) {
		const struct candidate *c = &s->candidates[i];
		if (c->verdict == REFUTED)
			continue;
		all[n] = (struct zvm_site){.offset = c->offset, .kind = c->kind, .proven = c->verdict == PROVEN};
		if (c->kind == ZVM_SITE_SYSCALL && c->verdict == PROVEN)
			note_neighbours(s, c->address, &all[n]);
		n++;
	}
	qsort(all, n, sizeof *all, compare_sites);
	for (size_t i = 0; i < n; i++)
		add_site(ret, &all[i]);
	return 0;
}

int zvm_sites_find(const struct zvm_elf_bytes *elf, struct zvm_sites *ret)
{
	struct search s = {.elf = elf};
	*ret = (struct zvm_sites){0};
	find_candidates(&s);
	int r = s.error;
	if (r == 0 && any_open(&s, 0, UINT64_MAX, false))
		r = prove(&s);
	r = r ? r : collect(&s, ret);
	for (unsigned i = 0; i < s.stretch_count; i++)
		free(s.stretches[i].marks);
	zvm_functions_free(&s.functions);
	free(s.candidates);
	free(s.inner.list);
	free(s.outer.list);
	free(s.ends);
	free(s.believed);
	free(s.gap_bad);
	if (r)
		zvm_sites_free(ret);
	return r;
}

void zvm_sites_free(struct zvm_sites *sites)
{
	free(sites->list);
	*sites = (struct zvm_sites){0};
}

bool zvm_sites_any(const struct zvm_sites *sites)
{
	for (int kind = 0; kind < ZVM_SITE_HAZARDS; kind++)
		if (sites->proven[kind])
			return true;
	return false;
}

const char *zvm_site_name(enum zvm_site_kind kind)
{
	static const char *const names[ZVM_SITE_KINDS] = {
	        [ZVM_SITE_CPUID] = "cpuid",   [ZVM_SITE_RDTSC] = "rdtsc",     [ZVM_SITE_RDTSCP] = "rdtscp",
	        [ZVM_SITE_RDRAND] = "rdrand", [ZVM_SITE_RDSEED] = "rdseed",   [ZVM_SITE_RDPID] = "rdpid",
	        [ZVM_SITE_XGETBV] = "xgetbv", [ZVM_SITE_RDPRU] = "rdpru",     [ZVM_SITE_RDPMC] = "rdpmc",
	        [ZVM_SITE_LSL] = "lsl",       [ZVM_SITE_SYSCALL] = "syscall", [ZVM_SITE_HALT] = "hlt",
	};
	return names[kind];
}
