/*
 * SCM_RIGHTS: descriptors that come along with the bytes of a message. On their way they are references to open files,
 * in parcels that hang at a ring in the order of its bytes.
 *
 * A file of the host's is open in some native processes only. Where it is not, who receives it opens it again by its
 * name, as which it is the same for the whole run, at the offset that it had when it was received.
 *
 * Releasing what nobody will get may close the last end of a socket in which more is on its way, and so on: what has
 * been dropped waits in a chain until whoever released a description is done with it (parcels_sweep).
 */
#include "sockets.h"

#define LEVEL_SOCKET 1
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define CONTROL_MAX 20480u /* net.core.optmem_max */

struct control_header {
	u64 size;
	s32 level, type;
};

static u64 aligned(u64 size)
{
	return (size + 7) & ~7ull;
}

/* --- taking them from a sender --- */

/* This native process may never have had its native descriptor, and then that number is another file's. */
static void release_one(u32 index)
{
	struct description *d = description_at(index);
	if (d->references == 1 && !description_is_here(index))
		d->native_fd = -1;
	files()->rights_count--;
	description_release(index);
}

void rights_drop(struct rights *rights)
{
	while (rights->count)
		release_one(rights->descriptions[--rights->count]);
}

static s64 take_one(u64 at, struct rights *rights)
{
	s32 fd;
	u32 index;
	if (GUEST_GET(fd, at))
		return -EFAULT;
	struct description *d = descriptor_get((u32)fd, &index);
	if (!d)
		return -EBADF;
	d->references++;
	files()->rights_count++;
	rights->descriptions[rights->count++] = index;
	return 0;
}

static s64 take_rights(u64 at, u64 size, struct rights *rights)
{
	u64 count = size / sizeof(s32);
	s64 r = 0;
	if (count > RIGHTS_MAX - rights->count)
		return -EINVAL;
	for (u64 i = 0; i < count && r == 0; i++)
		r = take_one(at + i * sizeof(s32), rights);
	return r;
}

/* One may say who one is; nobody here has asked to be told (SO_PASSCRED is refused). */
static s64 check_credentials(u64 at, u64 size)
{
	s32 ids[3];
	if (size != sizeof ids)
		return -EINVAL;
	if (GUEST_GET(ids, at))
		return -EFAULT;
	return ids[0] == process_self()->pid && ids[1] == 1000 && ids[2] == 1000 ? 0 : -EPERM;
}

static s64 take_all(u64 control, u64 size, struct rights *ret)
{
	struct control_header header;
	for (u64 at = 0; size - at >= sizeof header;) {
		if (GUEST_GET(header, control + at))
			return -EFAULT;
		if (header.size < sizeof header || header.size > size - at)
			return -EINVAL;
		u64 data = control + at + sizeof header, data_size = header.size - sizeof header;
		s64 r = header.level != LEVEL_SOCKET     ? 0
		        : header.type == SCM_RIGHTS      ? take_rights(data, data_size, ret)
		        : header.type == SCM_CREDENTIALS ? check_credentials(data, data_size)
		                                         : -EINVAL;
		if (r)
			return r;
		at += min_u64(aligned(header.size), size - at);
	}
	return 0;
}

s64 rights_get(u64 control, u64 size, struct rights *ret)
{
	ret->count = 0;
	if (size > CONTROL_MAX)
		return -ENOBUFS;
	if (size && !guest_range(control, size))
		return -EFAULT;
	s64 r = take_all(control, size, ret);
	if (r == 0 && ret->count && files()->rights_count - ret->count > process_self()->limits[RLIMIT_NOFILE][0])
		r = -ETOOMANYREFS;
	if (r)
		rights_drop(ret);
	return r;
}

/* --- on their way --- */

u32 parcel_new(struct rights *rights, const struct socket_name *from)
{
	u32 size = (u32)sizeof(struct parcel) + rights->count * (u32)sizeof(u32);
	if (memory_charge(size))
		return 0;
	u32 block = block_take(size);
	if (!block) {
		memory_uncharge(size);
		return 0;
	}
	struct parcel *p = block_at(block);
	p->size = size;
	p->from = *from;
	p->count = rights->count;
	memcpy(p->descriptions, rights->descriptions, rights->count * sizeof(u32));
	rights->count = 0;
	return block;
}

void parcel_add(u32 ring, u32 parcel, u64 start, u64 end)
{
	struct parcel *p = block_at(parcel);
	u32 *at = &ring_at(ring)->parcels;
	while (*at)
		at = &((struct parcel *)block_at(*at))->next;
	*at = parcel;
	p->next = 0;
	p->start = start;
	p->end = end;
}

struct parcel *parcel_first(u32 ring, u64 within)
{
	u32 first = ring_at(ring)->parcels;
	struct parcel *p = first ? block_at(first) : NULL;
	return p && p->start < ring_at(ring)->read + within ? p : NULL;
}

static void drop(u32 parcel)
{
	struct parcel *p = block_at(parcel);
	p->next = files()->dropped;
	files()->dropped = parcel;
}

void parcels_drop(u32 ring)
{
	for (u32 parcel; (parcel = ring_at(ring)->parcels);) {
		ring_at(ring)->parcels = ((struct parcel *)block_at(parcel))->next;
		drop(parcel);
	}
}

void parcel_remove(u32 ring, u32 parcel)
{
	u32 *at = &ring_at(ring)->parcels;
	while (*at && *at != parcel)
		at = &((struct parcel *)block_at(*at))->next;
	if (*at)
		*at = ((struct parcel *)block_at(parcel))->next;
	drop(parcel);
	parcels_sweep();
}

void parcels_sweep(void)
{
	if (files()->dropping)
		return;
	files()->dropping = true;
	for (u32 parcel; (parcel = files()->dropped);) {
		struct parcel *p = block_at(parcel);
		files()->dropped = p->next;
		while (p->count)
			release_one(p->descriptions[--p->count]);
		memory_uncharge(p->size);
		block_give(parcel, p->size);
	}
	files()->dropping = false;
}

bool rights_hold_output(void)
{
	for (u32 i = 0; files()->rights_count && i < RINGS_MAX; i++)
		for (u32 parcel = ring_at(i)->in_use ? ring_at(i)->parcels : 0; parcel;) {
			const struct parcel *p = block_at(parcel);
			for (u32 n = 0; n < p->count; n++)
				if (description_at(p->descriptions[n])->kind == KIND_OUTPUT)
					return true;
			parcel = p->next;
		}
	return false;
}

/* --- giving them to a receiver --- */

/* The same open file if it can be read here, or else another one of the same file. NO_INDEX: it cannot be had. */
static u32 reach(u32 index)
{
	struct description *d = description_at(index);
	struct place place;
	u32 again;
	if (description_is_here(index) || d->path == NO_INDEX) {
		d->references++;
		return index;
	}
	if (place_find_path(string_at(d->path), FOLLOW, &place) || place_open(&place, d->flags, 0, &again))
		return NO_INDEX;
	description_at(again)->offset = d->offset;
	return again;
}

static bool install(u32 index, u64 at, bool close_on_exec)
{
	u32 mine = reach(index);
	s32 fd = mine == NO_INDEX ? -1 : (s32)descriptor_put(mine, close_on_exec, 0);
	if (fd < 0)
		return false;
	if (!GUEST_PUT(at, fd))
		return true;
	process_self()->descriptors[fd].description = NO_INDEX;
	description_release(mine);
	return false;
}

static void put_rights(const struct parcel *p, struct control *c)
{
	struct control_header header = {0, LEVEL_SOCKET, SCM_RIGHTS};
	u64 most = c->room < sizeof header ? 0 : (c->room - sizeof header) / sizeof(s32);
	u32 count = 0;
	while (count < p->count && count < most &&
	       install(p->descriptions[count], c->at + sizeof header + count * sizeof(s32), c->close_on_exec))
		count++;
	c->cut = count < p->count;
	if (!count)
		return;
	header.size = sizeof header + count * sizeof(s32);
	(void)GUEST_PUT(c->at, header);
	u64 space = min_u64(aligned(header.size), c->room);
	c->at += space;
	c->room -= space;
}

void parcel_deliver(u32 ring, struct control *room)
{
	u32 first = ring_at(ring)->parcels;
	struct parcel *p = block_at(first);
	put_rights(p, room);
	if (room->peek)
		return;
	ring_at(ring)->parcels = p->next;
	drop(first);
	parcels_sweep();
}
