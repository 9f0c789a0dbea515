/*
 * The store: contents by address, safe against crashes, full disks and other users of it.
 *
 *   struct zvm_store *store;
 *   int r = zvm_store_open(path, ZVM_STORE_CREATE, &store);
 *
 *   zvm_autofd int fd = -1;
 *   r = zvm_store_begin(store, &fd);                 // an unnamed file in tmp/: write to it, or let a box write
 *   r = zvm_store_commit(store, fd, &digest, &size); // hash, compare with what is there, link into place
 *   r = zvm_store_object(store, &digest, &fd, &size); // read-only descriptor of a stored object
 *
 * Layout (DESIGN section 4): objects/ab/DIGEST, records/ab/DIGEST/N, stat/, tmp/, lock, secret, version. Directory
 * 0700, objects 0400. Anything unfinished is only in tmp/ (or unnamed) and vanishes with its writer. Several processes
 * may share a store. All functions are thread-safe; they return 0 or -errno. -ENOENT from zvm_store_object means
 * missing *or found damaged and set aside*, or that another content has its name by now: the caller recomputes.
 */
#ifndef ZVM_STORE_H
#define ZVM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zvm/digest.h>
#include <zvm/view.h>

#define ZVM_STORE_CREATE 1u   /* make it if the directory is missing or empty */
#define ZVM_STORE_READONLY 2u /* look, never write */

struct zvm_store;

/*
 * Why a store is refused is for a person to read: *ret_reason (malloc'd sentence, may be NULL) on error. A refused
 * directory is not touched. A relative path is taken from the working directory of this moment.
 * -EPROTO: newer format; -EPERM: another user's or writable by others; -EINVAL: a directory that is not a store.
 */
int zvm_store_open(const char *path, unsigned flags, struct zvm_store **ret, char **ret_reason);
void zvm_store_close(struct zvm_store *store);
const char *zvm_store_path(const struct zvm_store *store);
int zvm_store_directory(const struct zvm_store *store); /* descriptor of the store's directory; borrowed */

/* $XDG_CACHE_HOME/zvm or ~/.cache/zvm; malloc'd. */
int zvm_store_default_path(char **ret);

/* A new empty file, O_RDWR; nothing to undo if it is just closed. */
int zvm_store_begin(struct zvm_store *store, int *ret_fd);
/*
 * Gives a file from zvm_store_begin back that became no object: nobody else may hold it any more. The next
 * zvm_store_begin takes it, which costs a tenth of making one. *fd is closed or kept, and -1 afterwards.
 */
void zvm_store_recycle(struct zvm_store *store, int *fd);
/* How many a store keeps. One run begins four files: snapshot, stdout, stderr, record; two runs at a time are usual. */
#define ZVM_SPARES_MAX 8
/* Makes a few files ahead, for zvm_store_begin to find: to be called when nobody waits. */
void zvm_store_make_spares(struct zvm_store *store);
/*
 * Makes the bytes of *fd (from zvm_store_begin; nobody may write to it any more) an object, which *fd then is a
 * descriptor of: the same file, or the one that was stored already.
 */
int zvm_store_commit(struct zvm_store *store, int *fd, struct zvm_digest *ret, uint64_t *ret_size);
/* Both in one for bytes in memory. */
int zvm_store_put(struct zvm_store *store, const void *data, size_t size, struct zvm_digest *ret);
/* A snapshot of an open regular file (reflink, else copy) as an object: the copy is what counts, whatever becomes of
 * the file. */
int zvm_store_put_file(struct zvm_store *store, int fd, struct zvm_digest *ret, uint64_t *ret_size);

int zvm_store_object(struct zvm_store *store, const struct zvm_digest *digest, int *ret_fd, uint64_t *ret_size);
/*
 * Is an object that is open still what it was when it was opened? 0, or -EIO. Costs a stat, unless something was done
 * to the file (to remove its name is enough): then it is read.
 */
int zvm_store_check(struct zvm_store *store, int fd, uint64_t size, const struct zvm_digest *digest);
bool zvm_store_has(struct zvm_store *store, const struct zvm_digest *digest);
/* Set an object aside that was found wrong: the next who needs it recomputes. Counted and logged. */
void zvm_store_condemn(struct zvm_store *store, const struct zvm_digest *digest, const char *why);
/* Objects that were found whole may not be any more: each is checked again when it is used the next time. */
void zvm_store_doubt(struct zvm_store *store);

/*
 * Whoever stores objects that no record names yet (a run that will be remembered) holds the store from before the first
 * of them until his record is saved: so long gc leaves new ones alone. *ret_fd: to be closed, by the end of the process
 * at the latest; -1 where no gc can come. It is cheap, and any number may be had at once.
 */
int zvm_store_hold(struct zvm_store *store, int *ret_fd);

/* Counters for stats, monotonic since open. */
struct zvm_store_counters {
	uint64_t objects_written, bytes_written, objects_shared, twins, condemned, records_written;
	/* Of the store, by whomever: what it takes (0 until it is known), and all that gc ever did in it. */
	uint64_t bytes, gc_runs, gc_objects, gc_records, gc_bytes;
};
void zvm_store_counters(struct zvm_store *store, struct zvm_store_counters *ret);

#endif
