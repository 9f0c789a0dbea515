/*
 * Resolving guest paths. The walk keeps an absolute path of what is resolved and a node while it is among nodes; as
 * soon as a component leads to a host place, the whole rest is one question to the broker, which resolves links and
 * `..` in the guest's view and may send us back with another absolute path to start again from.
 */
#include "files.h"

static bool is_host_root(const char *name, size_t length)
{
	static const char *const roots[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "script"};
	for (u32 i = 0; i < ARRAY_LENGTH(roots); i++)
		if (strlen(roots[i]) == length && !memcmp(roots[i], name, length))
			return true;
	return false;
}

/* What proc.c makes up. */
static bool is_made_root(const char *name, size_t length)
{
	return (length == 4 && !memcmp(name, "proc", 4)) || (length == 3 && !memcmp(name, "sys", 3));
}

/*
 * A walk never waits, so one set of buffers serves all: eight paths on a task's stack would be half of it.
 */
static struct walk {
	char rest[2 * ZVM_PATH_MAX]; /* a working directory and a path that is relative to it */
	u32 node;                    /* directory we are in */
	u32 links;
	u32 resolve, top; /* RESOLVE_*, and the directory that they keep us beneath */
} the_walk;
static char joined[ZVM_PATH_MAX], proc_here[ZVM_PATH_MAX], proc_target[ZVM_PATH_MAX];

/* The part of a path that begins with `name`, put behind the path of directory `node`. */
static int join(u32 node, const char *name, size_t name_length, const char *rest, char to[ZVM_PATH_MAX])
{
	int r = node_path(node, to);
	if (r)
		return r;
	size_t at = to[1] ? strlen(to) : 0, rest_length = strlen(rest);
	if (at + 1 + name_length + 1 + rest_length >= ZVM_PATH_MAX)
		return -ENAMETOOLONG;
	to[at++] = '/';
	memcpy(to + at, name, name_length);
	at += name_length;
	if (rest_length)
		to[at++] = '/';
	memcpy(to + at, rest, rest_length + 1);
	return 0;
}

static int restart(struct walk *w, const char *path)
{
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	memmove(w->rest, path, strlen(path) + 1); /* an answer's text: shorter than ZVM_PATH_MAX */
	w->node = ROOT_NODE;
	return 1;
}

/* A link's target before what is still to go, which may lie in w->rest; the target does not. */
static int follow(struct walk *w, const char *target, const char *rest)
{
	size_t length = strlen(target), rest_length = strlen(rest);
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (length + 1 + rest_length >= sizeof w->rest)
		return -ENAMETOOLONG;
	memmove(w->rest + length + (rest_length != 0), rest, rest_length + 1);
	if (rest_length)
		w->rest[length] = '/';
	memcpy(w->rest, target, length);
	if (*target == '/' && (w->resolve & RESOLVE_BENEATH))
		return -EXDEV;
	if (*target == '/')
		w->node = w->resolve & RESOLVE_IN_ROOT ? w->top : ROOT_NODE;
	return 1;
}

/* The rest of the way is the host's. */
static int ask_the_host(struct walk *w, const char *path, u32 flags, struct place *ret)
{
	bool trailing = path[strlen(path) - 1] == '/';
	ret->opened = flags & OPENING;
	ret->native_fd = -1;
	if (ret->opened)
		ask_open(path, (flags & FOLLOW) || trailing, &ret->answer, &ret->native_fd);
	else
		ask_lookup(path, (flags & FOLLOW) || trailing, &ret->answer);
	if (ret->answer.elsewhere)
		return restart(w, ret->answer.text);
	ret->kind = PLACE_HOST;
	format(ret->path, sizeof ret->path, "%s", path);
	return ret->answer.error;
}

/* Takes the last component off. False: nothing is left, which is the root. */
static bool up(char *path)
{
	*strrchr(path, '/') = 0;
	return *path;
}

/* A link of /proc: /proc/self/fd/3 leads to the open file itself, the others to their text. */
static int proc_link(struct walk *w, const char *rest, bool last, struct place *ret)
{
	u32 description = proc_descriptor(proc_here);
	bool magic = description != NO_INDEX || *proc_target == '/';
	if ((w->resolve & RESOLVE_NO_SYMLINKS) || (magic && (w->resolve & RESOLVE_NO_MAGICLINKS)))
		return -ELOOP;
	if (description != NO_INDEX && last) {
		ret->kind = PLACE_DESCRIPTION;
		ret->description = description;
		return 0;
	}
	if (*proc_target == '/')
		return follow(w, proc_target, rest);
	if (!*proc_target) /* of a process that is over */
		return -ENOENT;
	up(proc_here); /* self -> 1: beside itself */
	size_t length = strlen(proc_here), target_length = strlen(proc_target);
	if (length + 1 + target_length >= sizeof proc_here)
		return -ENAMETOOLONG;
	proc_here[length] = '/';
	memcpy(proc_here + length + 1, proc_target, target_length + 1);
	return follow(w, proc_here, rest);
}

/* Component by component, because self, exe, cwd, root and fd/N are links. */
static int proc_place(struct walk *w, const char *path, u32 flags, struct place *ret)
{
	size_t root = path[1] == 'p' ? 5 : 4; /* "/proc" or "/sys" */
	const char *at = path + root;
	memcpy(proc_here, path, root);
	proc_here[root] = 0;
	for (;;) {
		while (*at == '/')
			at++;
		const char *end = at;
		while (*end && *end != '/')
			end++;
		size_t length = (size_t)(end - at), so_far = strlen(proc_here);
		if (!length)
			break;
		if (length > NAME_LENGTH_MAX || so_far + length + 2 > sizeof proc_here)
			return -ENAMETOOLONG;
		const char *rest = end;
		while (*rest == '/')
			rest++;
		if (length == 2 && at[0] == '.' && at[1] == '.') {
			if (!up(proc_here))
				return follow(w, "/", rest);
			at = end;
			continue;
		}
		if (length == 1 && *at == '.') {
			at = end;
			continue;
		}
		proc_here[so_far] = '/';
		memcpy(proc_here + so_far + 1, at, length);
		proc_here[so_far + 1 + length] = 0;
		u32 mode = proc_mode(proc_here, proc_target);
		if (!mode)
			return -ENOENT;
		if ((mode & S_IFMT) == S_IFLNK && (*end || (flags & FOLLOW)))
			return proc_link(w, *rest || !*end ? rest : "/", !*end, ret);
		if ((mode & S_IFMT) != S_IFDIR && *end)
			return -ENOTDIR;
		at = end;
	}
	ret->kind = PLACE_PROC;
	format(ret->path, sizeof ret->path, "%s", proc_here);
	return 0;
}

/* Does `name` in directory `node` leave the nodes? Then the whole path goes to whoever knows. */
static bool leaves_nodes(u32 node, const char *name, size_t length)
{
	if (node == ROOT_NODE)
		return is_host_root(name, length) || is_made_root(name, length);
	return node_at(node)->parent == ROOT_NODE && node == directory_find(ROOT_NODE, "etc", 3) &&
	       directory_find(node, name, length) == NO_INDEX;
}

/* The host resolves what is the host's, and the guest's ways to resolve mean nothing to it. */
static int leave_restricted(u32 resolve)
{
	if (resolve & RESOLVE_CACHED)
		return -EAGAIN; /* callers ask again without */
	if (resolve & RESOLVE_NO_XDEV)
		return -EXDEV;
	return (int)refuse("openat2(resolve)", ENOSYS); /* libraries fall back to openat */
}

static int leave(struct walk *w, const char *name, size_t length, const char *rest, u32 flags, struct place *ret)
{
	bool proc = w->node == ROOT_NODE && is_made_root(name, length);
	if (w->resolve & ~(u32)RESOLVE_NO_MAGICLINKS)
		return leave_restricted(w->resolve);
	int r = join(w->node, name, length, rest, joined);
	if (r)
		return r;
	return proc ? proc_place(w, joined, flags, ret) : ask_the_host(w, joined, flags, ret);
}

static int arrived(u32 directory, const char *name, size_t length, u32 node, bool trailing, struct place *ret)
{
	ret->kind = PLACE_NODE;
	ret->directory = directory;
	ret->node = node;
	ret->trailing_slash = trailing;
	memcpy(ret->name, name, length);
	ret->name[length] = 0;
	if (trailing && node != NO_INDEX && (node_at(node)->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	return 0;
}

static void go_on(struct walk *w, u32 node, const char *rest)
{
	w->node = node;
	memmove(w->rest, rest, strlen(rest) + 1);
}

/* The directory above, or where the guest wants to be kept in, itself. */
static int above(const struct walk *w, u32 *ret)
{
	*ret = node_at(w->node)->parent;
	if (w->node == w->top && (w->resolve & RESOLVE_BENEATH))
		return -EXDEV;
	if (w->node == w->top && (w->resolve & RESOLVE_IN_ROOT))
		*ret = w->node;
	return 0;
}

/* One component. 1: go on; 0: arrived; -errno. */
static int step(struct walk *w, u32 flags, struct place *ret)
{
	const char *name = w->rest;
	while (*name == '/')
		name++;
	const char *end = name;
	while (*end && *end != '/')
		end++;
	size_t length = (size_t)(end - name);
	const char *after = end;
	while (*after == '/')
		after++;
	bool last = !*after, slash = *end;
	const char *rest = last && slash ? "/" : after; /* a trailing slash survives joining and following */
	struct node *directory = node_at(w->node);
	if (length > NAME_LENGTH_MAX)
		return -ENAMETOOLONG;
	if (!length)
		return arrived(directory->parent, ".", 1, w->node, false, ret);
	if (!node_may(directory, 1))
		return -EACCES;
	if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) {
		u32 there = w->node;
		int r = length == 1 ? 0 : above(w, &there);
		if (r)
			return r;
		if (last)
			return arrived(node_at(there)->parent, length == 1 ? "." : "..", length, there, false, ret);
		go_on(w, there, after);
		return 1;
	}
	if (leaves_nodes(w->node, name, length))
		return leave(w, name, length, rest, flags, ret);
	u32 child = directory_find(w->node, name, length);
	if (child == NO_INDEX) /* in a directory that has been removed nothing can be made */
		return last && (flags & WANT_PARENT) && directory->links
		               ? arrived(w->node, name, length, NO_INDEX, slash, ret)
		               : -ENOENT;
	struct node *node = node_at(child);
	if ((node->mode & S_IFMT) == S_IFLNK && (!last || (flags & FOLLOW) || slash))
		return w->resolve & RESOLVE_NO_SYMLINKS ? -ELOOP : follow(w, block_at(node->root), rest);
	if (last)
		return arrived(w->node, name, length, child, slash, ret);
	if ((node->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	go_on(w, child, after);
	return 1;
}

static int walk(struct walk *w, u32 start, u32 flags, struct place *ret)
{
	int r;
	ret->trailing_slash = false;
	ret->kind = PLACE_NODE;
	ret->node = NO_INDEX;
	w->node = w->top = start;
	w->links = 0;
	w->resolve = flags >> 8;
	do
		r = step(w, flags, ret);
	while (r > 0);
	return r;
}

int place_find_path(const char *path, u32 flags, struct place *ret)
{
	memmove(the_walk.rest, path, strlen(path) + 1);
	return walk(&the_walk, ROOT_NODE, flags, ret);
}

int description_path(u32 index, char path[ZVM_PATH_MAX])
{
	const struct description *d = description_at(index);
	if (d->node != NO_INDEX)
		return node_path(d->node, path);
	if (d->path == NO_INDEX)
		return -ENOTDIR;
	format(path, ZVM_PATH_MAX, "%s", string_at(d->path));
	return 0;
}

static int find_empty(s64 directory_fd, struct place *ret)
{
	u32 index;
	if ((s32)directory_fd == AT_FDCWD)
		return place_find_path(process_self()->directory, FOLLOW, ret);
	if (!descriptor_get((u32)directory_fd, &index))
		return -EBADF;
	ret->kind = PLACE_DESCRIPTION;
	ret->description = index;
	return 0;
}

/* Puts the path of the directory before what is in w->rest. */
static void put_before(struct walk *w, const char *base)
{
	size_t length = strlen(base), rest_length = strlen(w->rest);
	memmove(w->rest + length + 1, w->rest, rest_length + 1); /* both are shorter than ZVM_PATH_MAX */
	memcpy(w->rest, base, length);
	w->rest[length] = '/';
}

/* The node to start from, and to stay beneath. */
static int start_beneath(s64 directory_fd, u32 resolve, u32 *start)
{
	struct place here;
	const struct description *d = descriptor_get((u32)directory_fd, NULL);
	if ((s32)directory_fd == AT_FDCWD) {
		*start = place_find_path(process_self()->directory, 0, &here) || here.kind != PLACE_NODE ? NO_INDEX
		                                                                                         : here.node;
	} else {
		if (!d)
			return -EBADF;
		if ((d->mode & S_IFMT) != S_IFDIR)
			return -ENOTDIR;
		*start = d->node;
	}
	return *start == NO_INDEX ? leave_restricted(resolve) : 0;
}

static int find_beneath(s64 directory_fd, u64 guest_path, u32 flags, struct place *ret)
{
	u32 start;
	int r = start_beneath(directory_fd, flags >> 8, &start);
	s64 length = r ? r : guest_string(the_walk.rest, guest_path, ZVM_PATH_MAX);
	if (length <= 0)
		return length ? (int)length : -ENOENT;
	if (*the_walk.rest == '/' && (flags & RESOLVE(RESOLVE_BENEATH)))
		return -EXDEV;
	return walk(&the_walk, start, flags, ret);
}

int place_find(s64 directory_fd, u64 guest_path, u32 flags, struct place *ret)
{
	struct walk *w = &the_walk;
	u32 start = ROOT_NODE;
	ret->kind = PLACE_NODE; /* callers look at it on failure, too */
	if (flags & RESOLVE(RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return find_beneath(directory_fd, guest_path, flags, ret);
	s64 length = guest_string(w->rest, guest_path, ZVM_PATH_MAX);
	if (length < 0)
		return (int)length;
	if (!length)
		return flags & EMPTY_OK ? find_empty(directory_fd, ret) : -ENOENT;
	if (*w->rest == '/')
		return walk(w, start, flags, ret);
	if ((s32)directory_fd == AT_FDCWD) {
		put_before(w, process_self()->directory);
		return walk(w, start, flags, ret);
	}
	const struct description *d = descriptor_get((u32)directory_fd, NULL);
	if (!d)
		return -EBADF;
	if ((d->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	if (d->node != NO_INDEX) /* wherever it has been moved to */
		start = d->node;
	else
		put_before(w, string_at(d->path));
	return walk(w, start, flags, ret);
}
