/*
 * Files of the store that are being written: without a name until they are complete.
 *
 * Where the filesystem can (O_TMPFILE), the file that was written gets its name at the end, and a crash leaves nothing.
 * Where it cannot, a file is made with a name that nobody else has and loses it at once. Such a file can get no name
 * again, so its bytes are copied (shared, where the filesystem can) into one in tmp/ which is then linked: a cost only
 * there, and only a crash in that moment leaves something.
 *
 * Names are given by link(2), never by rename: the first who comes has the name, and the others see that. So a
 * filesystem without hard links holds no store, and it is refused before anything is made on it.
 */
#include "temporary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "content.h"

/* To who writes, a quota is a full disk. */
static int full_or_errno(void)
{
	return errno == EDQUOT ? -ENOSPC : -errno;
}

static bool says_unsupported(int error)
{
	return error == EOPNOTSUPP || error == EISDIR || error == ENOENT;
}

struct draft {
	char name[64];
};

static int make_named(int directory, struct draft *draft)
{
	static atomic_ulong serial;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(draft->name, sizeof draft->name, "new-%d-%lu", (int)getpid(), atomic_fetch_add(&serial, 1));
		int fd = openat(directory, draft->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? full_or_errno() : fd;
	}
	return -EEXIST;
}

int zvm_temporary_open(struct zvm_store *store, int directory)
{
	struct draft draft;
	int fd = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || !says_unsupported(errno))
		return fd < 0 ? full_or_errno() : fd;
	atomic_store(&store->no_unnamed, true);
	fd = make_named(directory, &draft);
	if (fd >= 0)
		unlinkat(directory, draft.name, 0);
	return fd;
}

static int link_copy(struct zvm_store *store, int *fd, int directory, const char *name)
{
	struct stat st;
	struct draft draft;
	if (faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (fstat(*fd, &st) < 0)
		return -errno;
	zvm_autofd int copy = make_named(store->tmp, &draft);
	if (copy < 0)
		return copy;
	int r = zvm_content_copy(*fd, copy, (uint64_t)st.st_size);
	if (r == 0 && (fchmod(copy, st.st_mode & 0777) < 0 || linkat(store->tmp, draft.name, directory, name, 0) < 0))
		r = full_or_errno();
	unlinkat(store->tmp, draft.name, 0);
	if (r == 0) {
		zvm_close_pointer(fd);
		*fd = zvm_steal_fd(&copy);
	}
	return r;
}

int zvm_temporary_link(struct zvm_store *store, int *fd, int directory, const char *name)
{
	char path[48];
	if (atomic_load(&store->no_unnamed))
		return link_copy(store, fd, directory, name);
	snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
	return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) < 0 ? full_or_errno() : 0;
}

/* Whoever has unnamed files has links. What stands in the way of finding out, like a full disk, is for later to meet.
 */
bool zvm_temporary_linkable(struct zvm_store *store, int directory)
{
	struct draft draft;
	char other[sizeof draft.name + 8];
	if (!atomic_load(&store->no_unnamed))
		return true;
	zvm_autofd int fd = make_named(directory, &draft);
	if (fd < 0)
		return true;
	snprintf(other, sizeof other, "%s-link", draft.name);
	bool can = linkat(directory, draft.name, directory, other, 0) == 0 ||
	           (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK);
	unlinkat(directory, other, 0);
	unlinkat(directory, draft.name, 0);
	return can;
}
