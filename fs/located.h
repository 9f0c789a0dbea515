/*
 * A path below a mount, taken apart: for commands that are given one and must not touch it.
 *
 *   struct zvm_located located;
 *   int status = zvm_locate("explain", "mnt/run/wc/x", NULL, &located);    // -1: go on; else it has been said why not
 *   ... located.store, located.facts, located.spec, located.input ...
 *   zvm_located_free(&located);
 */
#ifndef ZVM_FS_LOCATED_H
#define ZVM_FS_LOCATED_H

#include <zvm/name.h>
#include <zvm/store.h>
#include "facts.h"

struct zvm_located {
	struct zvm_facts *facts;
	struct zvm_store *store; /* of the mount, or the one named; opened to be looked at */
	struct zvm_spec *spec;
	char *input; /* below the inputs directory */
};

/* `store`: instead of the mount's; NULL. Returns -1, or the exit status after a message (2 or 125). */
int zvm_locate(const char *command, const char *path, const char *store, struct zvm_located *ret);
void zvm_located_free(struct zvm_located *located);

#endif
