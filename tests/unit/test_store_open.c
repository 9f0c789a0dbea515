/* Making and opening a store: who may, what is refused and left as it was, and what interruption leaves. */
#include <sys/wait.h>
#include "store.h"

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

/* --- making --- */

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

static void a_room_that_is_missing_is_made_anew(void **state)
{
	static const char *const rooms[] = {"objects", "records", "stat", "tmp"};
	struct zvm_digest digest;
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		unlink(in_scratch("store/%s/gc", rooms[i]));
		assert_int_equal(rmdir(in_scratch("store/%s", rooms[i])), 0);
		reopen();
		assert_int_equal(access(in_scratch("store/%s", rooms[i]), F_OK), 0);
	}
	assert_int_equal(zvm_store_put(store, "x", 1, &digest), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(a_directory_that_is_no_store_is_refused),
	        WITH_STORE(a_store_of_a_newer_format_is_refused),
	        WITH_STORE(a_store_that_others_may_write_is_refused),
	        WITH_STORE(another_users_store_is_refused),
	        WITH_STORE(a_store_that_is_missing_is_made_only_if_asked_for),
	        WITH_STORE(a_path_that_cannot_be_a_store_is_refused),
	        WITH_STORE(a_relative_path_is_taken_from_where_we_are),
	        WITH_STORE(a_read_only_store_is_looked_at_and_never_written),
	        WITH_STORE(a_store_whose_making_was_interrupted_is_finished),
	        WITH_STORE(a_room_that_is_missing_is_made_anew),
	        WITH_STORE(many_may_make_the_same_store_at_once),
	        WITH_STORE(the_default_path_is_the_users_cache),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
