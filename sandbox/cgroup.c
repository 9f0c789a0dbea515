/*
 * A cgroup for all boxes of a launcher: what seccomp and rlimits cannot bound, which count each process on its own. Its
 * memory is bounded together (page tables, sockets and the arenas included), without swap, and so is the number of its
 * processes. The zygote enters it and the boxes are born there, so no run pays for it.
 *
 *   base                  the daemon's own cgroup: must be delegated to it, or be the root
 *     zvm-PID-boxes       the limits
 *     zvm-PID-daemon      only where the daemon is alone in its cgroup: a cgroup that gives controllers on may not hold
 *                         processes itself, so the daemon steps aside
 *
 * Where others live in the daemon's cgroup, as in a shell's session, they are not moved about and there is no such
 * wall.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "wall.h"

#define LINE 4096

static int write_at(int directory, const char *name, const char *text)
{
	zvm_autofd int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Where the unified hierarchy is mounted. */
static int find_mount(char path[LINE])
{
	char line[LINE], type[64];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int r = -ENOENT;
	if (!f)
		return -errno;
	while (r && fgets(line, sizeof line, f)) {
		const char *dash = strstr(line, " - ");
		if (dash && sscanf(dash, " - %63s", type) == 1 && !strcmp(type, "cgroup2") &&
		    sscanf(line, "%*s %*s %*s %*s %4095s", path) == 1)
			r = 0;
	}
	fclose(f);
	return r;
}

static int open_own(void)
{
	char mount[LINE], line[LINE], path[2 * LINE];
	int r = find_mount(mount);
	FILE *f = r ? NULL : fopen("/proc/self/cgroup", "re");
	if (!f)
		return r ? r : -errno;
	r = -ENOENT;
	while (r == -ENOENT && fgets(line, sizeof line, f)) {
		if (strncmp(line, "0::", 3))
			continue;
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof path, "%s%s", mount, line + 3);
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : fd;
	}
	fclose(f);
	return r;
}

/* What daemons that were killed have left: an empty cgroup is removed by rmdir, another is not. */
static void sweep(int base)
{
	int copy = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	int pid, end = 0;
	if (!dir) {
		zvm_close_pointer(&copy);
		return;
	}
	for (struct dirent *d = readdir(dir); d; d = readdir(dir), end = 0)
		if (sscanf(d->d_name, "zvm-%d-%*[a-z]%n", &pid, &end) == 1 && end && !d->d_name[end] &&
		    kill(pid, 0) < 0 && errno == ESRCH)
			unlinkat(base, d->d_name, AT_REMOVEDIR);
	closedir(dir);
}

/* 0: nobody but us; 1: others too. */
static int others_in(int base)
{
	char line[64];
	int fd = openat(base, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	int others = 0;
	if (!f) {
		zvm_close_pointer(&fd);
		return 1;
	}
	while (fgets(line, sizeof line, f))
		others |= strtol(line, NULL, 10) != getpid();
	fclose(f);
	return others;
}

static int give_controllers_on(int base)
{
	static const char wanted[] = "+memory +pids";
	char name[64];
	int r = write_at(base, "cgroup.subtree_control", wanted);
	if (r != -EBUSY || others_in(base))
		return r;
	snprintf(name, sizeof name, "zvm-%d-daemon", (int)getpid());
	if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	strncat(name, "/cgroup.procs", sizeof name - strlen(name) - 1);
	r = write_at(base, name, "0");
	return r ? r : write_at(base, "cgroup.subtree_control", wanted);
}

static int set_limits(int boxes)
{
	char text[32];
	struct sysinfo machine;
	if (sysinfo(&machine) < 0)
		return -errno;
	/* A quarter is left to everybody else. */
	snprintf(text, sizeof text, "%llu", (unsigned long long)machine.totalram * machine.mem_unit / 4 * 3);
	int r = write_at(boxes, "memory.max", text);
	int swap = r ? r : write_at(boxes, "memory.swap.max", "0");
	snprintf(text, sizeof text, "%d", ZVM_WALL_PROCESSES);
	r = swap && swap != -ENOENT ? swap : r; /* a kernel without swap has no such file */
	return r ? r : write_at(boxes, "pids.max", text);
}

/* A descriptor that takes who is to enter, or -errno. */
static int make_group(void)
{
	char name[64];
	zvm_autofd int base = open_own();
	if (base < 0)
		return base;
	sweep(base);
	int r = give_controllers_on(base);
	if (r)
		return r;
	snprintf(name, sizeof name, "zvm-%d-boxes", (int)getpid());
	if (mkdirat(base, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	zvm_autofd int boxes = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = boxes < 0 ? -errno : set_limits(boxes);
	if (r)
		return r;
	int fd = openat(boxes, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int zvm_wall_cgroup_make(bool plain, struct zvm_wall_report *reports)
{
	struct zvm_wall_report *report = &reports[ZVM_WALL_CGROUP_LIMITS];
	int fd = plain ? -EPERM : make_group();
	if (fd >= 0)
		return fd;
	snprintf(report->reason, sizeof report->reason, "%s",
	         plain           ? "not asked for"
	         : fd == -EBUSY  ? "other processes live in the daemon's cgroup"
	         : fd == -ENOENT ? "the unified hierarchy (cgroup v2) has no memory and pids controllers here"
	                         : strerror(-fd));
	snprintf(report->remedy, sizeof report->remedy, "%s",
	         plain ? ""
	               : "cgroup v2, delegated: Delegate=yes in the unit, or systemd-run [--user] --scope -p "
	                 "Delegate=yes zvm ...");
	return -1;
}

void zvm_wall_cgroup_enter(int fd, struct zvm_wall_report *reports)
{
	struct zvm_wall_report *report = &reports[ZVM_WALL_CGROUP_LIMITS];
	if (fd < 0)
		return;
	report->stands = write(fd, "0", 1) == 1;
	snprintf(report->reason, sizeof report->reason, "%s", report->stands ? "" : strerror(errno));
}

void zvm_wall_cgroup_remove(void)
{
	char name[64];
	zvm_autofd int base = open_own();
	snprintf(name, sizeof name, "../zvm-%d-boxes", (int)getpid());
	/* We may have stepped aside, into a sibling. */
	if (base >= 0 && unlinkat(base, name + 3, AT_REMOVEDIR) < 0)
		unlinkat(base, name, AT_REMOVEDIR);
}
