/* static: does to another process whatever one process can do to another. Arguments: pids. */
#include "escape.h"
#include <sys/ptrace.h>
#include <sys/resource.h>

static void try_signals(long pid)
{
	static const int numbers[] = {SIGTERM, SIGKILL, SIGSTOP, SIGUSR1, SIGHUP, 0};
	siginfo_t info = {.si_code = -1};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		ATTEMPT("kill", SYS_kill, pid, numbers[i], 0, 0, 0, 0);
		ATTEMPT("tkill", SYS_tkill, pid, numbers[i], 0, 0, 0, 0);
		ATTEMPT("tgkill", SYS_tgkill, pid, pid, numbers[i], 0, 0, 0);
		ATTEMPT("rt_sigqueueinfo", SYS_rt_sigqueueinfo, pid, numbers[i], &info, 0, 0, 0);
		ATTEMPT("rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, pid, pid, numbers[i], &info, 0, 0);
		said("raw", "kill of the group", RAW(SYS_kill, -pid, numbers[i], 0, 0, 0, 0));
		said("raw", "kill of all", RAW(SYS_kill, -1, numbers[i], 0, 0, 0, 0));
	}
	long fd = NORMAL(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
	said("normal", "pidfd_open", fd);
	said("raw", "pidfd_open", RAW(SYS_pidfd_open, pid, 0, 0, 0, 0, 0));
	for (fd = 0; fd < 16; fd++)
		RAW(SYS_pidfd_send_signal, fd, SIGKILL, 0, 0, 0, 0);
	ATTEMPT("pidfd_send_signal", SYS_pidfd_send_signal, 5, SIGKILL, 0, 0, 0, 0);
	ATTEMPT("pidfd_getfd", SYS_pidfd_getfd, 5, 0, 0, 0, 0, 0);
}

static void try_reading(long pid)
{
	static char buffer[64];
	struct iovec own = {buffer, sizeof buffer}, its = {(void *)0x400000, sizeof buffer};
	ATTEMPT("ptrace attach", SYS_ptrace, PTRACE_ATTACH, pid, 0, 0, 0, 0);
	ATTEMPT("ptrace seize", SYS_ptrace, PTRACE_SEIZE, pid, 0, 0, 0, 0);
	ATTEMPT("ptrace traceme", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0);
	ATTEMPT("process_vm_readv", SYS_process_vm_readv, pid, &own, 1, &its, 1, 0);
	ATTEMPT("process_vm_writev", SYS_process_vm_writev, pid, &own, 1, &its, 1, 0);
	ATTEMPT("kcmp", SYS_kcmp, pid, pid, 0, 0, 0, 0);
	ATTEMPT("process_madvise", SYS_process_madvise, pid, &own, 1, 4, 0, 0);
	ATTEMPT("get_robust_list", SYS_get_robust_list, pid, buffer, buffer + 8, 0, 0, 0);
}

static void try_changing(long pid)
{
	struct rlimit limit = {5, 5};
	said("raw", "setpriority", RAW(SYS_setpriority, PRIO_PROCESS, pid, 19, 0, 0, 0));
	said("raw", "setpriority of the user", RAW(SYS_setpriority, PRIO_USER, 0, 19, 0, 0, 0));
	said("normal", "setpriority", NORMAL(SYS_setpriority, PRIO_PROCESS, pid, 19, 0, 0, 0));
	ATTEMPT("prlimit64", SYS_prlimit64, pid, RLIMIT_NOFILE, &limit, 0, 0, 0);
	ATTEMPT("sched_setaffinity", SYS_sched_setaffinity, pid, 8, &limit, 0, 0, 0);
	said("raw", "sched_setscheduler", RAW(SYS_sched_setscheduler, pid, 3, &limit, 0, 0, 0));
	said("raw", "ioprio_set", RAW(SYS_ioprio_set, 1, pid, 3 << 13, 0, 0, 0));
	said("raw", "setpgid", RAW(SYS_setpgid, 0, pid, 0, 0, 0, 0));
	said("raw", "setsid", RAW(SYS_setsid, 0, 0, 0, 0, 0, 0));
	said("raw", "wait4", RAW(SYS_wait4, -1, 0, 1, 0, 0, 0));
	said("raw", "waitid", RAW(SYS_waitid, 1, pid, 0, 5, 0, 0));
	said("raw", "migrate_pages", RAW(SYS_migrate_pages, pid, 64, &limit, &limit, 0, 0));
	said("raw", "move_pages", RAW(SYS_move_pages, pid, 0, 0, 0, 0, 0));
}

int main(int argc, char **argv)
{
	take_over();
	for (int i = 1; i < argc; i++) { /* not 1, which the monitor takes for us */
		try_signals(atol(argv[i]));
		try_reading(atol(argv[i]));
		try_changing(atol(argv[i]));
	}
	/* Who forked us, whose number the kernel does tell. */
	long parent = RAW(SYS_getppid, 0, 0, 0, 0, 0, 0);
	said("raw", "kill of pid 1", RAW(SYS_kill, 1, SIGKILL, 0, 0, 0, 0));
	said("raw", "kill of the launcher", RAW(SYS_kill, parent, SIGKILL, 0, 0, 0, 0));
	said("raw", "tkill of the launcher", RAW(SYS_tkill, parent, SIGKILL, 0, 0, 0, 0));
	said("raw", "ptrace of the launcher", RAW(SYS_ptrace, PTRACE_ATTACH, parent, 0, 0, 0, 0));
	puts("tried the victim");
	return 0;
}
