/*
 * Is a store what it should be? Every name in it is looked at, every byte read.
 *
 *   struct zvm_fsck fsck = {.store = store, .repair = true, .found = print, .context = ...};
 *   int r = zvm_fsck(&fsck);                      // 0: it has been gone through; the counts are in `fsck`
 *
 * Without `repair` nothing is written, so a store opened for reading will do. Others may use the store meanwhile: what
 * comes or goes during the walk is no finding. -errno only where the store as a whole cannot be read.
 */
#ifndef ZVM_FS_FSCK_H
#define ZVM_FS_FSCK_H

#include <stdbool.h>
#include <stdint.h>
#include <zvm/store.h>

enum zvm_remedy {
	ZVM_REMEDY_NONE,      /* worth a line, but no damage */
	ZVM_REMEDY_SET_ASIDE, /* to tmp/ */
	ZVM_REMEDY_REMOVE,
	ZVM_REMEDY_MODE, /* 0400 */
	ZVM_REMEDY_CLEAR,
};

struct zvm_finding {
	const char *path; /* below the store; borrowed, like `wrong` */
	const char *wrong;
	enum zvm_remedy remedy;
	bool done; /* the remedy was applied */
	int error; /* why it was not, if it was tried: -errno */
};

struct zvm_damaged; /* a content known to be damaged */

struct zvm_fsck {
	struct zvm_store *store;
	bool repair;
	void *context;
	void (*found)(void *context, const struct zvm_finding *finding);
	void (*progress)(void *context, const struct zvm_fsck *so_far); /* often; or NULL */

	/* What there was. */
	uint64_t objects, object_bytes, runs;
	uint64_t unverifiable; /* runs that cannot be computed again, as something that they used is gone */
	uint64_t leftovers, leftover_bytes;
	uint64_t problems, repaired;

	struct zvm_damaged *damaged; /* its own */
};

int zvm_fsck(struct zvm_fsck *fsck);

#endif
