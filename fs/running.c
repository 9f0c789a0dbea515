/*
 * What goes on in an engine, for whoever may know: the file behind `zvm top`.
 *
 * Whoever looks must not hold up those who work. So under the engine's lock no more is done than to copy what is
 * listed; sizes of outputs are asked for, and the kernel for what boxes use, when it has been given back. Jobs that do
 * not run are listed up to a number, the rest is counted.
 *
 * Another user than the owner is shown his own jobs, as he named them himself, how far they are, and the number of all.
 * What a run does (how much it writes, how long it computes, which limits its script declares) tells of files that he
 * may not be allowed to read; the result itself is not opened to him before it is known which those are, and no more is
 * this.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "engine_internal.h"
#include "json.h"

#define LISTED_MAX 500 /* beside those that run */
#define USERS_MAX 16   /* of one job */

/* --- the job's side --- */

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void zvm_progress_begin(struct zvm_engine *engine, struct zvm_job *job, const struct zvm_box_request *request)
{
	struct zvm_progress *p = &job->progress;
	int64_t now = now_ns();
	pthread_mutex_lock(&engine->lock);
	p->started_ns = now;
	p->limits = request->limits;
	p->out_fd = request->stdout_fd;
	p->err_fd = request->stderr_fd;
	p->phase = ZVM_PHASE_RUNNING;
	pthread_mutex_unlock(&engine->lock);
}

void zvm_progress_end(struct zvm_engine *engine, struct zvm_job *job)
{
	pthread_mutex_lock(&engine->lock);
	job->progress.phase = ZVM_PHASE_STORING;
	pthread_mutex_unlock(&engine->lock);
}

/* --- copies --- */

struct seen {
	uint64_t id;
	enum zvm_phase phase;
	char *spec, *input, *script;
	unsigned stage, stages;
	uid_t asker, users[USERS_MAX];
	unsigned user_count, readers;
	int64_t asked_ns, started_ns;
	struct zvm_limits limits;
	int out_fd, err_fd; /* of its own, or -1 */
	uint64_t out_size, err_size;
	struct zvm_box_usage usage;
};

struct look {
	const uid_t *only;
	int64_t now;
	unsigned phases[ZVM_PHASE_COUNT], left_out;
	struct seen *seen;
	size_t count, room, idle; /* idle: of count, those that do not run */
	bool usage;               /* the kernel has told what boxes use */
};

static void free_look(struct look *look)
{
	for (size_t i = 0; i < look->count; i++) {
		free(look->seen[i].spec);
		free(look->seen[i].input);
		free(look->seen[i].script);
		zvm_close_pointer(&look->seen[i].out_fd);
		zvm_close_pointer(&look->seen[i].err_fd);
	}
	free(look->seen);
}

static void note_user(struct seen *seen, uid_t uid)
{
	for (unsigned i = 0; i < seen->user_count; i++)
		if (seen->users[i] == uid)
			return;
	if (seen->user_count < USERS_MAX)
		seen->users[seen->user_count++] = uid;
}

/* Who waits for it: all, or only the one who looks. */
static void note_readers(struct seen *seen, const struct zvm_flight *f, const uid_t *only)
{
	seen->asker = only ? *only : f->queued.uid;
	for (const struct zvm_ticket *t = f->tickets; t; t = t->next) {
		if (only && t->uid != *only)
			continue;
		seen->readers++;
		note_user(seen, t->uid);
	}
}

static void note_run(struct seen *seen, const struct zvm_progress *p, bool all)
{
	seen->started_ns = p->started_ns;
	if (!all)
		return;
	seen->limits = p->limits;
	seen->out_fd = fcntl(p->out_fd, F_DUPFD_CLOEXEC, 0);
	seen->err_fd = fcntl(p->err_fd, F_DUPFD_CLOEXEC, 0);
	zvm_box_meter_read(&p->meter, &seen->usage);
}

static struct seen *another(struct look *look)
{
	if (look->count == look->room) {
		size_t room = look->room ? look->room * 2 : 16;
		struct seen *more = realloc(look->seen, room * sizeof *more);
		if (!more)
			return NULL;
		look->seen = more;
		look->room = room;
	}
	return &look->seen[look->count];
}

static int copy_flight(struct look *look, const struct zvm_flight *f, enum zvm_phase phase)
{
	const struct zvm_progress *p = &f->job.progress;
	struct seen seen = {.id = p->id,
	                    .phase = phase,
	                    .stage = p->stage,
	                    .stages = f->spec->stage_count,
	                    .asked_ns = p->asked_ns,
	                    .out_fd = -1,
	                    .err_fd = -1};
	note_readers(&seen, f, look->only);
	if (look->only && !seen.readers)
		return 0;
	bool runs = phase == ZVM_PHASE_RUNNING;
	if (!runs && look->idle == LISTED_MAX) {
		look->left_out++;
		return 0;
	}
	struct seen *to = another(look);
	if (!to)
		return -ENOMEM;
	seen.spec = strdup(f->spec->text);
	seen.input = strdup(f->input_name);
	seen.script = strdup(f->spec->stages[seen.stage].words[0]);
	if (runs)
		note_run(&seen, p, !look->only);
	look->idle += !runs;
	look->count++;
	*to = seen;
	return 0;
}

/* All counts, and of each job that is shown a copy. */
static int look_locked(struct zvm_engine *engine, struct look *look)
{
	int r = 0;
	for (struct zvm_flight *f = engine->flights; r == 0 && f; f = f->hh.next) {
		enum zvm_phase phase = f->job.progress.phase;
		look->phases[phase]++;
		r = copy_flight(look, f, phase);
	}
	return r;
}

/* --- what runs have done --- */

static uint64_t size_of(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void measure(struct zvm_engine *engine, struct look *look)
{
	unsigned count = 0;
	zvm_autofree struct zvm_box_usage *usages = calloc(look->count + 1, sizeof *usages);
	for (size_t i = 0; usages && i < look->count; i++) {
		look->seen[i].out_size = size_of(look->seen[i].out_fd);
		look->seen[i].err_size = size_of(look->seen[i].err_fd);
		if (look->seen[i].usage.box)
			usages[count++] = look->seen[i].usage;
	}
	if (!count)
		return;
	look->usage = zvm_launcher_usage(engine->options.launcher, usages, count) == 0;
	for (size_t i = 0, at = 0; i < look->count; i++)
		if (look->seen[i].usage.box)
			look->seen[i].usage = usages[at++];
}

/* --- JSON --- */

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void set_number(json_t *object, const char *key, bool known, uint64_t value)
{
	set(object, key, known ? json_integer((json_int_t)value) : json_null());
}

static const char *const phase_names[ZVM_PHASE_COUNT] = {"queued", "looking", "running", "storing", "waiting"};

static json_t *limits_json(const struct zvm_limits *limits)
{
	json_t *object = json_object();
	set_number(object, "memory_bytes", true, limits->memory_bytes);
	set_number(object, "output_bytes", true, limits->output_bytes);
	set_number(object, "wall_ms", true, limits->wall_ms);
	return object;
}

static uint64_t us_since(int64_t then, int64_t now)
{
	return now > then ? (uint64_t)(now - then) / 1000 : 0;
}

static json_t *job_json(const struct look *look, const struct seen *seen)
{
	json_t *job = json_object(), *users = json_array();
	bool runs = seen->phase == ZVM_PHASE_RUNNING, told = runs && !look->only;
	bool usage = told && look->usage && seen->usage.box;
	set_number(job, "id", true, seen->id);
	set(job, "state", json_string(phase_names[seen->phase]));
	set(job, "spec", zvm_json_text(seen->spec));
	set(job, "input", zvm_json_text(seen->input));
	set(job, "script", zvm_json_text(seen->script));
	set_number(job, "stage", true, seen->stage + 1);
	set_number(job, "stages", true, seen->stages);
	set_number(job, "uid", true, seen->asker);
	for (unsigned i = 0; i < seen->user_count; i++)
		json_array_append_new(users, json_integer((json_int_t)seen->users[i]));
	set(job, "reader_uids", users);
	set_number(job, "readers", true, seen->readers);
	set_number(job, "asked_us", true, us_since(seen->asked_ns, look->now));
	set_number(job, "run_us", runs, us_since(seen->started_ns, look->now));
	set_number(job, "cpu_us", usage, seen->usage.cpu_us);
	set_number(job, "memory_kib", usage, seen->usage.memory_kib);
	set_number(job, "processes", usage, seen->usage.processes);
	set_number(job, "stdout_bytes", told, seen->out_size);
	set_number(job, "stderr_bytes", told, seen->err_size);
	set(job, "limits", told ? limits_json(&seen->limits) : json_null());
	return job;
}

/* Those that run come first. */
static json_t *jobs_json(const struct look *look)
{
	json_t *jobs = json_array();
	for (int running = 1; running >= 0; running--)
		for (size_t i = 0; i < look->count; i++)
			if ((look->seen[i].phase == ZVM_PHASE_RUNNING) == running)
				json_array_append_new(jobs, job_json(look, &look->seen[i]));
	return jobs;
}

static json_t *counters_json(struct zvm_engine *engine)
{
	struct zvm_engine_counters c;
	json_t *object = json_object();
	zvm_engine_counters(engine, &c);
	set_number(object, "box_runs", true, c.box_runs_total);
	set_number(object, "cache_hits", true, c.cache_hits_total);
	set_number(object, "cache_misses", true, c.cache_misses_total);
	set_number(object, "joined", true, c.joined_total);
	set_number(object, "failures", true, c.failures_total);
	set_number(object, "cancelled", true, c.cancelled_total);
	set_number(object, "timeouts", true, c.timeouts_total);
	return object;
}

static json_t *hit_rate_json(json_t *counters)
{
	double hits = json_number_value(json_object_get(counters, "cache_hits"));
	double all = hits + json_number_value(json_object_get(counters, "cache_misses"));
	return all > 0 ? json_real(hits / all) : json_null();
}

static json_t *look_json(struct zvm_engine *engine, const struct look *look)
{
	json_t *whole = json_object(), *counters = counters_json(engine);
	set(whole, "all", json_boolean(!look->only));
	set_number(whole, "max_jobs", true, engine->options.max_jobs);
	set_number(whole, "user_jobs", true, engine->options.user_jobs);
	for (int phase = 0; phase < ZVM_PHASE_COUNT; phase++)
		set_number(whole, phase_names[phase], true, look->phases[phase]);
	set(whole, "hit_rate", hit_rate_json(counters));
	set(whole, "counters", counters);
	set(whole, "jobs", jobs_json(look));
	set_number(whole, "left_out", true, look->left_out);
	return whole;
}

int zvm_engine_running_text(struct zvm_engine *engine, const uid_t *only, char **ret, size_t *ret_size)
{
	struct look look = {.only = only, .now = now_ns()};
	pthread_mutex_lock(&engine->lock);
	int r = look_locked(engine, &look);
	pthread_mutex_unlock(&engine->lock);
	if (r == 0 && !only)
		measure(engine, &look);
	json_t *whole = r ? NULL : look_json(engine, &look);
	zvm_autofree char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
	json_decref(whole);
	free_look(&look);
	if (r == 0 && (!text || asprintf(ret, "%s\n", text) < 0))
		r = -ENOMEM;
	if (r == 0)
		*ret_size = strlen(*ret);
	return r;
}
