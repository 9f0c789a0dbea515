#include "record_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"

#define MAGIC 0x3164726f63657276ull
#define SIZE_LEAST 16
#define SIZE_MOST (256u << 20)

bool zvm_record_file_number(const char *name, unsigned long *ret)
{
	char *end;
	if (*name < '1' || *name > '9')
		return false;
	errno = 0;
	*ret = strtoul(name, &end, 10);
	return !errno && !*end;
}

int zvm_record_file_encode(const struct zvm_bytes *action, const struct zvm_record *record, struct zvm_bytes *out)
{
	zvm_autobytes struct zvm_bytes body = {0}, encoded = {0};
	int r = zvm_record_encode(record, &encoded);
	if (r)
		return r;
	zvm_bytes_part(&body, action->data, action->size);
	zvm_bytes_part(&body, encoded.data, encoded.size);
	zvm_bytes_number(out, MAGIC);
	zvm_bytes_number(out, body.error ? 0 : XXH3_64bits(body.data, body.size));
	zvm_bytes_append(out, body.data, body.size);
	return body.error ? body.error : out->error;
}

static int read_whole(int fd, unsigned char **ret, size_t *ret_size)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < SIZE_LEAST || st.st_size > (off_t)SIZE_MOST)
		return -EBADMSG;
	unsigned char *data = malloc((size_t)st.st_size);
	if (!data)
		return -ENOMEM;
	long n = zvm_read_at(fd, data, (size_t)st.st_size, 0);
	if (n != st.st_size) {
		free(data);
		return n < 0 ? (int)n : -EBADMSG;
	}
	*ret = data;
	*ret_size = (size_t)n;
	return 0;
}

static int read_file(int directory, const char *name, unsigned char **ret, size_t *ret_size)
{
	zvm_autofd int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EBADMSG : -errno;
	return read_whole(fd, ret, ret_size);
}

/* The two parts, checked as a whole. */
static int split(const unsigned char *data, size_t size, struct zvm_reader *ret_action, struct zvm_reader *ret_record)
{
	struct zvm_reader in = {.data = data, .left = size};
	uint64_t magic = zvm_read_number(&in), check = zvm_read_number(&in);
	if (in.error || magic != MAGIC || check != XXH3_64bits(in.data, in.left))
		return -EBADMSG;
	*ret_action = *ret_record = (struct zvm_reader){0};
	ret_action->data = zvm_read_part(&in, &ret_action->left);
	ret_record->data = zvm_read_part(&in, &ret_record->left);
	return in.error || in.left ? -EBADMSG : 0;
}

int zvm_record_file_read(int directory, const char *name, const struct zvm_bytes *action, struct zvm_record **ret)
{
	zvm_autofree unsigned char *data = NULL;
	size_t size = 0;
	struct zvm_reader stored, record;
	int r = read_file(directory, name, &data, &size);
	r = r ? r : split(data, size, &stored, &record);
	if (r)
		return r;
	if (stored.left != action->size || memcmp(stored.data, action->data, action->size))
		return -ENOENT;
	return zvm_record_decode(record.data, record.left, ret);
}

int zvm_record_file_read_any(int directory, const char *name, struct zvm_action **ret_action, struct zvm_record **ret)
{
	zvm_autofree unsigned char *data = NULL;
	size_t size = 0;
	struct zvm_reader action, record;
	int r = read_file(directory, name, &data, &size);
	r = r ? r : split(data, size, &action, &record);
	r = r ? r : zvm_action_decode(action.data, action.left, ret_action);
	if (r)
		return r;
	r = zvm_record_decode(record.data, record.left, ret);
	if (r)
		zvm_action_free(*ret_action);
	return r;
}
