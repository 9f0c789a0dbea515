/*
 * What stored contents were turned into: which object, and a note. Used by blob.c only, which gives it to the sandbox.
 *
 * A derived content can always be made again, so losing any of this costs only time; and it must never be another
 * content's. A name in the store is not enough for that: once an object is gone, its name may pass to a colliding one.
 * So what counts is the object file itself (inode, times, size), as with the stat shortcut. And an object that is named
 * here alone may be collected at any time.
 */
#ifndef ZVM_FS_DERIVED_H
#define ZVM_FS_DERIVED_H

#include <zvm/store.h>

struct zvm_derived;

int zvm_derived_open(struct zvm_store *store, struct zvm_derived **ret);
void zvm_derived_close(struct zvm_derived *derived);

/* As find_derived and keep_derived of view.h. Thread-safe. */
int zvm_derived_find(struct zvm_derived *derived, const char *name, const struct zvm_digest *source,
                     unsigned char note[ZVM_NOTE_SIZE], int *ret_fd);
int zvm_derived_keep(struct zvm_derived *derived, const char *name, const struct zvm_digest *source,
                     const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd);

/* For gc: all contents that were derived, and the inode number of the object file that each was made of. */
int zvm_derived_each(struct zvm_store *store,
                     int (*visit)(void *context, uint64_t source, const struct zvm_digest *derived), void *context);

#endif
