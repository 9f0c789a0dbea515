/*
 * Changing the private tree. Host places answer EROFS, what is made up EACCES (it belongs to root), /proc EPERM.
 */
#include "files.h"

/* A name in a directory of nodes that the guest may change. */
static int find_name(s64 directory, u64 path, u32 flags, struct place *ret)
{
	int r = place_find(directory, path, flags | WANT_PARENT, ret);
	if (r == -ENOENT && ret->kind == PLACE_HOST && ret->answer.error == -ENOENT)
		return -EROFS;
	if (r)
		return r;
	if (ret->kind == PLACE_HOST)
		return -EROFS;
	return ret->kind == PLACE_NODE ? 0 : -EPERM;
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int may_change(u32 directory)
{
	return node_may(node_at(directory), 3) ? 0 : -EACCES;
}

/* A new node under a name that must be free; undone if there is no room. */
s64 place_create(const struct place *place, u32 mode, u32 *ret)
{
	if (place->node != NO_INDEX)
		return -EEXIST;
	int r = may_change(place->directory);
	if (r)
		return r;
	u32 node = node_new(mode, 1000);
	if (node == NO_INDEX)
		return -ENOSPC;
	if ((mode & S_IFMT) == S_IFDIR)
		node_at(node)->links = 1; /* its own "." */
	r = directory_add(place->directory, place->name, strlen(place->name), node);
	if (r) {
		node_at(node)->links = 0;
		node_release(node);
		return r;
	}
	*ret = node;
	return 0;
}

static s64 make_directory(s64 directory, u64 path, u32 mode)
{
	struct place place;
	u32 node;
	int r = find_name(directory, path, 0, &place);
	if (r && ((place.kind == PLACE_HOST && r == -EROFS && !place.answer.error) ||
	          (place.kind == PLACE_PROC && r == -EPERM)))
		return -EEXIST;
	return r ? r : place_create(&place, S_IFDIR | (mode & 01777 & ~process_self()->umask), &node);
}

s64 call_mkdir(const u64 *a)
{
	return make_directory(AT_FDCWD, a[0], (u32)a[1]);
}

s64 call_mkdirat(const u64 *a)
{
	return make_directory((s32)a[0], a[1], (u32)a[2]);
}

static s64 make_node(s64 directory, u64 path, u32 mode)
{
	struct place place;
	u32 node, type = mode & S_IFMT;
	if (type == S_IFDIR)
		return -EPERM;
	int r = find_name(directory, path, 0, &place);
	if (r)
		return r;
	if (type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) /* devices are root's to make */
		return type == S_IFCHR || type == S_IFBLK ? -EPERM : -EINVAL;
	if (place.node == NO_INDEX && place.trailing_slash)
		return -ENOENT;
	return place_create(&place, (type ? type : S_IFREG) | (mode & 07777 & ~process_self()->umask), &node);
}

s64 call_mknod(const u64 *a)
{
	return make_node(AT_FDCWD, a[0], (u32)a[1]);
}

s64 call_mknodat(const u64 *a)
{
	return make_node((s32)a[0], a[1], (u32)a[2]);
}

static s64 make_link(u64 target, s64 directory, u64 path)
{
	struct place place;
	char text[ZVM_PATH_MAX];
	u32 node;
	s64 length = guest_string(text, target, sizeof text);
	if (length <= 0)
		return length ? length : -ENOENT;
	s64 r = find_name(directory, path, 0, &place);
	if (r)
		return r;
	if (place.node == NO_INDEX && place.trailing_slash)
		return -ENOENT;
	u32 block = block_take((size_t)length + 1);
	r = block ? place_create(&place, S_IFLNK | 0777, &node) : -ENOSPC;
	if (r) {
		block_give(block, (size_t)length + 1);
		return r;
	}
	memcpy(block_at(block), text, (size_t)length + 1);
	node_at(node)->root = block;
	node_at(node)->size = (u64)length;
	return 0;
}

s64 call_symlink(const u64 *a)
{
	return make_link(a[0], AT_FDCWD, a[1]);
}

s64 call_symlinkat(const u64 *a)
{
	return make_link(a[0], (s32)a[1], a[2]);
}

/*
 * Working directories are kept as paths, so they follow when a directory is moved, and say so when it is gone: then no
 * path begins with them any more.
 */
static void directories_moved(const char *old, const char *new)
{
	size_t old_length = strlen(old), new_length = strlen(new);
	for (u32 i = 0; i < arena->process_count; i++) {
		char *at = arena->processes[i].directory;
		if (!arena->processes[i].in_use || !starts_with(at, old) || (at[old_length] && at[old_length] != '/'))
			continue;
		size_t rest = strlen(at + old_length);
		if (new_length + rest >= ZVM_PATH_MAX)
			continue; /* too long to be named: as if it were gone */
		memmove(at + new_length, at + old_length, rest + 1);
		memcpy(at, new, new_length);
	}
}

static void directory_gone(u32 node)
{
	char old[ZVM_PATH_MAX], new[ZVM_PATH_MAX];
	if (!node_path(node, old) && format(new, sizeof new, "%s (deleted)", old) < (int)sizeof new)
		directories_moved(old, new);
}

static s64 remove_name(s64 directory, u64 path, bool want_directory)
{
	struct place place;
	int r = find_name(directory, path, 0, &place);
	if (r)
		return r;
	if (place.node == NO_INDEX)
		return -ENOENT;
	struct node *node = node_at(place.node);
	bool is_directory = (node->mode & S_IFMT) == S_IFDIR;
	if (place.node == ROOT_NODE)
		return want_directory ? -EBUSY : -EISDIR;
	if (is_dot(place.name))
		return want_directory ? (place.name[1] ? -ENOTEMPTY : -EINVAL) : -EISDIR;
	r = may_change(place.directory);
	if (r)
		return r;
	if (want_directory != is_directory)
		return want_directory ? -ENOTDIR : -EISDIR;
	if (is_directory && node->count)
		return -ENOTEMPTY;
	if (is_directory)
		directory_gone(place.node);
	directory_remove(place.directory, place.name, strlen(place.name));
	if (is_directory)
		node->links = 0; /* its own "." */
	node_release(place.node);
	return 0;
}

s64 call_unlink(const u64 *a)
{
	return remove_name(AT_FDCWD, a[0], false);
}

s64 call_rmdir(const u64 *a)
{
	return remove_name(AT_FDCWD, a[0], true);
}

s64 call_unlinkat(const u64 *a)
{
	if (a[2] & ~(u64)AT_REMOVEDIR)
		return -EINVAL;
	return remove_name((s32)a[0], a[1], a[2] & AT_REMOVEDIR);
}

static s64 add_link(s64 old_directory, u64 old, s64 new_directory, u64 new, u64 flags)
{
	struct place from, to;
	u32 node;
	if (flags & ~(u64)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int r = place_find(old_directory, old,
	                   (flags & AT_SYMLINK_FOLLOW ? FOLLOW : 0) | (flags & AT_EMPTY_PATH ? EMPTY_OK : 0), &from);
	r = r ? r : find_name(new_directory, new, 0, &to);
	if (r)
		return r;
	if (from.kind == PLACE_DESCRIPTION)
		node = description_at(from.description)->node;
	else
		node = from.kind == PLACE_NODE ? from.node : NO_INDEX;
	if (node == NO_INDEX)
		return -EXDEV;
	if (to.node != NO_INDEX)
		return -EEXIST;
	r = may_change(to.directory);
	if (r)
		return r;
	if ((node_at(node)->mode & S_IFMT) == S_IFDIR || node_at(node)->owner != 1000)
		return -EPERM;
	if (to.trailing_slash || (!node_at(node)->links && !node_at(node)->never_named))
		return -ENOENT;
	return r ? r : directory_add(to.directory, to.name, strlen(to.name), node);
}

s64 call_link(const u64 *a)
{
	return add_link(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

s64 call_linkat(const u64 *a)
{
	return add_link((s32)a[0], a[1], (s32)a[2], a[3], a[4]);
}

/* --- rename --- */

#define RENAME_NOREPLACE_FLAG 1u
#define RENAME_EXCHANGE_FLAG 2u

static bool is_below(u32 node, u32 ancestor)
{
	for (;; node = node_at(node)->parent) {
		if (node == ancestor)
			return true;
		if (node == ROOT_NODE || node_at(node)->parent == NO_INDEX)
			return false;
	}
}

static int check_replaced(const struct node *moved, const struct node *replaced)
{
	bool moved_directory = (moved->mode & S_IFMT) == S_IFDIR,
	     replaced_directory = (replaced->mode & S_IFMT) == S_IFDIR;
	if (moved_directory && !replaced_directory)
		return -ENOTDIR;
	if (!moved_directory && replaced_directory)
		return -EISDIR;
	return replaced_directory && replaced->count ? -ENOTEMPTY : 0;
}

static bool is_directory(u32 node)
{
	return (node_at(node)->mode & S_IFMT) == S_IFDIR;
}

static s64 exchange(const struct place *from, const struct place *to)
{
	char one[ZVM_PATH_MAX], two[ZVM_PATH_MAX];
	if (to->node == NO_INDEX)
		return -ENOENT;
	if (to->node == from->node)
		return 0;
	if (is_directory(to->node) && is_below(from->directory, to->node))
		return -EINVAL;
	bool known = !node_path(from->node, one) && !node_path(to->node, two);
	directory_replace(from->directory, from->name, strlen(from->name), to->node);
	directory_replace(to->directory, to->name, strlen(to->name), from->node);
	if (known && is_directory(from->node) && !is_directory(to->node))
		directories_moved(one, two);
	if (known && is_directory(to->node) && !is_directory(from->node))
		directories_moved(two, one);
	if (known && is_directory(from->node) &&
	    is_directory(to->node)) { /* the root is never exchanged, so "//" is free */
		directories_moved(one, "//");
		directories_moved(two, one);
		directories_moved("//", two);
	}
	return 0;
}

/* Why one name cannot be moved over the other; 0: it can. */
static int check_move(const struct place *from, const struct place *to, u64 flags)
{
	struct node *moved = node_at(from->node);
	int r = may_change(from->directory);
	r = r ? r : may_change(to->directory);
	if (r)
		return r;
	if (moved->owner != 1000)
		return -EACCES;
	if (is_directory(from->node) && is_below(to->directory, from->node))
		return -EINVAL;
	if (to->node == NO_INDEX)
		return to->trailing_slash && !is_directory(from->node) ? -ENOTDIR : 0;
	if (flags & RENAME_NOREPLACE_FLAG)
		return -EEXIST;
	return to->node == from->node || (flags & RENAME_EXCHANGE_FLAG) ? 0 : check_replaced(moved, node_at(to->node));
}

static void replace(const struct place *to, u32 node)
{
	struct node *replaced = node_at(to->node);
	if (is_directory(to->node)) {
		directory_gone(to->node);
		replaced->links--; /* its own "." */
	}
	directory_replace(to->directory, to->name, strlen(to->name), node);
	node_release(to->node);
}

/* The new name first, so that it fails before anything has changed or not at all. */
static s64 move_name(const struct place *from, const struct place *to)
{
	char old[ZVM_PATH_MAX], new[ZVM_PATH_MAX];
	bool directory = is_directory(from->node);
	if (directory && node_path(from->node, old))
		directory = false;
	if (to->node != NO_INDEX) {
		replace(to, from->node);
	} else {
		int r = directory_add(to->directory, to->name, strlen(to->name), from->node);
		if (r)
			return r;
	}
	directory_remove(from->directory, from->name, strlen(from->name));
	if (directory && !node_path(from->node, new))
		directories_moved(old, new);
	return 0;
}

static s64 move(s64 old_directory, u64 old, s64 new_directory, u64 new, u64 flags)
{
	static struct place from, to; /* nothing here waits, and the stack has no room for two */
	if (flags & ~3ull || flags == 3)
		return -EINVAL;
	int r = find_name(old_directory, old, 0, &from);
	r = r ? r : find_name(new_directory, new, 0, &to);
	if (r)
		return r;
	if (is_dot(from.name) || is_dot(to.name))
		return -EBUSY;
	if (from.node == NO_INDEX)
		return -ENOENT;
	r = check_move(&from, &to, flags);
	if (r || to.node == from.node)
		return r;
	return flags & RENAME_EXCHANGE_FLAG ? exchange(&from, &to) : move_name(&from, &to);
}

s64 call_rename(const u64 *a)
{
	return move(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

s64 call_renameat(const u64 *a)
{
	return move((s32)a[0], a[1], (s32)a[2], a[3], 0);
}

s64 call_renameat2(const u64 *a)
{
	return move((s32)a[0], a[1], (s32)a[2], a[3], a[4]);
}

/* --- attributes --- */

/* The node that a path or descriptor names, if the guest owns it. */
static int own_node(const struct place *place, u32 *ret)
{
	u32 node = place->kind == PLACE_NODE          ? place->node
	           : place->kind == PLACE_DESCRIPTION ? description_at(place->description)->node
	                                              : NO_INDEX;
	if (place->kind == PLACE_HOST)
		return -EROFS;
	if (node == NO_INDEX && place->kind == PLACE_DESCRIPTION) {
		u32 path = description_at(place->description)->path;
		return path != NO_INDEX && !proc_makes(string_at(path)) ? -EROFS : -EPERM;
	}
	if (node == NO_INDEX)
		return -EPERM;
	if (node_at(node)->owner != 1000)
		return -EPERM;
	*ret = node;
	return 0;
}

static int own_at(s64 directory, u64 path, u32 flags, u32 *ret)
{
	struct place place;
	int r = place_find(directory, path, flags, &place);
	return r ? r : own_node(&place, ret);
}

static int own_open(u64 fd, u32 *ret)
{
	struct place place = {.kind = PLACE_DESCRIPTION};
	if (!descriptor_open(fd) || !descriptor_get(fd, &place.description))
		return -EBADF;
	return own_node(&place, ret);
}

/*
 * These three get the node by address: it is filled in by the call that gives `error`, and in what order arguments are
 * evaluated is the compiler's choice.
 */
static s64 set_mode(int error, const u32 *found, u64 mode)
{
	if (error)
		return error;
	struct node *node = node_at(*found);
	node->mode = (node->mode & S_IFMT) | ((u32)mode & 07777);
	node->changed = clock_peek();
	return 0;
}

s64 call_chmod(const u64 *a)
{
	u32 node = 0;
	return set_mode(own_at(AT_FDCWD, a[0], FOLLOW, &node), &node, a[1]);
}

s64 call_fchmod(const u64 *a)
{
	u32 node = 0;
	return set_mode(own_open(a[0], &node), &node, a[1]);
}

s64 call_fchmodat(const u64 *a)
{
	u32 node = 0;
	return set_mode(own_at((s32)a[0], a[1], FOLLOW, &node), &node, a[2]);
}

/* The one that knows of AT_SYMLINK_NOFOLLOW; but a link has no mode to change. */
s64 call_fchmodat2(const u64 *a)
{
	u32 node = 0, flags = (a[3] & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW) | (a[3] & AT_EMPTY_PATH ? EMPTY_OK : 0);
	if ((u32)a[3] & ~(u32)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int r = own_at((s32)a[0], a[1], flags, &node);
	return r == 0 && (node_at(node)->mode & S_IFMT) == S_IFLNK ? -EOPNOTSUPP : set_mode(r, &node, a[2]);
}

static s64 set_owner(int error, u64 uid, u64 gid)
{
	if (error)
		return error;
	bool same = ((u32)uid == 1000 || (u32)uid == 0xffffffffu) && ((u32)gid == 1000 || (u32)gid == 0xffffffffu);
	return same ? 0 : -EPERM;
}

s64 call_chown(const u64 *a)
{
	u32 node;
	return set_owner(own_at(AT_FDCWD, a[0], FOLLOW, &node), a[1], a[2]);
}

s64 call_lchown(const u64 *a)
{
	u32 node;
	return set_owner(own_at(AT_FDCWD, a[0], 0, &node), a[1], a[2]);
}

s64 call_fchown(const u64 *a)
{
	u32 node;
	return set_owner(own_open(a[0], &node), a[1], a[2]);
}

s64 call_fchownat(const u64 *a)
{
	u32 node;
	u32 flags = (a[4] & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW) | (a[4] & AT_EMPTY_PATH ? EMPTY_OK : 0);
	if ((u32)a[4] & ~(u32)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return set_owner(own_at((s32)a[0], a[1], flags, &node), a[2], a[3]);
}

static s64 resize(int error, const u32 *found, u64 size)
{
	if (error)
		return error;
	u32 node = *found, type = node_at(node)->mode & S_IFMT;
	if (type == S_IFDIR)
		return -EISDIR;
	if (type != S_IFREG || (s64)size < 0)
		return -EINVAL;
	struct node *n = node_at(node);
	if ((n->seals & F_SEAL_SHRINK && size < n->size) || (n->seals & F_SEAL_GROW && size > n->size))
		return -EPERM;
	if (size > n->size && size > process_self()->limits[RLIMIT_FSIZE][0]) {
		signal_send(process_self(), SIGXFSZ);
		return -EFBIG;
	}
	return data_resize(node, size);
}

s64 call_truncate(const u64 *a)
{
	u32 node = 0;
	int r = own_at(AT_FDCWD, a[0], FOLLOW, &node);
	if (r == 0 && !node_may(node_at(node), 2))
		r = -EACCES;
	return resize(r, &node, a[1]);
}

s64 call_ftruncate(const u64 *a)
{
	u32 node = 0;
	struct description *d = descriptor_open(a[0]);
	if (!d)
		return -EBADF;
	if ((d->flags & ACCESS_MODE) == O_RDONLY || d->kind != KIND_NODE)
		return -EINVAL;
	return resize(own_open(a[0], &node), &node, a[1]);
}

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static u64 missing_pages(u32 node, u64 at, u64 end)
{
	u64 missing = 0;
	u32 run;
	for (; at < end; at += run * PAGE_SIZE)
		missing += files_page(node, at, false, &run) == NO_INDEX;
	return missing;
}

/* Pages for the whole range, or none that were not there before. */
static s64 reserve(u32 node, u64 offset, u64 end)
{
	u64 at = page_down(offset);
	u32 run = 1;
	if ((end - at) / PAGE_SIZE > arena->memory_limit / PAGE_SIZE)
		return -ENOSPC;
	if (missing_pages(node, at, end) > (arena->memory_limit - arena->memory_used) / PAGE_SIZE)
		return -ENOSPC; /* at once, rather than after taking and giving back all there is */
	u64 first_hole = end, last_hole = at;
	for (; at < end; at += run * PAGE_SIZE) {
		if (files_page(node, at, false, &run) != NO_INDEX)
			continue;
		if (files_page(node, at, true, &run) == NO_INDEX)
			break;
		first_hole = min_u64(first_hole, at);
		last_hole = at + PAGE_SIZE;
	}
	if (at >= end)
		return 0;
	/* Pages of what was taken beyond the old end; inside the file, zeros in holes are as good as holes. */
	u64 size = page_up(node_at(node)->size), from = first_hole > size ? first_hole : size;
	if (last_hole > from)
		data_punch(node, from, last_hole - from);
	return -ENOSPC;
}

s64 call_fallocate(const u64 *a)
{
	struct description *d = descriptor_open(a[0]);
	u64 mode = (u32)a[1], end;
	if (!d)
		return -EBADF;
	if ((s64)a[2] < 0 || (s64)a[3] <= 0)
		return -EINVAL;
	if (mode & ~(u64)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) || mode == FALLOC_FL_PUNCH_HOLE)
		return -EOPNOTSUPP;
	if ((d->flags & ACCESS_MODE) == O_RDONLY)
		return -EBADF;
	if (d->kind != KIND_NODE)
		return d->kind == KIND_PIPE || d->kind == KIND_OUTPUT ? -ESPIPE : -ENODEV;
	end = a[2] + a[3];
	if (end > 1ull << 42)
		return -EFBIG;
	struct node *node = node_at(d->node);
	bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && end > node->size;
	if ((node->seals & F_SEAL_WRITE && mode == PUNCH) || (node->seals & F_SEAL_GROW && grows))
		return -EPERM;
	if (mode == PUNCH) {
		data_punch(d->node, a[2], a[3]);
		node->modified = node->changed = clock_peek();
		return 0;
	}
	s64 r = reserve(d->node, a[2], end);
	if (r == 0 && grows)
		data_set_size(d->node, end);
	node->changed = clock_peek();
	return r;
}

/* --- times --- */

#define NOW_NS 0x3fffffffll
#define OMIT_NS 0x3ffffffell
#define SECOND_NS 1000000000ll

#define SECONDS_MAX (INT64_MAX / SECOND_NS)

/* times[2]: access and modification, seconds and a fraction of which `unit` make a second. address 0: now. */
static s64 set_times(int error, const u32 *found, u64 address, s64 unit)
{
	s64 times[4] = {0, NOW_NS, 0, NOW_NS};
	bool special = !address || unit == SECOND_NS;
	if (address && GUEST_GET(times, address))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		bool known = special && (times[2 * i + 1] == OMIT_NS || times[2 * i + 1] == NOW_NS);
		if (!known && (times[2 * i + 1] < 0 || times[2 * i + 1] >= unit))
			return -EINVAL;
	}
	if (error)
		return error;
	struct node *node = node_at(*found);
	u64 *fields[2] = {&node->accessed, &node->modified}, now = clock_query();
	for (int i = 0; i < 2; i++) {
		s64 seconds = times[2 * i], fraction = times[2 * i + 1];
		if (special && fraction == OMIT_NS)
			continue;
		if (special && fraction == NOW_NS)
			*fields[i] = now;
		else /* what lies before 1970 or after 2262 becomes that */
			*fields[i] =
			        (u64)(seconds < 0 ? 0 : (s64)min_u64((u64)seconds, SECONDS_MAX - 1)) * (u64)SECOND_NS +
			        (u64)(fraction * (SECOND_NS / unit));
	}
	node->changed = now;
	return 0;
}

s64 call_utimensat(const u64 *a)
{
	u32 node = 0;
	u32 flags = (a[3] & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW) | (a[3] & AT_EMPTY_PATH ? EMPTY_OK : 0);
	if ((u32)a[3] & ~(u32)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || (!a[1] && a[3]))
		return -EINVAL;
	return set_times(a[1] ? own_at((s32)a[0], a[1], flags, &node) : own_open(a[0], &node), &node, a[2], SECOND_NS);
}

s64 call_utimes(const u64 *a)
{
	u32 node = 0;
	return set_times(own_at(AT_FDCWD, a[0], FOLLOW, &node), &node, a[1], 1000000);
}

s64 call_futimesat(const u64 *a)
{
	u32 node = 0;
	return set_times(a[1] ? own_at((s32)a[0], a[1], FOLLOW, &node) : own_open(a[0], &node), &node, a[2], 1000000);
}

s64 call_utime(const u64 *a)
{
	u32 node = 0;
	s64 seconds[2];
	int r = own_at(AT_FDCWD, a[0], FOLLOW, &node);
	if (!a[1] || r)
		return set_times(r, &node, 0, SECOND_NS);
	if (GUEST_GET(seconds, a[1]))
		return -EFAULT;
	u64 *fields[2] = {&node_at(node)->accessed, &node_at(node)->modified};
	for (int i = 0; i < 2; i++)
		*fields[i] =
		        (u64)(seconds[i] < 0 ? 0 : (s64)min_u64((u64)seconds[i], SECONDS_MAX - 1)) * (u64)SECOND_NS;
	node_at(node)->changed = clock_query();
	return 0;
}

/* --- files without a name, and nothing to write back --- */

#define F_SEAL_EXEC_BIT 0x20u /* newer than the headers */

s64 call_memfd_create(const u64 *a)
{
	char name[250], path[280];
	s64 length = guest_string(name, a[0], sizeof name);
	if (length < 0)
		return length == -ENAMETOOLONG ? -EINVAL : length;
	/* MFD_CLOEXEC, _ALLOW_SEALING, _NOEXEC_SEAL, _EXEC; there are no huge pages to have. */
	if ((a[1] & ~0x1bull) || (a[1] & 0x18) == 0x18)
		return -EINVAL;
	u32 node = node_new(S_IFREG | (a[1] & 8 ? 0666 : 0777), 1000);
	if (node == NO_INDEX)
		return -ENOMEM;
	u32 index = description_new(KIND_NODE, O_RDWR | O_LARGEFILE);
	if (index == NO_INDEX) {
		node_release(node);
		return -ENFILE;
	}
	struct description *d = description_at(index);
	format(path, sizeof path, "/memfd:%s (deleted)", name);
	d->path = string_keep(path);
	d->inode = node + 1;
	d->node = node;
	d->mode = node_at(node)->mode;
	node_at(node)->references++;
	node_at(node)->seals = a[1] & 8 ? F_SEAL_EXEC_BIT : a[1] & 2 ? 0 : F_SEAL_SEAL;
	return descriptor_put(index, a[1] & 1, 0);
}

static s64 open_at_all(const u64 *a)
{
	return descriptor_open(a[0]) ? 0 : -EBADF;
}

/* Only files and directories can be synced. */
static s64 sync_one(const u64 *a)
{
	const struct description *d = descriptor_open(a[0]);
	if (!d)
		return -EBADF;
	return d->kind == KIND_HOST || d->kind == KIND_NODE || d->kind == KIND_DIRECTORY ? 0 : -EINVAL;
}

s64 call_fsync(const u64 *a)
{
	return sync_one(a);
}

s64 call_fdatasync(const u64 *a)
{
	return sync_one(a);
}

s64 call_syncfs(const u64 *a)
{
	return open_at_all(a);
}

static bool is_pipe(const struct description *d)
{
	return d->kind == KIND_PIPE || d->kind == KIND_INPUT || d->kind == KIND_OUTPUT;
}

s64 call_sync_file_range(const u64 *a)
{
	const struct description *d = descriptor_open(a[0]);
	if (!d)
		return -EBADF;
	if (a[3] & ~7ull || (s64)a[1] < 0 || (s64)(a[1] + a[2]) < (s64)a[1])
		return -EINVAL;
	return d->kind == KIND_HOST || d->kind == KIND_NODE || d->kind == KIND_DIRECTORY ? 0 : -ESPIPE;
}

s64 call_fadvise64(const u64 *a)
{
	const struct description *d = descriptor_open(a[0]);
	return !d ? -EBADF : is_pipe(d) ? -ESPIPE : a[3] > 5 || (s64)a[2] < 0 ? -EINVAL : 0;
}

s64 call_readahead(const u64 *a)
{
	const struct description *d = descriptor_open(a[0]);
	if (!d || (d->flags & ACCESS_MODE) == O_WRONLY)
		return -EBADF;
	return d->kind == KIND_HOST || d->kind == KIND_NODE ? 0 : -EINVAL;
}

s64 call_sync(const u64 *a)
{
	(void)a;
	return 0;
}
