/* Inside the store: shared by store.c, pending.c, blob.c, check.c, derived.c and record.c. */
#ifndef ZVM_FS_STORE_INTERNAL_H
#define ZVM_FS_STORE_INTERNAL_H

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>
#include <zvm/store.h>
#include "file_identity.h"
#include "secret.h"

struct zvm_verified {
	UT_hash_handle hh;
	struct zvm_file_identity id;
	uint32_t print; /* of its bytes; 0: the store has no secret */
};

struct zvm_store {
	char *path;
	unsigned flags;
	struct zvm_secret secret;
	bool has_secret;
	int directory, objects, records, tmp;
	pthread_mutex_t lock; /* around verified, spares and pending */
	struct zvm_verified *verified;
	int spares[ZVM_SPARES_MAX]; /* empty unnamed files, open */
	unsigned spare_count;
	struct zvm_pending *pending; /* pending.c */
	unsigned long pendings;      /* how many there have been */
	atomic_bool had_company;     /* pending.c: something was not called by its hash alone */
	struct zvm_page *page;       /* accord.h; NULL: nobody shares one with us */
	bool gc_may_come;            /* there is a page, and there are locks */
	/* keeper.c */
	atomic_ulong watched_bytes; /* beyond it, and when something did not fit, `watcher` is written to */
	atomic_int watcher;         /* an eventfd, or -1 */
	atomic_bool full;           /* something did not fit */
	atomic_bool no_unnamed;     /* temporary.c: this filesystem has no O_TMPFILE */
	struct {
		atomic_ulong objects_written, bytes_written, objects_shared, twins, condemned, records_written;
	} counters;
};

/* The tables below stat/, for whoever checks them (blob.c, derived.c). -ENOMEM only. */
struct zvm_table;
int zvm_shortcuts_open(struct zvm_store *store, struct zvm_table **ret);
int zvm_derived_table_open(struct zvm_store *store, struct zvm_table **ret);

/*
 * Gives a file whose bytes have been hashed its name, which may be another twin's. `ours`: nobody else holds it, so it
 * may be used again if there is one already. *fd is a descriptor of the object afterwards.
 */
int zvm_store_place(struct zvm_store *store, int *fd, uint64_t size, bool ours, struct zvm_digest *digest);
/* A copy of an open regular file, hashed, without a name. */
int zvm_store_snapshot(struct zvm_store *store, int fd, int *ret_copy, struct zvm_digest *ret, uint64_t *ret_size);
/* The file that this is the stat of is what its name says. */
void zvm_store_now_verified(struct zvm_store *store, const struct stat *st, uint32_t print);

/* Rises before objects become missing. */
uint64_t zvm_store_evictions(const struct zvm_store *store);
/* The store has grown by so much; or shrunk. */
void zvm_store_add_usage(struct zvm_store *store, int64_t bytes);
/* It is time to collect: something did not fit. */
void zvm_store_is_full(struct zvm_store *store);

/* What prints are made with; NULL: there is none. */
static inline const struct zvm_secret *zvm_store_secret(const struct zvm_store *store)
{
	return store->has_secret ? &store->secret : NULL;
}

/* Is what a table says of this content to be believed? Not if it was said while there was no secret to print it with:
 * another content may have its number by now, and nothing would show it. */
static inline bool zvm_store_believes(const struct zvm_store *store, const struct zvm_digest *digest)
{
	return digest->print || !store->has_secret;
}

#endif
