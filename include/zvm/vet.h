/*
 * Vetting: what a program is made of, and what in its code could tell one machine or moment from another.
 *
 *   struct zvm_vetting v;
 *   r = zvm_vet("/usr/bin/gawk", &v);     // r < 0: v.message says why, in one line
 *   for (i = 0; i < v.count; i++) ... v.files[i] ...
 *   zvm_vetting_free(&v);
 *
 * Paths are the host's. Code is decoded function by function (unwind tables and symbols say where they are), never by
 * scanning bytes, which finds three times as many system calls as there are. What no table covers is not counted:
 * `decoded_bytes` says how much was. What boxes rewrite is told by the code that rewrites.
 */
#ifndef ZVM_VET_H
#define ZVM_VET_H

#include <stdbool.h>
#include <stdint.h>

enum zvm_hazard {
	ZVM_HAZARD_CPUID,
	ZVM_HAZARD_XGETBV,
	ZVM_HAZARD_RDTSC,
	ZVM_HAZARD_RDTSCP,
	ZVM_HAZARD_RDRAND,
	ZVM_HAZARD_RDSEED,
	ZVM_HAZARD_RDPID,
	ZVM_HAZARD_RDPRU,
	ZVM_HAZARD_RDPMC,
	ZVM_HAZARD_LSL,         /* tells the number of the processor */
	ZVM_HAZARD_XBEGIN,      /* transactions abort by chance */
	ZVM_HAZARD_TABLES,      /* sgdt, sidt, sldt, str, smsw: where the kernel keeps things */
	ZVM_HAZARD_XSAVE,       /* xsave*: as large as this processor's registers */
	ZVM_HAZARD_APPROXIMATE, /* rcp*, rsqrt* and x87's sine and logarithm: bits differ between makers */
	ZVM_HAZARD_LEGACY_CALL, /* int 0x80, sysenter: kill the box */
	ZVM_HAZARD_COUNT
};

/* "cpuid", "rdtsc", ... */
const char *zvm_hazard_name(enum zvm_hazard hazard);

enum zvm_vetted_role { ZVM_VETTED_SCRIPT, ZVM_VETTED_PROGRAM, ZVM_VETTED_INTERPRETER, ZVM_VETTED_LIBRARY };

/* Bytes in executable memory that look like one of the instructions which boxes take away, and are not known to be. */
struct zvm_vetted_place {
	uint64_t offset;
	enum zvm_hazard hazard;
};
#define ZVM_VETTED_PLACES_MAX 64

struct zvm_vetted_file {
	char *path; /* of a library that was not found: its name */
	enum zvm_vetted_role role;
	bool missing;
	uint64_t code_bytes;    /* of executable segments */
	uint64_t decoded_bytes; /* of these, instructions in known functions */
	uint64_t functions;
	uint64_t unreadable; /* functions that did not decode to their end */
	uint64_t syscall_sites;
	uint64_t syscall_jumps;       /* of these, what is rewritten to jump to the monitor; the others trap */
	uint64_t vector_instructions; /* VEX or EVEX: beyond x86-64-v2, to be reached only after asking cpuid */
	uint64_t hazards[ZVM_HAZARD_COUNT];
	uint64_t rewritten[ZVM_HAZARD_COUNT]; /* of these, what is taken away when it is mapped into a box */
	uint64_t unproven;                    /* the first of them in `places` */
	struct zvm_vetted_place places[ZVM_VETTED_PLACES_MAX];
	bool unread;     /* too large or too strange to be looked into: nothing is rewritten */
	bool dispatches; /* asks the processor, or lets the loader choose: vector instructions may be behind that */
};

struct zvm_vetting {
	struct zvm_vetted_file
	        *files; /* scripts first, then the program, its ELF interpreter, its libraries in order of need */
	unsigned count;
	char *message; /* why it cannot be run, or NULL */
};

/* 0; -ENOENT, -EACCES, -ENOEXEC, -ELOOP, -ENOMEM with ret->message set. Free *ret in any case. Missing libraries are no
 * error. */
int zvm_vet(const char *path, struct zvm_vetting *ret);
void zvm_vetting_free(struct zvm_vetting *vetting);

#endif
