/* From a forked libc process to a zygote: the recipe, run in the child of launch.c. */
#ifndef ZVM_ZYGOTE_H
#define ZVM_ZYGOTE_H

#include "wall.h"

struct zvm_zygote {
	struct zvm_wall_report *reports; /* shared memory */
	bool plain;                      /* no Landlock */
	struct zvm_handoff handoff;      /* filters already in it */
	bool native_cpuid;               /* leave cpuid as it is, even if it could be made to trap */
	bool no_jumps;                   /* every system call traps, also in prepared images */
};

/* Checks the embedded monitor and prepares the filters; called before the launcher is forked. 0 or -errno. */
int zvm_zygote_prepare(struct zvm_zygote *zygote);

/* Never returns on success; on failure returns -errno and the process should exit. `control`: socket to the launcher;
 * `proc`: a descriptor of /proc, or -1; `cgroup`: of zvm_wall_cgroup_make, or -1. */
int zvm_zygote_become(const struct zvm_zygote *zygote, int control, int proc, int cgroup);

#endif
