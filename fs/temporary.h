/*
 * Files without a name, and how they get one. Inside the store: zvm_store_begin and zvm_store_commit are what others
 * use, and record.c, whose files are no objects.
 */
#ifndef ZVM_FS_TEMPORARY_H
#define ZVM_FS_TEMPORARY_H

#include "store_internal.h"

/* An empty file, O_RDWR, that nothing is left of if it is just closed; or -errno. */
int zvm_temporary_open(struct zvm_store *store, int directory);

/*
 * Gives a file of zvm_temporary_open, complete, a name. *fd may be another descriptor afterwards: it is of what has the
 * name. 0, -EEXIST, -ENOENT (no such directory), or another -errno.
 */
int zvm_temporary_link(struct zvm_store *store, int *fd, int directory, const char *name);

/* After zvm_temporary_open: can files get a name on the filesystem of this directory? Leaves nothing. */
bool zvm_temporary_linkable(struct zvm_store *store, int directory);

#endif
