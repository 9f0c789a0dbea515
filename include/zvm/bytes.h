/*
 * A growing buffer, and the one encoding that keys and records are written in.
 *
 * Every variable part is preceded by its length, so no two different lists of parts encode alike;
 * numbers are little-endian and of fixed width. Errors stick: after the first failed append the
 * buffer stays as it was and `error` says -ENOMEM; after the first short read every further read
 * yields zeros and `error` says -EBADMSG. So callers append or read a whole structure and test once.
 *
 *     zvm_autobytes struct zvm_bytes b = {0};
 *     zvm_bytes_number(&b, 7);
 *     zvm_bytes_string(&b, "cat");
 *     if (b.error) return b.error;
 *
 *     struct zvm_reader r = {.data = b.data, .left = b.size};
 *     uint64_t n = zvm_read_number(&r);
 *     char *s = zvm_read_string(&r);        // malloc'd, NUL-terminated; refuses embedded NULs
 *     if (r.error || r.left) return -EBADMSG;
 */
#ifndef ZVM_BYTES_H
#define ZVM_BYTES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/digest.h>

struct zvm_bytes {
	unsigned char *data;
	size_t size, room;
	int error;
};

struct zvm_reader {
	const unsigned char *data;
	size_t left;
	int error;
};

static inline void zvm_bytes_free(struct zvm_bytes *b)
{
	free(b->data);
	*b = (struct zvm_bytes){0};
}

#define zvm_autobytes __attribute__((cleanup(zvm_bytes_free)))

/* Room for `n` more bytes; NULL (and b->error set) when there is none. The caller fills them and adds to b->size. */
static inline unsigned char *zvm_bytes_reserve(struct zvm_bytes *b, size_t n)
{
	if (b->error)
		return NULL;
	if (n > SIZE_MAX / 4 || b->size > SIZE_MAX / 4) {
		b->error = -ENOMEM;
		return NULL;
	}
	if (b->room - b->size < n) {
		size_t room = b->room ? b->room : 256;
		while (room - b->size < n)
			room *= 2;
		unsigned char *data = realloc(b->data, room);
		if (!data) {
			b->error = -ENOMEM;
			return NULL;
		}
		b->data = data;
		b->room = room;
	}
	return b->data + b->size;
}

/* Raw bytes, no length before them. */
static inline void zvm_bytes_append(struct zvm_bytes *b, const void *data, size_t n)
{
	unsigned char *at = n ? zvm_bytes_reserve(b, n) : NULL;
	if (!at)
		return;
	memcpy(at, data, n);
	b->size += n;
}

static inline void zvm_bytes_number(struct zvm_bytes *b, uint64_t n)
{
	unsigned char le[8];
	for (int i = 0; i < 8; i++)
		le[i] = (unsigned char)(n >> (8 * i));
	zvm_bytes_append(b, le, sizeof le);
}

/* A length-prefixed part. */
static inline void zvm_bytes_part(struct zvm_bytes *b, const void *data, size_t n)
{
	zvm_bytes_number(b, n);
	zvm_bytes_append(b, data, n);
}

static inline void zvm_bytes_string(struct zvm_bytes *b, const char *s)
{
	zvm_bytes_part(b, s, strlen(s));
}

/* The first error is the one that stays: data is not damaged because there was no memory to read it. */
static inline void zvm_bytes_digest(struct zvm_bytes *b, const struct zvm_digest *d)
{
	zvm_bytes_number(b, d->high);
	zvm_bytes_number(b, d->low);
	zvm_bytes_number(b, zvm_digest_number(d));
}

static inline void zvm_reader_fail(struct zvm_reader *r, int error)
{
	if (!r->error)
		r->error = error;
}

static inline const void *zvm_read_raw(struct zvm_reader *r, size_t n)
{
	if (r->error || n > r->left) {
		zvm_reader_fail(r, -EBADMSG);
		return NULL;
	}
	const void *at = r->data;
	r->data += n;
	r->left -= n;
	return at;
}

static inline uint64_t zvm_read_number(struct zvm_reader *r)
{
	const unsigned char *le = zvm_read_raw(r, 8);
	uint64_t n = 0;
	for (int i = 0; le && i < 8; i++)
		n |= (uint64_t)le[i] << (8 * i);
	return n;
}

/* A length-prefixed part, still inside the reader's data; *ret_n is its length. */
static inline const void *zvm_read_part(struct zvm_reader *r, size_t *ret_n)
{
	uint64_t n = zvm_read_number(r);
	const void *at = n <= SIZE_MAX ? zvm_read_raw(r, (size_t)n) : NULL;
	*ret_n = at ? (size_t)n : 0;
	return at;
}

static inline char *zvm_read_string(struct zvm_reader *r)
{
	size_t n;
	const char *at = zvm_read_part(r, &n);
	if (!at || memchr(at, 0, n)) {
		zvm_reader_fail(r, -EBADMSG);
		return NULL;
	}
	char *s = malloc(n + 1);
	if (!s) {
		zvm_reader_fail(r, -ENOMEM);
		return NULL;
	}
	memcpy(s, at, n);
	s[n] = 0;
	return s;
}

#endif
