/* Shared by engine.c (who waits for what), job.c (one target's computation), turn.c, running.c, result.c, info.c and
 * stats.c. */
#ifndef ZVM_FS_ENGINE_INTERNAL_H
#define ZVM_FS_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <zvm/blob.h>
#include <zvm/engine.h>
#include <zvm/bytes.h>
#include <zvm/record.h>
#include "check.h"
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
	bool unreadable;            /* because a file that the host was to give could not be read */
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
	atomic_ulong templates, template_runs;
	atomic_ulong box_runs, hits, misses, in_flight, unsaved, failures, cancelled, timeouts, joined, system_calls,
	        run_us;
};

/* What of a job others may look at while it goes on: running.c, which alone gives it out. */
enum zvm_phase {
	ZVM_PHASE_QUEUED,  /* it waits for a worker, or for a box */
	ZVM_PHASE_LOOKING, /* its script, its input and stored results are looked at */
	ZVM_PHASE_RUNNING, /* in a box */
	ZVM_PHASE_STORING, /* what came out of it */
	ZVM_PHASE_WAITING, /* it is parked: another job, or another process, computes the same action */
	ZVM_PHASE_COUNT
};

struct zvm_progress {
	uint64_t id;       /* of the flight, in the order of asking */
	int64_t asked_ns;  /* when */
	atomic_uint phase; /* enum zvm_phase */
	atomic_uint stage; /* that it is at, from 0 */
	struct zvm_box_meter meter;
	/* the others while it runs: under engine->lock */
	int64_t started_ns;
	struct zvm_limits limits;
	int out_fd, err_fd; /* borrowed from job.c */
};

/* One target's computation: how far it has come, and whether it waits for its turn. */
struct zvm_job {
	struct zvm_target target; /* all it points to is the flight's */
	int cancel_fd;            /* becomes readable to stop it */
	bool cancelled;           /* the same, under engine->lock */
	struct zvm_progress progress;
	/* job.c; all zero at the beginning */
	struct zvm_story *story;
	unsigned stage; /* the one that comes next, and its input */
	struct zvm_digest input;
	int input_fd;
	struct zvm_pending *new_input; /* of the first stage, without a name so far */
	bool second;                   /* it has begun once more, see job.c */
	int hold_fd;                   /* zvm_store_hold, from the first object to the last record */
	uint64_t evictions;            /* of the store, when it began */
	struct zvm_unsaved *unsaved;   /* its last run, which is not stored yet */
	/* turn.c */
	struct zvm_job *prev, *next; /* in engine->running or engine->parked */
	struct zvm_digest action;
	bool boxed;            /* one of the boxes is its own */
	bool parked;           /* no worker has it */
	bool outside;          /* ... as another process computes the action */
	int64_t outside_since; /* ns; 0: it has not waited for one */
	int64_t longest_ns;    /* that a run of the action may take */
};

/* Under engine->lock, both. */
struct zvm_ticket {
	struct zvm_ticket *prev, *next;
	struct zvm_flight *flight;
	uid_t uid; /* who waits */
	void (*done)(void *context, struct zvm_result *result);
	void *context;
};

struct zvm_flight {
	struct zvm_queued queued; /* first: the queue gives its address back */
	UT_hash_handle hh;
	struct zvm_job job; /* of its own spec, name and descriptor */
	struct zvm_spec *spec;
	char *input_name;
	struct zvm_ticket *tickets;
	int growing_fd;      /* what its last stage writes to; -1: it does not run (yet) */
	int64_t alone_since; /* ns; 0: somebody waits */
	size_t key_size;
	unsigned char *key;
};

struct zvm_engine {
	struct zvm_engine_options options;
	struct zvm_blobs *blobs;
	struct zvm_records *records;
	struct zvm_scripts *scripts;
	struct zvm_table *names;
	struct zvm_maker *maker;
	struct zvm_counters counters;
	/* engine.c */
	pthread_mutex_t lock;
	pthread_cond_t work, reap;
	struct zvm_flight *flights;
	uint64_t last_flight; /* its progress.id */
	struct zvm_queue queue;
	pthread_t *workers, reaper;
	unsigned worker_count;
	void (*started)(void *context);
	void *started_context;
	bool reaping, closing; /* reaping: the reaper runs, and has to be joined */
	/* turn.c; under the same lock */
	pthread_cond_t box_free;
	struct zvm_job *running, *parked;
	unsigned boxes; /* in use, at most options.max_jobs */
	int claims;     /* claim.c */
};

/* result.c, info.c */
struct zvm_story *zvm_story_new(const struct zvm_spec *spec, const char *input_name);
void zvm_story_free(struct zvm_story *story);
/* The line that is ours to say about a stage, or NULL. */
const char *zvm_stage_line(const struct zvm_stage_story *stage);
int zvm_story_write_info(const struct zvm_story *story, char **ret, size_t *ret_size);

/* request.c: what the box is asked for, but for the streams. Close it also if it could not be opened. 0 or -errno. */
struct zvm_request {
	struct zvm_engine *engine;
	const struct zvm_script *script;
	struct zvm_contents contents;
	struct zvm_view *view;
	int script_fd;
	struct zvm_bytes kind;
	struct zvm_box_request box;
};
int zvm_request_open(struct zvm_engine *engine, const struct zvm_script *script, const struct zvm_action *action,
                     struct zvm_request *ret);
void zvm_request_close(struct zvm_request *request);

/* running.c: job.c is about to run this, which has all its streams, and has run it. */
void zvm_progress_begin(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_box_request *request);
void zvm_progress_end(struct zvm_engine *engine, struct zvm_job *job);

/* Told by job.c when the last stage starts to run. */
struct zvm_start {
	void (*started)(void *context, int out_fd); /* the file it writes to: borrowed for the call */
	void *context;
};

/*
 * job.c: all stages, from the input to a result. -EINPROGRESS: the job is parked, and perhaps already another worker's;
 * zvm_flight_again_locked is called when it can go on from where it was. Otherwise zvm_job_settle has to follow, when
 * the readers have been answered: it stores what was run. quick: only what is stored and known without reading (-EAGAIN
 * or -ENOENT otherwise); nothing is counted unless `count`.
 */
int zvm_job_compute(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_start *start,
                    struct zvm_result **ret);
void zvm_job_settle(struct zvm_engine *engine, struct zvm_job *job);
void zvm_job_drop(struct zvm_engine *engine, struct zvm_job *job); /* what one that comes to no result has kept */
int zvm_job_quick(struct zvm_engine *engine, const struct zvm_target *target, bool count, struct zvm_result **ret);

/*
 * turn.c. 0: the action is the job's to compute, a box included; look into the store once more, and give the turn back.
 * -EINPROGRESS: parked; -EINTR: cancelled. `longest_ms`: that a run of it may take.
 */
int zvm_turn_take(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_digest *action, uint32_t longest_ms);
void zvm_turn_give(struct zvm_engine *engine, struct zvm_job *job);
/* Its box already: the action is still the job's. */
void zvm_turn_give_box(struct zvm_engine *engine, struct zvm_job *job);
/* With engine->lock held. Queues the job again if it is parked. */
void zvm_turn_resume_locked(struct zvm_engine *engine, struct zvm_job *job);
/* ... all that waited for other processes and need not any more; when to look again (ns), 0: none is left. */
int64_t zvm_turn_look_locked(struct zvm_engine *engine);

/* engine.c: no worker has it any more, and: for workers to take up again, before all else of its user. */
void zvm_flight_parked_locked(struct zvm_engine *engine, struct zvm_job *job);
void zvm_flight_again_locked(struct zvm_engine *engine, struct zvm_job *job);

/* result.c: takes the story over, also when it fails. Nobody but the mounting user may read it before it is narrowed.
 */
int zvm_result_of_story(struct zvm_story *story, struct zvm_result **ret);
/* Sets its audience. `others`: dependencies count, too, which costs a stat or two for each. */
void zvm_result_narrow(struct zvm_result *result, const struct stat *input, bool others);
/* A stage as it was in the beginning. */
void zvm_stage_clear(struct zvm_stage_story *stage);

#endif
