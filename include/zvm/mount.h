/*
 * A mount: everything that a mounted filesystem stands on, and the loop that serves it.
 */
#ifndef ZVM_MOUNT_H
#define ZVM_MOUNT_H

#include <stdbool.h>
#include <zvm/engine.h>
#include <zvm/inode.h>
#include <zvm/inputs.h>

struct zvm_mount {
	struct zvm_store *store;
	struct zvm_engine *engine;
	struct zvm_inputs *inputs;
	struct zvm_inodes *inodes;
	const char *const *scripts; /* NULL-terminated, absolute */
	const char *inputs_path, *mountpoint;
	bool stat_runs;    /* -o stat=run */
	bool others;       /* -o allow_other, allow_root */
	const void *facts; /* what the mount tells of itself (fs/facts.h) */
	size_t facts_size;
	bool debug;                   /* -d */
	const char *fuse_options;     /* for libfuse: "allow_other,..."; NULL: none */
	void (*ready)(void *context); /* called once, when the kernel has shaken hands */
	void *ready_context;
};

/* For `zvm top`: in the root, JSON of zvm_engine_running_text. It answers to its name and is not listed. */
#define ZVM_RUNNING_NAME ".running"

/* ops.c: mounts, serves until unmounted or told to end by SIGTERM, SIGINT or SIGHUP, unmounts. 0 or -errno. */
int zvm_mount_serve(struct zvm_mount *mount);

#endif
