/*
 * The address of a content: XXH3-128 (what `xxh128sum` prints) and a twin number.
 *
 * XXH3-128 is fast and not collision-resistant, so it is an address, never an identity: before two
 * contents are taken for one they are compared byte for byte (store.h). A content that collides with
 * an earlier, different one in the same store gets the next twin number; its name is "DIGEST.1".
 *
 * What is gone from the store can be compared with nothing any more, and its number may be given to another content.
 * So a digest also carries a print: a hash of the bytes that only this store can make (secret.h). It stands in where
 * comparison is impossible: what was said of a content that is gone is not believed of the one that has its number now.
 *
 * Inside one store, equal struct zvm_digest means equal bytes.
 */
#ifndef ZVM_DIGEST_H
#define ZVM_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

struct zvm_digest {
	uint64_t high, low;
	uint32_t twin;
	uint32_t print; /* 0: not known, as of a name that somebody typed */
};

/* Longest text: 32 hexadecimal digits, ".4294967295", NUL. */
#define ZVM_DIGEST_TEXT 48

void zvm_digest_format(const struct zvm_digest *digest, char text[ZVM_DIGEST_TEXT]);

/* 0, or -EINVAL unless `text` is exactly what zvm_digest_format would write. */
int zvm_digest_parse(const char *text, struct zvm_digest *ret);

/* Twin number and print as one number, for what is written to disk. */
static inline uint64_t zvm_digest_number(const struct zvm_digest *digest)
{
	return (uint64_t)digest->print << 32 | digest->twin;
}

static inline struct zvm_digest zvm_digest_of(uint64_t high, uint64_t low, uint64_t number)
{
	return (struct zvm_digest){high, low, (uint32_t)number, (uint32_t)(number >> 32)};
}

static inline bool zvm_digest_equal(const struct zvm_digest *a, const struct zvm_digest *b)
{
	return a->high == b->high && a->low == b->low && a->twin == b->twin && a->print == b->print;
}

#endif
