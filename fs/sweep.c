/*
 * One thread says what is to be rechecked, a few do it; between them is a short queue. The rate is kept where the queue
 * is filled. A cancel descriptor ends it: boxes watch it themselves, and everybody here looks at it before going on.
 */
#include "sweep.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "plain.h"
#include "record_file.h"
#include "store_internal.h"
#include "survey.h"

#define QUEUE_MAX 16
#define JOBS_MAX 256
#define PROGRESS_NS 200000000ll

struct item {
	struct zvm_digest address;
	unsigned long number;
};

struct zvm_sweep {
	struct zvm_sweep_options options;
	pthread_t threads[JOBS_MAX];
	unsigned thread_count;
	int64_t next_ns;      /* when the next may be added */
	pthread_mutex_t lock; /* around all that follows, and printing */
	pthread_cond_t changed;
	struct item queue[QUEUE_MAX];
	unsigned first, count;
	bool closed, line_shown;
	int64_t shown_ns;
	struct zvm_sweep_counts counts;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool cancelled(const struct zvm_sweep *sweep)
{
	struct pollfd set = {.fd = sweep->options.rechecker.cancel_fd, .events = POLLIN};
	return poll(&set, 1, 0) > 0;
}

/* --- saying --- */

static void hide_progress(struct zvm_sweep *sweep)
{
	if (sweep->line_shown)
		fputs("\r\033[K", stderr);
	sweep->line_shown = false;
}

static void show_progress(struct zvm_sweep *sweep)
{
	const struct zvm_sweep_counts *c = &sweep->counts;
	if (!sweep->options.progress || now_ns() < sweep->shown_ns + PROGRESS_NS)
		return;
	fprintf(stderr, "\r\033[K%llu verified, %llu differ, %llu not verifiable", (unsigned long long)c->same,
	        (unsigned long long)c->differ, (unsigned long long)c->cannot);
	sweep->line_shown = true;
	sweep->shown_ns = now_ns();
}

static void print_action(const struct zvm_action *action, const struct item *item)
{
	char address[ZVM_DIGEST_TEXT];
	zvm_plain_string(action->script, stdout);
	for (const char *const *word = action->arguments; *word; word++) {
		putchar(' ');
		zvm_plain_string(*word, stdout);
	}
	zvm_digest_format(&item->address, address);
	printf(" (run %s/%lu): ", address, item->number);
}

static void report(struct zvm_sweep *sweep, const struct zvm_action *action, const struct item *item,
                   const struct zvm_recheck *recheck)
{
	pthread_mutex_lock(&sweep->lock);
	struct zvm_sweep_counts *c = &sweep->counts;
	c->same += recheck->verdict == ZVM_VERDICT_SAME;
	c->differ += recheck->verdict == ZVM_VERDICT_DIFFERS;
	c->cannot += recheck->verdict == ZVM_VERDICT_CANNOT;
	if (recheck->verdict == ZVM_VERDICT_DIFFERS || recheck->verdict == ZVM_VERDICT_CANNOT) {
		hide_progress(sweep);
		print_action(action, item);
		if (recheck->verdict == ZVM_VERDICT_DIFFERS) {
			printf("differs\n%s", recheck->text);
		} else {
			printf("cannot be verified (");
			zvm_plain_string(recheck->text, stdout);
			printf(")\n");
		}
		fflush(stdout);
	}
	show_progress(sweep);
	pthread_mutex_unlock(&sweep->lock);
}

void zvm_sweep_cannot(struct zvm_sweep *sweep, const char *name, const char *why)
{
	pthread_mutex_lock(&sweep->lock);
	hide_progress(sweep);
	sweep->counts.cannot++;
	zvm_plain_string(name, stdout);
	printf(": cannot be verified (%s)\n", why);
	pthread_mutex_unlock(&sweep->lock);
}

static void fail(struct zvm_sweep *sweep, const char *what, int error)
{
	pthread_mutex_lock(&sweep->lock);
	hide_progress(sweep);
	sweep->counts.trouble++;
	zvm_complain(125, "verify", "%s: %s", what, strerror(-error));
	pthread_mutex_unlock(&sweep->lock);
}

/* --- working --- */

static int read_item(struct zvm_sweep *sweep, const struct item *item, struct zvm_action **ret_action,
                     struct zvm_record **ret)
{
	char directory[3 + ZVM_DIGEST_TEXT], name[24];
	zvm_digest_format(&item->address, directory + 3);
	memcpy(directory, directory + 3, 2);
	directory[2] = '/';
	snprintf(name, sizeof name, "%lu", item->number);
	zvm_autofd int fd =
	        openat(sweep->options.rechecker.store->records, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : zvm_record_file_read_any(fd, name, ret_action, ret);
}

static void recheck_item(struct zvm_sweep *sweep, const struct item *item)
{
	struct zvm_action *action;
	struct zvm_record *record;
	struct zvm_recheck recheck;
	char name[ZVM_DIGEST_TEXT];
	zvm_digest_format(&item->address, name);
	int r = read_item(sweep, item, &action, &record);
	if (r == -EBADMSG)
		zvm_sweep_cannot(sweep, name, "its record is damaged; `zvm fsck` tells more");
	else if (r && r != -ENOENT) /* what has gone meanwhile need not be verified */
		fail(sweep, name, r);
	if (r)
		return;
	r = zvm_recheck(&sweep->options.rechecker, action, record, &recheck);
	if (!cancelled(sweep)) {
		if (r)
			fail(sweep, action->script, r);
		else
			report(sweep, action, item, &recheck);
	}
	zvm_recheck_free(&recheck);
	zvm_action_free(action);
	zvm_record_free(record);
}

static void *work(void *context)
{
	struct zvm_sweep *sweep = context;
	pthread_mutex_lock(&sweep->lock);
	for (;;) {
		while (!sweep->count && !sweep->closed)
			pthread_cond_wait(&sweep->changed, &sweep->lock);
		if (!sweep->count)
			break;
		struct item item = sweep->queue[sweep->first];
		sweep->first = (sweep->first + 1) % QUEUE_MAX;
		sweep->count--;
		pthread_cond_broadcast(&sweep->changed);
		pthread_mutex_unlock(&sweep->lock);
		if (!cancelled(sweep))
			recheck_item(sweep, &item);
		pthread_mutex_lock(&sweep->lock);
	}
	pthread_mutex_unlock(&sweep->lock);
	return NULL;
}

/* --- what is to be done --- */

/* A signal ends the sleep; who comes next looks at the cancel descriptor. */
static void keep_rate(struct zvm_sweep *sweep)
{
	int64_t now = now_ns();
	if (sweep->options.rate <= 0)
		return;
	if (sweep->next_ns > now) {
		struct timespec until = {sweep->next_ns / 1000000000, sweep->next_ns % 1000000000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		now = sweep->next_ns;
	}
	sweep->next_ns = now + (int64_t)(1e9 / sweep->options.rate);
}

int zvm_sweep_add(struct zvm_sweep *sweep, const struct zvm_digest *address, unsigned long number)
{
	keep_rate(sweep);
	pthread_mutex_lock(&sweep->lock);
	while (sweep->count == QUEUE_MAX)
		pthread_cond_wait(&sweep->changed, &sweep->lock);
	sweep->queue[(sweep->first + sweep->count++) % QUEUE_MAX] = (struct item){*address, number};
	pthread_cond_broadcast(&sweep->changed);
	pthread_mutex_unlock(&sweep->lock);
	return cancelled(sweep) ? -EINTR : 0;
}

/* Each run of the store is as likely to be kept as any other, however many there are. */
struct reservoir {
	struct zvm_sweep *sweep;
	unsigned long size; /* 0: every run is taken at once */
	struct item *items;
	uint64_t seen, state;
};

static uint64_t random_below(struct reservoir *r, uint64_t most)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (x ^ x >> 31) % most;
}

static int take(struct reservoir *r, const struct zvm_digest *address, unsigned long number)
{
	if (!r->size)
		return zvm_sweep_add(r->sweep, address, number);
	uint64_t at = r->seen < r->size ? r->seen : random_below(r, r->seen + 1);
	r->seen++;
	if (at < r->size)
		r->items[at] = (struct item){*address, number};
	return cancelled(r->sweep) ? -EINTR : 0;
}

static int take_runs(struct reservoir *r, const struct zvm_digest *address, DIR *dir)
{
	unsigned long number;
	for (;;) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d)
			return -errno;
		int error = zvm_record_file_number(d->d_name, &number) ? take(r, address, number) : 0;
		if (error)
			return error;
	}
}

/* What is not ours, or has gone meanwhile, has no runs; what cannot be read may have some. */
static int take_action(void *context, const struct zvm_surveyed *found)
{
	if (!found->ours)
		return 0;
	zvm_autofd int fd = openat(found->shelf, found->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	DIR *dir = fdopendir(fd);
	if (!dir)
		return -errno;
	zvm_steal_fd(&fd);
	int r = take_runs(context, &found->digest, dir);
	closedir(dir);
	return r;
}

int zvm_sweep_store(struct zvm_sweep *sweep, unsigned long sample)
{
	struct reservoir r = {.sweep = sweep, .size = sample};
	if (sample && (!(r.items = calloc(sample, sizeof *r.items)) || getrandom(&r.state, sizeof r.state, 0) < 0)) {
		free(r.items);
		return -ENOMEM;
	}
	int result = zvm_survey_records(sweep->options.rechecker.store, take_action, &r);
	for (uint64_t i = 0; result == 0 && i < r.seen && i < sample; i++)
		result = zvm_sweep_add(sweep, &r.items[i].address, r.items[i].number);
	free(r.items);
	return result;
}

/* --- from start to finish --- */

/* Signals are for the caller's thread: they end its sleep. */
static int start_threads(struct zvm_sweep *sweep)
{
	sigset_t ours, before;
	int r = 0;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	while (r == 0 && sweep->thread_count < sweep->options.jobs && sweep->thread_count < JOBS_MAX) {
		r = pthread_create(&sweep->threads[sweep->thread_count], NULL, work, sweep);
		sweep->thread_count += r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return sweep->thread_count ? 0 : -r;
}

int zvm_sweep_start(const struct zvm_sweep_options *options, struct zvm_sweep **ret)
{
	struct zvm_sweep *sweep = calloc(1, sizeof *sweep);
	if (!sweep)
		return -ENOMEM;
	sweep->options = *options;
	pthread_mutex_init(&sweep->lock, NULL);
	pthread_cond_init(&sweep->changed, NULL);
	int r = start_threads(sweep);
	if (r) {
		free(sweep);
		return r;
	}
	*ret = sweep;
	return 0;
}

void zvm_sweep_finish(struct zvm_sweep *sweep, struct zvm_sweep_counts *ret)
{
	pthread_mutex_lock(&sweep->lock);
	sweep->closed = true;
	pthread_cond_broadcast(&sweep->changed);
	pthread_mutex_unlock(&sweep->lock);
	for (unsigned i = 0; i < sweep->thread_count; i++)
		pthread_join(sweep->threads[i], NULL);
	hide_progress(sweep);
	*ret = sweep->counts;
	pthread_cond_destroy(&sweep->changed);
	pthread_mutex_destroy(&sweep->lock);
	free(sweep);
}
