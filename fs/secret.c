/*
 * The store's secret, random bytes that each store makes for itself once.
 *
 * XXH3 is easily forged: of any file another with the same hash can be made. As long as both contents are in the store
 * they are compared, and numbered. But if the first one is gone (evicted, damaged, deleted by hand) nothing is left to
 * compare the second with, and it gets the number of the first. Everything that was said of the first (which run it
 * was the input of, what a script saw, what a run wrote, what a file is) would be true of the second. The print tells
 * them apart: a hash of the same bytes with a secret, kept wherever a content is named, in records, tables and memory.
 *
 * Thirty-two bits are enough: who does not know the secret cannot choose a print, only try, and for each try must see a
 * content vanish. Who can read the store can do without forging.
 *
 * If the secret is lost a new one is made. Then every print is another and every stored run is computed anew.
 */
#include "secret.h"
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "store_internal.h"
#include "temporary.h"

static const char file_name[] = "secret";

/* 0, -ENOENT, -EBADMSG if it is no whole one, or -errno. */
static int read_secret(struct zvm_store *store)
{
	struct stat st;
	zvm_autofd int fd = openat(store->directory, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)sizeof store->secret.bytes)
		return -EBADMSG;
	long n = zvm_read_at(fd, store->secret.bytes, sizeof store->secret.bytes, 0);
	if (n != (long)sizeof store->secret.bytes)
		return n < 0 ? (int)n : -EBADMSG;
	store->has_secret = true;
	return 0;
}

/* Synced, unlike objects: after a power loss an empty one would cost every stored run. */
static int make_secret(struct zvm_store *store)
{
	struct zvm_secret fresh;
	zvm_autofd int fd = zvm_temporary_open(store, store->tmp);
	if (fd < 0)
		return fd;
	if (getrandom(fresh.bytes, sizeof fresh.bytes, 0) != (ssize_t)sizeof fresh.bytes)
		return -EIO;
	int r = zvm_write_all(fd, fresh.bytes, sizeof fresh.bytes);
	if (r == 0 && (fchmod(fd, 0400) < 0 || fsync(fd) < 0))
		r = -errno;
	r = r ? r : zvm_temporary_link(store, &fd, store->directory, file_name);
	return r == -EEXIST ? 0 : r; /* somebody was faster: then that one is it */
}

int zvm_secret_load(struct zvm_store *store)
{
	int r = read_secret(store);
	if (r == 0)
		return 0;
	if (store->flags & ZVM_STORE_READONLY)
		return r == -ENOENT || r == -EBADMSG ? 0 : r;
	if (r == -EBADMSG && unlinkat(store->directory, file_name, 0) < 0)
		return -errno;
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	r = make_secret(store);
	return r ? (r == -ENOSPC ? 0 : r) : read_secret(store);
}
