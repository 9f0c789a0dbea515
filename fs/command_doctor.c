/*
 * zvm doctor: what this machine offers. It starts a real launcher, so a wall that is said to stand has been put up a
 * moment ago, and asks about the mount what a mount would ask.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zvm/box.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>

enum verdict { GOOD, LESS, BAD };

static int print_help(void)
{
	puts("usage: zvm doctor\n\n"
	     "Tries every wall of the box and everything a mount needs on this machine, and prints a line for each:\n"
	     "  ok    it is there\n"
	     "  -     it is not; zvm works without it, with one wall less, or there is something to know\n"
	     "  NO    it is not, and zvm cannot do without it\n"
	     "and below what is missing, how to get it.\n\n"
	     "Exit status: 0 all that must be there is there; 1 it is not.");
	return 0;
}

static enum verdict say(enum verdict verdict, const char *name, const char *reason, const char *remedy)
{
	static const char *const marks[] = {[GOOD] = "ok", [LESS] = "-", [BAD] = "NO"};
	printf("  %-3s %-24s %s\n", marks[verdict], name, reason);
	if (verdict != GOOD && *remedy)
		printf("      %-24s to get it: %s\n", "", remedy);
	return verdict;
}

/* --- the box --- */

static int is_indispensable(const char *name)
{
	return !strcmp(name, "seccomp") || !strcmp(name, "rlimits") || !strcmp(name, "no privileges") ||
	       !strcmp(name, "unprivileged user");
}

static enum verdict check_walls(void)
{
	struct zvm_launcher *launcher = NULL;
	struct zvm_wall_report walls[ZVM_WALLS_MAX];
	struct zvm_launcher_options options = {.pool = 1, .walls = walls};
	enum verdict worst = GOOD;
	puts("The box, each wall put up just now:");
	int r = zvm_launcher_start(&options, &launcher);
	unsigned n = r ? options.wall_count : zvm_launcher_walls(launcher, walls);
	for (unsigned i = 0; i < n; i++) {
		enum verdict verdict = walls[i].stands ? GOOD : is_indispensable(walls[i].name) ? BAD : LESS;
		say(verdict, walls[i].name, walls[i].stands ? "" : walls[i].reason, walls[i].remedy);
		if (verdict == BAD)
			worst = BAD;
	}
	zvm_launcher_stop(launcher);
	/* After one indispensable wall that fell the others were not tried, so this comes last. */
	static const char busy[] = "fewer processes of the user whom boxes run as (RLIMIT_NPROC)",
	                  old[] = "see above; seccomp filters need Linux 5.13 or newer";
	return r ? say(BAD, "launcher", strerror(-r), r == -EAGAIN ? busy : old) : worst;
}

/* --- the mount --- */

static enum verdict check_device(void)
{
	zvm_autofd int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return say(GOOD, "/dev/fuse", "", "");
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return say(BAD, "/dev/fuse", strerror(errno), "modprobe fuse; in a container --device /dev/fuse");
	return say(BAD, "/dev/fuse", strerror(errno),
	           "chmod 666 /dev/fuse; in a container --device /dev/fuse --cap-add SYS_ADMIN");
}

static int is_on_path(const char *name, char *found, size_t size)
{
	const char *path = getenv("PATH");
	for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
		size_t length = strcspn(at, ":");
		if (length && snprintf(found, size, "%.*s/%s", (int)length, at, name) < (int)size &&
		    !access(found, X_OK))
			return 1;
		at += length;
		at += *at == ':';
	}
	return 0;
}

/* Root mounts by itself; everybody else through fusermount3. */
static enum verdict check_fusermount(void)
{
	char path[4096];
	if (is_on_path("fusermount3", path, sizeof path))
		return say(GOOD, "fusermount3", path, "");
	return say(geteuid() ? BAD : LESS, "fusermount3",
	           geteuid() ? "not found" : "not found; only other users than root need it", "apt-get install fuse3");
}

static long read_number(const char *path)
{
	char text[32];
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 10);
}

/* The kernel aborts the whole connection when one request takes longer; an open that computes may. */
static enum verdict check_timeout(const char *name)
{
	char path[64], reason[80];
	snprintf(path, sizeof path, "/proc/sys/fs/fuse/%s", name);
	long seconds = read_number(path);
	if (seconds <= 0)
		return say(GOOD, name, seconds < 0 ? "this kernel has none" : "off", "");
	snprintf(reason, sizeof reason, "%ld s: a run that takes longer ends the mount", seconds);
	return say(LESS, name, reason, "sysctl fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0");
}

/* updatedb would run nothing, as it does not read, but walk everything, each night. */
static enum verdict check_updatedb(void)
{
	char line[4096];
	enum verdict verdict = LESS;
	FILE *f = fopen("/etc/updatedb.conf", "re");
	if (!f)
		return say(GOOD, "updatedb", "not installed", "");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, "PRUNEFS", 7) && strstr(line, "fuse.zvm"))
			verdict = GOOD;
	fclose(f);
	return say(verdict, "updatedb", verdict == GOOD ? "leaves zvm alone" : "walks every mount of zvm each night",
	           "sed -i 's/^PRUNEFS *= *\"/&fuse.zvm /' /etc/updatedb.conf");
}

/* These read what they find, so they run it. They look below the home directory; which part, only their users know. */
static enum verdict check_indexer(const char *name, const char *const programs[], const char *remedy)
{
	for (; *programs; programs++)
		if (!access(*programs, X_OK))
			return say(LESS, name, "reads, and so runs, what is mounted where it looks", remedy);
	return say(GOOD, name, "not installed", "");
}

static void check_indexers(void)
{
	static const char *const tracker[] = {"/usr/libexec/tracker-miner-fs-3", "/usr/libexec/localsearch-3", NULL};
	static const char *const baloo[] = {"/usr/bin/balooctl", "/usr/bin/balooctl6", NULL};
	check_updatedb();
	check_indexer("tracker", tracker, "touch .trackerignore beside the mount point, in a directory of its own");
	check_indexer("baloo", baloo, "balooctl config add excludeFolders MOUNTPOINT");
}

static enum verdict check_mount(void)
{
	puts("\nThe mount:");
	enum verdict device = check_device(), helper = check_fusermount();
	check_timeout("default_request_timeout");
	check_timeout("max_request_timeout");
	check_indexers();
	return device == BAD || helper == BAD ? BAD : GOOD;
}

int zvm_command_doctor(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int option;
	optind = 1;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		return option == 'h' ? print_help() : zvm_complain_of_options(2, "doctor");
	if (optind != argc)
		return zvm_complain(2, "doctor", "it takes no arguments; leave %s away", argv[optind]);
	enum verdict walls = check_walls(), mount = check_mount();
	int status = walls == BAD || mount == BAD;
	puts(status ? "\nWhat is marked NO must be mended first." : "\nzvm works here.");
	return status;
}
