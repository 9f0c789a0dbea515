#include "written.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/cleanup.h>

static int append(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int begin(struct zvm_written *w)
{
	if (w->fd < 0)
		w->fd = memfd_create("zvm written", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return w->fd < 0 ? -errno : 0;
}

void zvm_written_add(struct zvm_written *w, const void *data, size_t size, uint64_t limit)
{
	int r = w->error ? w->error : begin(w);
	if (r == 0 && (size > limit || w->total + w->size > limit - size))
		r = -EFBIG;
	r = r ? r : append(w->fd, data, size);
	if (r == 0)
		w->size += size;
	w->error = r;
}

static int same_bytes(int a, int b, uint64_t size)
{
	char one[16384], other[sizeof one];
	for (uint64_t at = 0; at < size;) {
		ssize_t n = pread(a, one, sizeof one, (off_t)at);
		if (n <= 0 || pread(b, other, (size_t)n, (off_t)at) != n)
			return n < 0 ? -errno : -EIO;
		if (memcmp(one, other, (size_t)n))
			return 0;
		at += (uint64_t)n;
	}
	return 1;
}

/* 1: *ret is the same as what has been sent. */
static int find_kept(const struct zvm_written *w, const struct zvm_written_file **ret)
{
	int same = 0;
	for (unsigned i = 0; i < w->count && same == 0; i++) {
		*ret = &w->files[i];
		same = w->files[i].size == w->size ? same_bytes(w->files[i].fd, w->fd, w->size) : 0;
	}
	return same;
}

static void forget(struct zvm_written_file *file)
{
	zvm_close_pointer(&file->fd);
	zvm_close_pointer(&file->prepared.fd);
}

static int keep(struct zvm_written *w, const struct zvm_written_file **ret)
{
	struct zvm_written_file file = {.fd = -1, .size = w->size, .prepared.fd = -1};
	int r = zvm_image_seal(w->fd, &file.fd);
	file.prepared.unread = file.size > ZVM_WRITTEN_READ_MAX;
	if (r == 0 && !file.prepared.unread)
		r = zvm_prepare(file.fd, &file.prepared);
	if (r) {
		forget(&file);
		return r;
	}
	if (w->count == ZVM_WRITTEN_MAX) {
		forget(&w->files[0]);
		memmove(w->files, w->files + 1, --w->count * sizeof w->files[0]);
	}
	w->files[w->count] = file;
	w->total += file.size;
	*ret = &w->files[w->count++];
	return 0;
}

int zvm_written_end(struct zvm_written *w, const struct zvm_written_file **ret)
{
	int r = w->error ? w->error : begin(w);
	if (r == 0)
		r = find_kept(w, ret);
	if (r == 0)
		r = keep(w, ret);
	zvm_close_pointer(&w->fd);
	w->fd = -1;
	w->error = 0;
	w->size = 0;
	return r > 0 ? 0 : r;
}

void zvm_written_free(struct zvm_written *w)
{
	zvm_close_pointer(&w->fd);
	for (unsigned i = 0; i < w->count; i++)
		forget(&w->files[i]);
}
