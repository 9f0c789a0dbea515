/* Objects without a name: this process has them, no other does, and what they are called in the end is what was said.
 */
#include "../../fs/store_internal.h" /* before there is a `store` */
#include "store.h"
#include <fcntl.h>
#include "../../fs/pending.h"

static struct zvm_digest digest;
static struct zvm_pending *pending;

/* Written and hashed; the descriptor is as a run's reader has it. */
static int keep(const void *data, size_t size)
{
	int fd;
	uint64_t got;
	assert_int_equal(zvm_store_begin(store, &fd), 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	assert_int_equal(zvm_pending_commit(store, &fd, &digest, &got, &pending), 0);
	assert_int_equal(got, size);
	return fd;
}

static void keep_unread(const void *data, size_t size)
{
	close(keep(data, size));
}

static struct zvm_store *open_other(void)
{
	struct zvm_store *other;
	assert_int_equal(zvm_store_open(HOME, 0, &other, NULL), 0);
	return other;
}

static bool other_has(struct zvm_store *other)
{
	zvm_autofd int fd = -1;
	return zvm_store_object(other, &digest, &fd, NULL) == 0;
}

static void put_elsewhere(struct zvm_store *other, const void *data, size_t size)
{
	struct zvm_digest any;
	assert_int_equal(zvm_store_put(other, data, size, &any), 0);
}

static void what_is_pending_is_here_and_nowhere_else_until_it_has_its_place(void **state)
{
	struct zvm_store *other = open_other();
	struct zvm_digest typed;
	(void)state;
	zvm_autofd int fd = keep("content", 7);
	assert_non_null(pending);
	assert_object(&digest, "content", 7);
	typed = digest;
	typed.print = 0;
	assert_object(&typed, "content", 7);
	typed.print = digest.print ^ 1;
	assert_missing(&typed);
	assert_false(zvm_store_has(store, &digest));
	assert_false(other_has(other));
	assert_int_equal(zvm_pending_place(store, &pending), 0);
	assert_null(pending);
	assert_object(&digest, "content", 7);
	assert_true(other_has(other));
	assert_true(holds(fd, "content", 7));
	zvm_store_close(other);
}

static void what_nobody_needs_leaves_nothing(void **state)
{
	(void)state;
	keep_unread("content", 7);
	zvm_pending_drop(store, &pending);
	assert_null(pending);
	assert_missing(&digest);
	assert_int_equal(counters().objects_written, 0);
	assert_int_equal(zvm_pending_place(store, &pending), 0);
	zvm_pending_drop(store, &pending);
}

static void what_is_there_already_is_it_at_once(void **state)
{
	(void)state;
	put("content", 7);
	keep_unread("content", 7);
	assert_null(pending);
	assert_int_equal(counters().objects_shared, 1);
	assert_object(&digest, "content", 7);
}

static void a_snapshot_is_of_that_moment(void **state)
{
	(void)state;
	const char *path = in_scratch("file");
	put_text(path, "before");
	zvm_autofd int file = open(path, O_RDWR | O_CLOEXEC);
	uint64_t size;
	assert_int_equal(zvm_pending_put_file(store, file, &digest, &size, &pending), 0);
	assert_int_equal(pwrite(file, "after!", 6, 0), 6);
	assert_object(&digest, "before", 6);
	assert_int_equal(zvm_pending_place(store, &pending), 0);
	assert_object(&digest, "before", 6);
}

static void if_another_process_stores_the_same_who_has_it_open_reads_on(void **state)
{
	struct zvm_store *other = open_other();
	(void)state;
	zvm_autofd int fd = keep("content", 7);
	put_elsewhere(other, "content", 7);
	assert_int_equal(zvm_pending_place(store, &pending), 0);
	assert_true(holds(fd, "content", 7));
	assert_int_equal(zvm_store_check(store, fd, 7, &digest), 0);
	assert_object(&digest, "content", 7);
	for (int i = 0; i < ZVM_SPARES_MAX; i++) { /* nor is its file used again */
		zvm_autofd int next = -1;
		assert_int_equal(zvm_store_begin(store, &next), 0);
		assert_int_equal(write(next, "xxxxxxx", 7), 7);
	}
	assert_true(holds(fd, "content", 7));
	zvm_store_close(other);
}

static void if_another_process_stores_a_colliding_one_nothing_that_was_said_is_true_of_it(void **state)
{
	struct zvm_store *other = open_other();
	size_t size, other_size;
	zvm_autofree char *a = get_bytes("tests/assets/xxh128-pair-a", &size);
	zvm_autofree char *b = get_bytes("tests/assets/xxh128-pair-b", &other_size);
	(void)state;
	zvm_autofd int fd = keep(a, size);
	assert_non_null(pending);
	struct zvm_digest said = digest;
	put_elsewhere(other, b, other_size);
	assert_object(&said, a, size);
	assert_int_equal(zvm_pending_place(store, &pending), -ESTALE);
	assert_null(pending);
	int got;
	assert_int_equal(zvm_store_object(store, &said, &got, NULL), -ENOENT);
	assert_true(holds(fd, a, size));
	said.twin = 1;
	assert_object(&said, a, size);
	/* From then on it takes no chances. */
	keep_unread("content", 7);
	assert_null(pending);
	assert_object(&digest, "content", 7);
	zvm_store_close(other);
}

static void two_of_one_hash_are_compared(void **state)
{
	struct zvm_pending *first;
	size_t size, other_size;
	zvm_autofree char *a = get_bytes("tests/assets/xxh128-pair-a", &size);
	zvm_autofree char *b = get_bytes("tests/assets/xxh128-pair-b", &other_size);
	(void)state;
	zvm_autofd int fd = keep(a, size);
	struct zvm_digest said = digest;
	first = pending;
	keep_unread(b, other_size);
	assert_null(pending);
	assert_int_equal(digest.twin, 1);
	assert_object(&digest, b, other_size);
	keep_unread(a, size);
	assert_null(pending);
	assert_true(zvm_digest_equal(&digest, &said));
	assert_int_equal(zvm_pending_place(store, &first), 0);
	assert_object(&said, a, size);
	assert_true(holds(fd, a, size));
}

static void two_that_are_equal_wait_together(void **state)
{
	struct zvm_pending *first;
	(void)state;
	zvm_autofd int fd = keep("content", 7);
	first = pending;
	zvm_autofd int same_fd = keep("content", 7);
	assert_non_null(pending);
	zvm_pending_drop(store, &first);
	assert_object(&digest, "content", 7);
	assert_false(zvm_store_has(store, &digest));
	first = pending;
	zvm_autofd int third_fd = keep("content", 7);
	assert_int_equal(zvm_pending_place(store, &first), 0);
	assert_int_equal(zvm_pending_place(store, &pending), 0);
	assert_object(&digest, "content", 7);
	assert_int_equal(counters().objects_written, 1);
	assert_true(holds(fd, "content", 7) && holds(same_fd, "content", 7) && holds(third_fd, "content", 7));
}

static void without_a_secret_nothing_waits(void **state)
{
	(void)state;
	store->has_secret = false; /* as when there was no room for one */
	keep_unread("content", 7);
	assert_null(pending);
	assert_object(&digest, "content", 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(what_is_pending_is_here_and_nowhere_else_until_it_has_its_place),
	        WITH_STORE(what_nobody_needs_leaves_nothing),
	        WITH_STORE(what_is_there_already_is_it_at_once),
	        WITH_STORE(a_snapshot_is_of_that_moment),
	        WITH_STORE(if_another_process_stores_the_same_who_has_it_open_reads_on),
	        WITH_STORE(if_another_process_stores_a_colliding_one_nothing_that_was_said_is_true_of_it),
	        WITH_STORE(two_of_one_hash_are_compared),
	        WITH_STORE(two_that_are_equal_wait_together),
	        WITH_STORE(without_a_secret_nothing_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
