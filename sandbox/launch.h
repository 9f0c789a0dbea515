/*
 * Between box.c and launch.c: getting a walled box that waits for its run order, and learning how it ended.
 *
 *   struct zvm_boxed box;
 *   r = zvm_launcher_take(launcher, arena_size, &box);
 *   send the run order on box.socket; serve asks; until box.status delivers a struct zvm_box_status
 *   write one byte to box.status to have every process of the box killed; closing it does the same
 *   zvm_boxed_close(&box);
 *
 * End-of-file on box.status without a message: the launcher died.
 */
#ifndef ZVM_LAUNCH_H
#define ZVM_LAUNCH_H

#include <stdint.h>
#include <zvm/box.h>
#include "protocol.h"

struct zvm_boxed {
	int socket; /* SOCK_SEQPACKET to the monitor */
	int status; /* SOCK_SEQPACKET to the launcher */
};

/* Sent once, when every process of the box is gone. */
struct zvm_box_status {
	int32_t wait_status; /* of the first process that died by a signal or with a code, else 0 */
	uint64_t cpu_us, max_rss_kib;
};

int zvm_launcher_take(struct zvm_launcher *launcher, uint64_t arena_size, struct zvm_boxed *ret);
void zvm_boxed_close(struct zvm_boxed *box);
/* After an end-of-file on box.status: makes sure that nothing of a dead launcher's boxes is left. */
void zvm_launcher_lost(struct zvm_launcher *launcher);
/* The arena's tables: what a box needs beyond the guest's memory limit. At least what it is given before its order. */
#define ZVM_ARENA_OVERHEAD ZVM_ARENA_FIRST

#endif
