/* Files: written, read, compared, removed. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "bench.h"

#define CHUNK (1u << 20)

static int write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_write(const char *path, const void *data, size_t size, mode_t mode)
{
	zvm_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	int r = fd < 0 ? -errno : write_all(fd, data, size);
	return r ? complain(r, path, "cannot be written") : 0;
}

ssize_t file_read(const char *path, char *buffer, size_t room)
{
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0;
	ssize_t n = 1;
	if (fd < 0)
		return -errno;
	while (size < room && (n = read(fd, buffer + size, room - size)) > 0)
		size += (size_t)n;
	return n < 0 ? -errno : (ssize_t)size;
}

static ssize_t read_chunk(int fd, char *buffer)
{
	size_t size = 0;
	ssize_t n = 1;
	while (size < CHUNK && (n = read(fd, buffer + size, CHUNK - size)) > 0)
		size += (size_t)n;
	return n < 0 ? -errno : (ssize_t)size;
}

int file_compare(const char *a, const char *b)
{
	static char left[CHUNK], right[CHUNK];
	zvm_autofd int x = open(a, O_RDONLY | O_CLOEXEC), y = open(b, O_RDONLY | O_CLOEXEC);
	ssize_t n, m;
	if (x < 0 || y < 0)
		return complain(-errno, x < 0 ? a : b, "cannot be opened");
	do {
		if (stopped())
			return -EINTR;
		n = read_chunk(x, left);
		m = read_chunk(y, right);
		if (n < 0 || m < 0)
			return complain((int)(n < 0 ? n : m), n < 0 ? a : b, "cannot be read");
		if (n != m || memcmp(left, right, (size_t)n))
			return complain(-EIO, a, "the box wrote something else than the program does natively");
	} while (n > 0);
	return 0;
}

/* Made once: what is different is written over its beginning. */
static char *some_text(void)
{
	static char text[CHUNK];
	for (size_t at = 0; !text[CHUNK - 1] && at < CHUNK; at++)
		text[at] = at % 64 == 63 ? '\n' : (char)('a' + at * at % 23);
	return text;
}

int file_fill(const char *path, size_t size, unsigned number)
{
	char *text = some_text();
	zvm_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : 0;
	for (size_t done = 0, part; r == 0 && done < size; done += part) {
		part = size - done < CHUNK ? size - done : CHUNK;
		int n = snprintf(text, 64, "%08u %012zu %.0f", number, done, now());
		text[n] = ' ';
		r = stopped() ? -EINTR : write_all(fd, text, part);
	}
	return r ? complain(r, path, "cannot be written") : 0;
}

int file_make_directory(const char *path)
{
	return mkdir(path, 0755) < 0 ? complain(-errno, path, "cannot be made") : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	if (at->level > 0)
		remove(path);
	return 0;
}

void file_remove_tree(const char *path, bool itself)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (itself)
		rmdir(path);
}
