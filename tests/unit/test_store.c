/*
 * The store: contents by address, where the address is no identity, the disk lies, the power fails and others share it.
 */
#include <pthread.h>
#include <xxhash.h>
#include "store.h"

/* --- contents --- */

static void what_is_put_is_there_under_its_hash(void **state)
{
	static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 262144, 300000};
	char *data = malloc(300000);
	(void)state;
	for (size_t i = 0; i < 300000; i++)
		data[i] = (char)(i * 7 % 251);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct zvm_digest digest = put(data, sizes[i]);
		XXH128_hash_t hash = XXH3_128bits(data, sizes[i]);
		assert_true(digest.high == hash.high64 && digest.low == hash.low64 && !digest.twin);
		assert_object(&digest, data, sizes[i]);
		reopen();
		assert_object(&digest, data, sizes[i]);
	}
	free(data);
}

static void an_object_may_be_read_and_not_written(void **state)
{
	struct zvm_digest digest = put("abc", 3);
	struct stat st;
	zvm_autofd int fd = -1;
	(void)state;
	assert_int_equal(stat(path_of(&digest), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(zvm_store_object(store, &digest, &fd, NULL), 0);
	assert_int_equal(write(fd, "x", 1), -1);
}

static void the_same_content_is_kept_once(void **state)
{
	struct zvm_digest a = put("same", 4), b;
	uint64_t size;
	zvm_autofd int fd = -1;
	(void)state;
	assert_int_equal(zvm_store_begin(store, &fd), 0);
	assert_int_equal(write(fd, "same", 4), 4);
	assert_int_equal(zvm_store_commit(store, &fd, &b, &size), 0);
	assert_true(zvm_digest_equal(&a, &b) && size == 4);
	assert_true(counters().objects_written == 1 && counters().bytes_written == 4 && counters().objects_shared == 1);
	assert_int_equal(count_names(in_scratch("store/objects")), 1);
	assert_int_equal(counters().twins, 0);
}

static void what_is_begun_and_left_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		zvm_autofd int fd = -1;
		assert_int_equal(zvm_store_begin(store, &fd), 0);
		assert_int_equal(write(fd, "half", 4), 4);
	}
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
	assert_int_equal(count_names(in_scratch("store/objects")), 0);
}

static void what_is_committed_can_be_read_on_at_once(void **state)
{
	struct zvm_digest digest;
	(void)state;
	for (int i = 0; i < 2; i++) { /* new, and there already */
		zvm_autofd int fd = -1;
		assert_int_equal(zvm_store_begin(store, &fd), 0);
		assert_int_equal(write(fd, "content", 7), 7);
		assert_int_equal(zvm_store_commit(store, &fd, &digest, NULL), 0);
		assert_true(fd >= 0 && holds(fd, "content", 7));
	}
}

/* --- spares --- */

static void a_file_given_back_comes_again_as_a_new_one(void **state)
{
	int fd = -1;
	struct stat st;
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(zvm_store_begin(store, &fd), 0);
		assert_true(fstat(fd, &st) == 0 && st.st_size == 0 && st.st_nlink == 0);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
		assert_int_equal(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK), 0);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(write(fd, "a secret of another run", 23), 23);
		assert_int_equal(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
		zvm_store_recycle(store, &fd);
		assert_int_equal(fd, -1);
	}
	zvm_store_recycle(store, &fd);
	assert_int_equal(fd, -1);
}

static void an_object_given_back_stays_whole(void **state)
{
	struct zvm_digest digest, other;
	int fd = -1, spare = -1;
	(void)state;
	assert_int_equal(zvm_store_begin(store, &fd), 0);
	assert_int_equal(write(fd, "content", 7), 7);
	assert_int_equal(zvm_store_commit(store, &fd, &digest, NULL), 0);
	zvm_store_recycle(store, &fd);
	assert_int_equal(zvm_store_begin(store, &spare), 0);
	assert_int_equal(write(spare, "another", 7), 7);
	assert_int_equal(zvm_store_commit(store, &spare, &other, NULL), 0);
	close(spare);
	reopen();
	assert_object(&digest, "content", 7);
	assert_object(&other, "another", 7);
}

static void spares_are_few_and_go_with_the_store(void **state)
{
	int fds[20];
	(void)state;
	zvm_store_close(store);
	unsigned before = open_descriptors();
	assert_int_equal(zvm_store_open(HOME, 0, &store, NULL), 0);
	unsigned opened = open_descriptors();
	for (int i = 0; i < 20; i++)
		assert_int_equal(zvm_store_begin(store, &fds[i]), 0);
	for (int i = 0; i < 20; i++)
		zvm_store_recycle(store, &fds[i]);
	zvm_store_make_spares(store);
	assert_true(open_descriptors() <= opened + ZVM_SPARES_MAX);
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
	zvm_store_close(store);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_READONLY, &store, NULL), 0);
	zvm_store_make_spares(store);
	assert_true(open_descriptors() <= opened);
}

/* --- snapshots --- */

static void a_file_is_put_as_it_was_at_that_moment(void **state)
{
	struct zvm_digest digest;
	uint64_t size;
	(void)state;
	put_text(in_scratch("file"), "first");
	zvm_autofd int fd = open(in_scratch("file"), O_RDWR | O_CLOEXEC);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	assert_int_equal(zvm_store_put_file(store, fd, &digest, &size), 0);
	assert_int_equal(size, 5);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 3);
	assert_int_equal(pwrite(fd, "later and longer", 16, 0), 16);
	assert_object(&digest, "first", 5);
}

static void a_large_sparse_file_is_put_whole(void **state)
{
	struct zvm_digest digest, same;
	uint64_t size;
	(void)state;
	put_text(in_scratch("file"), "");
	zvm_autofd int fd = open(in_scratch("file"), O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	assert_int_equal(pwrite(fd, "end", 3, (3 << 20) - 3), 3);
	assert_int_equal(zvm_store_put_file(store, fd, &digest, &size), 0);
	assert_int_equal(size, 3 << 20);
	char *data = calloc(1, 3 << 20);
	memcpy(data + (3 << 20) - 3, "end", 3);
	same = put(data, 3 << 20);
	assert_true(zvm_digest_equal(&digest, &same));
	assert_object(&digest, data, 3 << 20);
	free(data);
}

/* --- twins: two contents of one hash, forged --- */

struct pair {
	char *data[2];
	size_t size[2];
};

static struct pair read_pair(void)
{
	struct pair p;
	p.data[0] = get_bytes("tests/assets/xxh128-pair-a", &p.size[0]);
	p.data[1] = get_bytes("tests/assets/xxh128-pair-b", &p.size[1]);
	XXH128_hash_t a = XXH3_128bits(p.data[0], p.size[0]), b = XXH3_128bits(p.data[1], p.size[1]);
	assert_true(XXH128_isEqual(a, b));
	assert_true(p.size[0] == p.size[1] && memcmp(p.data[0], p.data[1], p.size[0]));
	return p;
}

static void free_pair(struct pair *p)
{
	free(p->data[0]);
	free(p->data[1]);
}

static void put_pair(int first)
{
	struct pair p = read_pair();
	int second = !first;
	struct zvm_digest a = put(p.data[first], p.size[first]), b = put(p.data[second], p.size[second]);
	assert_true(a.high == b.high && a.low == b.low && a.twin == 0 && b.twin == 1);
	assert_false(zvm_digest_equal(&a, &b));
	assert_int_equal(counters().twins, 1);
	for (int again = 0; again < 2; again++) {
		struct zvm_digest c = put(p.data[first], p.size[first]), d = put(p.data[second], p.size[second]);
		assert_true(zvm_digest_equal(&a, &c) && zvm_digest_equal(&b, &d));
		assert_object(&a, p.data[first], p.size[first]);
		assert_object(&b, p.data[second], p.size[second]);
		reopen();
	}
	free_pair(&p);
}

static void forged_contents_become_twins(void **state)
{
	(void)state;
	put_pair(0);
}

static void forged_contents_become_twins_in_the_other_order_too(void **state)
{
	(void)state;
	put_pair(1);
}

static void forged_files_become_twins(void **state)
{
	struct pair p = read_pair();
	struct zvm_digest digest[2];
	uint64_t size;
	(void)state;
	for (int i = 0; i < 2; i++) {
		zvm_autofd int fd =
		        open(i ? "tests/assets/xxh128-pair-b" : "tests/assets/xxh128-pair-a", O_RDONLY | O_CLOEXEC);
		assert_int_equal(zvm_store_put_file(store, fd, &digest[i], &size), 0);
		assert_int_equal(digest[i].twin, i);
		assert_object(&digest[i], p.data[i], p.size[i]);
	}
	free_pair(&p);
}

/* Who still means the lost content by its name must not be given the forged one. */
static void a_twin_does_not_take_the_name_of_a_lost_content(void **state)
{
	struct pair p = read_pair();
	struct zvm_digest a = put(p.data[0], p.size[0]), b = put(p.data[1], p.size[1]);
	(void)state;
	assert_int_equal(unlink(path_of(&a)), 0);
	reopen();
	struct zvm_digest again = put(p.data[1], p.size[1]);
	assert_true(zvm_digest_equal(&again, &b));
	assert_missing(&a);
	free_pair(&p);
}

/* --- damage --- */

static void assert_damage_is_found(const struct zvm_digest *digest, const void *data, size_t size)
{
	reopen();
	assert_missing(digest);
	assert_int_equal(counters().condemned, 1);
	char text[ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, text);
	struct stat st;
	assert_int_equal(lstat(in_scratch("store/tmp/condemned-%s", text), &st), 0);
	assert_missing(digest);
	assert_int_equal(counters().condemned, 1);
	struct zvm_digest again = put(data, size);
	assert_true(zvm_digest_equal(&again, digest));
	assert_object(digest, data, size);
}

static void a_truncated_object_is_condemned_and_comes_back(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	damage(&digest, 0, "", 9);
	assert_damage_is_found(&digest, "0123456789", 10);
}

static void an_emptied_object_is_condemned_and_comes_back(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	damage(&digest, 0, "", 0);
	assert_damage_is_found(&digest, "0123456789", 10);
}

static void a_longer_object_is_condemned_and_comes_back(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	damage(&digest, 10, "!", 11);
	assert_damage_is_found(&digest, "0123456789", 10);
}

static void an_object_with_a_flipped_bit_is_condemned_and_comes_back(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	damage(&digest, 4, "5", 10);
	assert_damage_is_found(&digest, "0123456789", 10);
}

static void a_content_as_good_as_the_damaged_one_is_never_shared_with_it(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	damage(&digest, 4, "5", 10);
	reopen();
	struct zvm_digest again = put("0123456789", 10);
	assert_true(zvm_digest_equal(&again, &digest));
	assert_object(&again, "0123456789", 10);
	assert_int_equal(counters().condemned, 1);
	assert_int_equal(counters().twins, 0);
}

static void damage_that_changes_the_size_is_found_in_the_same_process(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	assert_object(&digest, "0123456789", 10);
	damage(&digest, 0, "", 9);
	assert_missing(&digest);
	assert_int_equal(counters().condemned, 1);
}

static void a_damaged_twin_does_not_harm_the_other(void **state)
{
	struct pair p = read_pair();
	struct zvm_digest a = put(p.data[0], p.size[0]), b = put(p.data[1], p.size[1]);
	(void)state;
	damage(&b, 0, "", 17);
	reopen();
	assert_missing(&b);
	assert_object(&a, p.data[0], p.size[0]);
	struct zvm_digest again = put(p.data[1], p.size[1]);
	assert_true(zvm_digest_equal(&again, &b));
	assert_object(&b, p.data[1], p.size[1]);
	free_pair(&p);
}

static void replace_by_link(const char *path)
{
	put_text(in_scratch("elsewhere"), "0123456789");
	assert_int_equal(symlink(in_scratch("elsewhere"), path), 0);
}

static void replace_by_directory(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void replace_by_fifo(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

static void what_is_no_regular_file_is_no_object(void **state)
{
	void (*const replace[])(const char *) = {replace_by_link, replace_by_directory, replace_by_fifo};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char text[16];
		snprintf(text, sizeof text, "content %zu", i);
		struct zvm_digest digest = put(text, strlen(text));
		assert_int_equal(unlink(path_of(&digest)), 0);
		replace[i](path_of(&digest));
		assert_damage_is_found(&digest, text, strlen(text));
		digest = put("again", 5 - i);
		assert_int_equal(unlink(path_of(&digest)), 0);
		replace[i](path_of(&digest));
		struct zvm_digest again = put("again", 5 - i);
		assert_true(zvm_digest_equal(&again, &digest));
		assert_object(&digest, "again", 5 - i);
	}
}

static void damage_is_set_aside_beside_what_was_before(void **state)
{
	struct zvm_digest digest = put("0123456789", 10), again;
	char text[ZVM_DIGEST_TEXT];
	(void)state;
	zvm_digest_format(&digest, text);
	assert_int_equal(unlink(path_of(&digest)), 0);
	assert_int_equal(mkdir(path_of(&digest), 0700), 0);
	put_text(in_scratch("store/tmp/condemned-%s", text), "in the way");
	reopen();
	assert_int_equal(zvm_store_put(store, "0123456789", 10, &again), 0);
	assert_object(&again, "0123456789", 10);
	assert_int_equal(count_names(in_scratch("store/tmp")), 2);
}

static void an_open_object_is_what_it_was_or_said_not_to_be(void **state)
{
	struct zvm_digest digest = put("0123456789", 10), other = put("abc", 3);
	uint64_t size;
	zvm_autofd int fd = -1, gone = -1;
	(void)state;
	assert_int_equal(zvm_store_object(store, &digest, &fd, &size), 0);
	assert_int_equal(zvm_store_object(store, &other, &gone, &size), 0);
	assert_int_equal(zvm_store_check(store, fd, 10, &digest), 0);
	assert_int_equal(unlink(path_of(&other)), 0); /* changes its times, and nothing else */
	assert_int_equal(zvm_store_check(store, gone, 3, &other), 0);
	damage(&digest, 3, "x", 10);
	assert_int_equal(zvm_store_check(store, fd, 10, &digest), -EIO);
	damage(&digest, 3, "3", 10);
	assert_int_equal(zvm_store_check(store, fd, 10, &digest), 0);
	damage(&digest, 0, "", 9);
	assert_int_equal(zvm_store_check(store, fd, 10, &digest), -EIO);
}

static void what_is_doubted_is_checked_again(void **state)
{
	struct zvm_digest digest = put("0123456789", 10);
	(void)state;
	zvm_store_doubt(store);
	assert_object(&digest, "0123456789", 10);
	zvm_store_doubt(store);
	damage(&digest, 3, "x", 10);
	assert_missing(&digest);
	assert_int_equal(counters().condemned, 1);
}

static void what_is_not_there_is_missing_and_no_damage(void **state)
{
	struct zvm_digest digest = {1, 2, 0, 0};
	(void)state;
	assert_missing(&digest);
	digest.twin = 4294967295u;
	assert_missing(&digest);
	assert_int_equal(counters().condemned, 0);
}

/* --- crashes and company --- */

static void what_a_crash_left_in_tmp_is_harmless(void **state)
{
	struct zvm_digest digest = put("kept", 4);
	(void)state;
	put_text(in_scratch("store/tmp/new-1-0"), "half an obj");
	put_text(in_scratch("store/tmp/version"), "zvm sto");
	put_text(in_scratch("store/tmp/condemned-00000000000000000000000000000000"), "");
	reopen();
	assert_object(&digest, "kept", 4);
	digest = put("new", 3);
	assert_object(&digest, "new", 3);
}

static void what_one_writes_another_reads(void **state)
{
	struct zvm_store *other;
	struct zvm_digest digest, same;
	int fd = -1;
	(void)state;
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_CREATE, &other, NULL), 0);
	assert_int_equal(zvm_store_put(other, "theirs", 6, &digest), 0);
	assert_object(&digest, "theirs", 6);
	same = put("theirs", 6);
	assert_true(zvm_digest_equal(&digest, &same));
	/* One finds it damaged and sets it aside; the other, who knew it as good, misses it and brings it back. */
	damage(&digest, 0, "T", 5);
	assert_missing(&digest);
	assert_int_equal(zvm_store_object(other, &digest, &fd, NULL), -ENOENT);
	assert_int_equal(zvm_store_put(other, "theirs", 6, &same), 0);
	assert_object(&digest, "theirs", 6);
	zvm_store_close(other);
}

static void *put_many(void *context)
{
	struct pair *p = context;
	for (unsigned i = 0; i < 200; i++) {
		char text[32];
		struct zvm_digest digest;
		int fd = -1;
		int n = snprintf(text, sizeof text, "content %u", i % 20);
		if (zvm_store_put(store, text, (size_t)n, &digest) || zvm_store_object(store, &digest, &fd, NULL))
			return NULL;
		bool good = holds(fd, text, (size_t)n);
		close(fd);
		if (!good || zvm_store_put(store, p->data[i % 2], p->size[i % 2], &digest) ||
		    zvm_store_object(store, &digest, &fd, NULL))
			return NULL;
		good = holds(fd, p->data[i % 2], p->size[i % 2]);
		close(fd);
		if (!good)
			return NULL;
	}
	return context;
}

static void many_threads_may_put_the_same_and_no_descriptor_is_lost(void **state)
{
	struct pair p = read_pair();
	pthread_t threads[4];
	unsigned before = open_descriptors();
	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, &p), 0);
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		assert_ptr_equal(result, &p);
	}
	assert_in_range(open_descriptors(), before, before + ZVM_SPARES_MAX);
	assert_int_equal(counters().objects_written, 22);
	assert_int_equal(counters().condemned, 0);
	free_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(what_is_put_is_there_under_its_hash),
	        WITH_STORE(an_object_may_be_read_and_not_written),
	        WITH_STORE(the_same_content_is_kept_once),
	        WITH_STORE(what_is_begun_and_left_leaves_nothing),
	        WITH_STORE(what_is_committed_can_be_read_on_at_once),
	        WITH_STORE(a_file_given_back_comes_again_as_a_new_one),
	        WITH_STORE(an_object_given_back_stays_whole),
	        WITH_STORE(spares_are_few_and_go_with_the_store),
	        WITH_STORE(a_file_is_put_as_it_was_at_that_moment),
	        WITH_STORE(a_large_sparse_file_is_put_whole),
	        WITH_STORE(forged_contents_become_twins),
	        WITH_STORE(forged_contents_become_twins_in_the_other_order_too),
	        WITH_STORE(forged_files_become_twins),
	        WITH_STORE(a_twin_does_not_take_the_name_of_a_lost_content),
	        WITH_STORE(a_truncated_object_is_condemned_and_comes_back),
	        WITH_STORE(an_emptied_object_is_condemned_and_comes_back),
	        WITH_STORE(a_longer_object_is_condemned_and_comes_back),
	        WITH_STORE(an_object_with_a_flipped_bit_is_condemned_and_comes_back),
	        WITH_STORE(a_content_as_good_as_the_damaged_one_is_never_shared_with_it),
	        WITH_STORE(damage_that_changes_the_size_is_found_in_the_same_process),
	        WITH_STORE(a_damaged_twin_does_not_harm_the_other),
	        WITH_STORE(what_is_no_regular_file_is_no_object),
	        WITH_STORE(damage_is_set_aside_beside_what_was_before),
	        WITH_STORE(an_open_object_is_what_it_was_or_said_not_to_be),
	        WITH_STORE(what_is_doubted_is_checked_again),
	        WITH_STORE(what_is_not_there_is_missing_and_no_damage),
	        WITH_STORE(what_a_crash_left_in_tmp_is_harmless),
	        WITH_STORE(what_one_writes_another_reads),
	        WITH_STORE(many_threads_may_put_the_same_and_no_descriptor_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
