/*
 * Which stored content is this file? See blob.h for the rule of the stat shortcut.
 *
 * Why two seconds: a file written twice within one tick of the filesystem's clock looks the same to stat. If both its
 * times were older than that when it was read, a later write must show. Times may be set back with utimensat, but the
 * change time cannot, so it is part of the key.
 *
 * The table on disk is one append-only file of fixed, checksummed lines, read once at the start; damaged or foreign
 * lines are skipped, the piece of a line that a crash or a full disk left at the end is cut off, and a file that has
 * grown too large is started anew. Losing it costs only time.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <xxhash.h>
#include <zvm/blob.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "derived.h"
#include "store_internal.h"
#include "watch.h"

#define QUICK_MAX (16u << 20)
#define TABLE_MAX 262144
#define FILE_MAX_BYTES (64u << 20)

struct line {
	struct zvm_file_identity id;
	uint64_t high, low;
	uint64_t twin;
	uint64_t check;
};

struct shortcut {
	UT_hash_handle hh;
	struct zvm_file_identity id;
	struct zvm_digest digest;
};

struct zvm_blobs {
	struct zvm_store *store;
	pthread_rwlock_t lock; /* around table */
	struct shortcut *table;
	int file;
	atomic_bool torn; /* the file ends with a piece of a line */
	struct zvm_derived *derived;
	struct zvm_watch *watch; /* NULL: there is nothing to watch with */
};

static uint64_t check_of(const struct line *line)
{
	return XXH3_64bits(line, offsetof(struct line, check));
}

static void learn_locked(struct zvm_blobs *blobs, const struct zvm_file_identity *id, const struct zvm_digest *digest)
{
	struct shortcut *s;
	HASH_FIND(hh, blobs->table, id, sizeof *id, s);
	if (!s) {
		if (HASH_COUNT(blobs->table) >= TABLE_MAX) {
			struct shortcut *oldest = blobs->table;
			HASH_DEL(blobs->table, oldest);
			free(oldest);
		}
		s = calloc(1, sizeof *s);
		if (!s)
			return;
		s->id = *id;
		HASH_ADD(hh, blobs->table, id, sizeof s->id, s);
	}
	s->digest = *digest;
}

static void load(struct zvm_blobs *blobs)
{
	struct line lines[256];
	uint64_t at = 0;
	long n;
	while ((n = zvm_read_at(blobs->file, lines, sizeof lines, at)) >= (long)sizeof lines[0]) {
		for (size_t i = 0; i < (size_t)n / sizeof lines[0]; i++) {
			struct zvm_digest digest = {
			        .high = lines[i].high, .low = lines[i].low, .twin = (uint32_t)lines[i].twin};
			if (lines[i].check == check_of(&lines[i]))
				learn_locked(blobs, &lines[i].id, &digest);
		}
		at += (uint64_t)n - (uint64_t)n % sizeof lines[0];
	}
}

/* Behind a piece of a line every later one would be out of step. */
static int repair(int file)
{
	struct stat st;
	if (fstat(file, &st) < 0)
		return -errno;
	off_t whole = st.st_size > (off_t)FILE_MAX_BYTES ? 0 : st.st_size - st.st_size % (off_t)sizeof(struct line);
	return whole == st.st_size || ftruncate(file, whole) == 0 ? 0 : -errno;
}

static void open_table(struct zvm_blobs *blobs)
{
	bool readonly = blobs->store->flags & ZVM_STORE_READONLY;
	blobs->file = openat(blobs->store->directory, "stat/shortcuts",
	                     readonly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (blobs->file < 0) /* without the file the table simply starts empty */
		return;
	if (!readonly && repair(blobs->file)) {
		zvm_close_pointer(&blobs->file);
		blobs->file = -1;
		return;
	}
	load(blobs);
}

int zvm_blobs_open(struct zvm_store *store, struct zvm_blobs **ret)
{
	struct zvm_blobs *blobs = calloc(1, sizeof *blobs);
	if (!blobs)
		return -ENOMEM;
	blobs->store = store;
	int r = zvm_derived_open(store, &blobs->derived);
	if (r) {
		free(blobs);
		return r;
	}
	if (zvm_watch_open(&blobs->watch))
		blobs->watch = NULL;
	pthread_rwlock_init(&blobs->lock, NULL);
	open_table(blobs);
	*ret = blobs;
	return 0;
}

void zvm_blobs_close(struct zvm_blobs *blobs)
{
	struct shortcut *s, *next;
	if (!blobs)
		return;
	HASH_ITER(hh, blobs->table, s, next)
	{
		HASH_DEL(blobs->table, s);
		free(s);
	}
	zvm_derived_close(blobs->derived);
	zvm_watch_close(blobs->watch);
	zvm_close_pointer(&blobs->file);
	pthread_rwlock_destroy(&blobs->lock);
	free(blobs);
}

struct zvm_watch *zvm_blobs_watch(struct zvm_blobs *blobs)
{
	return blobs->watch;
}

int zvm_blob_known(struct zvm_blobs *blobs, const struct stat *st, struct zvm_digest *ret)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct shortcut *s;
	pthread_rwlock_rdlock(&blobs->lock);
	HASH_FIND(hh, blobs->table, &id, sizeof id, s);
	if (s)
		*ret = s->digest;
	pthread_rwlock_unlock(&blobs->lock);
	return s ? 0 : -ENOENT;
}

/* One short append: whole, or cut off at the next start. After a piece nothing more is appended by this process. */
static void append(struct zvm_blobs *blobs, const struct line *line)
{
	if (blobs->store->flags & ZVM_STORE_READONLY || blobs->file < 0 || atomic_load(&blobs->torn))
		return;
	ssize_t n = write(blobs->file, line, sizeof *line);
	if (n > 0 && (size_t)n < sizeof *line)
		atomic_store(&blobs->torn, true);
}

static void learn(struct zvm_blobs *blobs, const struct stat *st, const struct zvm_digest *digest)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct line line = {.id = id, .high = digest->high, .low = digest->low, .twin = digest->twin};
	line.check = check_of(&line);
	pthread_rwlock_wrlock(&blobs->lock);
	learn_locked(blobs, &id, digest);
	pthread_rwlock_unlock(&blobs->lock);
	append(blobs, &line);
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

static int snapshot(struct zvm_blobs *blobs, int fd, const struct stat *before, struct zvm_digest *ret,
                    uint64_t *ret_size)
{
	int r = zvm_store_put_file(blobs->store, fd, ret, ret_size);
	if (r == 0)
		learn_unchanged(blobs, fd, before, ret, *ret_size);
	return r;
}

int zvm_blob_quick(struct zvm_blobs *blobs, int fd, const struct stat *st, struct zvm_digest *ret)
{
	if (zvm_blob_known(blobs, st, ret) == 0)
		return 0;
	if ((uint64_t)st->st_size > QUICK_MAX)
		return -EAGAIN;
	int r = zvm_content_hash(fd, (uint64_t)st->st_size, ret);
	for (; r == 0; ret->twin++) {
		zvm_autofd int object = -1;
		uint64_t size;
		r = zvm_store_object(blobs->store, ret, &object, &size);
		if (r == 0 && size == (uint64_t)st->st_size && zvm_content_equal(object, fd, size) == 1) {
			learn_unchanged(blobs, fd, st, ret, size);
			return 0;
		}
	}
	return r == -ENODATA ? -EAGAIN : r;
}

int zvm_blob_of_file(struct zvm_blobs *blobs, int fd, struct zvm_digest *ret, uint64_t *ret_size, int *ret_fd)
{
	struct stat st;
	uint64_t size;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (ret_fd)
		*ret_fd = -1;
	if (zvm_blob_known(blobs, &st, ret) == 0) {
		int r = ret_fd                             ? zvm_store_object(blobs->store, ret, ret_fd, NULL)
		        : zvm_store_has(blobs->store, ret) ? 0
		                                           : -ENOENT;
		if (r == 0) {
			*ret_size = (uint64_t)st.st_size;
			return 0;
		}
	}
	int r = snapshot(blobs, fd, &st, ret, &size);
	if (r)
		return r;
	*ret_size = size;
	return ret_fd ? zvm_store_object(blobs->store, ret, ret_fd, NULL) : 0;
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
	int r = zvm_store_put(blobs->store, bytes, size, ret);
	if (r == 0 && ret_fd)
		r = zvm_store_object(blobs->store, ret, ret_fd, NULL);
	return r;
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
	return zvm_derived_keep(blobs->derived, name, source, note, fd, ret_fd);
}

struct zvm_contents zvm_blobs_contents(struct zvm_blobs *blobs)
{
	return (struct zvm_contents){.context = blobs,
	                             .keep_file = keep_file,
	                             .keep_bytes = keep_bytes,
	                             .find_derived = find_derived,
	                             .keep_derived = keep_derived};
}
