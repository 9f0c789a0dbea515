/*
 * The process's own idea of the time, which a test can put forward: what must be older than two seconds to be trusted
 * is so at once. These two take libc's place in a program that includes this; the kernel's times of files are not
 * moved.
 */
#ifndef ZVM_TEST_CLOCK_H
#define ZVM_TEST_CLOCK_H

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t clock_ahead;
static time_t clock_stopped_at; /* 0: it goes */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);
	if (r == 0 && clock == CLOCK_REALTIME)
		ret->tv_sec = clock_stopped_at ? clock_stopped_at : ret->tv_sec + clock_ahead;
	return r;
}

time_t time(time_t *ret)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

#endif
