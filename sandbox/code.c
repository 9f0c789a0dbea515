/*
 * Where code is in an ELF file, without guessing. Functions are found where the unwinder would find them, in the frame
 * descriptions of .eh_frame, and in symbol tables. Bytes that no table mentions are left to others: between functions
 * lie tables and padding, and a byte pair that looks like `syscall` is usually the tail of something else.
 *
 * The file is hostile: every address goes through zvm_elf_at, every count is bounded by the bytes that must hold it,
 * and how much of the tables is looked at is bounded as well, because section headers may name the same table again and
 * again.
 */
#include "code.h"
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>

/* Ten times what the largest programs of a distribution have. */
#define FUNCTIONS_MAX (1u << 20)
#define ENTRIES_MAX (8u << 20)

/* --- bytes --- */

int zvm_elf_read(int fd, unsigned char **ret, size_t *ret_size)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > ZVM_ELF_SIZE_MAX)
		return -EFBIG;
	size_t size = (size_t)st.st_size, done = 0;
	zvm_autofree unsigned char *data = malloc(size ? size : 1);
	while (data && done < size) {
		ssize_t n = pread(fd, data + done, size - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		done += (size_t)n;
	}
	if (!data)
		return -ENOMEM;
	*ret = zvm_steal_pointer(&data);
	*ret_size = size;
	return 0;
}

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

/* One more entry of a table; false: enough. */
static bool look(struct zvm_functions *functions)
{
	if (!functions->error && ++functions->looked_at > ENTRIES_MAX)
		functions->error = -E2BIG;
	return !functions->error;
}

static void add_range(struct zvm_functions *functions, const struct zvm_elf_bytes *elf, uint64_t start, uint64_t size)
{
	if (!size || size > UINT64_MAX - start || !is_code(elf, start) || functions->error)
		return;
	if (functions->count == FUNCTIONS_MAX) {
		functions->error = -E2BIG;
		return;
	}
	if (functions->count == functions->room) {
		size_t room = functions->room ? functions->room * 2 : 1024;
		struct zvm_function *more = realloc(functions->list, room * sizeof *more);
		if (!more) {
			functions->error = -ENOMEM;
			return;
		}
		functions->list = more;
		functions->room = room;
	}
	functions->list[functions->count++] = (struct zvm_function){start, start + size};
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

static void read_frames(const struct zvm_elf_bytes *elf, uint64_t address, struct zvm_functions *functions)
{
	struct cursor c = {.elf = elf, .address = address, .end = address + zvm_elf_left(elf, address)};
	while (!c.bad && c.end - c.address >= 4 && look(functions)) {
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
				add_range(functions, elf, from + common.signal_frame, size - common.signal_frame);
			c.bad = false;
		}
		c.address = start + length;
	}
}

static bool find_section(const struct zvm_elf_bytes *elf, const char *name, Elf64_Shdr *ret);

/* By the unwinder's own index; static programs may have the section without one. */
static void add_frames(const struct zvm_elf_bytes *elf, struct zvm_functions *functions)
{
	uint64_t address, size;
	Elf64_Shdr section;
	if (!zvm_elf_header(elf, PT_GNU_EH_FRAME, &address, &size)) {
		if (find_section(elf, ".eh_frame", &section))
			read_frames(elf, section.sh_addr, functions);
		return;
	}
	struct cursor c = {.elf = elf, .address = address, .end = address + size};
	uint64_t version = take(&c, 1), encoding = take(&c, 1);
	take(&c, 2);
	uint64_t frames = take_encoded(&c, (unsigned)encoding);
	if (!c.bad && version == 1)
		read_frames(elf, frames, functions);
}

/* --- sections and symbols --- */

static unsigned section_count(const struct zvm_elf_bytes *elf, Elf64_Ehdr *header)
{
	if (elf->size < sizeof *header) {
		*header = (Elf64_Ehdr){0};
		return 0;
	}
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

static void add_symbol_table(const struct zvm_elf_bytes *elf, const Elf64_Shdr *section,
                             struct zvm_functions *functions)
{
	Elf64_Sym symbol;
	if (section->sh_offset > elf->size || section->sh_size > elf->size - section->sh_offset ||
	    section->sh_entsize != sizeof symbol)
		return;
	for (uint64_t at = 0; at + sizeof symbol <= section->sh_size && look(functions); at += sizeof symbol) {
		memcpy(&symbol, elf->data + section->sh_offset + at, sizeof symbol);
		unsigned type = ELF64_ST_TYPE(symbol.st_info);
		if (symbol.st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC))
			add_range(functions, elf, symbol.st_value, symbol.st_size);
	}
}

static void add_symbols(const struct zvm_elf_bytes *elf, struct zvm_functions *functions)
{
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	for (unsigned i = 0; i < n; i++) {
		Elf64_Shdr section = section_at(elf, &header, i);
		if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM)
			add_symbol_table(elf, &section, functions);
	}
}

/* --- functions --- */

static int compare_functions(const void *a, const void *b)
{
	const struct zvm_function *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

int zvm_code_functions(const struct zvm_elf_bytes *elf, struct zvm_functions *ret)
{
	*ret = (struct zvm_functions){0};
	add_frames(elf, ret);
	add_symbols(elf, ret);
	if (ret->error) {
		zvm_functions_free(ret);
		return ret->error;
	}
	if (ret->count)
		qsort(ret->list, ret->count, sizeof *ret->list, compare_functions);
	size_t kept = 0;
	for (size_t i = 0; i < ret->count; i++) {
		if (kept && ret->list[kept - 1].start == ret->list[i].start)
			kept--; /* of two with one start the longer comes last */
		ret->list[kept++] = ret->list[i];
	}
	ret->count = kept;
	return 0;
}

void zvm_functions_free(struct zvm_functions *functions)
{
	free(functions->list);
	*functions = (struct zvm_functions){.error = functions->error};
}

size_t zvm_function_before(const struct zvm_functions *functions, uint64_t address)
{
	size_t low = 0, high = functions->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (functions->list[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : SIZE_MAX;
}

uint64_t zvm_function_limit(const struct zvm_functions *functions, size_t i)
{
	return i + 1 < functions->count ? functions->list[i + 1].start : UINT64_MAX;
}

/* --- sections of code --- */

void zvm_code_sections(const struct zvm_elf_bytes *elf, struct zvm_code_sections *ret)
{
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	ret->count = 0;
	for (unsigned i = 0; i < n && ret->count < ZVM_CODE_SECTIONS_MAX; i++) {
		Elf64_Shdr section = section_at(elf, &header, i);
		if ((section.sh_flags & SHF_EXECINSTR) && section.sh_size <= UINT64_MAX - section.sh_addr)
			ret->list[ret->count++] =
			        (struct zvm_function){section.sh_addr, section.sh_addr + section.sh_size};
	}
}

bool zvm_code_sections_hold(const struct zvm_code_sections *sections, uint64_t address)
{
	for (unsigned i = 0; i < sections->count; i++)
		if (address >= sections->list[i].start && address < sections->list[i].end)
			return true;
	return false;
}

/* --- roots --- */

struct roots {
	const struct zvm_elf_bytes *elf;
	void (*root)(void *context, uint64_t address);
	void *context;
	size_t looked_at;
	struct zvm_code_sections sections;
};

static void add_root(struct roots *r, uint64_t address)
{
	if (address && is_code(r->elf, address)) /* 0: there is none */
		r->root(r->context, address);
}

/* Pointers that the loader adds its base to: of those into code, nearly all are to functions. */
static void add_relocations(struct roots *r, uint64_t address, uint64_t size)
{
	Elf64_Rela relocation;
	for (uint64_t at = 0; at + sizeof relocation <= size && r->looked_at++ < ENTRIES_MAX; at += sizeof relocation) {
		const unsigned char *bytes = zvm_elf_at(r->elf, address + at, sizeof relocation);
		if (!bytes)
			return;
		memcpy(&relocation, bytes, sizeof relocation);
		unsigned long type = ELF64_R_TYPE(relocation.r_info);
		uint64_t to = (uint64_t)relocation.r_addend;
		if ((type == R_X86_64_RELATIVE || type == R_X86_64_IRELATIVE) &&
		    zvm_code_sections_hold(&r->sections, to))
			add_root(r, to);
	}
}

static void add_array(struct roots *r, uint64_t address, uint64_t size)
{
	uint64_t pointer;
	for (uint64_t at = 0; at + sizeof pointer <= size && r->looked_at++ < ENTRIES_MAX; at += sizeof pointer) {
		const unsigned char *bytes = zvm_elf_at(r->elf, address + at, sizeof pointer);
		if (!bytes)
			return;
		memcpy(&pointer, bytes, sizeof pointer);
		add_root(r, pointer);
	}
}

static void add_dynamic(struct roots *r)
{
	uint64_t address, size, value[DT_FINI_ARRAYSZ + 1] = {0};
	Elf64_Dyn entry;
	if (!zvm_elf_header(r->elf, PT_DYNAMIC, &address, &size))
		return;
	for (uint64_t at = 0; at + sizeof entry <= size && r->looked_at++ < ENTRIES_MAX; at += sizeof entry) {
		const unsigned char *bytes = zvm_elf_at(r->elf, address + at, sizeof entry);
		if (!bytes)
			return;
		memcpy(&entry, bytes, sizeof entry);
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag > 0 && entry.d_tag <= DT_FINI_ARRAYSZ)
			value[entry.d_tag] = entry.d_un.d_val;
	}
	add_root(r, value[DT_INIT]);
	add_root(r, value[DT_FINI]);
	add_array(r, value[DT_INIT_ARRAY], value[DT_INIT_ARRAYSZ]);
	add_array(r, value[DT_FINI_ARRAY], value[DT_FINI_ARRAYSZ]);
	add_relocations(r, value[DT_RELA], value[DT_RELASZ]);
}

static void add_symbol_roots(struct roots *r, const Elf64_Shdr *section)
{
	Elf64_Sym symbol;
	if (section->sh_offset > r->elf->size || section->sh_size > r->elf->size - section->sh_offset)
		return;
	for (uint64_t at = 0; at + sizeof symbol <= section->sh_size && r->looked_at++ < ENTRIES_MAX;
	     at += sizeof symbol) {
		memcpy(&symbol, r->elf->data + section->sh_offset + at, sizeof symbol);
		unsigned type = ELF64_ST_TYPE(symbol.st_info);
		if (symbol.st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_GNU_IFUNC))
			add_root(r, symbol.st_value);
	}
}

void zvm_code_roots(const struct zvm_elf_bytes *elf, void (*root)(void *context, uint64_t address), void *context)
{
	struct roots r = {.elf = elf, .root = root, .context = context};
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	zvm_code_sections(elf, &r.sections);
	add_root(&r, elf->image->entry);
	add_dynamic(&r);
	for (unsigned i = 0; i < n; i++) {
		Elf64_Shdr section = section_at(elf, &header, i);
		if (section.sh_type == SHT_SYMTAB || section.sh_type == SHT_DYNSYM)
			add_symbol_roots(&r, &section);
		else if (section.sh_type == SHT_INIT_ARRAY || section.sh_type == SHT_FINI_ARRAY)
			add_array(&r, section.sh_addr, section.sh_size);
	}
}

/* --- variants --- */

/* Libraries' answers to which processor this is. */
static bool tells_of_processor(const char *name)
{
	static const char *const names[] = {"__cpu_model",          "__cpu_features2",
	                                    "__cpu_indicator_init", "__x86_get_cpuid_feature_leaf",
	                                    "__get_cpu_features",   "getauxval"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static const char *symbol_name(const struct zvm_elf_bytes *elf, const Elf64_Shdr *names, const Elf64_Sym *symbol)
{
	if (names->sh_offset > elf->size || names->sh_size > elf->size - names->sh_offset ||
	    symbol->st_name >= names->sh_size)
		return "";
	const char *name = (const char *)elf->data + names->sh_offset + symbol->st_name;
	uint64_t left = names->sh_size - symbol->st_name;
	return memchr(name, 0, left < NAME_MAX ? left : NAME_MAX) ? name : "";
}

static bool has_chosen_symbol(const struct zvm_elf_bytes *elf, const Elf64_Shdr *table, const Elf64_Shdr *names)
{
	Elf64_Sym symbol;
	if (table->sh_offset > elf->size || table->sh_size > elf->size - table->sh_offset)
		return false;
	uint64_t count = table->sh_size / sizeof symbol;
	for (uint64_t i = 0; i < count && i < ENTRIES_MAX; i++) {
		memcpy(&symbol, elf->data + table->sh_offset + i * sizeof symbol, sizeof symbol);
		if (ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC && symbol.st_shndx != SHN_UNDEF)
			return true;
		if (tells_of_processor(symbol_name(elf, names, &symbol)))
			return true;
	}
	return false;
}

bool zvm_code_is_chosen(const struct zvm_elf_bytes *elf)
{
	Elf64_Ehdr header;
	unsigned n = section_count(elf, &header);
	for (unsigned i = 0; i < n; i++) {
		Elf64_Shdr table = section_at(elf, &header, i);
		if (table.sh_type != SHT_DYNSYM || table.sh_link >= n)
			continue;
		Elf64_Shdr names = section_at(elf, &header, table.sh_link);
		return has_chosen_symbol(elf, &table, &names);
	}
	return false;
}

/* --- instructions --- */

bool zvm_code_ends_path(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_RET || i->meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
	       i->mnemonic == ZYDIS_MNEMONIC_HLT || i->mnemonic == ZYDIS_MNEMONIC_UD2 ||
	       i->mnemonic == ZYDIS_MNEMONIC_INT3;
}

bool zvm_code_ends_function(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_CALL || zvm_code_ends_path(i);
}
