/*
 * A hash table in a file: buckets of eight entries, each entry the key, the value and their checksum, zeros where there
 * is none. A key can only be in one bucket, so finding it is one pread of that, and putting it one pwrite of an entry.
 * In a full bucket some entry gives way.
 *
 * Any number of processes read and write at once, without a lock: an entry that is read while it is being written, or
 * of which a crash left half, fails its checksum and counts as none. Two that are put into one place at once leave one
 * of them. The file is sparse: it takes the room of what is in it.
 */
#include "table.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"

#define ENTRY_MAX 256u

struct zvm_table {
	struct zvm_table_shape shape;
	size_t entry_size;
	int file; /* -1: finds nothing */
	bool readonly;
	atomic_uint turn; /* which entry of a full bucket gives way next */
};

int zvm_table_open(int directory, const char *name, bool readonly, const struct zvm_table_shape *shape,
                   struct zvm_table **ret)
{
	struct zvm_table *table = calloc(1, sizeof *table);
	if (!table)
		return -ENOMEM;
	table->shape = *shape;
	table->entry_size = shape->key_size + shape->value_size + sizeof(uint64_t);
	table->readonly = readonly;
	table->file = openat(directory, name, readonly ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	*ret = table;
	return 0;
}

void zvm_table_close(struct zvm_table *table)
{
	if (!table)
		return;
	zvm_close_pointer(&table->file);
	free(table);
}

/* --- entries --- */

static uint64_t sum_of(const struct zvm_table *table, const unsigned char *entry)
{
	return XXH3_64bits(entry, table->entry_size - sizeof(uint64_t));
}

static bool is_whole(const struct zvm_table *table, const unsigned char *entry)
{
	uint64_t stored;
	memcpy(&stored, entry + table->entry_size - sizeof stored, sizeof stored);
	return stored == sum_of(table, entry);
}

static bool is_empty(const struct zvm_table *table, const unsigned char *entry)
{
	for (size_t i = 0; i < table->entry_size; i++)
		if (entry[i])
			return false;
	return true;
}

static uint64_t bucket_of(const struct zvm_table *table, const void *key)
{
	uint64_t bucket = XXH3_64bits(key, table->shape.key_size) & (table->shape.buckets - 1);
	return bucket * table->entry_size * ZVM_TABLE_SLOTS;
}

/* What is not there, behind the end of the file, is zeros. */
static bool read_bucket(const struct zvm_table *table, uint64_t at, unsigned char bucket[ENTRY_MAX * ZVM_TABLE_SLOTS])
{
	size_t size = table->entry_size * ZVM_TABLE_SLOTS;
	long n = table->file < 0 ? -EBADF : zvm_read_at(table->file, bucket, size, at);
	if (n < 0)
		return false;
	memset(bucket + n, 0, size - (size_t)n);
	return true;
}

/* --- finding and putting --- */

bool zvm_table_find(struct zvm_table *table, const void *key, void *ret_value)
{
	unsigned char bucket[ENTRY_MAX * ZVM_TABLE_SLOTS];
	if (!read_bucket(table, bucket_of(table, key), bucket))
		return false;
	for (unsigned i = 0; i < ZVM_TABLE_SLOTS; i++) {
		const unsigned char *entry = bucket + i * table->entry_size;
		if (memcmp(entry, key, table->shape.key_size) || !is_whole(table, entry))
			continue;
		memcpy(ret_value, entry + table->shape.key_size, table->shape.value_size);
		return true;
	}
	return false;
}

/* The entry of that key, else a free one, else the one whose turn it is. */
static unsigned choose_slot(struct zvm_table *table, const unsigned char *bucket, const void *key)
{
	unsigned free_slot = ZVM_TABLE_SLOTS;
	for (unsigned i = 0; i < ZVM_TABLE_SLOTS; i++) {
		const unsigned char *entry = bucket + i * table->entry_size;
		if (!is_whole(table, entry))
			free_slot = i;
		else if (!memcmp(entry, key, table->shape.key_size))
			return i;
	}
	return free_slot < ZVM_TABLE_SLOTS ? free_slot : atomic_fetch_add(&table->turn, 1) % ZVM_TABLE_SLOTS;
}

void zvm_table_put(struct zvm_table *table, const void *key, const void *value)
{
	unsigned char bucket[ENTRY_MAX * ZVM_TABLE_SLOTS], entry[ENTRY_MAX];
	uint64_t at = bucket_of(table, key);
	if (table->readonly || !read_bucket(table, at, bucket))
		return;
	memcpy(entry, key, table->shape.key_size);
	memcpy(entry + table->shape.key_size, value, table->shape.value_size);
	uint64_t sum = sum_of(table, entry);
	memcpy(entry + table->entry_size - sizeof sum, &sum, sizeof sum);
	at += choose_slot(table, bucket, key) * table->entry_size;
	/* Without room for it, or with half of it written, it is as if nothing had been put. */
	ssize_t n = pwrite(table->file, entry, table->entry_size, (off_t)at);
	(void)n;
}

/* --- all of it --- */

/* The first bucket from `at` on that is more than a hole; -ENXIO: there is none. */
static off_t next_bucket(const struct zvm_table *table, off_t at)
{
	off_t size = (off_t)(table->entry_size * ZVM_TABLE_SLOTS);
	at = lseek(table->file, at, SEEK_DATA);
	return at < 0 ? -errno : at - at % size;
}

static int visit_bucket(struct zvm_table *table, uint64_t at,
                        int (*visit)(void *context, const void *key, const void *value), void *context)
{
	unsigned char bucket[ENTRY_MAX * ZVM_TABLE_SLOTS];
	int r = 0;
	if (!read_bucket(table, at, bucket))
		return 0;
	for (unsigned i = 0; r == 0 && i < ZVM_TABLE_SLOTS; i++) {
		const unsigned char *entry = bucket + i * table->entry_size;
		if (is_whole(table, entry))
			r = visit(context, entry, entry + table->shape.key_size);
	}
	return r;
}

int zvm_table_each(struct zvm_table *table, int (*visit)(void *context, const void *key, const void *value),
                   void *context)
{
	off_t at = table->file < 0 ? -ENXIO : next_bucket(table, 0);
	int r = 0;
	while (r == 0 && at >= 0) {
		r = visit_bucket(table, (uint64_t)at, visit, context);
		at = next_bucket(table, at + (off_t)(table->entry_size * ZVM_TABLE_SLOTS));
	}
	return r ? r : at == -ENXIO ? 0 : (int)at;
}

/* --- for fsck --- */

static void check_bucket(struct zvm_table *table, uint64_t at, bool clear, uint64_t *entries, uint64_t *damaged)
{
	static const unsigned char nothing[ENTRY_MAX];
	unsigned char bucket[ENTRY_MAX * ZVM_TABLE_SLOTS];
	if (!read_bucket(table, at, bucket))
		return;
	for (unsigned i = 0; i < ZVM_TABLE_SLOTS; i++) {
		const unsigned char *entry = bucket + i * table->entry_size;
		bool whole = is_whole(table, entry);
		*entries += whole;
		if (whole || is_empty(table, entry))
			continue;
		++*damaged;
		if (clear && pwrite(table->file, nothing, table->entry_size, (off_t)(at + i * table->entry_size)) < 0)
			return;
	}
}

int zvm_table_check(struct zvm_table *table, bool clear, uint64_t *ret_entries, uint64_t *ret_damaged)
{
	uint64_t size = table->entry_size * ZVM_TABLE_SLOTS;
	struct stat st;
	*ret_entries = *ret_damaged = 0;
	if (table->file < 0)
		return 0;
	if (fstat(table->file, &st) < 0)
		return -errno;
	off_t end = st.st_size;
	for (off_t at = 0; at < end;) {
		at = lseek(table->file, at, SEEK_DATA); /* over the holes */
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		at -= at % (off_t)size;
		check_bucket(table, (uint64_t)at, clear && !table->readonly, ret_entries, ret_damaged);
		at += (off_t)size;
	}
	return 0;
}
