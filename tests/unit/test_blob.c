/* Blobs: when a stat is believed, and that what is believed is what was stored. */
#include "scratch.h"
#include "clock.h"
#include <zvm/blob.h>
#include "../../fs/store_internal.h"
#include "../../fs/table.h"

#define FILE_ in_scratch("file")

static struct zvm_store *store;
static struct zvm_blobs *blobs;

static int open_all(void **state)
{
	clock_ahead = clock_stopped_at = 0;
	return scratch_make(state) || zvm_store_open(in_scratch("store"), ZVM_STORE_CREATE, &store, NULL) ||
	       zvm_blobs_open(store, &blobs);
}

static int close_all(void **state)
{
	zvm_blobs_close(blobs);
	zvm_store_close(store);
	return scratch_remove(state);
}

static void reopen(unsigned flags)
{
	zvm_blobs_close(blobs);
	zvm_store_close(store);
	assert_int_equal(zvm_store_open(in_scratch("store"), flags, &store, NULL), 0);
	assert_int_equal(zvm_blobs_open(store, &blobs), 0);
}

/* From now on, all that has been written is old enough. */
static void let_time_pass(void)
{
	clock_ahead += 10;
}

/* The kernel's times of files move in steps of up to 10 ms. */
static void let_a_tick_pass(void)
{
	usleep(20000);
}

static struct zvm_digest blob_of(const char *path)
{
	struct zvm_digest digest;
	uint64_t size;
	struct stat st;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &digest, &size, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(size, st.st_size);
	return digest;
}

static int known(const char *path, struct zvm_digest *ret)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return zvm_blob_known(blobs, &st, ret);
}

static int quick(const char *path, struct zvm_digest *ret)
{
	struct stat st;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	return zvm_blob_quick(blobs, fd, &st, ret);
}

static void assert_stored(const struct zvm_digest *digest, const char *text)
{
	zvm_autofd int fd = -1;
	assert_int_equal(zvm_store_object(store, digest, &fd, NULL), 0);
	assert_true(holds(fd, text, strlen(text)));
}

/* --- the shortcut --- */

static void a_file_written_just_now_is_not_trusted(void **state)
{
	struct zvm_digest digest;
	(void)state;
	put_text(FILE_, "one");
	blob_of(FILE_);
	assert_int_equal(known(FILE_, &digest), -ENOENT);
	/* Reading it again, now that it is old, is what makes it trusted. */
	let_time_pass();
	assert_int_equal(known(FILE_, &digest), -ENOENT);
	blob_of(FILE_);
	assert_int_equal(known(FILE_, &digest), 0);
}

static void two_seconds_are_the_border(void **state)
{
	struct zvm_digest digest;
	struct stat st;
	(void)state;
	put_text(FILE_, "one");
	assert_int_equal(stat(FILE_, &st), 0);
	clock_stopped_at = st.st_mtim.tv_sec + 2;
	blob_of(FILE_);
	assert_int_equal(known(FILE_, &digest), -ENOENT);
	clock_stopped_at = st.st_mtim.tv_sec + 3;
	blob_of(FILE_);
	assert_int_equal(known(FILE_, &digest), 0);
}

static void an_old_file_is_known_without_being_read(void **state)
{
	struct zvm_digest digest, again;
	(void)state;
	put_text(FILE_, "one");
	let_time_pass();
	digest = blob_of(FILE_);
	assert_int_equal(known(FILE_, &again), 0);
	assert_true(zvm_digest_equal(&digest, &again));
	assert_stored(&digest, "one");
}

static void a_young_file_written_twice_in_one_tick_gives_both_contents(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		char text[16];
		snprintf(text, sizeof text, "%06d", i);
		zvm_autofd int fd = open(FILE_, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(pwrite(fd, text, 6, 0), 6);
		struct zvm_digest digest = blob_of(FILE_);
		assert_stored(&digest, text);
	}
}

static void a_changed_file_whose_mtime_was_set_back_is_noticed(void **state)
{
	struct zvm_digest digest, changed;
	struct stat st;
	(void)state;
	put_text(FILE_, "before");
	let_time_pass();
	digest = blob_of(FILE_);
	let_a_tick_pass();
	assert_int_equal(stat(FILE_, &st), 0);
	zvm_autofd int fd = open(FILE_, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "after!", 6, 0), 6);
	assert_int_equal(futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim}), 0);
	assert_int_equal(known(FILE_, &changed), -ENOENT);
	changed = blob_of(FILE_);
	assert_false(zvm_digest_equal(&digest, &changed));
	assert_stored(&changed, "after!");
}

static void another_file_under_the_same_name_is_noticed(void **state)
{
	struct zvm_digest digest, other;
	struct stat st;
	(void)state;
	put_text(FILE_, "one");
	put_text(in_scratch("other"), "two");
	let_time_pass();
	digest = blob_of(FILE_);
	assert_int_equal(stat(FILE_, &st), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_scratch("other"), (struct timespec[2]){st.st_atim, st.st_mtim}, 0), 0);
	assert_int_equal(rename(in_scratch("other"), FILE_), 0);
	assert_int_equal(known(FILE_, &other), -ENOENT);
	other = blob_of(FILE_);
	assert_false(zvm_digest_equal(&digest, &other));
	assert_stored(&other, "two");
}

static void a_file_from_the_future_is_never_trusted(void **state)
{
	struct zvm_digest digest;
	(void)state;
	put_text(FILE_, "one");
	let_time_pass();
	struct timespec later = {.tv_sec = time(NULL) + 3600};
	assert_int_equal(utimensat(AT_FDCWD, FILE_, (struct timespec[2]){later, later}, 0), 0);
	blob_of(FILE_);
	assert_int_equal(known(FILE_, &digest), -ENOENT);
}

static void a_known_file_whose_object_is_lost_is_read_again(void **state)
{
	struct zvm_digest digest, again;
	char text[ZVM_DIGEST_TEXT];
	uint64_t size;
	zvm_autofd int object = -1;
	(void)state;
	put_text(FILE_, "one");
	let_time_pass();
	digest = blob_of(FILE_);
	zvm_digest_format(&digest, text);
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", text, text)), 0);
	zvm_autofd int fd = open(FILE_, O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &again, &size, &object), 0);
	assert_true(zvm_digest_equal(&digest, &again) && holds(object, "one", 3));
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", text, text)), 0);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &again, &size, NULL), 0);
	assert_stored(&again, "one");
}

/* --- the table on disk --- */

static void what_was_learned_outlives_the_process(void **state)
{
	struct zvm_digest digest, again;
	(void)state;
	put_text(FILE_, "one");
	let_time_pass();
	digest = blob_of(FILE_);
	reopen(0);
	assert_int_equal(known(FILE_, &again), 0);
	assert_true(zvm_digest_equal(&digest, &again));
}

static void a_damaged_entry_is_not_believed_and_harms_no_other(void **state)
{
	struct zvm_digest digest;
	size_t size, at = 0;
	(void)state;
	put_text(FILE_, "one");
	put_text(in_scratch("two"), "two");
	let_time_pass();
	blob_of(FILE_);
	blob_of(in_scratch("two"));
	zvm_autofree char *table = get_bytes(in_scratch("store/stat/shortcuts"), &size);
	while (at < size && !table[at])
		at++;
	zvm_autofd int fd = open(in_scratch("store/stat/shortcuts"), O_WRONLY | O_CLOEXEC);
	table[at] ^= 1;
	assert_int_equal(pwrite(fd, table + at, 1, (off_t)at), 1);
	reopen(0);
	assert_int_equal((known(FILE_, &digest) == 0) + (known(in_scratch("two"), &digest) == 0), 1);
	blob_of(FILE_);
	blob_of(in_scratch("two"));
	assert_int_equal((known(FILE_, &digest) == 0) + (known(in_scratch("two"), &digest) == 0), 2);
}

static void a_lost_table_costs_only_time(void **state)
{
	struct zvm_digest digest;
	(void)state;
	put_text(FILE_, "one");
	let_time_pass();
	blob_of(FILE_);
	assert_int_equal(unlink(in_scratch("store/stat/shortcuts")), 0);
	reopen(0);
	assert_int_equal(known(FILE_, &digest), -ENOENT);
	digest = blob_of(FILE_);
	assert_stored(&digest, "one");
}

static void a_read_only_store_is_asked_and_never_told(void **state)
{
	struct zvm_digest digest;
	uint64_t size;
	size_t length, after;
	(void)state;
	put_text(FILE_, "one");
	put_text(in_scratch("new"), "new");
	let_time_pass();
	blob_of(FILE_);
	free(get_bytes(in_scratch("store/stat/shortcuts"), &length));
	reopen(ZVM_STORE_READONLY);
	assert_int_equal(known(FILE_, &digest), 0);
	zvm_autofd int fd = open(in_scratch("new"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &digest, &size, NULL), 0);
	assert_int_equal(size, 3);
	assert_int_equal(zvm_store_has(store, &digest), 0);
	free(get_bytes(in_scratch("store/stat/shortcuts"), &after));
	assert_int_equal(after, length);
	assert_int_equal(unlink(in_scratch("store/stat/shortcuts")), 0);
	assert_int_equal(unlink(in_scratch("store/stat/derived")), 0);
	assert_int_equal(unlink(in_scratch("store/stat/gc")), 0);
	reopen(ZVM_STORE_READONLY);
	assert_int_equal(count_names(in_scratch("store/stat")), 0);
	reopen(0);
}

/* What a look says is what storing would say: twins, and numbers that must not be given again. */
static void a_look_names_contents_as_storing_would(void **state)
{
	struct zvm_digest first, second, looked, stored;
	uint64_t size;
	(void)state;
	blob_of("tests/assets/xxh128-pair-a");
	second = blob_of("tests/assets/xxh128-pair-b");
	assert_int_equal(second.twin, 1);
	first = second;
	first.twin = 0;
	zvm_autofd int a = open("tests/assets/xxh128-pair-a", O_RDONLY | O_CLOEXEC);
	zvm_autofd int b = open("tests/assets/xxh128-pair-b", O_RDONLY | O_CLOEXEC);
	reopen(ZVM_STORE_READONLY);
	assert_int_equal(zvm_blob_of_file(blobs, b, &looked, &size, NULL), 0);
	assert_true(zvm_digest_equal(&looked, &second));
	/* The first is gone, but the second is not taken for it. */
	char name[ZVM_DIGEST_TEXT];
	zvm_digest_format(&first, name);
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", name, name)), 0);
	assert_int_equal(unlink(in_scratch("store/stat/shortcuts")), 0);
	reopen(ZVM_STORE_READONLY);
	assert_int_equal(zvm_blob_of_file(blobs, b, &looked, &size, NULL), 0);
	assert_true(zvm_digest_equal(&looked, &second));
	assert_int_equal(zvm_blob_of_file(blobs, a, &looked, &size, NULL), 0);
	assert_false(zvm_store_has(store, &looked));
	reopen(0);
	assert_int_equal(zvm_blob_of_file(blobs, a, &stored, &size, NULL), 0);
	assert_true(zvm_digest_equal(&looked, &stored));
}

/* --- snapshots --- */

static void what_was_kept_does_not_change_with_the_file(void **state)
{
	struct zvm_digest digest;
	uint64_t size;
	zvm_autofd int object = -1;
	(void)state;
	put_text(FILE_, "first");
	zvm_autofd int fd = open(FILE_, O_RDWR | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &digest, &size, &object), 0);
	assert_int_equal(pwrite(fd, "later", 5, 0), 5);
	assert_true(holds(object, "first", 5) && size == 5);
	assert_stored(&digest, "first");
}

static void only_regular_files_are_kept(void **state)
{
	struct zvm_digest digest;
	uint64_t size;
	(void)state;
	zvm_autofd int directory = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, directory, &digest, &size, NULL), -EINVAL);
	zvm_autofd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, null, &digest, &size, NULL), -EINVAL);
}

/* --- without storing --- */

static void a_quick_look_tells_what_is_stored_and_stores_nothing(void **state)
{
	struct zvm_digest digest, found;
	struct zvm_store_counters counters;
	(void)state;
	put_text(FILE_, "one");
	assert_int_equal(quick(FILE_, &found), -ENOENT);
	digest = blob_of(FILE_);
	assert_int_equal(quick(FILE_, &found), 0);
	assert_true(zvm_digest_equal(&digest, &found));
	zvm_store_counters(store, &counters);
	assert_int_equal(counters.objects_written, 1);
}

static void a_quick_look_does_not_read_much(void **state)
{
	struct zvm_digest digest;
	(void)state;
	put_text(FILE_, "");
	assert_int_equal(truncate(FILE_, (16 << 20) + 1), 0);
	assert_int_equal(quick(FILE_, &digest), -EAGAIN);
	let_time_pass();
	blob_of(FILE_);
	assert_int_equal(quick(FILE_, &digest), 0);
}

static void a_quick_look_tells_twins_apart(void **state)
{
	struct zvm_digest digest, found;
	(void)state;
	blob_of("tests/assets/xxh128-pair-a");
	zvm_blobs_close(blobs);
	assert_int_equal(unlink(in_scratch("store/stat/shortcuts")), 0);
	assert_int_equal(zvm_blobs_open(store, &blobs), 0);
	assert_int_equal(quick("tests/assets/xxh128-pair-b", &found), -ENOENT);
	assert_int_equal(quick("tests/assets/xxh128-pair-a", &found), 0);
	assert_int_equal(found.twin, 0);
	digest = blob_of("tests/assets/xxh128-pair-b");
	assert_int_equal(digest.twin, 1);
	assert_int_equal(quick("tests/assets/xxh128-pair-b", &found), 0);
	assert_true(zvm_digest_equal(&digest, &found));
}

/* --- for the view --- */

static void the_views_contents_are_stored(void **state)
{
	struct zvm_contents contents = zvm_blobs_contents(blobs);
	struct zvm_digest digest;
	struct stat st;
	uint64_t size;
	unsigned before = open_descriptors();
	(void)state;
	for (int want = 0; want < 2; want++) {
		zvm_autofd int object = -1, file = -1;
		assert_int_equal(contents.keep_bytes(contents.context, "listing", 7, &digest, want ? &object : NULL),
		                 0);
		assert_stored(&digest, "listing");
		assert_true(!want || holds(object, "listing", 7));
		put_text(FILE_, "file");
		zvm_autofd int fd = open(FILE_, O_RDONLY | O_CLOEXEC);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(contents.keep_file(contents.context, fd, &st, &digest, &size, want ? &file : NULL), 0);
		assert_true(size == 4 && (!want || holds(file, "file", 4)));
	}
	assert_in_range(open_descriptors(), before, before + ZVM_SPARES_MAX);
}

/* As a store holds that was used before there were prints, or while its secret could not be made. */
static void what_was_learned_without_a_print_is_learned_again(void **state)
{
	static const char *const one = "tests/assets/xxh128-pair-a", *const other = "tests/assets/xxh128-pair-b";
	struct stat st;
	struct zvm_table *table;
	char name[ZVM_DIGEST_TEXT];
	(void)state;
	let_time_pass();
	struct zvm_digest digest = blob_of(one), found;
	assert_int_equal(stat(one, &st), 0);
	struct zvm_file_identity id = zvm_file_identity(&st);
	const uint64_t value[] = {digest.high, digest.low, digest.twin};
	assert_int_equal(zvm_shortcuts_open(store, &table), 0);
	zvm_table_put(table, &id, value);
	zvm_table_close(table);
	zvm_digest_format(&digest, name);
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", name, name)), 0);
	assert_int_equal(blob_of(other).twin, 0);

	assert_int_equal(known(one, &found), -ENOENT);
	digest = blob_of(one);
	assert_int_equal(digest.twin, 1);
	assert_int_equal(known(one, &found), 0);
	assert_true(zvm_digest_equal(&digest, &found));
}

#define WITH_BLOBS(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_BLOBS(a_file_written_just_now_is_not_trusted),
	        WITH_BLOBS(two_seconds_are_the_border),
	        WITH_BLOBS(an_old_file_is_known_without_being_read),
	        WITH_BLOBS(a_young_file_written_twice_in_one_tick_gives_both_contents),
	        WITH_BLOBS(a_changed_file_whose_mtime_was_set_back_is_noticed),
	        WITH_BLOBS(another_file_under_the_same_name_is_noticed),
	        WITH_BLOBS(a_file_from_the_future_is_never_trusted),
	        WITH_BLOBS(a_known_file_whose_object_is_lost_is_read_again),
	        WITH_BLOBS(what_was_learned_outlives_the_process),
	        WITH_BLOBS(a_damaged_entry_is_not_believed_and_harms_no_other),
	        WITH_BLOBS(a_lost_table_costs_only_time),
	        WITH_BLOBS(a_read_only_store_is_asked_and_never_told),
	        WITH_BLOBS(a_look_names_contents_as_storing_would),
	        WITH_BLOBS(what_was_kept_does_not_change_with_the_file),
	        WITH_BLOBS(only_regular_files_are_kept),
	        WITH_BLOBS(a_quick_look_tells_what_is_stored_and_stores_nothing),
	        WITH_BLOBS(a_quick_look_does_not_read_much),
	        WITH_BLOBS(a_quick_look_tells_twins_apart),
	        WITH_BLOBS(the_views_contents_are_stored),
	        WITH_BLOBS(what_was_learned_without_a_print_is_learned_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
