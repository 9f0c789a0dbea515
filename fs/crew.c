#include "crew.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>

#define DRAW_EVERY_MS 100
#define LINE_EVERY_S 10
#define BAR 24

struct team {
	struct zvm_crew *crew;
	pthread_mutex_t lock; /* around all below, and standard error */
	pthread_cond_t changed;
	size_t next, finished;
	unsigned working;
	struct timespec begin;
	bool terminal, drawn;
};

static struct team *current; /* for zvm_crew_say and the signal handler; set while one runs */
static volatile sig_atomic_t ending;

static void on_signal(int number)
{
	ending = number;
}

/* Only there to end a system call. */
static void on_wake(int number)
{
	(void)number;
}

bool zvm_crew_ending(void)
{
	return ending;
}

static double seconds_since(const struct timespec *begin)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

/* --- what a person sees: with the lock held --- */

static void erase(struct team *team)
{
	if (team->drawn)
		fputs("\r\033[K", stderr);
	team->drawn = false;
}

static void format_time(double seconds, char text[32])
{
	unsigned long s = (unsigned long)seconds;
	if (s >= 3600)
		snprintf(text, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(text, 32, "%lu:%02lu", s / 60, s % 60);
}

static void print_state(struct team *team)
{
	const struct zvm_crew *crew = team->crew;
	char left[32] = "?";
	double seconds = seconds_since(&team->begin), rate = seconds > 0 ? (double)team->finished / seconds : 0;
	if (rate > 0)
		format_time((double)(crew->count - team->finished) / rate, left);
	fprintf(stderr, "%zu/%zu  %.*f/s  %s left", team->finished, crew->count, rate < 10 ? 1 : 0, rate, left);
	if (crew->outcomes[ZVM_CREW_FAILED])
		fprintf(stderr, "  %zu failed", crew->outcomes[ZVM_CREW_FAILED]);
}

static void draw(struct team *team)
{
	char bar[BAR + 1];
	size_t full = team->finished * BAR / team->crew->count;
	memset(bar, ' ', BAR);
	memset(bar, '#', full);
	bar[BAR] = 0;
	erase(team);
	fprintf(stderr, "[%s] ", bar);
	print_state(team);
	team->drawn = true;
	fflush(stderr);
}

static void print_line(struct team *team)
{
	fprintf(stderr, "zvm %s: ", team->crew->label);
	print_state(team);
	fputc('\n', stderr);
}

void zvm_crew_say(const char *format, ...)
{
	va_list arguments;
	struct team *team = current;
	if (team) {
		pthread_mutex_lock(&team->lock);
		erase(team);
	}
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	if (team)
		pthread_mutex_unlock(&team->lock);
}

/* --- the work --- */

static void *hand_main(void *context)
{
	struct team *team = context;
	struct zvm_crew *crew = team->crew;
	pthread_mutex_lock(&team->lock);
	while (team->next < crew->count && !ending) {
		size_t number = team->next++;
		pthread_mutex_unlock(&team->lock);
		enum zvm_crew_outcome outcome = crew->work(crew->context, number);
		pthread_mutex_lock(&team->lock);
		crew->outcomes[outcome]++;
		team->finished++;
	}
	team->working--;
	pthread_cond_signal(&team->changed);
	pthread_mutex_unlock(&team->lock);
	return NULL;
}

static void wait_a_little(struct team *team)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += DRAW_EVERY_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&team->changed, &team->lock, &until);
}

/* Until the last hand is done: shows how far it is, and wakes who waits once it is to end. */
static void supervise(struct team *team, const pthread_t *hands, unsigned count)
{
	double next_line = LINE_EVERY_S;
	pthread_mutex_lock(&team->lock);
	while (team->working) {
		wait_a_little(team);
		for (unsigned i = 0; ending && i < count; i++)
			pthread_kill(hands[i], SIGUSR1);
		if (team->terminal) {
			draw(team);
		} else if (seconds_since(&team->begin) >= next_line) {
			print_line(team);
			next_line += LINE_EVERY_S;
		}
	}
	erase(team);
	pthread_mutex_unlock(&team->lock);
}

static int start_and_wait(struct team *team)
{
	struct zvm_crew *crew = team->crew;
	unsigned started = 0;
	zvm_autofree pthread_t *hands = calloc(crew->hands, sizeof *hands);
	if (!hands)
		return -ENOMEM;
	pthread_mutex_lock(&team->lock); /* or the first would be done before all are counted */
	while (started < crew->hands && pthread_create(&hands[started], NULL, hand_main, team) == 0)
		started++;
	team->working = started;
	pthread_mutex_unlock(&team->lock);
	if (!started)
		return -EAGAIN;
	supervise(team, hands, started);
	for (unsigned i = 0; i < started; i++)
		pthread_join(hands[i], NULL);
	return 0;
}

int zvm_crew_run(struct zvm_crew *crew)
{
	pthread_condattr_t monotonic;
	struct team team = {.crew = crew, .terminal = isatty(STDERR_FILENO)};
	struct sigaction end = {.sa_handler = on_signal}, wake = {.sa_handler = on_wake}, before[3];
	if (!crew->count)
		return 0;
	ending = 0;
	pthread_mutex_init(&team.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&team.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	clock_gettime(CLOCK_MONOTONIC, &team.begin);
	sigaction(SIGINT, &end, &before[0]);
	sigaction(SIGTERM, &end, &before[1]);
	sigaction(SIGUSR1, &wake, &before[2]);
	current = &team;
	int r = start_and_wait(&team);
	current = NULL;
	sigaction(SIGINT, &before[0], NULL);
	sigaction(SIGTERM, &before[1], NULL);
	sigaction(SIGUSR1, &before[2], NULL);
	pthread_cond_destroy(&team.changed);
	pthread_mutex_destroy(&team.lock);
	crew->seconds = seconds_since(&team.begin);
	crew->ended = ending;
	return r;
}
