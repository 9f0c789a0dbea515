/* Shared by engine.c (who waits for what), job.c (one target's computation), result.c, info.c and stats.c. */
#ifndef ZVM_FS_ENGINE_INTERNAL_H
#define ZVM_FS_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <zvm/blob.h>
#include <zvm/engine.h>
#include <zvm/record.h>
#include "names.h"
#include "queue.h"
#include "script.h"

/* What happened in one stage: what err/ and info/ are made of. */
struct zvm_stage_story {
	struct zvm_script *script; /* NULL: not even found */
	char *name;
	char **arguments; /* NULL-terminated copies */
	struct zvm_limits limits;
	struct zvm_digest input;
	bool has_input;
	struct zvm_record *record;  /* NULL: there is no result */
	struct zvm_outputs outputs; /* its outputs, open */
	int error;                  /* 0, or why there is none */
	char *message;              /* our own line, or NULL */
};

struct zvm_story {
	char *spec, *input_name;
	struct zvm_stage_story *stages;
	unsigned stage_count;
	pthread_mutex_t lock; /* around writing the JSON once */
	int info_fd;
	uint64_t info_size;
};

struct zvm_counters {
	atomic_ulong box_runs, hits, misses, in_flight, failures, cancelled, timeouts, joined, system_calls, run_us;
};

struct zvm_running { /* an action that somebody computes right now */
	UT_hash_handle hh;
	struct zvm_digest action;
};

struct zvm_engine {
	struct zvm_engine_options options;
	struct zvm_blobs *blobs;
	struct zvm_records *records;
	struct zvm_scripts *scripts;
	struct zvm_table *names;
	struct zvm_counters counters;
	/* engine.c */
	pthread_mutex_t lock;
	pthread_cond_t work, reap;
	struct zvm_flight *flights;
	struct zvm_queue queue;
	pthread_t *workers, reaper;
	unsigned worker_count;
	void (*started)(void *context);
	void *started_context;
	bool reaping, closing; /* reaping: the reaper runs, and has to be joined */
	/* job.c */
	pthread_mutex_t action_lock;
	pthread_cond_t action_done;
	struct zvm_running *running;
	unsigned boxes; /* in use, at most options.max_jobs */
};

/* result.c, info.c */
struct zvm_story *zvm_story_new(const struct zvm_spec *spec, const char *input_name);
void zvm_story_free(struct zvm_story *story);
/* The line that is ours to say about a stage, or NULL. */
const char *zvm_stage_line(const struct zvm_stage_story *stage);
int zvm_story_write_info(const struct zvm_story *story, char **ret, size_t *ret_size);

/* Told by job.c when the last stage starts to run. */
struct zvm_start {
	void (*started)(void *context, int out_fd); /* the file it writes to: borrowed for the call */
	void *context;
};

/*
 * job.c: all stages, from the input to a result. `cancel_fd` becomes readable to stop it. quick: only what is stored
 * and known without reading (-EAGAIN or -ENOENT otherwise); nothing is counted unless `count`.
 */
int zvm_job_compute(struct zvm_engine *engine, const struct zvm_target *target, int cancel_fd,
                    const struct zvm_start *start, struct zvm_result **ret);
int zvm_job_quick(struct zvm_engine *engine, const struct zvm_target *target, bool count, struct zvm_result **ret);

/* result.c: takes the story over, also when it fails. Nobody but the mounting user may read it before it is narrowed.
 */
int zvm_result_of_story(struct zvm_story *story, struct zvm_result **ret);
/* Sets its audience. `others`: dependencies count, too, which costs a stat or two for each. */
void zvm_result_narrow(struct zvm_result *result, const struct stat *input, bool others);

#endif
