/*
 * Whose turn it is: each action is computed once at a time, and boxes are bounded.
 *
 * A worker that is about to compute an action takes its turn. Within this process a table says which actions run;
 * across processes a claim does (claim.c). If somebody else has the action, the job is *parked*: it goes to a list, and
 * its worker to other work, so however many wait, unrelated requests go on. A parked job is queued again as soon as
 *
 *   - the job of this process that had the action gives its turn back;
 *   - the claim of the other process is free: it finished or died, the lock tells neither; the reaper looks every
 *     LOOK_NS, which is how long a waiter may learn of it late;
 *   - it is cancelled;
 *   - it has waited for other processes for longer than the action may take: a stopped process must not stop all.
 *
 * It then looks in the store first: mostly the result is there. Whoever takes a turn must look once more after having
 * it, since the one before may have finished in between. Then one run is all there is, whoever asks.
 *
 * A turn includes a box. For that a worker does wait, here: the boxes of this process end by themselves, and a job
 * with a claim must not wait for one, or other processes would wait with it although they may have a box to spare. It
 * may give the box back before the turn: what has run is saved without one.
 *
 * Locks: all of this is under engine->lock; the claim itself is a system call made without it.
 */
#include <errno.h>
#include <time.h>
#include <utlist.h>
#include "claim.h"
#include "engine_internal.h"

#define LOOK_NS 5000000ll
#define PATIENCE_NS 2000000000ll /* beyond the action's own limit: its inputs and outputs take time too */

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool same_address(const struct zvm_digest *a, const struct zvm_digest *b)
{
	return a->high == b->high && a->low == b->low;
}

static bool is_running(const struct zvm_engine *engine, const struct zvm_digest *action)
{
	const struct zvm_job *other;
	DL_FOREACH(engine->running, other)
	{
		if (same_address(&other->action, action))
			return true;
	}
	return false;
}

/* --- waiting --- */

void zvm_turn_resume_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	if (!job->parked)
		return;
	DL_DELETE(engine->parked, job);
	job->parked = false;
	zvm_flight_again_locked(engine, job);
}

static int park_locked(struct zvm_engine *engine, struct zvm_job *job, bool outside)
{
	if (job->cancelled) /* nobody would wake it */
		return -EINTR;
	job->parked = true;
	job->outside = outside;
	DL_APPEND(engine->parked, job);
	zvm_flight_parked_locked(engine, job);
	if (outside)
		pthread_cond_signal(&engine->reap);
	return -EINPROGRESS;
}

static bool is_impatient(const struct zvm_job *job, int64_t now)
{
	return job->outside_since && now > job->outside_since + job->longest_ns + PATIENCE_NS;
}

int64_t zvm_turn_look_locked(struct zvm_engine *engine)
{
	struct zvm_job *job, *next;
	bool some = false;
	int64_t now = now_ns();
	DL_FOREACH_SAFE(engine->parked, job, next)
	{
		if (!job->outside)
			continue;
		if (is_impatient(job, now) || zvm_claim_is_free(engine->claims, &job->action))
			zvm_turn_resume_locked(engine, job);
		else
			some = true;
	}
	return some ? now + LOOK_NS : 0;
}

/* --- turns --- */

static void begin_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	DL_APPEND(engine->running, job);
	job->boxed = true;
	engine->boxes++;
}

static void give_box_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	if (!job->boxed)
		return;
	job->boxed = false;
	engine->boxes--;
	pthread_cond_signal(&engine->box_free);
}

static void end_locked(struct zvm_engine *engine, struct zvm_job *job)
{
	struct zvm_job *other, *next;
	DL_DELETE(engine->running, job);
	give_box_locked(engine, job);
	DL_FOREACH_SAFE(engine->parked, other, next)
	{
		if (!other->outside && same_address(&other->action, &job->action))
			zvm_turn_resume_locked(engine, other);
	}
}

/* In this process: 0, -EINPROGRESS, -EINTR. */
static int take_inside(struct zvm_engine *engine, struct zvm_job *job)
{
	int r = 0;
	pthread_mutex_lock(&engine->lock);
	job->progress.phase = ZVM_PHASE_QUEUED; /* for a box */
	while (!is_running(engine, &job->action) && engine->boxes >= engine->options.max_jobs && !job->cancelled)
		pthread_cond_wait(&engine->box_free, &engine->lock);
	if (job->cancelled)
		r = -EINTR;
	else if (is_running(engine, &job->action))
		r = park_locked(engine, job, false);
	else
		begin_locked(engine, job);
	if (!r)
		job->progress.phase = ZVM_PHASE_LOOKING;
	/* Woken for a box and not taking it: the next one may. */
	if (r && engine->boxes < engine->options.max_jobs)
		pthread_cond_signal(&engine->box_free);
	pthread_mutex_unlock(&engine->lock);
	return r;
}

int zvm_turn_take(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_digest *action, uint32_t longest_ms)
{
	job->action = *action;
	job->longest_ns = (int64_t)longest_ms * 1000000;
	int r = take_inside(engine, job);
	/* Where nothing is remembered there is nothing to wait for. */
	if (r || engine->options.no_cache || zvm_claim_take(engine->claims, action) == 0)
		return r;
	int64_t now = now_ns();
	if (is_impatient(job, now))
		return 0;
	if (!job->outside_since)
		job->outside_since = now;
	pthread_mutex_lock(&engine->lock);
	end_locked(engine, job);
	r = park_locked(engine, job, true);
	pthread_mutex_unlock(&engine->lock);
	return r;
}

void zvm_turn_give_box(struct zvm_engine *engine, struct zvm_job *job)
{
	pthread_mutex_lock(&engine->lock);
	give_box_locked(engine, job);
	pthread_mutex_unlock(&engine->lock);
}

void zvm_turn_give(struct zvm_engine *engine, struct zvm_job *job)
{
	job->outside_since = 0;
	/* The claim first: whoever is next in this process must be able to take it. */
	if (!engine->options.no_cache)
		zvm_claim_give(engine->claims, &job->action);
	pthread_mutex_lock(&engine->lock);
	end_locked(engine, job);
	pthread_mutex_unlock(&engine->lock);
}
