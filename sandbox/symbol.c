#include "symbol.h"
#include <gelf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_SHOWN 128
/* Of a program with more symbols than this nobody waits for the name of one. */
#define SYMBOLS_MAX (4u << 20)

struct search {
	Elf *elf;
	uint64_t address; /* of the byte, as the file's symbols count */
	uint64_t best;    /* the highest start that is not beyond it */
	char name[NAME_MAX_SHOWN];
};

static bool find_address(Elf *elf, uint64_t offset, uint64_t *ret)
{
	size_t count;
	GElf_Phdr p;
	if (elf_getphdrnum(elf, &count))
		return false;
	for (size_t i = 0; i < count && i < 4096; i++)
		if (gelf_getphdr(elf, (int)i, &p) && p.p_type == PT_LOAD && offset >= p.p_offset &&
		    offset - p.p_offset < p.p_filesz) {
			*ret = offset - p.p_offset + p.p_vaddr;
			return true;
		}
	return false;
}

static void keep_name(struct search *s, const char *name, uint64_t start)
{
	size_t n = 0;
	for (; name[n] && n < sizeof s->name - 1; n++)
		s->name[n] = name[n] > ' ' && name[n] <= '~' ? name[n] : '?';
	s->name[n] = 0;
	s->best = start;
}

/* A symbol without a size, as assembly often has them, is as long as nothing else begins: where all are listed. */
static void look_into(struct search *s, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Sym symbol;
	size_t count = data && header->sh_entsize ? data->d_size / sizeof(Elf64_Sym) : 0;
	for (size_t i = 0; i < count && i < SYMBOLS_MAX; i++) {
		if (!gelf_getsym(data, (int)i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
		    symbol.st_shndx == SHN_UNDEF || symbol.st_value > s->address ||
		    (!symbol.st_size && header->sh_type != SHT_SYMTAB) || (*s->name && symbol.st_value <= s->best) ||
		    (symbol.st_size && s->address - symbol.st_value >= symbol.st_size))
			continue;
		const char *name = elf_strptr(s->elf, header->sh_link, symbol.st_name);
		if (name && *name)
			keep_name(s, name, symbol.st_value);
	}
}

static char *find_name(struct search *s)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
	char *text = NULL;
	for (size_t i = 0; i < 2 && !*s->name; i++) {
		GElf_Shdr header;
		for (Elf_Scn *section = NULL; (section = elf_nextscn(s->elf, section));)
			if (gelf_getshdr(section, &header) && header.sh_type == types[i])
				look_into(s, section, &header);
	}
	if (!*s->name || asprintf(&text, "%s+0x%llx", s->name, (unsigned long long)(s->address - s->best)) < 0)
		return NULL;
	return text;
}

char *zvm_symbol_at(int fd, uint64_t offset)
{
	struct search s = {.best = 0};
	elf_version(EV_CURRENT);
	s.elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!s.elf)
		return NULL;
	char *text = elf_kind(s.elf) == ELF_K_ELF && gelf_getclass(s.elf) == ELFCLASS64 &&
	                             find_address(s.elf, offset, &s.address)
	                     ? find_name(&s)
	                     : NULL;
	elf_end(s.elf);
	return text;
}
