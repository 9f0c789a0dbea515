/*
 * Jumps: system calls that lead to the monitor without a trap. See jumps.c for which, and why no guest can tell.
 *
 *   struct zvm_jump_area area;
 *   r = zvm_jumps_make(&elf, &sites, copy, &area);     // r < 0: -ENOMEM
 *   ... area.bytes, to be mapped area.reach bytes from the file's first byte; copy has the jumps in it ...
 *   zvm_jumps_free(&area);
 */
#ifndef ZVM_JUMPS_H
#define ZVM_JUMPS_H

#include "sites.h"

struct zvm_jump_area {
	unsigned char *bytes; /* trampolines, in the slots that protocol.h tells of; NULL: there are none */
	size_t size;          /* of whole pages */
	int64_t reach;
	size_t rewritten; /* proven system calls that jump */
	size_t left;      /* and those that go on to trap */
};

/*
 * Rewrites `copy`, which holds the file's bytes (hazards may have been taken away in it already: they are other
 * instructions), and makes the trampolines that it jumps to.
 */
int zvm_jumps_make(const struct zvm_elf_bytes *elf, const struct zvm_sites *sites, unsigned char *copy,
                   struct zvm_jump_area *ret);
void zvm_jumps_free(struct zvm_jump_area *area);

#endif
