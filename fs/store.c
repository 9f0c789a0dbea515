/*
 * The store's objects.
 *
 * How an object comes to be: its bytes are written to an unnamed file below tmp/ (temporary.c). Committing hashes them,
 * makes the file read-only and links it to objects/ab/DIGEST. If that name exists, the two are compared byte by byte:
 * equal means shared, different means a twin, and the next number is tried. So equal names are equal bytes, whoever
 * chose them. A number that has become free below a twin is not given away again; one that nothing tells was ever given
 * may be, and then the print (secret.h) shows that the new content is not what was meant.
 *
 * What a run reads and writes gets its name when nobody waits for it any more (pending.c), which changes none of that.
 *
 * What a crash can do: a name may survive a power loss whose bytes did not. We do not sync (a cold result would cost a
 * disk flush); instead an object is checked against its name when this process first uses it, unless it wrote it
 * itself. One that fails is condemned: moved to tmp/ for a person to look at, counted, and -ENOENT to the caller, who
 * computes it again. Damage that comes later shows by the file's stat at the next use; where it does not, or a disk
 * fails, reading goes wrong, and then nothing that was checked is believed any more (zvm_store_doubt).
 *
 * Who may: the owner alone. A directory that is writable by others, belongs to somebody else, is of a newer format or
 * is not a store is refused and not touched.
 */
#include "store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "accord.h"
#include "content.h"
#include "pending.h"
#include "temporary.h"

#define VERSION_TEXT "zvm store 1\n"
#define VERIFIED_MAX 65536
#define TWINS_MAX 1024u
#define CONDEMNED_MAX 16u /* at one commit: more often than that is a directory that cannot be repaired */

/* --- opening --- */

static int refuse(char **ret_reason, int error, const char *format, const char *path)
{
	if (ret_reason) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* all callers pass a literal with one %s */
		if (asprintf(ret_reason, format, path) < 0)
			*ret_reason = NULL;
#pragma GCC diagnostic pop
	}
	return error;
}

/* *ret_made: there was nothing of that name. */
static int make_directories(const char *path, bool *ret_made)
{
	zvm_autofree char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *at = copy + (*copy == '/'); *at; at++) {
		if (*at != '/')
			continue;
		*at = 0;
		if (mkdir(copy, 0777) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	*ret_made = mkdir(copy, 0700) == 0;
	return !*ret_made && errno != EEXIST ? -errno : 0;
}

static const char *const rooms[] = {"objects", "records", "stat", "tmp", NULL};

static bool is_among(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names))
		names++;
	return *names != NULL;
}

/* Is there nothing in this directory but what has one of these names? What is not there at all holds nothing. */
static bool holds_only(int parent, const char *directory, const char *const *names)
{
	int fd = openat(parent, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	bool only = true;
	for (struct dirent *d; only && (d = readdir(dir));)
		only = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || is_among(d->d_name, names);
	closedir(dir);
	return only;
}

/* Empty, or left by somebody who was interrupted while making a store of it. */
static bool is_unfinished(int directory)
{
	static const char *const nothing[] = {NULL}, *const draft[] = {"version", NULL};
	if (!holds_only(directory, ".", rooms))
		return false;
	for (const char *const *room = rooms; *room; room++)
		if (!holds_only(directory, *room, strcmp(*room, "tmp") ? nothing : draft))
			return false;
	return true;
}

static int initialise(int directory)
{
	for (const char *const *room = rooms; *room; room++)
		if (mkdirat(directory, *room, 0700) < 0 && errno != EEXIST)
			return -errno;
	/* The version comes last: a store without one was never finished. */
	zvm_autofd int fd = openat(directory, "tmp/version", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = zvm_write_all(fd, VERSION_TEXT, strlen(VERSION_TEXT));
	if (r == 0 && (fsync(fd) < 0 || renameat(directory, "tmp/version", directory, "version") < 0))
		r = -errno;
	return r;
}

static int check_owner(int directory, const char *path, char **ret_reason)
{
	struct stat st;
	if (fstat(directory, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid())
		return refuse(ret_reason, -EPERM,
		              "the store %s belongs to another user; choose one of your own with --store", path);
	if (st.st_mode & 022)
		return refuse(ret_reason, -EPERM,
		              "the store %s is writable by others; chmod 700 it if you trust what is in it", path);
	return 0;
}

static int check_version(int directory, const char *path, char **ret_reason)
{
	char text[64] = "";
	zvm_autofd int fd = openat(directory, "version", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? refuse(ret_reason, -EINVAL,
		                                "%s is a directory, but not a store; name an empty or a new one", path)
		                       : -errno;
	if (zvm_read_at(fd, text, sizeof text - 1, 0) < 0)
		return -EIO;
	if (!strcmp(text, VERSION_TEXT))
		return 0;
	if (strncmp(text, "zvm store ", 10))
		return refuse(ret_reason, -EINVAL, "%s is a directory, but not a store; name an empty or a new one",
		              path);
	return refuse(ret_reason, -EPROTO, "the store %s was written by a newer zvm; use that, or another store", path);
}

/* A room that a power loss took is made anew: all in it can be computed again. */
static int open_room(const struct zvm_store *store, const char *name, int *ret)
{
	*ret = openat(store->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0 && errno == ENOENT && !(store->flags & ZVM_STORE_READONLY) &&
	    (mkdirat(store->directory, name, 0700) == 0 || errno == EEXIST))
		*ret = openat(store->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* A store that can only be read is not opened for more; and `lock` (claim.c) is there from then on. */
static int check_writable(const struct zvm_store *store)
{
	if (store->flags & ZVM_STORE_READONLY)
		return 0;
	zvm_autofd int fd = openat(store->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : 0;
}

static int open_rooms(struct zvm_store *store)
{
	zvm_autofd int tables = -1;
	int r = open_room(store, "stat", &tables);
	if (r == -ENOENT && store->flags & ZVM_STORE_READONLY) /* that one can be done without */
		r = 0;
	r = r ? r : open_room(store, "objects", &store->objects);
	r = r ? r : open_room(store, "records", &store->records);
	r = r ? r : open_room(store, "tmp", &store->tmp);
	return r ? r : check_writable(store);
}

static int check_filesystem(struct zvm_store *store, int directory, char **ret_reason)
{
	int fd = zvm_temporary_open(store, directory); /* shows whether it has such files at all */
	if (fd >= 0)
		close(fd);
	if (zvm_temporary_linkable(store, directory))
		return 0;
	return refuse(ret_reason, -EOPNOTSUPP,
	              "the store %s is on a filesystem without hard links; name one elsewhere with --store",
	              store->path);
}

/*
 * One at a time: two that start together must not take the other's half-made store for something else. A filesystem
 * without flock is believed to have no two that start together.
 */
static int initialise_alone(struct zvm_store *store, char **ret_reason)
{
	int directory = store->directory;
	int r = 0;
	while (flock(directory, LOCK_EX) < 0 && errno == EINTR)
		;
	if (is_unfinished(directory)) {
		r = check_filesystem(store, directory, ret_reason);
		r = r ? r : initialise(directory);
	}
	flock(directory, LOCK_UN);
	return r;
}

static int open_whole(struct zvm_store *store, const char *path, char **ret_reason)
{
	store->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory < 0)
		return refuse(ret_reason, -errno, "there is no store at %s", path);
	int r = check_owner(store->directory, path, ret_reason);
	if (r == 0 && (store->flags & ZVM_STORE_CREATE))
		r = initialise_alone(store, ret_reason);
	r = r ? r : check_version(store->directory, path, ret_reason);
	r = r ? r : open_rooms(store);
	if (r == 0 && !(store->flags & ZVM_STORE_READONLY))
		r = check_filesystem(store, store->tmp, ret_reason);
	r = r ? r : zvm_secret_load(store);
	if (r == 0)
		zvm_page_open(store);
	return r;
}

static int open_directory(struct zvm_store *store, const char *path, char **ret_reason)
{
	bool made = false;
	int r = store->flags & ZVM_STORE_CREATE ? make_directories(path, &made) : 0;
	if (r)
		return refuse(ret_reason, r, "the store %s cannot be made", path);
	r = open_whole(store, path, ret_reason);
	if (r && made)
		rmdir(path); /* unless it is a store, or somebody else has begun to make one */
	return r;
}

/* The path is shown to people who may be elsewhere. */
static char *absolute(const char *path)
{
	zvm_autofree char *here = *path == '/' ? NULL : getcwd(NULL, 0);
	char *whole = NULL;
	if (*path == '/' || !*path)
		return strdup(path);
	return here && asprintf(&whole, "%s/%s", here, path) >= 0 ? whole : NULL;
}

int zvm_store_open(const char *path, unsigned flags, struct zvm_store **ret, char **ret_reason)
{
	if (ret_reason)
		*ret_reason = NULL;
	struct zvm_store *store = calloc(1, sizeof *store);
	if (!store)
		return -ENOMEM;
	store->directory = store->objects = store->records = store->tmp = -1;
	store->flags = flags;
	atomic_init(&store->watcher, -1);
	pthread_mutex_init(&store->lock, NULL);
	store->path = absolute(path);
	int r = store->path ? open_directory(store, store->path, ret_reason) : -ENOMEM;
	if (r) {
		if (ret_reason && !*ret_reason)
			refuse(ret_reason, r, "the store %s cannot be used", path);
		zvm_store_close(store);
		return r;
	}
	*ret = store;
	return 0;
}

void zvm_store_close(struct zvm_store *store)
{
	if (!store)
		return;
	zvm_store_doubt(store);
	zvm_page_close(store);
	zvm_close_pointer(&store->directory);
	zvm_close_pointer(&store->objects);
	zvm_close_pointer(&store->records);
	zvm_close_pointer(&store->tmp);
	while (store->spare_count)
		close(store->spares[--store->spare_count]);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}

const char *zvm_store_path(const struct zvm_store *store)
{
	return store->path;
}

int zvm_store_directory(const struct zvm_store *store)
{
	return store->directory;
}

int zvm_store_default_path(char **ret)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;
	if (cache && *cache == '/')
		n = asprintf(ret, "%s/zvm", cache);
	else if (home && *home == '/')
		n = asprintf(ret, "%s/.cache/zvm", home);
	else
		return -ENOENT;
	return n < 0 ? -ENOMEM : 0;
}

/* --- names --- */

struct object_name {
	char text[3 + ZVM_DIGEST_TEXT]; /* "ab/DIGEST" */
};

static struct object_name name_of(const struct zvm_digest *digest)
{
	struct object_name name;
	zvm_digest_format(digest, name.text + 3);
	name.text[0] = name.text[3];
	name.text[1] = name.text[4];
	name.text[2] = '/';
	return name;
}

/* To who writes, a quota is a full disk. */
static int full_or_errno(void)
{
	return errno == EDQUOT ? -ENOSPC : -errno;
}

static int make_shelf(const struct zvm_store *store, const struct object_name *name)
{
	char shelf[3] = {name->text[0], name->text[1], 0};
	return mkdirat(store->objects, shelf, 0700) < 0 && errno != EEXIST ? full_or_errno() : 0;
}

/* --- which objects have proved to be what their name says --- */

void zvm_store_now_verified(struct zvm_store *store, const struct stat *st, uint32_t print)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct zvm_verified *v;
	pthread_mutex_lock(&store->lock);
	HASH_FIND(hh, store->verified, &id, sizeof id, v);
	if (!v) {
		if (HASH_COUNT(store->verified) >= VERIFIED_MAX) { /* the oldest goes: it is only checked again */
			struct zvm_verified *first = store->verified;
			HASH_DEL(store->verified, first);
			free(first);
		}
		v = calloc(1, sizeof *v);
		if (v) {
			v->id = id;
			HASH_ADD(hh, store->verified, id, sizeof id, v);
		}
	}
	if (v)
		v->print = print;
	pthread_mutex_unlock(&store->lock);
}

static bool is_verified(struct zvm_store *store, const struct stat *st, uint32_t *ret_print)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct zvm_verified *v;
	pthread_mutex_lock(&store->lock);
	HASH_FIND(hh, store->verified, &id, sizeof id, v);
	if (v)
		*ret_print = v->print;
	pthread_mutex_unlock(&store->lock);
	return v != NULL;
}

/* 1 yes; 0 no, or it cannot be read; -ENOMEM says nothing about the object. */
static int content_matches(const struct zvm_store *store, int fd, uint64_t size, const struct zvm_digest *digest,
                           uint32_t *ret_print)
{
	struct zvm_digest found;
	int r = zvm_content_identify(fd, size, zvm_store_secret(store), &found);
	if (r == -ENOMEM)
		return r;
	*ret_print = found.print;
	return r == 0 && found.high == digest->high && found.low == digest->low;
}

/* Errors that say nothing about a file, but something about us. */
static bool is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR;
}

/*
 * The file of that name, whatever its bytes. What is no readable regular file is no object either: it is set aside like
 * one that is damaged. 0, -ENOENT, or trouble of ours.
 */
static int open_object(struct zvm_store *store, const struct zvm_digest *digest, int *ret_fd, struct stat *st)
{
	struct object_name name = name_of(digest);
	zvm_autofd int fd = openat(store->objects, name.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || is_ours(errno)))
		return -errno;
	if (fd < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
		zvm_store_condemn(store, digest, "it is no readable file");
		return -ENOENT;
	}
	*ret_fd = zvm_steal_fd(&fd);
	return 0;
}

/* --- committing --- */

/*
 * Spares. A filesystem may look long for a free inode, above all among many just deleted (an ext4 without a journal
 * takes 140 us instead of 5), and a run needs four files of which one or two become nothing. So those are used again,
 * and some are made ahead.
 */
static int take_spare(struct zvm_store *store)
{
	pthread_mutex_lock(&store->lock);
	int fd = store->spare_count ? store->spares[--store->spare_count] : -1;
	pthread_mutex_unlock(&store->lock);
	return fd;
}

static bool keep_spare(struct zvm_store *store, int fd)
{
	pthread_mutex_lock(&store->lock);
	bool kept = store->spare_count < ZVM_SPARES_MAX;
	if (kept)
		store->spares[store->spare_count++] = fd;
	pthread_mutex_unlock(&store->lock);
	return kept;
}

static bool lacks_spares(struct zvm_store *store)
{
	pthread_mutex_lock(&store->lock);
	bool lacks = store->spare_count < ZVM_SPARES_MAX;
	pthread_mutex_unlock(&store->lock);
	return lacks;
}

int zvm_store_begin(struct zvm_store *store, int *ret_fd)
{
	int fd = store->flags & ZVM_STORE_READONLY ? -EROFS : take_spare(store);
	if (fd == -1)
		fd = zvm_temporary_open(store, store->tmp);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

void zvm_store_recycle(struct zvm_store *store, int *fd)
{
	char path[48];
	struct stat st;
	int fresh = -1;
	/* Opened anew: offset, flags and locks of the old description may be a guest's doing. */
	if (*fd >= 0 && fstat(*fd, &st) == 0 && st.st_nlink == 0 && (!st.st_size || ftruncate(*fd, 0) == 0)) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
		fresh = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fresh >= 0 && !keep_spare(store, fresh))
		close(fresh);
	zvm_close_pointer(fd);
	*fd = -1;
}

void zvm_store_make_spares(struct zvm_store *store)
{
	while (!(store->flags & ZVM_STORE_READONLY) && lacks_spares(store)) {
		int fd = openat(store->tmp, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0)
			return;
		if (!keep_spare(store, fd))
			close(fd);
	}
}

static int link_into_place(struct zvm_store *store, int *fd, const struct object_name *name)
{
	int r = zvm_temporary_link(store, fd, store->objects, name->text);
	if (r != -ENOENT)
		return r;
	r = make_shelf(store, name);
	return r ? r : zvm_temporary_link(store, fd, store->objects, name->text);
}

/* Is what has this name already the same? 1 yes, and *fd becomes it; 0 no: a twin; -ENOENT: it was damaged and is out
 * of the way now. */
static int compare_existing(struct zvm_store *store, int *fd, uint64_t size, bool ours, const struct zvm_digest *digest)
{
	struct stat st;
	zvm_autofd int existing = -1;
	int r = open_object(store, digest, &existing, &st);
	if (r)
		return r;
	uint32_t print = 0;
	int equal = (uint64_t)st.st_size == size ? zvm_content_equal(existing, *fd, size) : 0;
	if (equal == 1) {
		zvm_store_now_verified(store, &st, digest->print);
		if (ours)
			zvm_store_recycle(store, fd);
		else
			zvm_close_pointer(fd);
		*fd = zvm_steal_fd(&existing);
		return 1;
	}
	int intact = equal == 0         ? content_matches(store, existing, (uint64_t)st.st_size, digest, &print)
	             : equal == -ENOMEM ? equal
	                                : 0;
	if (intact < 0)
		return intact;
	if (intact)
		return 0;
	zvm_store_condemn(store, digest, "its bytes do not match its name");
	return -ENOENT;
}

/* A number that is free although the next one is taken. */
static bool is_gap(struct zvm_store *store, const struct zvm_digest *digest)
{
	struct zvm_digest next = *digest;
	next.twin++;
	return zvm_store_has(store, &next) && !zvm_store_has(store, digest);
}

static void count_written(struct zvm_store *store, int fd, uint64_t size)
{
	struct stat st;
	atomic_fetch_add(&store->counters.objects_written, 1);
	atomic_fetch_add(&store->counters.bytes_written, size);
	if (fstat(fd, &st) == 0)
		zvm_store_add_usage(store, (int64_t)st.st_blocks * 512);
}

static int place_object(struct zvm_store *store, int *fd, uint64_t size, bool ours, struct zvm_digest *digest)
{
	unsigned condemned = 0;
	for (digest->twin = 0; digest->twin < TWINS_MAX;) {
		struct object_name name = name_of(digest);
		if (is_gap(store, digest)) {
			digest->twin++;
			continue;
		}
		int r = link_into_place(store, fd, &name);
		if (r == 0) {
			count_written(store, *fd, size);
			return 0;
		}
		if (r != -EEXIST)
			return r;
		r = compare_existing(store, fd, size, ours, digest);
		if (r == 1) {
			atomic_fetch_add(&store->counters.objects_shared, 1);
			return 0;
		}
		if (r == 0) {
			atomic_fetch_add(&store->counters.twins, 1);
			digest->twin++;
		} else if (r != -ENOENT || ++condemned > CONDEMNED_MAX) {
			return r == -ENOENT ? -EIO : r;
		}
	}
	return -EMLINK;
}

int zvm_store_place(struct zvm_store *store, int *fd, uint64_t size, bool ours, struct zvm_digest *digest)
{
	struct stat st;
	int r = fchmod(*fd, 0400) < 0 ? -errno : place_object(store, fd, size, ours, digest);
	if (r == -ENOSPC)
		zvm_store_is_full(store);
	if (r == 0 && fstat(*fd, &st) == 0)
		zvm_store_now_verified(store, &st, digest->print);
	return r;
}

int zvm_store_commit(struct zvm_store *store, int *fd, struct zvm_digest *ret, uint64_t *ret_size)
{
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return -errno;
	uint64_t size = (uint64_t)st.st_size;
	if (ret_size)
		*ret_size = size;
	int r = zvm_content_identify(*fd, size, zvm_store_secret(store), ret);
	return r ? r : zvm_store_place(store, fd, size, true, ret);
}

int zvm_store_put(struct zvm_store *store, const void *data, size_t size, struct zvm_digest *ret)
{
	zvm_autofd int fd = -1;
	struct stat st;
	/* Often it is there: then the comparison is all there is to do. */
	zvm_memory_identify(data, size, zvm_store_secret(store), ret);
	struct object_name name = name_of(ret);
	fd = openat(store->objects, name.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size == size &&
	    zvm_content_equals_memory(fd, data, size) == 1) {
		zvm_store_now_verified(store, &st, ret->print);
		return 0;
	}
	zvm_close_pointer(&fd);
	int r = zvm_store_begin(store, &fd);
	r = r ? r : zvm_write_all(fd, data, size);
	return r ? r : zvm_store_commit(store, &fd, ret, NULL);
}

int zvm_store_snapshot(struct zvm_store *store, int fd, int *ret_copy, struct zvm_digest *ret, uint64_t *ret_size)
{
	struct stat st;
	zvm_autofd int copy = -1;
	if (fstat(fd, &st) < 0)
		return -errno;
	int r = zvm_store_begin(store, &copy);
	*ret_size = (uint64_t)st.st_size;
	r = r ? r : zvm_content_snapshot(fd, copy, ret_size, zvm_store_secret(store), ret);
	if (r == -ENOSPC)
		zvm_store_is_full(store);
	if (r == 0)
		*ret_copy = zvm_steal_fd(&copy);
	return r;
}

int zvm_store_put_file(struct zvm_store *store, int fd, struct zvm_digest *ret, uint64_t *ret_size)
{
	zvm_autofd int copy = -1;
	uint64_t size;
	int r = zvm_store_snapshot(store, fd, &copy, ret, &size);
	r = r ? r : zvm_store_place(store, &copy, size, true, ret);
	if (ret_size)
		*ret_size = size;
	return r;
}

/* --- using --- */

int zvm_store_object(struct zvm_store *store, const struct zvm_digest *digest, int *ret_fd, uint64_t *ret_size)
{
	struct stat st;
	zvm_autofd int fd = -1;
	/* First, for it has its name before it is not pending any more. */
	int r = zvm_pending_open(store, digest, ret_fd, ret_size);
	if (r != -ENOENT)
		return r;
	r = open_object(store, digest, &fd, &st);
	if (r)
		return r;
	uint32_t print = 0;
	if (!is_verified(store, &st, &print)) {
		int matches = content_matches(store, fd, (uint64_t)st.st_size, digest, &print);
		if (matches < 0)
			return matches;
		if (!matches) {
			zvm_store_condemn(store, digest, "its bytes do not match its name");
			return -ENOENT;
		}
		zvm_store_now_verified(store, &st, print);
	}
	if (digest->print && digest->print != print)
		return -ENOENT; /* what was meant is gone, and another content has its number */
	*ret_fd = zvm_steal_fd(&fd);
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return 0;
}

int zvm_store_check(struct zvm_store *store, int fd, uint64_t size, const struct zvm_digest *digest)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	uint32_t print = 0;
	if (is_verified(store, &st, &print))
		return 0;
	int matches = (uint64_t)st.st_size == size ? content_matches(store, fd, size, digest, &print) : 0;
	if (matches < 0)
		return matches;
	if (matches)
		zvm_store_now_verified(store, &st, print);
	return matches ? 0 : -EIO;
}

bool zvm_store_has(struct zvm_store *store, const struct zvm_digest *digest)
{
	struct object_name name = name_of(digest);
	return faccessat(store->objects, name.text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void zvm_store_doubt(struct zvm_store *store)
{
	struct zvm_verified *v, *next;
	pthread_mutex_lock(&store->lock);
	HASH_ITER(hh, store->verified, v, next)
	{
		HASH_DEL(store->verified, v);
		free(v);
	}
	pthread_mutex_unlock(&store->lock);
}

void zvm_store_condemn(struct zvm_store *store, const struct zvm_digest *digest, const char *why)
{
	struct object_name name = name_of(digest);
	char aside[ZVM_DIGEST_TEXT + 64];
	atomic_fetch_add(&store->counters.condemned, 1);
	syslog(LOG_WARNING, "object %s is set aside: %s", name.text + 3, why);
	if (store->flags & ZVM_STORE_READONLY)
		return;
	snprintf(aside, sizeof aside, "condemned-%s", name.text + 3);
	if (renameat(store->objects, name.text, store->tmp, aside) == 0 || errno == ENOENT)
		return;
	/* A directory cannot take a file's name, nor the other way. */
	snprintf(aside, sizeof aside, "condemned-%s-%d-%lu", name.text + 3, (int)getpid(),
	         (unsigned long)atomic_load(&store->counters.condemned));
	if (renameat(store->objects, name.text, store->tmp, aside) < 0)
		unlinkat(store->objects, name.text, 0);
}

void zvm_store_counters(struct zvm_store *store, struct zvm_store_counters *ret)
{
	const struct zvm_page *page = store->page;
	*ret = (struct zvm_store_counters){
	        .objects_written = atomic_load(&store->counters.objects_written),
	        .bytes_written = atomic_load(&store->counters.bytes_written),
	        .objects_shared = atomic_load(&store->counters.objects_shared),
	        .twins = atomic_load(&store->counters.twins),
	        .condemned = atomic_load(&store->counters.condemned),
	        .records_written = atomic_load(&store->counters.records_written),
	};
	if (!page)
		return;
	int64_t bytes = atomic_load(&page->bytes);
	ret->bytes = bytes > 0 ? (uint64_t)bytes : 0;
	ret->gc_runs = atomic_load(&page->runs);
	ret->gc_objects = atomic_load(&page->objects);
	ret->gc_records = atomic_load(&page->records);
	ret->gc_bytes = atomic_load(&page->freed);
}
