/*
 * A fair queue: users take turns, whatever any of them has lined up.
 *
 *   zvm_queue_add(&queue, &job->queued, uid);
 *   struct zvm_queued *next = zvm_queue_take(&queue);   // NULL: nothing that may be begun now
 *   ...
 *   zvm_queue_done(&queue, uid);                        // what was taken is over
 *   zvm_queue_park(&queue, uid);                        // or it waits for something
 *   zvm_queue_again(&queue, &job->queued);              // ... and not any more: before all else of its user
 *   zvm_queue_free(&queue);                             // empty by then
 *
 * Next is who has the fewest under way, and of those who has waited longest; within one user first come, first served.
 * No locks of its own.
 */
#ifndef ZVM_FS_QUEUE_H
#define ZVM_FS_QUEUE_H

#include <stdbool.h>
#include <sys/types.h>

/* Embedded in what is queued. */
struct zvm_queued {
	struct zvm_queued *next;
	uid_t uid;
};

struct zvm_queue {
	struct zvm_queue_user *users;
	unsigned limit; /* under way at once for each user; 0: none is set */
	unsigned long turn;
};

int zvm_queue_add(struct zvm_queue *queue, struct zvm_queued *item, uid_t uid); /* 0 or -ENOMEM */
struct zvm_queued *zvm_queue_take(struct zvm_queue *queue);
void zvm_queue_done(struct zvm_queue *queue, uid_t uid);
void zvm_queue_park(struct zvm_queue *queue, uid_t uid);
void zvm_queue_again(struct zvm_queue *queue, struct zvm_queued *item);
bool zvm_queue_is_empty(const struct zvm_queue *queue);
void zvm_queue_free(struct zvm_queue *queue);

#endif
