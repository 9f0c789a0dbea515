/*
 * The least that a FUSE file costs: the regular files of one directory, served by libfuse as they are.
 *
 *     passthrough DIRECTORY MOUNTPOINT
 *
 * Pages are kept (keep_cache) and names and attributes are known for a second, as in libfuse's own example; the loop
 * has as many threads as zvm's. It stays in the foreground and unmounts at SIGTERM. The benchmark opens the same page
 * here and in zvm.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT 1.0
#define FILES_MAX 16

static int directory;
static char *names[FILES_MAX]; /* inode number: FUSE_ROOT_ID + 1 + index; never forgotten */

static int look(fuse_ino_t number, struct stat *st)
{
	const char *name = number == FUSE_ROOT_ID ? "" : names[number - FUSE_ROOT_ID - 1];
	int r = fstatat(directory, name, st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	st->st_ino = number;
	return r;
}

static void op_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.entry_timeout = TIMEOUT, .attr_timeout = TIMEOUT};
	fuse_ino_t i = 0;
	(void)parent;
	while (i < FILES_MAX - 1 && names[i] && strcmp(names[i], name) != 0)
		i++;
	if (!names[i])
		names[i] = strdup(name);
	entry.ino = FUSE_ROOT_ID + 1 + i;
	int r = names[i] && !strcmp(names[i], name) ? look(entry.ino, &entry.attr) : ENOMEM;
	if (r)
		fuse_reply_err(request, r);
	else
		fuse_reply_entry(request, &entry);
}

static void op_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct stat st;
	(void)info;
	int r = look(number, &st);
	if (r)
		fuse_reply_err(request, r);
	else
		fuse_reply_attr(request, &st, TIMEOUT);
}

static void op_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	int fd = openat(directory, names[number - FUSE_ROOT_ID - 1], O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fuse_reply_err(request, errno);
		return;
	}
	info->fh = (uint64_t)fd;
	info->keep_cache = 1;
	fuse_reply_open(request, info);
}

static void op_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
	(void)number;
	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = (int)info->fh;
	data.buf[0].pos = offset;
	fuse_reply_data(request, &data, FUSE_BUF_SPLICE_MOVE);
}

static void op_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	(void)number;
	close((int)info->fh);
	fuse_reply_err(request, 0);
}

static const struct fuse_lowlevel_ops operations = {
        .lookup = op_lookup, .getattr = op_getattr, .open = op_open, .read = op_read, .release = op_release};

static int serve(struct fuse_session *session)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (!config)
		return 1;
	fuse_loop_cfg_set_max_threads(config, 4);
	int r = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return r < 0;
}

int main(int argc, char **argv)
{
	char *arguments[] = {argv[0], (char[]){"-o"}, (char[]){"ro,fsname=passthrough"}, NULL};
	struct fuse_args fuse = FUSE_ARGS_INIT(3, arguments);
	if (argc != 3 || (directory = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		fprintf(stderr, "usage: passthrough DIRECTORY MOUNTPOINT\n");
		return 2;
	}
	int status = 1;
	struct fuse_session *session = fuse_session_new(&fuse, &operations, sizeof operations, NULL);
	if (session && fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, argv[2]) == 0) {
		status = serve(session);
		fuse_session_unmount(session);
	}
	if (session)
		fuse_session_destroy(session);
	return status;
}
