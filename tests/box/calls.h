/*
 * What the programs share that ask a box the questions a kernel is asked. Each is many small checks, and says of each
 * `ok NAME` or `not ok NAME (what was wanted, what came)`. The same program runs natively too, so that what is wanted
 * is what Linux does; a check inside `if (boxed)` is about a value of zvm's own, and says why it is.
 */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool boxed;
static unsigned checks, failures;

__attribute__((format(printf, 3, 4))) static bool told(bool fine, const char *name, const char *detail, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, detail);
	vsnprintf(text, sizeof text, detail, arguments);
	va_end(arguments);
	checks++;
	failures += !fine;
	if (fine)
		printf("ok %s\n", name);
	else
		printf("not ok %s (%s)\n", name, text);
	fflush(stdout);
	return fine;
}

static const char *error_name(long error)
{
	const char *name = error ? strerrorname_np((int)error) : "no error";
	return name ? name : "an unknown error";
}

/* The call gives `want`, which is no error. */
#define IS(name, call, want)                                                                                      \
	({                                                                                                        \
		errno = 0;                                                                                        \
		long got_ = (long)(call), want_ = (long)(want);                                                   \
		int error_ = errno;                                                                               \
		told(got_ == want_, name, "%s: wanted %ld, got %ld, %s", #call, want_, got_, error_name(error_)); \
	})

/* The call fails with `error`. */
#define FAILS(name, call, error)                                                                                    \
	({                                                                                                          \
		errno = 0;                                                                                          \
		long got_ = (long)(call);                                                                           \
		int error_ = errno;                                                                                 \
		told(got_ == -1 && error_ == (error), name, "%s: wanted %s, got %ld, %s", #call, error_name(error), \
		     got_, error_name(got_ == -1 ? error_ : 0));                                                    \
	})

/* The condition holds. */
#define HOLDS(name, condition) told(condition, name, "%s does not hold", #condition)

/* What the rest stands on: without it there is nothing to check. */
#define NEED(condition)                                                                               \
	do {                                                                                          \
		if (!(condition)) {                                                                   \
			printf("not ok %s at line %d (%s)\n", #condition, __LINE__, strerror(errno)); \
			fflush(stdout);                                                               \
			_exit(99);                                                                    \
		}                                                                                     \
	} while (0)

/* A fresh directory of one's own, in memory on both sides: natively the runner names one, in the box it is /tmp. */
static void begin(void)
{
	static char place[PATH_MAX];
	struct utsname name;
	uname(&name);
	boxed = !strcmp(name.nodename, "zvm") && !strcmp(name.release, "6.1.0-zvm");
	const char *base = getenv("CALLS_PLACE");
	snprintf(place, sizeof place, "%s/calls.XXXXXX", base ? base : "/tmp");
	umask(022);
	NEED(mkdtemp(place));
	NEED(chdir(place) == 0);
}

/* The runner believes nobody who has not come to the end. */
static int end(void)
{
	printf("1..%u\n", checks);
	return failures ? 1 : 0;
}

__attribute__((unused)) static int make_file(const char *name, const char *content)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	NEED(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	return fd;
}

__attribute__((unused)) static bool file_is(const char *name, const char *content)
{
	char text[4096];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	close(fd);
	return n == (ssize_t)strlen(content) && !memcmp(text, content, (size_t)n);
}

#endif
