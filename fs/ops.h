/* Inside ops*.c, the only files that know FUSE. */
#ifndef ZVM_FS_OPS_H
#define ZVM_FS_OPS_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <zvm/mount.h>

/* What a file descriptor of a reader stands for. */
struct zvm_handle {
	struct zvm_result *result; /* NULL while a stream's run goes on, or for text */
	char *text;                /* README, stats */
	int fd;                    /* bytes to read: borrowed from the result, or owned (`own_fd`) */
	bool own_fd;
	uint64_t size;
	bool stored; /* fd is of this object, and not of a text made for readers */
	struct zvm_digest digest;
	bool fails;    /* EIO where the end would be */
	mode_t reader; /* of a stream: zvm_reader_class */
	int error;
	/* ops_stream.c's own; `streams` NULL: it is no stream */
	struct zvm_streams *streams;
	struct zvm_handle *prev, *next; /* of all that are open */
	int live_fd, watch;             /* what the run has written so far; -1: not known yet */
	pthread_mutex_t lock;
	bool pending, closed;
	struct zvm_waiting_read *waiting;
	struct zvm_ticket *ticket;
};

struct zvm_mount_state {
	struct zvm_mount *mount;
	struct fuse_session *session;
	struct zvm_streams *streams;
};

static inline struct zvm_streams *zvm_streams_of(fuse_req_t request)
{
	return ((struct zvm_mount_state *)fuse_req_userdata(request))->streams;
}

static inline struct zvm_mount *zvm_mount_of(fuse_req_t request)
{
	return ((struct zvm_mount_state *)fuse_req_userdata(request))->mount;
}

static inline struct fuse_session *zvm_session_of(fuse_req_t request)
{
	return ((struct zvm_mount_state *)fuse_req_userdata(request))->session;
}

/* ops.c */
struct zvm_inode *zvm_inode_of(fuse_ino_t number);
struct zvm_handle *zvm_handle_new(void);
void zvm_handle_free(struct zvm_handle *handle);
int zvm_result_open_kind(enum zvm_tree tree, struct zvm_result *result, struct zvm_handle *handle);

/*
 * As which of the classes of a file with the input's owner and group the reader asks: S_IRUSR, S_IRGRP or S_IROTH; 0:
 * he may read whatever there is. The kernel has compared it with what was known of the audience at the look-up, when
 * nobody knew yet which files the run would read.
 */
mode_t zvm_reader_class(fuse_req_t request, const struct zvm_inode *inode);
static inline bool zvm_may_read(mode_t reader, const struct zvm_result *result)
{
	return !reader || result->audience & reader;
}

/* ops_open.c: opening, reading and releasing files */
void zvm_op_open(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info);
void zvm_op_read(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info);
void zvm_op_release(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info);
void zvm_reply_open(fuse_req_t request, struct fuse_file_info *info, struct zvm_handle *handle);
void zvm_read_handle(fuse_req_t request, struct zvm_handle *handle, size_t size, off_t offset);
/* Computes like an open, then calls back: for -o stat=run. */
void zvm_compute_for_stat(fuse_req_t request, struct zvm_inode *inode,
                          void (*then)(fuse_req_t request, struct zvm_inode *inode, struct zvm_result *result));

/* ops_stream.c: results that are read while they grow */
int zvm_streams_open(struct zvm_mount *mount, struct zvm_streams **ret);
/* When the engine has answered every request. NULL is none. */
void zvm_streams_close(struct zvm_streams *streams);
void zvm_stream_open(fuse_req_t request, struct fuse_file_info *info, const struct zvm_target *target, mode_t reader);
void zvm_stream_read(fuse_req_t request, struct zvm_handle *handle, size_t size, off_t offset);
void zvm_stream_let_go(struct zvm_mount *mount, struct zvm_handle *handle);

/* ops_directory.c */
void zvm_op_opendir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info);
void zvm_op_readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *info);
void zvm_op_releasedir(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info);

#endif
