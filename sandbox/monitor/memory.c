/*
 * The guest's address space. The monitor chooses every address, top-down below MAP_TOP, first fit, so that they are the
 * same in every run; the kernel only does what it is told, always at a fixed place. The areas of a process are kept
 * in address order. Memory is counted here, by what mappings could be written to (private ones when they become
 * writable, shared anonymous ones at once), so that ENOMEM comes at the same call in every run, whatever the host has
 * free.
 */
#include "files.h"

#define HINT_LIMIT ZVM_GUEST_END
#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)

/* Index of the first area that ends above `address`. */
static u32 area_index(const struct process *p, u64 address)
{
	u32 low = 0, high = p->area_count;
	while (low < high) {
		u32 middle = (low + high) / 2;
		if (p->areas[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct area *memory_find(const struct process *p, u64 address)
{
	u32 i = area_index(p, address);
	return i < p->area_count && p->areas[i].start <= address ? &p->areas[i] : NULL;
}

static bool range_free(const struct process *p, u64 start, u64 end)
{
	u32 i = area_index(p, start);
	return i == p->area_count || p->areas[i].start >= end;
}

bool memory_range_free(const struct process *p, u64 start, u64 end)
{
	return range_free(p, start, end);
}

bool memory_range_mapped(const struct process *p, u64 start, u64 end)
{
	for (u32 i = area_index(p, start); start < end; i++) {
		if (i == p->area_count || p->areas[i].start > start)
			return false;
		start = p->areas[i].end;
	}
	return true;
}

static u64 place_below(const struct process *p, u64 size, u64 top, u64 bottom)
{
	u64 end = top;
	for (u32 i = area_index(p, top - 1); end >= bottom + size;) {
		if (i < p->area_count && p->areas[i].start < end) {
			if (p->areas[i].end <= end - size)
				return end - size;
			end = p->areas[i].start;
		}
		if (i == 0)
			return end >= bottom + size ? end - size : 0;
		i--;
		if (end >= size && p->areas[i].end <= end - size)
			return end - size;
		end = min_u64(end, p->areas[i].start);
	}
	return 0;
}

u64 memory_place(u64 size)
{
	return place_below(memory_self(), size, MAP_TOP, MAP_BOTTOM);
}

static bool area_insert(struct process *p, u32 at, const struct area *area)
{
	if (p->area_count == AREAS_MAX)
		return false;
	memmove(&p->areas[at + 1], &p->areas[at], (p->area_count - at) * sizeof *area);
	p->areas[at] = *area;
	p->area_count++;
	return true;
}

static void area_delete(struct process *p, u32 at)
{
	p->area_count--;
	memmove(&p->areas[at], &p->areas[at + 1], (p->area_count - at) * sizeof p->areas[0]);
}

/* Makes `address` a border between areas, if one spans it. */
static bool area_split(struct process *p, u64 address)
{
	u32 i = area_index(p, address);
	if (i == p->area_count || p->areas[i].start >= address)
		return true;
	struct area upper = p->areas[i];
	upper.start = address;
	if (upper.inode || upper.flags & AREA_PRIVATE_FILE)
		upper.offset += address - p->areas[i].start;
	if (!area_insert(p, i + 1, &upper))
		return false;
	p->areas[i].end = address;
	return true;
}

static bool same_kind(const struct area *a, const struct area *b)
{
	bool file = a->inode || a->flags & AREA_PRIVATE_FILE;
	return a->end == b->start && a->protection == b->protection && a->flags == b->flags && a->inode == b->inode &&
	       a->name == b->name && a->node == b->node && a->content == b->content &&
	       (!file || a->offset + (a->end - a->start) == b->offset);
}

static void area_merge(struct process *p, u64 start, u64 end)
{
	u32 i = area_index(p, start ? start - 1 : 0);
	while (i + 1 < p->area_count && p->areas[i].start <= end) {
		if (same_kind(&p->areas[i], &p->areas[i + 1])) {
			p->areas[i].end = p->areas[i + 1].end;
			area_delete(p, i + 1);
		} else {
			i++;
		}
	}
}

static void charge_back(struct process *p, const struct area *area)
{
	if (!(area->flags & AREA_CHARGED))
		return;
	p->charged -= area->end - area->start;
	memory_uncharge(area->end - area->start);
}

/* Forgets [start, end); needs room for two splits. */
static int areas_remove(struct process *p, u64 start, u64 end)
{
	if (p->area_count + 2 > AREAS_MAX)
		return -ENOMEM;
	area_split(p, start);
	area_split(p, end);
	u32 first = area_index(p, start), last = first;
	for (; last < p->area_count && p->areas[last].start < end; last++)
		charge_back(p, &p->areas[last]);
	memmove(&p->areas[first], &p->areas[last], (p->area_count - last) * sizeof p->areas[0]);
	p->area_count -= last - first;
	return 0;
}

static int add_area(const struct area *area)
{
	struct process *p = memory_self();
	u64 start = area->start, end = area->end;
	if (!area_insert(p, area_index(p, start), area))
		return -ENOMEM;
	if (area->flags & AREA_CHARGED)
		p->charged += end - start;
	area_merge(p, start, end);
	return 0;
}

int memory_add(u64 start, u64 end, u32 protection, u32 flags, u64 offset, u64 inode, u32 name, u32 node)
{
	return add_area(&(struct area){start, end, protection, flags, offset, inode, name, node, 0});
}

/* All that is the guest's, also what no area tells of (trampolines), in steps as long as the wall lets one be. */
void memory_unmap(void)
{
	for (u64 at = 0; at < ZVM_GUEST_END; at += ZVM_MAP_LENGTH_MAX)
		native_unmap(at, min_u64(ZVM_MAP_LENGTH_MAX, ZVM_GUEST_END - at));
	jumps_clear();
}

void memory_forget(struct process *p)
{
	memory_uncharge(p->charged);
	p->charged = 0;
	p->area_count = 0;
}

/* The limits that the guest has set itself; the box's own is counted by memory_charge. */
bool memory_over_limit(struct process *p, u64 more, bool data)
{
	u64 all = process_self()->limits[RLIMIT_AS][0], of_data = process_self()->limits[RLIMIT_DATA][0];
	if (all != UINT64_MAX && (more > all || memory_mapped_bytes(p) > all - more))
		return true;
	return data && of_data != UINT64_MAX && (more > of_data || p->charged > of_data - more);
}

/*
 * Code is known where it comes from a file of the host, read-only all the time. What the guest has made, or could have
 * changed, was seen by nobody.
 */
static void remark_executable(const struct area *area, u32 protection)
{
	bool of_host = area->inode && !(area->flags & (AREA_PRIVATE_FILE | AREA_CHARGED));
	if ((protection & PROT_EXEC) && (!of_host || (protection & PROT_WRITE)))
		arena->remarks |= ZVM_REMARK_NOT_VETTED;
}

/* What becomes executable of a host's file is its prepared image, if there is one; -1: the file itself. */
static int image_of(u32 content, struct zvm_jumps *jumps)
{
	bool vetted = false;
	int image = content ? ask_image(content, &vetted, jumps) : -1;
	if (!vetted)
		arena->remarks |= ZVM_REMARK_NOT_VETTED;
	return image;
}

/* Room, addresses and rights have been checked by now: what is left is the host's own shortage, or its noexec. */
static int native_errno(s64 result)
{
	if (result == -ENOMEM || result == -EAGAIN || result == -EPERM)
		host_failed("the host has no memory to map, or does not let it be executed", result);
	return result < 0 ? (int)result : 0;
}

/* Pages of a private file, run by run; holes of a private mapping are just zeros. */
static int map_pages(u64 at, u64 size, u32 protection, bool shared, u32 node, u64 offset)
{
	u64 done = 0;
	while (done < size) {
		u32 run = 1;
		u32 page = files_page(node, offset + done, shared, &run);
		u64 step = min_u64((u64)run * PAGE_SIZE, size - done);
		s64 r;
		if (page == NO_INDEX && shared)
			return -ENOMEM;
		if (page == NO_INDEX)
			r = native_map(at + done, step = min_u64(step, size - done), (int)protection,
			               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		else
			r = native_map(at + done, step, (int)protection, shared ? MAP_SHARED : MAP_PRIVATE,
			               arena->arena_fd, page_offset(page));
		if (native_errno(r))
			return (int)r;
		done += step;
	}
	return 0;
}

/* Behind the end of a file touching a page raises SIGBUS, and so it does behind the end of the arena's. */
static int map_behind_end(u64 at, u64 size, u32 protection, bool shared)
{
	return native_errno(native_map(at, size, (int)protection, shared ? MAP_SHARED : MAP_PRIVATE, arena->arena_fd,
	                               page_up(arena->size)));
}

static int map_private_file(u64 at, u64 size, u32 protection, bool shared, u32 node, u64 offset)
{
	u64 end = page_up(files_mapped_size(node)), inside = offset < end ? min_u64(size, end - offset) : 0;
	int r = inside ? map_pages(at, inside, protection, shared, node, offset) : 0;
	return r || inside == size ? r : map_behind_end(at + inside, size - inside, protection, shared);
}

static u32 cut_seen; /* by this native process */

/* Follows a file's new end in the current process; others do when they have their turn, or touch it (memory_fault). */
void memory_file_resized(u32 node, u64 old_end, u64 new_end)
{
	const struct process *p = memory_self();
	u64 from = min_u64(old_end, new_end), to = old_end + new_end - from;
	if (new_end < old_end)
		cut_seen = ++arena->files_cut;
	for (u32 i = 0; i < p->area_count; i++) {
		const struct area *area = &p->areas[i];
		u64 area_end = area->offset + (area->end - area->start);
		if (!(area->flags & AREA_PRIVATE_FILE) || area->node != node || area->offset >= to || area_end <= from)
			continue;
		u64 low = area->offset > from ? area->offset : from, high = min_u64(area_end, to);
		u64 at = area->start + (low - area->offset);
		if (new_end > old_end) /* no memory for it: still SIGBUS, as under Linux */
			(void)map_pages(at, high - low, area->protection, area->flags & AREA_SHARED, node, low);
		else
			(void)map_behind_end(at, high - low, area->protection, area->flags & AREA_SHARED);
	}
}

void memory_follow(void)
{
	const struct process *p = memory_self();
	for (u32 i = 0; i < p->area_count && cut_seen != arena->files_cut; i++) {
		const struct area *area = &p->areas[i];
		u64 size = area->end - area->start;
		if (!(area->flags & AREA_PRIVATE_FILE))
			continue;
		u64 end = page_up(files_mapped_size(area->node)), inside = end > area->offset ? end - area->offset : 0;
		if (inside < size)
			(void)map_behind_end(area->start + inside, size - inside, area->protection,
			                     area->flags & AREA_SHARED);
	}
	cut_seen = arena->files_cut;
}

/* Another process has made the file longer. Twice at the same place without a call in between it is something else. */
bool memory_fault(u64 address)
{
	static u64 last_address, last_calls;
	const struct area *area = memory_find(memory_self(), address);
	if (!area)
		return stack_grow(address);
	if (!(area->flags & AREA_PRIVATE_FILE) || (address == last_address && arena->calls == last_calls))
		return false;
	u64 page = page_down(address), offset = area->offset + (page - area->start);
	if (offset >= page_up(files_mapped_size(area->node)))
		return false;
	last_address = address;
	last_calls = arena->calls;
	return !map_pages(page, PAGE_SIZE, area->protection, area->flags & AREA_SHARED, area->node, offset);
}

struct map_request {
	u64 size, offset;
	u32 protection;
	bool shared, anonymous;
	int image; /* of the prepared image; -1: none */
	struct zvm_jumps jumps;
	struct mapping file;
};

static int map_check_file(struct map_request *m, u64 fd)
{
	int r = files_mapping((int)(s32)fd, &m->file);
	if (r)
		return r;
	if (!m->file.readable)
		return -EACCES;
	m->anonymous = m->file.zeros;
	if (!m->shared || !(m->protection & PROT_WRITE))
		return 0;
	return !m->file.writable ? -EACCES : m->file.sealed ? -EPERM : 0;
}

/*
 * Shared anonymous memory is a nameless file of the arena, all of its pages taken at once. The wall knows no other:
 * what the kernel itself shares anonymously, none of its limits counts.
 */
static int map_make_shared(struct map_request *m)
{
	u32 run, node = m->size <= arena->memory_limit ? node_new(S_IFREG | 0600, 1000) : NO_INDEX;
	if (node == NO_INDEX)
		return -ENOMEM;
	for (u64 at = 0; at < m->size; at += PAGE_SIZE)
		if (files_page(node, at, true, &run) == NO_INDEX) {
			node_release(node);
			return -ENOMEM;
		}
	node_at(node)->size = m->size;
	m->file.private_node = node;
	return 0;
}

/* Trampolines follow the file's bytes, but behind its end a guest finds what is behind the end of any file. */
static int map_image(u64 at, u64 size, u32 protection, u64 offset, int image, const struct zvm_jumps *jumps)
{
	u64 inside = jumps->size && offset < jumps->offset ? min_u64(size, jumps->offset - offset)
	             : jumps->size                         ? 0
	                                                   : size;
	int r = inside ? native_errno(
	                         native_map(at, inside, (int)protection, MAP_PRIVATE | MAP_NORESERVE, image, offset))
	               : 0;
	return r || inside == size ? r : map_behind_end(at + inside, size - inside, protection, false);
}

static int map_native(u64 at, const struct map_request *m)
{
	if (m->anonymous && !m->shared)
		return native_errno(native_map(at, m->size, (int)m->protection,
		                               MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1, 0));
	if (m->file.private_node != NO_INDEX)
		return map_private_file(at, m->size, m->protection, m->shared, m->file.private_node, m->offset);
	if (m->image >= 0)
		return map_image(at, m->size, m->protection, m->offset, m->image, &m->jumps);
	return native_errno(
	        native_map(at, m->size, (int)m->protection, MAP_PRIVATE | MAP_NORESERVE, m->file.native_fd, m->offset));
}

static u32 map_area_flags(const struct map_request *m)
{
	u32 flags = m->shared ? AREA_SHARED : 0;
	if ((m->anonymous && m->shared) || m->file.private_node != NO_INDEX)
		flags |= AREA_PRIVATE_FILE;
	if (m->image >= 0)
		flags |= AREA_PREPARED;
	if (m->shared && !m->anonymous && (!m->file.writable || m->file.sealed))
		flags |= AREA_READ_ONLY;
	if (!m->shared && (m->protection & PROT_WRITE))
		flags |= AREA_CHARGED;
	return flags;
}

/* Where: fixed, or the hint if that is free, or the next place from the top. 0: none. */
static u64 map_address(const struct process *p, u64 hint, u64 size, u64 flags)
{
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		return hint;
	if (flags & 0x40 /* MAP_32BIT */)
		return place_below(p, size, 0x80000000ull, 0x40000000ull);
	hint = page_down(hint);
	if (hint >= MAP_BOTTOM && hint < HINT_LIMIT && size <= HINT_LIMIT - hint && range_free(p, hint, hint + size))
		return hint;
	return place_below(p, size, MAP_TOP, MAP_BOTTOM);
}

static int map_area(struct map_request *m, u64 at)
{
	bool nameless = m->anonymous && m->shared;
	struct area area = {.start = at,
	                    .end = at + m->size,
	                    .protection = m->protection,
	                    .flags = map_area_flags(m),
	                    .offset = m->anonymous ? 0 : m->offset,
	                    .inode = m->anonymous ? 0 : m->file.inode,
	                    .name = m->file.name,
	                    .content = m->file.content};
	jumps_give_way(at, area.end);
	/* What is replaced is given back first, as the kernel does: remapping in place at the limit must not fail. */
	areas_remove(memory_self(), at, area.end);
	if ((area.flags & AREA_CHARGED) && memory_charge(m->size)) {
		native_unmap(at, m->size);
		return -ENOMEM;
	}
	int r = nameless ? map_make_shared(m) : 0;
	r = r ? r : map_native(at, m);
	if (r) {
		if (area.flags & AREA_CHARGED)
			memory_uncharge(m->size);
		native_unmap(at, m->size);
	} else {
		area.node = m->file.private_node;
		remark_executable(&area, m->protection);
		r = add_area(&area);
		if (r == 0 && m->image >= 0)
			r = native_errno(jumps_map(at, m->offset, &m->jumps, m->image, area.content));
	}
	if (nameless && m->file.private_node != NO_INDEX)
		node_release(m->file.private_node); /* it stays while it is mapped */
	return r;
}

s64 call_mmap(const u64 *a)
{
	struct process *p = memory_self();
	struct map_request m = {.offset = a[5],
	                        .protection = (u32)a[2] & PROT_ALL,
	                        .anonymous = a[3] & MAP_ANONYMOUS,
	                        .image = -1,
	                        .file.private_node = NO_INDEX,
	                        .file.name = NO_INDEX};
	u64 type = a[3] & MAP_TYPE, flags = a[3];
	if (!a[1] || a[5] % PAGE_SIZE || (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (flags & MAP_HUGETLB)
		return -ENOMEM;
	if (a[1] > ZVM_MAP_LENGTH_MAX - PAGE_SIZE)
		return -ENOMEM;
	m.size = page_up(a[1]);
	m.shared = type != MAP_PRIVATE;
	int r = m.anonymous ? 0 : map_check_file(&m, a[4]);
	if (r)
		return r;
	if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) && a[0] % PAGE_SIZE)
		return -EINVAL;
	u64 at = map_address(p, a[0], m.size, flags);
	if (!at && !(flags & MAP_FIXED))
		return -ENOMEM;
	if (at < MAP_BOTTOM)
		return -EPERM;
	if (!guest_range(at, m.size))
		return -ENOMEM;
	if ((flags & MAP_FIXED_NOREPLACE) && !range_free(p, at, at + m.size))
		return -EEXIST;
	if (p->area_count + 3 > AREAS_MAX)
		return -ENOMEM;
	if ((m.protection & PROT_EXEC) && !m.anonymous && m.file.private_node == NO_INDEX)
		m.image = image_of(m.file.content, &m.jumps);
	r = memory_over_limit(p, m.size, (map_area_flags(&m) & AREA_CHARGED) && !m.shared) ? -ENOMEM : map_area(&m, at);
	if (m.image >= 0)
		native_close(m.image);
	return r ? r : (s64)at;
}

bool memory_range_valid(u64 start, u64 size)
{
	return start % PAGE_SIZE == 0 && guest_range(start, size) && size <= ZVM_MAP_LENGTH_MAX;
}

s64 call_munmap(const u64 *a)
{
	if (!a[1] || a[1] > ZVM_MAP_LENGTH_MAX)
		return -EINVAL;
	u64 size = page_up(a[1]);
	if (!memory_range_valid(a[0], size))
		return -EINVAL;
	jumps_give_way(a[0], a[0] + size);
	int r = areas_remove(memory_self(), a[0], a[0] + size);
	return r ? r : native_errno(native_unmap(a[0], size));
}

static bool may_be_written(const struct process *p, u64 start, u64 end)
{
	for (u32 i = area_index(p, start); i < p->area_count && p->areas[i].start < end; i++)
		if (p->areas[i].flags & AREA_READ_ONLY)
			return false;
	return true;
}

static int charge_writable(struct process *p, u64 start, u64 end)
{
	u64 more = 0;
	u32 first = area_index(p, start);
	for (u32 i = first; i < p->area_count && p->areas[i].start < end; i++)
		if (!(p->areas[i].flags & (AREA_CHARGED | AREA_SHARED)))
			more += p->areas[i].end - p->areas[i].start;
	if (memory_charge(more))
		return -ENOMEM;
	p->charged += more;
	for (u32 i = first; i < p->area_count && p->areas[i].start < end; i++)
		if (!(p->areas[i].flags & AREA_SHARED))
			p->areas[i].flags |= AREA_CHARGED;
	return 0;
}

/*
 * A part of a host's file that was mapped to be read becomes executable: from now on it is the prepared image. What was
 * writable stays as it is (the guest's changes are in it), and is remarked.
 */
static int prepare_area(struct area *area, u32 protection)
{
	if (!area->content || !area->inode || area->flags & (AREA_PREPARED | AREA_CHARGED | AREA_PRIVATE_FILE))
		return 0;
	struct zvm_jumps jumps = {0};
	int image = image_of(area->content, &jumps);
	if (image < 0)
		return 0;
	area->flags |= AREA_PREPARED;
	area->protection = protection;
	int r = map_image(area->start, area->end - area->start, protection, area->offset, image, &jumps);
	r = r ? r : native_errno(jumps_map(area->start, area->offset, &jumps, image, area->content));
	native_close(image);
	return r;
}

s64 call_mprotect(const u64 *a)
{
	struct process *p = memory_self();
	if (a[0] % PAGE_SIZE || (a[2] & ~(u64)(PROT_ALL | PROT_GROWSDOWN | PROT_GROWSUP)))
		return -EINVAL;
	if (!a[1])
		return 0;
	u64 size = page_up(a[1]), end = a[0] + size;
	u32 protection = (u32)a[2] & PROT_ALL;
	if (!memory_range_valid(a[0], size) || !memory_range_mapped(p, a[0], end) || p->area_count + 2 > AREAS_MAX)
		return -ENOMEM;
	if ((protection & PROT_WRITE) && !may_be_written(p, a[0], end))
		return -EACCES;
	area_split(p, a[0]);
	area_split(p, end);
	if ((protection & PROT_WRITE) && charge_writable(p, a[0], end))
		return -ENOMEM;
	int r = 0;
	for (u32 i = area_index(p, a[0]); i < p->area_count && p->areas[i].start < end && r == 0; i++)
		if ((protection & PROT_EXEC) && !(p->areas[i].protection & PROT_EXEC))
			r = prepare_area(&p->areas[i], protection);
	r = r ? r : native_errno(native_protect(a[0], size, (int)protection));
	if (r)
		return r;
	for (u32 i = area_index(p, a[0]); i < p->area_count && p->areas[i].start < end; i++) {
		remark_executable(&p->areas[i], protection);
		p->areas[i].protection = protection;
	}
	area_merge(p, a[0], end);
	return 0;
}

s64 call_brk(const u64 *a)
{
	struct process *p = memory_self();
	u64 want = a[0];
	if (want < p->break_start || want > p->break_start + (64ull << 30))
		return (s64)p->break_end;
	u64 old = page_up(p->break_end), new = page_up(want);
	if (new < old) {
		if (areas_remove(p, new, old))
			return (s64)p->break_end;
		native_unmap(new, old - new);
	} else if (new > old) {
		if (!range_free(p, old, new + PAGE_SIZE) || p->area_count + 1 > AREAS_MAX ||
		    memory_over_limit(p, new - old, true) || memory_charge(new - old))
			return (s64)p->break_end;
		jumps_give_way(old, new);
		if (native_errno(native_map(old, new - old, PROT_READ | PROT_WRITE,
		                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
			memory_uncharge(new - old);
			return (s64)p->break_end;
		}
		memory_add(old, new, PROT_READ | PROT_WRITE, AREA_HEAP | AREA_CHARGED, 0, 0, NO_INDEX, NO_INDEX);
	}
	p->break_end = want;
	return (s64)want;
}

/* Of a file there is more to be seen; of its image that is text with its jumps, whatever became of those before it. */
static int prepare_more(const struct area *area, u64 old_size)
{
	struct zvm_jumps jumps = {0};
	int image = image_of(area->content, &jumps);
	if (image < 0)
		return 0;
	int r = map_image(area->start + old_size, area->end - area->start - old_size, area->protection,
	                  area->offset + old_size, image, &jumps);
	r = r ? r : native_errno(jumps_map(area->start, area->offset, &jumps, image, area->content));
	native_close(image);
	return r;
}

/* Grows or moves [old, old + old_size) to new_size at `at`; both page-aligned, target free. */
static int move_area(struct process *p, u64 old, u64 old_size, u64 new_size, u64 at)
{
	struct area area = *memory_find(p, old);
	u64 offset = area.inode || area.flags & AREA_PRIVATE_FILE ? area.offset + (old - area.start) : 0;
	u64 more = new_size > old_size && (area.flags & AREA_CHARGED) ? new_size - old_size : 0;
	bool more_text = new_size > old_size && (area.flags & AREA_PREPARED);
	int r = 0;
	if (more_text && !area.content) /* the running program's own: it cannot be asked for again */
		return -ENOMEM;
	if (memory_over_limit(p, new_size > old_size ? new_size - old_size : 0, more) || memory_charge(more))
		return -ENOMEM;
	if (area.flags & AREA_PREPARED)
		jumps_text_moves(area.start - area.offset);
	jumps_give_way(at, at + new_size);
	if (area.flags & AREA_PRIVATE_FILE) {
		/* The arena behind the old pages does not go on with the file: map the file's own pages anew. */
		r = map_private_file(at, new_size, area.protection, area.flags & AREA_SHARED, area.node, offset);
		if (!r && at != old)
			native_unmap(old, old_size);
	} else {
		r = native_errno(native_call(__NR_mremap, old, old_size, new_size,
		                             at == old ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED, at == old ? 0 : at, 0));
	}
	if (r) {
		memory_uncharge(more);
		return r;
	}
	/* The new area is charged as a whole below and the old one's charge is given back with it. */
	memory_uncharge(more);
	areas_remove(p, old, old + old_size);
	if (area.flags & AREA_CHARGED)
		memory_charge(new_size);
	area.start = at;
	area.end = at + new_size;
	area.offset = offset;
	add_area(&area);
	return more_text ? prepare_more(&area, old_size) : 0;
}

/* Room at a place of the guest's choice, taken from whatever is there. */
static int clear_place(struct process *p, u64 at, u64 size, u64 old, u64 old_size)
{
	if (at % PAGE_SIZE || at < MAP_BOTTOM || !guest_range(at, size) || (at < old + old_size && old < at + size))
		return -EINVAL;
	jumps_give_way(at, at + size);
	int r = areas_remove(p, at, at + size);
	return r ? r : native_errno(native_unmap(at, size));
}

static void shrink(struct process *p, u64 old, u64 old_size, u64 new_size)
{
	if (new_size >= old_size)
		return;
	areas_remove(p, old + new_size, old + old_size);
	native_unmap(old + new_size, old_size - new_size);
}

/* No old length: the same shared memory at another place, too. */
static s64 map_twice(struct process *p, u64 old, u64 size, u64 flags, u64 at)
{
	struct area area = *memory_find(p, old);
	u64 offset = area.offset + (area.flags & AREA_PRIVATE_FILE ? old - area.start : 0);
	if (!(flags & MREMAP_MAYMOVE) || !(area.flags & AREA_SHARED) || area.inode)
		return -EINVAL;
	int r = flags & MREMAP_FIXED ? clear_place(p, at, size, old, 0) : 0;
	if (r)
		return r;
	at = flags & MREMAP_FIXED ? at : memory_place(size);
	if (!at || ((area.flags & AREA_CHARGED) && memory_charge(size)))
		return -ENOMEM;
	jumps_give_way(at, at + size);
	if (area.flags & AREA_PRIVATE_FILE)
		r = map_private_file(at, size, area.protection, true, area.node, offset);
	else
		r = native_errno(native_call(__NR_mremap, old, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at, 0));
	if (r) {
		memory_uncharge(area.flags & AREA_CHARGED ? size : 0);
		return r;
	}
	memory_add(at, at + size, area.protection, area.flags, offset, area.inode, area.name, area.node);
	return (s64)at;
}

/* MREMAP_DONTUNMAP: zeros stay where the memory was. The wall has no such flag, so they are mapped anew. */
static s64 move_and_keep(struct process *p, u64 old, u64 size, u64 at)
{
	struct area area = *memory_find(p, old);
	u64 more = area.flags & AREA_CHARGED ? size : 0;
	if (area.inode || area.flags & (AREA_SHARED | AREA_PRIVATE_FILE))
		return -EINVAL;
	if (!at || memory_charge(more))
		return -ENOMEM;
	int r = move_area(p, old, size, size, at);
	r = r ? r
	      : native_errno(native_map(old, size, (int)area.protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	                                -1, 0));
	if (r) {
		memory_uncharge(more);
		return r;
	}
	memory_add(old, old + size, area.protection, area.flags, 0, 0, NO_INDEX, NO_INDEX);
	return (s64)at;
}

static bool remap_flags_valid(u64 flags, u64 old_size, u64 new_size)
{
	if (flags & ~(u64)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return false;
	if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
		return false;
	return !(flags & MREMAP_DONTUNMAP) || old_size == new_size;
}

static s64 remap_fixed(struct process *p, u64 old, u64 old_size, u64 new_size, u64 at)
{
	int r = clear_place(p, at, new_size, old, old_size);
	r = r ? r : move_area(p, old, min_u64(old_size, new_size), new_size, at);
	if (r)
		return r;
	shrink(p, old, old_size, new_size);
	return (s64)at;
}

s64 call_mremap(const u64 *a)
{
	struct process *p = memory_self();
	u64 old = a[0], flags = a[3];
	if (old % PAGE_SIZE || !remap_flags_valid(flags, a[1], a[2]) || !a[2])
		return -EINVAL;
	if (a[2] > ZVM_MAP_LENGTH_MAX - PAGE_SIZE || a[1] > ZVM_MAP_LENGTH_MAX - PAGE_SIZE)
		return flags & MREMAP_FIXED ? -EINVAL : -ENOMEM;
	u64 old_size = page_up(a[1]), new_size = page_up(a[2]);
	if (!guest_range(old, old_size))
		return -EFAULT;
	const struct area *area = memory_find(p, old);
	if (!area || area->end < old + old_size)
		return -EFAULT;
	if (p->area_count + 4 > AREAS_MAX)
		return -ENOMEM;
	if (!old_size)
		return map_twice(p, old, new_size, flags, a[4]);
	if (flags & MREMAP_DONTUNMAP) {
		int r = flags & MREMAP_FIXED ? clear_place(p, a[4], new_size, old, old_size) : 0;
		return r ? r : move_and_keep(p, old, new_size, flags & MREMAP_FIXED ? a[4] : memory_place(new_size));
	}
	if (flags & MREMAP_FIXED)
		return remap_fixed(p, old, old_size, new_size, a[4]);
	if (new_size <= old_size) {
		shrink(p, old, old_size, new_size);
		return (s64)old;
	}
	if (guest_range(old, new_size) && range_free(p, old + old_size, old + new_size)) {
		int r = move_area(p, old, old_size, new_size, old);
		if (r != -EFAULT)
			return r ? r : (s64)old;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	u64 at = memory_place(new_size);
	int r = at ? move_area(p, old, old_size, new_size, at) : -ENOMEM;
	return r ? r : (s64)at;
}
