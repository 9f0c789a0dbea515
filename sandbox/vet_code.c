/*
 * Reading code without guessing. Functions are found where the unwinder would find them, in the frame descriptions of
 * .eh_frame, and in symbol tables; each is decoded from its start to its end. Bytes that no table mentions are left
 * alone: between functions lie tables and padding, and a byte pair that looks like `syscall` is usually the tail of
 * something else.
 *
 * The file is hostile: every address goes through zvm_elf_at, every count is bounded by the bytes that must hold it.
 */
#include "vet_code.h"
#include <Zydis/Zydis.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct range {
	uint64_t start, end;
};

struct ranges {
	struct range *list;
	size_t count, room;
	bool failed;
};

/* --- bytes --- */

const unsigned char *zvm_elf_at(const struct zvm_elf_bytes *elf, uint64_t address, uint64_t length)
{
	for (uint32_t i = 0; i < elf->image->segment_count; i++) {
		const struct zvm_segment *s = &elf->image->segments[i];
		if (address < s->address || address - s->address > s->file_size ||
		    length > s->file_size - (address - s->address))
			continue;
		uint64_t offset = s->file_offset + (address - s->address);
		return offset <= elf->size && length <= elf->size - offset ? elf->data + offset : NULL;
	}
	return NULL;
}

uint64_t zvm_elf_left(const struct zvm_elf_bytes *elf, uint64_t address)
{
	for (uint32_t i = 0; i < elf->image->segment_count; i++) {
		const struct zvm_segment *s = &elf->image->segments[i];
		if (address >= s->address && address - s->address < s->file_size)
			return s->file_size - (address - s->address);
	}
	return 0;
}

bool zvm_elf_header(const struct zvm_elf_bytes *elf, uint32_t type, uint64_t *ret_address, uint64_t *ret_size)
{
	Elf64_Ehdr header;
	Elf64_Phdr program;
	if (elf->size < sizeof header)
		return false;
	memcpy(&header, elf->data, sizeof header);
	if (header.e_phoff > elf->size || header.e_phnum > (elf->size - header.e_phoff) / sizeof program)
		return false;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		memcpy(&program, elf->data + header.e_phoff + i * sizeof program, sizeof program);
		if (program.p_type != type)
			continue;
		*ret_address = program.p_vaddr;
		*ret_size = program.p_filesz;
		return true;
	}
	return false;
}

static bool is_code(const struct zvm_elf_bytes *elf, uint64_t address)
{
	for (uint32_t i = 0; i < elf->image->segment_count; i++) {
		const struct zvm_segment *s = &elf->image->segments[i];
		if ((s->protection & PROT_EXEC) && address >= s->address && address - s->address < s->file_size)
			return true;
	}
	return false;
}

static void add_range(struct ranges *ranges, const struct zvm_elf_bytes *elf, uint64_t start, uint64_t size)
{
	if (!size || size > UINT64_MAX - start || !is_code(elf, start))
		return;
	if (ranges->count == ranges->room) {
		size_t room = ranges->room ? ranges->room * 2 : 1024;
		struct range *more = realloc(ranges->list, room * sizeof *more);
		if (!more) {
			ranges->failed = true;
			return;
		}
		ranges->list = more;
		ranges->room = room;
	}
	ranges->list[ranges->count++] = (struct range){start, start + size};
}

/* --- .eh_frame --- */

/* A stretch of it being read; `bad` sticks. */
struct cursor {
	const struct zvm_elf_bytes *elf;
	uint64_t address, end;
	bool bad;
};

static uint64_t take(struct cursor *c, unsigned size)
{
	uint64_t value = 0;
	const unsigned char *at = c->end - c->address >= size ? zvm_elf_at(c->elf, c->address, size) : NULL;
	if (c->bad || c->address > c->end || !at) {
		c->bad = true;
		return 0;
	}
	memcpy(&value, at, size);
	c->address += size;
	return value;
}

static uint64_t take_leb(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint64_t byte = take(c, 1);
		value |= shift < 64 ? (byte & 0x7f) << shift : 0;
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

/* A pointer as DW_EH_PE_* say it is written: format in the low half, base in the high. */
static uint64_t take_encoded(struct cursor *c, unsigned encoding)
{
	uint64_t base = (encoding & 0x70) == 0x10 ? c->address : 0, value;
	if ((encoding & 0x70) > 0x10 || (encoding & 0x80)) {
		c->bad = true;
		return 0;
	}
	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c: value = take(c, 8); break;
	case 0x02: value = take(c, 2); break;
	case 0x0a: value = (uint64_t)(int64_t)(int16_t)take(c, 2); break;
	case 0x03: value = take(c, 4); break;
	case 0x0b: value = (uint64_t)(int64_t)(int32_t)take(c, 4); break;
	default: c->bad = true; return 0;
	}
	return base + value;
}

struct common {
	unsigned encoding; /* of the addresses in its frame descriptions */
	bool signal_frame;
};

/* The common part that a frame description refers to. */
static struct common read_common(const struct zvm_elf_bytes *elf, uint64_t address)
{
	struct common common = {0};
	struct cursor c = {.elf = elf, .address = address, .end = UINT64_MAX};
	char augmentation[8] = "";
	uint64_t length = take(&c, 4);
	c.end = c.address + (length < 0xfffffff0 ? length : 0);
	unsigned id = (unsigned)take(&c, 4), version = (unsigned)take(&c, 1);
	for (unsigned i = 0; i < sizeof augmentation - 1; i++)
		if (!(augmentation[i] = (char)take(&c, 1)))
			break;
	take_leb(&c);
	take_leb(&c);
	if (version == 1)
		take(&c, 1);
	else
		take_leb(&c);
	if (id || c.bad || augmentation[0] != 'z')
		return common;
	take_leb(&c);
	for (const char *a = augmentation + 1; *a; a++) {
		if (*a == 'R')
			common.encoding = (unsigned)take(&c, 1);
		else if (*a == 'L')
			take(&c, 1);
		else if (*a == 'P')
			take_encoded(&c, (unsigned)take(&c, 1) & 0x7f);
		else if (*a == 'S')
			common.signal_frame = true;
	}
	return common;
}

static void read_frames(const struct zvm_elf_bytes *elf, uint64_t address, struct ranges *ranges)
{
	struct cursor c = {.elf = elf, .address = address, .end = address + zvm_elf_left(elf, address)};
	while (!c.bad && c.end - c.address >= 4) {
		uint64_t length = take(&c, 4), start = c.address;
		if (length < 4 || length >= 0xfffffff0 || length > c.end - start)
			return; /* the terminator, or nothing that gcc, clang or ld write */
		uint64_t back = take(&c, 4);
		if (back && back <= start - address) {
			struct common common = read_common(elf, start - back);
			uint64_t from = take_encoded(&c, common.encoding);
			uint64_t size = take_encoded(&c, common.encoding & 0x0f);
			/* Signal frames begin one byte early, for unwinders that look before the return address. */
			if (!c.bad && size > common.signal_frame)
				add_range(ranges, elf, from + common.signal_frame, size - common.signal_frame);
			c.bad = false;
		}
		c.address = start + length;
	}
}

static bool find_section(const struct zvm_elf_bytes *elf, const char *name, Elf64_Shdr *ret);

/* By the unwinder's own index; static programs may have the section without one. */
static void add_frames(const struct zvm_elf_bytes *elf, struct ranges *ranges)
{
	uint64_t address, size;
	Elf64_Shdr section;
	if (!zvm_elf_header(elf, PT_GNU_EH_FRAME, &address, &size)) {
		if (find_section(elf, ".eh_frame", &section))
			read_frames(elf, section.sh_addr, ranges);
		return;
	}
	struct cursor c = {.elf = elf, .address = address, .end = address + size};
	uint64_t version = take(&c, 1), encoding = take(&c, 1);
	take(&c, 2);
	uint64_t frames = take_encoded(&c, (unsigned)encoding);
	if (!c.bad && version == 1)
		read_frames(elf, frames, ranges);
}

/* --- sections and symbols --- */

static unsigned section_count(const struct zvm_elf_bytes *elf, Elf64_Ehdr *header)
{
	memcpy(header, elf->data, sizeof *header);
	if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff > elf->size ||
	    header->e_shnum > (elf->size - header->e_shoff) / sizeof(Elf64_Shdr))
		return 0;
	return header->e_shnum;
}

static Elf64_Shdr section_at(const struct zvm_elf_bytes *elf, const Elf64_Ehdr *header, unsigned i)
{
	Elf64_Shdr section;
	memcpy(&section, elf->data + header->e_shoff + i * sizeof section, sizeof section);
	return section;
}

static bool find_section(const struct zvm_elf_bytes *elf, const char *name, Elf64_Shdr *ret)
{
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	if (header.e_shstrndx >= n)
		return false;
	Elf64_Shdr names = section_at(elf, &header, header.e_shstrndx);
	size_t length = strlen(name) + 1;
	if (names.sh_offset > elf->size || names.sh_size > elf->size - names.sh_offset)
		return false;
	for (unsigned i = 0; i < n; i++) {
		*ret = section_at(elf, &header, i);
		if (ret->sh_name < names.sh_size && length <= names.sh_size - ret->sh_name &&
		    !memcmp(elf->data + names.sh_offset + ret->sh_name, name, length))
			return true;
	}
	return false;
}

static void add_symbol_table(const struct zvm_elf_bytes *elf, const Elf64_Shdr *section, struct ranges *ranges)
{
	Elf64_Sym symbol;
	if (section->sh_offset > elf->size || section->sh_size > elf->size - section->sh_offset ||
	    section->sh_entsize != sizeof symbol)
		return;
	for (uint64_t at = 0; at + sizeof symbol <= section->sh_size; at += sizeof symbol) {
		memcpy(&symbol, elf->data + section->sh_offset + at, sizeof symbol);
		unsigned type = ELF64_ST_TYPE(symbol.st_info);
		if (symbol.st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC))
			add_range(ranges, elf, symbol.st_value, symbol.st_size);
	}
}

static void add_symbols(const struct zvm_elf_bytes *elf, struct ranges *ranges)
{
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	for (unsigned i = 0; i < n; i++) {
		Elf64_Shdr section = section_at(elf, &header, i);
		if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM)
			add_symbol_table(elf, &section, ranges);
	}
}

/* --- instructions --- */

static int hazard_of(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID: return ZVM_HAZARD_CPUID;
	case ZYDIS_MNEMONIC_XGETBV: return ZVM_HAZARD_XGETBV;
	case ZYDIS_MNEMONIC_RDTSC: return ZVM_HAZARD_RDTSC;
	case ZYDIS_MNEMONIC_RDTSCP: return ZVM_HAZARD_RDTSCP;
	case ZYDIS_MNEMONIC_RDRAND: return ZVM_HAZARD_RDRAND;
	case ZYDIS_MNEMONIC_RDSEED: return ZVM_HAZARD_RDSEED;
	case ZYDIS_MNEMONIC_RDPID: return ZVM_HAZARD_RDPID;
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDPRU: return ZVM_HAZARD_RDPMC;
	case ZYDIS_MNEMONIC_XBEGIN: return ZVM_HAZARD_XBEGIN;
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_LSL: return ZVM_HAZARD_TABLES;
	case ZYDIS_MNEMONIC_RCPPS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_RSQRTPS:
	case ZYDIS_MNEMONIC_RSQRTSS:
	case ZYDIS_MNEMONIC_VRCPPS:
	case ZYDIS_MNEMONIC_VRCPSS:
	case ZYDIS_MNEMONIC_VRSQRTPS:
	case ZYDIS_MNEMONIC_VRSQRTSS:
	case ZYDIS_MNEMONIC_FSIN:
	case ZYDIS_MNEMONIC_FCOS:
	case ZYDIS_MNEMONIC_FSINCOS:
	case ZYDIS_MNEMONIC_FPTAN:
	case ZYDIS_MNEMONIC_FPATAN:
	case ZYDIS_MNEMONIC_F2XM1:
	case ZYDIS_MNEMONIC_FYL2X:
	case ZYDIS_MNEMONIC_FYL2XP1: return ZVM_HAZARD_APPROXIMATE;
	case ZYDIS_MNEMONIC_SYSENTER: return ZVM_HAZARD_LEGACY_CALL;
	case ZYDIS_MNEMONIC_INT: return i->raw.imm[0].value.u == 0x80 ? ZVM_HAZARD_LEGACY_CALL : -1;
	default: return -1;
	}
}

static void count(const ZydisDecodedInstruction *i, struct zvm_vetted_file *ret)
{
	int hazard = hazard_of(i);
	if (hazard >= 0)
		ret->hazards[hazard]++;
	ret->syscall_sites += i->mnemonic == ZYDIS_MNEMONIC_SYSCALL;
	ret->vector_instructions +=
	        i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX || i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	ret->decoded_bytes += i->length;
}

/* Nothing runs on from here into the next bytes; a call that ends a function is one that never returns. */
static bool ends_path(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_CALL || i->meta.category == ZYDIS_CATEGORY_RET ||
	       i->meta.category == ZYDIS_CATEGORY_UNCOND_BR || i->mnemonic == ZYDIS_MNEMONIC_HLT ||
	       i->mnemonic == ZYDIS_MNEMONIC_UD2 || i->mnemonic == ZYDIS_MNEMONIC_INT3;
}

/*
 * From start to end; and on to `limit`, where the next function begins, if the last instruction runs on: clone's
 * frame description ends before its `syscall`, because there is nothing to unwind after it.
 */
static void decode_function(const ZydisDecoder *decoder, const struct zvm_elf_bytes *elf, uint64_t start, uint64_t end,
                            uint64_t limit, struct zvm_vetted_file *ret)
{
	ZydisDecodedInstruction i;
	bool runs_on = true;
	uint64_t at = start, left = zvm_elf_left(elf, start);
	const unsigned char *bytes = zvm_elf_at(elf, start, left);
	ret->functions++;
	if (limit - start > left)
		limit = start + left;
	while (bytes && at < limit && (at < end || runs_on)) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, bytes + (at - start), limit - at, &i))) {
			ret->unreadable += at < end;
			return;
		}
		count(&i, ret);
		runs_on = !ends_path(&i);
		at += i.length;
	}
}

static int compare_ranges(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* Each start once, with the farthest end; no function reaches into the next. */
static void decode_ranges(const struct zvm_elf_bytes *elf, struct ranges *ranges, struct zvm_vetted_file *ret)
{
	ZydisDecoder decoder;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (ranges->count)
		qsort(ranges->list, ranges->count, sizeof *ranges->list, compare_ranges);
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *r = &ranges->list[i];
		uint64_t limit = i + 1 < ranges->count ? ranges->list[i + 1].start : UINT64_MAX;
		if (limit != r->start)
			decode_function(&decoder, elf, r->start, r->end, limit, ret);
	}
}

int zvm_vet_code(const struct zvm_elf_bytes *elf, struct zvm_vetted_file *ret)
{
	struct ranges ranges = {0};
	for (uint32_t i = 0; i < elf->image->segment_count; i++)
		if (elf->image->segments[i].protection & PROT_EXEC)
			ret->code_bytes += elf->image->segments[i].file_size;
	add_frames(elf, &ranges);
	add_symbols(elf, &ranges);
	if (!ranges.failed)
		decode_ranges(elf, &ranges, ret);
	free(ranges.list);
	return ranges.failed ? -ENOMEM : 0;
}
