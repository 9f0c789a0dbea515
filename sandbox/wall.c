/*
 * The system calls that the kernel will do for a box at all. Reads as a policy: what is not listed does not exist
 * (ENOSYS), whoever asks. The guest's own calls never get this far, as the redirect sends them to the monitor; this
 * list is for the monitor, and for a guest that has taken it over. So each line must be harmless in hostile hands.
 *
 * Two filters, because libseccomp cannot test the instruction pointer: the kernel takes the stricter answer
 * (KILL over TRAP over ERRNO over ALLOW), so the wall's default must be ERRNO for the redirect's TRAP to win.
 */
#include "wall.h"
#include <asm/prctl.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zvm/cleanup.h>

#define X32_BIT 0x40000000u

/* clang-format off */
/* Arguments of comparisons: address below the guest's end and a length that cannot reach the monitor from there. */
#define ADDRESS(n) {(n), SCMP_CMP_LT, ZVM_GUEST_END, 0}
#define LENGTH(n) {(n), SCMP_CMP_LE, ZVM_MAP_LENGTH_MAX, 0}
#define IN_ARENA(n) {(n), SCMP_CMP_GE, ZVM_ARENA_BASE, 0}
#define EXACTLY(n, value) {(n), SCMP_CMP_EQ, (value), 0}
#define AT_MOST_BITS(n, optional, value) {(n), SCMP_CMP_MASKED_EQ, ~(scmp_datum_t)(optional), (value)}
#define PROTECTION(n) AT_MOST_BITS((n), PROT_READ | PROT_WRITE | PROT_EXEC, 0)
#define WHATEVER {{0, 0, 0, 0}}

struct rule {
	int call;
	unsigned count;
	struct scmp_arg_cmp comparisons[5];
};

static const struct rule policy[] = {
	/* Bytes of the input and of files that the broker handed over: all of them are open for reading only. */
	{SCMP_SYS(pread64), 0, WHATEVER},
	/* Bytes to the two outputs, which are open for appending only and end at RLIMIT_FSIZE. */
	{SCMP_SYS(write), 0, WHATEVER},
	/* One packet to the broker, which expects anything. Not sendmsg: no descriptor can be sent along. */
	{SCMP_SYS(writev), 0, WHATEVER},
	/* The broker's answer, with descriptors. Not peeking, which would multiply them; they end at RLIMIT_NOFILE. */
	{SCMP_SYS(recvmsg), 1, {EXACTLY(2, MSG_CMSG_CLOEXEC)}},
	/* Giving up what one has. */
	{SCMP_SYS(close), 0, WHATEVER},
	/* The guest's own memory, always at a named place below the monitor, and counted: private, so that RLIMIT_DATA
	   holds it. Never growing, huge, locked, or of a kind that is yet to be invented. */
	{SCMP_SYS(mmap), 4,
	 {ADDRESS(0), LENGTH(1), PROTECTION(2),
	  AT_MOST_BITS(3, MAP_ANONYMOUS | MAP_NORESERVE, MAP_PRIVATE | MAP_FIXED)}},
	/* Pages of a file, shared: those of the arena, which is sealed at its size. Not anonymous ones, which no limit
	   of the kernel would count. */
	{SCMP_SYS(mmap), 4, {ADDRESS(0), LENGTH(1), PROTECTION(2), EXACTLY(3, MAP_SHARED | MAP_FIXED)}},
	/* The arena itself, once, where the monitor expects it. A guest that repeats this only harms its own run. */
	{SCMP_SYS(mmap), 5,
	 {EXACTLY(0, ZVM_ARENA_BASE), EXACTLY(1, ZVM_ARENA_MAPPED), EXACTLY(2, PROT_READ | PROT_WRITE),
	  EXACTLY(3, MAP_SHARED | MAP_FIXED), EXACTLY(5, 0)}},
	/* Giving it back and protecting it: the monitor's own text stays mapped and read-only, whoever asks. */
	{SCMP_SYS(munmap), 2, {ADDRESS(0), LENGTH(1)}},
	{SCMP_SYS(mprotect), 3, {ADDRESS(0), LENGTH(1), PROTECTION(2)}},
	/* Growing in place, or moving to a named place; never where the kernel likes, which may be above. */
	{SCMP_SYS(mremap), 4, {ADDRESS(0), LENGTH(1), LENGTH(2), EXACTLY(3, 0)}},
	{SCMP_SYS(mremap), 5,
	 {ADDRESS(0), LENGTH(1), LENGTH(2), EXACTLY(3, MREMAP_MAYMOVE | MREMAP_FIXED), ADDRESS(4)}},
	/* Only the advice that frees memory, or does what touching it would: nothing that poisons, merges or pins pages. */
	{SCMP_SYS(madvise), 3, {ADDRESS(0), LENGTH(1), EXACTLY(2, MADV_DONTNEED)}},
	{SCMP_SYS(madvise), 3, {ADDRESS(0), LENGTH(1), EXACTLY(2, MADV_POPULATE_READ)}},
	{SCMP_SYS(madvise), 3, {ADDRESS(0), LENGTH(1), EXACTLY(2, MADV_POPULATE_WRITE)}},
	/* Thread pointers: they only say where the guest's own loads and stores go. */
	{SCMP_SYS(arch_prctl), 1, {EXACTLY(0, ARCH_SET_FS)}},
	{SCMP_SYS(arch_prctl), 1, {EXACTLY(0, ARCH_SET_GS)}},
	/* The way back from a trap, and the stack that traps arrive on. */
	{SCMP_SYS(rt_sigreturn), 0, WHATEVER},
	{SCMP_SYS(sigaltstack), 0, WHATEVER},
	/* Waiting for the token: a word of the arena, which no other box has. (Two boxes may map the same library, and
	   could wake each other by a word of it.) No priority inheritance, no requeueing. */
	{SCMP_SYS(futex), 2, {IN_ARENA(0), EXACTLY(1, FUTEX_WAIT)}},
	{SCMP_SYS(futex), 2, {IN_ARENA(0), EXACTLY(1, FUTEX_WAKE)}},
	/* A plain child of the launcher, nothing shared, nothing new. Bounded by RLIMIT_NPROC; dies with its group. */
	{SCMP_SYS(clone), 1, {EXACTLY(0, CLONE_PARENT | SIGCHLD)}},
	/* Asking to be killed when the launcher is, and whether it was still there: a number that leads nowhere. */
	{SCMP_SYS(prctl), 2, {EXACTLY(0, PR_SET_PDEATHSIG), EXACTLY(1, SIGKILL)}},
	{SCMP_SYS(getppid), 0, WHATEVER},
	/* The run's limits, of the own process, without reading the old ones: hard limits can only be lowered. */
	{SCMP_SYS(prlimit64), 3, {EXACTLY(0, 0), EXACTLY(1, RLIMIT_CPU), EXACTLY(3, 0)}},
	{SCMP_SYS(prlimit64), 3, {EXACTLY(0, 0), EXACTLY(1, RLIMIT_DATA), EXACTLY(3, 0)}},
	{SCMP_SYS(prlimit64), 3, {EXACTLY(0, 0), EXACTLY(1, RLIMIT_FSIZE), EXACTLY(3, 0)}},
	/* The end. */
	{SCMP_SYS(exit_group), 0, WHATEVER},
};
/* clang-format on */

static int build(scmp_filter_ctx context)
{
	for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++) {
		const struct rule *rule = &policy[i];
		int r = seccomp_rule_add_exact_array(context, SCMP_ACT_ALLOW, rule->call, rule->count,
		                                     rule->comparisons);
		if (r < 0)
			return r;
	}
	return 0;
}

static int export(scmp_filter_ctx context, struct zvm_handoff *handoff)
{
	_Static_assert(sizeof(struct zvm_filter_instruction) == sizeof(struct sock_filter), "same layout");
	zvm_autofd int fd = memfd_create("zvm wall", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = seccomp_export_bpf(context, fd);
	if (r < 0)
		return r;
	ssize_t size = pread(fd, handoff->wall, sizeof handoff->wall, 0);
	if (size < 0)
		return -errno;
	if (size == 0 || (size_t)size == sizeof handoff->wall || (size_t)size % sizeof handoff->wall[0])
		return -E2BIG;
	handoff->wall_count = (uint32_t)((size_t)size / sizeof handoff->wall[0]);
	return 0;
}

static int export_wall(struct zvm_handoff *handoff)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!context)
		return -ENOMEM;
	/* i386 and x32 calls have no business here at all; libseccomp tests the architecture first. */
	int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = build(context);
	if (r == 0)
		r = export(context, handoff);
	seccomp_release(context);
	return r;
}

/*
 * The redirect: is the instruction pointer, which is that behind the `syscall`, within the monitor's text? The classic
 * BPF machine has 32-bit words, so the high half must be equal (text lies within one 4 GiB window) and the low half in
 * range.
 *
 * x32 calls are numbers with bit 30 set. -1 has it set too and is no call at all, of any kind: the monitor says ENOSYS.
 */
static void write_redirect(uint64_t start, uint64_t end, struct zvm_handoff *handoff)
{
	const uint32_t ip_low = offsetof(struct seccomp_data, instruction_pointer), ip_high = ip_low + 4;
	const struct sock_filter program[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, 2, 0),
	        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, X32_BIT, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip_high),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(start >> 32), 0, 4),
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ip_low),
	        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)start, 0, 2),
	        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)end, 1, 0),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	_Static_assert(sizeof program <= sizeof handoff->redirect, "redirect fits");
	memcpy(handoff->redirect, program, sizeof program);
	handoff->redirect_count = sizeof program / sizeof program[0];
}

int zvm_wall_filters(uint64_t text_start, uint64_t text_end, struct zvm_handoff *handoff)
{
	if (text_start >> 32 != text_end >> 32 || text_start >= text_end)
		return -EINVAL;
	write_redirect(text_start, text_end, handoff);
	return export_wall(handoff);
}
