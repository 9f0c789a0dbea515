/*
 * Giving an object its name takes several times as long as hashing a small one: the name is looked for, its neighbour
 * too, a shelf may have to be made. A run needs none of that, only the bytes and what they will be called. That is
 * known, as long as there is no object of that hash: the first has the hash alone for a name. So such an object is kept
 * here, open, and stored when the readers have been answered.
 *
 * In one process all that are kept of a hash are one content: who comes with another stores both, and there they get
 * their numbers.
 *
 * What may come between is another process that stores a colliding content. Then this one gets another number, and
 * whoever has named it otherwise must not be believed (-ESTALE): no record is written. Until then the print (secret.c)
 * tells the two apart, as it does whenever there is nothing to compare with. A store without a secret has none, and a
 * process that has seen such a thing happen takes no chances: both store at once.
 */
#include "pending.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <utlist.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "store_internal.h"

struct zvm_pending {
	struct zvm_pending *next; /* in store->pending */
	struct zvm_digest digest;
	uint64_t size;
	int fd;               /* may be written to: it is handed out opened anew */
	unsigned long serial; /* from 1 */
};

/* Is there no object of that hash? */
static bool is_alone(struct zvm_store *store, const struct zvm_digest *digest)
{
	return zvm_store_secret(store) && !atomic_load(&store->had_company) && !zvm_store_has(store, digest);
}

/* The last that came of that hash. With the lock. */
static const struct zvm_pending *find_namesake(const struct zvm_store *store, const struct zvm_digest *digest)
{
	const struct zvm_pending *p;
	LL_FOREACH(store->pending, p)
	{
		if (p->digest.high == digest->high && p->digest.low == digest->low)
			return p;
	}
	return NULL;
}

/* A copy of it, its descriptor the caller's; serial 0 and fd -1: there is none. */
static int copy_namesake(struct zvm_store *store, const struct zvm_digest *digest, struct zvm_pending *ret)
{
	int r = 0;
	*ret = (struct zvm_pending){.fd = -1};
	pthread_mutex_lock(&store->lock);
	const struct zvm_pending *p = find_namesake(store, digest);
	if (p) {
		*ret = *p;
		ret->fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
		r = ret->fd < 0 ? -errno : 0;
	}
	pthread_mutex_unlock(&store->lock);
	return r;
}

/* -EAGAIN: the last of that hash is not the one of `serial` any more. */
static int append(struct zvm_store *store, struct zvm_pending *p, unsigned long serial)
{
	pthread_mutex_lock(&store->lock);
	const struct zvm_pending *last = find_namesake(store, &p->digest);
	bool same = (last ? last->serial : 0) == serial;
	if (same) {
		p->serial = ++store->pendings;
		LL_PREPEND(store->pending, p);
	}
	pthread_mutex_unlock(&store->lock);
	return same ? 0 : -EAGAIN;
}

static int add(struct zvm_store *store, int fd, uint64_t size, const struct zvm_digest *digest, unsigned long serial,
               struct zvm_pending **ret)
{
	struct stat st;
	zvm_autofd int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	zvm_autofree struct zvm_pending *p = malloc(sizeof *p);
	if (copy < 0 || !p)
		return copy < 0 ? -errno : -ENOMEM;
	*p = (struct zvm_pending){.digest = *digest, .size = size, .fd = copy};
	if (fstat(copy, &st) < 0)
		return -errno;
	zvm_store_now_verified(store, &st, digest->print);
	int r = append(store, p, serial);
	if (r)
		return r;
	zvm_steal_fd(&copy);
	*ret = zvm_steal_pointer(&p);
	return 0;
}

/* -EEXIST: there is another content of that hash; -EAGAIN: look again. */
static int add_beside_equals(struct zvm_store *store, int fd, uint64_t size, const struct zvm_digest *digest,
                             struct zvm_pending **ret)
{
	struct zvm_pending other;
	int r = copy_namesake(store, digest, &other);
	if (r == 0 && other.serial && (other.size != size || zvm_content_equal(other.fd, fd, size) != 1))
		r = -EEXIST;
	zvm_close_pointer(&other.fd);
	return r ? r : add(store, fd, size, digest, other.serial, ret);
}

/* Gives those of that hash the name that they have been promised; whose they are will find it there. */
static int place_namesake(struct zvm_store *store, const struct zvm_digest *digest)
{
	struct zvm_pending other;
	int r = copy_namesake(store, digest, &other);
	if (r == 0 && other.serial)
		r = zvm_store_place(store, &other.fd, other.size, false, &other.digest);
	zvm_close_pointer(&other.fd);
	return r;
}

/* Of what has been hashed. */
static int keep(struct zvm_store *store, int *fd, uint64_t size, struct zvm_digest *digest, struct zvm_pending **ret)
{
	int r = is_alone(store, digest) ? -EAGAIN : -EEXIST;
	*ret = NULL;
	while (r == -EAGAIN)
		r = add_beside_equals(store, *fd, size, digest, ret);
	if (r != -EEXIST)
		return r;
	r = place_namesake(store, digest);
	return r ? r : zvm_store_place(store, fd, size, true, digest);
}

int zvm_pending_commit(struct zvm_store *store, int *fd, struct zvm_digest *ret_digest, uint64_t *ret_size,
                       struct zvm_pending **ret)
{
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	int r = zvm_content_identify(*fd, *ret_size, zvm_store_secret(store), ret_digest);
	return r ? r : keep(store, fd, *ret_size, ret_digest, ret);
}

int zvm_pending_put_file(struct zvm_store *store, int fd, struct zvm_digest *ret_digest, uint64_t *ret_size,
                         struct zvm_pending **ret)
{
	zvm_autofd int copy = -1;
	int r = zvm_store_snapshot(store, fd, &copy, ret_digest, ret_size);
	return r ? r : keep(store, &copy, *ret_size, ret_digest, ret);
}

/* It has its name by now, or never will. */
static void forget(struct zvm_store *store, struct zvm_pending **pending)
{
	struct zvm_pending *p = *pending;
	pthread_mutex_lock(&store->lock);
	LL_DELETE(store->pending, p);
	pthread_mutex_unlock(&store->lock);
	zvm_close_pointer(&p->fd);
	free(p);
	*pending = NULL;
}

int zvm_pending_place(struct zvm_store *store, struct zvm_pending **pending)
{
	struct zvm_pending *p = *pending;
	if (!p)
		return 0;
	struct zvm_digest digest = p->digest;
	int copy = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	int r = copy < 0 ? -errno : zvm_store_place(store, &copy, p->size, false, &digest);
	zvm_close_pointer(&copy);
	if (r == 0 && digest.twin != p->digest.twin) {
		atomic_store(&store->had_company, true);
		r = -ESTALE;
	}
	forget(store, pending);
	return r;
}

void zvm_pending_drop(struct zvm_store *store, struct zvm_pending **pending)
{
	if (*pending)
		forget(store, pending);
}

static int reopen(int fd, int *ret_fd)
{
	char path[48];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	return *ret_fd < 0 ? -errno : 0;
}

int zvm_pending_open(struct zvm_store *store, const struct zvm_digest *digest, int *ret_fd, uint64_t *ret_size)
{
	struct zvm_digest asked = *digest;
	struct zvm_pending found;
	int r = copy_namesake(store, digest, &found);
	if (r == 0 && !asked.print) /* by name */
		asked.print = found.digest.print;
	if (r == 0)
		r = found.serial && zvm_digest_equal(&asked, &found.digest) ? reopen(found.fd, ret_fd) : -ENOENT;
	if (r == 0 && ret_size)
		*ret_size = found.size;
	zvm_close_pointer(&found.fd);
	return r;
}
