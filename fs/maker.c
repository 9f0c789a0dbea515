/* See maker.h. One thread, from the first template that is wanted on; it also lets go of those that are not any more.
 */
#include "maker.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <zvm/cleanup.h>
#include "engine_internal.h"

#define WANTED_MAX 8
/* A template is some megabytes of memory: who has had no use for it for so long will hardly miss it. */
#define IDLE_MS 600000
#define LOOK_S 60

struct wanted {
	struct zvm_script *script;
	struct zvm_action *action;
};

struct zvm_maker {
	struct zvm_engine *engine;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread; /* from the first that was wanted on */
	bool running, closing;
	struct wanted queue[WANTED_MAX];
	unsigned count;
};

static int make(struct zvm_engine *engine, const struct wanted *wanted)
{
	struct zvm_request made;
	int r = zvm_request_open(engine, wanted->script, wanted->action, &made);
	r = r ? r : zvm_box_template(engine->options.launcher, &made.box);
	zvm_request_close(&made);
	return r;
}

static void forget(struct wanted *wanted)
{
	zvm_script_unref(wanted->script);
	zvm_action_free(wanted->action);
}

/* The next one, or false: it is over. */
static bool take(struct zvm_maker *maker, struct wanted *ret)
{
	pthread_mutex_lock(&maker->lock);
	while (!maker->count && !maker->closing) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LOOK_S;
		if (pthread_cond_timedwait(&maker->changed, &maker->lock, &until) == ETIMEDOUT)
			zvm_box_forget_templates(maker->engine->options.launcher, IDLE_MS);
	}
	bool some = !maker->closing;
	if (some) {
		*ret = maker->queue[0];
		memmove(maker->queue, maker->queue + 1, --maker->count * sizeof maker->queue[0]);
	}
	pthread_mutex_unlock(&maker->lock);
	return some;
}

static void *work(void *context)
{
	struct zvm_maker *maker = context;
	struct wanted wanted;
	while (take(maker, &wanted)) {
		if (make(maker->engine, &wanted) == 0)
			atomic_fetch_add(&maker->engine->counters.templates, 1);
		forget(&wanted);
	}
	return NULL;
}

int zvm_maker_open(struct zvm_engine *engine, struct zvm_maker **ret)
{
	struct zvm_maker *maker = calloc(1, sizeof *maker);
	if (!maker)
		return -ENOMEM;
	maker->engine = engine;
	pthread_mutex_init(&maker->lock, NULL);
	pthread_cond_init(&maker->changed, NULL);
	*ret = maker;
	return 0;
}

void zvm_maker_close(struct zvm_maker *maker)
{
	if (!maker)
		return;
	pthread_mutex_lock(&maker->lock);
	maker->closing = true;
	pthread_cond_signal(&maker->changed);
	pthread_mutex_unlock(&maker->lock);
	if (maker->running)
		pthread_join(maker->thread, NULL);
	while (maker->count)
		forget(&maker->queue[--maker->count]);
	pthread_cond_destroy(&maker->changed);
	pthread_mutex_destroy(&maker->lock);
	free(maker);
}

static struct zvm_action *copy_action(const struct zvm_action *action)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_action *copy = NULL;
	if (zvm_action_encode(action, &bytes) || zvm_action_decode(bytes.data, bytes.size, &copy))
		return NULL;
	return copy;
}

void zvm_maker_want(struct zvm_maker *maker, struct zvm_script *script, const struct zvm_action *action)
{
	struct zvm_action *copy = copy_action(action);
	if (!copy)
		return;
	pthread_mutex_lock(&maker->lock);
	if (!maker->running && !maker->closing)
		maker->running = pthread_create(&maker->thread, NULL, work, maker) == 0;
	bool wanted = maker->running && !maker->closing && maker->count < WANTED_MAX;
	if (wanted)
		maker->queue[maker->count++] = (struct wanted){zvm_script_ref(script), copy};
	pthread_cond_signal(&maker->changed);
	pthread_mutex_unlock(&maker->lock);
	if (!wanted)
		zvm_action_free(copy);
}
