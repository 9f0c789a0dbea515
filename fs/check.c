/*
 * Checking dependencies cheaply.
 *
 * Every answer that the view gives can be remembered together with the stat of the host path it was asked of. If a
 * fresh stat shows the same file (device, inode, size, mode, both times, and both older than two seconds when it was
 * remembered), the view would give the same answer: contents, type and permissions hang on these; the canonical inode
 * hangs on the path alone; what else there is in an answer is constant. A directory's listing changes its times. What
 * was absent must be absent still.
 *
 * A link is another matter: the host follows it on the host, the guest in the guest's view, so that a package moved to
 * another place with a link to it is the same file to one and gone to the other. Below /script, which its owner changes
 * as he likes, only a way without links is believed.
 *
 * Only where that is not enough is the view asked: the first time in a process, and whenever the stat differs.
 */
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <zvm/cleanup.h>
#include "store_internal.h"

#define REMEMBERED_MAX 65536
#define OLD_ENOUGH_S 2

struct remembered {
	UT_hash_handle hh;
	struct zvm_file_identity id;
	mode_t mode;
	struct zvm_answer answer;
	size_t key_size;
	char key[]; /* kind, flags, host path */
};

struct zvm_checks {
	struct zvm_blobs *blobs;
	pthread_rwlock_t lock;
	struct remembered *table;
};

int zvm_checks_open(struct zvm_blobs *blobs, struct zvm_checks **ret)
{
	struct zvm_checks *checks = calloc(1, sizeof *checks);
	if (!checks)
		return -ENOMEM;
	checks->blobs = blobs;
	pthread_rwlock_init(&checks->lock, NULL);
	*ret = checks;
	return 0;
}

static void forget(struct remembered *r)
{
	zvm_answer_free(&r->answer);
	free(r);
}

void zvm_checks_close(struct zvm_checks *checks)
{
	struct remembered *r, *next;
	if (!checks)
		return;
	HASH_ITER(hh, checks->table, r, next)
	{
		HASH_DEL(checks->table, r);
		forget(r);
	}
	pthread_rwlock_destroy(&checks->lock);
	free(checks);
}

struct key {
	size_t size;
	char bytes[4200];
};

static bool build_key(const struct zvm_question *q, const char *host, struct key *key)
{
	size_t n = strlen(host);
	if (n + 2 > sizeof key->bytes)
		return false;
	key->bytes[0] = (char)q->kind;
	key->bytes[1] = (char)q->flags;
	memcpy(key->bytes + 2, host, n);
	key->size = n + 2;
	return true;
}

/* 1 or 0 if the remembered answer decides, -ENOENT if nothing usable is remembered. */
static int recall(struct zvm_checks *checks, const struct key *key, const struct stat *st,
                  const struct zvm_answer *wanted)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	struct remembered *r;
	int result = -ENOENT;
	pthread_rwlock_rdlock(&checks->lock);
	HASH_FIND(hh, checks->table, key->bytes, key->size, r);
	if (r && !memcmp(&r->id, &id, sizeof id) && r->mode == st->st_mode)
		result = zvm_answer_equal(&r->answer, wanted);
	pthread_rwlock_unlock(&checks->lock);
	return result;
}

static void remember(struct zvm_checks *checks, const struct key *key, const struct stat *st, struct zvm_answer *answer)
{
	struct timespec now;
	struct remembered *old, *r = NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	if (st->st_mtim.tv_sec + OLD_ENOUGH_S < now.tv_sec && st->st_ctim.tv_sec + OLD_ENOUGH_S < now.tv_sec)
		r = calloc(1, sizeof *r + key->size);
	if (!r)
		return;
	r->id = zvm_file_identity(st);
	r->mode = st->st_mode;
	r->answer = *answer;
	r->key_size = key->size;
	memcpy(r->key, key->bytes, key->size);
	*answer = (struct zvm_answer){.fd = -1};
	pthread_rwlock_wrlock(&checks->lock);
	HASH_FIND(hh, checks->table, key->bytes, key->size, old);
	if (!old && HASH_COUNT(checks->table) >= REMEMBERED_MAX)
		old = checks->table;
	if (old) {
		HASH_DEL(checks->table, old);
		forget(old);
	}
	HASH_ADD(hh, checks->table, key, r->key_size, r);
	pthread_rwlock_unlock(&checks->lock);
}

/* The file of the host that the answer hangs on. 0 or -errno; -ELOOP: a stat cannot tell. */
static int stat_place(const struct zvm_question *q, const char *host, bool nofollow, struct stat *st)
{
	if (strncmp(q->path, "/script/", 8))
		return fstatat(AT_FDCWD, host, st, nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0 ? -errno : 0;
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0u),
	                       .resolve = RESOLVE_NO_SYMLINKS};
	zvm_autofd int fd = (int)syscall(SYS_openat2, AT_FDCWD, host, &how, sizeof how);
	return fd < 0 || fstat(fd, st) < 0 ? -errno : 0;
}

/* What was absent is so still if not even a link is there (a link may lead to where only the guest can look). */
static bool still_absent(const struct zvm_dependency *d, const char *host)
{
	struct stat st;
	int error = d->answer.error;
	return (error == -ENOENT || error == -ENOTDIR) && stat_place(&d->question, host, true, &st) == error;
}

/* --- contents that answer only from what is known --- */

static int known_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                      int *ret_fd)
{
	if (ret_fd)
		*ret_fd = -1;
	*ret_size = (uint64_t)st->st_size;
	return zvm_blob_quick(context, fd, st, ret) ? -EAGAIN : 0;
}

static int ask(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_question *q, bool quick,
               struct zvm_answer *ret)
{
	struct zvm_contents contents = zvm_blobs_contents(checks->blobs), known = {.context = checks->blobs,
	                                                                           .keep_file = known_file,
	                                                                           .keep_bytes = contents.keep_bytes};
	return zvm_view_ask(view, quick ? &known : &contents, q, false, ret, NULL);
}

int zvm_check_dependency(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_dependency *d,
                         bool quick)
{
	zvm_autofree char *host = NULL;
	struct stat st;
	struct key key;
	struct zvm_answer answer;
	bool placed = zvm_view_host_path(view, d->question.path, &host) == 0 && build_key(&d->question, host, &key);
	if (placed && still_absent(d, host))
		return 1;
	bool nofollow = d->question.flags & ZVM_ASK_NOFOLLOW;
	bool there = placed && stat_place(&d->question, host, nofollow, &st) == 0;
	if (there) {
		int r = recall(checks, &key, &st, &d->answer);
		if (r >= 0)
			return r;
	}
	int r = ask(checks, view, &d->question, quick, &answer);
	if (r)
		return r;
	int holds = zvm_answer_equal(&answer, &d->answer);
	if (there)
		remember(checks, &key, &st, &answer);
	zvm_answer_free(&answer);
	return holds;
}
