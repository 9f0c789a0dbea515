/* One ELF file's code, counted: used by vet.c only. */
#ifndef ZVM_VET_CODE_H
#define ZVM_VET_CODE_H

#include <zvm/vet.h>
#include "code.h"

/* Counts into *ret, whose path and role stay as they are. 0 or -ENOMEM. */
int zvm_vet_code(const struct zvm_elf_bytes *elf, struct zvm_vetted_file *ret);

#endif
