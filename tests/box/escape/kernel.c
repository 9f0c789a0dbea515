/* static: parts of the kernel that a guest has no business with. */
#include "escape.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#define MARK "zvm-escape"
#define IPC_KEY 0x5a564d01

static void try_namespaces(void)
{
	static const long flags[] = {CLONE_NEWUSER, CLONE_NEWNS,     CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
	                             CLONE_NEWUTS,  CLONE_NEWCGROUP, CLONE_FS,     CLONE_FILES};
	struct {
		uint64_t flags, pidfd, child, parent, signal, stack, size, tls;
	} clone3 = {.flags = CLONE_NEWUSER, .signal = SIGCHLD};
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		said("raw", "unshare", RAW(SYS_unshare, flags[i], 0, 0, 0, 0, 0));
		said("raw", "clone", RAW(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0, 0));
		said("raw", "setns", RAW(SYS_setns, (long)i, flags[i], 0, 0, 0, 0));
		if (i < 7) {
			said("normal", "unshare", NORMAL(SYS_unshare, flags[i], 0, 0, 0, 0, 0));
			said("normal", "clone", NORMAL(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0, 0));
		}
		said("normal", "setns", NORMAL(SYS_setns, (long)i, flags[i], 0, 0, 0, 0));
	}
	ATTEMPT("clone3", SYS_clone3, &clone3, sizeof clone3, 0, 0, 0, 0);
}

static void try_mounts(void)
{
	ATTEMPT("mount", SYS_mount, MARK, "/tmp", "tmpfs", 0, 0, 0);
	ATTEMPT("bind mount", SYS_mount, "/", "/tmp", 0, MS_BIND, 0, 0);
	ATTEMPT("umount2", SYS_umount2, "/", MNT_DETACH, 0, 0, 0, 0);
	ATTEMPT("pivot_root", SYS_pivot_root, ".", ".", 0, 0, 0, 0);
	ATTEMPT("chroot", SYS_chroot, "/tmp", 0, 0, 0, 0, 0);
	ATTEMPT("fsopen", SYS_fsopen, "tmpfs", 0, 0, 0, 0, 0);
	ATTEMPT("open_tree", SYS_open_tree, AT_FDCWD, "/", 1, 0, 0, 0);
	ATTEMPT("move_mount", SYS_move_mount, 3, "", AT_FDCWD, "/tmp", 4, 0);
	ATTEMPT("open_by_handle_at", SYS_open_by_handle_at, 3, MARK, 0, 0, 0, 0);
	ATTEMPT("name_to_handle_at", SYS_name_to_handle_at, AT_FDCWD, "/", MARK, MARK, 0, 0);
}

static void try_ipc(void)
{
	ATTEMPT("add_key", SYS_add_key, "user", MARK, "x", 1, -4 /* the user's keyring */, 0);
	ATTEMPT("request_key", SYS_request_key, "user", MARK, 0, -4, 0, 0);
	ATTEMPT("keyctl", SYS_keyctl, 1, "zvm", 0, 0, 0, 0);
	ATTEMPT("shmget", SYS_shmget, IPC_KEY, 4096, 01000 | 0666, 0, 0, 0);
	ATTEMPT("shmat", SYS_shmat, 0, 0, 0, 0, 0, 0);
	ATTEMPT("msgget", SYS_msgget, IPC_KEY, 01000 | 0666, 0, 0, 0, 0);
	ATTEMPT("semget", SYS_semget, IPC_KEY, 1, 01000 | 0666, 0, 0, 0);
	ATTEMPT("mq_open", SYS_mq_open, MARK, O_CREAT | O_RDWR, 0666, 0, 0, 0);
	said("raw", "memfd_create", RAW(SYS_memfd_create, MARK, 0, 0, 0, 0, 0));
	said("raw", "memfd_secret", RAW(SYS_memfd_secret, 0, 0, 0, 0, 0, 0));
}

static void try_machinery(void)
{
	char zero[256] = "";
	union bpf_attr bpf = {.map_type = BPF_MAP_TYPE_ARRAY};
	struct perf_event_attr perf = {.size = sizeof perf};
	ATTEMPT("io_uring_setup", SYS_io_uring_setup, 8, zero, 0, 0, 0, 0);
	ATTEMPT("io_uring_enter", SYS_io_uring_enter, 3, 1, 1, 0, 0, 0);
	ATTEMPT("userfaultfd", SYS_userfaultfd, 0, 0, 0, 0, 0, 0);
	ATTEMPT("userfaultfd for the user", SYS_userfaultfd, 1, 0, 0, 0, 0, 0);
	ATTEMPT("bpf", SYS_bpf, BPF_MAP_CREATE, &bpf, sizeof bpf, 0, 0, 0);
	ATTEMPT("perf_event_open", SYS_perf_event_open, &perf, 0, -1, -1, 0, 0);
	ATTEMPT("fanotify_init", SYS_fanotify_init, 0, 0, 0, 0, 0, 0);
	ATTEMPT("modify_ldt", SYS_modify_ldt, 1, zero, 16, 0, 0, 0);
	ATTEMPT("iopl", SYS_iopl, 3, 0, 0, 0, 0, 0);
	ATTEMPT("ioperm", SYS_ioperm, 0, 8, 1, 0, 0, 0);
	ATTEMPT("remap_file_pages", SYS_remap_file_pages, 0x10000000, 4096, 0, 0, 0, 0);
	ATTEMPT("vmsplice", SYS_vmsplice, 1, zero, 0, 0, 0, 0);
	said("raw", "seccomp", RAW(SYS_seccomp, 1, 0, zero, 0, 0, 0));
	said("raw", "personality", RAW(SYS_personality, 0x0040000, 0, 0, 0, 0, 0));
	said("raw", "execveat", RAW(SYS_execveat, AT_FDCWD, "/usr/bin/true", 0, 0, 0, 0));
	said("raw", "landlock", RAW(SYS_landlock_create_ruleset, 0, 0, 1, 0, 0, 0));
	said("raw", "setresuid", RAW(SYS_setresuid, 0, 0, 0, 0, 0, 0));
	said("raw", "capset", RAW(SYS_capset, zero, zero, 0, 0, 0, 0));
}

static void try_system(void)
{
	struct timespec then = {1, 1};
	ATTEMPT("sethostname", SYS_sethostname, MARK, 10, 0, 0, 0, 0);
	ATTEMPT("setdomainname", SYS_setdomainname, MARK, 10, 0, 0, 0, 0);
	ATTEMPT("clock_settime", SYS_clock_settime, CLOCK_REALTIME, &then, 0, 0, 0, 0);
	ATTEMPT("settimeofday", SYS_settimeofday, &then, 0, 0, 0, 0, 0);
	ATTEMPT("reboot", SYS_reboot, 0xfee1dead, 672274793, 0 /* Ctrl-Alt-Del off */, 0, 0, 0);
	ATTEMPT("init_module", SYS_init_module, MARK, 10, MARK, 0, 0, 0);
	ATTEMPT("kexec_load", SYS_kexec_load, 0, 0, 0, 0, 0, 0);
	ATTEMPT("swapon", SYS_swapon, MARK, 0, 0, 0, 0, 0);
	ATTEMPT("acct", SYS_acct, MARK, 0, 0, 0, 0, 0);
	ATTEMPT("syslog", SYS_syslog, 3, MARK, 0, 0, 0, 0);
	ATTEMPT("quotactl", SYS_quotactl, 0, MARK, 0, 0, 0, 0);
	ATTEMPT("vhangup", SYS_vhangup, 0, 0, 0, 0, 0, 0);
	ATTEMPT("lookup_dcookie", SYS_lookup_dcookie, 0, 0, 0, 0, 0, 0);
}

/* The terminal's input queue and the console's selection; the kernel looks at the low 32 bits only. */
static void try_terminal(void)
{
	static const unsigned long commands[] = {0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x540e /* TIOCSCTTY */,
	                                         0x5401 /* TCGETS */};
	int normal = 0, raw = 0;
	for (int fd = 0; fd < 64; fd++)
		for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
			for (unsigned high = 0; high < 3; high++) {
				unsigned long command = commands[i] | (high == 0   ? 0
				                                       : high == 1 ? 1ul << 32
				                                                   : ~0ul << 32);
				normal += NORMAL(SYS_ioctl, fd, command, "X", 0, 0, 0) >= 0;
				raw += RAW(SYS_ioctl, fd, command, "X", 0, 0, 0) != -ENOSYS;
			}
	printf("tried 768 terminal calls: the monitor granted %d, the wall %d\n", normal, raw);
}

int main(void)
{
	take_over();
	try_namespaces();
	try_mounts();
	try_ipc();
	try_machinery();
	try_system();
	try_terminal();
	puts("tried the kernel");
	return 0;
}
