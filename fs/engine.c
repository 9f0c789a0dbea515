/*
 * The engine: who waits for what.
 *
 * A request that the store can answer without reading anything is answered on the spot. Any other becomes a ticket on a
 * *flight*, one computation of one target in one state of its script and input: the key holds the stat identities of
 * both, so a request made after a change starts a flight of its own. Flights queue for workers (threads that compute,
 * job.c), users taking turns (queue.h); one that waits for what another job or another process computes is parked
 * (turn.c), so that a worker is free for what can be done; tickets cost only memory.
 *
 * Who waits is answered as soon as the outputs are hashed. They get their names (pending.c), and the run its record,
 * afterwards, in the same worker: until then it is announced (record.c), so that this process finds it, and the action
 * is still the job's (turn.c), so that others wait for it. When a process dies in between, the run is computed again;
 * when an engine closes, its workers save what they have.
 *
 * A ticket that is abandoned leaves at once. A flight without tickets goes on for two seconds, in case somebody comes
 * back; then the reaper raises its cancel descriptor, which kills the box. When the engine closes, every flight is
 * cancelled and every ticket answered.
 *
 * Locks: engine->lock is around flights, tickets, the queue and turns; nothing is called with it held that could block
 * or call back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include "claim.h"
#include "engine_internal.h"
#include "maker.h"
#include "file_identity.h"
#include "stage.h"
#include "warrant.h"

#define ABANDONED_NS 2000000000ll

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- flights --- */

static void key_stat(struct zvm_bytes *key, const struct stat *st)
{
	struct zvm_file_identity id = zvm_file_identity(st);
	zvm_bytes_append(key, &id, sizeof id);
}

static int build_key(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_bytes *key)
{
	struct stat st;
	if (fstat(target->input_fd, &st) < 0)
		return -errno;
	zvm_bytes_string(key, target->spec->text);
	key_stat(key, &st);
	for (unsigned i = 0; i < target->spec->stage_count; i++)
		if (zvm_script_stat(engine->scripts, target->spec->stages[i].words[0], &st) == 0)
			key_stat(key, &st);
	return key->error;
}

static void free_flight(struct zvm_engine *engine, struct zvm_flight *f)
{
	zvm_spec_free(f->spec);
	free(f->input_name);
	free(f->key);
	zvm_job_drop(engine, &f->job);
	zvm_close_pointer(&f->job.target.input_fd);
	zvm_close_pointer(&f->job.cancel_fd);
	zvm_close_pointer(&f->growing_fd);
	free(f);
}

static int new_flight(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_bytes *key,
                      struct zvm_flight **ret)
{
	struct zvm_flight *f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->growing_fd = -1;
	f->job.input_fd = f->job.hold_fd = -1;
	f->job.target.input_fd = fcntl(target->input_fd, F_DUPFD_CLOEXEC, 0);
	f->job.cancel_fd = eventfd(0, EFD_CLOEXEC);
	int r = f->job.target.input_fd < 0 || f->job.cancel_fd < 0 ? -errno
	                                                           : zvm_spec_parse(target->spec->text, &f->spec);
	f->input_name = strdup(target->input_name);
	if (r == 0 && !f->input_name)
		r = -ENOMEM;
	if (r) {
		free_flight(engine, f);
		return r;
	}
	f->job.target.spec = f->spec;
	f->job.target.input_name = f->input_name;
	f->job.target.nonce = target->nonce;
	f->job.progress.asked_ns = now_ns();
	f->job.progress.meter = ZVM_BOX_METER;
	f->key = key->data;
	f->key_size = key->size;
	*key = (struct zvm_bytes){0};
	*ret = f;
	return 0;
}

static int enqueue(struct zvm_engine *engine, struct zvm_flight *f, uid_t uid)
{
	int r = zvm_queue_add(&engine->queue, &f->queued, uid);
	if (r)
		return r;
	f->job.progress.id = ++engine->last_flight;
	HASH_ADD_KEYPTR(hh, engine->flights, f->key, f->key_size, f);
	pthread_cond_signal(&engine->work);
	return 0;
}

static struct zvm_flight *flight_of(struct zvm_job *job)
{
	return (struct zvm_flight *)(void *)((char *)job - offsetof(struct zvm_flight, job));
}

/* What is parked is not under way: its user may have something else done. */
void zvm_flight_parked_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	job->progress.phase = ZVM_PHASE_WAITING;
	zvm_queue_park(&engine->queue, flight_of(job)->queued.uid);
	pthread_cond_signal(&engine->work);
}

void zvm_flight_again_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	job->progress.phase = ZVM_PHASE_QUEUED;
	zvm_queue_again(&engine->queue, &flight_of(job)->queued);
	pthread_cond_signal(&engine->work);
}

/* --- results for those who wait --- */

static uint64_t random_nonce(void)
{
	static atomic_ulong counter;
	uint64_t x = (uint64_t)now_ns() ^ ((uint64_t)getpid() << 40) ^ (atomic_fetch_add(&counter, 1) << 20);
	x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
	x = (x ^ x >> 27) * 0x81dadef4bc2dd44dull;
	return x ^ x >> 33;
}

/*
 * Trouble of ours rather than a run's: a result that says so, to have one way of answering. Nothing can be kept in a
 * store that somebody has removed, and what the kernel then says, "No such file", would be taken for the input.
 */
static struct zvm_result *trouble(struct zvm_store *store, const struct zvm_target *target, int error)
{
	bool gone = faccessat(zvm_store_directory(store), "version", F_OK, 0) < 0 && errno == ENOENT;
	struct zvm_result *result = NULL;
	struct zvm_story *story = zvm_story_new(target->spec, target->input_name);
	char text[256];
	if (!story)
		return NULL;
	error = gone ? -EIO : error;
	if (gone)
		snprintf(text, sizeof text, "the store %s has been removed; unmount and mount again",
		         zvm_store_path(store));
	else
		snprintf(text, sizeof text, "zvm itself failed: %s", strerror(-error));
	story->stages[0].name = strdup(target->spec->stages[0].words[0]);
	story->stages[0].error = error;
	story->stages[0].message = strdup(error == -ENOSPC ? "the store is full" : text);
	return zvm_result_of_story(story, &result) == 0 ? result : NULL;
}

static void answer(struct zvm_ticket *tickets, struct zvm_result *result)
{
	struct zvm_ticket *t, *next;
	DL_FOREACH_SAFE(tickets, t, next)
	{
		t->done(t->context, result ? zvm_result_ref(result) : NULL);
		free(t);
	}
}

/* Whose job it is that starts. */
struct takeoff {
	struct zvm_engine *engine;
	struct zvm_flight *flight;
};

static void on_takeoff(void *context, int out_fd)
{
	const struct takeoff *takeoff = context;
	struct zvm_engine *engine = takeoff->engine;
	char path[48];
	snprintf(path, sizeof path, "/proc/self/fd/%d", out_fd);
	pthread_mutex_lock(&engine->lock);
	void (*started)(void *) = engine->started;
	void *started_context = engine->started_context;
	if (started) {
		zvm_close_pointer(&takeoff->flight->growing_fd);
		takeoff->flight->growing_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	pthread_mutex_unlock(&engine->lock);
	if (started)
		started(started_context);
}

/* false: it has not landed but is parked, and may be another worker's already. */
static bool fly(struct zvm_engine *engine, struct zvm_flight *f)
{
	struct zvm_result *result = NULL;
	struct takeoff takeoff = {engine, f};
	const struct zvm_start start = {on_takeoff, &takeoff};
	int r = zvm_job_compute(engine, &f->job, &start, &result);
	if (r == -EINPROGRESS)
		return false;
	if (r)
		result = trouble(engine->options.store, &f->job.target, r);
	pthread_mutex_lock(&engine->lock);
	HASH_DEL(engine->flights, f);
	/* What became nothing is gone before its readers are told. */
	zvm_close_pointer(&f->growing_fd);
	f->growing_fd = -1;
	struct zvm_ticket *tickets = f->tickets;
	f->tickets = NULL;
	for (struct zvm_ticket *t = tickets; t; t = t->next)
		t->flight = NULL; /* being answered: too late to abandon */
	pthread_mutex_unlock(&engine->lock);
	answer(tickets, result);
	zvm_result_unref(result);
	zvm_job_settle(engine, &f->job);
	free_flight(engine, f);
	zvm_store_make_spares(engine->options.store);
	return true;
}

static void *worker_main(void *context)
{
	struct zvm_engine *engine = context;
	pthread_mutex_lock(&engine->lock);
	for (;;) {
		struct zvm_flight *f = (struct zvm_flight *)zvm_queue_take(&engine->queue);
		if (!f && engine->closing)
			break;
		if (!f) {
			pthread_cond_wait(&engine->work, &engine->lock);
			continue;
		}
		uid_t uid = f->queued.uid;
		f->job.progress.phase = ZVM_PHASE_LOOKING;
		pthread_mutex_unlock(&engine->lock);
		bool landed = fly(engine, f);
		pthread_mutex_lock(&engine->lock);
		if (landed)
			zvm_queue_done(&engine->queue, uid);
		if (landed && engine->queue.limit) /* somebody else may have waited for this one */
			pthread_cond_signal(&engine->work);
	}
	pthread_mutex_unlock(&engine->lock);
	return NULL;
}

/* --- flights nobody waits for --- */

static void cancel(struct zvm_engine *engine, struct zvm_flight *f)
{
	uint64_t one = 1;
	if (f->job.cancelled)
		return;
	f->job.cancelled = write(f->job.cancel_fd, &one, sizeof one) == sizeof one;
	zvm_turn_resume_locked(engine, &f->job);
	pthread_cond_broadcast(&engine->box_free);
}

/* Cancels what is due, and looks after those who wait for other processes; when to do so again, or 0. */
static int64_t reap_due(struct zvm_engine *engine)
{
	struct zvm_flight *f, *next;
	int64_t soonest = zvm_turn_look_locked(engine), now = now_ns();
	HASH_ITER(hh, engine->flights, f, next)
	{
		if (!f->alone_since || f->job.cancelled)
			continue;
		int64_t due = f->alone_since + ABANDONED_NS;
		if (due <= now)
			cancel(engine, f);
		else if (!soonest || due < soonest)
			soonest = due;
	}
	return soonest;
}

static void *reaper_main(void *context)
{
	struct zvm_engine *engine = context;
	pthread_mutex_lock(&engine->lock);
	while (!engine->closing) {
		int64_t next = reap_due(engine);
		struct timespec until = {next / 1000000000, next % 1000000000};
		if (next)
			pthread_cond_timedwait(&engine->reap, &engine->lock, &until);
		else
			pthread_cond_wait(&engine->reap, &engine->lock);
	}
	pthread_mutex_unlock(&engine->lock);
	return NULL;
}

/* --- requests --- */

int zvm_engine_peek(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_result **ret)
{
	int r = zvm_job_quick(engine, target, false, ret);
	return r == -EAGAIN ? -ENOENT : r;
}

int zvm_engine_try(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_result **ret)
{
	return zvm_job_quick(engine, target, true, ret);
}

bool zvm_engine_stands(struct zvm_engine *engine, const struct zvm_result *result, const struct stat *input)
{
	return zvm_warrant_holds(engine, result->warrant, input);
}

int zvm_engine_serve(struct zvm_engine *engine, struct zvm_result *result, struct zvm_result **ret)
{
	uint64_t size = 0;
	zvm_autofd int fd = -1;
	int r = result->out_size ? zvm_store_object(engine->options.store, &result->out_digest, &fd, &size) : 0;
	if (r || size != result->out_size)
		return r ? r : -ENOENT;
	struct zvm_result *served = zvm_result_summary(result, false);
	if (!served)
		return -ENOMEM;
	served->out_fd = zvm_steal_fd(&fd);
	zvm_warrant_note_use(engine, result->warrant);
	*ret = served;
	return 0;
}

static int join_flight(struct zvm_engine *engine, const struct zvm_target *target, struct zvm_ticket *ticket)
{
	zvm_autobytes struct zvm_bytes key = {0};
	struct zvm_flight *f, *fresh = NULL;
	int r = build_key(engine, target, &key);
	if (r)
		return r;
	pthread_mutex_lock(&engine->lock);
	HASH_FIND(hh, engine->flights, key.data, key.size, f);
	if (f && f->job.cancelled) { /* too late for this one: it is being killed; its key makes room for another */
		HASH_DEL(engine->flights, f);
		f->key[0] ^= 0xff;
		HASH_ADD_KEYPTR(hh, engine->flights, f->key, f->key_size, f);
		f = NULL;
	}
	if (engine->closing)
		r = -ESHUTDOWN;
	else if (f)
		atomic_fetch_add(&engine->counters.joined, 1);
	else if ((r = new_flight(engine, target, &key, &fresh)) == 0 && (r = enqueue(engine, f = fresh, target->uid)))
		free_flight(engine, fresh);
	if (r == 0) {
		ticket->flight = f;
		ticket->uid = target->uid;
		f->alone_since = 0;
		DL_APPEND(f->tickets, ticket);
	}
	pthread_mutex_unlock(&engine->lock);
	return r;
}

int zvm_engine_request(struct zvm_engine *engine, const struct zvm_target *target,
                       void (*done)(void *context, struct zvm_result *result), void *context,
                       struct zvm_ticket **ret_ticket)
{
	struct zvm_result *result;
	struct zvm_target wanted = *target;
	*ret_ticket = NULL;
	if (zvm_engine_try(engine, target, &result) == 0) {
		done(context, result);
		return 0;
	}
	if (!wanted.nonce)
		wanted.nonce = random_nonce();
	struct zvm_ticket *ticket = calloc(1, sizeof *ticket);
	if (!ticket)
		return -ENOMEM;
	ticket->done = done;
	ticket->context = context;
	/* Published before the flight can answer it: the caller must find its ticket when `done` runs at once. */
	*ret_ticket = ticket;
	int r = join_flight(engine, &wanted, ticket);
	if (r) {
		*ret_ticket = NULL;
		free(ticket);
	}
	return r;
}

int zvm_engine_growing(struct zvm_engine *engine, struct zvm_ticket *ticket, int *ret_fd)
{
	int fd = -1;
	pthread_mutex_lock(&engine->lock);
	if (ticket->flight && ticket->flight->growing_fd >= 0)
		fd = fcntl(ticket->flight->growing_fd, F_DUPFD_CLOEXEC, 0);
	pthread_mutex_unlock(&engine->lock);
	*ret_fd = fd;
	return fd < 0 ? -ENOENT : 0;
}

void zvm_engine_on_start(struct zvm_engine *engine, void (*started)(void *context), void *context)
{
	pthread_mutex_lock(&engine->lock);
	engine->started = started;
	engine->started_context = context;
	pthread_mutex_unlock(&engine->lock);
}

bool zvm_engine_abandon(struct zvm_engine *engine, struct zvm_ticket *ticket)
{
	pthread_mutex_lock(&engine->lock);
	struct zvm_flight *f = ticket->flight;
	if (f) {
		DL_DELETE(f->tickets, ticket);
		if (!f->tickets) {
			f->alone_since = now_ns();
			pthread_cond_signal(&engine->reap);
		}
	}
	pthread_mutex_unlock(&engine->lock);
	if (f)
		free(ticket);
	return f != NULL;
}

/* --- life --- */

static void default_options(struct zvm_engine_options *o)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (!o->max_jobs)
		o->max_jobs = processors > 0 ? (unsigned)processors : 1;
	zvm_default_limits(&o->limits);
}

static int start_threads(struct zvm_engine *engine)
{
	/* More than boxes: some only look up. Who waits for what another computes has none (turn.c). */
	unsigned wanted = engine->options.max_jobs * 2 + 4;
	engine->workers = calloc(wanted, sizeof *engine->workers);
	if (!engine->workers)
		return -ENOMEM;
	int r = pthread_create(&engine->reaper, NULL, reaper_main, engine);
	if (r)
		return -r;
	engine->reaping = true;
	for (; engine->worker_count < wanted; engine->worker_count++) {
		r = pthread_create(&engine->workers[engine->worker_count], NULL, worker_main, engine);
		if (r && !engine->worker_count)
			return -r;
		if (r)
			break;
	}
	return 0;
}

static void init_locks(struct zvm_engine *engine)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&engine->lock, NULL);
	pthread_cond_init(&engine->work, NULL);
	pthread_cond_init(&engine->reap, &monotonic);
	pthread_cond_init(&engine->box_free, NULL);
	pthread_condattr_destroy(&monotonic);
}

int zvm_engine_open(const struct zvm_engine_options *options, struct zvm_engine **ret)
{
	struct zvm_engine *engine = calloc(1, sizeof *engine);
	if (!engine)
		return -ENOMEM;
	engine->options = *options;
	engine->queue.limit = options->user_jobs;
	default_options(&engine->options);
	init_locks(engine);
	engine->claims = zvm_claims_open(zvm_store_directory(options->store));
	int r = zvm_blobs_open(options->store, &engine->blobs);
	r = r ? r : zvm_records_open(options->store, engine->blobs, &engine->records);
	r = r ? r : zvm_scripts_open(options->scripts, engine->blobs, &engine->scripts);
	r = r ? r : zvm_names_open(options->store, &engine->names);
	r = r ? r : zvm_maker_open(engine, &engine->maker);
	r = r ? r : start_threads(engine);
	if (r) {
		zvm_engine_close(engine);
		return r;
	}
	*ret = engine;
	return 0;
}

void zvm_engine_close(struct zvm_engine *engine)
{
	struct zvm_flight *f, *next;
	if (!engine)
		return;
	pthread_mutex_lock(&engine->lock);
	engine->closing = true;
	engine->queue.limit = 0; /* all are to be answered */
	HASH_ITER(hh, engine->flights, f, next)
	cancel(engine, f);
	pthread_cond_broadcast(&engine->work);
	pthread_cond_broadcast(&engine->reap);
	pthread_mutex_unlock(&engine->lock);
	for (unsigned i = 0; i < engine->worker_count; i++)
		pthread_join(engine->workers[i], NULL);
	if (engine->reaping)
		pthread_join(engine->reaper, NULL);
	zvm_maker_close(engine->maker);
	if (engine->options.launcher)
		zvm_box_forget_templates(engine->options.launcher, 0);
	free(engine->workers);
	zvm_queue_free(&engine->queue);
	zvm_table_close(engine->names);
	zvm_scripts_close(engine->scripts);
	zvm_records_close(engine->records);
	zvm_blobs_close(engine->blobs);
	zvm_close_pointer(&engine->claims);
	free(engine);
}

int zvm_engine_find_script(struct zvm_engine *engine, const char *name, struct stat *ret_stat, int *ret_fd)
{
	if (ret_fd)
		*ret_fd = -1;
	return zvm_script_stat(engine->scripts, name, ret_stat);
}

void zvm_engine_counters(struct zvm_engine *engine, struct zvm_engine_counters *ret)
{
	struct zvm_counters *c = &engine->counters;
	*ret = (struct zvm_engine_counters){
	        .box_runs_total = atomic_load(&c->box_runs),
	        .cache_hits_total = atomic_load(&c->hits),
	        .cache_misses_total = atomic_load(&c->misses),
	        .runs_in_flight = atomic_load(&c->in_flight),
	        .runs_unsaved = atomic_load(&c->unsaved),
	        .failures_total = atomic_load(&c->failures),
	        .cancelled_total = atomic_load(&c->cancelled),
	        .timeouts_total = atomic_load(&c->timeouts),
	        .templates_total = atomic_load(&c->templates),
	        .template_runs_total = atomic_load(&c->template_runs),
	        .joined_total = atomic_load(&c->joined),
	        .system_calls_total = atomic_load(&c->system_calls),
	        .run_microseconds_total = atomic_load(&c->run_us),
	};
}
