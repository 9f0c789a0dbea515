/* The walls beside the filters, put up in children that look at what is left to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zvm/cleanup.h>
#include "children.h"
#include "wall.h"

static struct zvm_wall_report *reports;

/* Without memory from malloc: behind the limits AddressSanitizer could not get any. */
static bool status_line_is_in(const char *path, const char *name, const char *value)
{
	char text[8192];
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (size < 0)
		return false;
	text[size] = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
		if (!strncmp(line, name, strlen(name)))
			return strstr(line, value) != NULL;
	return false;
}

static bool status_line_is(const char *name, const char *value)
{
	return status_line_is_in("/proc/self/status", name, value);
}

static int look_around_as_zygote(void)
{
	struct rlimit core, memlock;
	if (zvm_wall_become_nobody(reports) || zvm_wall_limits(reports))
		return 1;
	if (!reports[ZVM_WALL_RLIMITS].stands || !reports[ZVM_WALL_PRIVILEGES].stands ||
	    !reports[ZVM_WALL_NOBODY].stands)
		return 2;
	if (geteuid() == 0 || setuid(0) == 0 || setgid(0) == 0)
		return 3;
	if (getrlimit(RLIMIT_CORE, &core) || getrlimit(RLIMIT_MEMLOCK, &memlock) || core.rlim_max || memlock.rlim_max)
		return 4;
	if (getrlimit(RLIMIT_AS, &core) || core.rlim_max == RLIM_INFINITY || getrlimit(RLIMIT_NPROC, &core) ||
	    core.rlim_max == RLIM_INFINITY)
		return 7;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 5;
	return 0;
}

static void be_a_zygote(void)
{
	int r = look_around_as_zygote();
	/* /proc is the host's here: no capability is left in any set that counts. */
	if (r == 0 && (!status_line_is("CapEff", "0000000000000000") || !status_line_is("CapPrm", "0000000000000000")))
		r = 6;
	leave(r);
}

static void be_behind_landlock(void)
{
	zvm_wall_landlock(false, reports);
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	if (reports[ZVM_WALL_LANDLOCK].stands)
		leave(fd < 0 && errno == EACCES ? 0 : 1);
	/* What does not stand must say why and how to get it. */
	leave(reports[ZVM_WALL_LANDLOCK].reason[0] && reports[ZVM_WALL_LANDLOCK].remedy[0] ? 0 : 2);
}

static void be_first_to_go(void)
{
	char score[16] = "";
	int proc = open("/proc", O_PATH | O_CLOEXEC);
	prctl(PR_SET_DUMPABLE, 1); /* as at the time when this is done: an ordinary user may not write it afterwards */
	zvm_wall_first_to_go(proc, reports);
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	if (!reports[ZVM_WALL_FIRST_TO_GO].stands || fd < 0 || read(fd, score, sizeof score) < 0)
		leave(1);
	zvm_wall_first_to_go(-1, reports);
	leave(strcmp(score, "1000\n") || reports[ZVM_WALL_FIRST_TO_GO].stands ? 2 : 0);
}

/* Whether there is one depends on the machine; the process that entered it is really there, and what was made goes. */
static void be_in_a_cgroup(void)
{
	const struct zvm_wall_report *limits = &reports[ZVM_WALL_CGROUP_LIMITS];
	int fd = zvm_wall_cgroup_make(false, reports), status;
	zvm_wall_cgroup_enter(-1, reports);
	if (fd < 0)
		leave(limits->stands || !limits->reason[0] || !limits->remedy[0]);
	pid_t pid = fork();
	if (pid == 0) {
		zvm_wall_cgroup_enter(fd, reports);
		leave(!limits->stands || !status_line_is_in("/proc/self/cgroup", "0::", "-boxes"));
	}
	if (waitpid(pid, &status, 0) != pid || status)
		leave(2);
	zvm_wall_cgroup_remove();
	leave(0);
}

static void be_in_no_cgroup(void)
{
	int fd = zvm_wall_cgroup_make(true, reports);
	leave(fd >= 0 || strcmp(reports[ZVM_WALL_CGROUP_LIMITS].reason, "not asked for"));
}

static void a_cgroup_holds_all_boxes_or_says_why_not(void **state)
{
	(void)state;
	zvm_wall_reports_start(reports);
	assert_int_equal(status_of(be_in_a_cgroup), 0);
	assert_int_equal(status_of(be_in_no_cgroup), 0);
}

static void a_zygote_has_no_privileges_left(void **state)
{
	(void)state;
	zvm_wall_reports_start(reports);
	assert_int_equal(status_of(be_a_zygote), 0);
	zvm_wall_reports_start(reports);
	assert_int_equal(status_of(be_behind_landlock), 0);
	assert_int_equal(status_of(be_first_to_go), 0);
}

static int count_entries(const char *path)
{
	int n = 0;
	DIR *dir = opendir(path);
	if (!dir)
		return -1;
	for (struct dirent *d = readdir(dir); d; d = readdir(dir))
		n += strcmp(d->d_name, ".") && strcmp(d->d_name, "..");
	closedir(dir);
	return n;
}

static int look_around_as_launcher(void)
{
	if (reports[ZVM_WALL_PID].stands != (getpid() == 1))
		return 1;
	zvm_wall_empty_root(reports);
	if (reports[ZVM_WALL_ROOT].stands) {
		if (count_entries("/") != 0 || !access("/etc", F_OK) || !access("/proc", F_OK) ||
		    !access("../..//etc", F_OK))
			return 2;
		if (open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 || errno != EROFS)
			return 3;
	} else if (!reports[ZVM_WALL_ROOT].reason[0]) {
		return 4;
	}
	return 0;
}

static int be_a_launcher(bool plain)
{
	int status;
	zvm_wall_reports_start(reports);
	pid_t pid = zvm_wall_clone(plain, reports);
	if (pid < 0)
		return 20;
	if (pid == 0) {
		int r = look_around_as_launcher();
		leave(r ? r : look_around_as_zygote());
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 21;
	return WEXITSTATUS(status);
}

static void be_a_launcher_as_we_are(void)
{
	leave(be_a_launcher(false));
}

static void be_a_plain_launcher(void)
{
	int r = be_a_launcher(true);
	for (int step = ZVM_WALL_USER; r == 0 && step <= ZVM_WALL_ROOT; step++)
		if (reports[step].stands || !reports[step].reason[0])
			r = 30;
	leave(r);
}

static void become_ordinary(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(12345, 12345, 12345) || setresuid(12345, 12345, 12345)))
		leave(40);
	/* A changed user is not dumpable, and so could not write its child's maps; a daemon of that user's own would
	 * be. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void be_an_ordinary_launcher(void)
{
	become_ordinary();
	leave(be_a_launcher(false));
}

static void be_an_ordinary_plain_launcher(void)
{
	become_ordinary();
	be_a_plain_launcher();
}

#define CANNOT_TELL 77

/* User namespaces switched off for this child's children: their limit, in a namespace of its own, is 0. */
static void be_without_user_namespaces(void)
{
	become_ordinary();
	uid_t uid = geteuid();
	if (unshare(CLONE_NEWUSER) < 0)
		leave(CANNOT_TELL); /* they are off anyway */
	char map[64];
	snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
	int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, map, strlen(map)) < 0)
		leave(41);
	close(fd);
	fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		leave(CANNOT_TELL); /* /proc is not ours to write here */
	int r = be_a_launcher(false);
	if (r == 0 && (reports[ZVM_WALL_USER].stands || !reports[ZVM_WALL_USER].remedy[0]))
		r = 42;
	leave(r);
}

/* --- a launcher in a chroot --- */

static bool chroot_is_mount, pivot_is_forbidden;

/* In a namespace of our own, with which it goes: a root, and a filesystem of somebody else beside it. */
static void make_places(const char *home)
{
	static const char *const places[] = {"other", "root", "root/proc", "root/tmp"};
	if (mount("home", home, "tmpfs", 0, "size=64k") || chdir(home))
		leave(50);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (mkdir(places[i], 0755))
			leave(51);
	if (mount("other", "other", "tmpfs", 0, "size=64k") || mount("/proc", "root/proc", NULL, MS_BIND, NULL) ||
	    (chroot_is_mount && mount("root", "root", NULL, MS_BIND | MS_REC, NULL)))
		leave(52);
}

static void forbid_pivot(void)
{
	static struct zvm_filter_instruction filter[] = {
	        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
	        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_pivot_root},
	        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
	        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
	};
	install(filter, sizeof filter / sizeof filter[0]);
}

/* Tells what it found, and lives until it is asked to end. */
static void launch_in_chroot(const int pair[2])
{
	char r = 53;
	close(pair[0]);
	if (pivot_is_forbidden)
		forbid_pivot();
	zvm_wall_reports_start(reports);
	pid_t pid = chroot("root") || chdir("/") ? -1 : zvm_wall_clone(false, reports);
	if (pid == 0)
		r = (char)look_around_as_launcher();
	if (pid == 0 && r == 0 && pivot_is_forbidden && (access("/tmp", F_OK) || !access("/etc", F_OK)))
		r = 65;
	if (pid > 0) {
		close(pair[1]);
		leave(waitpid(pid, NULL, 0) == pid ? 0 : 54);
	}
	leave(write(pair[1], &r, 1) == 1 && read(pair[1], &r, 1) == 0 ? 0 : 55);
}

/* A filesystem has ended when nobody has it mounted any more. */
static int end_other(int watch)
{
	struct pollfd event = {.fd = watch, .events = POLLIN};
	struct inotify_event first;
	if (umount2("other", 0))
		return 56;
	return poll(&event, 1, 2000) == 1 && read(watch, &first, sizeof first) == sizeof first &&
	                       (first.mask & IN_UNMOUNT)
	               ? 0
	               : 57;
}

static int watch_launcher(void)
{
	int pair[2], watch = inotify_init1(IN_CLOEXEC);
	char r = 58;
	if (watch < 0 || inotify_add_watch(watch, "other", IN_DELETE_SELF) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return 59;
	pid_t pid = fork();
	if (pid == 0)
		launch_in_chroot(pair);
	close(pair[1]);
	if (read(pair[0], &r, 1) != 1)
		r = 60;
	int result = r ? r : !reports[ZVM_WALL_MOUNT].stands ? CANNOT_TELL : end_other(watch);
	close(pair[0]);
	return waitpid(pid, NULL, 0) == pid ? result : 61;
}

static void be_a_launcher_in_a_chroot(void)
{
	char home[] = "/tmp/zvm-wall-XXXXXX";
	if (geteuid() != 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		leave(CANNOT_TELL); /* nobody else gets a user namespace there (clone(2)) */
	if (!mkdtemp(home))
		leave(62);
	make_places(home);
	int r = watch_launcher();
	if (r == 0 && reports[ZVM_WALL_ROOT].stands == pivot_is_forbidden)
		r = 63;
	leave(chdir("/") || umount2(home, MNT_DETACH) || rmdir(home) ? 64 : r);
}

static void the_launchers_walls_stand_or_say_why_not(void **state)
{
	(void)state;
	assert_int_equal(status_of(be_a_launcher_as_we_are), 0);
	for (int step = 0; step < ZVM_WALL_COUNT; step++)
		if (!reports[step].stands)
			print_message("           %s: %s\n", reports[step].name, reports[step].reason);
	assert_int_equal(status_of(be_a_plain_launcher), 0);
}

static void so_they_do_for_an_ordinary_user(void **state)
{
	(void)state;
	assert_int_equal(status_of(be_an_ordinary_launcher), 0);
	for (int step = 0; step < ZVM_WALL_COUNT; step++)
		if (!reports[step].stands)
			print_message("           %s: %s\n", reports[step].name, reports[step].reason);
	assert_int_equal(status_of(be_an_ordinary_plain_launcher), 0);
}

static void so_they_do_where_user_namespaces_are_switched_off(void **state)
{
	(void)state;
	int status = status_of(be_without_user_namespaces);
	if (WEXITSTATUS(status) == CANNOT_TELL)
		skip();
	assert_int_equal(status, 0);
}

static void a_launcher_in_a_chroot_keeps_no_mount(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		chroot_is_mount = i & 1;
		pivot_is_forbidden = i & 2;
		int status = status_of(be_a_launcher_in_a_chroot);
		if (WEXITSTATUS(status) == CANNOT_TELL)
			skip();
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_cgroup_holds_all_boxes_or_says_why_not),
	        cmocka_unit_test(a_zygote_has_no_privileges_left),
	        cmocka_unit_test(the_launchers_walls_stand_or_say_why_not),
	        cmocka_unit_test(so_they_do_for_an_ordinary_user),
	        cmocka_unit_test(so_they_do_where_user_namespaces_are_switched_off),
	        cmocka_unit_test(a_launcher_in_a_chroot_keeps_no_mount),
	};
	reports =
	        mmap(NULL, sizeof *reports * ZVM_WALL_COUNT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return reports == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
