/*
 * Resolving a guest path on the host without ever following the host's idea of where a link leads. Used by view.c.
 *
 *   struct zvm_walk w = {.root = ..., .script = ..., .pinned_name = ..., .fd = -1};
 *   r = zvm_walk(&w, "/lib/libc.so.6", true);     // r < 0: trouble of ours
 *   w.outcome says what the path came to
 *   zvm_walk_close(&w);
 */
#ifndef ZVM_WALK_H
#define ZVM_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include "protocol.h"

enum zvm_walk_outcome {
	ZVM_WALK_ERROR,     /* error: what the guest is told */
	ZVM_WALK_PLACE,     /* guest, st, and fd (O_PATH; -1 for the empty /script); of a link also target */
	ZVM_WALK_PINNED,    /* the pinned script: guest */
	ZVM_WALK_ELSEWHERE, /* out of the host places: target is the guest path to go on with */
};

struct zvm_walk {
	/* Set by the caller; descriptors stay its own. */
	int root;                /* of the host, O_PATH */
	int script;              /* what /script is, O_PATH; -1: an empty directory */
	const char *pinned_name; /* below /script; NULL: none */

	enum zvm_walk_outcome outcome;
	int error;
	char guest[ZVM_PATH_MAX];  /* resolved so far: "" is the root, else "/a/b" */
	char rest[ZVM_PATH_MAX];   /* still to go, relative */
	char target[ZVM_PATH_MAX]; /* of the link that fd is; or where ELSEWHERE is */
	int fd;
	struct stat st;
	unsigned links;
	bool moved;            /* by a link or `..`: the path is no longer what was asked */
	bool directory_wanted; /* the path ended in a slash */
	bool whole;            /* worth trying to walk all of rest in one call */
};

/* 0 with w->outcome set, or -errno for trouble of ours. `follow`: also a link that is the last component. */
int zvm_walk(struct zvm_walk *w, const char *path, bool follow);
void zvm_walk_close(struct zvm_walk *w);

/* The number an answer shows for a resolved guest path. A path that leads through links is told from where it leads by
 * it. */
uint64_t zvm_canonical_inode(const char *guest);

#endif
