/* See await.h. */
#include "await.h"
#include <errno.h>
#include <pthread.h>
#include <time.h>

struct wait {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct zvm_result *result;
	bool answered;
};

static void answered(void *context, struct zvm_result *result)
{
	struct wait *wait = context;
	pthread_mutex_lock(&wait->lock);
	wait->result = result;
	wait->answered = true;
	pthread_cond_signal(&wait->done);
	pthread_mutex_unlock(&wait->lock);
}

static void wait_a_second(struct wait *wait)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_cond_timedwait(&wait->done, &wait->lock, &until);
}

int zvm_await(struct zvm_engine *engine, const struct zvm_target *target, bool (*ended)(void), struct zvm_result **ret)
{
	struct wait wait = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};
	struct zvm_ticket *ticket;
	int r = zvm_engine_request(engine, target, answered, &wait, &ticket);
	if (r)
		return r;
	pthread_mutex_lock(&wait.lock);
	while (r == 0 && !wait.answered) {
		if (ended)
			wait_a_second(&wait);
		else
			pthread_cond_wait(&wait.done, &wait.lock);
		/* An answer on its way waits for the lock, so the ticket is still valid here. */
		if (ended && ended() && !wait.answered && zvm_engine_abandon(engine, ticket))
			r = -EINTR;
	}
	pthread_mutex_unlock(&wait.lock);
	*ret = wait.result;
	return r || wait.result ? r : -EIO;
}
