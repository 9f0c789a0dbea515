/*
 * Objects without a name: what has been written and hashed, and is given its place in the store when nobody waits.
 *
 *   struct zvm_pending *pending = NULL;
 *   r = zvm_pending_commit(store, &fd, &digest, &size, &pending);   // as zvm_store_commit, for this process
 *   ... zvm_store_object(store, &digest, ...) opens it ...
 *   r = zvm_pending_place(store, &pending);                         // now for all
 *
 * NULL is one that has its name already: all of these do nothing with it. Thread-safe, but for one and the same.
 */
#ifndef ZVM_FS_PENDING_H
#define ZVM_FS_PENDING_H

#include <zvm/store.h>

struct zvm_pending;

/*
 * *fd is as after zvm_store_commit, and the caller's. *ret is NULL if the object is stored at once, which it is if
 * there is one of its hash, here or in the store: which of their numbers it gets has to be seen.
 */
int zvm_pending_commit(struct zvm_store *store, int *fd, struct zvm_digest *ret_digest, uint64_t *ret_size,
                       struct zvm_pending **ret);
/* The same for a snapshot of an open regular file (zvm_store_put_file). */
int zvm_pending_put_file(struct zvm_store *store, int fd, struct zvm_digest *ret_digest, uint64_t *ret_size,
                         struct zvm_pending **ret);
/*
 * Stores it; *pending is gone afterwards, and NULL. -ESTALE: another content has taken its number meanwhile, so that
 * its digest is not what was said; or another -errno.
 */
int zvm_pending_place(struct zvm_store *store, struct zvm_pending **pending);
/* Nobody needs it. */
void zvm_pending_drop(struct zvm_store *store, struct zvm_pending **pending);

/* For zvm_store_object: a descriptor of one that is this content, or -ENOENT. */
int zvm_pending_open(struct zvm_store *store, const struct zvm_digest *digest, int *ret_fd, uint64_t *ret_size);

#endif
