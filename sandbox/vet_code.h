/* One ELF file's code, decoded: used by vet.c only. */
#ifndef ZVM_VET_CODE_H
#define ZVM_VET_CODE_H

#include <stddef.h>
#include <zvm/vet.h>
#include "protocol.h"

struct zvm_elf_bytes {
	const unsigned char *data; /* of the whole file */
	size_t size;
	const struct zvm_image *image; /* its checked plan */
};

/* `length` bytes at an address as the file fills it, or NULL. */
const unsigned char *zvm_elf_at(const struct zvm_elf_bytes *elf, uint64_t address, uint64_t length);
/* How many bytes the file has from there to the end of the segment; 0: none. */
uint64_t zvm_elf_left(const struct zvm_elf_bytes *elf, uint64_t address);

/* The first program header of this type; false: none. */
bool zvm_elf_header(const struct zvm_elf_bytes *elf, uint32_t type, uint64_t *ret_address, uint64_t *ret_size);

/* Counts into *ret, whose path and role stay as they are. 0 or -ENOMEM. */
int zvm_vet_code(const struct zvm_elf_bytes *elf, struct zvm_vetted_file *ret);

#endif
