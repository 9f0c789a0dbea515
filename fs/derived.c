/*
 * The table of derived contents: see derived.h.
 *
 * On disk one append-only file of fixed, checksummed lines, as the stat shortcuts have it. It is read at the first
 * question, and what others have appended since when an answer is missing. Damaged or foreign lines are skipped; a file
 * that has grown too large is started anew.
 */
#include "derived.h"
#include <errno.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "store_internal.h"

#define FILE_MAX_BYTES (16u << 20)
#define TABLE_MAX 65536
#define NO_CONTENT UINT64_MAX /* as a twin number: only the note was kept */

struct key {
	uint64_t name;
	struct zvm_file_identity source;
};

struct line {
	struct key key;
	uint64_t high, low, twin;
	unsigned char note[ZVM_NOTE_SIZE];
	uint64_t check;
};

struct entry {
	UT_hash_handle hh;
	struct line line;
};

struct zvm_derived {
	struct zvm_store *store;
	pthread_mutex_t lock; /* around all below */
	struct entry *table;
	int file;
	uint64_t read; /* bytes of the file that are in the table */
};

static uint64_t check_of(const struct line *line)
{
	return XXH3_64bits(line, offsetof(struct line, check));
}

static void learn(struct zvm_derived *d, const struct line *line)
{
	struct entry *e;
	HASH_FIND(hh, d->table, &line->key, sizeof line->key, e);
	if (!e) {
		if (HASH_COUNT(d->table) >= TABLE_MAX) {
			struct entry *oldest = d->table;
			HASH_DEL(d->table, oldest);
			free(oldest);
		}
		e = calloc(1, sizeof *e);
		if (!e)
			return;
		e->line.key = line->key;
		HASH_ADD(hh, d->table, line.key, sizeof e->line.key, e);
	}
	e->line = *line;
}

/* Lines from `bytes`; returns how many bytes are dealt with. Behind half a line (a full disk) the next is looked for.
 */
static size_t take_lines(struct zvm_derived *d, const unsigned char *bytes, size_t size)
{
	struct line line;
	size_t at = 0;
	while (size - at >= sizeof line) {
		memcpy(&line, bytes + at, sizeof line);
		bool whole = line.check == check_of(&line);
		if (whole)
			learn(d, &line);
		at += whole ? sizeof line : 1;
	}
	return at;
}

static void read_on(struct zvm_derived *d)
{
	unsigned char bytes[64 * sizeof(struct line)];
	struct stat st;
	long n;
	if (d->file < 0 || fstat(d->file, &st) < 0)
		return;
	if ((uint64_t)st.st_size < d->read) /* somebody has started it anew */
		d->read = 0;
	while ((n = zvm_read_at(d->file, bytes, sizeof bytes, d->read)) >= (long)sizeof(struct line))
		d->read += take_lines(d, bytes, (size_t)n);
}

static void close_file(struct zvm_derived *d)
{
	zvm_close_pointer(&d->file);
	d->file = -1;
}

int zvm_derived_open(struct zvm_store *store, struct zvm_derived **ret)
{
	struct stat st;
	struct zvm_derived *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	d->store = store;
	pthread_mutex_init(&d->lock, NULL);
	bool readonly = store->flags & ZVM_STORE_READONLY;
	d->file = openat(store->directory, "stat/derived",
	                 readonly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (!readonly && d->file >= 0 && fstat(d->file, &st) == 0 && st.st_size > (off_t)FILE_MAX_BYTES &&
	    ftruncate(d->file, 0) < 0)
		close_file(d);
	*ret = d;
	return 0;
}

void zvm_derived_close(struct zvm_derived *d)
{
	struct entry *e, *next;
	if (!d)
		return;
	HASH_ITER(hh, d->table, e, next)
	{
		HASH_DEL(d->table, e);
		free(e);
	}
	zvm_close_pointer(&d->file);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static int key_of(struct zvm_derived *d, const char *name, const struct zvm_digest *source, struct key *ret)
{
	struct stat st;
	zvm_autofd int fd = -1;
	int r = zvm_store_object(d->store, source, &fd, NULL);
	if (r)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct key){.name = XXH3_64bits(name, strlen(name)), .source = zvm_file_identity(&st)};
	return 0;
}

static bool look_up(struct zvm_derived *d, const struct key *key, struct line *ret)
{
	struct entry *e;
	pthread_mutex_lock(&d->lock);
	HASH_FIND(hh, d->table, key, sizeof *key, e);
	if (!e) {
		read_on(d);
		HASH_FIND(hh, d->table, key, sizeof *key, e);
	}
	if (e)
		*ret = e->line;
	pthread_mutex_unlock(&d->lock);
	return e != NULL;
}

int zvm_derived_find(struct zvm_derived *d, const char *name, const struct zvm_digest *source,
                     unsigned char note[ZVM_NOTE_SIZE], int *ret_fd)
{
	struct key key;
	struct line line;
	*ret_fd = -1;
	int r = key_of(d, name, source, &key);
	if (r)
		return r;
	if (!look_up(d, &key, &line))
		return -ENOENT;
	struct zvm_digest digest = {.high = line.high, .low = line.low, .twin = (uint32_t)line.twin};
	if (line.twin != NO_CONTENT)
		r = zvm_store_object(d->store, &digest, ret_fd, NULL);
	memcpy(note, line.note, ZVM_NOTE_SIZE);
	return r;
}

/* One append, which is whole or, after a crash, skipped for its checksum. Without room for it only this process knows.
 */
static void write_line(struct zvm_derived *d, struct line *line)
{
	line->check = check_of(line);
	pthread_mutex_lock(&d->lock);
	learn(d, line);
	if (d->file >= 0 && write(d->file, line, sizeof *line) < 0 && errno != ENOSPC && errno != EDQUOT)
		close_file(d);
	pthread_mutex_unlock(&d->lock);
}

int zvm_derived_keep(struct zvm_derived *d, const char *name, const struct zvm_digest *source,
                     const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd)
{
	struct line line = {.twin = NO_CONTENT};
	struct zvm_digest digest;
	uint64_t size;
	*ret_fd = -1;
	int r = key_of(d, name, source, &line.key);
	if (r)
		return r;
	if (fd >= 0) {
		r = zvm_store_put_file(d->store, fd, &digest, &size);
		r = r ? r : zvm_store_object(d->store, &digest, ret_fd, NULL);
		if (r)
			return r;
		line.high = digest.high;
		line.low = digest.low;
		line.twin = digest.twin;
	}
	memcpy(line.note, note, ZVM_NOTE_SIZE);
	write_line(d, &line);
	return 0;
}
