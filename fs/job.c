/*
 * One target's computation. Each stage is an action: looked up, and run only if no stored run of it still holds. A
 * stage's stdout is a stored object, and the next stage's input.
 *
 * Two levels keep anything from being computed twice at a time: engine.c joins requests for the same name; turn.c lets
 * one job at a time compute an action, here and in other processes. A job that has to wait for its turn leaves its
 * worker, and goes on later from the stage that it was at.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "engine_internal.h"
#include "maker.h"
#include "pending.h"
#include "stage.h"
#include "store_internal.h"
#include "warrant.h"

#define TRIES 8

/* One stage with all that its action points to. */
struct work {
	struct zvm_engine *engine;
	struct zvm_job *job; /* NULL: only looking */
	struct zvm_stage_story *story;
	const struct zvm_script *script;
	struct zvm_stage_action stage;
	struct zvm_digest address; /* of the action */
	const struct zvm_target *target;
	unsigned number; /* of the stage, from 0 */
	int cancel_fd;
	int input_fd;                  /* content of the input: borrowed */
	const struct zvm_start *start; /* NULL: nobody waits for its first byte */
};

/* --- the action --- */

static int build_action(struct work *w, const struct zvm_stage *stage, const struct zvm_digest *input)
{
	int r = zvm_stage_action(&w->engine->options, w->script, stage, input, &w->stage);
	if (r)
		return r;
	w->story->limits = w->stage.action.limits;
	w->story->input = *input;
	w->story->has_input = true;
	return 0;
}

static bool status_ok(const struct work *w, int status)
{
	const struct zvm_directives *d = &w->script->directives;
	return w->engine->options.any_exit || (status >= 0 && status < 256 && (d->ok[status / 8] >> (status % 8) & 1));
}

/* --- running --- */

static int say(struct zvm_stage_story *story, int error, const char *text)
{
	story->error = error;
	free(story->message);
	story->message = strdup(text);
	return 0;
}

/* Ends that leave no result: what open() answers, and the line that err/ gets. */
static int no_result(struct work *w, const struct zvm_box_outcome *o)
{
	char text[512];
	const struct zvm_limits *limits = &w->stage.action.limits;
	switch (o->end) {
	case ZVM_END_REFUSED: return say(w->story, o->error, o->message ? o->message : "it cannot be run");
	case ZVM_END_TIME:
		atomic_fetch_add(&w->engine->counters.timeouts, 1);
		snprintf(text, sizeof text,
		         "the time limit of %g s was reached (a script may declare another: # zvm: timeout=SECONDS)",
		         (double)limits->wall_ms / 1000);
		return say(w->story, -ETIMEDOUT, text);
	case ZVM_END_OUTPUT:
		snprintf(text, sizeof text,
		         "the output limit of %llu bytes was passed (a script may declare another: # zvm: output=SIZE)",
		         (unsigned long long)limits->output_bytes);
		return say(w->story, -EFBIG, text);
	case ZVM_END_MEMORY:
		snprintf(text, sizeof text,
		         "the memory limit of %llu bytes was passed (a script may declare another: # zvm: memory=SIZE)",
		         (unsigned long long)limits->memory_bytes);
		return say(w->story, -ENOMEM, text);
	case ZVM_END_DEADLOCK: return say(w->story, -EDEADLK, o->message ? o->message : "deadlock");
	case ZVM_END_CANCELLED:
		atomic_fetch_add(&w->engine->counters.cancelled, 1);
		return say(w->story, -EINTR, "nobody waited for the result any more");
	default:
		if (o->error == -ENOSPC) {
			zvm_store_is_full(w->engine->options.store);
			return say(w->story, -ENOSPC, "the store is full");
		}
		w->story->unreadable = o->error == -EIO;
		return say(w->story, o->error == -ENOMEM ? o->error : -EIO,
		           o->message ? o->message : "the box broke down; see the log");
	}
}

/* --- remembering --- */

/* A run that this process knows of and the store does not: its own record and action, with what that points to. */
struct zvm_unsaved {
	struct zvm_record *record;
	struct zvm_pending *out, *err;
	int empty_out, empty_err; /* to be used again; or -1 */
	struct zvm_stage_action stage;
	struct zvm_script *script;
	struct zvm_digest address;
	unsigned number; /* of the stage */
};

/* From here on it is found; zvm_job_settle stores it. Takes the action over, and `u` if that is 0. */
static int put_off(struct work *w, struct zvm_record *record, struct zvm_unsaved *u)
{
	int r = zvm_record_announce(w->engine->records, &w->stage.action, record);
	if (r)
		return r;
	__atomic_add_fetch(&record->references, 1, __ATOMIC_RELAXED);
	u->record = record;
	u->script = zvm_script_ref(w->story->script);
	u->address = w->address;
	u->number = w->number;
	zvm_stage_action_move(&w->stage, &u->stage);
	w->job->unsaved = u;
	atomic_fetch_add(&w->engine->counters.unsaved, 1);
	return 0;
}

static void free_unsaved(struct zvm_engine *engine, struct zvm_unsaved *u)
{
	zvm_pending_drop(engine->options.store, &u->out);
	zvm_pending_drop(engine->options.store, &u->err);
	zvm_store_recycle(engine->options.store, &u->empty_out);
	zvm_store_recycle(engine->options.store, &u->empty_err);
	zvm_record_free(u->record);
	zvm_stage_action_free(&u->stage);
	zvm_script_unref(u->script);
	free(u);
}

static void log_unsaved(const struct zvm_action *action, int error)
{
	syslog(LOG_WARNING, "a run of %s is not remembered: %s", action->script, strerror(-error));
}

/* What a record names, before it. */
static int place_objects(struct zvm_engine *engine, struct zvm_job *job, struct zvm_unsaved *u)
{
	struct zvm_store *store = engine->options.store;
	int r = zvm_pending_place(store, &job->new_input);
	r = r ? r : zvm_pending_place(store, &u->out);
	return r ? r : zvm_pending_place(store, &u->err);
}

/* A run in the store, and under which name it was wanted. */
static int save(struct zvm_engine *engine, struct zvm_job *job, struct zvm_unsaved *u)
{
	struct zvm_name name;
	const struct zvm_target *target = &job->target;
	const struct zvm_engine_options *options = &engine->options;
	int r = place_objects(engine, job, u);
	if (r) {
		zvm_record_withdraw(engine->records, u->record);
		return r;
	}
	r = zvm_record_save(engine->records, &u->stage.action, u->record);
	if (r == 0 && options->inputs &&
	    zvm_name_of(options->inputs, options->scripts, target->spec, u->number, target->input_name, &name) == 0)
		zvm_names_note(engine->names, &name, &u->address, &u->stage.action);
	return r;
}

/* A store that takes no record has still given its bytes: the reader has got them, the next one computes again. */
static void save_now(struct zvm_engine *engine, struct zvm_job *job)
{
	struct zvm_unsaved *u = job->unsaved;
	zvm_turn_give_box(engine, job);
	int r = save(engine, job, u);
	if (r)
		log_unsaved(&u->stage.action, r);
	zvm_turn_give(engine, job);
	atomic_fetch_sub(&engine->counters.unsaved, 1);
	job->unsaved = NULL;
	free_unsaved(engine, u);
}

void zvm_job_settle(struct zvm_engine *engine, struct zvm_job *job)
{
	if (job->unsaved)
		save_now(engine, job);
	/* Who verifies what was found needs it. */
	(void)zvm_pending_place(engine->options.store, &job->new_input);
	zvm_job_drop(engine, job);
}

/* --- what came of it --- */

/* The last stage's readers wait for its bytes, and not for where they are kept. */
static bool can_wait(const struct work *w, const struct zvm_box_outcome *o)
{
	return !w->engine->options.no_cache && !o->real_time && w->number + 1 == w->target->spec->stage_count;
}

/*
 * Nothing written costs nothing: the empty content has an address, but needs no file until it is an input. `pending`:
 * what is not stored yet; NULL: all is to be.
 */
static int commit_output(struct zvm_store *store, int *fd, struct zvm_output *ret, struct zvm_pending **pending,
                         int *empty)
{
	struct stat st;
	if (fstat(*fd, &st) == 0 && st.st_size == 0) {
		zvm_memory_hash("", 0, &ret->digest);
		ret->size = 0;
		*empty = zvm_steal_fd(fd);
		return 0;
	}
	return pending ? zvm_pending_commit(store, fd, &ret->digest, &ret->size, pending)
	               : zvm_store_commit(store, fd, &ret->digest, &ret->size);
}

static int commit_outputs(const struct work *w, const struct zvm_box_outcome *o, int *out_fd, int *err_fd,
                          struct zvm_record *record, struct zvm_unsaved *u)
{
	struct zvm_store *store = w->engine->options.store;
	bool later = can_wait(w, o);
	int r = commit_output(store, out_fd, &record->out, later ? &u->out : NULL, &u->empty_out);
	return r ? r : commit_output(store, err_fd, &record->err, later ? &u->err : NULL, &u->empty_err);
}

static void conclude(struct work *w, const struct zvm_box_outcome *o, struct zvm_record *record)
{
	record->failed = o->end == ZVM_END_SIGNAL || !status_ok(w, o->exit_status);
	record->nonce = w->target->nonce;
	record->computed_at = (int64_t)time(NULL);
	if (record->failed)
		atomic_fetch_add(&w->engine->counters.failures, 1);
	w->story->record = record;
}

/* Exit or signal: both outputs become objects. The record can wait. */
static int keep_result(struct work *w, struct zvm_box_outcome *o, int *out_fd, int *err_fd)
{
	struct zvm_record *record;
	struct zvm_unsaved *u = malloc(sizeof *u);
	int r = u ? zvm_record_of_outcome(o, &record) : -ENOMEM;
	if (r) {
		free(u);
		return r;
	}
	*u = (struct zvm_unsaved){.empty_out = -1, .empty_err = -1};
	r = commit_outputs(w, o, out_fd, err_fd, record, u);
	if (r) {
		zvm_record_free(record);
		free_unsaved(w->engine, u);
		return r;
	}
	conclude(w, o, record);
	w->story->outputs = (struct zvm_outputs){zvm_steal_fd(out_fd), zvm_steal_fd(err_fd)};
	bool remembered = !w->engine->options.no_cache && !o->real_time;
	if (remembered)
		r = put_off(w, record, u);
	if (r)
		log_unsaved(&w->stage.action, r);
	if (r || !remembered)
		free_unsaved(w->engine, u);
	return 0;
}

static int run_box(struct work *w, const struct zvm_request *request, struct zvm_box_outcome *outcome)
{
	struct zvm_engine *engine = w->engine;
	atomic_fetch_add(&engine->counters.in_flight, 1);
	zvm_progress_begin(engine, w->job, &request->box);
	int r = zvm_box_run(engine->options.launcher, &request->box, outcome);
	zvm_progress_end(engine, w->job);
	atomic_fetch_sub(&engine->counters.in_flight, 1);
	if (r)
		return r;
	if (outcome->end != ZVM_END_REFUSED)
		atomic_fetch_add(&engine->counters.box_runs, 1);
	if (outcome->from_template)
		atomic_fetch_add(&engine->counters.template_runs, 1);
	if (outcome->wants_template)
		zvm_maker_want(engine->maker, w->story->script, &w->stage.action);
	atomic_fetch_add(&engine->counters.system_calls, outcome->system_calls);
	atomic_fetch_add(&engine->counters.run_us, outcome->wall_us);
	return 0;
}

static int run(struct work *w)
{
	struct zvm_request request;
	struct zvm_box_outcome outcome = {0};
	zvm_autofd int out_fd = -1, err_fd = -1;
	int r = zvm_request_open(w->engine, w->script, &w->stage.action, &request);
	r = r ? r : zvm_store_begin(w->engine->options.store, &out_fd);
	r = r ? r : zvm_store_begin(w->engine->options.store, &err_fd);
	if (r == 0 && w->start)
		w->start->started(w->start->context, out_fd);
	request.box.stdin_fd = w->input_fd;
	request.box.stdout_fd = out_fd;
	request.box.stderr_fd = err_fd;
	request.box.cancel_fd = w->cancel_fd;
	request.box.meter = &w->job->progress.meter;
	r = r ? r : run_box(w, &request, &outcome);
	if (r == 0) {
		r = outcome.end == ZVM_END_EXIT || outcome.end == ZVM_END_SIGNAL
		            ? keep_result(w, &outcome, &out_fd, &err_fd)
		            : no_result(w, &outcome);
		zvm_box_outcome_free(&outcome);
	}
	zvm_request_close(&request);
	return r;
}

static int action_address(const struct zvm_action *action, struct zvm_digest *ret)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	int r = zvm_action_encode(action, &bytes);
	if (r == 0)
		zvm_memory_hash(bytes.data, bytes.size, ret);
	return r;
}

/* The last line of a stage's trace: how it ended, and the name of what it wrote. */
static void trace_end(const struct work *w)
{
	char line[256], digest[ZVM_DIGEST_TEXT];
	const struct zvm_engine_options *options = &w->engine->options;
	const struct zvm_record *record = w->story->record;
	int n;
	if (!options->trace)
		return;
	if (record) {
		zvm_digest_format(&record->out.digest, digest);
		n = snprintf(line, sizeof line, ZVM_TRACE_END "%.80s: %s %d, stdout %s", w->story->name,
		             record->signal ? "signal" : "exit status",
		             record->signal ? record->signal : record->exit_status, digest);
	} else {
		n = snprintf(line, sizeof line, ZVM_TRACE_END "%.80s: no result: %s", w->story->name,
		             strerror(-w->story->error));
	}
	options->trace(options->trace_context, line, (size_t)n);
}

static int look_up(struct work *w)
{
	struct zvm_engine *engine = w->engine;
	if (engine->options.no_cache)
		return -ENOENT;
	int r = zvm_record_find(engine->records, &w->stage.action, w->script->view, &w->story->record,
	                        &w->story->outputs);
	if (r == 0)
		atomic_fetch_add(&engine->counters.hits, 1);
	return r;
}

static int compute(struct work *w)
{
	atomic_fetch_add(&w->engine->counters.misses, 1);
	int r = run(w);
	if (r == 0)
		trace_end(w);
	return r;
}

/* A stored run that still holds, or a new one. -EINPROGRESS: somebody else is about to store one; hands off the job. */
static int find_or_run(struct work *w)
{
	int r = look_up(w);
	if (r != -ENOENT)
		return r;
	r = action_address(&w->stage.action, &w->address);
	r = r ? r : zvm_turn_take(w->engine, w->job, &w->address, w->stage.action.limits.wall_ms);
	if (r == -EINTR)
		return say(w->story, r, "nobody waited for the result any more");
	if (r)
		return r;
	r = look_up(w); /* who had it before us may have stored it since */
	if (r == -ENOENT)
		r = compute(w);
	if (!w->job->unsaved)
		zvm_turn_give(w->engine, w->job);
	return r;
}

/* --- stages --- */

static char **copy_words(char *const *words)
{
	size_t n = 0;
	while (words[n])
		n++;
	char **copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; copy && i < n; i++)
		copy[i] = strdup(words[i]);
	return copy;
}

static int prepare(struct work *w, const struct zvm_stage *stage, bool quick)
{
	struct zvm_script *script;
	w->story->name = strdup(stage->words[0]);
	w->story->arguments = copy_words(stage->words + 1);
	if (!w->story->name || !w->story->arguments)
		return -ENOMEM;
	int r = zvm_script_find(w->engine->scripts, stage->words[0], quick, &script);
	if (r == -ENOENT || r == -EACCES) {
		char text[512];
		snprintf(text, sizeof text,
		         r == -ENOENT ? "there is no script or program called %s" : "%s may not be executed",
		         stage->words[0]);
		return say(w->story, r, text);
	}
	if (r)
		return r;
	w->story->script = script;
	w->script = script;
	if (script->error) {
		char text[1024];
		snprintf(text, sizeof text, "%s: %s", script->guest_path,
		         script->reason ? script->reason : "it cannot be run");
		return say(w->story, script->error, text);
	}
	return 0;
}

/*
 * What a stage wrote, as content. An empty output has no object, so its twin number is not known before it has: a file
 * forged to have the hash of nothing at all may have been stored first.
 */
static int written_content(struct zvm_engine *engine, const struct zvm_record *record, struct zvm_digest *ret)
{
	*ret = record->out.digest;
	return record->out.size ? 0 : zvm_store_put(engine->options.store, "", 0, ret);
}

/* The input of the next stage: what this one wrote. */
static int next_input(struct zvm_engine *engine, const struct zvm_record *record, struct zvm_digest *digest, int *fd)
{
	zvm_close_pointer(fd);
	*fd = -1;
	int r = written_content(engine, record, digest);
	return r ? r : zvm_store_object(engine->options.store, digest, fd, NULL);
}

static int begin(struct zvm_engine *engine, struct zvm_job *job)
{
	struct zvm_story *story = zvm_story_new(job->target.spec, job->target.input_name);
	if (!story)
		return -ENOMEM;
	job->input_fd = job->hold_fd = -1;
	job->story = story;
	job->stage = 0;
	job->evictions = zvm_store_evictions(engine->options.store);
	/* Without a hold (no descriptor is free) it may only have to begin again. */
	(void)zvm_store_hold(engine->options.store, &job->hold_fd);
	return zvm_blob_of_input(engine->blobs, job->target.input_fd, &job->input, &job->input_fd, &job->new_input);
}

/* A stage that was parked begins anew: its script may have changed, its input cannot. */
static int compute_stage(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_start *start)
{
	const struct zvm_stage *stage = &job->target.spec->stages[job->stage];
	struct work w = {.engine = engine,
	                 .job = job,
	                 .story = &job->story->stages[job->stage],
	                 .cancel_fd = job->cancel_fd,
	                 .input_fd = job->input_fd,
	                 .start = job->stage + 1 == job->story->stage_count ? start : NULL,
	                 .target = &job->target,
	                 .number = job->stage};
	zvm_stage_clear(w.story);
	job->progress.stage = job->stage;
	job->progress.phase = ZVM_PHASE_LOOKING;
	int r = prepare(&w, stage, false);
	if (r || w.story->error)
		return r;
	r = build_action(&w, stage, &job->input);
	r = r ? r : find_or_run(&w);
	zvm_stage_action_free(&w.stage);
	return r;
}

/* Who was parked has waited for what another computes of this input; it has its name by now, or its content has
 * another's number. */
static int resume(struct zvm_engine *engine, struct zvm_job *job)
{
	int r = zvm_pending_place(engine->options.store, &job->new_input);
	if (r != -ESTALE)
		return r;
	zvm_job_drop(engine, job);
	return begin(engine, job);
}

static int compute_stages(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_start *start)
{
	int r = job->story ? resume(engine, job) : begin(engine, job);
	while (r == 0) {
		r = compute_stage(engine, job, start);
		if (r)
			break;
		const struct zvm_stage_story *done = &job->story->stages[job->stage++];
		job->outside_since = 0;
		if (done->error || job->stage == job->story->stage_count)
			break;
		if (job->unsaved) /* the next stage takes a turn of its own */
			save_now(engine, job);
		r = next_input(engine, done->record, &job->input, &job->input_fd);
	}
	return r;
}

/* Takes the story over. */
static int finish(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_story *story,
                  struct zvm_result **ret)
{
	struct stat input;
	int r = zvm_result_of_story(story, ret);
	if (r == 0 && fstat(target->input_fd, &input) == 0)
		zvm_result_narrow(*ret, &input, engine->options.others);
	return r;
}

void zvm_job_drop(struct zvm_engine *engine, struct zvm_job *job)
{
	zvm_pending_drop(engine->options.store, &job->new_input);
	zvm_story_free(job->story);
	zvm_close_pointer(&job->input_fd);
	zvm_close_pointer(&job->hold_fd);
	job->story = NULL;
	job->input_fd = job->hold_fd = -1;
}

/* An object that it had found has been removed since: all of it is found again, or made. */
static bool has_lost_an_object(const struct zvm_engine *engine, const struct zvm_job *job, int result)
{
	return (result == -ENOENT || result == -EIO) && job->evictions != zvm_store_evictions(engine->options.store);
}

/* Would another try avoid it? Something in the store could not be read, or a box died before it had its orders. */
static bool is_worth_a_try(int r, const struct zvm_story *story)
{
	bool unreadable = false;
	for (unsigned i = 0; r == 0 && i < story->stage_count; i++)
		unreadable |= story->stages[i].unreadable;
	return unreadable || r == -EIO || r == -ENOENT || r == -EPIPE || r == -ECONNRESET;
}

/* What a reader is told of trouble of ours: most errors would seem to speak of his script or his input. */
static int as_told(int r)
{
	switch (r) {
	case 0:
	case -ENOSPC:
	case -EROFS:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EAGAIN:
	case -EINTR: return r;
	default: return -EIO;
	}
}

/*
 * An object may be lost or damaged after it was found whole. So if something in the store could not be read, nothing in
 * it is believed any more, and all is looked at, and where it has to be stored, once more; whoever was told of the
 * first start waits for the end now.
 */
static int begin_again(struct zvm_engine *engine, struct zvm_job *job)
{
	zvm_job_drop(engine, job);
	job->second = true;
	job->stage = 0;
	job->outside_since = 0;
	zvm_store_doubt(engine->options.store);
	zvm_scripts_forget(engine->scripts);
	return compute_stages(engine, job, NULL);
}

int zvm_job_compute(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_start *start,
                    struct zvm_result **ret)
{
	int r = compute_stages(engine, job, job->second ? NULL : start);
	for (unsigned tries = 0; tries < TRIES && has_lost_an_object(engine, job, r); tries++) {
		zvm_job_drop(engine, job);
		r = compute_stages(engine, job, NULL);
	}
	if (r != -EINPROGRESS && !job->second && is_worth_a_try(r, job->story))
		r = begin_again(engine, job);
	if (r == -EINPROGRESS) /* and perhaps another worker has landed its flight by now, and freed it */
		return r;
	if (r == 0) {
		r = finish(engine, &job->target, job->story, ret);
		job->story = NULL;
	}
	return as_told(r);
}

/* `standings`: one for each stage, NULL where there is none. */
static int quick_stages(struct zvm_engine *engine, const struct zvm_target *target, const struct stat *st,
                        struct zvm_story *story, struct zvm_standing **standings)
{
	struct zvm_digest input;
	int r = zvm_blob_quick(engine->blobs, target->input_fd, st, &input);
	for (unsigned i = 0; r == 0 && i < story->stage_count; i++) {
		struct work w = {.engine = engine, .story = &story->stages[i], .cancel_fd = -1, .input_fd = -1};
		r = prepare(&w, &target->spec->stages[i], true);
		if (r == 0 && w.story->error)
			r = -ENOENT;
		r = r ? r : build_action(&w, &target->spec->stages[i], &input);
		r = r ? r
		      : zvm_record_find_quick(engine->records, &w.stage.action, w.script->view, &w.story->record,
		                              &w.story->outputs, &standings[i]);
		zvm_stage_action_free(&w.stage);
		if (r == 0 && i + 1 < story->stage_count)
			r = written_content(engine, w.story->record, &input);
	}
	return r;
}

static int quick_result(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_standing **standings,
                        struct zvm_result **ret)
{
	struct stat st;
	struct zvm_story *story = zvm_story_new(target->spec, target->input_name);
	if (!story)
		return -ENOMEM;
	int r = fstat(target->input_fd, &st) < 0 ? -errno : quick_stages(engine, target, &st, story, standings);
	if (r) {
		zvm_story_free(story);
		return r;
	}
	/* A warrant does not notice who may go through a directory on the way. */
	struct zvm_warrant *warrant = engine->options.others ? NULL : zvm_warrant_new(engine, story, &st, standings);
	r = finish(engine, target, story, ret);
	if (r == 0)
		(*ret)->warrant = zvm_steal_pointer(&warrant);
	zvm_warrant_unref(warrant);
	return r;
}

int zvm_job_quick(struct zvm_engine *engine, const struct zvm_target *target, bool count, struct zvm_result **ret)
{
	unsigned stages = target->spec->stage_count;
	if (engine->options.no_cache)
		return -ENOENT;
	zvm_autofree struct zvm_standing **standings = calloc(stages, sizeof *standings);
	int r = standings ? quick_result(engine, target, standings, ret) : -ENOMEM;
	for (unsigned i = 0; standings && i < stages; i++)
		zvm_standing_free(standings[i]);
	if (r == 0 && count)
		atomic_fetch_add(&engine->counters.hits, stages);
	return r;
}
