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
#include <sys/types.h>
#include <zvm/box.h>
#include "protocol.h"

struct zvm_boxed {
	int socket; /* SOCK_SEQPACKET to the monitor */
	int status; /* SOCK_SEQPACKET to the launcher */
	int arena;  /* memfd */
	uint32_t number;
	unsigned generation; /* of the launcher that made it */
};

/* Sent once, when every process of the box is gone. */
struct zvm_box_status {
	int32_t wait_status; /* of the first process that died by a signal or with a code, else 0 */
	uint64_t cpu_us, max_rss_kib, faults;
};

int zvm_launcher_take(struct zvm_launcher *launcher, uint64_t arena_size, struct zvm_boxed *ret);
void zvm_boxed_close(struct zvm_boxed *box);
/*
 * The box has stopped as a template (ZVM_ASK_KIND_STOPPED) and is the launcher's from now on: it forks boxes from it,
 * always a few ahead, into a SOCK_SEQPACKET of which `feed` is the other end. Each is a packet of its number with its
 * [socket, status, arena]; a byte sent back orders the next. At the end of the feed the template is gone; closing it is
 * its end. 0 or -errno.
 */
#define ZVM_TEMPLATES_MAX 16
int zvm_launcher_template(struct zvm_launcher *launcher, const struct zvm_boxed *box, int feed);
bool zvm_launcher_keeps_boxes(const struct zvm_launcher *launcher);
bool zvm_launcher_template_first(const struct zvm_launcher *launcher);
struct zvm_templates *zvm_launcher_templates(struct zvm_launcher *launcher);

/* After an end-of-file on the status of a box of this generation: waits until its launcher is dead, and nothing of its
 * boxes is left. false: it does not die. */
bool zvm_launcher_lost(struct zvm_launcher *launcher, unsigned generation);
/* usage.c: the meter (NULL is none) is the box's from now on; and no more, before that is closed. */
void zvm_meter_start(struct zvm_box_meter *meter, const struct zvm_launcher *launcher, const struct zvm_boxed *box);
void zvm_meter_stop(struct zvm_box_meter *meter);
/* For usage.c: the launcher process, 0 while there is none; a box's process group as the launcher knows it, 0: it is
 * over; and what those of a group have used that have ended. */
pid_t zvm_launcher_process(const struct zvm_launcher *launcher);
pid_t zvm_launcher_group(const struct zvm_launcher *launcher, uint32_t number);
uint64_t zvm_launcher_spent_us(const struct zvm_launcher *launcher, pid_t group);
/* The arena's tables: what a box needs beyond the guest's memory limit. At least what it is given before its order. */
#define ZVM_ARENA_OVERHEAD ZVM_ARENA_FIRST

#endif
