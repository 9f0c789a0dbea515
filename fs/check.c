/*
 * Checking dependencies cheaply.
 *
 * Every answer that the view gives can be remembered together with the stat of the host path it was asked of. If a
 * fresh stat shows the same file (device, inode, size, mode, both times, and both older than two seconds when it was
 * remembered), the view would give the same answer: contents, type and permissions hang on these; the canonical inode
 * hangs on the path alone; what else there is in an answer is constant. A directory's listing changes its times. What
 * was absent must be absent still, on a way without symbolic links, since the guest's view may follow those elsewhere.
 *
 * A link is another matter: the host follows it on the host, the guest in the guest's view, so that a package moved to
 * another place with a link to it is the same file to one and gone to the other. Below /script, which its owner changes
 * as he likes, only a way without links is believed.
 *
 * Only where that is not enough is the view asked: the first time in a process, and whenever the stat differs. And
 * what is asked about again and again gets a guard (watch.h), which spares the stat for as long as the kernel reports
 * nothing: so a run's hundred dependencies are one question to the kernel, and not a hundred.
 *
 * A proof is a list of what is remembered about all dependencies of a run, each file once: a path asked for its content
 * and its attributes is one stat, and what is missing below a directory that is itself missing is one look for that
 * directory (a program looking for its locale in vain asks a dozen times). What is remembered never changes; it is
 * counted, and goes when neither the table nor a proof holds it. Equal proofs are one and the same, so that a million
 * results of one script do not take a million lists.
 */
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <zvm/cleanup.h>
#include "store_internal.h"
#include "watch.h"

#define REMEMBERED_MAX 65536
#define COVER_BACK 64
#define GUARD_AFTER 3 /* stats: a guard costs as much as some twenty */

struct remembered {
	UT_hash_handle hh;
	unsigned references; /* atomic: the table's and those of proofs */
	bool absent;         /* answer.error says how; no identity */
	struct zvm_file_identity id;
	mode_t mode;
	struct zvm_guard guard;
	atomic_uint stats; /* how often one was asked */
	struct zvm_answer answer;
	size_t key_size;
	char key[]; /* kind, flags, host path, NUL */
};

/* Runs of one script on many inputs stand on the same files: their proof is one. */
struct zvm_proof {
	UT_hash_handle hh;
	struct zvm_checks *checks;
	unsigned references; /* around it: checks->proofs_lock */
	unsigned count;
	const struct zvm_view *view; /* from here on what proofs are told apart by */
	struct remembered *parts[];
};

struct zvm_checks {
	atomic_uint references; /* its owner's, and each proof's */
	pthread_mutex_t proofs_lock;
	struct zvm_proof *proofs;
	struct zvm_blobs *blobs;
	struct zvm_watch *watch; /* the blobs' */
	pthread_rwlock_t lock;
	struct remembered *table;
};

int zvm_checks_open(struct zvm_blobs *blobs, struct zvm_checks **ret)
{
	struct zvm_checks *checks = calloc(1, sizeof *checks);
	if (!checks)
		return -ENOMEM;
	atomic_init(&checks->references, 1);
	pthread_mutex_init(&checks->proofs_lock, NULL);
	checks->blobs = blobs;
	checks->watch = zvm_blobs_watch(blobs);
	pthread_rwlock_init(&checks->lock, NULL);
	*ret = checks;
	return 0;
}

static void unref(struct remembered *r)
{
	if (__atomic_sub_fetch(&r->references, 1, __ATOMIC_ACQ_REL))
		return;
	zvm_guard_drop(&r->guard);
	zvm_answer_free(&r->answer);
	free(r);
}

static struct remembered *ref(struct remembered *r)
{
	if (r)
		__atomic_add_fetch(&r->references, 1, __ATOMIC_RELAXED);
	return r;
}

static void unref_checks(struct zvm_checks *checks)
{
	if (atomic_fetch_sub(&checks->references, 1) != 1)
		return;
	pthread_rwlock_destroy(&checks->lock);
	pthread_mutex_destroy(&checks->proofs_lock);
	free(checks);
}

void zvm_checks_close(struct zvm_checks *checks)
{
	struct remembered *r, *next;
	if (!checks)
		return;
	HASH_ITER(hh, checks->table, r, next)
	{
		HASH_DEL(checks->table, r);
		unref(r);
	}
	checks->table = NULL;
	unref_checks(checks);
}

/* --- what is remembered --- */

struct key {
	size_t size;
	char bytes[4096 + 256];
};

/* Without a kind: that nothing is there, whoever asks. */
#define KIND_NOTHING 0
/* Beside the question's flags: links on the way are not believed. */
#define NO_LINKS 0x40u

static bool build_key(unsigned kind, unsigned flags, const char *host, struct key *key)
{
	size_t n = strlen(host) + 1;
	if (n + 2 > sizeof key->bytes)
		return false;
	key->bytes[0] = (char)kind;
	key->bytes[1] = (char)flags;
	memcpy(key->bytes + 2, host, n);
	key->size = n + 2;
	return true;
}

/* The file of the host that an answer hangs on. 0 or -errno; -ELOOP: a stat cannot tell. */
static int stat_place(const char *key, struct stat *st)
{
	unsigned flags = (unsigned char)key[1];
	bool nofollow = flags & ZVM_ASK_NOFOLLOW;
	if (!(flags & NO_LINKS))
		return fstatat(AT_FDCWD, key + 2, st, nofollow ? AT_SYMLINK_NOFOLLOW : 0) < 0 ? -errno : 0;
	struct open_how how = {.flags = O_PATH | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0u),
	                       .resolve = RESOLVE_NO_SYMLINKS};
	zvm_autofd int fd = (int)syscall(SYS_openat2, AT_FDCWD, key + 2, &how, sizeof how);
	return fd < 0 || fstat(fd, st) < 0 ? -errno : 0;
}

static const char *host_of(const struct remembered *r)
{
	return r->key + 2;
}

static struct remembered *find(struct zvm_checks *checks, const struct key *key)
{
	struct remembered *r;
	pthread_rwlock_rdlock(&checks->lock);
	HASH_FIND(hh, checks->table, key->bytes, key->size, r);
	ref(r);
	pthread_rwlock_unlock(&checks->lock);
	return r;
}

static void add(struct zvm_checks *checks, struct remembered *r)
{
	struct remembered *old;
	pthread_rwlock_wrlock(&checks->lock);
	HASH_FIND(hh, checks->table, r->key, r->key_size, old);
	if (!old && HASH_COUNT(checks->table) >= REMEMBERED_MAX)
		old = checks->table;
	if (old) {
		HASH_DEL(checks->table, old);
		unref(old);
	}
	HASH_ADD(hh, checks->table, key, r->key_size, r);
	pthread_rwlock_unlock(&checks->lock);
}

static int copy_answer(const struct zvm_answer *from, struct zvm_answer *to)
{
	*to = *from;
	to->fd = -1;
	to->text = from->text ? strdup(from->text) : NULL;
	return from->text && !to->text ? -ENOMEM : 0;
}

static struct remembered *new_remembered(const struct key *key, const struct zvm_answer *answer)
{
	struct remembered *r = calloc(1, sizeof *r + key->size);
	if (!r || copy_answer(answer, &r->answer)) {
		free(r);
		return NULL;
	}
	r->references = 1;
	r->key_size = key->size;
	memcpy(r->key, key->bytes, key->size);
	return r;
}

/* `st` was taken before the question was asked: a change in between shows the next time. */
static void remember(struct zvm_checks *checks, const struct key *key, const struct stat *st,
                     const struct zvm_answer *answer)
{
	struct remembered *r = zvm_old_enough(st) ? new_remembered(key, answer) : NULL;
	if (!r)
		return;
	r->id = zvm_file_identity(st);
	r->mode = st->st_mode;
	add(checks, r);
}

static void remember_absent(struct zvm_checks *checks, const struct key *key, int error)
{
	struct zvm_answer answer = {.error = error, .fd = -1};
	struct remembered *r = new_remembered(key, &answer);
	if (!r)
		return;
	r->absent = true;
	add(checks, r);
}

/* -ENOENT or -ENOTDIR: nothing is there, and no link on the way; anything else: that cannot be said. */
static int look_for(const char *host)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, host, &how, sizeof how);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static bool same_file(const struct remembered *r, const struct stat *st)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	return r->mode == st->st_mode && !memcmp(&r->id, &id, sizeof id);
}

static bool stat_shows(const struct remembered *r)
{
	struct stat st;
	if (r->absent)
		return look_for(host_of(r)) == r->answer.error;
	return stat_place(r->key, &st) == 0 && same_file(r, &st);
}

/* From now on, if it is allowed, whatever happens there is reported. The stat comes behind the guard: what was changed
 * before shows in it. */
static bool guard_and_stat(struct zvm_checks *checks, struct remembered *r)
{
	unsigned flags = (unsigned char)r->key[1];
	unsigned guard = (r->absent || flags & ZVM_ASK_NOFOLLOW ? ZVM_GUARD_NOFOLLOW : 0) |
	                 (flags & NO_LINKS ? ZVM_GUARD_OPENS : 0);
	unsigned raising;
	bool raised = zvm_guard_raise(checks->watch, &r->guard, AT_FDCWD, host_of(r), guard, &raising) == 0;
	bool same = stat_shows(r);
	if (raised)
		zvm_guard_settle(&r->guard, raising, same);
	return same;
}

/* The caller has refreshed the watch since it was asked. */
static bool still_true(struct zvm_checks *checks, struct remembered *r)
{
	if (zvm_guard_stands(&r->guard))
		return true;
	if (atomic_fetch_add_explicit(&r->stats, 1, memory_order_relaxed) < GUARD_AFTER)
		return stat_shows(r);
	return guard_and_stat(checks, r);
}

/* --- one question --- */

/* Contents that answer only from what is known. */
static int known_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                      int *ret_fd)
{
	if (ret_fd)
		*ret_fd = -1;
	*ret_size = (uint64_t)st->st_size;
	return zvm_blob_quick(context, fd, st, ret) ? -EAGAIN : 0;
}

static int ask_view(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_question *q, bool quick,
                    bool want_fd, struct zvm_answer *ret, bool *pinned)
{
	struct zvm_contents contents = zvm_blobs_contents(checks->blobs);
	if (quick)
		contents.keep_file = known_file;
	return zvm_view_ask(view, &contents, q, want_fd, ret, pinned);
}

/* Asks the view and remembers what it says. `key` NULL: the path has no place on the host to stat. */
static int ask_and_remember(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_question *q,
                            const struct key *key, bool quick, bool want_fd, struct zvm_answer *ret, bool *pinned)
{
	struct stat st;
	bool pin = false;
	bool there = key && stat_place(key->bytes, &st) == 0;
	int r = ask_view(checks, view, q, quick, want_fd, ret, &pin);
	if (pinned)
		*pinned = pin;
	if (r || pin || !key)
		return r;
	if (there)
		remember(checks, key, &st, ret);
	else if (ret->error && look_for(key->bytes + 2) == ret->error)
		remember_absent(checks, key, ret->error);
	return 0;
}

static bool place(const struct zvm_view *view, const struct zvm_question *q, struct key *key)
{
	zvm_autofree char *host = NULL;
	unsigned flags = q->flags | (strncmp(q->path, "/script/", 8) ? 0 : NO_LINKS);
	return zvm_view_host_path(view, q->path, &host) == 0 && build_key(q->kind, flags, host, key);
}

/* 1 it holds, 0 not, or -errno. */
static int check_one(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_dependency *d, bool quick)
{
	struct key key;
	struct zvm_answer answer;
	bool placed = place(view, &d->question, &key);
	struct remembered *r = placed ? find(checks, &key) : NULL;
	if (r) {
		int holds = zvm_answer_equal(&r->answer, &d->answer);
		bool known = still_true(checks, r);
		unref(r);
		if (known)
			return holds;
	}
	int result = ask_and_remember(checks, view, &d->question, placed ? &key : NULL, quick, false, &answer, NULL);
	if (result)
		return result;
	result = zvm_answer_equal(&answer, &d->answer);
	zvm_answer_free(&answer);
	return result;
}

int zvm_check_ask(struct zvm_checks *checks, const struct zvm_view *view, const struct zvm_question *q, bool want_fd,
                  struct zvm_answer *ret, bool *pinned)
{
	struct key key;
	/* Below /script a run's own script is pinned: what others were told is not for it. */
	bool placed = strncmp(q->path, "/script", strlen("/script")) && place(view, q, &key);
	struct remembered *r = placed ? find(checks, &key) : NULL;
	if (pinned)
		*pinned = false;
	if (r && zvm_guard_stands(&r->guard))
		zvm_watch_refresh(checks->watch);
	if (r && still_true(checks, r)) {
		int result = copy_answer(&r->answer, ret);
		if (result == 0 && want_fd && ret->has_content)
			result = zvm_blob_object(checks->blobs, &ret->digest, &ret->fd);
		unref(r);
		if (result == 0)
			return 0;
		zvm_answer_free(ret); /* the object is gone: the view has it stored anew */
	} else if (r) {
		unref(r);
	}
	return ask_and_remember(checks, view, q, placed ? &key : NULL, false, want_fd, ret, pinned);
}

/* --- proofs --- */

static size_t proof_key_size(unsigned count)
{
	return offsetof(struct zvm_proof, parts) - offsetof(struct zvm_proof, view) +
	       count * sizeof(struct remembered *);
}

struct zvm_proof *zvm_proof_ref(struct zvm_proof *proof)
{
	if (!proof)
		return NULL;
	pthread_mutex_lock(&proof->checks->proofs_lock);
	proof->references++;
	pthread_mutex_unlock(&proof->checks->proofs_lock);
	return proof;
}

static void free_proof(struct zvm_proof *proof)
{
	for (unsigned i = 0; i < proof->count; i++)
		unref(proof->parts[i]);
	free(proof);
}

void zvm_proof_unref(struct zvm_proof *proof)
{
	if (!proof)
		return;
	struct zvm_checks *checks = proof->checks;
	pthread_mutex_lock(&checks->proofs_lock);
	bool last = --proof->references == 0;
	if (last)
		HASH_DEL(checks->proofs, proof);
	pthread_mutex_unlock(&checks->proofs_lock);
	if (!last)
		return;
	free_proof(proof);
	unref_checks(checks);
}

/* The one that says the same, if there is one already. Takes `fresh` over. */
static struct zvm_proof *share_proof(struct zvm_checks *checks, struct zvm_proof *fresh)
{
	struct zvm_proof *known;
	size_t size = proof_key_size(fresh->count);
	pthread_mutex_lock(&checks->proofs_lock);
	HASH_FIND(hh, checks->proofs, &fresh->view, size, known);
	if (known) {
		known->references++;
	} else {
		fresh->references = 1;
		atomic_fetch_add(&checks->references, 1);
		HASH_ADD(hh, checks->proofs, view, size, fresh);
	}
	pthread_mutex_unlock(&checks->proofs_lock);
	if (!known)
		return fresh;
	free_proof(fresh);
	return known;
}

bool zvm_proof_holds(struct zvm_checks *checks, const struct zvm_proof *proof, const struct zvm_view *view)
{
	if (!proof || proof->view != view)
		return false;
	for (unsigned i = 0; i < proof->count; i++)
		if (!still_true(checks, proof->parts[i]))
			return false;
	return true;
}

/* That the highest missing directory on the way is missing; NULL if it just appeared. */
static struct remembered *absence_of(struct zvm_checks *checks, const struct remembered *r)
{
	struct key key;
	if (r->answer.error != -ENOENT || !build_key(KIND_NOTHING, 0, host_of(r), &key))
		return NULL;
	char *path = key.bytes + 2;
	for (;;) {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			break;
		*slash = 0;
		if (look_for(path) != -ENOENT) {
			*slash = '/';
			break;
		}
	}
	key.size = strlen(path) + 3;
	struct remembered *top = find(checks, &key);
	if (top)
		return top;
	remember_absent(checks, &key, -ENOENT);
	return find(checks, &key);
}

/* Questions about one file follow each other closely; a run that asked of 50,000 files must not be compared whole. */
static bool covered(const struct zvm_proof *proof, const struct remembered *r)
{
	for (unsigned i = proof->count > COVER_BACK ? proof->count - COVER_BACK : 0; i < proof->count; i++) {
		const struct remembered *other = proof->parts[i];
		if (other == r)
			return true;
		if (!r->absent && !other->absent && other->key[1] == r->key[1] && !strcmp(host_of(other), host_of(r)) &&
		    !memcmp(&other->id, &r->id, sizeof r->id))
			return true;
	}
	return false;
}

/* Only if a stat proves every one of them; the caller has just found that they hold. */
static struct zvm_proof *build_proof(struct zvm_checks *checks, const struct zvm_view *view,
                                     const struct zvm_dependency *dependencies, unsigned count)
{
	struct zvm_proof *proof = calloc(1, sizeof *proof + count * sizeof proof->parts[0]);
	if (!proof)
		return NULL;
	proof->checks = checks;
	proof->view = view;
	for (unsigned i = 0; i < count; i++) {
		struct key key;
		struct remembered *r = place(view, &dependencies[i].question, &key) ? find(checks, &key) : NULL;
		/* What was remembered may be older than what holds now, if that is still too young. */
		if (r && !zvm_answer_equal(&r->answer, &dependencies[i].answer)) {
			unref(r);
			r = NULL;
		} else if (r && r->absent && r->answer.error == -ENOENT) {
			struct remembered *top = absence_of(checks, r);
			unref(r);
			r = top;
		}
		if (!r) {
			free_proof(proof);
			return NULL;
		}
		if (covered(proof, r))
			unref(r);
		else
			proof->parts[proof->count++] = r;
	}
	return share_proof(checks, proof);
}

int zvm_check_dependencies(struct zvm_checks *checks, const struct zvm_view *view,
                           const struct zvm_dependency *dependencies, unsigned count, bool quick,
                           struct zvm_proof **proof)
{
	zvm_watch_refresh(checks->watch);
	if (zvm_proof_holds(checks, *proof, view))
		return 1;
	for (unsigned i = 0; i < count; i++) {
		int r = check_one(checks, view, &dependencies[i], quick);
		if (r <= 0)
			return r;
	}
	zvm_proof_unref(*proof);
	*proof = build_proof(checks, view, dependencies, count);
	return 1;
}
