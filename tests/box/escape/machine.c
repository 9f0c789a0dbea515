/* static: other ways into the kernel than `syscall`. Argument: which. */
#include "escape.h"
#include <sys/mman.h>

/* In 32-bit code: int 0x80 with what eax holds, and back to 64 bits. */
static void far_jump(void)
{
	static const unsigned char code[] = {0xb8, 20,   0, 0, 0, /* mov $20 (getpid), %eax */
	                                     0xcd, 0x80,          /* int $0x80 */
	                                     0xf4};               /* hlt */
	unsigned char *low = mmap((void *)0x20000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memcpy(low, code, sizeof code);
	static const struct {
		uint32_t offset;
		uint16_t selector;
	} __attribute__((packed)) target = {0x20000000, 0x23};
	__asm__ volatile("mov %1, %%rsp\n\tljmp *%0" : : "m"(target), "r"(low + 4096) : "memory");
}

int main(int argc, char **argv)
{
	const char *which = argc > 1 ? argv[1] : "";
	take_over();
	printf("trying %s\n", which);
	fflush(stdout);
	long result = 20; /* getpid of i386 */
	if (!strcmp(which, "int80"))
		__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
	else if (!strcmp(which, "x32"))
		result = NORMAL(SYS_getpid | 0x40000000, 0, 0, 0, 0, 0, 0);
	else if (!strcmp(which, "x32-raw"))
		result = RAW(SYS_getpid | 0x40000000, 0, 0, 0, 0, 0, 0);
	else if (!strcmp(which, "x32-open-raw"))
		result = RAW(SYS_open | 0x40000000, "/etc/shadow", 0, 0, 0, 0, 0);
	else if (!strcmp(which, "sysenter"))
		__asm__ volatile("sysenter" : "+a"(result) : : "memory", "rcx", "rdx", "r11");
	else if (!strcmp(which, "far"))
		far_jump();
	else if (!strcmp(which, "vsyscall"))
		result = ((long (*)(void *, void *))0xffffffffff600000)(&result, NULL);
	printf("ESCAPED or answered: %ld\n", result);
	return 0;
}
