/*
 * Nodes: the files, directories, links and devices that live in the arena. A node stays while it has a name or an open
 * description. Numbers are given in order of creation, and become inode numbers.
 */
#include "files.h"

#define NODES_PER_PAGE (PAGE_SIZE / sizeof(struct node))
const u32 ROOT_NODE = 0;

_Static_assert(sizeof(struct files_state) <= sizeof(((arena_layout *)0)->files), "the tables fit");

struct node *node_at(u32 node)
{
	return (struct node *)page_at(files()->node_chunks[node / NODES_PER_PAGE]) + node % NODES_PER_PAGE;
}

u32 node_new(u32 mode, u32 owner)
{
	struct files_state *f = files();
	nodes_sweep();
	u32 index = f->node_free;
	if (index != NO_INDEX) {
		f->node_free = node_at(index)->first;
	} else {
		index = f->node_count;
		if (index / NODES_PER_PAGE >= NODE_CHUNKS_MAX)
			return NO_INDEX;
		if (index % NODES_PER_PAGE == 0) {
			u32 page = pages_take(1);
			if (page == NO_INDEX)
				return NO_INDEX;
			f->node_chunks[index / NODES_PER_PAGE] = page;
		}
		f->node_count++;
	}
	u64 now = clock_peek();
	*node_at(index) = (struct node){.mode = mode,
	                                .owner = owner,
	                                .parent = NO_INDEX,
	                                .changed = now,
	                                .modified = now,
	                                .accessed = now,
	                                .root = NO_INDEX,
	                                .next_orphan = NO_INDEX,
	                                .ring = NO_INDEX,
	                                .seals = 1 /* F_SEAL_SEAL */};
	return index;
}

bool node_mapped(u32 index, u32 area_flags, u32 protection)
{
	for (u32 i = 0; i < arena->process_count; i++) {
		const struct process *p = &arena->processes[i];
		for (u32 k = 0; k < p->area_count; k++) {
			const struct area *area = &p->areas[k];
			if ((area->flags & AREA_PRIVATE_FILE) && area->node == index &&
			    (area->flags & area_flags) == area_flags && (area->protection & protection) == protection)
				return true;
		}
	}
	return false;
}

static void node_free(u32 index)
{
	struct node *node = node_at(index);
	u32 type = node->mode & S_IFMT, parent = node->parent;
	if (type == S_IFREG)
		data_free(index);
	else if (type == S_IFLNK && node->root != NO_INDEX)
		block_give(node->root, node->size + 1);
	else if (type == S_IFDIR && node->bucket_count)
		block_give(node->buckets, node->bucket_count * sizeof(u32));
	node->mode = 0;
	node->first = files()->node_free;
	files()->node_free = index;
	if (type == S_IFDIR && parent != NO_INDEX) {
		node_at(parent)->references--;
		node_release(parent);
	}
}

/* Nobody tells us of unmapping, so a mapped file without name or descriptor is left to nodes_sweep. */
void node_release(u32 index)
{
	struct node *node = node_at(index);
	if (node->links || node->references || !node->mode || node->orphan)
		return;
	if (node->levels && node_mapped(index, 0, 0)) {
		node->orphan = true;
		node->next_orphan = files()->orphans;
		files()->orphans = index;
	} else {
		node_free(index);
	}
}

void nodes_sweep(void)
{
	u32 *at = &files()->orphans;
	while (*at != NO_INDEX) {
		u32 index = *at;
		struct node *node = node_at(index);
		if (node_mapped(index, 0, 0)) {
			at = &node->next_orphan;
			continue;
		}
		*at = node->next_orphan;
		node->orphan = false;
		node_free(index);
	}
}

bool node_may(const struct node *node, u32 wanted)
{
	u32 bits = node->owner == 1000 ? node->mode >> 6 & 7 : node->mode & 7;
	return (bits & wanted) == wanted;
}

/* --- directories: a chain in order of creation, and a hash table over it --- */

struct entry *entry_at(u32 block)
{
	return block_at(block);
}

static u32 hash_name(const char *name, size_t length)
{
	u32 hash = 2166136261u;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (u8)name[i]) * 16777619u;
	return hash ^ hash >> 15;
}

static u32 *buckets(const struct node *directory)
{
	return block_at(directory->buckets);
}

static u32 find_entry(const struct node *directory, const char *name, size_t length)
{
	u32 hash = hash_name(name, length);
	if (!directory->bucket_count)
		return 0;
	for (u32 block = buckets(directory)[hash % directory->bucket_count]; block;
	     block = entry_at(block)->next_in_bucket) {
		const struct entry *e = entry_at(block);
		if (e->hash == hash && e->length == length && !memcmp(e->name, name, length))
			return block;
	}
	return 0;
}

u32 directory_find(u32 directory, const char *name, size_t length)
{
	u32 block = find_entry(node_at(directory), name, length);
	return block ? entry_at(block)->node : NO_INDEX;
}

static bool grow_buckets(struct node *directory)
{
	u32 count = directory->bucket_count ? directory->bucket_count * 4 : 8;
	u32 table = block_take(count * sizeof(u32));
	if (!table)
		return false;
	if (directory->bucket_count)
		block_give(directory->buckets, directory->bucket_count * sizeof(u32));
	directory->buckets = table;
	directory->bucket_count = count;
	for (u32 block = directory->first; block; block = entry_at(block)->next) {
		u32 *bucket = &buckets(directory)[entry_at(block)->hash % count];
		entry_at(block)->next_in_bucket = *bucket;
		*bucket = block;
	}
	return true;
}

/* The entry names `node` from now on. */
static void entry_names(u32 index, u32 block, u32 node)
{
	struct node *directory = node_at(index), *child = node_at(node);
	entry_at(block)->node = node;
	directory->modified = directory->changed = child->changed = clock_peek();
	child->links++;
	child->never_named = false;
	if ((child->mode & S_IFMT) == S_IFDIR) {
		if (child->parent != NO_INDEX) /* moved: there, at least its old name still holds it */
			node_at(child->parent)->references--;
		directory->references++;
		directory->links++;
	}
	child->parent = index;
	child->name_entry = block;
}

static void entry_forgets(u32 index, u32 block)
{
	struct node *directory = node_at(index), *child = node_at(entry_at(block)->node);
	directory->modified = directory->changed = child->changed = clock_peek();
	child->links--;
	if (child->name_entry == block)
		child->name_entry = 0;
	if ((child->mode & S_IFMT) == S_IFDIR)
		directory->links--;
}

int directory_add(u32 index, const char *name, size_t length, u32 node)
{
	struct node *directory = node_at(index);
	size_t size = sizeof(struct entry) + length;
	if (directory->count >= directory->bucket_count * 2 && !grow_buckets(directory))
		return -ENOSPC;
	if (memory_charge(size))
		return -ENOSPC;
	u32 block = block_take(size);
	if (!block) {
		memory_uncharge(size);
		return -ENOSPC;
	}
	struct entry *e = entry_at(block);
	*e = (struct entry){
	        .hash = hash_name(name, length), .length = (u16)length, .size = (u16)size, .previous = directory->last};
	memcpy(e->name, name, length);
	u32 *bucket = &buckets(directory)[e->hash % directory->bucket_count];
	e->next_in_bucket = *bucket;
	*bucket = block;
	if (directory->last)
		entry_at(directory->last)->next = block;
	else
		directory->first = block;
	directory->last = block;
	directory->count++;
	entry_names(index, block, node);
	return 0;
}

void directory_remove(u32 index, const char *name, size_t length)
{
	struct node *directory = node_at(index);
	u32 block = find_entry(directory, name, length);
	if (!block)
		return;
	struct entry *e = entry_at(block);
	u32 *at = &buckets(directory)[e->hash % directory->bucket_count];
	while (*at != block)
		at = &entry_at(*at)->next_in_bucket;
	*at = e->next_in_bucket;
	*(e->previous ? &entry_at(e->previous)->next : &directory->first) = e->next;
	*(e->next ? &entry_at(e->next)->previous : &directory->last) = e->previous;
	directory->count--;
	entry_forgets(index, block);
	memory_uncharge(e->size);
	block_give(block, e->size);
}

void directory_replace(u32 index, const char *name, size_t length, u32 node)
{
	u32 block = find_entry(node_at(index), name, length);
	entry_forgets(index, block);
	entry_names(index, block, node);
}

/* Up through the parents, written from the end of the buffer and then moved to its start. */
int node_path(u32 index, char path[ZVM_PATH_MAX])
{
	size_t at = ZVM_PATH_MAX - 1;
	path[at] = 0;
	for (; index != ROOT_NODE; index = node_at(index)->parent) {
		const struct node *node = node_at(index);
		if (!node->name_entry)
			return -ENOENT; /* removed */
		const struct entry *e = entry_at(node->name_entry);
		if (at < (size_t)e->length + 1)
			return -ENAMETOOLONG;
		at -= e->length;
		memcpy(path + at, e->name, e->length);
		path[--at] = '/';
	}
	if (!path[at])
		path[--at] = '/';
	memmove(path, path + at, ZVM_PATH_MAX - at);
	return 0;
}

/* --- what is there from the start --- */

/* At the start the arena is empty, and the least memory limit leaves room for this. */
static u32 make(u32 directory, const char *name, u32 mode, u32 owner)
{
	u32 node = node_new(mode, owner);
	if ((mode & S_IFMT) == S_IFDIR)
		node_at(node)->links = 1; /* its own "." */
	directory_add(directory, name, strlen(name), node);
	return node;
}

static void make_file(u32 directory, const char *name, const char *content)
{
	u32 node = make(directory, name, S_IFREG | 0444, 0);
	data_write_kernel(node, 0, content, strlen(content));
}

static void make_link(u32 directory, const char *name, const char *target)
{
	u32 node = make(directory, name, S_IFLNK | 0777, 0);
	size_t length = strlen(target);
	node_at(node)->root = block_take(length + 1);
	node_at(node)->size = length;
	memcpy(block_at(node_at(node)->root), target, length + 1);
}

static void make_devices(u32 dev)
{
	static const struct {
		const char *name;
		u32 device;
	} devices[] = {{"null", DEVICE_NULL},     {"zero", DEVICE_ZERO},       {"full", DEVICE_FULL},
	               {"random", DEVICE_RANDOM}, {"urandom", DEVICE_URANDOM}, {"tty", DEVICE_TTY}};
	for (u32 i = 0; i < ARRAY_LENGTH(devices); i++)
		node_at(make(dev, devices[i].name, S_IFCHR | 0666, 0))->device = devices[i].device;
	u32 input = make(dev, "input", S_IFREG | 0444, 1000);
	node_at(input)->device = DEVICE_INPUT;
	make_link(dev, "fd", "/proc/self/fd");
	make_link(dev, "stdin", "/proc/self/fd/0");
	make_link(dev, "stdout", "/proc/self/fd/1");
	make_link(dev, "stderr", "/proc/self/fd/2");
	make(dev, "shm", S_IFDIR | 01777, 0);
}

static void make_etc(u32 etc)
{
	/* In byte order: a listing merges them with the host's. */
	make_file(etc, "group", "root:x:0:\nnogroup:x:65534:\nzvm:x:1000:\n");
	make_file(etc, "host.conf", "multi on\n");
	make_file(etc, "hostname", "zvm\n");
	make_file(etc, "hosts", "127.0.0.1 localhost zvm\n");
	make_link(etc, "localtime", "/usr/share/zoneinfo/Etc/UTC");
	make_link(etc, "mtab", "/proc/self/mounts");
	make_file(etc, "nsswitch.conf",
	          "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nprotocols: "
	          "files\nservices: files\n");
	make_file(etc, "passwd",
	          "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/"
	          "nologin\nzvm:x:1000:1000:zvm:/home/zvm:/bin/sh\n");
	make_file(etc, "resolv.conf", "");
	make_file(etc, "timezone", "Etc/UTC\n");
}

u32 node_tree_start(void)
{
	files()->node_free = files()->orphans = NO_INDEX;
	u32 root = node_new(S_IFDIR | 0755, 0);
	node_at(root)->links = 2;
	node_at(root)->parent = root;
	make_devices(make(root, "dev", S_IFDIR | 0755, 0));
	make_etc(make(root, "etc", S_IFDIR | 0755, 0));
	files()->home = make(make(root, "home", S_IFDIR | 0755, 0), "zvm", S_IFDIR | 0755, 1000);
	make(root, "proc", S_IFDIR | 0555, 0);
	make(root, "sys", S_IFDIR | 0555, 0);
	files()->tmp = make(root, "tmp", S_IFDIR | 01777, 0);
	u32 var = make(root, "var", S_IFDIR | 0755, 0);
	make(var, "tmp", S_IFDIR | 01777, 0);
	return root;
}
