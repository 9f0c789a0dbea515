#include "queue.h"
#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

/* There are few: who has nothing queued, under way or parked is forgotten. */
struct zvm_queue_user {
	UT_hash_handle hh;
	uid_t uid;
	struct zvm_queued *first, *last;
	unsigned under_way, parked;
	unsigned long served; /* the turn at which something was last taken */
};

static struct zvm_queue_user *find(struct zvm_queue *queue, uid_t uid)
{
	struct zvm_queue_user *user;
	HASH_FIND(hh, queue->users, &uid, sizeof uid, user);
	return user;
}

int zvm_queue_add(struct zvm_queue *queue, struct zvm_queued *item, uid_t uid)
{
	struct zvm_queue_user *user = find(queue, uid);
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user)
			return -ENOMEM;
		user->uid = uid;
		HASH_ADD(hh, queue->users, uid, sizeof user->uid, user);
	}
	item->uid = uid;
	item->next = NULL;
	if (user->last)
		user->last->next = item;
	else
		user->first = item;
	user->last = item;
	return 0;
}

static bool goes_before(const struct zvm_queue_user *a, const struct zvm_queue_user *b)
{
	return a->under_way != b->under_way ? a->under_way < b->under_way : a->served < b->served;
}

struct zvm_queued *zvm_queue_take(struct zvm_queue *queue)
{
	struct zvm_queue_user *best = NULL;
	for (struct zvm_queue_user *user = queue->users; user; user = user->hh.next)
		if (user->first && (!queue->limit || user->under_way < queue->limit) &&
		    (!best || goes_before(user, best)))
			best = user;
	if (!best)
		return NULL;
	struct zvm_queued *item = best->first;
	best->first = item->next;
	if (!best->first)
		best->last = NULL;
	best->under_way++;
	best->served = ++queue->turn;
	return item;
}

void zvm_queue_done(struct zvm_queue *queue, uid_t uid)
{
	struct zvm_queue_user *user = find(queue, uid);
	if (!user)
		return;
	user->under_way--;
	if (user->under_way || user->parked || user->first)
		return;
	HASH_DEL(queue->users, user);
	free(user);
}

void zvm_queue_park(struct zvm_queue *queue, uid_t uid)
{
	struct zvm_queue_user *user = find(queue, uid);
	user->under_way--;
	user->parked++;
}

void zvm_queue_again(struct zvm_queue *queue, struct zvm_queued *item)
{
	struct zvm_queue_user *user = find(queue, item->uid);
	user->parked--;
	item->next = user->first;
	user->first = item;
	if (!user->last)
		user->last = item;
}

bool zvm_queue_is_empty(const struct zvm_queue *queue)
{
	for (const struct zvm_queue_user *user = queue->users; user; user = user->hh.next)
		if (user->first)
			return false;
	return true;
}

void zvm_queue_free(struct zvm_queue *queue)
{
	struct zvm_queue_user *user, *next;
	HASH_ITER(hh, queue->users, user, next)
	{
		HASH_DEL(queue->users, user);
		free(user);
	}
}
