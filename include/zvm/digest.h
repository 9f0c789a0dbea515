/*
 * The address of a content: XXH3-128 (what `xxh128sum` prints) and a twin number.
 *
 * XXH3-128 is fast and not collision-resistant, so it is an address, never an identity: before two
 * contents are taken for one they are compared byte for byte (store.h). A content that collides with
 * an earlier, different one in the same store gets the next twin number; its name is "DIGEST.1".
 * Inside one store, equal struct zvm_digest means equal bytes.
 */
#ifndef ZVM_DIGEST_H
#define ZVM_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

struct zvm_digest {
	uint64_t high, low;
	uint32_t twin;
	uint32_t unused; /* zero: digests are compared and hashed as bytes, too */
};

/* Longest text: 32 hexadecimal digits, ".4294967295", NUL. */
#define ZVM_DIGEST_TEXT 48

void zvm_digest_format(const struct zvm_digest *digest, char text[ZVM_DIGEST_TEXT]);

/* 0, or -EINVAL unless `text` is exactly what zvm_digest_format would write. */
int zvm_digest_parse(const char *text, struct zvm_digest *ret);

static inline bool zvm_digest_equal(const struct zvm_digest *a, const struct zvm_digest *b)
{
	return a->high == b->high && a->low == b->low && a->twin == b->twin;
}

#endif
