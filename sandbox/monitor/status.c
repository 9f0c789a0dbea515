/*
 * The stat family, access, readlink, statfs, xattr, chdir. Everything that depends on the host's file system is
 * canonical: one device per world, one link, whole blocks of 512 bytes, times of 2000-01-01 (or the guest's own clock
 * for what it made).
 */
#include "files.h"

#define BLOCK 512ull
#define DEVICE_OF_NODES 0x14ull
#define DEVICE_OF_HOST 0x801ull
#define DEVICE_OF_PROC 0x15ull
#define DEVICE_OF_PIPES 0xcull
#define SECOND 1000000000ull

static void finish(struct attributes *t, u64 device, u64 ns)
{
	t->device = device;
	t->blocks = (t->mode & S_IFMT) == S_IFREG ? (t->size + BLOCK - 1) / BLOCK : 0;
	t->accessed = t->modified = t->changed = ns;
}

static void node_attributes(u32 index, struct attributes *t)
{
	const struct node *node = node_at(index);
	bool input = (node->mode & S_IFMT) == S_IFREG && node->device == DEVICE_INPUT;
	if (input)
		runs_part();
	*t = (struct attributes){.inode = index + 1,
	                         .mode = node->mode,
	                         .links = node->links,
	                         .uid = node->owner,
	                         .gid = node->owner,
	                         .size = input ? arena->input_size : node->size};
	if ((node->mode & S_IFMT) == S_IFDIR)
		t->size = 4096;
	if ((node->mode & S_IFMT) == S_IFCHR)
		t->rdevice = node->device, t->size = 0;
	finish(t, DEVICE_OF_NODES, 0);
	if ((node->mode & S_IFMT) == S_IFREG && !input)
		t->blocks = node->charged_pages * (PAGE_SIZE / BLOCK); /* holes take none */
	t->accessed = node->accessed;
	t->modified = node->modified;
	t->changed = node->changed;
}

static void host_attributes(u32 mode, u64 size, u64 inode, s64 mtime, const char *path, struct attributes *t)
{
	u32 owner = starts_with(path, "/script") ? 1000 : 0;
	*t = (struct attributes){.inode = inode, .mode = mode, .links = 1, .uid = owner, .gid = owner, .size = size};
	if ((mode & S_IFMT) == S_IFDIR)
		t->size = 4096;
	finish(t, DEVICE_OF_HOST, EPOCH_NS);
	t->modified = (u64)mtime * SECOND;
}

static void proc_attributes(const char *path, u32 mode, struct attributes *t)
{
	u64 inode = 5381;
	for (const char *c = path; *c; c++)
		inode = inode * 33 + (u8)*c;
	u32 owner = starts_with(path, "/proc/") && path[6] >= '0' && path[6] <= '9' ? 1000 : 0;
	*t = (struct attributes){.inode = inode & 0x7fffffff, .mode = mode, .links = 1, .uid = owner, .gid = owner};
	finish(t, DEVICE_OF_PROC, EPOCH_NS);
}

void description_attributes(const struct description *d, struct attributes *t)
{
	if (d->node != NO_INDEX) {
		node_attributes(d->node, t);
		return;
	}
	if (d->kind == KIND_MADE || (d->path != NO_INDEX && proc_makes(string_at(d->path)))) {
		proc_attributes(string_at(d->path), d->mode, t);
		return;
	}
	if (d->path != NO_INDEX) {
		host_attributes(d->mode, d->size, d->inode, d->mtime, string_at(d->path), t);
		return;
	}
	u32 mode = d->mode                  ? d->mode
	           : d->kind == KIND_SOCKET ? S_IFSOCK | 0777
	           : d->kind == KIND_PIPE   ? S_IFIFO | 0600
	                                    : 0600;
	*t = (struct attributes){.inode = d->inode, .mode = mode, .links = 1, .uid = 1000, .gid = 1000};
	finish(t, DEVICE_OF_PIPES, EPOCH_NS);
}

int place_attributes(const struct place *place, struct attributes *t)
{
	char target[ZVM_PATH_MAX];
	switch (place->kind) {
	case PLACE_NODE:
		if (place->node == NO_INDEX)
			return -ENOENT;
		node_attributes(place->node, t);
		return 0;
	case PLACE_HOST:
		if (place->answer.error)
			return place->answer.error;
		host_attributes(place->answer.mode, place->answer.size, place->answer.inode, place->answer.mtime,
		                place->path, t);
		return 0;
	case PLACE_PROC: proc_attributes(place->path, proc_mode(place->path, target), t); return 0;
	default: description_attributes(description_at(place->description), t); return 0;
	}
}

static int put_stat(u64 to, const struct attributes *t)
{
	struct stat st = {
	        .st_dev = t->device,
	        .st_ino = t->inode,
	        .st_nlink = t->links,
	        .st_mode = t->mode,
	        .st_uid = t->uid,
	        .st_gid = t->gid,
	        .st_rdev = t->rdevice,
	        .st_size = (long)t->size,
	        .st_blksize = 4096,
	        .st_blocks = (long)t->blocks,
	        .st_atime = t->accessed / SECOND,
	        .st_atime_nsec = t->accessed % SECOND,
	        .st_mtime = t->modified / SECOND,
	        .st_mtime_nsec = t->modified % SECOND,
	        .st_ctime = t->changed / SECOND,
	        .st_ctime_nsec = t->changed % SECOND,
	};
	return GUEST_PUT(to, st);
}

static s64 stat_at(s64 directory, u64 path, u64 to, u32 flags)
{
	struct place place;
	struct attributes t;
	int r = place_find(directory, path, flags, &place);
	r = r ? r : place_attributes(&place, &t);
	return r ? r : put_stat(to, &t);
}

s64 call_stat(const u64 *a)
{
	return stat_at(AT_FDCWD, a[0], a[1], FOLLOW);
}

s64 call_lstat(const u64 *a)
{
	return stat_at(AT_FDCWD, a[0], a[1], 0);
}

s64 call_fstat(const u64 *a)
{
	struct attributes t;
	struct description *d = descriptor_get(a[0], NULL);
	if (!d)
		return -EBADF;
	description_attributes(d, &t);
	return put_stat(a[1], &t);
}

static u32 at_flags(u64 flags)
{
	return (flags & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW) | (flags & AT_EMPTY_PATH ? EMPTY_OK : 0);
}

s64 call_newfstatat(const u64 *a)
{
	if (a[3] & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
		return -EINVAL;
	return stat_at((s32)a[0], a[1], a[2], at_flags(a[3]));
}

static struct statx_timestamp stamp(u64 ns)
{
	return (struct statx_timestamp){.tv_sec = (s64)(ns / SECOND), .tv_nsec = (u32)(ns % SECOND)};
}

s64 call_statx(const u64 *a)
{
	struct place place;
	struct attributes t;
	if ((u32)a[2] & ~(u32)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if ((a[2] & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || ((u32)a[3] & STATX__RESERVED))
		return -EINVAL;
	int r = place_find((s32)a[0], a[1], at_flags(a[2]), &place);
	r = r ? r : place_attributes(&place, &t);
	if (r)
		return r;
	struct statx x;
	memset(&x, 0, sizeof x);
	x.stx_mask = STATX_BASIC_STATS;
	x.stx_blksize = 4096;
	x.stx_nlink = t.links;
	x.stx_uid = t.uid;
	x.stx_gid = t.gid;
	x.stx_mode = (u16)t.mode;
	x.stx_ino = t.inode;
	x.stx_size = t.size;
	x.stx_blocks = t.blocks;
	x.stx_atime = stamp(t.accessed);
	x.stx_mtime = stamp(t.modified);
	x.stx_ctime = stamp(t.changed);
	x.stx_rdev_major = (u32)(t.rdevice >> 8);
	x.stx_rdev_minor = (u32)(t.rdevice & 0xff);
	x.stx_dev_major = (u32)(t.device >> 8);
	x.stx_dev_minor = (u32)(t.device & 0xff);
	return GUEST_PUT(a[4], x);
}

static s64 access_at(s64 directory, u64 path, u64 wanted, u32 flags)
{
	struct place place;
	struct attributes t;
	wanted = (u32)wanted;
	if (wanted & ~7ull)
		return -EINVAL;
	int r = place_find(directory, path, flags, &place);
	r = r ? r : place_attributes(&place, &t);
	if (r)
		return r;
	if ((wanted & 2) && place.kind == PLACE_HOST && (t.mode & S_IFMT) != S_IFCHR)
		return -EROFS;
	u32 bits = t.uid == 1000 ? t.mode >> 6 & 7 : t.mode & 7;
	return (bits & wanted) == wanted ? 0 : -EACCES;
}

s64 call_access(const u64 *a)
{
	return access_at(AT_FDCWD, a[0], a[1], FOLLOW);
}

s64 call_faccessat(const u64 *a)
{
	return access_at((s32)a[0], a[1], a[2], FOLLOW);
}

s64 call_faccessat2(const u64 *a)
{
	if (a[3] & ~(u64)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS))
		return -EINVAL;
	return access_at((s32)a[0], a[1], a[2], at_flags(a[3]));
}

static s64 readlink_at(s64 directory, u64 path, u64 to, s64 room)
{
	struct place place;
	char proc_target[ZVM_PATH_MAX];
	const char *target = NULL;
	if (room <= 0)
		return -EINVAL;
	int r = place_find(directory, path, (s32)directory == AT_FDCWD ? 0 : EMPTY_OK, &place);
	if (r)
		return r;
	if (place.kind == PLACE_DESCRIPTION) { /* "": the link that an O_PATH descriptor holds */
		const struct description *d = description_at(place.description);
		if (d->kind != KIND_PATH || (d->mode & S_IFMT) != S_IFLNK)
			return -ENOENT;
		if (d->node != NO_INDEX)
			target = block_at(node_at(d->node)->root);
		else if (place_find_path(string_at(d->path), 0, &place))
			return -ENOENT;
	}
	if (place.kind == PLACE_NODE && place.node != NO_INDEX && (node_at(place.node)->mode & S_IFMT) == S_IFLNK)
		target = block_at(node_at(place.node)->root);
	else if (place.kind == PLACE_HOST && (place.answer.mode & S_IFMT) == S_IFLNK)
		target = place.answer.text;
	else if (place.kind == PLACE_PROC && (proc_mode(place.path, proc_target) & S_IFMT) == S_IFLNK)
		target = proc_target;
	if (!target)
		return -EINVAL;
	if (!*target) /* /proc's, of a process that is over */
		return -ENOENT;
	u64 n = min_u64(strlen(target), (u64)room);
	return guest_write(to, target, n) ? -EFAULT : (s64)n;
}

s64 call_readlink(const u64 *a)
{
	return readlink_at(AT_FDCWD, a[0], a[1], (s32)a[2]);
}

s64 call_readlinkat(const u64 *a)
{
	return readlink_at((s32)a[0], a[1], a[2], (s32)a[3]);
}

/* --- working directory --- */

/* The name of a host directory without links and dots in it, as getcwd has to give it: step by step, each link looked
 * at. */
static int canonical_path(char path[ZVM_PATH_MAX])
{
	static char done[ZVM_PATH_MAX], rest[2 * ZVM_PATH_MAX];
	static struct answer answer;
	u32 links = 0;
	*done = 0;
	memcpy(rest, path, strlen(path) + 1);
	for (;;) {
		char *name = rest;
		while (*name == '/')
			name++;
		char *end = name;
		while (*end && *end != '/')
			end++;
		size_t length = (size_t)(end - name), so_far = strlen(done);
		if (!length)
			break;
		if (length == 2 && name[0] == '.' && name[1] == '.') {
			if (so_far)
				*strrchr(done, '/') = 0;
		} else if (length > 1 || *name != '.') {
			if (so_far + 1 + length >= sizeof done)
				return -ENAMETOOLONG;
			done[so_far] = '/';
			memcpy(done + so_far + 1, name, length);
			done[so_far + 1 + length] = 0;
			ask_lookup(done, false, &answer);
			if (answer.error)
				return answer.error;
			if (answer.elsewhere || (answer.mode & S_IFMT) == S_IFLNK) {
				size_t target = strlen(answer.text), left = strlen(end);
				if (++links > LINKS_MAX || target + left >= sizeof rest)
					return -ELOOP;
				memmove(rest + target, end, left + 1);
				memcpy(rest, answer.text, target);
				done[answer.elsewhere || *answer.text == '/' ? 0 : so_far] = 0;
				continue;
			}
		}
		memmove(rest, end, strlen(end) + 1);
	}
	format(path, ZVM_PATH_MAX, "%s", *done ? done : "/");
	return 0;
}

static bool is_host_path(const struct place *place)
{
	if (place->kind == PLACE_DESCRIPTION) {
		const struct description *d = description_at(place->description);
		return d->node == NO_INDEX && d->path != NO_INDEX && !proc_makes(string_at(d->path));
	}
	return place->kind == PLACE_HOST;
}

static int enter_directory(const struct place *place)
{
	static char path[ZVM_PATH_MAX];
	struct attributes t;
	int r = place_attributes(place, &t);
	if (r)
		return r;
	if ((t.mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	if (!((t.uid == 1000 ? t.mode >> 6 : t.mode) & 1))
		return -EACCES;
	if (place->kind == PLACE_NODE)
		r = node_path(place->node, path);
	else if (place->kind == PLACE_DESCRIPTION)
		r = description_path(place->description, path);
	else
		format(path, sizeof path, "%s", place->path);
	if (r == 0 && is_host_path(place))
		r = canonical_path(path);
	if (r)
		return r;
	memcpy(process_self()->directory, path, strlen(path) + 1);
	return 0;
}

s64 call_chdir(const u64 *a)
{
	struct place place;
	int r = place_find(AT_FDCWD, a[0], FOLLOW, &place);
	return r ? r : enter_directory(&place);
}

s64 call_fchdir(const u64 *a)
{
	struct place place = {.kind = PLACE_DESCRIPTION};
	if (!descriptor_get(a[0], &place.description))
		return -EBADF;
	return enter_directory(&place);
}

s64 call_getcwd(const u64 *a)
{
	const char *directory = process_self()->directory;
	struct place place;
	size_t n = strlen(directory) + 1;
	if (place_find_path(directory, 0, &place)) /* it has been removed */
		return -ENOENT;
	if (a[1] < n)
		return -ERANGE;
	return guest_write(a[0], directory, n) ? -EFAULT : (s64)n;
}

s64 call_umask(const u64 *a)
{
	u32 old = process_self()->umask;
	process_self()->umask = (u32)a[0] & 0777;
	return old;
}

/* --- file systems and attributes --- */

static s64 put_statfs(u64 to, const struct attributes *t)
{
	u64 blocks = arena->memory_limit / 4096, free = (arena->memory_limit - arena->memory_used) / 4096;
	bool host = t->device == DEVICE_OF_HOST, memory = t->device == DEVICE_OF_NODES;
	struct statfs s;
	memset(&s, 0, sizeof s);
	s.f_type = memory                         ? 0x01021994 /* tmpfs */
	           : host                         ? 0xef53
	           : t->device == DEVICE_OF_PIPES ? 0x50495045
	                                          : 0x9fa0 /* pipefs, proc */;
	s.f_bsize = s.f_frsize = 4096;
	s.f_namelen = NAME_LENGTH_MAX;
	s.f_flags = 0x20 | (host ? 1 : 0); /* ST_VALID, ST_RDONLY */
	if (memory || host)
		s.f_blocks = (long)blocks;
	if (memory) {
		s.f_bfree = s.f_bavail = (long)free;
		s.f_files = 1 << 20;
		s.f_ffree = (1 << 20) - (long)min_u64(files()->node_count, 1 << 20);
	}
	return GUEST_PUT(to, s);
}

s64 call_statfs(const u64 *a)
{
	struct place place;
	struct attributes t;
	int r = place_find(AT_FDCWD, a[0], FOLLOW, &place);
	r = r ? r : place_attributes(&place, &t);
	return r ? r : put_statfs(a[1], &t);
}

s64 call_fstatfs(const u64 *a)
{
	const struct description *d = descriptor_get(a[0], NULL);
	struct attributes t;
	if (!d)
		return -EBADF;
	description_attributes(d, &t);
	return put_statfs(a[1], &t);
}

/* Extended attributes: none anywhere, and none can be set. The path must exist all the same. */
static s64 no_attribute(u64 path, u32 follow, s64 answer)
{
	struct place place;
	int r = place_find(AT_FDCWD, path, follow, &place);
	return r ? r : answer;
}

#define ATTRIBUTE_CALL(name, follow, answer)               \
	s64 call_##name(const u64 *a)                      \
	{                                                  \
		return no_attribute(a[0], follow, answer); \
	}
ATTRIBUTE_CALL(setxattr, FOLLOW, -EOPNOTSUPP)
ATTRIBUTE_CALL(lsetxattr, 0, -EOPNOTSUPP)
ATTRIBUTE_CALL(getxattr, FOLLOW, -ENODATA)
ATTRIBUTE_CALL(lgetxattr, 0, -ENODATA)
ATTRIBUTE_CALL(listxattr, FOLLOW, 0)
ATTRIBUTE_CALL(llistxattr, 0, 0)
ATTRIBUTE_CALL(removexattr, FOLLOW, -ENODATA)
ATTRIBUTE_CALL(lremovexattr, 0, -ENODATA)

static s64 open_attribute(u64 fd, s64 answer)
{
	return descriptor_open(fd) ? answer : -EBADF;
}

s64 call_fsetxattr(const u64 *a)
{
	return open_attribute(a[0], -EOPNOTSUPP);
}

s64 call_fgetxattr(const u64 *a)
{
	return open_attribute(a[0], -ENODATA);
}

s64 call_flistxattr(const u64 *a)
{
	return open_attribute(a[0], 0);
}

s64 call_fremovexattr(const u64 *a)
{
	return open_attribute(a[0], -ENODATA);
}
