/*
 * Claims: one process computes an action, the others wait for it.
 *
 * A claim is a lock on one byte of the store's file `lock`, at a place that the action's address tells. The file stays
 * empty: locks need no bytes. They belong to an open file description (F_OFD_SETLK), so the kernel gives them back when
 * the last descriptor of it is closed, that is, as soon as the process is dead, of whatever. No file has to be cleaned
 * up, no process number can be another's by now, and no clock decides who is alive. Two actions that share a place
 * (2^62 there are) only wait for each other, which is no harm but time.
 *
 * Who owns what. The description is the engine's alone: no guest, broker or launcher ever has it (launch.c closes
 * all of the daemon's descriptors right after the fork, so a launcher or box that outlives a killed daemon by a
 * moment keeps nothing claimed). Locks of one description do not exclude each other, so threads of one engine have to
 * agree before they come here.
 *
 * Why nobody sleeps in F_OFD_SETLKW: that would take a thread for each claim waited for, which no cancelling could
 * wake. And inotify tells that a file is being closed before its locks are gone. So the engine's reaper looks every few
 * milliseconds, at one system call for each job that waits (turn.c).
 *
 * Where a filesystem has no such locks (ENOLCK, EOPNOTSUPP, EINVAL of an old kernel), or the store can only be read,
 * every action is free: each process computes for itself, and the store makes one of what comes out.
 *
 * Other users of `lock` keep below 2^62.
 */
#include "claim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#define CLAIMS_AT (1ull << 62)

int zvm_claims_open(int store_directory)
{
	return openat(store_directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static struct flock place(const struct zvm_digest *action, short type)
{
	return (struct flock){
	        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(CLAIMS_AT | action->low >> 2), .l_len = 1};
}

int zvm_claim_take(int claims, const struct zvm_digest *action)
{
	struct flock lock = place(action, F_WRLCK);
	if (claims < 0 || fcntl(claims, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EAGAIN : 0;
}

void zvm_claim_give(int claims, const struct zvm_digest *action)
{
	struct flock lock = place(action, F_UNLCK);
	if (claims >= 0)
		fcntl(claims, F_OFD_SETLK, &lock);
}

bool zvm_claim_is_free(int claims, const struct zvm_digest *action)
{
	struct flock lock = place(action, F_WRLCK);
	return claims < 0 || fcntl(claims, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK;
}
