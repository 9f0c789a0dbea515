/* What the tests of the store share: one of one's own, and ways to look at it and to harm it. */
#ifndef ZVM_TEST_STORE_H
#define ZVM_TEST_STORE_H

#include "scratch.h"
#include <zvm/store.h>

#define HOME in_scratch("store")

static struct zvm_store *store;

static inline int open_store(void **state)
{
	scratch_make(state);
	return zvm_store_open(HOME, ZVM_STORE_CREATE, &store, NULL);
}

static inline int close_store(void **state)
{
	zvm_store_close(store);
	return scratch_remove(state);
}

/* As the next process sees it: with nothing known of what was verified. */
static inline void reopen(void)
{
	zvm_store_close(store);
	assert_int_equal(zvm_store_open(HOME, 0, &store, NULL), 0);
}

static inline struct zvm_store_counters counters(void)
{
	struct zvm_store_counters c;
	zvm_store_counters(store, &c);
	return c;
}

static inline struct zvm_digest put(const void *data, size_t size)
{
	struct zvm_digest digest;
	assert_int_equal(zvm_store_put(store, data, size, &digest), 0);
	return digest;
}

static inline const char *path_of(const struct zvm_digest *digest)
{
	char text[ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, text);
	return in_scratch("store/objects/%.2s/%s", text, text);
}

static inline void assert_object(const struct zvm_digest *digest, const void *data, size_t size)
{
	uint64_t got = 0;
	zvm_autofd int fd = -1;
	assert_int_equal(zvm_store_object(store, digest, &fd, &got), 0);
	assert_int_equal(got, size);
	assert_true(holds(fd, data, size));
}

static inline void assert_missing(const struct zvm_digest *digest)
{
	int fd;
	assert_int_equal(zvm_store_object(store, digest, &fd, NULL), -ENOENT);
	assert_false(zvm_store_has(store, digest));
}

static inline void damage(const struct zvm_digest *digest, off_t at, const char *bytes, off_t new_size)
{
	assert_int_equal(chmod(path_of(digest), 0600), 0);
	zvm_autofd int fd = open(path_of(digest), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
	assert_int_equal(ftruncate(fd, new_size), 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)

#endif
