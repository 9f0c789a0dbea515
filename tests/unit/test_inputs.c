/*
 * The inputs: what lies beneath the directory and nothing else, and never our own mount. The tests mount things in a
 * namespace of their own.
 */
#include "scratch.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zvm/inputs.h>

static struct zvm_inputs *inputs, *following;

static void make_world(void)
{
	static const char *const directories[] = {"in", "in/a", "in/a/b", "in/mnt", "in/mnt2", "in/other", "out"};
	for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++)
		assert_int_equal(mkdir(in_scratch("%s", directories[i]), 0755), 0);
	put_text(in_scratch("in/file"), "file");
	put_text(in_scratch("in/a/b/deep"), "deep");
	put_text(in_scratch("out/secret"), "SECRET");
	assert_int_equal(symlink("a/b/deep", in_scratch("in/near")), 0);
	assert_int_equal(symlink("../file", in_scratch("in/a/up")), 0);
	assert_int_equal(symlink("a", in_scratch("in/directory")), 0);
	assert_int_equal(symlink("../out/secret", in_scratch("in/far")), 0);
	assert_int_equal(symlink(in_scratch("out/secret"), in_scratch("in/absolute")), 0);
	assert_int_equal(symlink("../out", in_scratch("in/way-out")), 0);
	assert_int_equal(symlink("loop", in_scratch("in/loop")), 0);
	assert_int_equal(symlink("nowhere", in_scratch("in/dangling")), 0);
	assert_int_equal(mkfifo(in_scratch("in/fifo"), 0666), 0);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	zvm_autofd int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), here = open(".", O_PATH | O_CLOEXEC);
	assert_int_equal(chdir(scratch), 0);
	strcpy(name.sun_path, "in/socket");
	assert_int_equal(bind(s, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(fchdir(here), 0);
}

static int set_up(void **state)
{
	if (scratch_make(state))
		return -1;
	make_world();
	return zvm_inputs_open(in_scratch("in"), NULL, false, &inputs) ||
	       zvm_inputs_open(in_scratch("in"), NULL, true, &following);
}

static int tear_down(void **state)
{
	zvm_inputs_close(inputs);
	zvm_inputs_close(following);
	umount2(in_scratch("in/mnt"), MNT_DETACH);
	umount2(in_scratch("in/other"), MNT_DETACH);
	return scratch_remove(state);
}

static int stat_mode(struct zvm_inputs *from, const char *path)
{
	struct stat st;
	int r = zvm_inputs_stat(from, path, &st);
	return r ? r : (int)(st.st_mode & S_IFMT);
}

static int open_file(struct zvm_inputs *from, const char *path, const char *text)
{
	zvm_autofd int fd = -1;
	int r = zvm_inputs_open_file(from, path, &fd);
	if (r == 0)
		assert_true(holds(fd, text, strlen(text)));
	return r;
}

/* No way of asking shows it. */
static void assert_unseen(struct zvm_inputs *from, const char *path)
{
	struct zvm_input_name *names;
	size_t count;
	assert_int_equal(stat_mode(from, path), -ENOENT);
	assert_int_equal(open_file(from, path, ""), -ENOENT);
	assert_int_equal(zvm_inputs_list(from, path, &names, &count), -ENOENT);
}

/* "a/ file near " in order of names. */
static const char *listing(struct zvm_inputs *from, const char *path)
{
	static char text[1024];
	struct zvm_input_name *names;
	size_t count;
	int r = zvm_inputs_list(from, path, &names, &count);
	*text = 0;
	if (r)
		return strerrorname_np(-r);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i + 1 < count; i++)
			if (strcmp(names[i].name, names[i + 1].name) > 0) {
				struct zvm_input_name swap = names[i];
				names[i] = names[i + 1];
				names[i + 1] = swap;
				more = true;
			}
	}
	for (size_t i = 0; i < count; i++) {
		strcat(text, names[i].name);
		strcat(text, names[i].is_directory ? "/ " : " ");
	}
	zvm_inputs_free_names(names, count);
	return text;
}

/* --- what there is --- */

static void files_and_directories_of_any_depth_are_there(void **state)
{
	(void)state;
	assert_int_equal(stat_mode(inputs, ""), S_IFDIR);
	assert_int_equal(stat_mode(inputs, "a/b"), S_IFDIR);
	assert_int_equal(stat_mode(inputs, "file"), S_IFREG);
	assert_int_equal(open_file(inputs, "file", "file"), 0);
	assert_int_equal(open_file(inputs, "a/b/deep", "deep"), 0);
	assert_int_equal(open_file(inputs, "a", ""), -EISDIR);
	assert_int_equal(open_file(inputs, "", ""), -EISDIR);
	assert_unseen(inputs, "nosuch");
	assert_int_equal(stat_mode(inputs, "file/below"), -ENOTDIR);
}

static void a_listing_shows_what_may_be_opened(void **state)
{
	(void)state;
	assert_string_equal(listing(inputs, ""), "a/ directory/ file mnt/ mnt2/ near other/ ");
	assert_string_equal(listing(inputs, "a"), "b/ up ");
	assert_string_equal(listing(inputs, "a/b"), "deep ");
	assert_string_equal(listing(inputs, "file"), "ENOTDIR");
}

static void devices_fifos_and_sockets_do_not_exist(void **state)
{
	(void)state;
	alarm(20); /* a FIFO must not be waited for */
	assert_int_equal(stat_mode(inputs, "fifo"), -ENOENT);
	assert_int_equal(open_file(inputs, "fifo", ""), -ENOENT);
	assert_int_equal(stat_mode(inputs, "socket"), -ENOENT);
	assert_int_equal(open_file(inputs, "socket", ""), -ENOENT);
	alarm(0);
}

/* --- links --- */

static void links_are_followed_while_they_stay_beneath(void **state)
{
	(void)state;
	assert_int_equal(open_file(inputs, "near", "deep"), 0);
	assert_int_equal(open_file(inputs, "a/up", "file"), 0);
	assert_int_equal(open_file(inputs, "directory/b/deep", "deep"), 0);
	assert_string_equal(listing(inputs, "directory"), "b/ up ");
}

static void links_that_lead_out_are_not_there(void **state)
{
	(void)state;
	assert_unseen(inputs, "far");
	assert_unseen(inputs, "absolute");
	assert_unseen(inputs, "way-out");
	assert_unseen(inputs, "way-out/secret");
	assert_unseen(inputs, "loop");
	assert_unseen(inputs, "dangling");
}

static void asked_to_follow_it_follows_them(void **state)
{
	(void)state;
	assert_int_equal(open_file(following, "far", "SECRET"), 0);
	assert_int_equal(open_file(following, "absolute", "SECRET"), 0);
	assert_int_equal(open_file(following, "way-out/secret", "SECRET"), 0);
	assert_string_equal(listing(following, ""), "a/ absolute directory/ far file mnt/ mnt2/ near other/ way-out/ ");
	assert_unseen(following, "loop");
	assert_unseen(following, "dangling");
}

static void no_path_climbs_or_starts_elsewhere(void **state)
{
	static const char *const paths[] = {
	        "..",          "../out/secret", "../in/file",   "a/../../out/secret", "a/..",   "/",
	        "/etc/passwd", "a/../file",     "directory/..", "./../out",           "a/b/..", "."};
	char absolute[4096];
	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		assert_unseen(inputs, paths[i]);
		assert_unseen(following, paths[i]);
	}
	snprintf(absolute, sizeof absolute, "%s", in_scratch("in/file"));
	assert_unseen(inputs, absolute);
	assert_unseen(following, absolute);
}

static void names_that_begin_with_dots_are_names(void **state)
{
	(void)state;
	put_text(in_scratch("in/..x"), "dots");
	put_text(in_scratch("in/..."), "dots");
	put_text(in_scratch("in/.hidden"), "dots");
	assert_int_equal(open_file(inputs, "..x", "dots"), 0);
	assert_int_equal(open_file(inputs, "...", "dots"), 0);
	assert_int_equal(open_file(inputs, ".hidden", "dots"), 0);
}

static atomic_bool stop;

static void *rename_all_the_time(void *unused)
{
	char one[4096], other[4096];
	(void)unused;
	snprintf(one, sizeof one, "%s", in_scratch("out/one"));
	snprintf(other, sizeof other, "%s", in_scratch("out/other"));
	put_text(one, "x");
	while (!stop) {
		rename(one, other);
		rename(other, one);
	}
	return NULL;
}

/* The kernel gives up on `..` beneath a directory when anything anywhere is renamed meanwhile, and wants to be asked
 * again. */
static void renames_elsewhere_do_not_disturb(void **state)
{
	pthread_t thread;
	int result = S_IFREG;
	(void)state;
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, rename_all_the_time, NULL), 0);
	for (int i = 0; i < 20000 && result == S_IFREG; i++)
		result = stat_mode(inputs, "a/up");
	stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(result, S_IFREG);
}

/* --- our own mount --- */

static void the_mount_is_invisible(void **state)
{
	struct zvm_inputs *own;
	char absolute[4096];
	(void)state;
	put_text(in_scratch("in/mnt/run"), "x");
	snprintf(absolute, sizeof absolute, "%s", in_scratch("in/mnt"));
	assert_int_equal(zvm_inputs_open(in_scratch("in"), absolute, false, &own), 0);
	assert_unseen(own, "mnt");
	assert_unseen(own, "mnt/run");
	assert_string_equal(listing(own, ""), "a/ directory/ file mnt2/ near other/ ");
	assert_int_equal(stat_mode(own, "mnt2"), S_IFDIR);
	zvm_inputs_close(own);
}

static void a_mount_elsewhere_hides_nothing(void **state)
{
	static const char *const points[] = {"/nowhere/in/mnt", "/", "/mnt"};
	struct zvm_inputs *own;
	(void)state;
	put_text(in_scratch("in/mnt/run"), "x");
	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		assert_int_equal(zvm_inputs_open(in_scratch("in"), points[i], false, &own), 0);
		assert_int_equal(open_file(own, "mnt/run", "x"), 0);
		zvm_inputs_close(own);
	}
	assert_int_equal(zvm_inputs_open(in_scratch("in"), in_scratch("in2/mnt"), false, &own), 0);
	assert_int_equal(open_file(own, "mnt/run", "x"), 0);
	zvm_inputs_close(own);
}

static void a_directory_that_is_missing_cannot_be_opened(void **state)
{
	struct zvm_inputs *own = NULL;
	unsigned before = open_descriptors();
	(void)state;
	assert_int_equal(zvm_inputs_open(in_scratch("nosuch"), NULL, false, &own), -ENOENT);
	assert_int_equal(zvm_inputs_open(in_scratch("in/file"), NULL, false, &own), -ENOTDIR);
	assert_null(own);
	assert_int_equal(open_descriptors(), before);
}

static void mount_below(const char *name)
{
	if (mount("test", in_scratch("in/%s", name), "tmpfs", 0, "size=64k") < 0) {
		print_message("nothing can be mounted here: %s\n", strerror(errno));
		skip();
	}
	put_text(in_scratch("in/%s/run", name), "mounted");
}

static void no_link_leads_into_the_mount(void **state)
{
	struct zvm_inputs *own[2];
	char absolute[4096];
	(void)state;
	mount_below("mnt");
	snprintf(absolute, sizeof absolute, "%s", in_scratch("in/mnt"));
	assert_int_equal(symlink("mnt", in_scratch("in/link")), 0);
	assert_int_equal(symlink("../mnt/run", in_scratch("in/a/link")), 0);
	assert_int_equal(symlink(absolute, in_scratch("in/absolute-link")), 0);
	for (int follow = 0; follow < 2; follow++) {
		assert_int_equal(zvm_inputs_open(in_scratch("in"), absolute, follow, &own[follow]), 0);
		assert_unseen(own[follow], "mnt/run");
		assert_unseen(own[follow], "link");
		assert_unseen(own[follow], "link/run");
		assert_unseen(own[follow], "a/link");
		assert_unseen(own[follow], "absolute-link/run");
		assert_unseen(own[follow], "a/../mnt/run");
		assert_null(strstr(listing(own[follow], ""), "link"));
		assert_string_equal(listing(own[follow], "a"), "b/ up ");
		zvm_inputs_close(own[follow]);
	}
}

static void other_filesystems_below_are_seen(void **state)
{
	struct zvm_inputs *own;
	(void)state;
	mount_below("other");
	assert_int_equal(symlink("other/run", in_scratch("in/link")), 0);
	assert_int_equal(open_file(inputs, "other/run", "mounted"), 0);
	assert_int_equal(open_file(inputs, "link", "mounted"), 0);
	assert_int_equal(zvm_inputs_open(in_scratch("in"), in_scratch("in/mnt"), false, &own), 0);
	assert_int_equal(open_file(own, "other/run", "mounted"), 0);
	assert_string_equal(listing(own, "other"), "run ");
	/* A link there could as well lead into the mount, by a name we do not know. */
	assert_unseen(own, "link");
	zvm_inputs_close(own);
}

static void write_text(const char *path, const char *text)
{
	zvm_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		print_message("%s: %s\n", path, strerror(errno));
}

/* Root's own, or an ordinary user's in which he is still himself. */
static int enter_namespace(void)
{
	unsigned user = geteuid(), group = getegid();
	char users[64], groups[64];
	if (unshare(user ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0)
		return -1;
	if (user) {
		snprintf(users, sizeof users, "%u %u 1", user, user);
		snprintf(groups, sizeof groups, "%u %u 1", group, group);
		write_text("/proc/self/setgroups", "deny");
		write_text("/proc/self/uid_map", users);
		write_text("/proc/self/gid_map", groups);
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

#define WITH_INPUTS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_INPUTS(files_and_directories_of_any_depth_are_there),
	        WITH_INPUTS(a_listing_shows_what_may_be_opened),
	        WITH_INPUTS(devices_fifos_and_sockets_do_not_exist),
	        WITH_INPUTS(links_are_followed_while_they_stay_beneath),
	        WITH_INPUTS(links_that_lead_out_are_not_there),
	        WITH_INPUTS(asked_to_follow_it_follows_them),
	        WITH_INPUTS(no_path_climbs_or_starts_elsewhere),
	        WITH_INPUTS(names_that_begin_with_dots_are_names),
	        WITH_INPUTS(renames_elsewhere_do_not_disturb),
	        WITH_INPUTS(the_mount_is_invisible),
	        WITH_INPUTS(a_mount_elsewhere_hides_nothing),
	        WITH_INPUTS(a_directory_that_is_missing_cannot_be_opened),
	        WITH_INPUTS(no_link_leads_into_the_mount),
	        WITH_INPUTS(other_filesystems_below_are_seen),
	};
	if (enter_namespace() < 0)
		print_message("no mount namespace here: %s\n", strerror(errno));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
