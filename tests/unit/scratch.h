/* What the tests of the filesystem side share: a directory of one's own, and files in it. */
#ifndef ZVM_TEST_SCRATCH_H
#define ZVM_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>

static char scratch[200];

static inline int scratch_make(void **state)
{
	const char *parent = getenv("TMPDIR");
	(void)state;
	snprintf(scratch, sizeof scratch, "%s/zvm-unit-XXXXXX", parent ? parent : "/tmp");
	return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static inline int scratch_remove(void **state)
{
	(void)state;
	return nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path below it. Four results are good at a time. */
__attribute__((format(printf, 1, 2))) static inline const char *in_scratch(const char *format, ...)
{
	static char paths[4][4096];
	static unsigned turn;
	char *path = paths[turn++ % 4];
	int n = snprintf(path, sizeof paths[0], "%s/", scratch);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(path + n, sizeof paths[0] - (size_t)n, format, arguments);
	va_end(arguments);
	return path;
}

/* A new file of that name, whatever was there. */
static inline void put_bytes(const char *path, const void *data, size_t size)
{
	unlink(path);
	zvm_autofd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
}

static inline void put_text(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

/* The whole of a small file, malloc'd and NUL-terminated. */
static inline char *get_bytes(const char *path, size_t *ret_size)
{
	struct stat st;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	char *data = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(data);
	assert_int_equal(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
	*ret_size = (size_t)st.st_size;
	return data;
}

/* Does it hold exactly these bytes? */
static inline bool holds(int fd, const void *data, size_t size)
{
	char *got = calloc(1, size + 2);
	bool same = got && pread(fd, got, size + 1, 0) == (ssize_t)size && !memcmp(got, data, size);
	free(got);
	return same;
}

/* How many names a directory has. */
static inline unsigned count_names(const char *path)
{
	unsigned n = 0;
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));)
		n += strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
	closedir(dir);
	return n;
}

static inline unsigned open_descriptors(void)
{
	return count_names("/proc/self/fd");
}

#endif
