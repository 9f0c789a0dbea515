/* What every other file of the benchmark stands on: the clock, the end by a signal, what is said on the way. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

static volatile sig_atomic_t signalled;

bool stopped(void)
{
	return signalled;
}

int complain(int error, const char *name, const char *what)
{
	if (signalled)
		return -EINTR;
	error = error ? error : -EIO;
	fprintf(stderr, "bench: %s: %s (%s)\n", name, what, strerror(-error));
	return error;
}

void progress(const char *what, unsigned done, unsigned of)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s %u of %u ", what, done, of);
}

int wait_for_stat_trust(void)
{
	struct timespec left = {.tv_sec = STAT_IS_TRUSTED_AFTER};
	nanosleep(&left, NULL);
	return signalled ? -EINTR : 0;
}

double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void on_signal(int number)
{
	(void)number;
	signalled = 1;
}

void stop_on_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: what waits shall come back */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}
