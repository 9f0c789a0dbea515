/*
 * The walls that the machine may or may not offer, each tried by doing it. See wall.h for the order.
 */
#include "wall.h"
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zvm/cleanup.h>

#define NOBODY 65534
/* Where the boxes' user is also the daemon's, with all else that he runs (each thread of a browser counts). */
#define PROCESSES_HARD_SHARED 4096
/* Room for programs that reserve much and use little. What is reserved costs page tables once it is touched, a 512th of
 * it, and nothing else bounds those of one that owns its monitor. */
#define ADDRESS_SPACE_HARD (1ull << 40)

static const char *const names[ZVM_WALL_COUNT] = {
        [ZVM_WALL_SECCOMP] = "seccomp",
        [ZVM_WALL_RLIMITS] = "rlimits",
        [ZVM_WALL_USER] = "user namespace",
        [ZVM_WALL_PID] = "pid namespace",
        [ZVM_WALL_MOUNT] = "mount namespace",
        [ZVM_WALL_NET] = "network namespace",
        [ZVM_WALL_IPC] = "ipc namespace",
        [ZVM_WALL_UTS] = "uts namespace",
        [ZVM_WALL_CGROUP] = "cgroup namespace",
        [ZVM_WALL_ROOT] = "empty root",
        [ZVM_WALL_LANDLOCK] = "landlock",
        [ZVM_WALL_FIRST_TO_GO] = "first out of memory",
        [ZVM_WALL_CGROUP_LIMITS] = "cgroup limits",
        [ZVM_WALL_NOBODY] = "unprivileged user",
        [ZVM_WALL_PRIVILEGES] = "no privileges",
        [ZVM_WALL_TSC] = "rdtsc trap",
        [ZVM_WALL_CPUID] = "cpuid trap",
};

static const struct {
	enum zvm_wall_step step;
	unsigned long flag;
} namespaces[] = {
        {ZVM_WALL_PID, CLONE_NEWPID}, {ZVM_WALL_MOUNT, CLONE_NEWNS}, {ZVM_WALL_NET, CLONE_NEWNET},
        {ZVM_WALL_IPC, CLONE_NEWIPC}, {ZVM_WALL_UTS, CLONE_NEWUTS},  {ZVM_WALL_CGROUP, CLONE_NEWCGROUP},
};
#define NAMESPACE_COUNT (sizeof namespaces / sizeof namespaces[0])

static void report(struct zvm_wall_report *reports, enum zvm_wall_step step, int error, const char *remedy)
{
	struct zvm_wall_report *r = &reports[step];
	r->stands = error == 0;
	snprintf(r->reason, sizeof r->reason, "%s", error ? strerror(error < 0 ? -error : error) : "");
	snprintf(r->remedy, sizeof r->remedy, "%s", error ? remedy : "");
}

/* A better word than an errno has, for what needs no remedy. */
static void explain(struct zvm_wall_report *reports, enum zvm_wall_step step, const char *reason)
{
	snprintf(reports[step].reason, sizeof reports[step].reason, "%s", reason);
	reports[step].remedy[0] = 0;
}

void zvm_wall_reports_start(struct zvm_wall_report reports[ZVM_WALL_COUNT])
{
	for (int i = 0; i < ZVM_WALL_COUNT; i++) {
		reports[i] = (struct zvm_wall_report){.name = names[i]};
		snprintf(reports[i].reason, sizeof reports[i].reason, "not tried");
	}
}

/* --- namespaces --- */

static int write_file(const char *path, const char *text)
{
	zvm_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* The one id we are, and no other: what is not mapped cannot be taken on. */
static int write_maps(pid_t pid)
{
	char path[64], line[64];
	snprintf(path, sizeof path, "/proc/%d/setgroups", (int)pid);
	int r = write_file(path, "deny");
	snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
	snprintf(line, sizeof line, "%u %u 1\n", geteuid(), geteuid());
	if (r == 0)
		r = write_file(path, line);
	snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
	snprintf(line, sizeof line, "%u %u 1\n", getegid(), getegid());
	return r ? r : write_file(path, line);
}

static pid_t raw_clone(unsigned long flags)
{
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	return pid < 0 ? -errno : pid;
}

pid_t zvm_wall_fork(void)
{
	return raw_clone(0);
}

static const char user_remedy[] = "sysctl user.max_user_namespaces=10000, kernel.unprivileged_userns_clone=1 (Debian), "
                                  "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)";

static void report_namespaces(struct zvm_wall_report *reports, unsigned long flags, int error)
{
	bool root = geteuid() == 0;
	const char *remedy = !error ? ""
	                     : root ? "in a container: allow nested namespaces (CAP_SYS_ADMIN)"
	                            : user_remedy;
	for (size_t i = 0; i < NAMESPACE_COUNT; i++)
		report(reports, namespaces[i].step, flags & namespaces[i].flag ? 0 : error, remedy);
	report(reports, ZVM_WALL_USER, flags & CLONE_NEWUSER ? 0 : error ? error : EPERM, remedy);
	/* What the kernel calls "No space left on device" here is a limit of namespaces. */
	for (int step = 0; error == ENOSPC && step < ZVM_WALL_COUNT; step++)
		if (!reports[step].stands && reports[step].remedy[0])
			snprintf(reports[step].reason, sizeof reports[step].reason,
			         "the system's limit of namespaces is reached");
	if (root)
		explain(reports, ZVM_WALL_USER, "not needed: the daemon is root and its boxes become nobody");
}

/* The child's end of the pair says go once its ids are mapped: before that it is nobody and may do nothing. */
static pid_t wait_for_go(const int pair[2])
{
	char go = 0;
	close(pair[0]);
	if (read(pair[1], &go, 1) != 1)
		_exit(118);
	close(pair[1]);
	return 0;
}

/* `error`: why better tries failed. The reports are written before the child goes on, because it reads them. */
static pid_t clone_mapped(unsigned long flags, int error, struct zvm_wall_report *reports)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = raw_clone(flags);
	int r = pid < 0 ? pid : 0;
	if (pid == 0)
		return wait_for_go(pair);
	close(pair[1]);
	if (r == 0 && (flags & CLONE_NEWUSER))
		r = write_maps(pid);
	if (r == 0) {
		report_namespaces(reports, flags, error);
		r = write(pair[0], "g", 1) == 1 ? 0 : -EIO;
	}
	close(pair[0]); /* a child that was not told to go reads end-of-file and leaves */
	if (r && pid > 0)
		waitid(P_PID, (id_t)pid, NULL, WEXITED);
	return r ? r : pid;
}

pid_t zvm_wall_clone(bool plain, struct zvm_wall_report *reports)
{
	unsigned long all = geteuid() == 0 ? 0 : CLONE_NEWUSER;
	unsigned long least = all | CLONE_NEWPID | CLONE_NEWNS;
	for (size_t i = 0; i < NAMESPACE_COUNT; i++)
		all |= namespaces[i].flag;
	/* From most to least: everything; without what older kernels and containers withhold; nothing. */
	const unsigned long tries[] = {all, all & ~(unsigned long)CLONE_NEWCGROUP,
	                               all & ~(unsigned long)(CLONE_NEWCGROUP | CLONE_NEWNET), least, 0};
	const size_t count = sizeof tries / sizeof tries[0];
	int error = EPERM;
	for (size_t i = plain ? count - 1 : 0; i < count; i++) {
		pid_t pid = clone_mapped(tries[i], i ? error : 0, reports);
		if (pid < 0) {
			error = -pid;
			continue;
		}
		for (size_t n = 0; plain && pid > 0 && n < NAMESPACE_COUNT; n++)
			explain(reports, namespaces[n].step, "not asked for");
		return pid;
	}
	return -error;
}

/* --- an empty root: even a descriptor for a path call would find nothing --- */

/*
 * To the root of our namespace. That of a chroot is no mount, and so cannot be pivoted; or it is one below others, and
 * those would stay ours: a filesystem that somebody unmounts lives on for as long as we have a copy of its mount.
 * setns(2) goes there, even if the namespace is the one we are in.
 */
static int leave_chroot(void)
{
	zvm_autofd int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	return own < 0 || setns(own, CLONE_NEWNS) < 0 ? -errno : 0;
}

static int pivot_to_nothing(void)
{
	if (mount("zvm", "/tmp", "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "size=4k,nr_inodes=8,mode=555") < 0)
		return -errno;
	if (chdir("/tmp") < 0)
		return -errno;
	/* Stacking the old root on the new one and detaching it needs no directory for it (pivot_root(2), NOTES). */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return -errno;
	if (umount2(".", MNT_DETACH) < 0)
		return -errno;
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, NULL) < 0)
		return -errno;
	return chdir("/") < 0 ? -errno : 0;
}

static int empty_root(void)
{
	zvm_autofd int before = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int left = leave_chroot();
	int r = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
	bool all_private = left == 0 && r == 0;
	r = r ? r : pivot_to_nothing();
	/* No root is empty then, but all mounts below it go, and we back to where we were. */
	if (r && all_private)
		umount2("/", MNT_DETACH);
	if (r && left == 0 && (before < 0 || fchdir(before) < 0 || chroot(".") < 0))
		_exit(116);
	return r;
}

void zvm_wall_empty_root(struct zvm_wall_report *reports)
{
	if (!reports[ZVM_WALL_MOUNT].stands) {
		report(reports, ZVM_WALL_ROOT, EPERM, "");
		explain(reports, ZVM_WALL_ROOT, "needs the mount namespace");
		return;
	}
	/* Ubuntu's AppArmor lets the namespace be made and forbids what it is for. */
	report(reports, ZVM_WALL_ROOT, empty_root(),
	       "a /tmp to mount over; on Ubuntu sysctl kernel.apparmor_restrict_unprivileged_userns=0");
}

/* --- in the zygote --- */

/* Where no cgroup holds the processes of a box together, each may use as much as its limit says. If that is more than
 * the machine has, it is they who are killed, and nobody else. */
void zvm_wall_first_to_go(int proc, struct zvm_wall_report *reports)
{
	zvm_autofd int fd = proc < 0 ? -1 : openat(proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int r = proc < 0 ? ENOENT : fd < 0 || write(fd, "1000", 4) != 4 ? errno : 0;
	report(reports, ZVM_WALL_FIRST_TO_GO, r, "a /proc that is mounted and writable");
}

/* By the system calls: the C library's functions change all threads, and lock the list of those that the daemon had. */
int zvm_wall_become_nobody(struct zvm_wall_report *reports)
{
	int r = 0;
	if (geteuid() == 0 &&
	    (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
	     syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0))
		r = -errno;
	report(reports, ZVM_WALL_NOBODY, r, "the daemon must be allowed to change to user 65534");
	return r;
}

static int limit(__rlimit_resource_t resource, rlim_t most)
{
	struct rlimit now;
	if (getrlimit(resource, &now) < 0)
		return -errno;
	rlim_t value = now.rlim_max < most ? now.rlim_max : most;
	struct rlimit lowered = {value, value};
	return setrlimit(resource, &lowered) < 0 ? -errno : 0;
}

/* In a user namespace of its own a process has every capability there, whatever its user. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int drop_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return drop_capabilities();
}

int zvm_wall_limits(struct zvm_wall_report *reports)
{
	int r = limit(RLIMIT_CORE, 0);
	r = r ? r : limit(RLIMIT_MEMLOCK, 0);
	r = r ? r : limit(RLIMIT_NOFILE, 4096);
	r = r ? r : limit(RLIMIT_AS, ADDRESS_SPACE_HARD);
	bool own_user = reports[ZVM_WALL_USER].stands || getuid() == NOBODY;
	r = r ? r : limit(RLIMIT_NPROC, own_user ? ZVM_WALL_PROCESSES : PROCESSES_HARD_SHARED);
	r = r ? r : limit(RLIMIT_MSGQUEUE, 0);
	r = r ? r : limit(RLIMIT_RTPRIO, 0);
	report(reports, ZVM_WALL_RLIMITS, r,
	       "hard limits lower than these may have been set by whoever started the daemon");
	int dropped = drop_privileges();
	report(reports, ZVM_WALL_PRIVILEGES, dropped, "");
	return r ? r : dropped;
}

/* --- Landlock --- */

/* What the ruleset was in its newest version that we know; older kernels take its beginning (landlock(7)). */
struct landlock_handled {
	uint64_t files, network, scoped;
};

static size_t landlock_everything(long version, struct landlock_handled *ret)
{
	static const unsigned file_rights[] = {0, 13, 14, 15, 15, 16};
	size_t known = sizeof file_rights / sizeof file_rights[0] - 1;
	ret->files = (1ull << file_rights[(size_t)version < known ? (size_t)version : known]) - 1;
	ret->network = 3; /* binding and connecting TCP sockets */
	ret->scoped = 3;  /* abstract sockets and signals to outside */
	return version < 4 ? sizeof ret->files : version < 6 ? sizeof ret->files + sizeof ret->network : sizeof *ret;
}

void zvm_wall_landlock(bool plain, struct zvm_wall_report *reports)
{
	static const char remedy[] = "a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in the lsm= list";
	struct landlock_handled everything;
	if (plain) {
		report(reports, ZVM_WALL_LANDLOCK, EPERM, "");
		explain(reports, ZVM_WALL_LANDLOCK, "not asked for");
		return;
	}
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1u /* ask for the version */);
	if (version < 1) {
		report(reports, ZVM_WALL_LANDLOCK, version < 0 ? errno : EOPNOTSUPP, remedy);
		return;
	}
	int fd = (int)syscall(SYS_landlock_create_ruleset, &everything, landlock_everything(version, &everything), 0);
	int r = fd < 0 ? errno : 0;
	/* An ordinary user may restrict himself only after giving up setuid programs. */
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = errno;
	if (r == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = errno;
	zvm_close_pointer(&fd);
	report(reports, ZVM_WALL_LANDLOCK, r, remedy);
}

/* --- instructions --- */

bool zvm_wall_instructions(bool trap_cpuid, struct zvm_wall_report *reports)
{
	int r = !trap_cpuid ? ECANCELED : syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0) < 0 ? errno : 0;
	report(reports, ZVM_WALL_CPUID, r,
	       "a processor that can trap cpuid; without it, code that a program makes while it runs sees the real "
	       "one");
	report(reports, ZVM_WALL_TSC, prctl(PR_SET_TSC, PR_TSC_SIGSEGV) < 0 ? errno : 0, "");
	return r == 0;
}
