#include "accord.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "store_internal.h"

#define PAGE_SIZE_ON_FILE 4096

/* Bytes that are locked. */
#define AT_SAVING 0 /* by each who saves a record; by gc alone */
#define AT_GC 1     /* by the one gc */
#define AT_HOLDS 2  /* by runs under way */

/* One line of the journal. */
struct entry {
	struct zvm_digest digest;
	uint64_t check;
};

/* --- the page --- */

static struct flock lock_of(short type, off_t at)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

/* Written, not only made longer: it takes its room on the disk now, or is not mapped. */
static int prepare_file(int fd)
{
	static const char zeros[PAGE_SIZE_ON_FILE];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_size < PAGE_SIZE_ON_FILE ? zvm_write_all(fd, zeros, sizeof zeros) : 0;
}

static bool can_lock(int fd)
{
	struct flock lock = lock_of(F_WRLCK, AT_GC);
	return fcntl(fd, F_OFD_GETLK, &lock) == 0;
}

static void map_page(struct zvm_store *store, int fd)
{
	bool readonly = store->flags & ZVM_STORE_READONLY;
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_size < PAGE_SIZE_ON_FILE)
		return;
	void *page = mmap(NULL, PAGE_SIZE_ON_FILE, readonly ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	store->page = page == MAP_FAILED ? NULL : page;
}

/* A store is usable without: nothing is counted then. */
void zvm_page_open(struct zvm_store *store)
{
	bool readonly = store->flags & ZVM_STORE_READONLY;
	zvm_autofd int fd = openat(store->directory, "stat/gc",
	                           (readonly ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (readonly || prepare_file(fd) == 0)
		map_page(store, fd);
	store->gc_may_come = !readonly && can_lock(fd);
}

void zvm_page_close(struct zvm_store *store)
{
	if (store->page)
		munmap(store->page, PAGE_SIZE_ON_FILE);
	store->page = NULL;
}

bool zvm_page_can_be_written(struct zvm_store *store)
{
	return madvise(store->page, PAGE_SIZE_ON_FILE, MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
}

uint64_t zvm_store_evictions(const struct zvm_store *store)
{
	return store->page ? atomic_load(&store->page->evictions) : 0;
}

static void wake_watcher(struct zvm_store *store)
{
	uint64_t one = 1;
	int fd = atomic_load(&store->watcher);
	/* A full counter has woken him already. */
	if (fd >= 0 && write(fd, &one, sizeof one) < 0)
		return;
}

void zvm_store_add_usage(struct zvm_store *store, int64_t bytes)
{
	if (!store->page || store->flags & ZVM_STORE_READONLY || !zvm_page_can_be_written(store))
		return;
	int64_t now = atomic_fetch_add(&store->page->bytes, bytes) + bytes;
	uint64_t watched = atomic_load(&store->watched_bytes);
	if (watched && now > 0 && (uint64_t)now > watched)
		wake_watcher(store);
}

void zvm_store_is_full(struct zvm_store *store)
{
	atomic_store(&store->full, true);
	wake_watcher(store);
}

/* --- locks --- */

static int open_lock(const struct zvm_store *store)
{
	int fd = openat(store->directory, "stat/gc", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int take(int fd, short type, off_t at, bool wait)
{
	struct flock lock = lock_of(type, at);
	while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) < 0)
		if (errno != EINTR)
			return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

/* By another description than fd. If that cannot be told, somebody does. */
static bool is_held(int fd, off_t at)
{
	struct flock lock = lock_of(F_WRLCK, at);
	return fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

static int open_and_take(struct zvm_store *store, short type, off_t at, int *ret)
{
	*ret = -1;
	zvm_autofd int fd = open_lock(store);
	int r = fd < 0 ? fd : take(fd, type, at, true);
	if (r == 0)
		*ret = zvm_steal_fd(&fd);
	return r;
}

int zvm_accord_lock(struct zvm_store *store, int *ret)
{
	return open_and_take(store, F_WRLCK, AT_SAVING, ret);
}

/* For others than gc. Where the file is gone there is no gc: it makes the file. */
static int share(struct zvm_store *store, off_t at, int *ret)
{
	*ret = -1;
	int r = store->gc_may_come ? open_and_take(store, F_RDLCK, at, ret) : 0;
	return r == -ENOENT ? 0 : r;
}

int zvm_store_hold(struct zvm_store *store, int *ret)
{
	return share(store, AT_HOLDS, ret);
}

/* --- saving a record --- */

static bool is_there(const struct zvm_store *store, const struct zvm_output *output)
{
	char name[3 + ZVM_DIGEST_TEXT];
	zvm_digest_format(&output->digest, name + 3);
	name[0] = name[3];
	name[1] = name[4];
	name[2] = '/';
	return !output->size || faccessat(store->objects, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void add_entry(struct zvm_bytes *to, const struct zvm_digest *digest)
{
	struct entry entry = {.digest = *digest};
	entry.check = XXH3_64bits(&entry.digest, sizeof entry.digest);
	zvm_bytes_append(to, &entry, sizeof entry);
}

static int write_journal(int fd, const struct zvm_action *action, const struct zvm_record *record)
{
	zvm_autobytes struct zvm_bytes entries = {0};
	add_entry(&entries, &action->script_blob);
	add_entry(&entries, &action->input_blob);
	add_entry(&entries, &record->out.digest);
	add_entry(&entries, &record->err.digest);
	for (unsigned i = 0; i < record->dependency_count; i++)
		if (record->dependencies[i].answer.has_content)
			add_entry(&entries, &record->dependencies[i].answer.digest);
	if (entries.error)
		return entries.error;
	if (fcntl(fd, F_SETFL, O_APPEND) < 0)
		return -errno;
	return zvm_write_all(fd, entries.data, entries.size);
}

int zvm_accord_save(struct zvm_store *store, const struct zvm_action *action, const struct zvm_record *record, int *ret)
{
	zvm_autofd int fd = -1;
	*ret = -1;
	int r = share(store, AT_SAVING, &fd);
	if (r || fd < 0)
		return r;
	if (!is_there(store, &record->out) || !is_there(store, &record->err))
		r = -ESTALE;
	if (r == 0 && is_held(fd, AT_GC))
		r = write_journal(fd, action, record);
	if (r == 0)
		*ret = zvm_steal_fd(&fd);
	return r;
}

/* --- for gc --- */

/* Where several machines may use a store, a page in memory is not one page. */
static bool is_shared_by_machines(int directory)
{
	static const unsigned long kinds[] = {NFS_SUPER_MAGIC,   SMB_SUPER_MAGIC,  SMB2_SUPER_MAGIC, CIFS_SUPER_MAGIC,
	                                      CODA_SUPER_MAGIC,  AFS_SUPER_MAGIC,  V9FS_MAGIC,       CEPH_SUPER_MAGIC,
	                                      OCFS2_SUPER_MAGIC, FUSE_SUPER_MAGIC, 0x01161970 /* GFS2 */};
	struct statfs st;
	if (fstatfs(directory, &st) < 0)
		return true;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if ((unsigned long)st.f_type == kinds[i])
			return true;
	return false;
}

int zvm_accord_become_gc(struct zvm_store *store, int *ret)
{
	*ret = -1;
	if (!store->gc_may_come || !store->page || is_shared_by_machines(store->directory))
		return -EOPNOTSUPP;
	zvm_autofd int fd = open_lock(store);
	int r = fd < 0 ? fd : take(fd, F_WRLCK, AT_GC, false);
	if (r)
		return r == -EAGAIN ? -EBUSY : r;
	*ret = zvm_steal_fd(&fd);
	return 0;
}

int zvm_accord_start_journal(struct zvm_store *store)
{
	zvm_autofd int fd = open_lock(store);
	if (fd < 0)
		return fd;
	return ftruncate(fd, PAGE_SIZE_ON_FILE) < 0 ? -errno : 0;
}

/* Behind a piece of an entry (a full disk: that record was not saved) the next one is looked for. */
static size_t take_entries(const unsigned char *bytes, size_t size,
                           int (*visit)(void *context, const struct zvm_digest *named), void *context, int *result)
{
	struct entry entry;
	size_t at = 0;
	while (*result == 0 && size - at >= sizeof entry) {
		memcpy(&entry, bytes + at, sizeof entry);
		bool whole = entry.check == XXH3_64bits(&entry.digest, sizeof entry.digest);
		if (whole)
			*result = visit(context, &entry.digest);
		at += whole ? sizeof entry : 1;
	}
	return at;
}

int zvm_accord_read_journal(struct zvm_store *store, uint64_t *at,
                            int (*visit)(void *context, const struct zvm_digest *named), void *context)
{
	unsigned char bytes[256 * sizeof(struct entry)];
	zvm_autofd int fd = open_lock(store);
	int r = fd < 0 ? fd : 0;
	long n;
	if (*at < PAGE_SIZE_ON_FILE)
		*at = PAGE_SIZE_ON_FILE;
	while (r == 0 && (n = zvm_read_at(fd, bytes, sizeof bytes, *at)) >= (long)sizeof(struct entry))
		*at += take_entries(bytes, (size_t)n, visit, context, &r);
	return r ? r : n < 0 ? (int)n : 0;
}

bool zvm_accord_anybody_holds(struct zvm_store *store)
{
	zvm_autofd int fd = open_lock(store);
	return is_held(fd, AT_HOLDS);
}
