/*
 * Opening and reading.
 *
 * An open of a name that is bound to a result which still stands is answered with what that wrote; any other that the
 * store can answer is answered on the spot, too. Otherwise it becomes a ticket of the engine and is
 * answered from one of its threads; a reader costs this one struct. An INTERRUPT gives the ticket back and answers
 * EINTR at once.
 *
 * A result is read through the page cache; one of a failed run directly, because only so can a read at its end say EIO.
 * Between LOOKUP, which could only say size 0, and the first read, nothing asks for attributes if the reader uses
 * sendfile, splice or mmap: so before the open is answered, the last byte is stored into the kernel's cache, which
 * moves its idea of the size.
 */
#include "ops.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "content.h"

struct opening {
	pthread_mutex_t lock; /* recursive: `done` may be called while the request is being made */
	fuse_req_t request;
	struct zvm_inode *inode;
	struct fuse_file_info info;
	struct zvm_ticket *ticket;
	struct zvm_result *result;
	mode_t reader; /* zvm_reader_class */
	bool starting, finished, interrupted;
	/* what to do with the result; takes the reference, answers the request */
	void (*then)(struct opening *opening, struct zvm_result *result);
	void (*stat_then)(fuse_req_t request, struct zvm_inode *inode, struct zvm_result *result);
};

static struct opening *new_opening(fuse_req_t request, struct zvm_inode *inode)
{
	pthread_mutexattr_t recursive;
	struct opening *o = calloc(1, sizeof *o);
	if (!o)
		return NULL;
	o->request = request;
	o->inode = inode;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&o->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
	return o;
}

static void free_opening(struct opening *o)
{
	pthread_mutex_destroy(&o->lock);
	free(o);
}

/* --- answering an open --- */

static void extend_size(struct opening *o, const struct zvm_handle *handle)
{
	char last;
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(1);
	if (!handle->size || pread(handle->fd, &last, 1, (off_t)handle->size - 1) != 1)
		return;
	data.buf[0].mem = &last;
	fuse_lowlevel_notify_store(zvm_session_of(o->request), (fuse_ino_t)(uintptr_t)o->inode, (off_t)handle->size - 1,
	                           &data, 0);
}

static void let_go(struct zvm_mount *mount, struct zvm_handle *handle)
{
	if (handle->streams)
		zvm_stream_let_go(mount, handle);
	else
		zvm_handle_free(handle);
}

void zvm_reply_open(fuse_req_t request, struct fuse_file_info *info, struct zvm_handle *handle)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	info->fh = (uint64_t)(uintptr_t)handle;
	if (fuse_reply_open(request, info)) /* the reader is gone: no release will come */
		let_go(mount, handle);
}

static void open_result(struct opening *o, struct zvm_result *result)
{
	struct zvm_mount *mount = zvm_mount_of(o->request);
	struct zvm_handle *handle = zvm_handle_new();
	bool fresh = false;
	int r = handle ? 0 : -ENOMEM;
	if (r)
		zvm_result_unref(result);
	else
		r = zvm_result_open_kind(o->inode->tree, result, handle);
	if (r == 0 && !zvm_may_read(o->reader, result))
		r = -EACCES;
	if (r == 0 && !result->error)
		r = zvm_inode_bind(mount->inodes, o->inode, result, &fresh);
	if (r) {
		zvm_handle_free(handle);
		fuse_reply_err(o->request, -r);
		return;
	}
	/* Texts about a run that has no result are this reader's alone: they are not bound, so not cached either. */
	o->info.direct_io = handle->fails || result->error;
	o->info.keep_cache = !o->info.direct_io;
	if (fresh && !o->info.direct_io)
		extend_size(o, handle);
	zvm_reply_open(o->request, &o->info, handle);
}

static void stat_result(struct opening *o, struct zvm_result *result)
{
	o->stat_then(o->request, o->inode, result);
}

/* --- waiting --- */

/* Answers with what there is; the caller has made sure that nobody else will. */
static void finish(struct opening *o)
{
	/* From here on no interrupt handler runs with `o`: this waits for one that does, which finds it finished. */
	fuse_req_interrupt_func(o->request, NULL, NULL);
	if (o->result)
		o->then(o, o->result);
	else
		fuse_reply_err(o->request, ENOMEM);
	free_opening(o);
}

static void done(void *context, struct zvm_result *result)
{
	struct opening *o = context;
	pthread_mutex_lock(&o->lock);
	o->result = result;
	o->finished = true;
	bool starting = o->starting;
	pthread_mutex_unlock(&o->lock);
	if (!starting)
		finish(o);
}

static void on_interrupt(fuse_req_t request, void *context)
{
	struct opening *o = context;
	pthread_mutex_lock(&o->lock);
	o->interrupted = true;
	bool ours = !o->finished && o->ticket && zvm_engine_abandon(zvm_mount_of(request)->engine, o->ticket);
	o->finished |= ours;
	pthread_mutex_unlock(&o->lock);
	if (!ours)
		return;
	fuse_reply_err(request, EINTR);
	free_opening(o);
}

static void start(struct opening *o, const struct zvm_target *target)
{
	int r = 0;
	/* Called at once if the interrupt has come already. */
	fuse_req_interrupt_func(o->request, on_interrupt, o);
	pthread_mutex_lock(&o->lock);
	o->starting = true;
	if (o->interrupted)
		r = -EINTR;
	else
		r = zvm_engine_request(zvm_mount_of(o->request)->engine, target, done, o, &o->ticket);
	o->starting = false;
	bool over = o->finished;
	o->finished |= r != 0;
	pthread_mutex_unlock(&o->lock);
	if (over) {
		finish(o);
	} else if (r) {
		fuse_req_interrupt_func(o->request, NULL, NULL);
		fuse_reply_err(o->request, -r);
		free_opening(o);
	}
}

/* --- the operations --- */

static void open_text(fuse_req_t request, struct fuse_file_info *info, char *text, size_t size)
{
	struct zvm_handle *handle = text ? zvm_handle_new() : NULL;
	if (!handle) {
		free(text);
		fuse_reply_err(request, ENOMEM);
		return;
	}
	handle->text = text;
	handle->size = size;
	info->direct_io = 1; /* made anew at each open; its size is not known before */
	zvm_reply_open(request, info, handle);
}

static char *readme_text(const struct zvm_mount *mount, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);
	if (!out)
		return NULL;
	fprintf(out,
	        "This is zvm: reading a file below it runs a program and remembers what it wrote.\n\n"
	        "    cat \"%s/run/wc -l/INPUT\"                      a program of this machine, with an argument\n"
	        "    cat \"%s/run/sort | uniq -c | sort -rn/INPUT\"  a pipeline; each stage is remembered on its own\n"
	        "    cat \"%s/err/SPEC/INPUT\"                       what the same run wrote to stderr\n"
	        "    cat \"%s/info/SPEC/INPUT\"                      how it went, as JSON\n"
	        "    cat %s/stats                                  counters\n\n"
	        "INPUT is a path below %s\n"
	        "%%XX in a word of SPEC is that byte: %%2F a slash, %%20 a space, %%7C a bar.\n"
	        "Scripts come from these directories, then from /usr/local/bin, /usr/bin and /bin:\n",
	        mount->mountpoint, mount->mountpoint, mount->mountpoint, mount->mountpoint, mount->mountpoint,
	        mount->inputs_path);
	for (const char *const *s = mount->scripts; s && *s; s++)
		fprintf(out, "    %s\n", *s);
	fprintf(out, "Results are kept in %s\n", zvm_store_path(mount->store));
	return fclose(out) == 0 ? text : NULL;
}

/* All of it is for the owner and for root. */
static char *running_text(fuse_req_t request, size_t *size)
{
	char *text = NULL;
	uid_t uid = fuse_req_ctx(request)->uid;
	bool all = uid == 0 || uid == geteuid();
	return zvm_engine_running_text(zvm_mount_of(request)->engine, all ? NULL : &uid, &text, size) ? NULL : text;
}

static void open_object(fuse_req_t request, struct zvm_inode *inode, struct fuse_file_info *info)
{
	struct zvm_digest digest;
	struct zvm_handle *handle = zvm_handle_new();
	int r = !handle ? -ENOMEM : zvm_digest_parse(inode->path, &digest);
	if (r == 0)
		r = zvm_store_object(zvm_mount_of(request)->store, &digest, &handle->fd, &handle->size);
	if (r) {
		zvm_handle_free(handle);
		fuse_reply_err(request, -r);
		return;
	}
	handle->own_fd = true;
	handle->stored = true;
	handle->digest = digest;
	info->keep_cache = 1;
	zvm_reply_open(request, info, handle);
}

/* The usual warm open. false: not answered. */
static bool open_standing(fuse_req_t request, struct zvm_inode *inode, struct fuse_file_info *info)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	struct zvm_result *served = NULL,
	                  *bound = inode->tree == ZVM_TREE_RUN ? zvm_inode_result(mount->inodes, inode) : NULL;
	struct stat input;
	if (bound && zvm_inputs_stat(mount->inputs, inode->path, &input) == 0 &&
	    zvm_engine_stands(mount->engine, bound, &input) && zvm_engine_serve(mount->engine, bound, &served))
		served = NULL;
	zvm_result_unref(bound);
	struct zvm_handle *handle = served ? zvm_handle_new() : NULL;
	if (!handle) {
		zvm_result_unref(served);
		return false;
	}
	zvm_result_open_kind(inode->tree, served, handle);
	info->direct_io = handle->fails;
	info->keep_cache = !handle->fails;
	zvm_reply_open(request, info, handle);
	return true;
}

static void open_file(fuse_req_t request, struct zvm_inode *inode, struct fuse_file_info *info)
{
	zvm_autofd int fd = -1;
	if (open_standing(request, inode, info))
		return;
	int r = zvm_inputs_open_file(zvm_mount_of(request)->inputs, inode->path, &fd);
	struct zvm_target target = {.spec = inode->spec,
	                            .input_name = inode->path,
	                            .input_fd = fd,
	                            .nonce = inode->nonce,
	                            .uid = fuse_req_ctx(request)->uid};
	if (r) {
		fuse_reply_err(request, -r);
		return;
	}
	if (inode->tree == ZVM_TREE_STREAM) {
		zvm_stream_open(request, info, &target, zvm_reader_class(request, inode));
		return;
	}
	struct opening *o = new_opening(request, inode);
	if (!o) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	o->info = *info;
	o->reader = zvm_reader_class(request, inode);
	o->then = open_result;
	start(o, &target);
}

void zvm_op_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct zvm_inode *inode = zvm_inode_of(number);
	struct zvm_mount *mount = zvm_mount_of(request);
	char *text = NULL;
	size_t size = 0;
	if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC)) {
		fuse_reply_err(request, EROFS);
		return;
	}
	switch (inode ? inode->kind : ZVM_INODE_ROOT) {
	case ZVM_INODE_README:
		text = readme_text(mount, &size);
		open_text(request, info, text, size);
		break;
	case ZVM_INODE_STATS:
		if (zvm_engine_stats_text(mount->engine, &text, &size))
			text = NULL;
		open_text(request, info, text, size);
		break;
	case ZVM_INODE_RUNNING:
		text = running_text(request, &size);
		open_text(request, info, text, size);
		break;
	case ZVM_INODE_FILE: open_file(request, inode, info); break;
	case ZVM_INODE_OBJECT: open_object(request, inode, info); break;
	default: fuse_reply_err(request, EISDIR);
	}
}

void zvm_compute_for_stat(fuse_req_t request, struct zvm_inode *inode,
                          void (*then)(fuse_req_t request, struct zvm_inode *inode, struct zvm_result *result))
{
	zvm_autofd int fd = -1;
	struct zvm_target target = {.spec = inode->spec,
	                            .input_name = inode->path,
	                            .nonce = inode->nonce,
	                            .uid = fuse_req_ctx(request)->uid};
	struct opening *o = NULL;
	if (zvm_inputs_open_file(zvm_mount_of(request)->inputs, inode->path, &fd) == 0)
		o = new_opening(request, inode);
	if (!o) {
		then(request, inode, NULL);
		return;
	}
	target.input_fd = fd;
	o->then = stat_result;
	o->stat_then = then;
	start(o, &target);
}

/*
 * What was whole when it was opened may have been written to or cut short since, or its disk may fail: then what it
 * gives is not the result. This reader must be told; the next who opens it gets it checked, and computed again.
 */
static void reply_bytes(fuse_req_t request, const struct zvm_handle *handle, size_t size, uint64_t at)
{
	struct zvm_store *store = zvm_mount_of(request)->store;
	zvm_autofree char *data = malloc(size);
	long n = data ? zvm_read_at(handle->fd, data, size, at) : -ENOMEM;
	if (n >= 0 && (size_t)n < size)
		n = -EIO;
	int r = n < 0 ? (int)n : handle->stored ? zvm_store_check(store, handle->fd, handle->size, &handle->digest) : 0;
	if (r == 0) {
		fuse_reply_buf(request, data, size);
		return;
	}
	if (r != -ENOMEM)
		zvm_store_doubt(store);
	fuse_reply_err(request, -r);
}

void zvm_read_handle(fuse_req_t request, struct zvm_handle *handle, size_t size, off_t offset)
{
	uint64_t at = (uint64_t)offset;
	if (handle->error) {
		fuse_reply_err(request, -handle->error);
		return;
	}
	if (at >= handle->size) {
		if (handle->fails)
			fuse_reply_err(request, EIO);
		else
			fuse_reply_buf(request, NULL, 0);
		return;
	}
	if (size > handle->size - at)
		size = (size_t)(handle->size - at);
	if (handle->text) {
		fuse_reply_buf(request, handle->text + at, size);
		return;
	}
	reply_bytes(request, handle, size, at);
}

void zvm_op_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct zvm_handle *handle = (struct zvm_handle *)(uintptr_t)info->fh;
	(void)number;
	if (handle->streams)
		zvm_stream_read(request, handle, size, offset);
	else
		zvm_read_handle(request, handle, size, offset);
}

void zvm_op_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct zvm_handle *handle = (struct zvm_handle *)(uintptr_t)info->fh;
	(void)number;
	let_go(zvm_mount_of(request), handle);
	fuse_reply_err(request, 0);
}
