/* static, without libc: what a program finds in its registers and on its stack before it has done anything. */
#include <asm/prctl.h>
#include <linux/auxvec.h>
#include <stddef.h>
#include <sys/syscall.h>

#define BELOW 4096

/* Filled by _start before anything is pushed. */
struct start {
	unsigned long registers[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8-r15 */
	unsigned long flags, fs_word, gs_word;
	unsigned short selectors[6]; /* cs ds es fs gs ss */
	unsigned mxcsr;
	unsigned char below[BELOW];
	unsigned char vectors[512] __attribute__((aligned(16))); /* FXSAVE */
	unsigned char x87[28];
};
struct start start;

/* Read through the segment: with a base of 0, as execve leaves it, they are found here. */
unsigned long word_of_ours = 0x4f00d;

__asm__(".globl _start\n"
        "_start:\n"
        "	movq %rax, start(%rip)\n"
        "	leaq start(%rip), %rax\n"
        "	movq %rbx, 8(%rax)\n"
        "	movq %rcx, 16(%rax)\n"
        "	movq %rdx, 24(%rax)\n"
        "	movq %rsi, 32(%rax)\n"
        "	movq %rdi, 40(%rax)\n"
        "	movq %rbp, 48(%rax)\n"
        "	movq %rsp, 56(%rax)\n"
        "	movq %r8, 64(%rax)\n"
        "	movq %r9, 72(%rax)\n"
        "	movq %r10, 80(%rax)\n"
        "	movq %r11, 88(%rax)\n"
        "	movq %r12, 96(%rax)\n"
        "	movq %r13, 104(%rax)\n"
        "	movq %r14, 112(%rax)\n"
        "	movq %r15, 120(%rax)\n"
        "	movq %rax, %rbx\n"
        "	leaq 152+16(%rbx), %rdi\n" /* below[] */
        "	leaq -4096(%rsp), %rsi\n"
        "	movl $4096, %ecx\n"
        "	rep movsb\n" /* the direction flag is part of what is tested: a set one ends in a fault */
        "	pushfq\n"
        "	popq 128(%rbx)\n"
        "	leaq word_of_ours(%rip), %rax\n"
        "	movq %fs:(%rax), %rcx\n"
        "	movq %rcx, 136(%rbx)\n"
        "	movq %gs:(%rax), %rcx\n"
        "	movq %rcx, 144(%rbx)\n"
        "	movw %cs, 152(%rbx)\n"
        "	movw %ds, 154(%rbx)\n"
        "	movw %es, 156(%rbx)\n"
        "	movw %fs, 158(%rbx)\n"
        "	movw %gs, 160(%rbx)\n"
        "	movw %ss, 162(%rbx)\n"
        "	stmxcsr 164(%rbx)\n"
        "	movq 56(%rbx), %rdi\n"
        "	andq $-16, %rsp\n"
        "	call show\n"
        "	ud2\n");
_Static_assert(offsetof(struct start, below) == 168 && offsetof(struct start, mxcsr) == 164, "as _start has it");

static long call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static char line[65536];
static size_t used;

static void text(const char *s)
{
	while (*s)
		line[used++] = *s++;
}

static void number(unsigned long n)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		line[used++] = "0123456789abcdef"[n >> shift & 15];
	line[used++] = ' ';
}

static void bytes(const char *name, const unsigned char *data, size_t size)
{
	unsigned long sum = 14695981039346656037ul, other_than_zero = 0;
	for (size_t i = 0; i < size; i++) {
		sum = (sum ^ data[i]) * 1099511628211ul;
		other_than_zero += data[i] != 0;
	}
	text(name);
	number(sum);
	number(other_than_zero);
	text("\n");
}

/* And the strings behind it, the last of which is the program's name. */
static void vector(unsigned long *at)
{
	unsigned char *end = (unsigned char *)at;
	for (; at[0]; at += 2) {
		end = at[0] == AT_EXECFN ? (unsigned char *)at[1] : end;
		text("auxv ");
		number(at[0]);
		number(at[1]);
		text("\n");
	}
	while (*end)
		end++;
	bytes("strings ", (unsigned char *)at, end - (unsigned char *)at);
}

__attribute__((used)) void show(unsigned long *stack)
{
	static const char *const names[] = {"rax ", "rbx ", "rcx ", "rdx ", "rsi ", "rdi ", "rbp ", "rsp ",
	                                    "r8 ",  "r9 ",  "r10 ", "r11 ", "r12 ", "r13 ", "r14 ", "r15 "};
	unsigned long base = 1;
	__asm__ volatile("fxsave %0" : "=m"(start.vectors));
	__asm__ volatile("fnstenv %0" : "=m"(start.x87));
	for (int i = 0; i < 16; i++) {
		text(names[i]);
		number(start.registers[i]);
		text("\n");
	}
	text("flags ");
	number(start.flags & ~0x8d5ul); /* arithmetic ones are ours */
	text("fs ");
	number(start.fs_word);
	text("gs ");
	number(start.gs_word);
	for (int i = 0; i < 6; i++)
		number(start.selectors[i]);
	text("mxcsr ");
	number(start.mxcsr);
	text("\n");
	call(SYS_arch_prctl, ARCH_GET_FS, (long)&base, 0);
	number(base);
	call(SYS_arch_prctl, ARCH_GET_GS, (long)&base, 0);
	number(base);
	bytes("below ", start.below, sizeof start.below);
	bytes("x87 ", start.x87, 12);
	bytes("vectors ", start.vectors, 416);
	text("argc ");
	number(stack[0]);
	while (*++stack)
		number(*stack);
	while (*++stack)
		number(*stack);
	text("\n");
	vector(stack + 1);
	for (size_t done = 0; done < used;)
		done += call(SYS_write, 1, (long)line + done, used - done);
	call(SYS_exit_group, 0, 0, 0);
}
