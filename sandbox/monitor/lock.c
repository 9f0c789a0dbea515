/*
 * Advisory locks: fcntl's record locks, owned by a process or (OFD) by an open file, and flock's, which cover the whole
 * file and see only each other. One small table for the box; whoever has to wait, waits for any change of it and looks
 * again, so the order in which locks are given is the order in which tasks run, the same every time.
 */
#include "files.h"

#define OWNER_DESCRIPTION 0x80000000u
#define TYPE_READ 0
#define TYPE_WRITE 1
#define TYPE_NONE 2
#define FOREVER 0x7fffffffffffffffull

static u64 file_key(const struct description *d)
{
	if (d->node != NO_INDEX)
		return d->node;
	return 1ull << 63 | (d->path != NO_INDEX ? 1ull << 62 | d->path : d->inode);
}

static bool overlaps(const struct file_lock *a, const struct file_lock *b)
{
	return a->in_use && a->key == b->key && a->whole == b->whole && a->start <= b->end && b->start <= a->end;
}

static const struct file_lock *conflict(const struct file_lock *wanted)
{
	for (u32 i = 0; i < LOCKS_MAX && files()->lock_count; i++) {
		const struct file_lock *l = &files()->locks[i];
		if (overlaps(l, wanted) && l->owner != wanted->owner &&
		    (l->type == TYPE_WRITE || wanted->type == TYPE_WRITE))
			return l;
	}
	return NULL;
}

static void drop(struct file_lock *l)
{
	l->in_use = 0;
	files()->lock_count--;
}

static bool add(const struct file_lock *lock)
{
	for (u32 i = 0; i < LOCKS_MAX; i++)
		if (!files()->locks[i].in_use) {
			files()->locks[i] = *lock;
			files()->locks[i].in_use = 1;
			files()->lock_count++;
			return true;
		}
	return false;
}

/* The owner's own locks give way to the new one: cut off, cut in two, or gone. */
static s64 apply(const struct file_lock *lock)
{
	if (files()->lock_count + 2 > LOCKS_MAX)
		return -ENOLCK;
	for (u32 i = 0; i < LOCKS_MAX && files()->lock_count; i++) {
		struct file_lock *l = &files()->locks[i];
		if (!overlaps(l, lock) || l->owner != lock->owner)
			continue;
		struct file_lock behind = *l;
		bool left = l->start<lock->start, right = l->end> lock->end;
		behind.start = lock->end + 1;
		if (left)
			l->end = lock->start - 1;
		else
			drop(l);
		if (right)
			add(&behind); /* begins behind `lock`: the loop leaves it alone */
	}
	if (lock->type != TYPE_NONE)
		add(lock);
	wake(LOCK_CHANNEL, UINT32_MAX);
	return 0;
}

static s64 set(const struct file_lock *lock, bool wait)
{
	while (lock->type != TYPE_NONE && conflict(lock)) {
		if (!wait)
			return -EAGAIN;
		if (block(LOCK_CHANNEL, NEVER) == -EINTR)
			return -EINTR;
	}
	return apply(lock);
}

static void drop_owner(u64 key, bool any_key, u32 owner)
{
	bool changed = false;
	for (u32 i = 0; i < LOCKS_MAX && files()->lock_count; i++) {
		struct file_lock *l = &files()->locks[i];
		if (!l->in_use || l->owner != owner || (!any_key && l->key != key))
			continue;
		drop(l);
		changed = true;
	}
	if (changed)
		wake(LOCK_CHANNEL, UINT32_MAX);
}

void locks_drop_process(u32 description, s32 pid)
{
	if (files()->lock_count)
		drop_owner(file_key(description_at(description)), false, (u32)pid);
}

void locks_drop_description(u32 description)
{
	if (files()->lock_count)
		drop_owner(0, true, OWNER_DESCRIPTION | description);
}

/* struct flock */
struct guest_lock {
	u16 type, whence;
	u32 padding;
	s64 start, length;
	s32 pid, padding_too;
};

static s64 range_of(const struct description *d, const struct guest_lock *g, struct file_lock *ret)
{
	s64 start, base = g->whence == 1 ? (s64)d->offset : g->whence == 2 ? (s64)description_size(d) : 0;
	if (g->whence > 2 || g->type > TYPE_NONE)
		return -EINVAL;
	if (__builtin_add_overflow(base, g->start, &start))
		return -EOVERFLOW;
	s64 end = (s64)FOREVER;
	if (g->length > 0 && __builtin_add_overflow(start, g->length - 1, &end))
		return -EOVERFLOW;
	if (g->length < 0) {
		end = start - 1;
		if (__builtin_add_overflow(start, g->length, &start))
			return -EINVAL;
	}
	if (start < 0)
		return -EINVAL;
	*ret = (struct file_lock){.key = file_key(d), .start = (u64)start, .end = (u64)end, .type = (u8)g->type};
	return 0;
}

static s64 get(const struct file_lock *lock, struct guest_lock *g, u64 address)
{
	const struct file_lock *other = lock->type == TYPE_NONE ? NULL : conflict(lock);
	if (lock->type == TYPE_NONE)
		return -EINVAL;
	if (other) {
		g->whence = 0;
		g->type = other->type;
		g->start = (s64)other->start;
		g->length = other->end == FOREVER ? 0 : (s64)(other->end - other->start + 1);
		g->pid = other->owner & OWNER_DESCRIPTION ? -1 : (s32)other->owner;
	} else {
		g->type = TYPE_NONE;
	}
	return GUEST_PUT(address, *g);
}

s64 lock_record(u64 fd, u32 command, u64 address)
{
	u32 index;
	struct guest_lock g;
	struct file_lock lock;
	const struct description *d = descriptor_get(fd, &index);
	bool of_description = command >= 36; /* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW */
	if (GUEST_GET(g, address))
		return -EFAULT;
	if (of_description && g.pid)
		return -EINVAL;
	s64 r = range_of(d, &g, &lock);
	if (r)
		return r;
	lock.owner = of_description ? OWNER_DESCRIPTION | index : (u32)process_self()->pid;
	if (command == F_GETLK || command == 36)
		return get(&lock, &g, address);
	u32 mode = d->flags & ACCESS_MODE;
	if ((g.type == TYPE_READ && mode == O_WRONLY) || (g.type == TYPE_WRITE && mode == O_RDONLY))
		return -EBADF;
	return set(&lock, command == F_SETLKW || command == 38);
}

s64 call_flock(const u64 *a)
{
	u32 index, what = (u32)a[1] & ~4u;
	const struct description *d = descriptor_get(a[0], &index);
	if (!d || d->kind == KIND_PATH)
		return -EBADF;
	if (what != 1 && what != 2 && what != 8) /* LOCK_SH, LOCK_EX, LOCK_UN */
		return -EINVAL;
	struct file_lock lock = {.key = file_key(d), .end = FOREVER, .owner = OWNER_DESCRIPTION | index, .whole = 1};
	lock.type = what == 8 ? TYPE_NONE : what == 2 ? TYPE_WRITE : TYPE_READ;
	return set(&lock, !(a[1] & 4));
}
