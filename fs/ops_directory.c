/*
 * Listing. A directory is read when it is opened and kept with the handle, so that a listing is one moment's, offsets
 * are positions in it, and 100,000 names are not walked anew for each buffer. Listing runs nothing and asks for nothing
 * but names.
 */
#include "ops.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct listing {
	struct zvm_input_name *names;
	size_t count, room;
};

static int add(struct listing *l, const char *name, bool is_directory)
{
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 32;
		struct zvm_input_name *more = realloc(l->names, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		l->names = more;
		l->room = room;
	}
	l->names[l->count] = (struct zvm_input_name){strdup(name), is_directory};
	return l->names[l->count++].name ? 0 : -ENOMEM;
}

static int list_root(struct listing *l)
{
	static const char *const directories[] = {"cas", "err", "info", "run", "stream"};
	int r = add(l, "README", false);
	for (size_t i = 0; r == 0 && i < sizeof directories / sizeof directories[0]; i++)
		r = add(l, directories[i], true);
	return r ? r : add(l, "stats", false);
}

static int list_script_directory(struct listing *l, const char *path)
{
	DIR *dir = opendir(path);
	int r = 0;
	if (!dir)
		return 0; /* gone meanwhile: its scripts are, too */
	for (struct dirent *d; r == 0 && (d = readdir(dir));) {
		struct stat st;
		bool seen = false;
		if (*d->d_name == '.' || fstatat(dirfd(dir), d->d_name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
		    faccessat(dirfd(dir), d->d_name, X_OK, AT_EACCESS) < 0)
			continue;
		for (size_t i = 0; i < l->count && !seen; i++)
			seen = !strcmp(l->names[i].name, d->d_name);
		if (!seen)
			r = add(l, d->d_name, true);
	}
	closedir(dir);
	return r;
}

static int list_scripts(const struct zvm_mount *mount, struct listing *l)
{
	int r = 0;
	for (const char *const *s = mount->scripts; r == 0 && s && *s; s++)
		r = list_script_directory(l, *s);
	return r;
}

void zvm_op_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct zvm_inode *inode = zvm_inode_of(number);
	struct zvm_mount *mount = zvm_mount_of(request);
	struct listing *l = calloc(1, sizeof *l);
	int r = l ? 0 : -ENOMEM;
	if (r == 0 && !inode)
		r = list_root(l);
	else if (r == 0 && inode->kind == ZVM_INODE_TREE)
		r = list_scripts(mount, l);
	else if (r == 0 && inode->kind == ZVM_INODE_DIRECTORY)
		r = zvm_inputs_list(mount->inputs, inode->path, &l->names, &l->count);
	if (r) {
		if (l)
			zvm_inputs_free_names(l->names, l->count);
		free(l);
		fuse_reply_err(request, -r);
		return;
	}
	info->fh = (uint64_t)(uintptr_t)l;
	if (fuse_reply_open(request, info)) {
		zvm_inputs_free_names(l->names, l->count);
		free(l);
	}
}

/* Numbers here are only for tools that skip a zero; stat tells the true one. */
static size_t put_entry(fuse_req_t request, char *to, size_t room, const char *name, bool is_directory, size_t position)
{
	struct stat st = {.st_ino = 1024 + position, .st_mode = is_directory ? S_IFDIR : S_IFREG};
	return fuse_add_direntry(request, to, room, name, &st, (off_t)position + 1);
}

void zvm_op_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct listing *l = (struct listing *)(uintptr_t)info->fh;
	char *buffer = malloc(size);
	size_t used = 0;
	(void)number;
	if (!buffer) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	for (size_t at = (size_t)offset; at < l->count + 2; at++) {
		const char *name = at == 0 ? "." : at == 1 ? ".." : l->names[at - 2].name;
		size_t n = put_entry(request, buffer + used, size - used, name, at < 2 || l->names[at - 2].is_directory,
		                     at);
		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(request, buffer, used);
	free(buffer);
}

void zvm_op_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct listing *l = (struct listing *)(uintptr_t)info->fh;
	(void)number;
	zvm_inputs_free_names(l->names, l->count);
	free(l);
	fuse_reply_err(request, 0);
}
