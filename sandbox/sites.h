/*
 * The instructions that prepare.c rewrites, found in one ELF file: see sites.c.
 *
 *   struct zvm_sites sites;
 *   r = zvm_sites_find(&elf, &sites);          // r < 0: -ENOMEM; -E2BIG: more than is looked into
 *   for (i = 0; i < sites.count; i++) ... sites.list[i] ...
 *   zvm_sites_free(&sites);
 */
#ifndef ZVM_SITES_H
#define ZVM_SITES_H

#include "code.h"

enum zvm_site_kind {
	ZVM_SITE_CPUID,
	ZVM_SITE_RDTSC,
	ZVM_SITE_RDTSCP,
	ZVM_SITE_RDRAND,
	ZVM_SITE_RDSEED,
	ZVM_SITE_RDPID,
	ZVM_SITE_XGETBV,
	ZVM_SITE_RDPRU,
	ZVM_SITE_RDPMC,
	ZVM_SITE_LSL,     /* of a register */
	ZVM_SITE_HAZARDS, /* how many kinds tell machines or moments apart: those above */
	ZVM_SITE_SYSCALL = ZVM_SITE_HAZARDS,
	ZVM_SITE_HALT, /* a true hlt whose next bytes would make it look like a site that was rewritten */
	ZVM_SITE_KINDS
};

/* "cpuid", ... */
const char *zvm_site_name(enum zvm_site_kind kind);

struct zvm_site {
	uint64_t offset; /* in the file, of the byte 0f, or f4 of a hlt */
	enum zvm_site_kind kind;
	bool proven; /* decoded there from a known function; else only its bytes look like it, in executable memory */
	/* Of a system call: how long the proven instruction before it is (0: none is known), and whether one follows.
	 */
	unsigned char before;
	bool followed;
};

struct zvm_sites {
	struct zvm_site *list; /* by offset */
	size_t count;
	size_t proven[ZVM_SITE_KINDS];
	size_t unproven; /* of hazards */
};

int zvm_sites_find(const struct zvm_elf_bytes *elf, struct zvm_sites *ret);
void zvm_sites_free(struct zvm_sites *sites);
/* Is there a hazard to take away? */
bool zvm_sites_any(const struct zvm_sites *sites);

#endif
