/*
 * Records: finding the stored run that answers an action, and storing one.
 *
 * records/ab/ADDRESS/ is one action's directory; in it each file (record_file.h) is one run, numbered upwards: the
 * highest is the newest. The address is only where to look: the action inside is compared whole, so actions that
 * collide live side by side and never answer for each other.
 *
 * Found records are kept decoded in memory, for as long as their directory has not changed, so that another process's
 * new runs are seen. What is found damaged is unlinked and is a miss.
 *
 * Making a record's files takes longer than a small run does, and nobody has to wait for them. So a run may be
 * announced before it is saved: this process's lookups find it from then on, by the same rules as one on file. They
 * look at what is announced first and at the files second, and a run stays announced until it has its name: between the
 * two it is never missed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <utlist.h>
#include <zvm/cleanup.h>
#include <zvm/record.h>
#include "accord.h"
#include "check.h"
#include "content.h"
#include "record_file.h"
#include "store_internal.h"
#include "temporary.h"

#define VARIANTS_MAX 8
#define CACHED_BYTES (8u << 20)
#define DEPENDENCY_BYTES 96 /* of its strings, about: paths are of that length */
#define USED_EVERY_S 60
#define SETTLED_S 2

struct variant {
	unsigned long number;
	struct zvm_record *record;
	struct zvm_proof *proof; /* that its dependencies held; around it: records->lock */
};

struct cached {
	UT_hash_handle hh;
	struct cached *next; /* among the announced, which are one run each and have no number */
	struct zvm_digest address;
	struct zvm_file_identity directory;
	struct variant variants[VARIANTS_MAX]; /* newest first */
	unsigned count;
	size_t action_size;
	unsigned char *action;
	size_t weight; /* bytes of memory, about */
	time_t used;
	bool settled;        /* a change of the directory since it was read would show in its stat */
	unsigned references; /* users outside the lock */
	bool dropped;
};

struct zvm_records {
	struct zvm_store *store;
	struct zvm_blobs *blobs;
	struct zvm_checks *checks;
	pthread_mutex_t lock; /* around cache, cached_bytes and announced */
	struct cached *cache, *announced;
	size_t cached_bytes;
};

int zvm_records_open(struct zvm_store *store, struct zvm_blobs *blobs, struct zvm_records **ret)
{
	struct zvm_records *records = calloc(1, sizeof *records);
	if (!records)
		return -ENOMEM;
	records->store = store;
	records->blobs = blobs;
	pthread_mutex_init(&records->lock, NULL);
	int r = zvm_checks_open(blobs, &records->checks);
	if (r) {
		zvm_records_close(records);
		return r;
	}
	*ret = records;
	return 0;
}

static void free_cached(struct cached *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		zvm_record_free(c->variants[i].record);
		zvm_proof_unref(c->variants[i].proof);
	}
	free(c->action);
	free(c);
}

void zvm_records_close(struct zvm_records *records)
{
	struct cached *c, *next;
	if (!records)
		return;
	HASH_ITER(hh, records->cache, c, next)
	{
		HASH_DEL(records->cache, c);
		free_cached(c);
	}
	LL_FOREACH_SAFE(records->announced, c, next)
	free_cached(c);
	zvm_checks_close(records->checks);
	pthread_mutex_destroy(&records->lock);
	free(records);
}

/* --- for the box --- */

static int ask(void *context, const struct zvm_view *view, const struct zvm_question *question, bool want_fd,
               struct zvm_answer *ret, bool *pinned)
{
	struct zvm_records *records = context;
	return zvm_check_ask(records->checks, view, question, want_fd, ret, pinned);
}

struct zvm_asker zvm_records_asker(struct zvm_records *records)
{
	return (struct zvm_asker){.context = records, .ask = ask};
}

int zvm_records_hold(struct zvm_records *records, const struct zvm_view *view, const struct zvm_dependency *list,
                     unsigned count, struct zvm_proof **proof)
{
	return zvm_check_dependencies(records->checks, view, list, count, false, proof);
}

/* --- addresses --- */

struct address {
	struct zvm_digest digest;
	char directory[3 + ZVM_DIGEST_TEXT]; /* "ab/ADDRESS" */
	struct zvm_bytes action;
};

static int find_address(const struct zvm_action *action, struct address *ret)
{
	*ret = (struct address){0};
	int r = zvm_action_encode(action, &ret->action);
	if (r)
		return r;
	/* The struct is a hash key: padding must be zero. */
	struct zvm_digest digest;
	zvm_memory_hash(ret->action.data, ret->action.size, &digest);
	ret->digest.high = digest.high;
	ret->digest.low = digest.low;
	zvm_digest_format(&ret->digest, ret->directory + 3);
	memcpy(ret->directory, ret->directory + 3, 2);
	ret->directory[2] = '/';
	return 0;
}

/* --- reading a directory --- */

static void add_variant(struct cached *c, unsigned long number, struct zvm_record *record)
{
	unsigned at = 0;
	while (at < c->count && c->variants[at].number > number)
		at++;
	if (at == VARIANTS_MAX) {
		zvm_record_free(record);
		return;
	}
	if (c->count == VARIANTS_MAX)
		zvm_record_free(c->variants[--c->count].record);
	memmove(&c->variants[at + 1], &c->variants[at], (c->count - at) * sizeof c->variants[0]);
	c->variants[at] = (struct variant){.number = number, .record = record};
	c->count++;
}

static void remove_damaged(struct zvm_records *records, int directory, const char *name)
{
	atomic_fetch_add(&records->store->counters.condemned, 1);
	if (!(records->store->flags & ZVM_STORE_READONLY))
		unlinkat(directory, name, 0);
}

static int read_directory(struct zvm_records *records, int fd, const struct address *address, struct cached *c)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return -errno;
	for (struct dirent *d; (d = readdir(dir));) {
		unsigned long number;
		struct zvm_record *record;
		if (!zvm_record_file_number(d->d_name, &number))
			continue;
		int r = zvm_record_file_read(fd, d->d_name, &address->action, &record);
		if (r == 0)
			add_variant(c, number, record);
		else if (r == -EBADMSG)
			remove_damaged(records, fd, d->d_name);
	}
	closedir(dir);
	return 0;
}

/* --- the cache --- */

static void release(struct zvm_records *records, struct cached *c)
{
	pthread_mutex_lock(&records->lock);
	bool last = --c->references == 0 && c->dropped;
	pthread_mutex_unlock(&records->lock);
	if (last)
		free_cached(c);
}

static void drop_locked(struct zvm_records *records, struct cached *c)
{
	HASH_DEL(records->cache, c);
	records->cached_bytes -= c->weight;
	c->dropped = true;
	if (!c->references)
		free_cached(c);
}

static bool same_action(const struct cached *c, const struct address *address)
{
	return c->action_size == address->action.size && !memcmp(c->action, address->action.data, c->action_size);
}

static struct cached *find_cached(struct zvm_records *records, const struct address *address,
                                  const struct zvm_file_identity *directory)
{
	struct cached *c;
	pthread_mutex_lock(&records->lock);
	HASH_FIND(hh, records->cache, &address->digest, sizeof address->digest, c);
	if (c && (memcmp(&c->directory, directory, sizeof *directory) || !same_action(c, address))) {
		drop_locked(records, c);
		c = NULL;
	}
	if (c)
		c->references++;
	pthread_mutex_unlock(&records->lock);
	return c;
}

static size_t weigh(const struct cached *c)
{
	size_t bytes = sizeof *c + c->action_size;
	for (unsigned i = 0; i < c->count; i++) {
		const struct zvm_record *r = c->variants[i].record;
		bytes += sizeof *r + r->dependency_count * (sizeof *r->dependencies + DEPENDENCY_BYTES);
	}
	return bytes;
}

/* However many results a store holds, only so much of it is kept in memory: the oldest entries go. */
static void add_cached(struct zvm_records *records, struct cached *c)
{
	struct cached *old;
	pthread_mutex_lock(&records->lock);
	HASH_FIND(hh, records->cache, &c->address, sizeof c->address, old);
	if (old)
		drop_locked(records, old);
	while (records->cache && records->cached_bytes + c->weight > CACHED_BYTES)
		drop_locked(records, records->cache);
	HASH_ADD(hh, records->cache, address, sizeof c->address, c);
	records->cached_bytes += c->weight;
	pthread_mutex_unlock(&records->lock);
}

/* `fresh`: read it again, whatever is cached. */
static int load(struct zvm_records *records, const struct address *address, bool fresh, struct cached **ret)
{
	struct stat st;
	if (fstatat(records->store->records, address->directory, &st, 0) < 0)
		return -errno;
	struct zvm_file_identity id = zvm_file_identity(&st);
	*ret = fresh ? NULL : find_cached(records, address, &id);
	if (*ret)
		return 0;
	zvm_autofd int fd = openat(records->store->records, address->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	struct cached *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->address = address->digest;
	c->directory = id;
	c->action = malloc(address->action.size);
	c->action_size = address->action.size;
	int r = c->action ? read_directory(records, fd, address, c) : -ENOMEM;
	if (r) {
		free_cached(c);
		return r;
	}
	memcpy(c->action, address->action.data, address->action.size);
	c->weight = weigh(c);
	c->references = 1;
	c->settled = id.modified + SETTLED_S < (int64_t)time(NULL);
	add_cached(records, c);
	*ret = c;
	return 0;
}

/* --- finding --- */

static int all_hold(struct zvm_records *records, const struct zvm_view *view, struct variant *variant, bool quick)
{
	const struct zvm_record *record = variant->record;
	pthread_mutex_lock(&records->lock);
	struct zvm_proof *proof = zvm_proof_ref(variant->proof), *before = proof;
	pthread_mutex_unlock(&records->lock);
	int r = zvm_check_dependencies(records->checks, view, record->dependencies, record->dependency_count, quick,
	                               &proof);
	if (r == 1 && proof != before) {
		pthread_mutex_lock(&records->lock);
		struct zvm_proof *old = variant->proof;
		variant->proof = zvm_proof_ref(proof);
		pthread_mutex_unlock(&records->lock);
		zvm_proof_unref(old);
	}
	zvm_proof_unref(proof);
	return r;
}

/* An empty output needs no object to be read. */
static bool open_output(struct zvm_records *records, const struct zvm_output *output, int *ret_fd)
{
	uint64_t size;
	*ret_fd = -1;
	return !output->size ||
	       (zvm_store_object(records->store, &output->digest, ret_fd, &size) == 0 && size == output->size);
}

static bool open_outputs(struct zvm_records *records, const struct zvm_record *record, struct zvm_outputs *ret)
{
	zvm_autofd int out = -1, err = -1;
	if (!open_output(records, &record->out, &out) || !open_output(records, &record->err, &err))
		return false;
	*ret = (struct zvm_outputs){zvm_steal_fd(&out), zvm_steal_fd(&err)};
	return true;
}

struct run_name {
	char path[ZVM_DIGEST_TEXT + 32]; /* below records/ */
};

static struct run_name name_run(const struct address *address, unsigned long number)
{
	struct run_name name;
	snprintf(name.path, sizeof name.path, "%s/%lu", address->directory, number);
	return name;
}

/* For gc: the file of a run that is used gets a fresh time, at most once a minute. */
static void note_use(struct zvm_records *records, const struct run_name *name, time_t *used)
{
	time_t now = time(NULL);
	if (now < __atomic_load_n(used, __ATOMIC_RELAXED) + USED_EVERY_S || records->store->flags & ZVM_STORE_READONLY)
		return;
	__atomic_store_n(used, now, __ATOMIC_RELAXED);
	utimensat(records->store->records, name->path, NULL, 0);
}

/* --- runs that stand --- */

struct zvm_standing {
	struct zvm_records *records;
	const struct zvm_view *view;
	struct zvm_proof *proof;
	struct run_name name;
	time_t used;
};

static struct zvm_standing *new_standing(struct zvm_records *records, const struct zvm_view *view,
                                         const struct variant *variant, const struct run_name *name)
{
	pthread_mutex_lock(&records->lock);
	struct zvm_proof *proof = zvm_proof_ref(variant->proof);
	pthread_mutex_unlock(&records->lock);
	struct zvm_standing *standing = proof ? calloc(1, sizeof *standing) : NULL;
	if (!standing) {
		zvm_proof_unref(proof);
		return NULL;
	}
	*standing = (struct zvm_standing){
	        .records = records, .view = view, .proof = proof, .name = *name, .used = time(NULL)};
	return standing;
}

bool zvm_standing_holds(struct zvm_standing *standing)
{
	return zvm_proof_holds(standing->records->checks, standing->proof, standing->view);
}

void zvm_standing_note_use(struct zvm_standing *standing)
{
	note_use(standing->records, &standing->name, &standing->used);
}

void zvm_standing_free(struct zvm_standing *standing)
{
	if (!standing)
		return;
	zvm_proof_unref(standing->proof);
	free(standing);
}

/* --- choosing --- */

/* What a lookup is after; standing NULL: not wanted, and then it is one that may take its time. */
struct wanted {
	struct zvm_record **record;
	struct zvm_outputs *outputs;
	struct zvm_standing **standing;
};

static void tell_of_use(struct zvm_records *records, const struct address *address, const struct zvm_view *view,
                        struct cached *c, const struct variant *variant, const struct wanted *wanted)
{
	struct run_name name = name_run(address, variant->number);
	note_use(records, &name, &c->used);
	if (wanted->standing)
		*wanted->standing = new_standing(records, view, variant, &name);
}

static int choose(struct zvm_records *records, const struct address *address, const struct zvm_view *view,
                  struct cached *c, const struct wanted *wanted)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct zvm_record *record = c->variants[i].record;
		int r = all_hold(records, view, &c->variants[i], wanted->standing != NULL);
		if (r == -EIO) /* what cannot be read has not been seen to hold */
			continue;
		if (r < 0)
			return r;
		if (!r || !open_outputs(records, record, wanted->outputs))
			continue;
		if (c->variants[i].number)
			tell_of_use(records, address, view, c, &c->variants[i], wanted);
		__atomic_add_fetch(&record->references, 1, __ATOMIC_RELAXED);
		*wanted->record = record;
		return 0;
	}
	return -ENOENT;
}

/* A directory or a file of ours that cannot be read answers nothing; what keeps us from reading any is another matter.
 */
static bool is_miss(int error)
{
	return error && error != -ENOMEM && error != -EMFILE && error != -ENFILE;
}

static int find_announced(struct zvm_records *records, const struct address *address, const struct zvm_view *view,
                          const struct wanted *wanted)
{
	struct cached *c;
	pthread_mutex_lock(&records->lock);
	LL_FOREACH(records->announced, c)
	{
		if (same_action(c, address))
			break;
	}
	if (c)
		c->references++;
	pthread_mutex_unlock(&records->lock);
	if (!c)
		return -ENOENT;
	int r = choose(records, address, view, c, wanted);
	release(records, c);
	return r;
}

static int find_on_file(struct zvm_records *records, const struct address *address, const struct zvm_view *view,
                        const struct wanted *wanted)
{
	struct cached *c = NULL;
	int r = 0;
	bool again = true;
	for (bool fresh = false; again; fresh = true) {
		r = load(records, address, fresh, &c);
		if (r)
			return is_miss(r) ? -ENOENT : r;
		r = choose(records, address, view, c, wanted);
		/* What is cached and holds is right. What is missing there may have come within the directory's clock's
		 * tick: then look at the files. */
		again = r == -ENOENT && !fresh && !c->settled;
		release(records, c);
	}
	return r;
}

static int find(struct zvm_records *records, const struct zvm_action *action, const struct zvm_view *view,
                const struct wanted *wanted)
{
	struct address address;
	int r = find_address(action, &address);
	if (r == 0) {
		r = find_announced(records, &address, view, wanted);
		r = r == -ENOENT ? find_on_file(records, &address, view, wanted) : r;
	}
	zvm_bytes_free(&address.action);
	return r;
}

int zvm_record_find(struct zvm_records *records, const struct zvm_action *action, const struct zvm_view *view,
                    struct zvm_record **ret, struct zvm_outputs *ret_outputs)
{
	return find(records, action, view, &(struct wanted){ret, ret_outputs, NULL});
}

int zvm_record_find_quick(struct zvm_records *records, const struct zvm_action *action, const struct zvm_view *view,
                          struct zvm_record **ret, struct zvm_outputs *ret_outputs, struct zvm_standing **ret_standing)
{
	return find(records, action, view, &(struct wanted){ret, ret_outputs, ret_standing});
}

/* --- storing --- */

/* *ret_fresh: there is no run in it yet. */
static int make_directories(struct zvm_records *records, const char *directory, bool *ret_fresh)
{
	char shelf[3] = {directory[0], directory[1], 0};
	struct stat st;
	for (int tries = 0; tries < 2; tries++) {
		*ret_fresh = mkdirat(records->store->records, directory, 0700) == 0;
		if (*ret_fresh) {
			if (fstatat(records->store->records, directory, &st, 0) == 0)
				zvm_store_add_usage(records->store, (int64_t)st.st_blocks * 512);
			return 0;
		}
		if (errno == EEXIST)
			return 0;
		if (errno != ENOENT || (mkdirat(records->store->records, shelf, 0700) < 0 && errno != EEXIST))
			break;
	}
	return errno == EDQUOT ? -ENOSPC : -errno;
}

/* The next number, and the variants that are too many by now go. */
static int next_number(struct zvm_records *records, const struct address *address, unsigned long *ret)
{
	unsigned long numbers[64], highest = 0;
	size_t count = 0;
	int fd = openat(records->store->records, address->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	for (struct dirent *d; (d = readdir(dir));) {
		unsigned long number;
		if (!zvm_record_file_number(d->d_name, &number))
			continue;
		highest = number > highest ? number : highest;
		if (count < sizeof numbers / sizeof numbers[0])
			numbers[count++] = number;
	}
	for (size_t i = 0; i < count; i++) {
		size_t newer = 0;
		char name[24];
		for (size_t k = 0; k < count; k++)
			newer += numbers[k] > numbers[i];
		if (newer + 1 < VARIANTS_MAX)
			continue;
		snprintf(name, sizeof name, "%lu", numbers[i]);
		unlinkat(fd, name, 0);
	}
	closedir(dir);
	*ret = highest + 1;
	return 0;
}

static int link_record(struct zvm_records *records, const struct address *address, bool fresh, int *file)
{
	unsigned long number = 1;
	for (int tries = 0; tries < 16; tries++) { /* another process may take the number first */
		int r = fresh && !tries ? 0 : next_number(records, address, &number);
		if (r)
			return r;
		struct run_name name = name_run(address, number);
		r = zvm_temporary_link(records->store, file, records->store->records, name.path);
		if (r == 0)
			atomic_fetch_add(&records->store->counters.records_written, 1);
		if (r != -EEXIST)
			return r;
	}
	return -EBUSY;
}

/* gc is kept out until the record has its name: it either knows of what it names, or removed that before. */
static int save(struct zvm_records *records, const struct address *address, const struct zvm_action *action,
                const struct zvm_record *record)
{
	zvm_autobytes struct zvm_bytes file = {0};
	zvm_autofd int fd = -1, lock = -1;
	struct stat st;
	bool fresh = false;
	int r = zvm_record_file_encode(&address->action, record, &file);
	r = r ? r : zvm_store_begin(records->store, &fd);
	r = r ? r : zvm_write_all(fd, file.data, file.size);
	r = r ? r : zvm_accord_save(records->store, action, record, &lock);
	r = r ? r : make_directories(records, address->directory, &fresh);
	r = r ? r : link_record(records, address, fresh, &fd);
	if (r == 0 && fstat(fd, &st) == 0)
		zvm_store_add_usage(records->store, (int64_t)st.st_blocks * 512);
	if (r == -ENOSPC)
		zvm_store_is_full(records->store);
	return r;
}

int zvm_record_announce(struct zvm_records *records, const struct zvm_action *action, struct zvm_record *record)
{
	struct address address = {0};
	struct cached *c = calloc(1, sizeof *c);
	int r = c ? find_address(action, &address) : -ENOMEM;
	if (r) {
		zvm_bytes_free(&address.action);
		free(c);
		return r;
	}
	c->address = address.digest;
	c->action_size = address.action.size;
	c->action = address.action.data;
	__atomic_add_fetch(&record->references, 1, __ATOMIC_RELAXED);
	c->variants[c->count++].record = record;
	pthread_mutex_lock(&records->lock);
	LL_PREPEND(records->announced, c);
	pthread_mutex_unlock(&records->lock);
	return 0;
}

/* From now on it is on file, or was never there. */
void zvm_record_withdraw(struct zvm_records *records, const struct zvm_record *record)
{
	struct cached *c;
	bool last = false;
	pthread_mutex_lock(&records->lock);
	LL_FOREACH(records->announced, c)
	{
		if (c->variants[0].record == record)
			break;
	}
	if (c) {
		LL_DELETE(records->announced, c);
		c->dropped = true;
		last = !c->references;
	}
	pthread_mutex_unlock(&records->lock);
	if (last)
		free_cached(c);
}

int zvm_record_save(struct zvm_records *records, const struct zvm_action *action, const struct zvm_record *record)
{
	struct address address;
	int r = find_address(action, &address);
	r = r ? r : save(records, &address, action, record);
	zvm_bytes_free(&address.action);
	zvm_record_withdraw(records, record);
	return r;
}
