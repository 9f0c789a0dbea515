/* For the fuzzers of the view: a directory of scripts, s, in a directory of one's own, and a secret beside it, x. */
#ifndef ZVM_TEST_WORLD_H
#define ZVM_TEST_WORLD_H

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fuzz.h"

static char home[64];

/* A path below it, good until the next one. */
static inline const char *in_home(const char *name)
{
	static char path[128];
	snprintf(path, sizeof path, "%s/%s", home, name);
	return path;
}

static inline void put(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_home(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static inline void put_link(const char *name, const char *target)
{
	require(symlink(target, in_home(name)) == 0);
}

static inline void put_directory(const char *name)
{
	require(mkdir(in_home(name), 0755) == 0);
}

static inline void remove_world(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -rf '%s'", home);
	require(system(command) == 0);
}

/* Removed again when the fuzzer ends. */
static inline void begin_world(void)
{
	snprintf(home, sizeof home, "/tmp/zvm-fuzz-XXXXXX");
	require(mkdtemp(home) != NULL);
	atexit(remove_world);
	put_directory("s");
	put("x", "SECRET", 0755);
	put("s/f", "fine", 0644);
	require(mkfifo(in_home("s/p"), 0600) == 0);
}

#endif
