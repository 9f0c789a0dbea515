#include "content.h"
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY /* the streaming state on the stack */
#include <xxhash.h>
#include <zvm/cleanup.h>

#define CHUNK (256u << 10)
#define SMALL (16u << 10)

long zvm_read_at(int fd, void *data, size_t size, uint64_t offset)
{
	size_t done = 0;
	while (done < size) {
		ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (long)done;
}

int zvm_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EDQUOT ? -ENOSPC : -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static struct zvm_digest digest_of(XXH128_hash_t hash, const struct zvm_secret *secret, XXH64_hash_t print)
{
	uint32_t known = (uint32_t)print ? (uint32_t)print : 1;
	return (struct zvm_digest){.high = hash.high64, .low = hash.low64, .print = secret ? known : 0};
}

void zvm_memory_identify(const void *data, size_t size, const struct zvm_secret *secret, struct zvm_digest *ret)
{
	XXH64_hash_t print = secret ? XXH3_64bits_withSecret(data, size, secret->bytes, sizeof secret->bytes) : 0;
	*ret = digest_of(XXH3_128bits(data, size), secret, print);
}

void zvm_memory_hash(const void *data, size_t size, struct zvm_digest *ret)
{
	zvm_memory_identify(data, size, NULL, ret);
}

static int identify_small(int fd, size_t size, const struct zvm_secret *secret, struct zvm_digest *ret)
{
	char data[SMALL];
	long n = zvm_read_at(fd, data, size, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < size)
		return -ENODATA;
	zvm_memory_identify(data, size, secret, ret);
	return 0;
}

int zvm_content_identify(int fd, uint64_t size, const struct zvm_secret *secret, struct zvm_digest *ret)
{
	if (size <= SMALL)
		return identify_small(fd, (size_t)size, secret, ret);

	XXH3_state_t hash, print;
	zvm_autofree char *data = malloc(CHUNK);
	if (!data)
		return -ENOMEM;
	XXH3_128bits_reset(&hash);
	if (secret)
		XXH3_64bits_reset_withSecret(&print, secret->bytes, sizeof secret->bytes);
	for (uint64_t done = 0; done < size;) {
		size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
		long n = zvm_read_at(fd, data, want, done);
		if (n < 0)
			return (int)n;
		if ((size_t)n < want)
			return -ENODATA;
		XXH3_128bits_update(&hash, data, want);
		if (secret)
			XXH3_64bits_update(&print, data, want);
		done += want;
	}
	*ret = digest_of(XXH3_128bits_digest(&hash), secret, secret ? XXH3_64bits_digest(&print) : 0);
	return 0;
}

int zvm_content_hash(int fd, uint64_t size, struct zvm_digest *ret)
{
	return zvm_content_identify(fd, size, NULL, ret);
}

int zvm_content_equals_memory(int fd, const void *data, size_t size)
{
	size_t room = size < CHUNK ? size : CHUNK;
	zvm_autofree char *chunk = malloc(room + 1);
	if (!chunk)
		return -ENOMEM;
	for (size_t done = 0; done < size;) {
		size_t want = size - done < room ? size - done : room;
		long n = zvm_read_at(fd, chunk, want, done);
		if (n < 0)
			return (int)n;
		if ((size_t)n < want || memcmp(chunk, (const char *)data + done, want))
			return 0;
		done += want;
	}
	return 1;
}

int zvm_content_equal(int a, int b, uint64_t size)
{
	size_t room = size < CHUNK ? (size_t)size : CHUNK;
	zvm_autofree char *chunk = malloc(2 * room + 1);
	if (!chunk)
		return -ENOMEM;
	for (uint64_t done = 0; done < size;) {
		size_t want = size - done < room ? (size_t)(size - done) : room;
		long n = zvm_read_at(a, chunk, want, done);
		if (n < 0)
			return (int)n;
		long m = zvm_read_at(b, chunk + room, want, done);
		if (m < 0)
			return (int)m;
		if ((size_t)n < want || (size_t)m < want || memcmp(chunk, chunk + room, want))
			return 0;
		done += want;
	}
	return 1;
}

static int copy_by_hand(int from, int to, uint64_t done, uint64_t size)
{
	zvm_autofree char *chunk = malloc(CHUNK);
	if (!chunk)
		return -ENOMEM;
	if (lseek(to, (off_t)done, SEEK_SET) < 0)
		return -errno;
	while (done < size) {
		long n = zvm_read_at(from, chunk, size - done < CHUNK ? (size_t)(size - done) : CHUNK, done);
		if (n <= 0)
			return (int)n;
		int r = zvm_write_all(to, chunk, (size_t)n);
		if (r < 0)
			return r;
		done += (uint64_t)n;
	}
	return 0;
}

/*
 * A filesystem may grow a reflinked copy beyond `size`, or not: the clone is one moment's state of the whole file,
 * which is better than what was asked for. The copies are bounded by `size`, so a file that grows all the time cannot
 * hold us.
 */
int zvm_content_copy(int from, int to, uint64_t size)
{
	if (size > SMALL && ioctl(to, FICLONE, from) == 0)
		return 0;

	loff_t at_from = 0, at_to = 0;
	while (size > SMALL && (uint64_t)at_from < size) {
		size_t want = size - (uint64_t)at_from < (1u << 30) ? (size_t)(size - (uint64_t)at_from) : 1u << 30;
		ssize_t n = copy_file_range(from, &at_from, to, &at_to, want, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
			return -ENOSPC;
		if (n <= 0)
			break; /* not across these filesystems, or the end: reading tells them apart */
	}
	return copy_by_hand(from, to, (uint64_t)at_from, size);
}

static int copy_small(int from, int to, uint64_t *size, const struct zvm_secret *secret, struct zvm_digest *ret)
{
	char data[SMALL];
	long n = zvm_read_at(from, data, (size_t)*size, 0);
	if (n < 0)
		return (int)n;
	*size = (uint64_t)n;
	zvm_memory_identify(data, (size_t)n, secret, ret);
	return zvm_write_all(to, data, (size_t)n);
}

int zvm_content_snapshot(int from, int to, uint64_t *size, const struct zvm_secret *secret, struct zvm_digest *ret)
{
	struct stat st;
	if (*size <= SMALL)
		return copy_small(from, to, size, secret, ret);
	int r = zvm_content_copy(from, to, *size);
	if (r == 0 && fstat(to, &st) < 0)
		r = -errno;
	if (r)
		return r;
	*size = (uint64_t)st.st_size;
	return zvm_content_identify(to, *size, secret, ret);
}
