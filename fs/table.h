/*
 * Small tables that processes share, of what costs time to find out: a file below the store, never more than that.
 *
 *   zvm_table_open(zvm_store_directory(store), "stat/shortcuts", flags, &shape, &table);
 *   if (zvm_table_find(table, &key, &value)) ...
 *   zvm_table_put(table, &key, &value);
 *   zvm_table_close(table);
 *
 * Opening reads nothing, finding is one read, nothing is kept in memory. What is put may be forgotten at any time (a
 * full bucket, a full disk, a crash, a damaged file): losing it costs time only. What is found is what was once put
 * under that very key: each entry is checksummed. Thread-safe.
 */
#ifndef ZVM_FS_TABLE_H
#define ZVM_FS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zvm_table;

/* Keys and values are compared and kept as bytes: no padding in them. Together at most 248 bytes. */
struct zvm_table_shape {
	size_t key_size, value_size;
	uint32_t buckets; /* of ZVM_TABLE_SLOTS entries each; a power of two */
};
#define ZVM_TABLE_SLOTS 8u

/* A file that cannot be opened is a table that finds nothing. -ENOMEM only. */
int zvm_table_open(int directory, const char *name, bool readonly, const struct zvm_table_shape *shape,
                   struct zvm_table **ret);
void zvm_table_close(struct zvm_table *table);

bool zvm_table_find(struct zvm_table *table, const void *key, void *ret_value);
void zvm_table_put(struct zvm_table *table, const void *key, const void *value);

/* Every entry there is, for gc. A visitor that returns non-zero ends the walk, which returns that; or -errno. */
int zvm_table_each(struct zvm_table *table, int (*visit)(void *context, const void *key, const void *value),
                   void *context);

/*
 * How many entries there are, and how many that are damaged (for fsck; `clear`: these are emptied). 0 or -errno of
 * reading. A file of another shape is all damaged entries.
 */
int zvm_table_check(struct zvm_table *table, bool clear, uint64_t *ret_entries, uint64_t *ret_damaged);

#endif
