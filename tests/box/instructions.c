/* Executes what tells one machine or moment from another, and prints what came of it. One aspect per argument. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static siginfo_t fault;

static void on_fault(int number, siginfo_t *info, void *context)
{
	fault = *info;
	siglongjmp(back, number);
}

static void catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Prints `what`, and how it ended if it did not. */
#define TRY(what, ...)                                                                                             \
	do {                                                                                                       \
		int number = sigsetjmp(back, 1);                                                                   \
		if (number == 0) {                                                                                 \
			__VA_ARGS__;                                                                               \
		} else {                                                                                           \
			printf("%s: %s, code %d\n", what, number == SIGILL ? "SIGILL" : "SIGSEGV", fault.si_code); \
		}                                                                                                  \
	} while (0)

static void print_cpuid(uint32_t leaf, uint32_t sub)
{
	uint32_t a, b, c, d;
	__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(sub));
	printf("%08x %x: %08x %08x %08x %08x\n", leaf, sub, a, b, c, d);
}

static void cpuid(void)
{
	for (uint32_t leaf = 0; leaf < 0x24; leaf++)
		for (uint32_t sub = 0; sub < 8; sub++)
			print_cpuid(leaf, sub);
	for (uint32_t leaf = 0x80000000; leaf < 0x80000022; leaf++)
		print_cpuid(leaf, 0);
	print_cpuid(0x40000000, 0);
	print_cpuid(0xc0000000, 0);
	print_cpuid(0xffffffff, 0xffffffff);
}

static uint64_t rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static uint64_t rdtscp(uint32_t *processor)
{
	uint32_t low, high;
	__asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(*processor));
	return (uint64_t)high << 32 | low;
}

static void counter(void)
{
	uint32_t processor;
	uint64_t a = rdtsc(), b = rdtscp(&processor), c = rdtsc();
	usleep(1000);
	printf("%lu %lu %lu %lu on %u\n", a, b, c, rdtsc(), processor);
}

/* Each operand size, each register that a compiler would leave alone too; the flags, which were all set before. */
#define DRAW(instruction, size, name)                                                            \
	TRY(#instruction " " #name, {                                                            \
		uint64_t value, flags, kept = 0x1122334455667788;                                \
		__asm__ volatile("movq %2, %%" #name "\n\t"                                      \
		                 "pushq $0xed5\n\tpopfq\n\t" #instruction " %%" size "\n\t"      \
		                 "pushfq\n\tpopq %1\n\tcld\n\tmovq %%" #name ", %0"              \
		                 : "=&r"(value), "=&r"(flags)                                    \
		                 : "r"(kept)                                                     \
		                 : #name, "cc", "memory");                                       \
		printf("%s %s: %016lx flags %03lx\n", #instruction, size, value, flags & 0xcd5); \
	})

static void chance(void)
{
	DRAW(rdrand, "rax", rax);
	DRAW(rdrand, "ebx", rbx);
	DRAW(rdrand, "cx", rcx);
	DRAW(rdrand, "r8", r8);
	DRAW(rdrand, "r9d", r9);
	DRAW(rdrand, "r10w", r10);
	DRAW(rdrand, "r15", r15);
	DRAW(rdseed, "rdx", rdx);
	DRAW(rdseed, "esi", rsi);
	DRAW(rdseed, "di", rdi);
	DRAW(rdseed, "r11", r11);
	DRAW(rdseed, "r12d", r12);
	DRAW(rdseed, "r13w", r13);
	DRAW(rdseed, "r14", r14);
}

static void processor(void)
{
	TRY("rdpid", {
		uint64_t a = ~0ull, b = ~0ull;
		__asm__ volatile("rdpid %0\n\trdpid %%r14\n\tmovq %%r14, %1" : "+r"(a), "+r"(b) : : "r14");
		printf("rdpid: %lu %lu\n", a, b);
	});
}

/* The kernel's segment for the number of the processor, those of code and data, and none. */
static void segments(void)
{
	static const uint64_t selectors[] = {0x7b, 0xffff0000007b, 0x33, 0x2b, 0x23, 0, 0x53, 0xfff8};
	for (size_t i = 0; i < sizeof selectors / sizeof selectors[0]; i++) {
		uint64_t a = 0x1122334455667788, b = a, d = a, flags;
		__asm__ volatile("lsl %k4, %k0\n\tlsl %4, %1\n\tmovq %4, %%r9\n\tmovq %2, %%r10\n\t"
		                 "lslw %%r9w, %%r10w\n\tpushfq\n\tpopq %3\n\tmovq %%r10, %2"
		                 : "+&r"(a), "+&r"(b), "+&r"(d), "=&r"(flags)
		                 : "r"(selectors[i])
		                 : "r9", "r10", "cc", "memory");
		printf("lsl %lx: %lx %lx %lx zero %lu\n", selectors[i], a, b, d, flags >> 6 & 1);
	}
}

static void undefined(void)
{
	TRY("xgetbv", {
		uint32_t low, high;
		__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		printf("xgetbv: %x %x\n", high, low);
	});
	TRY("rdpru", {
		uint32_t low, high;
		__asm__ volatile(".byte 0x0f, 0x01, 0xfd" : "=a"(low), "=d"(high) : "c"(0));
		printf("rdpru: %x %x\n", high, low);
	});
	TRY("ud2", __asm__ volatile("ud2"));
}

/* A hlt is a hlt, also before bytes that would make it another instruction. */
static void halt(void)
{
	TRY("hlt", __asm__ volatile("hlt\n\tnop"));
	TRY("hlt, xor", __asm__ volatile("hlt\n\txorl %%eax, %%eax" : : : "eax"));
	TRY("hlt, a2", __asm__ volatile("hlt\n\tmovabs %%al, 0x1122334455667788" : : : "memory"));
	TRY("hlt, c7", __asm__ volatile("hlt\n\t.byte 0xc7, 0xf8, 0, 0, 0, 0"));
}

/* What looks like one and is data, or the inside of another instruction, stays. */
static void lookalikes(void)
{
	uint64_t a, b;
	uint32_t c;
	__asm__ volatile("movabs $0x310fa20ff0c70ff9, %0\n\t"
	                 "movl $0xf9010fa2, %2\n\t"
	                 "jmp 2f\n"
	                 "1:\t.byte 0x0f, 0xa2, 0x0f, 0x31, 0x0f, 0xc7, 0xf0, 0x90\n"
	                 "2:\tmovq 1b(%%rip), %1"
	                 : "=r"(a), "=r"(b), "=r"(c));
	printf("%lx %lx %x\n", a, b, c);
}

/* The last bits of functions of which libm has variants for several processors. */
static void libm(void)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (int i = 1; i < 60000; i++) {
		double x = i * 0.00137 - 31.7, y = fabs(x) + 0.1;
		double results[] = {sin(x), cos(x),        tan(x),      exp(x),     expm1(x),
		                    log(y), pow(y, x / 7), atan2(x, y), sinh(x / 9)};
		for (size_t k = 0; k < sizeof results; k++)
			hash = (hash ^ ((unsigned char *)results)[k]) * 0x100000001b3;
	}
	printf("%016lx\n", hash);
}

/* The code of print_cpuid's beginning as a guest can read it, from the file and from memory. */
static void self(void)
{
	static const unsigned char pattern[] = {0x0f, 0xa2};
	static unsigned char file[4 << 20];
	int fd = open("/proc/self/exe", O_RDONLY);
	ssize_t n = read(fd, file, sizeof file);
	size_t raw = 0;
	for (ssize_t i = 0; i + 1 < n; i++)
		raw += !memcmp(file + i, pattern, 2);
	printf("%s\n", raw ? "the file has cpuid in it" : "the file has no cpuid in it");
}

typedef int function(void);

static int forty_two(void)
{
	return 42;
}

/* Calls `code` of 8 bytes, which returns 7. */
static const unsigned char seven[8] = {0xb8, 7, 0, 0, 0, 0xc3, 0x90, 0x90};

static void anonymous(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, seven, sizeof seven);
	printf("%d\n", ((function *)at)());
}

static void anonymous_later(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(at, seven, sizeof seven);
	mprotect(at, 4096, PROT_READ | PROT_EXEC);
	printf("%d\n", ((function *)at)());
}

static void private_file(int later)
{
	int fd = syscall(SYS_memfd_create, "code", 0);
	ftruncate(fd, 4096);
	pwrite(fd, seven, sizeof seven, 0);
	void *at = mmap(NULL, 4096, later ? PROT_READ : PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (later)
		mprotect(at, 4096, PROT_READ | PROT_EXEC);
	printf("%d\n", ((function *)at)());
}

/* A part of the program's own file, mapped by hand and called there. `later`: first only to be read. */
static void by_hand(int later, int changed, int moved)
{
	static unsigned char file[4 << 20];
	int fd = open("/proc/self/exe", O_RDONLY);
	ssize_t n = read(fd, file, sizeof file);
	static const unsigned char code[] = {0x0f, 0xa2, 0x5b, 0xc3, 0x5a, 0x76, 0x6d, 0x21};
	for (ssize_t at = 0; at + 8 <= n; at++) {
		if (memcmp(file + at, code, sizeof code))
			continue;
		off_t page = at & ~4095l;
		int first = changed ? PROT_READ | PROT_WRITE : later ? PROT_READ : PROT_READ | PROT_EXEC;
		unsigned char *mapped = mmap(NULL, 8192, first, MAP_PRIVATE, fd, page);
		if (later || changed)
			mprotect(mapped, 8192, PROT_READ | PROT_EXEC);
		if (moved)
			mapped = mremap(mapped, 8192, 16384, MREMAP_MAYMOVE);
		uint32_t a = 0, c = 0, d;
		__asm__ volatile("call *%3"
		                 : "+a"(a), "+c"(c), "=&d"(d)
		                 : "r"(mapped + (at - page) - 1)
		                 : "rbx", "memory");
		printf("leaf 0: %08x %08x %08x\n", a, c, d);
		return;
	}
	puts("the piece is not there");
}

/* Found by by_hand in the file by the bytes behind it: push; cpuid; pop; ret. */
__asm__(".text\n\t.type piece, @function\npiece:\n\t.cfi_startproc\n\tpushq %rbx\n\tcpuid\n\tpopq "
        "%rbx\n\tret\n\t.cfi_endproc\n"
        "\t.size piece, .-piece\n\t.byte 0x5a, 0x76, 0x6d, 0x21\n\t.previous\n");

static void *in_thread(void *unused)
{
	print_cpuid(0, 0);
	chance();
	return unused;
}

/* Every kind of task: each has its own table of what is mapped. */
static void tasks(void)
{
	pthread_t thread;
	if (fork() == 0) {
		print_cpuid(0, 0);
		fflush(stdout);
		_exit(0);
	}
	wait(NULL);
	if (vfork() == 0) {
		print_cpuid(0, 0);
		_exit(0);
	}
	wait(NULL);
	pthread_create(&thread, NULL, in_thread, NULL);
	pthread_join(thread, NULL);
	processor();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	catch_faults();
	if (!strcmp(what, "cpuid"))
		cpuid();
	else if (!strcmp(what, "counter"))
		counter();
	else if (!strcmp(what, "chance"))
		chance();
	else if (!strcmp(what, "processor"))
		processor();
	else if (!strcmp(what, "undefined"))
		undefined();
	else if (!strcmp(what, "halt"))
		halt();
	else if (!strcmp(what, "lookalikes"))
		lookalikes();
	else if (!strcmp(what, "libm"))
		libm();
	else if (!strcmp(what, "self"))
		self();
	else if (!strcmp(what, "segments"))
		segments();
	else if (!strcmp(what, "tasks"))
		tasks();
	else if (!strcmp(what, "anonymous"))
		anonymous();
	else if (!strcmp(what, "anonymous-later"))
		anonymous_later();
	else if (!strcmp(what, "private"))
		private_file(0);
	else if (!strcmp(what, "private-later"))
		private_file(1);
	else if (!strcmp(what, "by-hand"))
		by_hand(0, 0, 0);
	else if (!strcmp(what, "by-hand-moved"))
		by_hand(0, 0, 1);
	else if (!strcmp(what, "by-hand-later"))
		by_hand(1, 0, 0);
	else if (!strcmp(what, "by-hand-changed"))
		by_hand(1, 1, 0);
	else
		return 2;
	return 0;
}
