/*
 * Which stored content is this file? See blob.h for the rule of the stat shortcut.
 *
 * Why two seconds: a file written twice within one tick of the filesystem's clock looks the same to stat. If both its
 * times were older than that when it was read, a later write must show. Times may be set back with utimensat, but the
 * change time cannot, so it is part of the key.
 *
 * The table (table.h) is a file that all processes share. Losing any of it costs only time.
 */
#include <errno.h>
#include <fcntl.h>
#include <zvm/blob.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "derived.h"
#include "pending.h"
#include "store_internal.h"
#include "table.h"
#include "watch.h"

#define QUICK_MAX (16u << 20)
#define STORE_TRIES 8 /* gc may remove what was there already as soon as it is found, but not every time */
/* Of a file that is old enough to be known, and is not: it has hardly been an input before. A listing of a directory
 * with many of them must not read them all. */
#define QUICK_UNKNOWN_MAX (256u << 10)

/* What a file's identity says: the value of the table of shortcuts. */
struct shortcut {
	uint64_t high, low, number;
};

struct zvm_blobs {
	struct zvm_store *store;
	struct zvm_table *shortcuts;
	struct zvm_derived *derived;
	struct zvm_watch *watch; /* NULL: there is nothing to watch with */
};

int zvm_shortcuts_open(struct zvm_store *store, struct zvm_table **ret)
{
	static const struct zvm_table_shape shape = {sizeof(struct zvm_file_identity), sizeof(struct shortcut), 32768};
	return zvm_table_open(store->directory, "stat/shortcuts", store->flags & ZVM_STORE_READONLY, &shape, ret);
}

int zvm_blobs_open(struct zvm_store *store, struct zvm_blobs **ret)
{
	struct zvm_blobs *blobs = calloc(1, sizeof *blobs);
	if (!blobs)
		return -ENOMEM;
	blobs->store = store;
	int r = zvm_shortcuts_open(store, &blobs->shortcuts);
	r = r ? r : zvm_derived_open(store, &blobs->derived);
	if (r) {
		zvm_blobs_close(blobs);
		return r;
	}
	if (zvm_watch_open(&blobs->watch))
		blobs->watch = NULL;
	*ret = blobs;
	return 0;
}

void zvm_blobs_close(struct zvm_blobs *blobs)
{
	if (!blobs)
		return;
	zvm_derived_close(blobs->derived);
	zvm_watch_close(blobs->watch);
	zvm_table_close(blobs->shortcuts);
	free(blobs);
}

struct zvm_watch *zvm_blobs_watch(struct zvm_blobs *blobs)
{
	return blobs->watch;
}

int zvm_blob_known(struct zvm_blobs *blobs, const struct stat *st, struct zvm_digest *ret)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct shortcut found;
	if (!zvm_table_find(blobs->shortcuts, &id, &found))
		return -ENOENT;
	*ret = zvm_digest_of(found.high, found.low, found.number);
	return zvm_store_believes(blobs->store, ret) ? 0 : -ENOENT;
}

static void learn(struct zvm_blobs *blobs, const struct stat *st, const struct zvm_digest *digest)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct shortcut shortcut = {digest->high, digest->low, zvm_digest_number(digest)};
	zvm_table_put(blobs->shortcuts, &id, &shortcut);
}

/* `before` was taken before it was read, and it was found to be this content. */
static void learn_unchanged(struct zvm_blobs *blobs, int fd, const struct stat *before, const struct zvm_digest *digest,
                            uint64_t size)
{
	struct stat after;
	if (fstat(fd, &after) < 0 || !zvm_old_enough(before) || (uint64_t)after.st_size != size)
		return;
	struct zvm_file_identity a = zvm_file_identity(before), b = zvm_file_identity(&after);
	if (!memcmp(&a, &b, sizeof a))
		learn(blobs, &after, digest);
}

/* That something of ours is missing or forbidden must not be taken for the file that was asked about. */
static int as_trouble(int r)
{
	return r == -ENOENT || r == -EACCES || r == -EPERM ? -EIO : r;
}

static int snapshot(struct zvm_blobs *blobs, int fd, const struct stat *before, struct zvm_digest *ret,
                    uint64_t *ret_size, struct zvm_pending **ret_pending)
{
	int r = ret_pending ? zvm_pending_put_file(blobs->store, fd, ret, ret_size, ret_pending)
	                    : zvm_store_put_file(blobs->store, fd, ret, ret_size);
	if (r == 0)
		learn_unchanged(blobs, fd, before, ret, *ret_size);
	return r;
}

int zvm_blob_quick(struct zvm_blobs *blobs, int fd, const struct stat *st, struct zvm_digest *ret)
{
	if (zvm_blob_known(blobs, st, ret) == 0)
		return 0;
	if ((uint64_t)st->st_size > (zvm_old_enough(st) ? QUICK_UNKNOWN_MAX : QUICK_MAX))
		return -EAGAIN;
	int r = zvm_content_identify(fd, (uint64_t)st->st_size, zvm_store_secret(blobs->store), ret);
	for (; r == 0; ret->twin++) {
		zvm_autofd int object = -1;
		uint64_t size;
		struct zvm_digest any = *ret;
		any.print = 0; /* it is compared */
		r = zvm_store_object(blobs->store, &any, &object, &size);
		if (r == 0 && size == (uint64_t)st->st_size && zvm_content_equal(object, fd, size) == 1) {
			learn_unchanged(blobs, fd, st, ret, size);
			return 0;
		}
	}
	return r == -ENODATA ? -EAGAIN : r;
}

/*
 * In a store that is only looked at: the name that a content has, or would be given, which is none below one that is
 * taken (store.c). `same` compares it with an object: 1, 0 or -errno.
 */
static int find_name(struct zvm_blobs *blobs, int (*same)(const void *content, int object, uint64_t size),
                     const void *content, uint64_t size, struct zvm_digest *digest)
{
	for (;; digest->twin++) {
		uint64_t stored;
		zvm_autofd int object = -1;
		struct zvm_digest any = *digest, next = *digest;
		any.print = 0; /* it is compared */
		next.twin++;
		int r = zvm_store_object(blobs->store, &any, &object, &stored);
		if (r == -ENOENT && zvm_store_has(blobs->store, &next))
			continue;
		if (r)
			return r == -ENOENT ? 0 : r;
		r = stored == size ? same(content, object, size) : 0;
		if (r)
			return r < 0 ? r : 0;
	}
}

static int same_as_file(const void *content, int object, uint64_t size)
{
	return zvm_content_equal(object, *(const int *)content, size);
}

static int same_as_bytes(const void *content, int object, uint64_t size)
{
	return zvm_content_equals_memory(object, content, size);
}

static int look_at_file(struct zvm_blobs *blobs, int fd, const struct stat *st, struct zvm_digest *ret, int *ret_fd)
{
	uint64_t size = (uint64_t)st->st_size;
	int r = zvm_content_identify(fd, size, zvm_store_secret(blobs->store), ret);
	r = r ? r : find_name(blobs, same_as_file, &fd, size, ret);
	if (r || !ret_fd)
		return r;
	*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? -errno : 0;
}

static int find_blob(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, uint64_t *ret_size, int *ret_fd,
                     struct zvm_pending **ret_pending)
{
	struct stat st;
	uint64_t size = 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (ret_fd)
		*ret_fd = -1;
	if (zvm_blob_known(blobs, &st, ret) == 0) {
		zvm_autofd int object = -1;
		int r = zvm_store_object(blobs->store, ret, ret_fd ? ret_fd : &object, NULL);
		if (r == 0) {
			*ret_size = (uint64_t)st.st_size;
			return 0;
		}
	}
	if (blobs->store->flags & ZVM_STORE_READONLY) {
		*ret_size = (uint64_t)st.st_size;
		return look_at_file(blobs, fd, &st, ret, ret_fd);
	}
	int r = -ENOENT;
	for (unsigned tries = 0; r == -ENOENT && tries < STORE_TRIES; tries++) {
		r = snapshot(blobs, fd, &st, ret, &size, ret_pending);
		if (r)
			break;
		*ret_size = size;
		r = ret_fd ? zvm_store_object(blobs->store, ret, ret_fd, NULL) : 0;
	}
	return as_trouble(r);
}

int zvm_blob_of_file(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, uint64_t *ret_size, int *ret_fd)
{
	return find_blob(blobs, fd, ret, ret_size, ret_fd, NULL);
}

int zvm_blob_of_input(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, int *ret_fd,
                      struct zvm_pending **ret_pending)
{
	uint64_t size;
	*ret_pending = NULL;
	return find_blob(blobs, fd, ret, &size, ret_fd, ret_pending);
}

bool zvm_blob_stored(struct zvm_blobs *blobs, const struct zvm_digest *digest)
{
	zvm_autofd int fd = -1;
	return zvm_store_object(blobs->store, digest, &fd, NULL) == 0;
}

int zvm_blob_object(struct zvm_blobs *blobs, const struct zvm_digest *digest, int *ret_fd)
{
	return zvm_store_object(blobs->store, digest, ret_fd, NULL);
}

/* --- for the view --- */

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	(void)st;
	return zvm_blob_of_file(context, fd, ret, ret_size, ret_fd);
}

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	struct zvm_blobs *blobs = context;
	if (blobs->store->flags & ZVM_STORE_READONLY && !ret_fd) {
		zvm_memory_identify(bytes, size, zvm_store_secret(blobs->store), ret);
		return find_name(blobs, same_as_bytes, bytes, size, ret);
	}
	int r = -ENOENT;
	for (unsigned tries = 0; r == -ENOENT && tries < STORE_TRIES; tries++) {
		r = zvm_store_put(blobs->store, bytes, size, ret);
		if (r == 0 && ret_fd)
			r = zvm_store_object(blobs->store, ret, ret_fd, NULL);
	}
	return as_trouble(r);
}

static int find_derived(void *context, const char *name, const struct zvm_digest *source,
                        unsigned char note[ZVM_NOTE_SIZE], int *ret_fd)
{
	struct zvm_blobs *blobs = context;
	return zvm_derived_find(blobs->derived, name, source, note, ret_fd);
}

static int keep_derived(void *context, const char *name, const struct zvm_digest *source,
                        const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd)
{
	struct zvm_blobs *blobs = context;
	return as_trouble(zvm_derived_keep(blobs->derived, name, source, note, fd, ret_fd));
}

struct zvm_contents zvm_blobs_contents(struct zvm_blobs *blobs)
{
	return (struct zvm_contents){.context = blobs,
	                             .keep_file = keep_file,
	                             .keep_bytes = keep_bytes,
	                             .find_derived = find_derived,
	                             .keep_derived = keep_derived};
}
