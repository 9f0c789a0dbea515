/*
 * Blobs: which stored content is this file of the host?
 *
 * The stat shortcut: a file whose (device, inode, size, mtime, ctime) is known to be blob B, and whose times were older
 * than 2 s when that was learned, is B without being read. Anything else is snapshotted into the store first and
 * hashed there, so that the digest, the stored bytes and what a run sees are one and the same.
 * The table is a file in the store's stat/, shared by all processes; losing it costs only time.
 * Thread-safe.
 */
#ifndef ZVM_BLOB_H
#define ZVM_BLOB_H

#include <sys/stat.h>
#include <zvm/store.h>

struct zvm_blobs;
struct zvm_watch;

int zvm_blobs_open(struct zvm_store *store, struct zvm_blobs **ret);
void zvm_blobs_close(struct zvm_blobs *blobs);

/* Known without reading? 0 and the digest, or -ENOENT. Never touches file content. */
int zvm_blob_known(struct zvm_blobs *blobs, const struct stat *st, struct zvm_digest *ret);

/*
 * As zvm_blob_known, but a file that is not known is read and compared with what is stored, if it is small enough to do
 * so where nobody may wait long (16 MiB if it was written just now, else 256 KiB); it is known then, if it is old
 * enough. 0; -ENOENT: not stored; -EAGAIN: too large to tell here. Stores nothing.
 */
int zvm_blob_quick(struct zvm_blobs *blobs, int fd, const struct stat *st, struct zvm_digest *ret);

/* The content of an open regular file: known, or snapshotted and hashed
 * now. *ret_fd (if not NULL): the stored object. In a store that is opened to be looked at nothing is stored: the
 * digest is the one that the content has or would have, and *ret_fd may be the file itself. */
int zvm_blob_of_file(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, uint64_t *ret_size, int *ret_fd);
/* The same of what a run is about to read: a new content need not have its name for that. *ret_pending, which may be
 * NULL, is the caller's also on error (zvm_pending_place, zvm_pending_drop). */
struct zvm_pending;
int zvm_blob_of_input(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, int *ret_fd,
                      struct zvm_pending **ret_pending);

/* A stored content by its digest: is it there, and zvm_store_object. */
bool zvm_blob_stored(struct zvm_blobs *blobs, const struct zvm_digest *digest);
int zvm_blob_object(struct zvm_blobs *blobs, const struct zvm_digest *digest, int *ret_fd);

/* What reports changes of the host's files to whoever remembers something of them (fs/watch.h); NULL: nothing does. */
struct zvm_watch *zvm_blobs_watch(struct zvm_blobs *blobs);

/* The functions that the view and the broker need (view.h), over these blobs and their store. */
struct zvm_contents zvm_blobs_contents(struct zvm_blobs *blobs);

#endif
