/* zvm top: what is running now, for whom, and what it has used; on a terminal anew each second. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "mountpoint.h"
#include "screen.h"
#include "top.h"

#define NOT_SO 1
#define USAGE 2
#define TROUBLE 125
#define INTERVAL_MIN 0.1
#define INTERVAL_MAX 3600.0
#define PATIENCE_MS 5000 /* with a mount, where there is only one answer */
#define SCREEN_PATIENCE_MS 2000

struct options {
	bool once, json;
	double interval; /* seconds; 0: not given */
	const char *path;
};

static int print_help(void)
{
	puts("usage: zvm top [--interval SECONDS] [--once | --json] [MOUNTPOINT]\n\n"
	     "What is running now, for whom, for how long, and what it has used and written so far; what waits, and "
	     "how\n"
	     "many questions the store could answer. Of one mount, or of all that you can read. On a terminal it is "
	     "shown\n"
	     "anew each second until q is pressed; elsewhere it is printed once.\n\n"
	     "  --interval SECONDS  show it anew so often (0.1 to 3600; 1 if not given)\n"
	     "  --once              print it once\n"
	     "  --json              print it once, as JSON; zvm(1) says what is in it\n\n"
	     "Exit status: 0 it was shown, 1 there is no such mount, 2 usage, 125 zvm failed, 128+n ended by signal "
	     "n.");
	return 0;
}

/* --- arguments --- */

static int parse_interval(struct options *o, const char *argument)
{
	char *end;
	o->interval = strtod(argument, &end);
	if (end == argument || *end || !(o->interval >= INTERVAL_MIN && o->interval <= INTERVAL_MAX))
		return zvm_complain(USAGE, "top", "--interval takes seconds, from %g to %g", INTERVAL_MIN,
		                    INTERVAL_MAX);
	return -1;
}

/* -1: go on. */
static int take_option(struct options *o, int option)
{
	switch (option) {
	case 'i': return parse_interval(o, optarg);
	case 'o': o->once = true; return -1;
	case 'j': o->json = true; return -1;
	case 'h': return print_help();
	default: return zvm_complain_of_options(USAGE, "top");
	}
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {{"interval", required_argument, NULL, 'i'},
	                                        {"once", no_argument, NULL, 'o'},
	                                        {"json", no_argument, NULL, 'j'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		int status = take_option(o, c);
		if (status >= 0)
			return status;
	}
	if (argc - optind > 1)
		return zvm_complain(USAGE, "top", "name one MOUNTPOINT, or none for all");
	if (o->once && o->json)
		return zvm_complain(USAGE, "top", "--once and --json are two ways to print it; name one");
	if (o->interval && (o->once || o->json))
		return zvm_complain(USAGE, "top",
		                    "--interval goes with the screen; leave it away where it is printed once");
	o->path = argc > optind ? argv[optind] : NULL;
	return -1;
}

/* --- once --- */

static int put_json_part(const char *part, size_t size, void *to)
{
	for (size_t i = 0; i < size; i++)
		if (part[i] == 0x7f) /* the one control character that Jansson leaves as it is, and only in a string */
			fputs("\\u007f", to);
		else
			putc(part[i], to);
	return 0;
}

static int print_json(const struct zvm_top *top)
{
	json_t *whole = zvm_top_json(top);
	int r = whole ? json_dump_callback(whole, put_json_part, stdout, JSON_ENSURE_ASCII | JSON_INDENT(2)) : -1;
	json_decref(whole);
	putchar('\n');
	return r ? -ENOMEM : 0;
}

static int print_text(const struct zvm_top *top)
{
	zvm_autofree char *text = NULL;
	int r = zvm_top_text(top, 0, &text);
	if (r == 0)
		fputs(text, stdout);
	return r;
}

static int judge(const struct zvm_top *top)
{
	size_t seen = 0;
	for (size_t i = 0; i < top->count; i++) {
		if (top->mounts[i].now)
			return 0;
		seen += !zvm_top_is_hidden(top, &top->mounts[i]);
	}
	if (top->named)
		return zvm_complain(NOT_SO, "top", "%s: %s", top->named, zvm_top_trouble(&top->mounts[0]));
	if (seen)
		return zvm_complain(NOT_SO, "top", "no zvm that is mounted here tells what it does");
	return zvm_complain(NOT_SO, "top", "no zvm is mounted here that you can read; `zvm mount` makes one");
}

static int show_once(struct zvm_top *top, bool json)
{
	int r = zvm_top_begin(top);
	r = r ? r : zvm_top_await(top, NULL, 0, PATIENCE_MS);
	if (r == 0)
		r = json ? print_json(top) : top->named && top->mounts[0].error ? 0 : print_text(top);
	return r ? zvm_complain(TROUBLE, "top", "%s", strerror(-r)) : judge(top);
}

/* --- the screen --- */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int draw(const struct zvm_top *top, struct zvm_screen *screen, double interval)
{
	unsigned width, rows;
	zvm_autofree char *text = NULL, *page = NULL;
	char clock[16];
	time_t now = time(NULL);
	struct tm local;
	strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &local));
	zvm_screen_size(&width, &rows);
	int r = zvm_top_text(top, width, &text);
	if (r)
		return r;
	if (asprintf(&page, "zvm top  %s  every %g s; q leaves\n%s", clock, interval,
	             *text ? text : "no zvm is mounted here that you can read\n") < 0)
		return -ENOMEM;
	return zvm_screen_draw(screen, page);
}

/* Until it is time to ask again. What is pressed comes first, and a mount that does not answer holds up nothing. */
static int wait_and_draw(struct zvm_top *top, struct zvm_screen *screen, double interval, int64_t until)
{
	/* Without anybody to ask there is nothing to wait for. */
	int r = zvm_top_is_asking(top) ? 0 : draw(top, screen, interval);
	while (r == 0 && !screen->over && now_ms() < until) {
		bool asking = zvm_top_is_asking(top);
		int64_t left = until - now_ms();
		if (asking && left > SCREEN_PATIENCE_MS)
			left = SCREEN_PATIENCE_MS;
		r = zvm_top_await(top, screen->events, ZVM_SCREEN_EVENTS, (int)left);
		if (r < 0)
			return r;
		zvm_screen_take(screen);
		bool answered = r == 0 && asking;
		r = 0;
		if (!screen->over && (answered || screen->changed))
			r = draw(top, screen, interval);
	}
	return r;
}

static int show_screen(struct zvm_top *top, double interval)
{
	struct zvm_screen screen;
	int r = zvm_screen_enter(&screen);
	if (r)
		return zvm_complain(TROUBLE, "top", "the terminal: %s", strerror(-r));
	while (r == 0 && !screen.over) {
		int64_t until = now_ms() + (int64_t)(interval * 1000);
		r = zvm_top_begin(top);
		r = r ? r : wait_and_draw(top, &screen, interval, until);
	}
	zvm_screen_leave(&screen);
	if (r)
		return zvm_complain(TROUBLE, "top", "%s", strerror(-r));
	return screen.signal && screen.signal != SIGINT ? 128 + screen.signal : 0;
}

/* --- all of it --- */

/* -1: go on. Nothing in the mount is touched. */
static int find_mount(const char *path, char **ret)
{
	zvm_autofree char *below = NULL;
	int r = zvm_mountpoint_find(path, ret, &below);
	if (r == -ENOENT)
		return zvm_complain(NOT_SO, "top", "%s is not in a zvm mount; `findmnt -t fuse.zvm` lists them", path);
	return r ? zvm_complain(NOT_SO, "top", "%s: %s", path, strerror(-r)) : -1;
}

int zvm_command_top(int argc, char **argv)
{
	struct options o = {.interval = 0};
	zvm_autofree char *at = NULL;
	int status = parse(argc, argv, &o);
	if (status < 0 && o.path)
		status = find_mount(o.path, &at);
	if (status >= 0)
		return status;
	struct zvm_top top = {.named = at};
	if (o.once || o.json || !zvm_screen_is_possible())
		status = show_once(&top, o.json);
	else
		status = show_screen(&top, o.interval ? o.interval : 1);
	zvm_top_free(&top);
	return status;
}
