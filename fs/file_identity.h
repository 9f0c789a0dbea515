/* Is this still the same file, with the same bytes? As far as a stat can tell. */
#ifndef ZVM_FS_FILE_IDENTITY_H
#define ZVM_FS_FILE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/* What stays the same as long as a file is neither replaced nor written. Compared as bytes: no padding. */
struct zvm_file_identity {
	uint64_t device, inode, size;
	int64_t modified, modified_ns, changed, changed_ns;
};

static inline struct zvm_file_identity zvm_file_identity(const struct stat *st)
{
	return (struct zvm_file_identity){st->st_dev,         st->st_ino,          (uint64_t)st->st_size,
	                                  st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_sec,
	                                  st->st_ctim.tv_nsec};
}

#define ZVM_OLD_ENOUGH_S 2

/* Whether its identity can be trusted: a file that was written just now may be written again within one tick of its
 * times, and look the same. */
static inline bool zvm_old_enough(const struct stat *st)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return st->st_mtim.tv_sec + ZVM_OLD_ENOUGH_S < now.tv_sec && st->st_ctim.tv_sec + ZVM_OLD_ENOUGH_S < now.tv_sec;
}

#endif
