/*
 * Is this place of the host still as it was? Known without asking it: the kernel reports what is done there (watch.c).
 *
 *   struct zvm_guard guard = {0};
 *   zvm_watch_refresh(watch);                                   // take in all that was done until now
 *   if (zvm_guard_stands(&guard)) ...                           // nothing was: a stat would say what it said
 *   else if (zvm_guard_raise(watch, &guard, AT_FDCWD, path, flags, &raising) == 0)
 *           zvm_guard_settle(&guard, raising, a stat shows that it is as it was);
 *   ...
 *   zvm_guard_drop(&guard);
 *
 * A guard is its owner's, who drops it when nobody uses it any more and before its memory goes. Raising costs some ten
 * system calls and pays where a place is asked about again and again. It may fail, and then a stat is asked as ever;
 * where the machine offers nothing to watch with, it always does. All but dropping may be done by many threads at once:
 * of those that raise a guard one succeeds, and must settle it.
 */
#ifndef ZVM_FS_WATCH_H
#define ZVM_FS_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct zvm_watch;

struct zvm_guard {
	/* all watch.c's own */
	atomic_uint state; /* how often it was raised, above two bits: down, raised or standing */
	unsigned count;
	int64_t next_try; /* ms of a coarse clock: not raised again before */
	struct zvm_watch *watch;
	struct zvm_guard_link *links;
};

#define ZVM_GUARD_NOFOLLOW 1u /* of a link at the end of the path the link itself is meant */
/* Somebody may write to the file through a mapping, which is not reported: whoever opens it breaks the guard. */
#define ZVM_GUARD_OPENS 2u

/* 0, or -errno: there is nothing to watch with. */
int zvm_watch_open(struct zvm_watch **ret);
/* Gives it back; it lives on until the last guard is dropped. NULL is none. */
void zvm_watch_close(struct zvm_watch *watch);

/* Breaks the guards over whatever has been changed by anybody whose call for it has returned. NULL: does nothing. */
void zvm_watch_refresh(struct zvm_watch *watch);

static inline bool zvm_guard_stands(const struct zvm_guard *guard)
{
	return (atomic_load_explicit(&guard->state, memory_order_acquire) & 3) == 2;
}

/* `base`: of a relative path; borrowed for the call. 0 with the number of this raising; -EAGAIN: not now. */
int zvm_guard_raise(struct zvm_watch *watch, struct zvm_guard *guard, int base, const char *path, unsigned flags,
                    unsigned *ret_raising);
/* `same`: since that raising, what the guard stands over was seen to be as it should. */
void zvm_guard_settle(struct zvm_guard *guard, unsigned raising, bool same);
void zvm_guard_drop(struct zvm_guard *guard);

#endif
