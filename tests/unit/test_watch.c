/* A guard stands while nothing happens to a place, and never a moment longer. */
#include "scratch.h"
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include "../../fs/watch.h"

static struct zvm_watch *watch;
static struct zvm_guard guard;
static unsigned raising;

static int set_up(void **state)
{
	int r = scratch_make(state);
	guard = (struct zvm_guard){0};
	put_text(in_scratch("file"), "text");
	mkdir(in_scratch("a"), 0755);
	mkdir(in_scratch("a/b"), 0755);
	put_text(in_scratch("a/b/file"), "text");
	return r ? r : zvm_watch_open(&watch);
}

static int tear_down(void **state)
{
	zvm_guard_drop(&guard);
	zvm_watch_close(watch);
	return scratch_remove(state);
}

static void raise_over(const char *path, unsigned flags)
{
	zvm_guard_drop(&guard);
	guard = (struct zvm_guard){0};
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, path, flags, &raising), 0);
	assert_false(zvm_guard_stands(&guard)); /* only when somebody has looked */
	zvm_guard_settle(&guard, raising, true);
	assert_true(zvm_guard_stands(&guard));
}

static bool stands(void)
{
	zvm_watch_refresh(watch);
	return zvm_guard_stands(&guard);
}

static void write_to(const char *path, const char *text)
{
	zvm_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_false(stands()); /* at once, not only when it is closed */
}

static void it_stands_while_nothing_happens(void **state)
{
	char byte;
	(void)state;
	raise_over(in_scratch("a/b/file"), 0);
	zvm_autofd int fd = open(in_scratch("a/b/file"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, &byte, 1), 1);
	put_text(in_scratch("a/b/other"), "text");
	put_text(in_scratch("a/other"), "text");
	assert_int_equal(chmod(in_scratch("a/other"), 0600), 0);
	assert_int_equal(unlink(in_scratch("a/b/other")), 0);
	assert_int_equal(rename(in_scratch("a/other"), in_scratch("other")), 0);
	assert_true(stands());
}

static void whatever_is_done_to_the_file_breaks_it(void **state)
{
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	(void)state;
	raise_over(in_scratch("file"), 0);
	write_to(in_scratch("file"), "more");
	raise_over(in_scratch("file"), 0);
	assert_int_equal(truncate(in_scratch("file"), 1), 0);
	assert_false(stands());
	raise_over(in_scratch("file"), 0);
	assert_int_equal(chmod(in_scratch("file"), 0600), 0);
	assert_false(stands());
	raise_over(in_scratch("file"), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_scratch("file"), times, 0), 0);
	assert_false(stands());
	raise_over(in_scratch("file"), 0);
	assert_int_equal(link(in_scratch("file"), in_scratch("link")), 0);
	assert_false(stands()); /* its change time has moved */
	raise_over(in_scratch("file"), 0);
	write_to(in_scratch("link"), "by another name");
}

static void whatever_is_done_to_the_way_breaks_it(void **state)
{
	(void)state;
	raise_over(in_scratch("a/b/file"), 0);
	put_text(in_scratch("new"), "text");
	assert_int_equal(rename(in_scratch("new"), in_scratch("a/b/file")), 0);
	assert_false(stands());
	raise_over(in_scratch("a/b/file"), 0);
	assert_int_equal(rename(in_scratch("a"), in_scratch("c")), 0);
	assert_false(stands());
	assert_int_equal(rename(in_scratch("c"), in_scratch("a")), 0);
	raise_over(in_scratch("a/b/file"), 0);
	assert_int_equal(chmod(in_scratch("a"), 0700), 0);
	assert_false(stands());
	raise_over(in_scratch("a/b/file"), 0);
	assert_int_equal(unlink(in_scratch("a/b/file")), 0);
	assert_false(stands());
}

static void what_is_missing_is_guarded_where_it_would_come(void **state)
{
	(void)state;
	raise_over(in_scratch("a/none"), 0);
	put_text(in_scratch("a/nobody"), "text");
	assert_true(stands());
	put_text(in_scratch("a/none"), "text");
	assert_false(stands());
	raise_over(in_scratch("x/y/z"), 0);
	assert_int_equal(mkdir(in_scratch("x"), 0755), 0);
	assert_false(stands());
	raise_over(in_scratch("x/y/z"), 0);
	assert_int_equal(rename(in_scratch("a"), in_scratch("x/y")), 0);
	assert_false(stands());
}

static void links_are_guarded_with_what_they_lead_to(void **state)
{
	(void)state;
	assert_int_equal(symlink("a/b", in_scratch("l")), 0);
	assert_int_equal(symlink(in_scratch("l/file"), in_scratch("m")), 0);
	raise_over(in_scratch("m"), 0);
	write_to(in_scratch("a/b/file"), "more");
	raise_over(in_scratch("m"), 0);
	assert_int_equal(symlink("a", in_scratch("n")), 0);
	assert_true(stands());
	assert_int_equal(rename(in_scratch("n"), in_scratch("l")), 0);
	assert_false(stands());
	assert_int_equal(unlink(in_scratch("l")), 0);
	raise_over(in_scratch("m"), 0); /* it dangles */
	assert_int_equal(symlink("a/b", in_scratch("l")), 0);
	assert_false(stands());
	raise_over(in_scratch("m"), ZVM_GUARD_NOFOLLOW);
	assert_int_equal(truncate(in_scratch("a/b/file"), 0), 0);
	assert_true(stands());
	assert_int_equal(unlink(in_scratch("m")), 0);
	assert_false(stands());
}

static void a_directory_is_guarded_with_its_listing(void **state)
{
	(void)state;
	raise_over(in_scratch("a"), 0);
	put_text(in_scratch("a/new"), "text");
	assert_false(stands());
	raise_over(in_scratch("a"), 0);
	put_text(in_scratch("new"), "text");
	assert_true(stands());
	assert_int_equal(rename(in_scratch("a/new"), in_scratch("a/newer")), 0);
	assert_false(stands());
}

static void a_store_through_a_mapping_does_not_go_unnoticed(void **state)
{
	(void)state;
	raise_over(in_scratch("file"), ZVM_GUARD_OPENS);
	zvm_autofd int fd = open(in_scratch("file"), O_RDWR | O_CLOEXEC);
	char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	mapped[0] = 'T';
	assert_false(stands());
	/* And as long as somebody may do so, there is no guard. */
	zvm_guard_drop(&guard);
	guard = (struct zvm_guard){0};
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), ZVM_GUARD_OPENS, &raising),
	                 -EAGAIN);
	zvm_close_pointer(&fd);
	fd = -1;
	guard.next_try = 0;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), ZVM_GUARD_OPENS, &raising),
	                 -EAGAIN);
	munmap(mapped, 4096);
	raise_over(in_scratch("file"), ZVM_GUARD_OPENS);
}

static void a_change_between_raising_and_trusting_is_not_lost(void **state)
{
	(void)state;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), 0);
	assert_int_equal(truncate(in_scratch("file"), 0), 0);
	zvm_guard_settle(&guard, raising, true);
	assert_false(stands());
}

static void a_look_counts_only_for_the_raising_that_it_followed(void **state)
{
	unsigned first;
	(void)state;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &first), 0);
	/* One thread has looked, and is slow to say so; meanwhile the file is changed, and another raises the guard. */
	assert_int_equal(truncate(in_scratch("file"), 0), 0);
	assert_false(stands());
	guard.next_try = 0;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), 0);
	zvm_guard_settle(&guard, first, true);
	assert_false(stands());
	zvm_guard_settle(&guard, first, false); /* nor does it take the other's away */
	zvm_guard_settle(&guard, raising, true);
	assert_true(stands());
}

static void who_sees_another_file_lowers_the_guard(void **state)
{
	(void)state;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), 0);
	zvm_guard_settle(&guard, raising, false);
	assert_false(stands());
	guard.next_try = 0;
	raise_over(in_scratch("file"), 0);
}

/* As the kernel counts them, of all of our inotify descriptors. */
static unsigned watches(void)
{
	unsigned n = 0;
	char line[256];
	DIR *dir = opendir("/proc/self/fdinfo");
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		char path[300];
		snprintf(path, sizeof path, "/proc/self/fdinfo/%s", d->d_name);
		FILE *file = fopen(path, "re");
		while (file && fgets(line, sizeof line, file))
			n += !strncmp(line, "inotify wd:", 11);
		if (file)
			fclose(file);
	}
	closedir(dir);
	return n;
}

static void what_no_guard_needs_is_not_watched(void **state)
{
	(void)state;
	assert_int_equal(watches(), 0);
	/* A file that cannot be guarded at the end of a way that can: twenty times, and nothing is left of it. */
	assert_int_equal(mkfifo(in_scratch("a/fifo"), 0600), 0);
	for (unsigned i = 0; i < 20; i++) {
		guard.next_try = 0;
		assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("a/fifo"), 0, &raising), -EAGAIN);
		assert_int_equal(watches(), 0);
	}
	raise_over(in_scratch("a/b/file"), 0);
	assert_true(stands() && watches() > 3);
	zvm_guard_drop(&guard);
	assert_int_equal(watches(), 0);
}

static void a_place_that_changes_all_the_time_is_not_guarded_all_the_time(void **state)
{
	(void)state;
	raise_over(in_scratch("file"), 0);
	assert_true(guard.next_try > 0);
	guard.next_try += 3600000; /* a machine under load may let it pass at once */
	assert_int_equal(truncate(in_scratch("file"), 0), 0);
	assert_false(stands());
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), -EAGAIN);
	guard.next_try = 0;
	assert_int_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), 0);
}

static void many_guards_over_one_file_break_together(void **state)
{
	static struct zvm_guard many[100];
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(zvm_guard_raise(watch, &many[i], AT_FDCWD, in_scratch("a/b/file"), 0, &raising), 0);
		zvm_guard_settle(&many[i], raising, true);
	}
	for (unsigned i = 0; i < 50; i++)
		zvm_guard_drop(&many[i]);
	assert_int_equal(truncate(in_scratch("a/b/file"), 0), 0);
	zvm_watch_refresh(watch);
	for (unsigned i = 50; i < 100; i++) {
		assert_false(zvm_guard_stands(&many[i]));
		zvm_guard_drop(&many[i]);
	}
}

static void a_flood_of_reports_breaks_everything(void **state)
{
	int most = 0;
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	(void)state;
	if (!file || fscanf(file, "%d", &most) != 1 || most > 100000)
		most = 0;
	if (file)
		fclose(file);
	if (!most)
		skip();
	raise_over(in_scratch("a/b/file"), 0);
	for (int i = 0; i < most; i++) {
		assert_int_equal(mkdir(in_scratch("a/b/x"), 0755), 0);
		assert_int_equal(rmdir(in_scratch("a/b/x")), 0);
	}
	assert_false(stands());
}

static void a_mount_over_the_way_breaks_it(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		skip();
	zvm_watch_close(watch); /* one that looks at the mounts of here */
	assert_int_equal(zvm_watch_open(&watch), 0);
	raise_over(in_scratch("a/b/file"), 0);
	assert_int_equal(mount(in_scratch("a"), in_scratch("a/b"), NULL, MS_BIND, NULL), 0);
	assert_false(stands());
	assert_int_equal(umount(in_scratch("a/b")), 0);
}

static void a_file_of_another_filesystem_kind_is_not_guarded(void **state)
{
	(void)state;
	assert_int_not_equal(zvm_guard_raise(watch, &guard, AT_FDCWD, "/proc/self/status", 0, &raising), 0);
	assert_false(stands());
}

static void without_a_watch_nothing_stands(void **state)
{
	(void)state;
	assert_int_equal(zvm_guard_raise(NULL, &guard, AT_FDCWD, in_scratch("file"), 0, &raising), -EAGAIN);
	zvm_watch_refresh(NULL);
	assert_false(zvm_guard_stands(&guard));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH(it_stands_while_nothing_happens),
	        WITH(whatever_is_done_to_the_file_breaks_it),
	        WITH(whatever_is_done_to_the_way_breaks_it),
	        WITH(what_is_missing_is_guarded_where_it_would_come),
	        WITH(links_are_guarded_with_what_they_lead_to),
	        WITH(a_directory_is_guarded_with_its_listing),
	        WITH(a_store_through_a_mapping_does_not_go_unnoticed),
	        WITH(a_change_between_raising_and_trusting_is_not_lost),
	        WITH(a_look_counts_only_for_the_raising_that_it_followed),
	        WITH(who_sees_another_file_lowers_the_guard),
	        WITH(what_no_guard_needs_is_not_watched),
	        WITH(a_place_that_changes_all_the_time_is_not_guarded_all_the_time),
	        WITH(many_guards_over_one_file_break_together),
	        WITH(a_flood_of_reports_breaks_everything),
	        WITH(a_file_of_another_filesystem_kind_is_not_guarded),
	        WITH(without_a_watch_nothing_stands),
	        WITH(a_mount_over_the_way_breaks_it),
	};
	/* Whoever mounts something meanwhile breaks every guard, as he should; he shall do so elsewhere. */
	if (unshare(CLONE_NEWNS) == 0)
		(void)!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
