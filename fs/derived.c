/*
 * The table of derived contents: see derived.h.
 *
 * It is a file that all processes share (table.h).
 */
#include "derived.h"
#include <errno.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "store_internal.h"
#include "table.h"

#define NO_CONTENT UINT64_MAX /* as a twin number and print: only the note was kept */

struct key {
	uint64_t name;
	struct zvm_file_identity source;
};

struct entry {
	uint64_t high, low, number;
	unsigned char note[ZVM_NOTE_SIZE];
};

struct zvm_derived {
	struct zvm_store *store;
	struct zvm_table *table;
};

int zvm_derived_table_open(struct zvm_store *store, struct zvm_table **ret)
{
	static const struct zvm_table_shape shape = {sizeof(struct key), sizeof(struct entry), 8192};
	return zvm_table_open(store->directory, "stat/derived", store->flags & ZVM_STORE_READONLY, &shape, ret);
}

int zvm_derived_open(struct zvm_store *store, struct zvm_derived **ret)
{
	struct zvm_derived *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	d->store = store;
	int r = zvm_derived_table_open(store, &d->table);
	if (r) {
		free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void zvm_derived_close(struct zvm_derived *d)
{
	if (!d)
		return;
	zvm_table_close(d->table);
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

int zvm_derived_find(struct zvm_derived *d, const char *name, const struct zvm_digest *source,
                     unsigned char note[ZVM_NOTE_SIZE], int *ret_fd)
{
	struct key key;
	struct entry entry;
	*ret_fd = -1;
	int r = key_of(d, name, source, &key);
	if (r)
		return r;
	if (!zvm_table_find(d->table, &key, &entry))
		return -ENOENT;
	struct zvm_digest digest = zvm_digest_of(entry.high, entry.low, entry.number);
	if (entry.number != NO_CONTENT)
		r = zvm_store_believes(d->store, &digest) ? zvm_store_object(d->store, &digest, ret_fd, NULL) : -ENOENT;
	memcpy(note, entry.note, ZVM_NOTE_SIZE);
	return r;
}

int zvm_derived_keep(struct zvm_derived *d, const char *name, const struct zvm_digest *source,
                     const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd)
{
	struct key key;
	struct entry entry = {.number = NO_CONTENT};
	struct zvm_digest digest;
	uint64_t size;
	*ret_fd = -1;
	int r = key_of(d, name, source, &key);
	if (r)
		return r;
	if (fd >= 0) {
		r = zvm_store_put_file(d->store, fd, &digest, &size);
		r = r ? r : zvm_store_object(d->store, &digest, ret_fd, NULL);
		if (r)
			return r;
		entry.high = digest.high;
		entry.low = digest.low;
		entry.number = zvm_digest_number(&digest);
	}
	memcpy(entry.note, note, ZVM_NOTE_SIZE);
	zvm_table_put(d->table, &key, &entry);
	return 0;
}

struct walk {
	int (*visit)(void *context, uint64_t source, const struct zvm_digest *derived);
	void *context;
};

static int visit_entry(void *context, const void *bytes, const void *value)
{
	const struct walk *walk = context;
	struct key key;
	struct entry entry;
	memcpy(&key, bytes, sizeof key);
	memcpy(&entry, value, sizeof entry);
	struct zvm_digest digest = zvm_digest_of(entry.high, entry.low, entry.number);
	return entry.number == NO_CONTENT ? 0 : walk->visit(walk->context, key.source.inode, &digest);
}

int zvm_derived_each(struct zvm_store *store,
                     int (*visit)(void *context, uint64_t source, const struct zvm_digest *derived), void *context)
{
	struct zvm_table *table;
	int r = zvm_derived_table_open(store, &table);
	if (r)
		return r;
	r = zvm_table_each(table, visit_entry, &(struct walk){visit, context});
	zvm_table_close(table);
	return r;
}
