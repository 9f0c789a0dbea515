/*
 * The filters of the wall: run by a small BPF machine over tables of calls, allowed and forbidden, and then really
 * installed in children that try.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <zvm/cleanup.h>
#include "children.h"
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
	};
	return cmocka_run_group_tests(tests, prepare, NULL);
}
