/*
 * Many stored runs, rechecked by several threads and reported as they are done.
 *
 *   r = zvm_sweep_start(&options, &sweep);
 *   r = zvm_sweep_add(sweep, &address, number);      // one run of an action; waits until there is room
 *   r = zvm_sweep_store(sweep, 100);                 // 100 of all that the store has, at random; 0: every one
 *   zvm_sweep_finish(sweep, &counts);                // waits for all
 *
 * To be called by one thread, the one that takes signals. When cancel_fd becomes readable, what is under way is killed
 * and not counted, and adding answers -EINTR.
 */
#ifndef ZVM_FS_SWEEP_H
#define ZVM_FS_SWEEP_H

#include "recheck.h"

struct zvm_sweep_options {
	struct zvm_rechecker rechecker; /* with a cancel_fd */
	unsigned jobs;                  /* threads */
	double rate;                    /* so many a second at most; 0: as fast as it goes */
	bool progress;                  /* a line on stderr that shows how far it is */
};

struct zvm_sweep_counts {
	uint64_t same, differ, cannot;
	uint64_t trouble; /* neither: zvm itself failed */
};

struct zvm_sweep;

int zvm_sweep_start(const struct zvm_sweep_options *options, struct zvm_sweep **ret);
int zvm_sweep_add(struct zvm_sweep *sweep, const struct zvm_digest *address, unsigned long number);
int zvm_sweep_store(struct zvm_sweep *sweep, unsigned long sample);
/* One that cannot even be tried, for a reason that the caller has. */
void zvm_sweep_cannot(struct zvm_sweep *sweep, const char *name, const char *why);
void zvm_sweep_finish(struct zvm_sweep *sweep, struct zvm_sweep_counts *ret);

#endif
