#include "mountpoint.h"
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zvm/cleanup.h>

extern char **environ;

/* mountinfo writes blanks and backslashes as octal. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* What a line of mountinfo tells of a mount, and of which. */
static enum zvm_mountpoint kind_of(char *line, const char **ret_path)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return ZVM_NOT_A_MOUNT;
	unescape(field);
	*ret_path = field;
	while (field && strcmp(field, "-"))
		field = strtok_r(NULL, " ", &save);
	field = field ? strtok_r(NULL, " ", &save) : NULL;
	return field && !strcmp(field, "fuse.zvm") ? ZVM_OUR_MOUNT : ZVM_FOREIGN_MOUNT;
}

static enum zvm_mountpoint look(const char *path, long *owner)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	zvm_autofree char *line = NULL;
	size_t room = 0;
	enum zvm_mountpoint result = ZVM_NOT_A_MOUNT;
	if (!file)
		return result;
	while (getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = 0;
		const char *user = strstr(line, ",user_id=");
		long uid = user ? atol(user + strlen(",user_id=")) : 0;
		const char *at;
		enum zvm_mountpoint here = kind_of(line, &at);
		if (here == ZVM_NOT_A_MOUNT || strcmp(at, path))
			continue;
		result = here; /* the last one is on top */
		*owner = uid;
	}
	fclose(file);
	return result;
}

enum zvm_mountpoint zvm_mountpoint_look(const char *path)
{
	long owner;
	return look(path, &owner);
}

/* Once each, however often something is mounted there. */
static int add_path(char ***paths, size_t *count, const char *path)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp((*paths)[i], path))
			return 0;
	char **more = realloc(*paths, (*count + 2) * sizeof *more);
	if (!more)
		return -ENOMEM;
	*paths = more;
	more[*count] = strdup(path);
	more[*count + 1] = NULL;
	return more[(*count)++] ? 0 : -ENOMEM;
}

int zvm_mountpoint_list(char ***ret)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	zvm_autofree char *line = NULL;
	size_t room = 0, count = 0;
	int r = 0;
	if (!file)
		return -errno;
	*ret = calloc(1, sizeof **ret);
	if (!*ret)
		r = -ENOMEM;
	while (r == 0 && getline(&line, &room, file) > 0) {
		const char *at;
		line[strcspn(line, "\n")] = 0;
		if (kind_of(line, &at) == ZVM_OUR_MOUNT)
			r = add_path(ret, &count, at);
	}
	fclose(file);
	if (r)
		zvm_mountpoint_list_free(*ret);
	return r;
}

void zvm_mountpoint_list_free(char **paths)
{
	for (char **path = paths; path && *path; path++)
		free(*path);
	free(paths);
}

long zvm_mountpoint_owner(const char *path)
{
	long owner = 0;
	look(path, &owner);
	return owner;
}

int zvm_mountpoint_is_stale(const char *path)
{
	struct statfs st;
	/* Attributes may be cached; this the kernel always asks. */
	return statfs(path, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

static int run_fusermount(const char *path, int lazy)
{
	char *arguments[] = {(char[]){"fusermount3"}, lazy ? (char[]){"-uqz"} : (char[]){"-uq"}, (char[]){"--"},
	                     (char *)(size_t)path, NULL};
	pid_t pid;
	int status;
	int r = posix_spawnp(&pid, arguments[0], NULL, NULL, arguments, environ);
	if (r)
		return -r;
	if (waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int zvm_mountpoint_unmount(const char *path, int lazy)
{
	if (umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EPERM ? run_fusermount(path, lazy) : -errno;
}

char *zvm_mountpoint_resolve(const char *path)
{
	char *real = realpath(path, NULL);
	if (real || (errno != ENOTCONN && errno != ECONNABORTED))
		return real;
	/* The mount itself is dead: its directory is not. */
	char copy[PATH_MAX], again[PATH_MAX], *whole = NULL;
	snprintf(copy, sizeof copy, "%s", path);
	snprintf(again, sizeof again, "%s", path);
	zvm_autofree char *parent = realpath(dirname(copy), NULL);
	if (!parent || asprintf(&whole, "%s/%s", strcmp(parent, "/") ? parent : "", basename(again)) < 0)
		return NULL;
	return whole;
}

/* --- which mount a path leads into --- */

#define LINKS_MAX 40

struct way {
	char at[PATH_MAX];   /* so far, without links; "" is the root */
	char rest[PATH_MAX]; /* still to go */
	unsigned links;
};

static void drop_last(char *path)
{
	char *slash = strrchr(path, '/');
	*(slash ? slash : path) = 0;
}

/* The next component off the rest: 1, 0 if there is none, or -ENAMETOOLONG. */
static int next_name(struct way *w, char name[NAME_MAX + 1])
{
	const char *start = w->rest + strspn(w->rest, "/");
	size_t length = strcspn(start, "/");
	if (!length || length > NAME_MAX)
		return length ? -ENAMETOOLONG : 0;
	memcpy(name, start, length);
	name[length] = 0;
	memmove(w->rest, start + length, strlen(start + length) + 1);
	return 1;
}

static int follow(struct way *w, const char *target)
{
	char rest[PATH_MAX];
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (snprintf(rest, sizeof rest, "%s/%s", target, w->rest) >= (int)sizeof rest)
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, sizeof rest);
	if (*target == '/')
		*w->at = 0;
	return 0;
}

/* Into `name`: which is a link, perhaps. A mount is never asked whether it is one. */
static int enter(struct way *w, const char *name, bool *ret_mount)
{
	char target[PATH_MAX];
	size_t n = strlen(w->at);
	if (!strcmp(name, "."))
		return 0;
	if (!strcmp(name, "..")) {
		drop_last(w->at);
		return 0;
	}
	if (snprintf(w->at + n, sizeof w->at - n, "/%s", name) >= (int)(sizeof w->at - n))
		return -ENAMETOOLONG;
	*ret_mount = zvm_mountpoint_look(w->at) == ZVM_OUR_MOUNT;
	if (*ret_mount)
		return 0;
	ssize_t length = readlink(w->at, target, sizeof target - 1);
	if (length < 0)
		return 0;
	target[length] = 0;
	w->at[n] = 0;
	return follow(w, target);
}

/* What is still to go, without what means nothing; -ENOENT if it leads out again. */
static int below(struct way *w, char **ret)
{
	char name[NAME_MAX + 1], path[PATH_MAX] = "";
	int r;
	while ((r = next_name(w, name)) > 0) {
		size_t n = strlen(path);
		if (!strcmp(name, "..") && !*path)
			return -ENOENT;
		if (!strcmp(name, ".."))
			drop_last(path);
		else if (strcmp(name, "."))
			snprintf(path + n, sizeof path - n, "%s%s", n ? "/" : "", name);
	}
	*ret = r ? NULL : strdup(path);
	return r || *ret ? r : -ENOMEM;
}

int zvm_mountpoint_find(const char *path, char **ret_at, char **ret_below)
{
	struct way w = {.links = 0};
	char name[NAME_MAX + 1];
	bool mount = false;
	zvm_autofree char *here = *path == '/' ? NULL : getcwd(NULL, 0);
	if (*path != '/' && !here)
		return -errno;
	if (snprintf(w.rest, sizeof w.rest, "%s/%s", here ? here : "", path) >= (int)sizeof w.rest)
		return -ENAMETOOLONG;
	int r = 0;
	while (r == 0 && !mount && (r = next_name(&w, name)) > 0)
		r = enter(&w, name, &mount);
	if (r || !mount)
		return r ? r : -ENOENT;
	zvm_autofree char *at = strdup(w.at);
	r = at ? below(&w, ret_below) : -ENOMEM;
	if (r == 0)
		*ret_at = zvm_steal_pointer(&at);
	return r;
}
