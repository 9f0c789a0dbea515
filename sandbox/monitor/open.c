/*
 * Opening: what a place (path.c) becomes when it is opened. Host places are read-only, made-up ones belong to root, the
 * private tree is the guest's own.
 */
#include "files.h"

static u32 access_wanted(u32 flags)
{
	u32 mode = flags & ACCESS_MODE;
	return (mode == O_RDONLY ? 4 : mode == O_WRONLY ? 2 : 6) | (flags & O_TRUNC ? 2 : 0);
}

/* What is kept of the flags of an open: the rest were orders for the opening alone. */
static u32 kept_flags(u32 flags)
{
	if (flags & O_PATH)
		return flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
	return (flags & ~(u32)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)) | O_LARGEFILE;
}

static s64 create_node(const struct place *place, u32 flags, u32 mode, u32 *ret)
{
	if (!(flags & O_CREAT))
		return -ENOENT;
	if (place->trailing_slash)
		return -EISDIR;
	if (!node_may(node_at(place->directory), 3))
		return -EACCES;
	u32 node = node_new(S_IFREG | (mode & 07777 & ~process_self()->umask), 1000);
	if (node == NO_INDEX)
		return -ENOSPC;
	int r = directory_add(place->directory, place->name, strlen(place->name), node);
	if (r)
		node_release(node);
	*ret = node;
	return r;
}

/* Why nothing of this type can be opened so, wherever it is; 0: it can. */
static s64 refuse_type(u32 type, u32 flags)
{
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if ((flags & O_DIRECTORY) && type != S_IFDIR)
		return -ENOTDIR;
	if (flags & O_PATH)
		return 0;
	if (type == S_IFLNK)
		return -ELOOP;
	if (type == S_IFDIR && ((flags & ACCESS_MODE) != O_RDONLY || (flags & O_CREAT)))
		return -EISDIR;
	return 0;
}

static u32 kind_of(u32 type, u32 flags, u32 otherwise)
{
	return flags & O_PATH ? KIND_PATH : type == S_IFDIR ? KIND_DIRECTORY : otherwise;
}

/* Why an existing node cannot be opened so; 0: it can. */
static s64 refuse_node(const struct node *node, u32 flags)
{
	u32 type = node->mode & S_IFMT;
	s64 r = refuse_type(type, flags);
	if (r || (flags & O_PATH))
		return r;
	if (!node_may(node, access_wanted(flags)))
		return -EACCES;
	return type == S_IFSOCK || (type == S_IFCHR && node->device == DEVICE_TTY) ? -ENXIO : 0;
}

static s64 truncate_on_open(u32 index, u32 flags)
{
	const struct node *node = node_at(index);
	if (!(flags & O_TRUNC) || (flags & O_PATH) || (node->mode & S_IFMT) != S_IFREG)
		return 0;
	return (node->seals & F_SEAL_SHRINK) && node->size ? -EPERM : data_resize(index, 0);
}

static s64 describe_node(u32 index, u32 flags, u32 *description)
{
	struct node *node = node_at(index);
	u32 type = node->mode & S_IFMT;
	u32 kind = kind_of(type, flags, type == S_IFCHR ? KIND_DEVICE : KIND_NODE);
	if (type == S_IFIFO && kind != KIND_PATH)
		return fifo_open(index, kept_flags(flags), description);
	*description = description_new(kind, kept_flags(flags));
	if (*description == NO_INDEX)
		return -ENFILE;
	struct description *d = description_at(*description);
	d->node = index;
	d->inode = index + 1;
	d->mode = node->mode;
	d->device = node->device;
	node->references++;
	if (node->device == DEVICE_INPUT && type == S_IFREG && kind == KIND_NODE) { /* the input again, seekable */
		runs_part();
		d->kind = KIND_HOST;
		d->native_fd = arena->input_fd;
		d->size = arena->input_size;
	}
	return 0;
}

static s64 open_node(const struct place *place, u32 flags, u32 mode, u32 *description)
{
	u32 index = place->node;
	s64 r;
	if (index == NO_INDEX) {
		r = create_node(place, flags, mode, &index);
		if (r)
			return r;
	} else {
		r = refuse_node(node_at(index), flags);
		r = r ? r : truncate_on_open(index, flags);
		if (r)
			return r;
	}
	node_at(index)->references++;
	r = describe_node(index, flags, description);
	node_at(index)->references--;
	return r;
}

/* Why a host file cannot be opened so; 0: it can. */
static s64 refuse_host(const struct place *place, u32 flags)
{
	if (place->answer.error)
		return place->answer.error == -ENOENT && (flags & O_CREAT) ? -EROFS : place->answer.error;
	s64 r = refuse_type(place->answer.mode & S_IFMT, flags);
	if (r || (flags & O_PATH))
		return r;
	return (flags & ACCESS_MODE) == O_RDONLY && !(flags & O_TRUNC) ? 0 : -EROFS;
}

static s64 open_host(struct place *place, u32 flags, u32 *description)
{
	int native = place->opened ? place->native_fd : -1;
	s64 r = refuse_host(place, flags);
	if (r == 0 && !(flags & O_PATH) && !place->opened) {
		ask_open(place->path, !(flags & O_NOFOLLOW), &place->answer, &native);
		r = place->answer.error;
	}
	u32 type = place->answer.mode & S_IFMT;
	if (r == 0) {
		*description = description_new(kind_of(type, flags, KIND_HOST), kept_flags(flags));
		r = *description == NO_INDEX ? -ENFILE : 0;
	}
	if (r) {
		if (native >= 0)
			native_close(native);
		return r;
	}
	struct description *d = description_at(*description);
	d->native_fd = native;
	d->content = place->answer.content;
	d->mode = place->answer.mode;
	d->inode = place->answer.inode;
	d->mtime = place->answer.mtime;
	d->size = type == S_IFDIR ? place->answer.content_size : place->answer.size;
	d->path = string_keep(place->path);
	if (d->path == NO_INDEX) {
		description_release(*description);
		return -ENOMEM;
	}
	return 0;
}

static s64 open_proc(const struct place *place, u32 flags, u32 *description)
{
	char target[ZVM_PATH_MAX];
	u32 mode = proc_mode(place->path, target), type = mode & S_IFMT;
	s64 r = refuse_type(type, flags);
	if (r)
		return r;
	if ((flags & ACCESS_MODE) != O_RDONLY && !(flags & O_PATH))
		return -EACCES;
	*description = description_new(kind_of(type, flags, KIND_MADE), kept_flags(flags));
	if (*description == NO_INDEX)
		return -ENFILE;
	struct description *d = description_at(*description);
	d->mode = mode;
	d->path = string_keep(place->path);
	r = d->path == NO_INDEX ? -ENOMEM : 0;
	if (r == 0 && d->kind == KIND_MADE) {
		r = proc_open(place->path, &d->page, &d->page_count, &d->size);
		if (r)
			d->page = NO_INDEX;
	}
	if (r)
		description_release(*description);
	return r;
}

/* A pipe through /proc/self/fd: another end of it, as the flags say. */
static s64 open_pipe_again(const struct description *d, u32 flags, u32 *description)
{
	u32 ring = d->ring_in != NO_INDEX ? d->ring_in : d->ring_out, mode = flags & ACCESS_MODE;
	*description = description_new(KIND_PIPE, kept_flags(flags));
	if (*description == NO_INDEX)
		return -ENFILE;
	struct description *new = description_at(*description);
	new->mode = d->mode;
	new->inode = d->inode;
	if (mode != O_WRONLY) {
		new->ring_in = ring;
		ring_at(ring)->readers++;
	}
	if (mode != O_RDONLY) {
		new->ring_out = ring;
		ring_at(ring)->writers++;
	}
	return 0;
}

static s64 share(u32 index, u32 *description)
{
	description_at(index)->references++;
	*description = index;
	return 0;
}

/* The standard streams: what is read through any descriptor of the input is gone for all of them, as with a pipe. */
static s64 open_stream_again(u32 index, u32 flags, u32 *description)
{
	const struct description *d = description_at(index);
	if (d->kind == KIND_INPUT)
		return (flags & ACCESS_MODE) == O_WRONLY ? -EACCES : share(index, description);
	if ((flags & ACCESS_MODE) == O_RDONLY)
		return -EACCES;
	*description = description_new(KIND_OUTPUT, (kept_flags(flags) & ~ACCESS_MODE) | O_WRONLY);
	if (*description == NO_INDEX)
		return -ENFILE;
	struct description *new = description_at(*description);
	new->native_fd = d->native_fd;
	new->mode = d->mode;
	new->inode = d->inode;
	new->device = d->device;
	return 0;
}

/* Opening an open file again through /proc/self/fd. */
static s64 open_again(u32 index, u32 flags, u32 mode, u32 *description)
{
	const struct description *d = description_at(index);
	flags &= ~(u32)O_NOFOLLOW;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if ((flags & O_DIRECTORY) && (d->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	if (d->node != NO_INDEX) {
		s64 r = refuse_node(node_at(d->node), flags);
		r = r ? r : truncate_on_open(d->node, flags);
		return r ? r : describe_node(d->node, flags, description);
	}
	if ((d->mode & S_IFMT) == S_IFLNK) /* itself, not where it leads: that may be here again */
		return flags & O_PATH ? share(index, description) : -ELOOP;
	if (d->path != NO_INDEX) {
		struct place place;
		int r = place_find_path(string_at(d->path), FOLLOW, &place);
		return r ? r : place_open(&place, flags, mode, description);
	}
	if (flags & O_PATH)
		return share(index, description);
	if (d->kind == KIND_INPUT || d->kind == KIND_OUTPUT)
		return open_stream_again(index, flags, description);
	return d->kind == KIND_PIPE ? open_pipe_again(d, flags, description) : -ENXIO;
}

s64 place_open(struct place *place, u32 flags, u32 mode, u32 *description)
{
	switch (place->kind) {
	case PLACE_NODE: return open_node(place, flags, mode, description);
	case PLACE_HOST: return open_host(place, flags, description);
	case PLACE_PROC: return open_proc(place, flags, description);
	default: return open_again(place->description, flags, mode, description);
	}
}

/* O_TMPFILE: a file without a name; the place is its directory. */
static s64 open_unnamed(const struct place *place, u32 flags, u32 mode, u32 *description)
{
	if (place->kind == PLACE_HOST && (place->answer.mode & S_IFMT) == S_IFDIR)
		return -EROFS;
	if (place->kind != PLACE_NODE || place->node == NO_INDEX || (node_at(place->node)->mode & S_IFMT) != S_IFDIR)
		return place->kind == PLACE_PROC ? -EOPNOTSUPP : -ENOTDIR;
	if (!node_may(node_at(place->node), 3))
		return -EACCES;
	u32 node = node_new(S_IFREG | (mode & 07777 & ~process_self()->umask), 1000);
	if (node == NO_INDEX)
		return -ENOSPC;
	node_at(node)->never_named = !(flags & O_EXCL);
	s64 r = describe_node(node, flags & ~(u32)O_EXCL, description);
	if (r)
		node_release(node);
	return r;
}

static s64 check_flags(u64 flags)
{
	bool unnamed = flags & __O_TMPFILE;
	if ((flags & O_PATH) != 0)
		return 0;
	if (unnamed && (!(flags & O_DIRECTORY) || (flags & O_CREAT) || (flags & ACCESS_MODE) == O_RDONLY))
		return -EINVAL;
	return (flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY) ? -EINVAL : 0;
}

static s64 open_at(s64 directory, u64 path, u64 flags, u32 mode, u32 resolve)
{
	struct place place;
	u32 description;
	if (flags & O_PATH) /* the others mean nothing then */
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	s64 r = check_flags(flags);
	if (r)
		return r;
	/* Before a file is made or emptied; otherwise putting it into the table is soon enough. */
	if ((flags & (O_CREAT | O_TRUNC | __O_TMPFILE)) && !descriptor_room())
		return -EMFILE;
	bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
	if ((flags & ACCESS_MODE) == 3)
		flags &= ~(u64)1; /* as the kernel: read and write, for ioctl only */
	u32 how = RESOLVE(resolve) | ((flags & O_NOFOLLOW) || exclusive ? 0 : FOLLOW);
	if (flags & O_CREAT)
		how |= WANT_PARENT;
	else if ((flags & ACCESS_MODE) == O_RDONLY && !(flags & (O_PATH | O_TRUNC)))
		how |= OPENING;
	int found = place_find(directory, path, how, &place);
	if (found)
		return found == -ENOENT && (flags & O_CREAT) && place.kind == PLACE_HOST &&
		                       place.answer.error == -ENOENT
		               ? -EROFS
		               : found;
	if (flags & __O_TMPFILE)
		r = open_unnamed(&place, (u32)flags, mode, &description);
	else
		r = place_open(&place, (u32)flags, mode, &description);
	return r ? r : descriptor_put(description, flags & O_CLOEXEC, 0);
}

s64 call_open(const u64 *a)
{
	return open_at(AT_FDCWD, a[0], (u32)a[1], (u32)a[2], 0);
}

s64 call_openat(const u64 *a)
{
	return open_at((s32)a[0], a[1], (u32)a[2], (u32)a[3], 0);
}

s64 call_creat(const u64 *a)
{
	return open_at(AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (u32)a[1], 0);
}

#define RESOLVE_ALL                                                                                          \
	(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | \
	 RESOLVE_CACHED)

/* A structure longer than what we know of asks for nothing more if it is zero there. */
static s64 get_open_how(u64 address, u64 size, struct open_how *how)
{
	u8 more[64];
	if (size < sizeof *how)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (GUEST_GET(*how, address))
		return -EFAULT;
	for (u64 at = sizeof *how; at < size; at += sizeof more) {
		u64 n = min_u64(sizeof more, size - at);
		if (guest_read(more, address + at, n))
			return -EFAULT;
		for (u64 i = 0; i < n; i++)
			if (more[i])
				return -E2BIG;
	}
	return 0;
}

s64 call_openat2(const u64 *a)
{
	struct open_how how;
	s64 r = get_open_how(a[2], a[3], &how);
	if (r)
		return r;
	if ((how.flags >> 32) || (how.mode && !(how.flags & (O_CREAT | __O_TMPFILE))) || (how.mode & ~07777ull))
		return -EINVAL;
	if ((how.resolve & ~(u64)RESOLVE_ALL) ||
	    (how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return -EINVAL;
	return open_at((s32)a[0], a[1], how.flags, (u32)how.mode, (u32)how.resolve);
}

/* --- for mmap --- */

int files_mapping(int fd, struct mapping *ret)
{
	struct description *d = descriptor_open((u64)(s64)fd);
	char path[ZVM_PATH_MAX];
	if (!d)
		return -EBADF;
	*ret = (struct mapping){.native_fd = -1,
	                        .inode = d->inode,
	                        .name = d->path,
	                        .private_node = NO_INDEX,
	                        .size = description_size(d)};
	ret->readable = (d->flags & ACCESS_MODE) != O_WRONLY;
	ret->writable = (d->flags & ACCESS_MODE) == O_RDWR;
	if (d->kind == KIND_HOST) {
		ret->native_fd = d->native_fd;
		ret->content = d->content;
		return 0;
	}
	ret->zeros = d->kind == KIND_DEVICE && d->device == DEVICE_ZERO;
	if (ret->zeros)
		return 0;
	if (d->kind != KIND_NODE)
		return -ENODEV;
	ret->private_node = d->node;
	ret->sealed = node_at(d->node)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	if (ret->name == NO_INDEX && !node_path(d->node, path))
		ret->name = string_keep(path);
	return 0;
}
