/*
 * The walk.
 *
 * Two things are kept in step: the guest path resolved so far, and an O_PATH descriptor of the same place on the host.
 * One component at a time is opened with O_PATH | O_NOFOLLOW below the current descriptor, so a symbolic link is
 * noticed, read, and its target walked in the guest's view: an absolute target starts again at the guest's root, `..`
 * drops the last component of the guest path and goes down again by name. Whoever swaps a component meanwhile gets at
 * most a place below the same host root, since no step can leave it: names with `..` never reach the kernel, nor does
 * any link.
 *
 * Most paths hold no link. openat2 with RESOLVE_NO_SYMLINKS walks such a path in one call, and where that finds
 * nothing, nothing is there; only if it met a link, or something else to be looked at closely, are the single steps
 * taken.
 */
#include "walk.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "roots.h"

#define LINKS_MAX 40
#define NAME_LENGTH_MAX 255

void zvm_walk_close(struct zvm_walk *w)
{
	zvm_close_pointer(&w->fd);
	w->fd = -1;
}

/* Ends the walk with what the guest is told. */
static int tell(struct zvm_walk *w, int error)
{
	w->outcome = ZVM_WALK_ERROR;
	w->error = error;
	return 0;
}

/* What the kernel said about a path is the guest's business, anything else (EMFILE, ENOMEM, EIO) is our trouble. */
static int tell_errno(struct zvm_walk *w, int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case ENAMETOOLONG:
	case ELOOP: return tell(w, -error);
	case ENXIO:
	case ENODEV:
	case ESTALE: return tell(w, -ENOENT);
	default: return -error;
	}
}

/* a, b and c as one path, with single slashes between those that are not empty; false if it is too long. */
static bool join(char to[ZVM_PATH_MAX], const char *a, const char *b, const char *c)
{
	char joined[ZVM_PATH_MAX];
	const char *slash_b = *a && *b && a[strlen(a) - 1] != '/' ? "/" : "";
	const char *slash_c = (*a || *b) && *c && (*b ? b[strlen(b) - 1] : a[strlen(a) - 1]) != '/' ? "/" : "";
	int n = snprintf(joined, sizeof joined, "%s%s%s%s%s", a, slash_b, b, slash_c, c);
	if (n < 0 || n >= (int)sizeof joined)
		return false;
	memcpy(to, joined, (size_t)n + 1);
	return true;
}

static bool at_root(const struct zvm_walk *w)
{
	return !*w->guest;
}

/*
 * The path goes on where the monitor keeps house. Said only if a link or `..` led here: to be asked directly about a
 * place that is no host place means that the monitor has nothing there either.
 */
static int leave(struct zvm_walk *w, const char *name)
{
	if (!w->moved)
		return tell(w, -ENOENT);
	char place[ZVM_PATH_MAX];
	if (!join(place, at_root(w) ? "/" : w->guest, name, w->rest))
		return tell(w, -ENAMETOOLONG);
	size_t length = strlen(place);
	memcpy(w->target, place, length + 1);
	if (w->directory_wanted && length > 1) {
		if (length + 2 > sizeof w->target)
			return tell(w, -ENAMETOOLONG);
		memcpy(w->target + length, "/", 2);
	}
	w->outcome = ZVM_WALK_ELSEWHERE;
	return 0;
}

/* Start again from the guest's root, with `guest` (resolved) and `more` before what is still to go. */
static int restart(struct zvm_walk *w, const char *guest, const char *more)
{
	if (!join(w->rest, guest + (*guest == '/'), more, w->rest))
		return tell(w, -ENAMETOOLONG);
	zvm_walk_close(w);
	*w->guest = 0;
	w->moved = w->whole = true;
	return 1;
}

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
}

static int follow_link(struct zvm_walk *w)
{
	char target[ZVM_PATH_MAX];
	size_t length = strlen(w->target);
	if (++w->links > LINKS_MAX)
		return tell(w, -ELOOP);
	if (!length)
		return tell(w, -ENOENT);
	if (!*w->rest && w->target[length - 1] == '/')
		w->directory_wanted = true;
	memcpy(target, w->target, length + 1);
	while (length > 1 && target[length - 1] == '/')
		target[--length] = 0;
	drop_last(w->guest);
	return restart(w, *target == '/' ? "" : w->guest, target + strspn(target, "/"));
}

/* w->fd is new: look at it. Goes on (1) through directories; ends at files, and at links that are the last and not to
 * be followed. */
static int arrive(struct zvm_walk *w, bool follow)
{
	if (fstat(w->fd, &w->st) < 0)
		return -errno;
	if (S_ISDIR(w->st.st_mode))
		return 1;
	if (S_ISREG(w->st.st_mode)) {
		if (*w->rest || w->directory_wanted)
			return tell(w, -ENOTDIR);
		w->outcome = ZVM_WALK_PLACE;
		return 0;
	}
	if (!S_ISLNK(w->st.st_mode)) /* devices, FIFOs and sockets do not exist */
		return tell(w, -ENOENT);
	ssize_t n = readlinkat(w->fd, "", w->target, sizeof w->target - 1);
	if (n < 0)
		return -errno;
	w->target[n] = 0;
	if (*w->rest || follow || w->directory_wanted)
		return follow_link(w);
	w->outcome = ZVM_WALK_PLACE;
	return 0;
}

/* The pinned script needs no look at the host. 1: `path` is something else. */
static int arrive_pinned(struct zvm_walk *w, const char *path)
{
	if (!w->pinned_name || strncmp(path, "/script/", 8))
		return 1;
	size_t length = strlen(w->pinned_name);
	if (strncmp(path + 8, w->pinned_name, length) || (path[8 + length] && path[8 + length] != '/'))
		return 1;
	if (path[8 + length] || w->directory_wanted)
		return tell(w, -ENOTDIR);
	memmove(w->guest, path, strlen(path) + 1);
	w->outcome = ZVM_WALK_PINNED;
	return 0;
}

/* No empty component, `.` or `..` in it. */
static bool is_plain(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");
		if (!length || (length <= 2 && !strncmp(path, "..", length)))
			return false;
		path += length;
		path += *path == '/';
	}
	return true;
}

static bool etc_hidden(const char *path)
{
	return !strncmp(path, "/etc/", 5) && !zvm_root_etc_shown(path + 5);
}

/* All of the rest in one call. 1: as far as it could be; w->whole is false if steps must be taken. */
static int walk_whole(struct zvm_walk *w, bool follow)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	                       .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	char path[ZVM_PATH_MAX];
	w->whole = false;
	if (!*w->rest || !is_plain(w->rest) || !join(path, at_root(w) ? "/" : w->guest, w->rest, ""))
		return 1;
	if (!zvm_root_is_host(path + 1, strcspn(path + 1, "/")) || etc_hidden(path))
		return 1;
	int r = arrive_pinned(w, path);
	if (r != 1)
		return r;
	bool below_script = !strncmp(path, "/script/", 8);
	if ((below_script && w->script < 0) || !strcmp(path, "/script"))
		return 1;
	int fd = (int)syscall(SYS_openat2, below_script ? w->script : w->root, path + (below_script ? 8 : 1), &how,
	                      sizeof how);
	if (fd < 0) /* without a link on the way, an absence is one */
		return errno == ENOENT ? tell(w, -ENOENT) : 1;
	zvm_walk_close(w);
	w->fd = fd;
	memcpy(w->guest, path, strlen(path) + 1);
	*w->rest = 0;
	return arrive(w, follow);
}

static int open_below(const struct zvm_walk *w, const char *name)
{
	if (!at_root(w))
		return openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (!strcmp(name, "script"))
		return fcntl(w->script, F_DUPFD_CLOEXEC, 0);
	return openat(w->root, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Into `name` of the directory we are in. */
static int enter(struct zvm_walk *w, const char *name, bool follow)
{
	char path[ZVM_PATH_MAX];
	if (!join(path, at_root(w) ? "/" : w->guest, name, ""))
		return tell(w, -ENAMETOOLONG);
	if ((at_root(w) && !zvm_root_is_host(name, strlen(name))) || etc_hidden(path))
		return leave(w, name);
	int r = arrive_pinned(w, path);
	if (r != 1) {
		if (r == 0 && w->outcome == ZVM_WALK_PINNED && *w->rest)
			return tell(w, -ENOTDIR);
		return r;
	}
	if (w->script < 0 && !strcmp(w->guest, "/script"))
		return tell(w, -ENOENT);
	if (w->script < 0 && !strcmp(path, "/script")) {
		w->st = (struct stat){.st_mode = S_IFDIR | 0755};
		memcpy(w->guest, path, strlen(path) + 1);
		return 1;
	}
	int fd = open_below(w, name);
	if (fd < 0)
		return tell_errno(w, errno);
	zvm_walk_close(w);
	w->fd = fd;
	memcpy(w->guest, path, strlen(path) + 1);
	return arrive(w, follow);
}

/* Takes the next component off the rest. 1: name is set; 0: there is none; -ENAMETOOLONG. */
static int next_component(struct zvm_walk *w, char name[NAME_LENGTH_MAX + 1])
{
	const char *start = w->rest + strspn(w->rest, "/");
	size_t length = strcspn(start, "/");
	if (length > NAME_LENGTH_MAX)
		return -ENAMETOOLONG;
	memcpy(name, start, length);
	name[length] = 0;
	start += length;
	start += strspn(start, "/");
	memmove(w->rest, start, strlen(start) + 1);
	return length > 0;
}

/* 1: go on; 0: w->outcome is set; < 0: trouble. Between steps we are always in a directory. */
static int step(struct zvm_walk *w, bool follow)
{
	char name[NAME_LENGTH_MAX + 1];
	int r = next_component(w, name);
	if (r < 0)
		return tell(w, r);
	if (r == 0 && at_root(w))
		return leave(w, "");
	if (r == 0) {
		w->outcome = ZVM_WALK_PLACE;
		return 0;
	}
	if (!strcmp(name, "."))
		return 1;
	if (strcmp(name, ".."))
		return enter(w, name, follow);
	drop_last(w->guest);
	char parent[ZVM_PATH_MAX];
	memcpy(parent, w->guest, strlen(w->guest) + 1);
	return restart(w, parent, "");
}

int zvm_walk(struct zvm_walk *w, const char *path, bool follow)
{
	size_t length = strlen(path);
	if (*path != '/')
		return tell(w, -ENOENT);
	if (length >= sizeof w->rest)
		return tell(w, -ENAMETOOLONG);
	while (length > 1 && path[length - 1] == '/') {
		w->directory_wanted = true;
		length--;
	}
	memcpy(w->rest, path + 1, length - 1);
	w->rest[length - 1] = 0;
	w->whole = true;
	int r;
	do
		r = w->whole ? walk_whole(w, follow) : step(w, follow);
	while (r > 0);
	return r;
}
