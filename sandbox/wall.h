/*
 * The wall: what stands around a box even when the guest owns the monitor.
 *
 *   daemon                                       zvm_wall_cgroup_make    memory and number of all boxes together
 *   launcher, before anything else is forked     zvm_wall_clone          namespaces
 *                                                zvm_wall_empty_root     nothing to see
 *   zygote, privileges last                      zvm_wall_cgroup_enter
 *                                                zvm_wall_first_to_go    when the machine's memory runs out
 *                                                zvm_wall_landlock       no path at all
 *                                                zvm_wall_become_nobody  root daemons only
 *                                                zvm_wall_limits         rlimits, no privilege, no core, not dumpable
 *                                                zvm_wall_instructions   rdtsc and cpuid trap
 *   monitor                                      both filters, the wall last
 *
 * Each step says what became of it in a struct zvm_wall_report. Only seccomp and the limits are indispensable: the box
 * is safe with these two alone (no path, socket, signal or descriptor reaches outside). Only zvm_wall_filters and
 * zvm_wall_cgroup_make allocate, which are called once, before the launcher is forked.
 */
#ifndef ZVM_WALL_H
#define ZVM_WALL_H

#include <stdbool.h>
#include <sys/types.h>
#include <zvm/box.h>
#include "protocol.h"

/*
 * More processes than any box may have (the monitor stops at 256), few enough to bound a fork bomb by one that owns its
 * monitor: the launcher, which has to end it, gets no more of the processor than each of them. All boxes together.
 */
#define ZVM_WALL_PROCESSES 512

enum zvm_wall_step {
	ZVM_WALL_SECCOMP,
	ZVM_WALL_RLIMITS,
	ZVM_WALL_USER,
	ZVM_WALL_PID,
	ZVM_WALL_MOUNT,
	ZVM_WALL_NET,
	ZVM_WALL_IPC,
	ZVM_WALL_UTS,
	ZVM_WALL_CGROUP,
	ZVM_WALL_ROOT,
	ZVM_WALL_LANDLOCK,
	ZVM_WALL_FIRST_TO_GO,
	ZVM_WALL_CGROUP_LIMITS,
	ZVM_WALL_NOBODY,
	ZVM_WALL_PRIVILEGES,
	ZVM_WALL_TSC,
	ZVM_WALL_CPUID,
	ZVM_WALL_COUNT
};

/* Fills names, and "not tried" for every step. reports[] is in shared memory: children write their steps' outcome into
 * it. */
void zvm_wall_reports_start(struct zvm_wall_report reports[ZVM_WALL_COUNT]);

/* Both filters into the handoff. [text_start, text_end): the monitor's text. 0 or -errno. */
int zvm_wall_filters(uint64_t text_start, uint64_t text_end, struct zvm_handoff *handoff);

/*
 * fork, into as many namespaces as can be had. In the child returns 0, after the parent has written its id maps and the
 * reports of the namespaces; in the parent the child's pid, or -errno.
 */
pid_t zvm_wall_clone(bool plain, struct zvm_wall_report *reports);
/*
 * fork, for one that was itself forked from a process with threads: fork(3) would take the locks of malloc and stdio,
 * which a thread that is not here may have held. The child must call nothing that takes such locks either, nor what
 * speaks to other threads (setresuid(3)). 0 in the child, its pid, or -errno.
 */
pid_t zvm_wall_fork(void);
void zvm_wall_empty_root(struct zvm_wall_report *reports);
/* A descriptor by which a zygote can enter, or -1. To be removed when nothing is left in it. */
int zvm_wall_cgroup_make(bool plain, struct zvm_wall_report *reports);
void zvm_wall_cgroup_enter(int fd, struct zvm_wall_report *reports);
void zvm_wall_cgroup_remove(void);

/* `proc`: a descriptor of /proc, which the empty root no longer has; or -1. */
void zvm_wall_first_to_go(int proc, struct zvm_wall_report *reports);
/* 0, or -errno: then there must be no box. */
int zvm_wall_become_nobody(struct zvm_wall_report *reports);
int zvm_wall_limits(struct zvm_wall_report *reports);
void zvm_wall_landlock(bool plain, struct zvm_wall_report *reports);
/* Returns whether cpuid faults, which is tried if `trap_cpuid`. No libc clock may be read after this: rdtsc raises
 * SIGSEGV. */
bool zvm_wall_instructions(bool trap_cpuid, struct zvm_wall_report *reports);

#endif
