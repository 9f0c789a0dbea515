/*
 * Many like things to do, several at a time, and a person who wants to see how far it is.
 *
 *   struct zvm_crew crew = {.count = n, .hands = 4, .label = "warm", .work = one, .context = &mine};
 *   int r = zvm_crew_run(&crew);            // blocks until all is done or given up; -errno: nothing was done
 *
 * `work` is called once for each number, by any of the threads. On a terminal a bar with rate and remaining time is
 * drawn on standard error; elsewhere a plain line comes every few seconds, and none if it is over before. SIGINT and
 * SIGTERM end it: nothing new is begun, what waits in a system call is woken (EINTR), and crew.ended says which it was.
 * One crew at a time in a process.
 */
#ifndef ZVM_FS_CREW_H
#define ZVM_FS_CREW_H

#include <stdbool.h>
#include <stddef.h>

enum zvm_crew_outcome { ZVM_CREW_HIT, ZVM_CREW_DONE, ZVM_CREW_FAILED, ZVM_CREW_LEFT };

struct zvm_crew {
	size_t count;
	unsigned hands;
	const char *label;
	enum zvm_crew_outcome (*work)(void *context, size_t number);
	void *context;
	/* set by zvm_crew_run */
	size_t outcomes[4]; /* how many of each */
	double seconds;
	int ended; /* the signal that ended it, or 0 */
};

int zvm_crew_run(struct zvm_crew *crew);

/* For the workers: a line on standard error that does not run into the bar. */
void zvm_crew_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Has it been ended? */
bool zvm_crew_ending(void);

#endif
