/*
 * The view: what a guest may know of the host's files. A temporary directory stands for the user's scripts, a second
 * one beside it holds a secret that no question may reach.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include <zvm/view.h>

static char home[32], scripts[64], outside[64];
static struct zvm_view *view;

/* --- contents: hashed, and copied into a memfd --- */

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	XXH128_hash_t hash = XXH3_128bits(bytes, size);
	(void)context;
	*ret = (struct zvm_digest){.high = hash.high64, .low = hash.low64};
	if (!ret_fd)
		return 0;
	*ret_fd = memfd_create("content", MFD_CLOEXEC);
	return *ret_fd >= 0 && pwrite(*ret_fd, bytes, size, 0) == (ssize_t)size ? 0 : -EIO;
}

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	zvm_autofree char *bytes = malloc((size_t)st->st_size + 1);
	ssize_t n = bytes ? pread(fd, bytes, (size_t)st->st_size, 0) : -1;
	if (n < 0)
		return -EIO;
	*ret_size = (uint64_t)n;
	return keep_bytes(context, bytes, (size_t)n, ret, ret_fd);
}

static const struct zvm_contents contents = {.keep_file = keep_file, .keep_bytes = keep_bytes};

/* --- the world --- */

__attribute__((format(printf, 1, 2))) static const char *in_scripts(const char *format, ...)
{
	static char path[4][4096];
	static unsigned turn;
	char *to = path[turn++ % 4];
	int n = snprintf(to, sizeof path[0], "%s/", scripts);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(to + n, sizeof path[0] - (size_t)n, format, arguments);
	va_end(arguments);
	return to;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	unlink(path);
	zvm_autofd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
}

static void link_to(const char *name, const char *target)
{
	unlink(in_scripts("%s", name));
	assert_int_equal(symlink(target, in_scripts("%s", name)), 0);
}

static int build_world(void **state)
{
	(void)state;
	snprintf(home, sizeof home, "/tmp/zvm-view-XXXXXX");
	if (!mkdtemp(home) || chmod(home, 0755))
		return -1;
	snprintf(scripts, sizeof scripts, "%s/scripts", home);
	snprintf(outside, sizeof outside, "%s/secret", home);
	if (mkdir(scripts, 0755) || mkdir(in_scripts("sub"), 0755))
		return -1;
	write_file(outside, "SECRET", 0644);
	write_file(in_scripts("a.py"), "print(1)\n", 0755);
	write_file(in_scripts("sub/b.py"), "print(2)\n", 0644);
	return zvm_view_open(scripts, &view);
}

static int remove_world(void **state)
{
	char command[256];
	(void)state;
	zvm_view_close(view);
	snprintf(command, sizeof command, "rm -rf '%s'", home);
	return system(command);
}

static struct zvm_answer ask_view(const struct zvm_view *of, enum zvm_ask_kind kind, unsigned flags, const char *path)
{
	struct zvm_answer a;
	char copy[8192];
	snprintf(copy, sizeof copy, "%s", path);
	struct zvm_question q = {.kind = kind, .flags = flags, .path = copy};
	assert_int_equal(zvm_view_ask(of, &contents, &q, true, &a, NULL), 0);
	return a;
}

static struct zvm_answer look_up(const char *path)
{
	return ask_view(view, ZVM_ASK_LOOKUP, 0, path);
}

static struct zvm_answer open_path(const char *path)
{
	return ask_view(view, ZVM_ASK_OPEN, 0, path);
}

static void assert_error(const char *path, int error)
{
	for (int kind = ZVM_ASK_LOOKUP; kind <= ZVM_ASK_OPEN; kind++) {
		struct zvm_answer a = ask_view(view, (enum zvm_ask_kind)kind, 0, path);
		if (a.error != error || a.elsewhere)
			fail_msg("%s: %s%s instead of %s", path, strerror(-a.error), a.elsewhere ? " elsewhere" : "",
			         strerror(-error));
		assert_true(a.fd < 0 && !a.has_content && !a.text && !a.mode && !a.inode);
		zvm_answer_free(&a);
	}
}

static void assert_elsewhere(const char *path, const char *where)
{
	struct zvm_answer a = look_up(path);
	assert_int_equal(a.error, 0);
	assert_true(a.elsewhere);
	assert_string_equal(a.text, where);
	assert_true(a.fd < 0 && !a.has_content && !a.mode);
	zvm_answer_free(&a);
}

static void assert_content(const char *path, const char *text)
{
	char got[256] = "";
	struct zvm_answer a = open_path(path);
	assert_int_equal(a.error, 0);
	assert_true(S_ISREG(a.mode) && a.has_content && a.fd >= 0);
	assert_int_equal(a.size, strlen(text));
	assert_int_equal(pread(a.fd, got, sizeof got - 1, 0), (ssize_t)strlen(text));
	assert_string_equal(got, text);
	zvm_answer_free(&a);
}

/* --- what is there --- */

static void a_file_shows_type_permissions_size_and_nothing_of_the_host(void **state)
{
	(void)state;
	struct zvm_answer a = look_up("/script/a.py");
	assert_int_equal(a.error, 0);
	assert_int_equal(a.mode, S_IFREG | 0755);
	assert_int_equal(a.size, 9);
	assert_int_equal(a.mtime, ZVM_EPOCH);
	assert_true(a.inode != 0);
	assert_true(a.fd < 0 && !a.has_content && !a.text);
	zvm_answer_free(&a);
	assert_content("/script/a.py", "print(1)\n");
	assert_content("/script/sub/b.py", "print(2)\n");
	assert_content("/script//./sub/.././sub//b.py", "print(2)\n");
}

static void touching_and_recreating_a_file_changes_no_answer(void **state)
{
	(void)state;
	const struct timespec times[2] = {{.tv_sec = 12345}, {.tv_sec = 12345}};
	write_file(in_scripts("same"), "same", 0644);
	struct zvm_answer before = open_path("/script/same");
	assert_int_equal(rename(in_scripts("same"), in_scripts("other")), 0);
	write_file(in_scripts("same"), "same", 0644);
	assert_int_equal(link(in_scripts("same"), in_scripts("third")), 0);
	assert_int_equal(utimensat(AT_FDCWD, in_scripts("same"), times, 0), 0);
	struct zvm_answer after = open_path("/script/same");
	assert_true(zvm_answer_equal(&before, &after));
	zvm_answer_free(&after);
	write_file(in_scripts("same"), "Same", 0644);
	after = open_path("/script/same");
	assert_false(zvm_answer_equal(&before, &after));
	zvm_answer_free(&after);
	write_file(in_scripts("same"), "same", 0600);
	after = open_path("/script/same");
	assert_false(zvm_answer_equal(&before, &after));
	zvm_answer_free(&after);
	zvm_answer_free(&before);
	unlink(in_scripts("other"));
	unlink(in_scripts("third"));
	unlink(in_scripts("same"));
}

static void setuid_setgid_and_sticky_are_not_shown(void **state)
{
	(void)state;
	write_file(in_scripts("setuid"), "", 07755);
	struct zvm_answer a = look_up("/script/setuid");
	assert_int_equal(a.mode, S_IFREG | 0755);
	zvm_answer_free(&a);
	unlink(in_scripts("setuid"));
}

static void what_is_not_there_is_said_as_the_kernel_says_it(void **state)
{
	(void)state;
	char name[300], path[5000];
	assert_error("/script/nosuch", -ENOENT);
	assert_error("/script/nosuch/below", -ENOENT);
	assert_error("/script/a.py/below", -ENOTDIR);
	assert_error("/script/a.py/", -ENOTDIR);
	assert_error("/script/a.py/..", -ENOTDIR);
	assert_error("relative", -ENOENT);
	assert_error("", -ENOENT);
	memset(name, 'n', sizeof name);
	name[256] = 0;
	snprintf(path, sizeof path, "/script/%s", name);
	assert_error(path, -ENAMETOOLONG);
	name[255] = 0;
	snprintf(path, sizeof path, "/script/%s", name);
	assert_error(path, -ENOENT);
	memset(path, '/', 4096);
	path[4096] = 0;
	assert_error(path, -ENAMETOOLONG);
}

static void the_hosts_programs_are_there(void **state)
{
	(void)state;
	struct zvm_answer a = open_path("/usr/bin/env"), b = open_path("/bin/env");
	assert_true(a.error == 0 && S_ISREG(a.mode) && a.fd >= 0);
	if (!access("/bin/env", F_OK)) {
		assert_int_equal(b.error, 0);
		/* Where /bin is a link to usr/bin they are one file, with one number. */
		struct stat st;
		assert_int_equal(lstat("/bin", &st), 0);
		assert_true((a.inode == b.inode) == S_ISLNK(st.st_mode));
	}
	zvm_answer_free(&a);
	zvm_answer_free(&b);
}

static void only_python_sources_below_usr_show_their_time(void **state)
{
	(void)state;
	static const char source[] = "/usr/lib/python3/dist-packages/../../python3.11/os.py";
	struct stat st;
	struct zvm_answer a = look_up("/usr/bin/env");
	assert_int_equal(a.mtime, ZVM_EPOCH);
	zvm_answer_free(&a);
	if (stat(source, &st) < 0)
		skip();
	a = look_up(source);
	assert_int_equal(a.error, 0);
	assert_int_equal(a.mtime, st.st_mtim.tv_sec);
	assert_true(a.mtime != ZVM_EPOCH);
	zvm_answer_free(&a);
}

/* --- listings --- */

static void a_listing_is_sorted_and_holds_only_what_exists_in_the_view(void **state)
{
	(void)state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static const char *const expected[] = {"B", "a", "dir", "link", "\xc3\xa9"};
	assert_int_equal(mkdir(in_scripts("list"), 0755), 0);
	assert_int_equal(mkfifo(in_scripts("list/fifo"), 0666), 0);
	zvm_autofd int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/list/s", scripts);
	assert_int_equal(bind(socket_fd, (struct sockaddr *)&address, sizeof address), 0);
	write_file(in_scripts("list/\xc3\xa9"), "", 0644);
	write_file(in_scripts("list/a"), "", 0644);
	write_file(in_scripts("list/B"), "", 0644);
	assert_int_equal(mkdir(in_scripts("list/dir"), 0755), 0);
	link_to("list/link", "nowhere");

	unsigned char bytes[1024];
	struct zvm_answer a = open_path("/script/list");
	assert_true(a.error == 0 && S_ISDIR(a.mode) && a.size == 4096 && a.has_content);
	ssize_t size = pread(a.fd, bytes, sizeof bytes, 0);
	zvm_answer_free(&a);
	assert_true(size > 0);
	const unsigned char *at = bytes;
	size_t left = (size_t)size;
	struct zvm_view_entry e;
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
		char path[64];
		assert_int_equal(zvm_view_next_entry(&at, &left, &e), 1);
		assert_int_equal(e.name_length, strlen(expected[i]));
		assert_memory_equal(e.name, expected[i], e.name_length);
		snprintf(path, sizeof path, "/script/list/%s", expected[i]);
		struct zvm_answer one = ask_view(view, ZVM_ASK_LOOKUP, ZVM_ASK_NOFOLLOW, path);
		assert_int_equal(e.inode, one.inode);
		assert_int_equal(e.type, IFTODT(one.mode));
		zvm_answer_free(&one);
	}
	assert_int_equal(zvm_view_next_entry(&at, &left, &e), 0);
}

static void a_damaged_listing_is_noticed(void **state)
{
	(void)state;
	const unsigned char listing[] = {DT_REG, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0, 'a', 'b'};
	struct zvm_view_entry e;
	for (size_t size = 1; size < sizeof listing; size++) {
		const unsigned char *at = listing;
		size_t left = size;
		assert_int_equal(zvm_view_next_entry(&at, &left, &e), -EBADMSG);
	}
}

static void fifos_devices_and_sockets_do_not_exist_and_are_never_opened(void **state)
{
	(void)state;
	unlink(in_scripts("fifo"));
	assert_int_equal(mkfifo(in_scripts("fifo"), 0666), 0);
	link_to("to-fifo", "fifo");
	alarm(10); /* opening a FIFO would wait for ever */
	assert_error("/script/fifo", -ENOENT);
	assert_error("/script/to-fifo", -ENOENT);
	assert_error("/script/fifo/below", -ENOENT);
	alarm(0);
	/* Nobody can have opened its reading end, or this would not fail. */
	assert_int_equal(open(in_scripts("fifo"), O_WRONLY | O_NONBLOCK), -1);
	assert_int_equal(errno, ENXIO);
	unlink(in_scripts("fifo"));
}

/* --- links --- */

static void links_resolve_in_the_guests_view(void **state)
{
	(void)state;
	link_to("relative", "sub/b.py");
	link_to("absolute", "/script/sub/b.py");
	link_to("dir", "sub");
	link_to("up", "sub/../a.py");
	link_to("usr", "/usr/bin/env");
	assert_content("/script/relative", "print(2)\n");
	assert_content("/script/absolute", "print(2)\n");
	assert_content("/script/dir/b.py", "print(2)\n");
	assert_content("/script/dir/../a.py", "print(1)\n");
	assert_content("/script/up", "print(1)\n");
	struct zvm_answer a = look_up("/script/usr"), b = look_up("/usr/bin/env");
	assert_true(zvm_answer_equal(&a, &b));
	zvm_answer_free(&a);
	zvm_answer_free(&b);
}

static void a_link_itself_can_be_looked_at(void **state)
{
	(void)state;
	link_to("itself", "sub/b.py");
	for (int kind = ZVM_ASK_LOOKUP; kind <= ZVM_ASK_OPEN; kind++) {
		struct zvm_answer a = ask_view(view, (enum zvm_ask_kind)kind, ZVM_ASK_NOFOLLOW, "/script/itself");
		assert_int_equal(a.error, 0);
		assert_int_equal(a.mode, S_IFLNK | 0777);
		assert_string_equal(a.text, "sub/b.py");
		assert_int_equal(a.size, 8);
		assert_true(a.fd < 0);
		zvm_answer_free(&a);
	}
	/* A slash behind it follows it all the same. */
	struct zvm_answer a = ask_view(view, ZVM_ASK_LOOKUP, ZVM_ASK_NOFOLLOW, "/script/itself/");
	assert_int_equal(a.error, -ENOTDIR);
	zvm_answer_free(&a);
}

static void links_out_of_the_host_places_say_where_they_lead(void **state)
{
	(void)state;
	char text[256];
	link_to("out", outside);
	link_to("out-dir", home);
	link_to("shadow", "/etc/shadow");
	link_to("passwd", "../etc/passwd");
	link_to("tmp", "/tmp//x/");
	link_to("climb", "../../../../../../etc/./hostname");
	assert_elsewhere("/script/out", outside);
	snprintf(text, sizeof text, "%s/secret", home);
	assert_elsewhere("/script/out-dir/secret", text);
	assert_elsewhere("/script/shadow", "/etc/shadow");
	assert_elsewhere("/script/passwd", "/etc/passwd");
	assert_elsewhere("/script/tmp/y/../z", "/tmp/x/y/../z");
	assert_elsewhere("/script/tmp", "/tmp/x/");
	assert_elsewhere("/script/climb", "/etc/hostname");
	assert_elsewhere("/script/..", "/");
	assert_elsewhere("/script/../", "/");
	assert_elsewhere("/usr/../../tmp/a", "/tmp/a");
	assert_elsewhere("/usr/lib/../../proc/self/exe", "/proc/self/exe");
}

static void asked_directly_other_places_do_not_exist(void **state)
{
	(void)state;
	static const char *const paths[] = {
	        "/",
	        "//",
	        "/tmp",
	        "/tmp/x",
	        "/proc/self/environ",
	        "/sys",
	        "/dev/null",
	        "/home",
	        "/root/.ssh",
	        "/var/log",
	        "/run",
	        "/scripts",
	        "/usr2",
	        "/etc/passwd",
	        "/etc/passwd/x",
	        "/etc/shadow",
	        "/etc/group",
	        "/etc/hosts",
	        "/etc/hostname",
	        "/etc/resolv.conf",
	        "/etc/nsswitch.conf",
	        "/etc/localtime",
	        "/etc/machine-id",
	        "/etc/ssl/private",
	        "/etc/ssl/private/key",
	        "/etc/ssh/ssh_host_rsa_key",
	        "/etc/sudoers",
	};
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		assert_error(paths[i], -ENOENT);
	assert_error(outside, -ENOENT);
}

static void chains_of_forty_links_are_followed_and_loops_end(void **state)
{
	(void)state;
	char name[16], target[16];
	link_to("loop", "loop");
	link_to("ping", "pong");
	link_to("pong", "ping");
	link_to("l0", "a.py");
	for (int i = 1; i <= 40; i++) {
		snprintf(name, sizeof name, "l%d", i);
		snprintf(target, sizeof target, "l%d", i - 1);
		link_to(name, target);
	}
	assert_content("/script/l39", "print(1)\n");
	assert_error("/script/l40", -ELOOP);
	assert_error("/script/loop", -ELOOP);
	assert_error("/script/ping", -ELOOP);
	assert_error("/script/loop/x", -ELOOP);
}

/* --- attacks --- */

static bool reveals_secret(const char *path)
{
	char got[64] = "";
	struct zvm_answer a = open_path(path);
	bool bad = a.fd >= 0 && pread(a.fd, got, sizeof got - 1, 0) > 0 && strstr(got, "SECRET");
	zvm_answer_free(&a);
	return bad;
}

static void no_spelling_reaches_outside(void **state)
{
	(void)state;
	char path[8][512];
	link_to("up1", "..");
	link_to("abs", home);
	link_to("proc", "/proc/self/root");
	link_to("cwd", "/proc/self/cwd");
	snprintf(path[0], sizeof path[0], "/script/../secret");
	snprintf(path[1], sizeof path[1], "/script/sub/../../secret");
	snprintf(path[2], sizeof path[2], "/script/up1/secret");
	snprintf(path[3], sizeof path[3], "/script/abs/secret");
	snprintf(path[4], sizeof path[4], "/script/proc%s", outside);
	snprintf(path[5], sizeof path[5], "/usr/../%s", outside);
	snprintf(path[6], sizeof path[6], "/script//..//%s", outside);
	snprintf(path[7], sizeof path[7], "/script/up1/up1/up1/..%s", outside);
	for (int i = 0; i < 8; i++)
		if (reveals_secret(path[i]))
			fail_msg("%s shows what lies outside", path[i]);
}

static atomic_bool swapping;

static void *swap(void *unused)
{
	(void)unused;
	while (swapping) { /* a directory one moment, a link to the outside the next */
		rename(in_scripts("swap-dir"), in_scripts("swap"));
		rename(in_scripts("swap"), in_scripts("swap-dir"));
		rename(in_scripts("swap-link"), in_scripts("swap"));
		rename(in_scripts("swap"), in_scripts("swap-link"));
	}
	return NULL;
}

static void swapping_a_directory_for_a_link_while_resolving_is_harmless(void **state)
{
	(void)state;
	pthread_t thread;
	unsigned seen = 0;
	assert_int_equal(mkdir(in_scripts("swap-dir"), 0755), 0);
	write_file(in_scripts("swap-dir/secret"), "harmless", 0644);
	link_to("swap-link", home);
	swapping = true;
	assert_int_equal(pthread_create(&thread, NULL, swap, NULL), 0);
	for (int i = 0; i < 20000; i++) {
		struct zvm_answer a = open_path(i % 2 ? "/script/swap/secret" : "/script/sub/../swap/secret");
		char got[16] = "";
		if (a.fd >= 0 && pread(a.fd, got, sizeof got - 1, 0) > 0) {
			seen++;
			if (strcmp(got, "harmless"))
				fail_msg("the race was lost: %s", got);
		}
		zvm_answer_free(&a);
	}
	swapping = false;
	pthread_join(thread, NULL);
	assert_true(seen > 0);
}

static void an_unreadable_file_is_forbidden_and_its_attributes_are_not(void **state)
{
	(void)state;
	write_file(in_scripts("locked"), "locked", 0);
	pid_t pid = fork();
	if (pid == 0) { /* root may read it, so ask as somebody else */
		struct zvm_answer a = {.fd = -1};
		struct zvm_question q = {.kind = ZVM_ASK_OPEN, .path = (char[]){"/script/locked"}};
		bool fine = (geteuid() || (!setresgid(65534, 65534, 65534) && !setresuid(65534, 65534, 65534))) &&
		            zvm_view_ask(view, &contents, &q, true, &a, NULL) == 0 && a.error == -EACCES && a.fd < 0;
		q.kind = ZVM_ASK_LOOKUP;
		fine = fine && zvm_view_ask(view, &contents, &q, true, &a, NULL) == 0 && a.error == 0 && a.size == 6;
		_exit(fine ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	unlink(in_scripts("locked"));
}

/* In a mount namespace of its own, with a /usr/local made for the purpose. */
static int ask_as_root_about_closed_places(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("test", "/usr/local", "tmpfs", 0, "mode=755") < 0)
		return 77;
	if (zvm_view_open(scripts, &view)) /* the other one sees the other namespace */
		return 1;
	umask(022);
	write_file("/usr/local/file", "shown", 0644);
	mkdir("/usr/local/closed", 0700);
	write_file("/usr/local/closed/file", "hidden", 0644);
	write_file("/usr/local/secret", "hidden", 0640);
	struct zvm_answer shown = open_path("/usr/local/file"), below = open_path("/usr/local/closed/file");
	struct zvm_answer listing = open_path("/usr/local/closed"), secret = open_path("/usr/local/secret");
	bool fine = shown.error == 0 && below.error == -EACCES && listing.error == -EACCES && secret.error == -EACCES;
	return fine && shown.fd >= 0 && below.fd < 0 && listing.fd < 0 && secret.fd < 0 ? 0 : 1;
}

static void a_root_daemon_shows_of_the_system_only_what_everybody_may_read(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(geteuid() ? 77 : ask_as_root_about_closed_places());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the pinned script, and no script at all --- */

static void a_pinned_script_is_answered_without_looking_at_the_host(void **state)
{
	(void)state;
	struct zvm_view *pinned_view;
	struct zvm_digest digest;
	int fd;
	bool pinned = false;
	assert_int_equal(keep_bytes(NULL, "snapshot", 8, &digest, &fd), 0);
	assert_int_equal(zvm_view_open(scripts, &pinned_view), 0);
	assert_int_equal(zvm_view_pin(pinned_view, "gone.py", S_IFREG | 04755, 8, &digest, fd), 0);
	close(fd);
	static const char *const spellings[] = {"/script/gone.py", "/script/sub/../gone.py", "/script/./gone.py",
	                                        "/script/to-gone"};
	/* That a link or `..` leads to it is the host's doing, and may change. */
	static const bool by_itself[] = {true, false, true, false};
	link_to("to-gone", "gone.py");
	for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
		struct zvm_answer a;
		struct zvm_question q = {.kind = ZVM_ASK_OPEN, .path = (char *)(uintptr_t)spellings[i]};
		assert_int_equal(zvm_view_ask(pinned_view, &contents, &q, true, &a, &pinned), 0);
		assert_int_equal(pinned, by_itself[i]);
		assert_true(a.error == 0 && a.mode == (S_IFREG | 0755) && a.size == 8 && a.fd >= 0);
		assert_true(zvm_digest_equal(&a.digest, &digest));
		zvm_answer_free(&a);
	}
	static const char *const below[] = {"/script/gone.py/", "/script/gone.py/x", "/script/sub/../gone.py/x"};
	for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
		struct zvm_answer a = ask_view(pinned_view, ZVM_ASK_LOOKUP, 0, below[i]);
		assert_int_equal(a.error, -ENOTDIR);
		zvm_answer_free(&a);
	}
	struct zvm_answer a;
	struct zvm_question q = {.kind = ZVM_ASK_OPEN, .path = (char[]){"/script/a.py"}};
	assert_int_equal(zvm_view_ask(pinned_view, &contents, &q, true, &a, &pinned), 0);
	assert_false(pinned);
	assert_int_equal(a.error, 0);
	zvm_answer_free(&a);
	zvm_view_close(pinned_view);
}

static void the_directory_is_what_has_its_name_until_a_script_is_pinned(void **state)
{
	(void)state;
	char away[96];
	int fd;
	struct zvm_digest digest;
	struct zvm_view *pinned_view;
	snprintf(away, sizeof away, "%s/away", home);
	assert_int_equal(zvm_view_open(scripts, &pinned_view), 0);
	assert_int_equal(keep_bytes(NULL, "snapshot", 8, &digest, &fd), 0);
	assert_int_equal(zvm_view_pin(pinned_view, "pinned", 0755, 8, &digest, fd), 0);
	close(fd);
	assert_int_equal(rename(scripts, away), 0);
	assert_error("/script/a.py", -ENOENT);
	assert_int_equal(mkdir(scripts, 0755), 0);
	write_file(in_scripts("a.py"), "print(3)\n", 0755);
	assert_content("/script/a.py", "print(3)\n");
	assert_error("/script/sub/b.py", -ENOENT);
	struct zvm_answer a = ask_view(pinned_view, ZVM_ASK_LOOKUP, 0, "/script/sub/b.py");
	assert_int_equal(a.error, 0);
	zvm_answer_free(&a);
	zvm_view_close(pinned_view);
	assert_int_equal(unlink(in_scripts("a.py")) | rmdir(scripts) | rename(away, scripts), 0);
	assert_content("/script/a.py", "print(1)\n");
}

static void for_a_host_program_script_is_an_empty_directory(void **state)
{
	(void)state;
	struct zvm_view *host;
	assert_int_equal(zvm_view_open(NULL, &host), 0);
	struct zvm_answer a = ask_view(host, ZVM_ASK_OPEN, 0, "/script/");
	assert_true(a.error == 0 && S_ISDIR(a.mode) && a.has_content && a.fd >= 0);
	struct stat st;
	assert_int_equal(fstat(a.fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	zvm_answer_free(&a);
	a = ask_view(host, ZVM_ASK_OPEN, 0, "/script/x");
	assert_int_equal(a.error, -ENOENT);
	zvm_answer_free(&a);
	a = ask_view(host, ZVM_ASK_LOOKUP, 0, "/script/../usr/bin/env");
	assert_int_equal(a.error, 0);
	zvm_answer_free(&a);
	zvm_view_close(host);
	assert_int_equal(zvm_view_open("/nonexistent-directory", &host), -ENOENT);
	assert_int_equal(zvm_view_open("/etc/passwd", &host), -ENOTDIR);
}

/* --- the rest of the interface --- */

static void host_paths_are_textual_and_never_climb(void **state)
{
	(void)state;
	char *host = NULL;
	assert_int_equal(zvm_view_host_path(view, "/script/sub/b.py", &host), 0);
	assert_string_equal(host, in_scripts("sub/b.py"));
	free(host);
	assert_int_equal(zvm_view_host_path(view, "/script", &host), 0);
	assert_string_equal(host, scripts);
	free(host);
	assert_int_equal(zvm_view_host_path(view, "/usr/bin/..x", &host), 0);
	assert_string_equal(host, "/usr/bin/..x");
	free(host);
	assert_int_equal(zvm_view_host_path(view, "/script/../secret", &host), -ENOENT);
	assert_int_equal(zvm_view_host_path(view, "/script/..", &host), -ENOENT);
	assert_int_equal(zvm_view_host_path(view, "/tmp/x", &host), -ENOENT);
	assert_int_equal(zvm_view_host_path(view, "usr/bin", &host), -ENOENT);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc/self/fd");
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void *ask_many(void *unused)
{
	static const char *const paths[] = {"/script/a.py", "/script/dir/b.py",    "/script/loop",   "/usr/bin/env",
	                                    "/bin/env",     "/script/sub",         "/script/nosuch", "/script/..",
	                                    "/etc/passwd",  "/lib/../usr/bin/env", "/script/a.py/x"};
	(void)unused;
	for (unsigned i = 0; i < 2000; i++) {
		struct zvm_answer a;
		struct zvm_question q = {.kind = i % 3 ? ZVM_ASK_LOOKUP : ZVM_ASK_OPEN,
		                         .flags = i % 2,
		                         .path = (char *)(uintptr_t)paths[i % 11]};
		if (zvm_view_ask(view, &contents, &q, i % 5, &a, NULL))
			return NULL;
		zvm_answer_free(&a);
	}
	return (void *)1;
}

static void many_threads_may_ask_and_no_descriptor_is_lost(void **state)
{
	(void)state;
	pthread_t threads[4];
	void *result;
	unsigned before = open_descriptors();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, NULL), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		assert_non_null(result);
	}
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_file_shows_type_permissions_size_and_nothing_of_the_host),
	        cmocka_unit_test(touching_and_recreating_a_file_changes_no_answer),
	        cmocka_unit_test(setuid_setgid_and_sticky_are_not_shown),
	        cmocka_unit_test(what_is_not_there_is_said_as_the_kernel_says_it),
	        cmocka_unit_test(the_hosts_programs_are_there),
	        cmocka_unit_test(only_python_sources_below_usr_show_their_time),
	        cmocka_unit_test(a_listing_is_sorted_and_holds_only_what_exists_in_the_view),
	        cmocka_unit_test(a_damaged_listing_is_noticed),
	        cmocka_unit_test(fifos_devices_and_sockets_do_not_exist_and_are_never_opened),
	        cmocka_unit_test(links_resolve_in_the_guests_view),
	        cmocka_unit_test(a_link_itself_can_be_looked_at),
	        cmocka_unit_test(links_out_of_the_host_places_say_where_they_lead),
	        cmocka_unit_test(asked_directly_other_places_do_not_exist),
	        cmocka_unit_test(chains_of_forty_links_are_followed_and_loops_end),
	        cmocka_unit_test(no_spelling_reaches_outside),
	        cmocka_unit_test(swapping_a_directory_for_a_link_while_resolving_is_harmless),
	        cmocka_unit_test(an_unreadable_file_is_forbidden_and_its_attributes_are_not),
	        cmocka_unit_test(a_root_daemon_shows_of_the_system_only_what_everybody_may_read),
	        cmocka_unit_test(a_pinned_script_is_answered_without_looking_at_the_host),
	        cmocka_unit_test(the_directory_is_what_has_its_name_until_a_script_is_pinned),
	        cmocka_unit_test(for_a_host_program_script_is_an_empty_directory),
	        cmocka_unit_test(host_paths_are_textual_and_never_climb),
	        cmocka_unit_test(many_threads_may_ask_and_no_descriptor_is_lost),
	};
	return cmocka_run_group_tests(tests, build_world, remove_world);
}
