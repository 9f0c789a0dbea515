/*
 * The engine: from a name (spec and input) to a result, computing each once.
 *
 *   struct zvm_engine *engine;
 *   zvm_engine_open(&options, &engine);                        // starts its workers; the launcher is already running
 *   struct zvm_target target = {.spec = spec, .input_fd = fd}; // input_fd: open regular file of the host
 *   if (zvm_engine_peek(engine, &target, &result) == 0) ...    // a valid stored result; never runs, never blocks
 *   r = zvm_engine_request(engine, &target, done, context, &ticket);
 *   ... done(context, result) is called once, from a worker, unless abandoned first
 *   zvm_engine_abandon(engine, ticket);                        // the reader was interrupted
 *
 * Single flight: requests for the same target in the same state of script and input join one job; different names
 * that come to the same action run it once. A job whose last ticket has been abandoned for 2 s is killed.
 * Each stage of a pipeline is an action of its own whose input is the previous stage's stdout.
 *
 * Results are immutable, reference-counted and may be used from any thread.
 */
#ifndef ZVM_ENGINE_H
#define ZVM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zvm/box.h>
#include <zvm/name.h>
#include <zvm/store.h>

struct zvm_engine;
struct zvm_ticket;

struct zvm_engine_options {
	struct zvm_store *store;
	struct zvm_launcher *launcher;
	const char *const *scripts; /* directories, NULL-terminated; host paths */
	const char *inputs;         /* the directory that input names are below, for `zvm explain`; NULL: none */
	struct zvm_limits limits;   /* defaults where a script declares none; 0: ZVM_DEFAULT_* */
	unsigned max_jobs;          /* boxes at once; 0: number of processors */
	unsigned user_jobs;         /* results under way at once for each user; 0: no limit but max_jobs */
	bool any_exit;              /* -o exit=any: every exit status is success */
	bool no_cache;              /* zvm run --no-cache: compute always, remember nothing */
	bool others;                /* other users read: what they could not read themselves must not reach them */
	/*
	 * NULL, or called with a line for each system call of each guest, and behind each stage with one that begins
	 * with ZVM_TRACE_END and says how it ended. The lines of one stage come in order, from one thread.
	 */
	void (*trace)(void *context, const char *line, size_t length);
	void *trace_context;
};

#define ZVM_TRACE_END "== "

#define ZVM_DEFAULT_MEMORY (1ull << 30)
#define ZVM_DEFAULT_OUTPUT (16ull << 30)
#define ZVM_DEFAULT_WALL_MS (120u * 1000)

struct zvm_target {
	const struct zvm_spec *spec;
	const char *input_name; /* for messages and keys of in-memory tables; "" for zvm run */
	int input_fd;           /* borrowed for the call */
	uint64_t nonce;         /* wanted inode nonce of a new result; 0: any */
	uid_t uid;              /* who asks: users take turns */
};

struct zvm_result {
	/*
	 * 0: a result, perhaps of a failed run (`failed`: readers get the bytes and then EIO).
	 * Otherwise what open(run/...) answers: -ETIMEDOUT, -ENOMEM, -EFBIG, -ENOSPC, -ENOENT, -EACCES, -ENOEXEC,
	 * -EINVAL, -EDEADLK, -EIO; then out_fd is -1, and err_fd and zvm_result_info tell why.
	 */
	int error;
	bool failed;
	uint64_t nonce;    /* of the record of the last stage: what the inode number is made of */
	uint64_t identity; /* a hash of which runs these are, all stages included */
	int out_fd;        /* stored stdout, read-only; owned by the result */
	int err_fd; /* stderr of all stages in order, then our own line if there is one to say; a stored object or memfd
	             */
	uint64_t out_size, err_size;
	struct zvm_digest out_digest, err_digest; /* the latter if err_stored */
	bool err_stored;
	/* S_IR* bits for a file of the input's owner and group: who may read all that went into it. */
	unsigned audience;
	int exit_status, signal;     /* of the stage that decides: the last that failed, else the last */
	int64_t computed_at;         /* real time, seconds: what readers see as mtime */
	uint64_t wall_us;            /* what all stages took when they were computed */
	struct zvm_story *story;     /* what info/ is written from; the engine's own; NULL in a summary */
	struct zvm_warrant *warrant; /* what it stands on; the engine's own; NULL: it has to be looked for */
	uint64_t info_size;          /* of a summary: of the JSON, if it was asked for */
	unsigned references;         /* the engine's own */
};

/* The JSON of info/, written when first asked for. *ret_fd is the result's: do not close it. */
int zvm_result_info(struct zvm_result *result, int *ret_fd, uint64_t *ret_size);

/*
 * A result without its bytes: for whoever only compares it and shows its attributes, and may hold very many. Its
 * descriptors are -1. `with_info`: info_size is set. NULL: no memory.
 */
struct zvm_result *zvm_result_summary(struct zvm_result *result, bool with_info);

struct zvm_result *zvm_result_ref(struct zvm_result *result);
void zvm_result_unref(struct zvm_result *result);
/* The same runs of the same actions, in every stage: an inode bound to one may serve the other. */
bool zvm_result_same(const struct zvm_result *a, const struct zvm_result *b);

int zvm_engine_open(const struct zvm_engine_options *options, struct zvm_engine **ret);
/* Kills what runs, answers every waiting ticket with -EINTR, joins the workers. */
void zvm_engine_close(struct zvm_engine *engine);

/* Is there such a script? 0 with its stat, -ENOENT, -EACCES. `name` is a stage's words[0]; *ret_fd may be NULL. */
int zvm_engine_find_script(struct zvm_engine *engine, const char *name, struct stat *ret_stat, int *ret_fd);

/*
 * A valid stored result, without running anything and without reading contents: 0, -ENOENT (none, unknown without
 * reading, or impossible). *ret is the caller's reference. Counts neither as hit nor as miss.
 */
int zvm_engine_peek(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_result **ret);

/*
 * Would peek find this result again? For whoever holds one, or its summary, and asks often: costs two or three system
 * calls if nothing has changed. `input`: a fresh stat of the input. false: perhaps not, peek tells.
 */
bool zvm_engine_stands(struct zvm_engine *engine, const struct zvm_result *result, const struct stat *input);
/* As try, for a result or a summary that stands: only its stdout is opened. -ENOENT: that is gone; ask try. */
int zvm_engine_serve(struct zvm_engine *engine, struct zvm_result *result, struct zvm_result **ret);

/* As peek, but for a reader: a result found counts as a hit. */
int zvm_engine_try(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_result **ret);

/* Never waits. *ret_ticket is valid until `done` is called or zvm_engine_abandon returns. The result is the callee's
 * reference. `done` may be called before zvm_engine_request returns (a hit); then *ret_ticket is NULL. */
int zvm_engine_request(struct zvm_engine *engine, const struct zvm_target *target,
                       void (*done)(void *context, struct zvm_result *result), void *context,
                       struct zvm_ticket **ret_ticket);
/*
 * What the run that this ticket waits for has written so far: *ret_fd, read-only, the caller's, is the file that its
 * last stage writes to, and grows. -ENOENT: that has not started, or another process computes it. Of a ticket that is
 * still valid.
 */
int zvm_engine_growing(struct zvm_engine *engine, struct zvm_ticket *ticket, int *ret_fd);
/* Who is told whenever the last stage of any request starts to run: called from a worker, which it must not hold up. */
void zvm_engine_on_start(struct zvm_engine *engine, void (*started)(void *context), void *context);

/* After this returns true, `done` will not be called; false: it was called or is being called. */
bool zvm_engine_abandon(struct zvm_engine *engine, struct zvm_ticket *ticket);

struct zvm_engine_counters {
	uint64_t box_runs_total, cache_hits_total, cache_misses_total, runs_in_flight, runs_unsaved;
	uint64_t failures_total, cancelled_total, timeouts_total, joined_total, system_calls_total,
	        run_microseconds_total, templates_total, template_runs_total;
};
void zvm_engine_counters(struct zvm_engine *engine, struct zvm_engine_counters *ret);

/* Prometheus text of everything; malloc'd. */
int zvm_engine_stats_text(struct zvm_engine *engine, char **ret, size_t *ret_size);
/*
 * What has been asked for and is not there yet, as JSON (zvm(1), "zvm top", describes it); malloc'd. `only` NULL: all
 * of it. Otherwise only what this user waits for himself, and of that nothing that the run has done: whether he may
 * read its result is known when it has ended.
 */
int zvm_engine_running_text(struct zvm_engine *engine, const uid_t *only, char **ret, size_t *ret_size);

#endif
