/*
 * Directory listings. A listing is taken once, at the first getdents, and read from then on: names in the order they
 * were created for private directories, in byte order for the host's (the broker sorts), for / and for /etc, where both
 * worlds meet. Its form is that of view.h: type, canonical inode, length, name.
 */
#include "files.h"

#define HEADER 11u /* type 1, inode 8, length 2 */

struct writer {
	u32 page, page_count;
	u64 size;
};

static bool reserve(struct writer *w, u64 more)
{
	u64 room = w->page == NO_INDEX ? 0 : (u64)w->page_count * PAGE_SIZE;
	if (w->size + more <= room)
		return true;
	u32 count = w->page == NO_INDEX ? 1 : w->page_count * 2;
	u32 page = pages_take(count);
	if (page == NO_INDEX)
		return false;
	if (w->page != NO_INDEX) {
		memcpy(page_at(page), page_at(w->page), w->size);
		pages_give(w->page, w->page_count);
	}
	w->page = page;
	w->page_count = count;
	return true;
}

static bool add(struct writer *w, u32 mode, u64 inode, const char *name, size_t length)
{
	if (!reserve(w, HEADER + length))
		return false;
	u8 *at = (u8 *)page_at(w->page) + w->size;
	at[0] = (u8)((mode & S_IFMT) >> 12); /* DT_* are the type bits of the mode */
	memcpy(at + 1, &inode, 8);
	at[9] = (u8)length;
	at[10] = (u8)(length >> 8);
	memcpy(at + HEADER, name, length);
	w->size += HEADER + length;
	return true;
}

static bool add_node_entries(struct writer *w, u32 directory)
{
	bool fine = true;
	for (u32 block = node_at(directory)->first; block && fine; block = entry_at(block)->next) {
		const struct entry *e = entry_at(block);
		fine = add(w, node_at(e->node)->mode, e->node + 1, e->name, e->length);
	}
	return fine;
}

static int compare_names(const char *a, size_t a_length, const char *b, size_t b_length)
{
	int r = memcmp(a, b, min_u64(a_length, b_length));
	return r ? r : a_length < b_length ? -1 : a_length > b_length;
}

/* The nodes of a directory that come before `name`, from *block on; they were made in byte order. name NULL: all that
 * are left. */
static bool add_nodes_before(struct writer *w, u32 *block, const char *name, size_t length)
{
	bool fine = true;
	for (; *block && fine; *block = entry_at(*block)->next) {
		const struct entry *e = entry_at(*block);
		if (name && compare_names(e->name, e->length, name, length) > 0)
			break;
		fine = add(w, node_at(e->node)->mode, e->node + 1, e->name, e->length);
	}
	return fine;
}

/* The guest's root: nodes and those host places that exist. */
static bool add_root(struct writer *w)
{
	static const char *const roots[] = {"bin", "lib", "lib32", "lib64", "libx32", "sbin", "script", "usr"};
	static struct answer answer;
	u32 block = node_at(ROOT_NODE)->first;
	bool fine = true;
	for (u32 i = 0; i < ARRAY_LENGTH(roots) && fine; i++) {
		char path[16];
		format(path, sizeof path, "/%s", roots[i]);
		ask_lookup(path, false, &answer);
		if (!answer.error)
			fine = add_nodes_before(w, &block, roots[i], strlen(roots[i])) &&
			       add(w, answer.mode, answer.inode, roots[i], strlen(roots[i]));
	}
	return fine && add_nodes_before(w, &block, NULL, 0);
}

/* The made-up names of /etc among the host's, hiding those that are the same. */
static bool add_etc(struct writer *w, u32 etc)
{
	static struct answer answer;
	u32 block = node_at(etc)->first;
	int fd;
	bool fine = true;
	ask_open("/etc", true, &answer, &fd);
	u64 size = answer.error || fd < 0 ? 0 : answer.content_size;
	for (u64 at = 0; at + HEADER <= size && fine;) {
		u8 raw[HEADER + NAME_LENGTH_MAX + 1];
		s64 got = native_pread(fd, (u64)raw, sizeof raw, at);
		if (got < 0)
			host_failed("the host cannot read a directory", got);
		u32 length = got >= (s64)HEADER ? raw[9] | (u32)raw[10] << 8 : 0;
		const char *name = (char *)raw + HEADER;
		u64 inode;
		if (got < (s64)(HEADER + length) || !length || length > NAME_LENGTH_MAX)
			break;
		memcpy(&inode, raw + 1, 8);
		if (directory_find(etc, name, length) == NO_INDEX)
			fine = add_nodes_before(w, &block, name, length) &&
			       add(w, (u32)raw[0] << 12, inode, name, length);
		at += HEADER + length;
	}
	if (fd >= 0)
		native_close(fd);
	return fine && add_nodes_before(w, &block, NULL, 0);
}

static bool add_proc(struct writer *w, const char *path)
{
	u32 page = pages_take(4); /* 1024 descriptors are 5 KiB of lines */
	bool fine = page != NO_INDEX;
	if (!fine)
		return false;
	struct text text = {page_at(page), 0, 4 * PAGE_SIZE};
	proc_list(path, &text);
	u64 inode = 100;
	for (char *line = text.data; fine && line < text.data + text.size; inode++) {
		char *end = strchr(line, '\n');
		u32 type = *line == 'd' ? S_IFDIR : *line == 'l' ? S_IFLNK : S_IFREG;
		fine = add(w, type, inode, line + 1, (size_t)(end - line) - 1);
		line = end + 1;
	}
	pages_give(page, 4);
	return fine;
}

static int take_listing(struct description *d)
{
	struct writer w = {NO_INDEX, 0, 0};
	bool fine = true;
	if (d->node == ROOT_NODE)
		fine = add_root(&w);
	else if (d->node != NO_INDEX && d->node == directory_find(ROOT_NODE, "etc", 3))
		fine = add_etc(&w, d->node);
	else if (d->node != NO_INDEX)
		fine = add_node_entries(&w, d->node);
	else
		fine = add_proc(&w, string_at(d->path));
	if (!fine) {
		if (w.page != NO_INDEX)
			pages_give(w.page, w.page_count);
		return -ENOMEM;
	}
	d->page = w.page;
	d->page_count = w.page_count;
	d->size = w.size;
	d->listed = true;
	return 0;
}

/* The entry at byte `at` of the listing; its size, 0 at the end. Positions 0 and 1 are "." and "..", the listing begins
 * at 2. */
static u32 entry_read(const struct description *d, u64 at, u8 raw[HEADER + NAME_LENGTH_MAX + 1])
{
	u64 left = d->size - min_u64(at, d->size);
	if (left < HEADER)
		return 0;
	u64 n = min_u64(left, HEADER + NAME_LENGTH_MAX);
	s64 got = (s64)n;
	if (d->page != NO_INDEX)
		memcpy(raw, (u8 *)page_at(d->page) + at, n);
	else
		got = native_pread(d->native_fd, (u64)raw, n, at);
	if (got != (s64)n)
		host_failed("the host cannot read a directory", got < 0 ? got : -EIO);
	u32 length = raw[9] | (u32)raw[10] << 8;
	if (length > NAME_LENGTH_MAX || HEADER + length > n)
		return 0;
	raw[HEADER + length] = 0;
	return HEADER + length;
}

struct directory_entry64 {
	u64 inode;
	s64 offset;
	u16 size;
	u8 type;
	char name[NAME_LENGTH_MAX + 1];
};

static s64 list(struct description *d, u64 to, u64 room, bool wide)
{
	u64 done = 0;
	if (d->node != NO_INDEX && !node_at(d->node)->links)
		return -ENOENT; /* it has been removed */
	if (!d->listed && d->native_fd < 0) {
		int r = take_listing(d);
		if (r)
			return r;
	}
	for (;;) {
		u8 raw[HEADER + NAME_LENGTH_MAX + 1];
		u32 size = 1;
		u64 inode = d->node != NO_INDEX && d->offset ? node_at(d->node)->parent + 1 : d->inode;
		const char *name = d->offset ? ".." : ".";
		u8 type = 4;
		if (d->offset >= 2) {
			size = entry_read(d, d->offset - 2, raw);
			if (!size)
				return (s64)done;
			memcpy(&inode, raw + 1, 8);
			name = (char *)raw + HEADER;
			type = raw[0];
		}
		size_t length = strlen(name);
		u64 record = wide ? (19 + length + 1 + 7) & ~7ull : (18 + length + 2 + 7) & ~7ull;
		if (done + record > room)
			return done ? (s64)done : -EINVAL;
		struct directory_entry64 out;
		memset(&out, 0, sizeof out);
		out.inode = inode;
		out.offset = (s64)(d->offset + size);
		out.size = (u16)record;
		if (wide) {
			out.type = type;
			memcpy(out.name, name, length);
		} else {
			memcpy(&out.type, name, length); /* the old form has the type in its last byte */
			((u8 *)&out)[record - 1] = type;
		}
		if (guest_write(to + done, &out, record))
			return done ? (s64)done : -EFAULT;
		done += record;
		d->offset += size;
	}
}

static s64 list_fd(const u64 *a, bool wide)
{
	struct description *d = descriptor_open(a[0]);
	if (!d)
		return -EBADF;
	return d->kind == KIND_DIRECTORY ? list(d, a[1], (u32)a[2], wide) : -ENOTDIR;
}

s64 call_getdents64(const u64 *a)
{
	return list_fd(a, true);
}

s64 call_getdents(const u64 *a)
{
	return list_fd(a, false);
}
