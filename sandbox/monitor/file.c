/*
 * Descriptors and descriptions: the tables, and what shares, copies and closes their entries. Opening is in open.c,
 * moving bytes in bytes.c, fcntl and ioctl in control.c.
 */
#include "files.h"

/* --- tables --- */

struct description *description_at(u32 index)
{
	return &files()->descriptions[index];
}

u32 description_new(u32 kind, u32 flags)
{
	for (u32 i = 0; i < DESCRIPTIONS_MAX; i++) {
		struct description *d = description_at(i);
		if (i < files()->description_count && d->kind != KIND_FREE)
			continue;
		if (i >= files()->description_count)
			files()->description_count = i + 1;
		*d = (struct description){.kind = kind,
		                          .references = 1,
		                          .flags = flags,
		                          .native_fd = -1,
		                          .node = NO_INDEX,
		                          .path = NO_INDEX,
		                          .page = NO_INDEX,
		                          .ring_in = NO_INDEX,
		                          .ring_out = NO_INDEX,
		                          .mtime = (s64)(EPOCH_NS / 1000000000ull),
		                          .inode = 16 + i,
		                          .serial = ++files()->serial};
		return i;
	}
	return NO_INDEX;
}

/* A native descriptor of its own: the run's streams have theirs for good. */
static bool has_native(const struct description *d)
{
	return d->native_fd >= 0 && d->native_fd != arena->input_fd && d->kind != KIND_OUTPUT;
}

static bool held_by_host(u32 description, u32 host)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		const struct process *p = &arena->processes[arena->tasks[i].process];
		if (!task_lives(i) || arena->tasks[i].host != host)
			continue;
		for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
			if (p->descriptors[fd].description == description)
				return true;
	}
	return false;
}

/*
 * Other processes have it open, each with a native descriptor of the same number. This one's is closed with the last
 * of the descriptors here: nobody else would ever do it.
 */
static void leave_to_others(u32 index, u32 host)
{
	if (has_native(description_at(index)) && !held_by_host(index, host))
		native_close(description_at(index)->native_fd);
}

bool description_is_here(u32 index)
{
	return !has_native(description_at(index)) || held_by_host(index, task_self()->host);
}

void description_release(u32 index)
{
	struct description *d = description_at(index);
	if (--d->references)
		return;
	if (d->socket)
		socket_close(d);
	epoll_forget(index);
	locks_drop_description(index);
	if (d->kind == KIND_EPOLL)
		epoll_free(d);
	if (has_native(d))
		native_close(d->native_fd);
	if (d->page != NO_INDEX)
		pages_give(d->page, d->page_count);
	if (d->ring_in != NO_INDEX)
		ring_reader_gone(d->ring_in);
	if (d->ring_out != NO_INDEX)
		ring_writer_gone(d->ring_out);
	if (d->node != NO_INDEX) {
		node_at(d->node)->references--;
		node_release(d->node);
	}
	bool output = d->kind == KIND_OUTPUT;
	d->kind = KIND_FREE;
	d->serial = 0;
	parcels_sweep();
	if (output)
		run_over_if_unheard();
}

struct description *descriptor_get(u64 fd, u32 *index)
{
	struct process *p = process_self();
	if ((u32)fd >= DESCRIPTORS_MAX || p->descriptors[(u32)fd].description == NO_INDEX)
		return NULL;
	if (index)
		*index = p->descriptors[(u32)fd].description;
	return description_at(p->descriptors[(u32)fd].description);
}

struct description *descriptor_open(u64 fd)
{
	struct description *d = descriptor_get(fd, NULL);
	return d && d->kind != KIND_PATH ? d : NULL;
}

bool descriptor_room(void)
{
	const struct process *p = process_self();
	u64 most = min_u64(p->limits[RLIMIT_NOFILE][0], DESCRIPTORS_MAX);
	for (u32 fd = 0; fd < most; fd++)
		if (p->descriptors[fd].description == NO_INDEX)
			return true;
	return false;
}

s64 descriptor_put(u32 description, bool close_on_exec, u32 lowest)
{
	struct process *p = process_self();
	u64 most = min_u64(p->limits[RLIMIT_NOFILE][0], DESCRIPTORS_MAX);
	for (u32 fd = lowest; fd < most; fd++)
		if (p->descriptors[fd].description == NO_INDEX) {
			p->descriptors[fd] = (struct descriptor){description, close_on_exec};
			return fd;
		}
	description_release(description);
	return -EMFILE;
}

static s64 close_of(struct process *p, u32 fd)
{
	if (fd >= DESCRIPTORS_MAX || p->descriptors[fd].description == NO_INDEX)
		return -EBADF;
	u32 description = p->descriptors[fd].description;
	p->descriptors[fd].description = NO_INDEX;
	locks_drop_process(description, p->pid);
	bool held = description_at(description)->references > 1;
	if (held)
		leave_to_others(description, task_self()->host);
	description_release(description);
	if (held && description_at(description)->kind == KIND_SOCKET)
		sockets_collect();
	return 0;
}

static s64 close_fd(u32 fd)
{
	return close_of(process_self(), fd);
}

/* --- a caller's buffer --- */

static bool is_own(u64 address)
{
	return address >= ZVM_MONITOR_BASE;
}

int put_bytes(u64 to, const void *from, size_t n)
{
	if (!is_own(to))
		return guest_write(to, from, n);
	memcpy((void *)to, from, n);
	return 0;
}

int put_zeros(u64 to, size_t n)
{
	if (!is_own(to))
		return guest_zero(to, n);
	memset((void *)to, 0, n);
	return 0;
}

int get_bytes(void *to, u64 from, size_t n)
{
	if (!is_own(from))
		return guest_read(to, from, n);
	memcpy(to, (const void *)from, n);
	return 0;
}

/* --- strings kept for the life of the run: names of mappings and paths of open files --- */

struct kept {
	u32 next, hash;
	char text[];
};

u32 string_keep(const char *s)
{
	u32 hash = 5381;
	for (const char *c = s; *c; c++)
		hash = hash * 33 + (u8)*c;
	u32 *bucket = &files()->string_buckets[hash % ARRAY_LENGTH(files()->string_buckets)];
	for (u32 block = *bucket; block; block = ((struct kept *)block_at(block))->next) {
		struct kept *k = block_at(block);
		if (k->hash == hash && !strcmp(k->text, s))
			return block;
	}
	u32 block = block_take(sizeof(struct kept) + strlen(s) + 1);
	if (!block)
		return NO_INDEX;
	struct kept *k = block_at(block);
	k->next = *bucket;
	k->hash = hash;
	memcpy(k->text, s, strlen(s) + 1);
	*bucket = block;
	return block;
}

const char *string_at(u32 string)
{
	return string == NO_INDEX ? "" : ((struct kept *)block_at(string))->text;
}

/* --- a run's first descriptors, fork, exec, exit --- */

static u32 standard_stream(u32 kind, u32 flags, u64 inode)
{
	u32 index = description_new(kind, flags);
	struct description *d = description_at(index);
	d->mode = S_IFIFO | 0600;
	d->inode = inode;
	return index;
}

void files_start(void)
{
	struct process *p = &arena->processes[0];
	node_tree_start();
	p->descriptors[0].description = standard_stream(KIND_INPUT, O_RDONLY, 2);
	p->descriptors[1].description = standard_stream(KIND_OUTPUT, O_WRONLY, 3);
	p->descriptors[2].description = standard_stream(KIND_OUTPUT, O_WRONLY, 4);
	description_at(p->descriptors[2].description)->device = 1;
}

void files_connect(void)
{
	const struct process *p = &arena->processes[0];
	description_at(p->descriptors[0].description)->native_fd = arena->input_fd;
	description_at(p->descriptors[1].description)->native_fd = arena->output_fd[0];
	description_at(p->descriptors[2].description)->native_fd = arena->output_fd[1];
}

int files_fork(struct process *parent, struct process *child)
{
	(void)parent;
	for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
		if (child->descriptors[fd].description != NO_INDEX)
			description_at(child->descriptors[fd].description)->references++;
	return 0;
}

void files_moved(const struct process *p, u32 host)
{
	for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
		if (p->descriptors[fd].description != NO_INDEX)
			leave_to_others(p->descriptors[fd].description, host);
}

void files_exec(struct process *p)
{
	for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
		if (p->descriptors[fd].description != NO_INDEX && p->descriptors[fd].close_on_exec)
			close_of(p, fd);
}

void files_exit(struct process *p)
{
	for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
		close_of(p, fd);
}

bool files_hold_output(const struct process *p)
{
	for (u32 fd = 0; fd < DESCRIPTORS_MAX; fd++)
		if (p->descriptors[fd].description != NO_INDEX &&
		    description_at(p->descriptors[fd].description)->kind == KIND_OUTPUT)
			return true;
	return false;
}

/* --- the table's own calls --- */

s64 call_close(const u64 *a)
{
	return close_fd((u32)a[0]);
}

s64 call_dup(const u64 *a)
{
	u32 index;
	struct description *d = descriptor_get(a[0], &index);
	if (!d)
		return -EBADF;
	d->references++;
	return descriptor_put(index, false, 0);
}

static s64 dup_to(u64 from, u64 to, bool close_on_exec)
{
	u32 index;
	struct description *d = descriptor_get(from, &index);
	if (!d || to >= process_self()->limits[RLIMIT_NOFILE][0] || to >= DESCRIPTORS_MAX)
		return -EBADF;
	d->references++;
	close_fd((u32)to);
	process_self()->descriptors[to] = (struct descriptor){index, close_on_exec};
	return (s64)to;
}

s64 call_dup2(const u64 *a)
{
	if ((u32)a[0] == (u32)a[1])
		return descriptor_get(a[0], NULL) ? (s64)(u32)a[0] : -EBADF;
	return dup_to((u32)a[0], (u32)a[1], false);
}

s64 call_dup3(const u64 *a)
{
	if ((u32)a[0] == (u32)a[1] || (a[2] & ~(u64)O_CLOEXEC))
		return -EINVAL;
	return dup_to((u32)a[0], (u32)a[1], a[2] & O_CLOEXEC);
}

s64 call_close_range(const u64 *a)
{
	struct process *p = process_self();
	if ((u32)a[0] > (u32)a[1] || (a[2] & ~6ull))
		return -EINVAL;
	for (u64 fd = (u32)a[0]; fd <= min_u64((u32)a[1], DESCRIPTORS_MAX - 1); fd++) {
		if (p->descriptors[fd].description == NO_INDEX)
			continue;
		if (a[2] & 4)
			p->descriptors[fd].close_on_exec = true;
		else
			close_fd((u32)fd);
	}
	return 0;
}
