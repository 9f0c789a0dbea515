#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/inputs.h>

#define AGAIN_MAX 1000

struct zvm_inputs {
	int directory;
	bool follow;
	char *hidden; /* relative path of our own mount; NULL: not below */
};

static int find_hidden(const char *directory, const char *mountpoint, char **ret)
{
	zvm_autofree char *real = realpath(directory, NULL);
	if (!real)
		return -errno;
	size_t n = strlen(real);
	if (n == 1)
		n = 0; /* "/" */
	if (!mountpoint || strncmp(mountpoint, real, n) || mountpoint[n] != '/' || !mountpoint[n + 1])
		return 0;
	*ret = strdup(mountpoint + n + 1);
	return *ret ? 0 : -ENOMEM;
}

int zvm_inputs_open(const char *directory, const char *mountpoint, bool follow, struct zvm_inputs **ret)
{
	struct zvm_inputs *inputs = calloc(1, sizeof *inputs);
	if (!inputs)
		return -ENOMEM;
	inputs->follow = follow;
	inputs->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = inputs->directory < 0 ? -errno : find_hidden(directory, mountpoint, &inputs->hidden);
	if (r) {
		zvm_inputs_close(inputs);
		return r;
	}
	*ret = inputs;
	return 0;
}

void zvm_inputs_close(struct zvm_inputs *inputs)
{
	if (!inputs)
		return;
	zvm_close_pointer(&inputs->directory);
	free(inputs->hidden);
	free(inputs);
}

static bool is_hidden(const struct zvm_inputs *inputs, const char *path)
{
	size_t n = inputs->hidden ? strlen(inputs->hidden) : 0;
	return n && !strncmp(path, inputs->hidden, n) && (!path[n] || path[n] == '/');
}

/* Names and single slashes between them: with `.` or `..` in it, a path could mean the mount without naming it. */
static bool is_plain(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");
		if (!length || (length <= 2 && !strncmp(path, "..", length)))
			return false;
		path += length;
		if (*path == '/' && !*++path)
			return false;
	}
	return true;
}

/*
 * Where a link holds `..`, the kernel says EAGAIN whenever something, anywhere, was renamed or mounted at the same
 * time, for it can no longer be sure that the way stayed beneath.
 */
static int open_how(const struct zvm_inputs *inputs, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve};
	for (int tries = 0;; tries++) {
		int fd = (int)syscall(SYS_openat2, inputs->directory, *path ? path : ".", &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN || tries == AGAIN_MAX)
			return fd < 0 ? -errno : fd;
	}
}

/*
 * Within one filesystem first: that can never meet our mount. If other filesystems are mounted below, the way there
 * must hold no link while our own mount is below, too, since a link could lead into it by a name we do not know.
 */
static int open_input(const struct zvm_inputs *inputs, const char *path, int flags)
{
	uint64_t resolve = RESOLVE_NO_MAGICLINKS | (inputs->follow ? 0 : RESOLVE_BENEATH);
	if (!is_plain(path) || is_hidden(inputs, path))
		return -ENOENT;
	int fd = open_how(inputs, path, flags, resolve | RESOLVE_NO_XDEV);
	if (fd == -EXDEV)
		fd = open_how(inputs, path, flags, resolve | (inputs->hidden ? RESOLVE_NO_SYMLINKS : 0));
	return fd == -EXDEV || fd == -ELOOP || fd == -ENXIO ? -ENOENT : fd;
}

int zvm_inputs_stat(struct zvm_inputs *inputs, const char *path, struct stat *ret)
{
	zvm_autofd int fd = open_input(inputs, path, O_PATH);
	if (fd < 0)
		return fd;
	if (fstat(fd, ret) < 0)
		return -errno;
	return S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode) ? 0 : -ENOENT;
}

int zvm_inputs_open_file(struct zvm_inputs *inputs, const char *path, int *ret_fd)
{
	struct stat st;
	zvm_autofd int fd = open_input(inputs, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENOENT;
	*ret_fd = zvm_steal_fd(&fd);
	return 0;
}

void zvm_inputs_free_names(struct zvm_input_name *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i].name);
	free(names);
}

static int join(const char *directory, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s%s%s", directory, *directory ? "/" : "", name) < PATH_MAX ? 0
	                                                                                             : -ENAMETOOLONG;
}

/* 1 file, 2 directory, 0 not to be seen. */
static int classify(struct zvm_inputs *inputs, const char *directory, const struct dirent *d)
{
	char path[PATH_MAX];
	struct stat st;
	if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") || join(directory, d->d_name, path) ||
	    is_hidden(inputs, path))
		return 0;
	if (d->d_type == DT_REG || d->d_type == DT_DIR)
		return d->d_type == DT_REG ? 1 : 2;
	if (d->d_type != DT_LNK && d->d_type != DT_UNKNOWN)
		return 0;
	if (zvm_inputs_stat(inputs, path, &st))
		return 0;
	return S_ISREG(st.st_mode) ? 1 : 2;
}

int zvm_inputs_list(struct zvm_inputs *inputs, const char *path, struct zvm_input_name **ret, size_t *ret_count)
{
	struct zvm_input_name *names = NULL;
	size_t count = 0, room = 0;
	int fd = open_input(inputs, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	int r = 0;
	while (r == 0) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d) {
			r = -errno; /* half a listing is none */
			break;
		}
		int kind = classify(inputs, path, d);
		if (!kind)
			continue;
		if (count == room) {
			room = room ? room * 2 : 64;
			struct zvm_input_name *more = realloc(names, room * sizeof *names);
			if (!more) {
				r = -ENOMEM;
				break;
			}
			names = more;
		}
		names[count] = (struct zvm_input_name){strdup(d->d_name), kind == 2};
		r = names[count++].name ? 0 : -ENOMEM;
	}
	closedir(dir);
	if (r) {
		zvm_inputs_free_names(names, count);
		return r;
	}
	*ret = names;
	*ret_count = count;
	return 0;
}
