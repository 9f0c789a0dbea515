#include "mountpoint.h"
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
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

static enum zvm_mountpoint kind_of(char *line, const char *path)
{
	char *save = NULL, *field = strtok_r(line, " ", &save);
	for (int i = 0; field && i < 4; i++)
		field = strtok_r(NULL, " ", &save);
	if (!field)
		return ZVM_NOT_A_MOUNT;
	unescape(field);
	if (strcmp(field, path))
		return ZVM_NOT_A_MOUNT;
	while (field && strcmp(field, "-"))
		field = strtok_r(NULL, " ", &save);
	field = field ? strtok_r(NULL, " ", &save) : NULL;
	return field && !strcmp(field, "fuse.zvm") ? ZVM_OUR_MOUNT : ZVM_FOREIGN_MOUNT;
}

enum zvm_mountpoint zvm_mountpoint_look(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	zvm_autofree char *line = NULL;
	size_t room = 0;
	enum zvm_mountpoint result = ZVM_NOT_A_MOUNT;
	if (!file)
		return result;
	while (getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = 0;
		enum zvm_mountpoint here = kind_of(line, path);
		if (here != ZVM_NOT_A_MOUNT)
			result = here; /* the last one is on top */
	}
	fclose(file);
	return result;
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
