/*
 * System calls where prepared images have jumps: each aspect calls its own `syscall` instructions, one with a mov
 * before it and one with a check behind it, in a way that could tell a jump from a trap, and prints what it saw. The
 * same must come out both ways; what is wrong either way is printed as "bad".
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAMPOLINES 0x7c000000ul /* above the image */

/* long NAME(a, b, c) makes the call; NAME_window, NAME_site and NAME_after are addresses in it. */
#define FUNCTION(name) ".globl " #name "\n.type " #name ", @function\n" #name ":\n"
#define END(name) ".size " #name ", .-" #name "\n"
#define BACKWARD(name, number)                                                                                    \
	__asm__(".text\n" FUNCTION(name) #name "_window: mov $" #number ", %eax\n" #name "_site: syscall\n" #name \
	                                       "_after: ret\n" END(name));                                        \
	long name(long, long, long);                                                                              \
	extern const unsigned char name##_window[], name##_site[], name##_after[];
#define FORWARD(name, number)                                                                                         \
	__asm__(".text\n" FUNCTION(name) "xor %eax, %eax\nmov $" #number ", %al\n" #name "_window: " #name            \
	                                 "_site: syscall\n" #name                                                     \
	                                 "_after: cmp $-4096, %rax\nja 1f\nret\n1: mov $-77, %rax\nret\n" END(name)); \
	long name(long, long, long);                                                                                  \
	extern const unsigned char name##_window[], name##_site[], name##_after[];

BACKWARD(backward_getppid, 110)
FORWARD(forward_getppid, 110)
BACKWARD(backward_kill, 62)
FORWARD(forward_kill, 62)
BACKWARD(backward_read, 0)
FORWARD(forward_read, 0)
BACKWARD(backward_yield, 24)
FORWARD(forward_yield, 24)

static int number;

static void check(const char *what, int good)
{
	printf("%d %s: %s\n", ++number, what, good ? "good" : "bad");
}

/* --- registers: in and out of a call that is made with `call *%rax`-free hands --- */

struct registers {
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, flags;
};

struct registers in, out; /* global: code of the assembler has them */
uint64_t kept_stack;

/* All registers from `in`, then the call, then all into `out`. */
#define WITH_REGISTERS(name, window)                                                                                   \
	__asm__(".text\n" FUNCTION(                                                                                    \
	        name) "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"                             \
	              "mov %rsp, kept_stack(%rip)\npush in+128(%rip)\npopfq\n"                                         \
	              "mov in+8(%rip), %rbx\nmov in+16(%rip), %rcx\nmov in+24(%rip), %rdx\nmov in+32(%rip), %rsi\n"    \
	              "mov in+40(%rip), %rdi\nmov in+48(%rip), %rbp\nmov in+56(%rip), %rsp\nmov in+64(%rip), %r8\n"    \
	              "mov in+72(%rip), %r9\nmov in+80(%rip), %r10\nmov in+88(%rip), %r11\nmov in+96(%rip), %r12\n"    \
	              "mov in+104(%rip), %r13\nmov in+112(%rip), %r14\nmov in+120(%rip), %r15\n" window                \
	              "mov %rax, out(%rip)\nmov %rbx, out+8(%rip)\nmov %rcx, out+16(%rip)\nmov %rdx, out+24(%rip)\n"   \
	              "mov %rsi, out+32(%rip)\nmov %rdi, out+40(%rip)\nmov %rbp, out+48(%rip)\nmov %rsp, "             \
	              "out+56(%rip)\n"                                                                                 \
	              "mov %r8, out+64(%rip)\nmov %r9, out+72(%rip)\nmov %r10, out+80(%rip)\nmov %r11, out+88(%rip)\n" \
	              "mov %r12, out+96(%rip)\nmov %r13, out+104(%rip)\nmov %r14, out+112(%rip)\nmov %r15, "           \
	              "out+120(%rip)\n"                                                                                \
	              "mov kept_stack(%rip), %rsp\npushfq\npop out+128(%rip)\ncld\n"                                   \
	              "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n" END(name));                  \
	void name(void);

WITH_REGISTERS(backward_registers, "mov $110, %eax\nsyscall\nbackward_registers_after:\n")
WITH_REGISTERS(forward_registers, "mov $0, %eax\nmov $110, %al\nsyscall\nforward_registers_after: cmp $-4096, %rax\n")
extern const unsigned char backward_registers_after[], forward_registers_after[];

static void one_set(void (*call)(void), const unsigned char *after, uint64_t flags, int compares)
{
	static unsigned char stack[4096];
	uint64_t *words = (uint64_t *)&in;
	for (int i = 1; i < 16; i++)
		words[i] = 0x1111111111111111u * (uint64_t)i + 0xf0f0;
	memset(stack, 0x5a, sizeof stack);
	in.rsp = (uint64_t)(stack + 2048 + 3); /* not even aligned */
	in.flags = flags;
	call();
	int same = 1, untouched = 1;
	for (int i = 1; i < 16; i++)
		if (i != 2 && i != 11)
			same &= ((uint64_t *)&out)[i] == words[i];
	for (size_t i = 0; i < sizeof stack; i++)
		untouched &= stack[i] == 0x5a;
	check("the other registers are kept", same);
	check("the stack is untouched", untouched);
	check("rcx is where it goes on", out.rcx == (uint64_t)after);
	check("r11 is the flags", (out.r11 & 0xcd5) == (flags & 0xcd5) && out.r11 & 2);
	if (!compares)
		check("the flags are kept", (out.flags & 0xcd5) == (flags & 0xcd5));
	check("the answer", out.rax == (uint64_t)getppid());
}

static void registers(void)
{
	static const uint64_t flags[] = {0x202, 0x203, 0x246, 0xad7, 0x602, 0xed7, 0x286};
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
		one_set(backward_registers, backward_registers_after, flags[i], 0);
		one_set(forward_registers, forward_registers_after, flags[i], 1);
	}
	one_set(backward_registers, backward_registers_after, 0x202, 0);
	in.rsp = 0x10;
	backward_registers();
	check("the stack pointer may be anything", out.rsp == 0x10 && out.rax == (uint64_t)getppid());
	in.rsp = 0xdeadbeef00000001ul;
	forward_registers();
	check("or nothing", out.rsp == 0xdeadbeef00000001ul && out.rax == (uint64_t)getppid());
}

/* --- jumps into the middle --- */

static long enter(const unsigned char *at, long rax, long a)
{
	__asm__ volatile("call *%1" : "+a"(rax) : "r"(at), "D"(a) : "rcx", "r11", "memory", "cc");
	return rax;
}

static void middle(void)
{
	check("the call alone, with another number", enter(backward_getppid_site, SYS_getpid, 0) == getpid());
	check("the call alone, from its own window", enter(forward_getppid_site, SYS_getpid, 0) == getpid());
	check("the check alone passes", enter(forward_getppid_after, 5, 0) == 5);
	check("the check alone fails", enter(forward_getppid_after, -5, 0) == -77);
	check("behind the call", enter(backward_getppid_after, -5, 0) == -5);
	check("an error", forward_kill(1, 999, 0) == -77 && backward_kill(1, 999, 0) == -EINVAL);
}

/* --- signals --- */

static uint64_t seen_rip, seen_rcx, seen_rax, seen_flags;
static volatile int seen;

static void note(int signal, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	(void)info, (void)signal;
	seen++;
	seen_rip = (uint64_t)r[REG_RIP];
	seen_rcx = (uint64_t)r[REG_RCX];
	seen_rax = (uint64_t)r[REG_RAX];
	seen_flags = ((ucontext_t *)context)->uc_flags;
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0\nmovdqa %%xmm0, %%xmm7\nmovdqa %%xmm0, %%xmm15"
	                 :
	                 :
	                 : "xmm0", "xmm7", "xmm15");
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
	sigaction(signal, &action, NULL);
}

static void one_signal(long (*send)(long, long, long), const unsigned char *after, int calls)
{
	seen = 0;
	uint64_t low = 0;
	long r;
	__asm__ volatile("movq %3, %%xmm15\ncall *%2\nmovq %%xmm15, %1"
	                 : "=a"(r), "=r"(low)
	                 : "b"(send), "r"(0x123456789abcdeful), "D"((long)getpid()), "S"((long)SIGUSR1)
	                 : "rcx", "r11", "memory", "cc", "xmm15", "xmm7", "xmm0", "rdx", "r8", "r9", "r10");
	check("the handler ran, the call is done", seen == calls && r == 0);
	check("it was told where", seen_rip == (uint64_t)after && seen_rcx == (uint64_t)after && seen_rax == 0);
	check("vector registers are kept", low == 0x123456789abcdef);
	printf("%lx %lx\n", seen_rip, seen_flags);
}

static void signals(void)
{
	static char stack[65536];
	handle(SIGUSR1, note, 0);
	for (int i = 0; i < 2; i++) {
		one_signal(backward_kill, backward_kill_after, 1);
		one_signal(forward_kill, forward_kill_after, 1);
		stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
		sigaltstack(&alternate, NULL);
		handle(SIGUSR1, note, SA_ONSTACK);
	}
}

static int ends[2];

static void feed(int signal, siginfo_t *info, void *context)
{
	note(signal, info, context);
	(void)!write(ends[1], "x", 1);
}

static void restart(void)
{
	long (*const reads[])(long, long, long) = {backward_read, forward_read};
	(void)!pipe(ends);
	for (int i = 0; i < 4; i++) {
		char byte = 0;
		struct itimerval in_a_while = {.it_value.tv_usec = 1000};
		handle(SIGALRM, feed, i < 2 ? SA_RESTART : 0);
		setitimer(ITIMER_REAL, &in_a_while, NULL);
		long r = reads[i % 2](ends[0], (long)&byte, 1);
		printf("%ld %lx %lx\n", r, seen_rip - (uint64_t)backward_read_window, seen_rax);
		check("made again", i >= 2 || (r == 1 && byte == 'x'));
		if (i >= 2)
			check("interrupted", r == (i == 2 ? -EINTR : -77) && read(ends[0], &byte, 1) == 1);
	}
}

/* --- faults in what was displaced --- */

__asm__(".text\n" FUNCTION(loads_number) "loads_number_window: mov 0x100(%rdx), %eax\nsyscall\nret\n" END(
        loads_number));
long loads_number(long, long, const void *);
extern const unsigned char loads_number_window[];

static void repair(int signal, siginfo_t *info, void *context)
{
	static char memory[0x200];
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	(void)signal;
	check("a fault at its own address",
	      r[REG_RIP] == (greg_t)loads_number_window && (uint64_t)info->si_addr == 0x1100);
	memory[0x100] = SYS_getppid;
	r[REG_RDX] = (greg_t)memory;
}

static void faults(void)
{
	static uint32_t numbers[0x80];
	numbers[0x40] = SYS_getpid;
	check("the number is loaded", loads_number(0, 0, numbers) == getpid());
	handle(SIGSEGV, repair, 0);
	check("repaired, and made", loads_number(0, 0, (void *)0x1000) == getppid());
	check("a bad pointer", forward_read(0, 8, 1) != -77 || backward_read(ends[0], 8, 1) < 0);
}

/* --- threads --- */

static long (*const yields[])(long, long, long) = {backward_yield, forward_yield};
static volatile int unkept;

static void *spin(void *argument)
{
	uint64_t mine = (uint64_t)argument;
	for (int i = 0; i < 300; i++) {
		uint64_t low = mine * 0x0101010101010101u + (uint64_t)i, a = 0, b = 0;
		__asm__ volatile(
		        "movq %3, %%xmm3\nmovq %3, %%xmm14\nfninit\ncall *%2\nmovq %%xmm3, %0\nmovq %%xmm14, %1"
		        : "=&r"(a), "=&r"(b)
		        : "b"(yields[i % 2]), "r"(low)
		        : "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r8", "r9", "r10", "memory", "cc", "xmm3", "xmm14");
		unkept += a != low || b != low;
	}
	return argument;
}

static void *read_badly(void *argument)
{
	return (void *)(forward_read(ends[0], 8, 1) == -77 ? argument : NULL);
}

static void *wait_for_ever(void *argument)
{
	char byte;
	read(ends[0], &byte, 1);
	return argument;
}

static void threads(void)
{
	pthread_t one[4];
	void *result;
	(void)!pipe(ends);
	for (long i = 0; i < 4; i++)
		pthread_create(&one[i], NULL, spin, (void *)(i + 1));
	spin((void *)9);
	for (long i = 0; i < 4; i++)
		pthread_join(one[i], &result);
	check("each has its own registers", !unkept);
	for (int i = 0; i < 3; i++) {
		pthread_create(&one[0], NULL, read_badly, &number);
		sched_yield();
		(void)!write(ends[1], "x", 1);
		pthread_join(one[0], &result);
		check("a bad pointer after a wait", result == &number);
	}
	(void)!pipe(ends);
	pthread_create(&one[0], NULL, wait_for_ever, NULL);
	sched_yield();
	pthread_cancel(one[0]);
	pthread_join(one[0], &result);
	check("cancelled in a call", result == PTHREAD_CANCELED);
}

static void processes(void)
{
	int status = 0;
	for (int i = 0; i < 3; i++) {
		pid_t pid = i == 2 ? vfork() : fork();
		if (pid == 0)
			_exit(backward_getppid(0, 0, 0) == getppid() && forward_getppid(0, 0, 0) == getppid() ? 7 : 8);
		waitpid(pid, &status, 0);
		check("a child calls too", WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
}

/* --- the address space --- */

static uint64_t image_base(void)
{
	extern const char __ehdr_start[];
	return (uint64_t)__ehdr_start;
}

static int calls_work(void)
{
	return backward_getppid(0, 0, 0) == getppid() && forward_getppid(0, 0, 0) == getppid() &&
	       enter(forward_getppid_after, -5, 0) == -77 && enter(backward_getppid_site, SYS_getpid, 0) == getpid();
}

static void maps(void)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, f))
		fputs(line, stdout);
	fclose(f);
}

static void *take(uint64_t at, size_t size, int flags)
{
	return mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1,
	            0);
}

/* The guest wants the very place of the trampolines. */
static void places(void)
{
	uint64_t at = image_base() + TRAMPOLINES;
	static const size_t sizes[] = {4096, 1 << 20};
	check("calls", calls_work());
	for (int i = 0; i < 2; i++) {
		unsigned char *p = take(at, sizes[i], i ? MAP_FIXED : 0);
		check("it is free", p == (void *)at);
		memset(p, 0x77, sizes[i]);
		check("calls go on", calls_work());
		for (size_t k = 0; k < sizes[i]; k += 64)
			if (p[k] != 0x77)
				check("memory", 0);
		madvise((void *)((uint64_t)backward_getppid & ~4095ul), 4096, MADV_DONTNEED);
		check("and with their pages dropped", calls_work());
		munmap(p, sizes[i]);
		check("and on", calls_work());
	}
	/* Those of the libraries, all at once. */
	check("nothing there", munmap((void *)0x7bff80000000ul, 0x7f000000) == 0);
	check("calls go on", calls_work());
	maps();
}

static void heap(void)
{
	uint64_t at = image_base() + TRAMPOLINES, end = (uint64_t)sbrk(0);
	check("calls", calls_work());
	if (at > end && at - end < 0x80000000ul) {
		check("it grows", brk((void *)(at + 0x200000)) == 0);
		check("calls go on", calls_work());
		memset((void *)at, 0x66, 0x200000);
		check("calls go on", calls_work());
	}
}

typedef long (*call)(long, long, long);

static call moved(call function, unsigned char *to)
{
	return (call)(to + ((uint64_t)function & 4095));
}

/* Its own text once more, a page of it, elsewhere, moved, and under changing rights. */
static void copies(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	uint64_t page = (uint64_t)backward_getppid & ~4095ul, offset = page - image_base();
	int in_one =
	        ((uint64_t)forward_getppid & ~4095ul) == page && (((uint64_t)forward_getppid + 64) & ~4095ul) == page;
	if (!in_one) {
		check("the two are in one page", 0);
		return;
	}
	unsigned char *text[3];
	text[0] = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)offset);
	text[1] = mmap((void *)0x10000000, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, (off_t)offset);
	text[2] = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
	check("the file is the file",
	      !memcmp(text[2] + ((uint64_t)backward_getppid & 4095), "\xb8\x6e\0\0\0\x0f\x05\xc3", 8));
	mprotect(text[2], 4096, PROT_READ | PROT_EXEC);
	for (int i = 0; i < 3; i++)
		check("a copy calls", moved(backward_getppid, text[i])(0, 0, 0) == getppid() &&
		                              moved(forward_getppid, text[i])(0, 0, 0) == getppid());
	unsigned char *there = mremap(text[0], 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x20000000);
	check("moved, it calls", moved(backward_getppid, there)(0, 0, 0) == getppid() &&
	                                 moved(forward_getppid, there)(0, 0, 0) == getppid());
	mprotect(text[1], 4096, PROT_READ | PROT_WRITE);
	text[1][0] ^= 0;
	mprotect(text[1], 4096, PROT_READ | PROT_EXEC);
	check("written to, it calls", moved(backward_getppid, text[1])(0, 0, 0) == getppid());
	munmap(text[2], 4096);
	check("the others are gone on", calls_work());
	uint64_t hidden = 0x30000000;
	mmap((void *)hidden, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, (off_t)offset);
	mprotect((void *)hidden, 4096, PROT_NONE);
	check("its trampolines' place", take(hidden - offset + TRAMPOLINES, 1 << 20, MAP_FIXED) != MAP_FAILED);
	mprotect((void *)hidden, 4096, PROT_READ | PROT_EXEC);
	check("hidden meanwhile, it calls", moved(backward_getppid, (unsigned char *)hidden)(0, 0, 0) == getppid());
	unsigned char *grown = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)offset - 4096);
	grown = mremap(grown, 4096, 8192, MREMAP_MAYMOVE);
	check("grown, it calls", moved(backward_getppid, grown + 4096)(0, 0, 0) == getppid());
	maps();
}

/* --- ends --- */

static sigjmp_buf away;

static void leave(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	siglongjmp(away, 1);
}

/* Behind the file's own bytes its image has trampolines; for the guest there is nothing. */
static void behind_the_end(void)
{
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY);
	fstat(fd, &st);
	size_t size = ((size_t)st.st_size + 4095) & ~4095ul;
	volatile unsigned char *p = mmap(NULL, size + (1 << 20), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	handle(SIGBUS, leave, 0);
	for (int i = 0; i < 3; i++) {
		if (!sigsetjmp(away, 1)) {
			(void)p[size + (i ? 4096u << i : 0)];
			check("there is something", 0);
		}
		check("nothing is behind it", 1);
	}
	call copy = (call)(p + ((uint64_t)backward_getppid - image_base()));
	check("such a copy calls", copy(0, 0, 0) == getppid() && calls_work());
}

static void long_jumps(void)
{
	handle(SIGUSR1, leave, 0);
	for (int i = 0; i < 4; i++) {
		if (!sigsetjmp(away, 1)) {
			(i % 2 ? forward_kill : backward_kill)(getpid(), SIGUSR1, 0);
			check("it comes back", 0);
		}
		check("out of the handler by a long jump", calls_work());
	}
}

/* --- unwinding --- */

static void walk(int signal, siginfo_t *info, void *context)
{
	extern int main(int, char **);
	void *frames[64];
	int n = backtrace(frames, 64), in_main = 0;
	(void)signal, (void)info, (void)context;
	for (int i = 0; i < n; i++) {
		in_main += frames[i] >= (void *)main && frames[i] < (void *)((char *)main + 256);
		printf("%p\n", frames[i]);
	}
	check("all the way up to main", in_main == 1);
}

static void unwinds(void)
{
	void *first[2];
	backtrace(first, 2); /* so that what it needs is loaded now, and not in the handler */
	handle(SIGUSR1, walk, 0);
	kill(getpid(), SIGUSR1);
	raise(SIGUSR1);
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
}

/* --- stepping --- */

static volatile int outside;

static void stepped(int signal, siginfo_t *info, void *context)
{
	extern const char __executable_start[], etext[];
	uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	(void)signal, (void)info;
	seen++;
	outside += rip < (uint64_t)__executable_start || rip >= (uint64_t)etext;
}

static long while_stepping(call function)
{
	long r;
	__asm__ volatile("pushfq\norq $0x100, (%%rsp)\npopfq\ncall *%1\npushfq\nandq $~0x100, (%%rsp)\npopfq"
	                 : "=a"(r)
	                 : "b"(function), "D"(0l), "S"(0l), "d"(0l)
	                 : "rcx", "r11", "memory", "cc");
	return r;
}

static void steps(void)
{
	handle(SIGTRAP, stepped, 0);
	check("step by step", while_stepping(backward_getppid) == getppid());
	check("step by step", while_stepping(forward_getppid) == getppid());
	check("it was stepped", seen > 8);
	check("in the text only", !outside);
}

/* What the text looks like in memory: not the same both ways. */
static void text(void)
{
	for (int i = 0; i < 8; i++)
		printf("%02x", backward_getppid_window[i]);
	for (int i = 0; i < 8; i++)
		printf("%02x", i == 1 || i == 3 || i == 4 ? 0 : forward_getppid_window[i]);
	puts("");
}

static const struct {
	const char *name;
	void (*run)(void);
} aspects[] = {{"registers", registers}, {"middle", middle},      {"signals", signals},
               {"restart", restart},     {"faults", faults},      {"threads", threads},
               {"processes", processes}, {"places", places},      {"heap", heap},
               {"copies", copies},       {"end", behind_the_end}, {"long jumps", long_jumps},
               {"unwinds", unwinds},     {"steps", steps},        {"text", text}};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof aspects / sizeof aspects[0]; i++)
		if (!strcmp(argv[1], aspects[i].name))
			aspects[i].run();
	return 0;
}
