/*
 * Where code is in an ELF file: used by vet.c, vet_code.c and prepare's files.
 *
 *   struct zvm_functions functions;
 *   r = zvm_code_functions(&elf, &functions);        // r < 0: -ENOMEM, or -E2BIG: more than anybody writes
 *   for (i = 0; i < functions.count; i++)
 *           decode from functions.list[i].start up to .end; never beyond zvm_function_limit(&functions, i)
 *   zvm_functions_free(&functions);
 */
#ifndef ZVM_CODE_H
#define ZVM_CODE_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "protocol.h"

struct zvm_elf_bytes {
	const unsigned char *data; /* of the whole file */
	size_t size;
	const struct zvm_image *image; /* its checked plan */
};

/* Files beyond this are not looked into. */
#define ZVM_ELF_SIZE_MAX (256ull << 20)
/* The whole file; *ret is malloc'd. 0, -EFBIG, -ENODATA (it shrinks), -ENOMEM or the error of reading. */
int zvm_elf_read(int fd, unsigned char **ret, size_t *ret_size);

/* `length` bytes at an address as the file fills it, or NULL. */
const unsigned char *zvm_elf_at(const struct zvm_elf_bytes *elf, uint64_t address, uint64_t length);
/* How many bytes the file has from there to the end of the segment; 0: none. */
uint64_t zvm_elf_left(const struct zvm_elf_bytes *elf, uint64_t address);
/* The first program header of this type; false: none. */
bool zvm_elf_header(const struct zvm_elf_bytes *elf, uint32_t type, uint64_t *ret_address, uint64_t *ret_size);

struct zvm_function {
	uint64_t start, end;
};

struct zvm_functions {
	struct zvm_function *list; /* by start, each start once, with the farthest end that a table gives it */
	size_t count, room, looked_at;
	int error;
};

int zvm_code_functions(const struct zvm_elf_bytes *elf, struct zvm_functions *ret);
void zvm_functions_free(struct zvm_functions *functions);
/* The last function that starts at or before an address; SIZE_MAX: none. */
size_t zvm_function_before(const struct zvm_functions *functions, uint64_t address);
/* Where the next one starts: no function reaches into it. */
uint64_t zvm_function_limit(const struct zvm_functions *functions, size_t i);

/* The sections of code, where section headers tell them from tables and texts in the same segment; none: they do not.
 */
#define ZVM_CODE_SECTIONS_MAX 32
struct zvm_code_sections {
	struct zvm_function list[ZVM_CODE_SECTIONS_MAX];
	unsigned count;
};
void zvm_code_sections(const struct zvm_elf_bytes *elf, struct zvm_code_sections *ret);
bool zvm_code_sections_hold(const struct zvm_code_sections *sections, uint64_t address);

/*
 * Addresses, besides functions, at which something is known to be called: the entry point, what runs at start and end,
 * symbols without a size, pointers that the loader relocates. Calls `root` for each that lies in code.
 */
void zvm_code_roots(const struct zvm_elf_bytes *elf, void (*root)(void *context, uint64_t address), void *context);

/* Does the loader choose among variants of its functions, or does it ask a library which processor this is? */
bool zvm_code_is_chosen(const struct zvm_elf_bytes *elf);

/* Nothing runs on from here into the next bytes. */
bool zvm_code_ends_path(const ZydisDecodedInstruction *i);
/* The same at the end of a function, where a call is one that never returns. */
bool zvm_code_ends_function(const ZydisDecodedInstruction *i);

#endif
