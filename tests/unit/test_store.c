/*
 * The store: contents by address, where the address is no identity, the disk lies, the power fails and others share it.
 */
#include "scratch.h"
#include <pthread.h>
#include <sys/wait.h>
#include <xxhash.h>
#include <zvm/store.h>

#define HOME in_scratch("store")

static struct zvm_store *store;

static int open_store(void **state)
{
	scratch_make(state);
	return zvm_store_open(HOME, ZVM_STORE_CREATE, &store, NULL);
}

static int close_store(void **state)
{
	zvm_store_close(store);
	return scratch_remove(state);
}

/* As the next process sees it: with nothing known of what was verified. */
static void reopen(void)
{
	zvm_store_close(store);
	assert_int_equal(zvm_store_open(HOME, 0, &store, NULL), 0);
}

static struct zvm_store_counters counters(void)
{
	struct zvm_store_counters c;
	zvm_store_counters(store, &c);
	return c;
}

static struct zvm_digest put(const void *data, size_t size)
{
	struct zvm_digest digest;
	assert_int_equal(zvm_store_put(store, data, size, &digest), 0);
	return digest;
}

static const char *path_of(const struct zvm_digest *digest)
{
	char text[ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, text);
	return in_scratch("store/objects/%.2s/%s", text, text);
}

static void assert_object(const struct zvm_digest *digest, const void *data, size_t size)
{
	uint64_t got = 0;
	zvm_autofd int fd = -1;
	assert_int_equal(zvm_store_object(store, digest, &fd, &got), 0);
	assert_int_equal(got, size);
	assert_true(holds(fd, data, size));
}

static void assert_missing(const struct zvm_digest *digest)
{
	int fd;
	assert_int_equal(zvm_store_object(store, digest, &fd, NULL), -ENOENT);
	assert_false(zvm_store_has(store, digest));
}

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

static void damage(const struct zvm_digest *digest, off_t at, const char *bytes, off_t new_size)
{
	assert_int_equal(chmod(path_of(digest), 0600), 0);
	zvm_autofd int fd = open(path_of(digest), O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
	assert_int_equal(ftruncate(fd, new_size), 0);
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

static void damage_that_cannot_be_removed_ends_in_an_error_and_not_in_a_loop(void **state)
{
	struct zvm_digest digest = put("0123456789", 10), again;
	char text[ZVM_DIGEST_TEXT];
	(void)state;
	zvm_digest_format(&digest, text);
	assert_int_equal(unlink(path_of(&digest)), 0);
	assert_int_equal(mkdir(path_of(&digest), 0700), 0);
	put_text(in_scratch("store/tmp/condemned-%s", text), "in the way");
	reopen();
	assert_int_equal(zvm_store_put(store, "0123456789", 10, &again), -EIO);
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

/* --- who may --- */

struct picture {
	struct stat st;
	unsigned names;
};

static struct picture take_picture(const char *path)
{
	struct picture p = {0};
	assert_int_equal(stat(path, &p.st), 0);
	p.names = count_names(path);
	return p;
}

static void assert_refused(const char *path, unsigned flags, int error)
{
	struct zvm_store *refused = NULL;
	char *reason = NULL;
	unsigned descriptors = open_descriptors();
	struct picture before = take_picture(path);
	assert_int_equal(zvm_store_open(path, flags, &refused, &reason), error);
	assert_null(refused);
	assert_non_null(reason);
	assert_non_null(strstr(reason, path));
	assert_null(strchr(reason, '\n'));
	free(reason);
	struct picture after = take_picture(path);
	assert_int_equal(after.names, before.names);
	assert_int_equal(after.st.st_mode, before.st.st_mode);
	assert_memory_equal(&after.st.st_mtim, &before.st.st_mtim, sizeof before.st.st_mtim);
	assert_int_equal(open_descriptors(), descriptors);
	assert_int_equal(zvm_store_open(path, flags, &refused, NULL), error);
}

static void a_directory_that_is_no_store_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_scratch("other"), 0700), 0);
	put_text(in_scratch("other/thesis.tex"), "years of work");
	assert_refused(in_scratch("other"), ZVM_STORE_CREATE, -EINVAL);
	put_text(in_scratch("other/version"), "2.0\n");
	assert_refused(in_scratch("other"), ZVM_STORE_CREATE, -EINVAL);
	assert_int_equal(mkdir(in_scratch("tidy"), 0700), 0);
	assert_int_equal(mkdir(in_scratch("tidy/objects"), 0700), 0);
	put_text(in_scratch("tidy/objects/mine"), "mine");
	assert_refused(in_scratch("tidy"), ZVM_STORE_CREATE, -EINVAL);
	assert_int_equal(mkdir(in_scratch("empty"), 0700), 0);
	assert_refused(in_scratch("empty"), 0, -EINVAL);
}

static void a_store_of_a_newer_format_is_refused(void **state)
{
	(void)state;
	put_text(in_scratch("store/version"), "zvm store 2\n");
	assert_refused(HOME, ZVM_STORE_CREATE, -EPROTO);
	put_text(in_scratch("store/version"), "zvm store 1\nand more\n");
	assert_refused(HOME, 0, -EPROTO);
}

static void a_store_that_others_may_write_is_refused(void **state)
{
	(void)state;
	assert_int_equal(chmod(HOME, 0770), 0);
	assert_refused(HOME, ZVM_STORE_CREATE, -EPERM);
	assert_int_equal(chmod(HOME, 0702), 0);
	assert_refused(HOME, ZVM_STORE_READONLY, -EPERM);
	assert_int_equal(chmod(HOME, 0755), 0);
	reopen();
}

static void another_users_store_is_refused(void **state)
{
	(void)state;
	if (geteuid()) { /* the root directory is somebody else's */
		assert_refused("/", ZVM_STORE_CREATE, -EPERM);
		return;
	}
	assert_int_equal(mkdir(in_scratch("foreign"), 0700), 0);
	assert_int_equal(chown(in_scratch("foreign"), 12345, 12345), 0);
	assert_refused(in_scratch("foreign"), ZVM_STORE_CREATE, -EPERM);
}

static void a_store_that_is_missing_is_made_only_if_asked_for(void **state)
{
	struct zvm_store *made;
	char *reason = NULL;
	struct stat st;
	(void)state;
	assert_int_equal(zvm_store_open(in_scratch("a/b/new"), 0, &made, &reason), -ENOENT);
	assert_non_null(strstr(reason, "a/b/new"));
	free(reason);
	assert_int_equal(stat(in_scratch("a"), &st), -1);
	assert_int_equal(zvm_store_open(in_scratch("a/b/new"), ZVM_STORE_CREATE, &made, &reason), 0);
	assert_null(reason);
	assert_int_equal(stat(in_scratch("a/b/new"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	zvm_store_close(made);
}

static void a_path_that_cannot_be_a_store_is_refused(void **state)
{
	struct zvm_store *refused;
	char *reason;
	(void)state;
	put_text(in_scratch("file"), "x");
	assert_int_equal(zvm_store_open(in_scratch("file"), ZVM_STORE_CREATE, &refused, &reason), -ENOTDIR);
	assert_non_null(reason);
	free(reason);
	assert_int_equal(zvm_store_open(in_scratch("file/below"), ZVM_STORE_CREATE, &refused, &reason), -ENOTDIR);
	assert_non_null(reason);
	free(reason);
	assert_int_equal(zvm_store_open("", ZVM_STORE_CREATE, &refused, &reason), -ENOENT);
	assert_non_null(reason);
	free(reason);
}

static void a_relative_path_is_taken_from_where_we_are(void **state)
{
	char *here = getcwd(NULL, 0);
	struct zvm_store *made;
	(void)state;
	assert_int_equal(chdir(scratch), 0);
	assert_int_equal(zvm_store_open("rel/store", ZVM_STORE_CREATE, &made, NULL), 0);
	assert_int_equal(chdir(here), 0);
	assert_string_equal(zvm_store_path(made), in_scratch("rel/store"));
	struct zvm_digest digest;
	assert_int_equal(zvm_store_put(made, "x", 1, &digest), 0);
	zvm_store_close(made);
	free(here);
}

static void a_read_only_store_is_looked_at_and_never_written(void **state)
{
	struct zvm_digest kept = put("kept", 4), damaged = put("damaged", 7), other;
	struct zvm_store *look;
	int fd = -1;
	(void)state;
	damage(&damaged, 0, "", 3);
	zvm_store_close(store);
	assert_int_equal(unlink(in_scratch("store/lock")), 0);
	unsigned names = count_names(HOME);
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_READONLY, &look, NULL), 0);
	store = look;
	assert_int_equal(count_names(HOME), names);
	assert_object(&kept, "kept", 4);
	assert_int_equal(zvm_store_begin(look, &fd), -EROFS);
	assert_int_equal(zvm_store_put(look, "new", 3, &other), -EROFS);
	assert_int_equal(zvm_store_put(look, "kept", 4, &other), 0);
	assert_int_equal(zvm_store_object(look, &damaged, &fd, NULL), -ENOENT);
	assert_int_equal(counters().condemned, 1);
	assert_true(zvm_store_has(look, &damaged));
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
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

static void a_store_whose_making_was_interrupted_is_finished(void **state)
{
	static const char *const rooms[] = {"objects", "records", "stat", "tmp"};
	(void)state;
	for (unsigned steps = 0; steps <= 5; steps++) {
		struct zvm_store *made = NULL;
		char path[4096];
		snprintf(path, sizeof path, "%s", in_scratch("interrupted-%u", steps));
		assert_int_equal(mkdir(path, 0700), 0);
		for (unsigned i = 0; i < steps && i < 4; i++)
			assert_int_equal(mkdir(in_scratch("interrupted-%u/%s", steps, rooms[i]), 0700), 0);
		if (steps == 5)
			put_text(in_scratch("interrupted-5/tmp/version"), "zvm st");
		assert_int_equal(zvm_store_open(path, ZVM_STORE_CREATE, &made, NULL), 0);
		struct zvm_digest digest;
		assert_int_equal(zvm_store_put(made, "x", 1, &digest), 0);
		zvm_store_close(made);
	}
}

static void many_may_make_the_same_store_at_once(void **state)
{
	pid_t children[8];
	(void)state;
	for (int round = 0; round < 10; round++) {
		char path[4096];
		snprintf(path, sizeof path, "%s", in_scratch("shared-%d/store", round));
		for (int i = 0; i < 8; i++) {
			children[i] = fork();
			assert_true(children[i] >= 0);
			if (children[i] == 0) {
				struct zvm_store *made;
				struct zvm_digest digest;
				int r = zvm_store_open(path, ZVM_STORE_CREATE, &made, NULL);
				_exit(r || zvm_store_put(made, "x", 1, &digest) ? 1 : 0);
			}
		}
		for (int i = 0; i < 8; i++) {
			int status;
			assert_int_equal(waitpid(children[i], &status, 0), children[i]);
			assert_int_equal(status, 0);
		}
	}
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

static void the_default_path_is_the_users_cache(void **state)
{
	char *path = NULL;
	(void)state;
	setenv("HOME", "/home/me", 1);
	setenv("XDG_CACHE_HOME", "/cache", 1);
	assert_int_equal(zvm_store_default_path(&path), 0);
	assert_string_equal(path, "/cache/zvm");
	free(path);
	/* The XDG specification wants relative ones ignored. */
	setenv("XDG_CACHE_HOME", "cache", 1);
	assert_int_equal(zvm_store_default_path(&path), 0);
	assert_string_equal(path, "/home/me/.cache/zvm");
	free(path);
	unsetenv("XDG_CACHE_HOME");
	unsetenv("HOME");
	assert_int_equal(zvm_store_default_path(&path), -ENOENT);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(what_is_put_is_there_under_its_hash),
	        WITH_STORE(an_object_may_be_read_and_not_written),
	        WITH_STORE(the_same_content_is_kept_once),
	        WITH_STORE(what_is_begun_and_left_leaves_nothing),
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
	        WITH_STORE(damage_that_cannot_be_removed_ends_in_an_error_and_not_in_a_loop),
	        WITH_STORE(what_is_not_there_is_missing_and_no_damage),
	        WITH_STORE(a_directory_that_is_no_store_is_refused),
	        WITH_STORE(a_store_of_a_newer_format_is_refused),
	        WITH_STORE(a_store_that_others_may_write_is_refused),
	        WITH_STORE(another_users_store_is_refused),
	        WITH_STORE(a_store_that_is_missing_is_made_only_if_asked_for),
	        WITH_STORE(a_path_that_cannot_be_a_store_is_refused),
	        WITH_STORE(a_relative_path_is_taken_from_where_we_are),
	        WITH_STORE(a_read_only_store_is_looked_at_and_never_written),
	        WITH_STORE(what_a_crash_left_in_tmp_is_harmless),
	        WITH_STORE(a_store_whose_making_was_interrupted_is_finished),
	        WITH_STORE(many_may_make_the_same_store_at_once),
	        WITH_STORE(what_one_writes_another_reads),
	        WITH_STORE(many_threads_may_put_the_same_and_no_descriptor_is_lost),
	        WITH_STORE(the_default_path_is_the_users_cache),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
