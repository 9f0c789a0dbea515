/*
 * The wall. The filters are run by a small BPF machine over tables of calls, allowed and forbidden, and then really
 * installed in children that try. The other walls are put up in children that look at what is left to them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <asm/prctl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "wall.h"

#define TEXT_START 0x7e0000001000ull
#define TEXT_END 0x7e0000021000ull
#define X32 0x40000000u

static struct zvm_handoff handoff;

/* --- a BPF machine --- */

static bool jumps(const struct zvm_filter_instruction *i, uint32_t a)
{
	switch (BPF_OP(i->code)) {
	case BPF_JA: return true;
	case BPF_JEQ: return a == i->k;
	case BPF_JGT: return a > i->k;
	case BPF_JGE: return a >= i->k;
	case BPF_JSET: return a & i->k;
	default: fail_msg("unknown jump %#x", i->code); return false;
	}
}

static uint32_t run_filter(const struct zvm_filter_instruction *program, uint32_t count,
                           const struct seccomp_data *data)
{
	uint32_t a = 0;
	for (uint32_t at = 0; at < count; at++) {
		const struct zvm_filter_instruction *i = &program[at];
		if (i->code == (BPF_LD | BPF_W | BPF_ABS)) {
			assert_true(i->k % 4 == 0 && i->k + 4 <= sizeof *data);
			memcpy(&a, (const char *)data + i->k, 4);
		} else if (i->code == (BPF_ALU | BPF_AND | BPF_K)) {
			a &= i->k;
		} else if (BPF_CLASS(i->code) == BPF_JMP) {
			at += BPF_OP(i->code) == BPF_JA ? i->k : jumps(i, a) ? i->jump_true : i->jump_false;
		} else if (i->code == (BPF_RET | BPF_K)) {
			return i->k;
		} else {
			fail_msg("unknown instruction %#x", i->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static uint32_t wall(const struct seccomp_data *data)
{
	return run_filter(handoff.wall, handoff.wall_count, data);
}

static uint32_t redirect(uint32_t arch, int number, uint64_t instruction_pointer)
{
	struct seccomp_data data = {.nr = number, .arch = arch, .instruction_pointer = instruction_pointer};
	return run_filter(handoff.redirect, handoff.redirect_count, &data);
}

#define REFUSED (SECCOMP_RET_ERRNO | ENOSYS)
#define LOW 0x10000ull
#define LAST (ZVM_GUEST_END - 4096)
#define MONITOR ZVM_MONITOR_BASE
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)

struct call {
	int number;
	uint64_t a[6];
};

static void assert_wall(const struct call *calls, size_t count, uint32_t answer)
{
	for (size_t i = 0; i < count; i++) {
		struct seccomp_data data = {.nr = calls[i].number, .arch = AUDIT_ARCH_X86_64};
		memcpy(data.args, calls[i].a, sizeof data.args);
		if (wall(&data) != answer)
			fail_msg("call %d, number %zu of its table: %#x instead of %#x", calls[i].number, i,
			         wall(&data), answer);
	}
}

static int prepare(void **state)
{
	(void)state;
	return zvm_wall_filters(TEXT_START, TEXT_END, &handoff);
}

static void what_the_monitor_does_is_allowed(void **state)
{
	(void)state;
	static const struct call calls[] = {
	        {SYS_pread64, {100, LOW, 4096, 1 << 20}},
	        {SYS_write, {3, LOW, 10}},
	        {SYS_close, {3}},
	        {SYS_writev, {3, LOW, 2}},
	        {SYS_recvmsg, {3, LOW, MSG_CMSG_CLOEXEC}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap,
	         {LAST, ZVM_MAP_LENGTH_MAX, PROT_READ | PROT_WRITE | PROT_EXEC, ANONYMOUS | MAP_NORESERVE, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, 5}},
	        {SYS_mmap, {ZVM_ARENA_BASE, ZVM_ARENA_MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 4, 0}},
	        {SYS_munmap, {LOW, 4096}},
	        {SYS_munmap, {LAST, 4096}},
	        {SYS_mprotect, {LOW, 4096, PROT_READ | PROT_EXEC}},
	        {SYS_mremap, {LOW, 4096, 8192, 0, 0}},
	        {SYS_mremap, {LOW, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, LAST}},
	        {SYS_madvise, {LOW, 4096, MADV_DONTNEED}},
	        {SYS_madvise, {LOW, 4096, MADV_POPULATE_READ}},
	        {SYS_madvise, {LOW, 4096, MADV_POPULATE_WRITE}},
	        {SYS_arch_prctl, {ARCH_SET_FS, LOW}},
	        {SYS_arch_prctl, {ARCH_SET_GS, LOW}},
	        {SYS_rt_sigreturn, {0}},
	        {SYS_sigaltstack, {MONITOR, 0}},
	        {SYS_futex, {ZVM_ARENA_BASE, FUTEX_WAIT, 0, 0}},
	        {SYS_futex, {ZVM_ARENA_BASE, FUTEX_WAKE, 1, 0}},
	        {SYS_clone, {CLONE_PARENT | SIGCHLD}},
	        {SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}},
	        {SYS_getppid, {0}},
	        {SYS_prlimit64, {0, RLIMIT_CPU, LOW, 0}},
	        {SYS_prlimit64, {0, RLIMIT_DATA, LOW, 0}},
	        {SYS_prlimit64, {0, RLIMIT_FSIZE, LOW, 0}},
	        {SYS_exit_group, {0}},
	};
	assert_wall(calls, sizeof calls / sizeof calls[0], SECCOMP_RET_ALLOW);
}

static void the_same_calls_with_other_arguments_are_not(void **state)
{
	(void)state;
	static const struct call calls[] = {
	        /* Addresses at and above the guest's end, lengths that reach there, and sums that wrap. */
	        {SYS_mmap, {ZVM_GUEST_END, 4096, PROT_READ, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {MONITOR, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {UINT64_MAX - 4095, 4096, PROT_READ, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {LOW, ZVM_MAP_LENGTH_MAX + 1, PROT_READ, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {LOW, UINT64_MAX, PROT_READ, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX}}, /* the kernel would choose */
	        {SYS_mmap, {LOW, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS | MAP_GROWSDOWN, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS | MAP_HUGETLB, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS | MAP_LOCKED, UINT64_MAX}},
	        /* Memory that no limit counts, and kinds that only newer kernels know. */
	        {SYS_mmap, {LOW, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, 3 /* _SHARED_VALIDATE */ | MAP_FIXED, 5}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, 8 /* _DROPPABLE */ | MAP_ANONYMOUS | MAP_FIXED, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS | MAP_POPULATE, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ, ANONYMOUS | 1ull << 40, UINT64_MAX}},
	        {SYS_mmap, {LOW, 4096, PROT_READ | PROT_GROWSDOWN, ANONYMOUS, UINT64_MAX}},
	        {SYS_mprotect, {LOW, 4096, PROT_READ | PROT_GROWSUP}},
	        /* The arena's place is for the arena. */
	        {SYS_mmap, {ZVM_ARENA_BASE, 96ull << 40, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 4}},
	        {SYS_mmap, {ZVM_ARENA_BASE, ZVM_ARENA_MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 4, 4096}},
	        {SYS_mmap, {ZVM_ARENA_BASE, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, 4}},
	        {SYS_mmap, {ZVM_ARENA_BASE, 4096, PROT_READ | PROT_WRITE, ANONYMOUS, UINT64_MAX}},
	        {SYS_mmap, {ZVM_ARENA_BASE + 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 4}},
	        {SYS_munmap, {MONITOR, 4096}},
	        {SYS_munmap, {ZVM_GUEST_END, 4096}},
	        {SYS_munmap, {LOW, 0x800000000000}},
	        {SYS_mprotect, {MONITOR, 4096, PROT_READ | PROT_WRITE | PROT_EXEC}},
	        {SYS_mprotect, {ZVM_ARENA_BASE, 4096, PROT_EXEC}},
	        {SYS_mprotect, {LOW, 0x7e0000000000, PROT_READ}},
	        {SYS_mremap, {MONITOR, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, LOW}},
	        {SYS_mremap, {LOW, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, MONITOR}},
	        {SYS_mremap, {LOW, 4096, 8192, MREMAP_MAYMOVE, 0}},
	        {SYS_mremap, {LOW, 4096, ZVM_MAP_LENGTH_MAX + 1, 0, 0}},
	        {SYS_mremap, {LOW, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED | 4 /* DONTUNMAP */, LOW}},
	        {SYS_madvise, {MONITOR, 4096, MADV_DONTNEED}},
	        {SYS_madvise, {MONITOR, 4096, MADV_POPULATE_READ}},
	        {SYS_madvise, {MONITOR, 4096, MADV_POPULATE_WRITE}},
	        {SYS_madvise, {LOW, 4096, MADV_HWPOISON}},
	        {SYS_madvise, {LOW, 4096, 101 /* MADV_SOFT_OFFLINE */}},
	        {SYS_madvise, {LOW, 4096, MADV_MERGEABLE}},
	        {SYS_madvise, {LOW, 4096, MADV_DONTNEED | 1ull << 32}},
	        {SYS_arch_prctl, {ARCH_SET_CPUID, 1}},
	        {SYS_arch_prctl, {0x4001, LOW}}, /* a shadow stack or a linear address mask */
	        {SYS_recvmsg, {3, LOW, MSG_PEEK}},
	        {SYS_recvmsg, {3, LOW, MSG_PEEK | MSG_CMSG_CLOEXEC}},
	        {SYS_recvmsg, {3, LOW, 0}},
	        /* A word of a library that another box maps too. */
	        {SYS_futex, {LOW, FUTEX_WAIT}},
	        {SYS_futex, {LOW, FUTEX_WAKE}},
	        {SYS_futex, {ZVM_ARENA_BASE, FUTEX_LOCK_PI}},
	        {SYS_futex, {ZVM_ARENA_BASE, FUTEX_REQUEUE}},
	        {SYS_futex, {LOW, FUTEX_LOCK_PI}},
	        {SYS_futex, {LOW, FUTEX_CMP_REQUEUE}},
	        {SYS_futex, {LOW, FUTEX_WAIT | FUTEX_CLOCK_REALTIME}},
	        {SYS_clone, {SIGCHLD}},
	        {SYS_clone, {CLONE_PARENT | SIGCHLD | CLONE_NEWUSER}},
	        {SYS_clone, {CLONE_PARENT | SIGCHLD | CLONE_VM}},
	        {SYS_clone, {CLONE_PARENT | SIGCHLD | CLONE_FILES}},
	        {SYS_clone, {CLONE_PARENT | SIGKILL}},
	        {SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}},
	        {SYS_prctl, {PR_SET_PDEATHSIG, 0}},
	        {SYS_prctl, {PR_SET_DUMPABLE, 1}},
	        {SYS_prctl, {PR_SET_MM, 1}},
	        {SYS_prctl, {PR_SET_TSC, PR_TSC_ENABLE}},
	        {SYS_prctl, {PR_SET_SECCOMP, 1}},
	        {SYS_prlimit64, {0, RLIMIT_NOFILE, LOW, 0}},
	        {SYS_prlimit64, {0, RLIMIT_NPROC, LOW, 0}},
	        {SYS_prlimit64, {1, RLIMIT_CPU, LOW, 0}},
	        {SYS_prlimit64, {0, RLIMIT_CPU, LOW, LOW}},
	};
	assert_wall(calls, sizeof calls / sizeof calls[0], REFUSED);
}

/* Whatever its arguments: every call that no rule names. New calls of newer kernels are among them. */
static void calls_that_are_not_listed_do_not_exist(void **state)
{
	(void)state;
	static const int listed[] = {SYS_pread64,    SYS_write,        SYS_close,       SYS_writev,    SYS_recvmsg,
	                             SYS_mmap,       SYS_munmap,       SYS_mprotect,    SYS_mremap,    SYS_madvise,
	                             SYS_arch_prctl, SYS_rt_sigreturn, SYS_sigaltstack, SYS_futex,     SYS_clone,
	                             SYS_prctl,      SYS_prlimit64,    SYS_getppid,     SYS_exit_group};
	static const uint64_t values[] = {0, 1, 3, LOW, LAST, CLONE_PARENT | SIGCHLD, UINT64_MAX};
	for (int number = 0; number < 1024; number++) {
		bool known = false;
		for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++)
			known |= listed[i] == number;
		for (size_t v = 0; !known && v < sizeof values / sizeof values[0]; v++) {
			struct call call = {number, {values[v], values[v], values[v], values[v], values[v], values[v]}};
			assert_wall(&call, 1, REFUSED);
		}
	}
	/* By name, those that would matter most. */
	static const int dangerous[] = {SYS_open,
	                                SYS_openat,
	                                SYS_openat2,
	                                SYS_execve,
	                                SYS_execveat,
	                                SYS_socket,
	                                SYS_connect,
	                                SYS_socketpair,
	                                SYS_ptrace,
	                                SYS_io_uring_setup,
	                                SYS_keyctl,
	                                SYS_bpf,
	                                SYS_perf_event_open,
	                                SYS_userfaultfd,
	                                SYS_memfd_create,
	                                SYS_process_vm_readv,
	                                SYS_process_vm_writev,
	                                SYS_personality,
	                                SYS_ioctl,
	                                SYS_fcntl,
	                                SYS_kill,
	                                SYS_tgkill,
	                                SYS_pidfd_send_signal,
	                                SYS_unshare,
	                                SYS_setns,
	                                SYS_mount,
	                                SYS_clone3,
	                                SYS_setpgid,
	                                SYS_setsid,
	                                SYS_seccomp,
	                                SYS_rt_sigaction,
	                                SYS_shmget,
	                                SYS_msgget,
	                                SYS_modify_ldt,
	                                SYS_dup2,
	                                SYS_sendto,
	                                SYS_sendmsg,
	                                SYS_sendmmsg,
	                                SYS_recvmmsg,
	                                SYS_recvfrom,
	                                SYS_ftruncate,
	                                SYS_fallocate,
	                                SYS_fchmod,
	                                SYS_fchown,
	                                SYS_fsetxattr,
	                                SYS_vmsplice,
	                                SYS_pwrite64,
	                                SYS_exit,
	                                SYS_splice};
	for (size_t i = 0; i < sizeof dangerous / sizeof dangerous[0]; i++) {
		struct call call = {dangerous[i], {0}};
		assert_wall(&call, 1, REFUSED);
	}
}

static void other_architectures_are_killed_by_both_filters(void **state)
{
	(void)state;
	static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		for (int number = 0; number < 500; number++) {
			struct seccomp_data data = {
			        .nr = number, .arch = others[i], .instruction_pointer = TEXT_START + 2};
			assert_int_equal(wall(&data), SECCOMP_RET_KILL_PROCESS);
			assert_int_equal(redirect(others[i], number, TEXT_START + 2), SECCOMP_RET_KILL_PROCESS);
		}
	for (unsigned number = 0; number < 1024; number++) {
		struct seccomp_data data = {.nr = (int)(number | X32), .arch = AUDIT_ARCH_X86_64};
		assert_int_equal(wall(&data), SECCOMP_RET_KILL_PROCESS);
		assert_int_equal(redirect(AUDIT_ARCH_X86_64, (int)(number | X32), TEXT_START + 2),
		                 SECCOMP_RET_KILL_PROCESS);
	}
	/* -1 has the bit of x32 and is no call at all. */
	assert_int_equal(redirect(AUDIT_ARCH_X86_64, -1, LOW), SECCOMP_RET_TRAP);
	struct seccomp_data data = {.nr = -1, .arch = AUDIT_ARCH_X86_64};
	assert_true(wall(&data) != SECCOMP_RET_ALLOW);
}

static void only_the_monitors_text_is_not_redirected(void **state)
{
	(void)state;
	static const uint64_t inside[] = {TEXT_START + 2, TEXT_START + 0x1000, TEXT_END - 1, TEXT_END};
	static const uint64_t outside[] = {0,
	                                   2,
	                                   TEXT_START - 4096,
	                                   TEXT_START,
	                                   TEXT_END + 1,
	                                   TEXT_END + 4096,
	                                   TEXT_START + (1ull << 32),
	                                   TEXT_START - (1ull << 32),
	                                   (uint32_t)TEXT_START + 2,
	                                   0xffffffffff600009ull,
	                                   UINT64_MAX};
	for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
		assert_int_equal(redirect(AUDIT_ARCH_X86_64, SYS_write, inside[i]), SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
		assert_int_equal(redirect(AUDIT_ARCH_X86_64, SYS_write, outside[i]), SECCOMP_RET_TRAP);
	assert_true(handoff.redirect_count <= 16);
}

static void a_text_that_one_comparison_cannot_hold_is_refused(void **state)
{
	struct zvm_handoff *other = calloc(1, sizeof *other);
	(void)state;
	assert_int_equal(zvm_wall_filters(0x1fffff000, 0x200001000, other), -EINVAL);
	assert_int_equal(zvm_wall_filters(0x2000, 0x1000, other), -EINVAL);
	free(other);
}

/* --- really installed --- */

static long raw(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static void install(struct zvm_filter_instruction *program, uint32_t count)
{
	struct sock_fprog filter = {(unsigned short)count, (struct sock_filter *)program};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
		_exit(99);
}

static void leave(int status)
{
	for (;;)
		raw(SYS_exit_group, status, 0, 0);
}

static int status_of(void (*child)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core files of those that are meant to die */
		child();
		leave(98);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void try_forbidden_calls(void)
{
	static const long numbers[] = {SYS_openat, SYS_open,   SYS_execve, SYS_socket,         SYS_ptrace,
	                               SYS_kill,   SYS_getpid, SYS_fork,   SYS_io_uring_setup, SYS_clone3};
	install(handoff.wall, handoff.wall_count);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (raw(numbers[i], 0, 0, 0) != -ENOSYS)
			leave((int)i + 1);
	if (raw(SYS_munmap, (long)MONITOR, 4096, 0) != -ENOSYS)
		leave(50);
	if (raw(SYS_close, 1000, 0, 0) != -EBADF || raw(SYS_munmap, (long)LOW, 4096, 0) != 0)
		leave(51);
	leave(0);
}

static void call_as_i386(void)
{
	long result = 20; /* getpid there */
	install(handoff.wall, handoff.wall_count);
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
}

static void call_as_x32(void)
{
	install(handoff.wall, handoff.wall_count);
	raw(SYS_getpid | (long)X32, 0, 0, 0);
}

static void call_from_outside_the_text(void)
{
	install(handoff.redirect, handoff.redirect_count);
	raw(SYS_getpid, 0, 0, 0);
}

/* A text of our own: `syscall; ret`. Calls from there pass, the same from here does not. */
static void call_from_inside_then_outside(void)
{
	static const unsigned char code[] = {0x0f, 0x05, 0xc3};
	static struct zvm_handoff own;
	long result = SYS_getpid, pid = getpid();
	unsigned char *text = mmap((void *)0x200000000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memcpy(text, code, sizeof code);
	if (zvm_wall_filters((uintptr_t)text, (uintptr_t)text + sizeof code, &own))
		_exit(97);
	install(own.redirect, own.redirect_count);
	__asm__ volatile("call *%1" : "+a"(result) : "r"(text) : "rcx", "r11", "memory");
	if (result != pid)
		__builtin_trap();
	raw(SYS_getpid, 0, 0, 0);
}

static void installed_the_filters_do_the_same(void **state)
{
	(void)state;
	assert_int_equal(status_of(try_forbidden_calls), 0);
	int status = status_of(call_as_i386);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = status_of(call_as_x32);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = status_of(call_from_outside_the_text);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	status = status_of(call_from_inside_then_outside);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* --- the other walls --- */

static struct zvm_wall_report *reports;

static bool status_line_is_in(const char *path, const char *name, const char *value)
{
	char line[256];
	bool found = false;
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			found = strstr(line, value) != NULL;
	if (f)
		fclose(f);
	return found;
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
	        cmocka_unit_test(what_the_monitor_does_is_allowed),
	        cmocka_unit_test(the_same_calls_with_other_arguments_are_not),
	        cmocka_unit_test(calls_that_are_not_listed_do_not_exist),
	        cmocka_unit_test(other_architectures_are_killed_by_both_filters),
	        cmocka_unit_test(only_the_monitors_text_is_not_redirected),
	        cmocka_unit_test(a_text_that_one_comparison_cannot_hold_is_refused),
	        cmocka_unit_test(installed_the_filters_do_the_same),
	        cmocka_unit_test(a_cgroup_holds_all_boxes_or_says_why_not),
	        cmocka_unit_test(a_zygote_has_no_privileges_left),
	        cmocka_unit_test(the_launchers_walls_stand_or_say_why_not),
	        cmocka_unit_test(so_they_do_for_an_ordinary_user),
	        cmocka_unit_test(so_they_do_where_user_namespaces_are_switched_off),
	        cmocka_unit_test(a_launcher_in_a_chroot_keeps_no_mount),
	};
	reports =
	        mmap(NULL, sizeof *reports * ZVM_WALL_COUNT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return reports == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, prepare, NULL);
}
