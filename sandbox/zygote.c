/*
 * How a process becomes a zygote. The order matters: first what needs libc and descriptors, then what takes privileges
 * away, last the jump into the monitor, which unmaps us and installs the filters from its own text.
 */
#include "zygote.h"
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cpuid.h>

/* monitor_image.S */
extern const unsigned char zvm_monitor_image[], zvm_monitor_image_end[];

#define HOST_XSAVE 1u

static const Elf64_Phdr *monitor_segments(unsigned *count)
{
	const Elf64_Ehdr *header = (const void *)zvm_monitor_image;
	*count = header->e_phnum;
	return (const void *)(zvm_monitor_image + header->e_phoff);
}

static int text_range(uint64_t *start, uint64_t *end)
{
	unsigned count;
	const Elf64_Phdr *segments = monitor_segments(&count);
	for (unsigned i = 0; i < count; i++)
		if (segments[i].p_type == PT_LOAD && (segments[i].p_flags & PF_X)) {
			*start = segments[i].p_vaddr;
			*end = segments[i].p_vaddr + segments[i].p_memsz;
			return 0;
		}
	return -ENOEXEC;
}

int zvm_zygote_prepare(struct zvm_zygote *zygote)
{
	uint64_t start, end;
	int r = text_range(&start, &end);
	return r ? r : zvm_wall_filters(start, end, &zygote->handoff);
}

static int map_segment(const Elf64_Phdr *segment)
{
	uint64_t at = segment->p_vaddr & ~4095ull;
	uint64_t size = ((segment->p_vaddr + segment->p_memsz + 4095) & ~4095ull) - at;
	int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
	                 (segment->p_flags & PF_X ? PROT_EXEC : 0);
	void *memory = mmap((void *)at, size, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (memory == MAP_FAILED)
		return -errno;
	memcpy((void *)segment->p_vaddr, zvm_monitor_image + segment->p_offset, segment->p_filesz);
	return mprotect(memory, size, protection) < 0 ? -errno : 0;
}

static int map_monitor(void)
{
	unsigned count;
	const Elf64_Phdr *segments = monitor_segments(&count);
	for (unsigned i = 0; i < count; i++) {
		int r = segments[i].p_type == PT_LOAD ? map_segment(&segments[i]) : 0;
		if (r)
			return r;
	}
	return 0;
}

/* The monitor starts with the dispositions and mask of a fresh program, whatever the daemon had. But a box whose broker
 * has hung up is told so by an error and leaves. */
static void reset_signals(void)
{
	sigset_t none;
	for (int i = 1; i < 65; i++) {
		struct sigaction action = {.sa_handler = SIG_DFL};
		sigaction(i, &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Everything but the control socket, which becomes descriptor 3, so that 0-2 never are what a library expects them to
 * be. */
static int keep_only(int control)
{
	if (control != 3) {
		if (dup2(control, 3) < 0)
			return -errno;
		control = 3;
	}
	syscall(SYS_close_range, 0u, 2u, 0u);
	syscall(SYS_close_range, 4u, ~0u, 0u);
	return 3;
}

/* glibc registered a restartable-sequence area in memory that is about to
 * vanish; the kernel would fault writing to it. */
static void forget_rseq(void)
{
	if (__rseq_size)
		syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32u, 1, RSEQ_SIG);
	syscall(SYS_set_robust_list, NULL, sizeof(void *) * 3);
	syscall(SYS_set_tid_address, NULL);
}

static uint64_t host_features(void)
{
	unsigned a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE) ? HOST_XSAVE : 0;
}

int zvm_zygote_become(const struct zvm_zygote *zygote, int control, int proc, int cgroup)
{
	static struct zvm_handoff handoff;
	handoff = zygote->handoff;
	handoff.host_features = host_features();
	handoff.no_jumps = zygote->no_jumps;
	reset_signals();
	zvm_wall_cgroup_enter(cgroup, zygote->reports);
	zvm_wall_first_to_go(proc, zygote->reports);
	handoff.control = keep_only(control);
	if (handoff.control < 0)
		return handoff.control;
	int r = map_monitor();
	if (r)
		return r;
	forget_rseq();
	zvm_wall_landlock(zygote->plain, zygote->reports);
	r = zvm_wall_become_nobody(zygote->reports);
	r = r ? r : zvm_wall_limits(zygote->reports);
	if (r)
		return r;
	zygote->reports[ZVM_WALL_SECCOMP].stands = true; /* the monitor exits if either filter is refused */
	handoff.fault_cpuid = zvm_wall_instructions(!zygote->native_cpuid, zygote->reports);
	void (*enter)(const struct zvm_handoff *) = (void (*)(const struct zvm_handoff *))ZVM_MONITOR_BASE;
	enter(&handoff);
	return -ENOEXEC;
}
