/*
 * The two ways of computing many results at once: zvm warm.
 *
 *   struct zvm_warm warm = {.crew = {.label = "warm", .hands = 2}};
 *   zvm_warm_collect(&warm.list, "mnt/run/wc -l/logs");   // every file below it
 *   r = zvm_warm_mounted(&warm);                          // through the mount: they are remembered there
 *   r = zvm_warm_into(&warm);                             // without one: into files of a directory
 *   zvm_warm_free(&warm);
 */
#ifndef ZVM_FS_WARM_H
#define ZVM_FS_WARM_H

#include <stddef.h>
#include "crew.h"

struct zvm_warm_list {
	char **paths;
	size_t count, room;
	size_t missing; /* of what was asked for */
};

struct zvm_engine;
struct zvm_spec;

struct zvm_warm {
	struct zvm_warm_list list;
	struct zvm_crew crew;   /* its label and hands are the caller's; it says how it went */
	unsigned long saved_us; /* what the hits took when they were computed */
	/* for zvm_warm_into; borrowed */
	struct zvm_engine *engine;
	const struct zvm_spec *spec;
	int directory;
};

/* A file, a directory with all below it, or, if there is neither, a pattern (glob(7)). 0 or -ENOMEM; what is not there
 * is said on standard error and counted. */
int zvm_warm_collect(struct zvm_warm_list *list, const char *path);
void zvm_warm_free(struct zvm_warm *warm);

/* 0, or -errno if nothing could be begun. */
int zvm_warm_mounted(struct zvm_warm *warm);
/*
 * Each path is an input; what SPEC makes of it becomes the file of the input's last name component. -EEXIST: two inputs
 * have the same one, which has been said.
 */
int zvm_warm_into(struct zvm_warm *warm);

#endif
