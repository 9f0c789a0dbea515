/* Makes small ELF files, function by function, for tests of what is done to them. */
#ifndef MAKER_H
#define MAKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "prepare.h"

#define CODE_AT 0x1000u
#define CODE_ROOM 0x2000u
#define SYMBOLS_MAX 32
#define SECTIONS 4

struct file {
	Elf64_Ehdr header;
	Elf64_Phdr program;
	Elf64_Shdr sections[SECTIONS];
	Elf64_Sym symbols[SYMBOLS_MAX];
	char names[16];
};

/* A program of one segment, all of it text; its functions are known by their symbols. */
struct maker {
	struct file f;
	unsigned char code[CODE_ROOM];
	size_t size, symbols;
};

static void start(struct maker *m)
{
	memset(m, 0, sizeof *m);
	m->f.header = (Elf64_Ehdr){.e_ident = ELFMAG,
	                           .e_type = ET_DYN,
	                           .e_machine = EM_X86_64,
	                           .e_version = EV_CURRENT,
	                           .e_phoff = offsetof(struct file, program),
	                           .e_shoff = offsetof(struct file, sections),
	                           .e_ehsize = sizeof(Elf64_Ehdr),
	                           .e_phentsize = sizeof(Elf64_Phdr),
	                           .e_phnum = 1,
	                           .e_shentsize = sizeof(Elf64_Shdr),
	                           .e_shnum = SECTIONS,
	                           .e_shstrndx = 3};
	memcpy(m->f.header.e_ident + EI_CLASS, (unsigned char[]){ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, 3);
	m->f.sections[1] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
	                                .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
	                                .sh_addr = CODE_AT,
	                                .sh_offset = CODE_AT,
	                                .sh_size = CODE_ROOM};
	m->f.sections[2] = (Elf64_Shdr){
	        .sh_type = SHT_SYMTAB, .sh_offset = offsetof(struct file, symbols), .sh_entsize = sizeof(Elf64_Sym)};
	m->f.sections[3] = (Elf64_Shdr){
	        .sh_type = SHT_STRTAB, .sh_offset = offsetof(struct file, names), .sh_size = sizeof m->f.names};
}

/* Code that no table mentions. */
static void add(struct maker *m, const void *code, size_t size)
{
	memcpy(m->code + m->size, code, size);
	m->size += size;
}

static void add_function(struct maker *m, const void *code, size_t size)
{
	m->f.symbols[m->symbols++] =
	        (Elf64_Sym){.st_info = STT_FUNC, .st_shndx = 1, .st_value = CODE_AT + m->size, .st_size = size};
	add(m, code, size);
}

#define CODE(m, ...) add(m, (const unsigned char[]){__VA_ARGS__}, sizeof(unsigned char[]){__VA_ARGS__})
#define FUNCTION(m, ...) add_function(m, (const unsigned char[]){__VA_ARGS__}, sizeof(unsigned char[]){__VA_ARGS__})

static int write_file(struct maker *m)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	assert_true(fd >= 0);
	m->f.program = (Elf64_Phdr){.p_type = PT_LOAD,
	                            .p_flags = PF_R | PF_X,
	                            .p_vaddr = CODE_AT,
	                            .p_offset = CODE_AT,
	                            .p_filesz = m->size,
	                            .p_memsz = m->size,
	                            .p_align = 4096};
	m->f.sections[2].sh_size = m->symbols * sizeof(Elf64_Sym);
	assert_int_equal(pwrite(fd, &m->f, sizeof m->f, 0), sizeof m->f);
	assert_int_equal(pwrite(fd, m->code, m->size, CODE_AT), m->size);
	return fd;
}

static struct zvm_prepared prepare(struct maker *m)
{
	struct zvm_prepared prepared;
	zvm_autofd int fd = write_file(m);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_false(prepared.unread);
	return prepared;
}

#endif
