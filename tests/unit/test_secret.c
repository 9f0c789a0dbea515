/* The store's secret, and the prints that tell a content from one that took its name when it was gone. */
#include "store.h"
#include "../../fs/secret.h"

#define SECRET in_scratch("store/secret")

static char *pair[2];
static size_t pair_size;

static int open_with_pair(void **state)
{
	size_t size;
	pair[0] = get_bytes("tests/assets/xxh128-pair-a", &pair_size);
	pair[1] = get_bytes("tests/assets/xxh128-pair-b", &size);
	return size == pair_size ? open_store(state) : -1;
}

static int close_with_pair(void **state)
{
	free(pair[0]);
	free(pair[1]);
	return close_store(state);
}

static bool same_name(const struct zvm_digest *a, const struct zvm_digest *b)
{
	return a->high == b->high && a->low == b->low && a->twin == b->twin;
}

static void assert_gone(const struct zvm_digest *digest)
{
	int fd;
	assert_int_equal(zvm_store_object(store, digest, &fd, NULL), -ENOENT);
}

static void a_print_is_the_same_however_the_bytes_come(void **state)
{
	(void)state;
	static char large[1 << 20];
	memset(large, 'x', sizeof large);
	const size_t sizes[] = {0, 1, 100, 300, 16 << 10, (16 << 10) + 1, 300000, sizeof large};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct zvm_digest a, b;
		zvm_autofd int fd = -1;
		put_bytes(in_scratch("file"), large, sizes[i]);
		fd = open(in_scratch("file"), O_RDONLY | O_CLOEXEC);
		assert_int_equal(zvm_store_put_file(store, fd, &a, NULL), 0);
		assert_int_equal(zvm_store_put(store, large, sizes[i], &b), 0);
		assert_true(a.print && zvm_digest_equal(&a, &b));
		reopen();
		assert_object(&a, large, sizes[i]);
	}
}

static void it_is_made_once_and_is_the_owners(void **state)
{
	(void)state;
	size_t size, again;
	struct stat st;
	zvm_autofree char *first = get_bytes(SECRET, &size);
	assert_int_equal(size, sizeof(struct zvm_secret));
	assert_int_equal(stat(SECRET, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0400);
	reopen();
	zvm_autofree char *second = get_bytes(SECRET, &again);
	assert_true(again == size && !memcmp(first, second, size));
}

static void who_took_the_name_of_the_lost_is_not_taken_for_it(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct zvm_digest lost = put(pair[first], pair_size);
		assert_int_equal(unlink(path_of(&lost)), 0);
		struct zvm_digest other = put(pair[!first], pair_size);
		assert_true(same_name(&lost, &other) && !zvm_digest_equal(&lost, &other));
		for (int times = 0; times < 2; times++) {
			assert_gone(&lost);
			assert_object(&other, pair[!first], pair_size);
			reopen();
		}
		assert_int_equal(counters().condemned, 0);
		struct zvm_digest back = put(pair[first], pair_size);
		assert_int_equal(back.twin, 1);
		assert_int_equal(back.print, lost.print);
		assert_object(&back, pair[first], pair_size);
		assert_int_equal(unlink(path_of(&other)), 0);
		assert_int_equal(unlink(in_scratch("store/objects/%.2s/a6b1271836e1794c804cbf8b0e002e31.1", "a6")), 0);
	}
}

static void a_typed_name_means_whatever_has_it(void **state)
{
	(void)state;
	struct zvm_digest digest = put(pair[0], pair_size), typed;
	char text[ZVM_DIGEST_TEXT];
	zvm_digest_format(&digest, text);
	assert_int_equal(zvm_digest_parse(text, &typed), 0);
	assert_int_equal(typed.print, 0);
	assert_object(&typed, pair[0], pair_size);
}

static void a_lost_secret_makes_everything_unknown_and_nothing_wrong(void **state)
{
	(void)state;
	struct zvm_digest before = put("bytes", 5);
	assert_int_equal(unlink(SECRET), 0);
	reopen();
	assert_gone(&before);
	struct zvm_digest after = put("bytes", 5);
	assert_true(same_name(&before, &after) && before.print != after.print);
	assert_object(&after, "bytes", 5);
	assert_int_equal(counters().condemned, 0);
}

static void a_torn_secret_is_made_anew(void **state)
{
	(void)state;
	for (off_t size = 0; size < 300; size += 100) {
		assert_int_equal(chmod(SECRET, 0600) | truncate(SECRET, size), 0);
		reopen();
		struct stat st;
		assert_int_equal(stat(SECRET, &st), 0);
		assert_int_equal(st.st_size, sizeof(struct zvm_secret));
		assert_true(put("bytes", 5).print != 0);
	}
}

static void who_only_reads_makes_none(void **state)
{
	(void)state;
	struct zvm_store *look;
	int fd;
	struct zvm_digest digest = put("bytes", 5);
	assert_int_equal(unlink(SECRET), 0);
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_READONLY, &look, NULL), 0);
	assert_int_equal(access(SECRET, F_OK), -1);
	assert_int_equal(zvm_store_object(look, &digest, &fd, NULL), -ENOENT);
	digest.print = 0;
	assert_int_equal(zvm_store_object(look, &digest, &fd, NULL), 0);
	close(fd);
	zvm_store_close(look);
}

static void two_stores_print_differently(void **state)
{
	(void)state;
	struct zvm_store *other;
	struct zvm_digest here = put("bytes", 5), there;
	assert_int_equal(zvm_store_open(in_scratch("other"), ZVM_STORE_CREATE, &other, NULL), 0);
	assert_int_equal(zvm_store_put(other, "bytes", 5, &there), 0);
	assert_true(same_name(&here, &there) && here.print != there.print);
	zvm_store_close(other);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, open_with_pair, close_with_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(a_print_is_the_same_however_the_bytes_come),
	        WITH_STORE(it_is_made_once_and_is_the_owners),
	        WITH_PAIR(who_took_the_name_of_the_lost_is_not_taken_for_it),
	        WITH_PAIR(a_typed_name_means_whatever_has_it),
	        WITH_STORE(a_lost_secret_makes_everything_unknown_and_nothing_wrong),
	        WITH_STORE(a_torn_secret_is_made_anew),
	        WITH_STORE(who_only_reads_makes_none),
	        WITH_STORE(two_stores_print_differently),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
