/*
 * What a hostile guest has: the system calls that everybody makes, which the monitor answers, and the same ones made by
 * jumping to a `syscall; ret` in the monitor's own text, which the redirect lets through to the wall. Each attempt is
 * printed with its answer, so that the test sees that it was made.
 */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "protocol.h"

static unsigned char *gadget;
static sigjmp_buf after_fault;

static void on_fault(int number)
{
	siglongjmp(after_fault, number);
}

/* Can this byte be read, can it be written? */
static void expect_faults(bool expected)
{
	signal(SIGSEGV, expected ? on_fault : SIG_DFL);
	signal(SIGBUS, expected ? on_fault : SIG_DFL);
}

static bool readable(const volatile unsigned char *at)
{
	expect_faults(true);
	bool fine = !sigsetjmp(after_fault, 1);
	if (fine)
		(void)*at;
	expect_faults(false);
	return fine;
}

static bool write_byte(volatile unsigned char *at, unsigned char value)
{
	expect_faults(true);
	bool fine = !sigsetjmp(after_fault, 1);
	if (fine)
		*at = value;
	expect_faults(false);
	return fine;
}

static unsigned char *find_gadget(void)
{
	for (unsigned char *page = (unsigned char *)ZVM_MONITOR_BASE; readable(page); page += 4096)
		for (unsigned i = 0; i < 4094; i++)
			if (page[i] == 0x0f && page[i + 1] == 0x05 && page[i + 2] == 0xc3)
				return page + i;
	return NULL;
}

static long normal_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

static long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tcall *%[gadget]\n\tlea 128(%%rsp), %%rsp"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9), [gadget] "b"(gadget)
	                 : "rcx", "r11", "memory");
	return result;
}

#define RAW(number, a, b, c, d, e, f) raw_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define NORMAL(number, a, b, c, d, e, f) \
	normal_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static void said(const char *how, const char *what, long result)
{
	const char *name = result < 0 && result > -4096 ? strerrorname_np((int)-result) : NULL;
	if (name)
		printf("%s %s: %s\n", how, what, name);
	else
		printf("%s %s: %ld\n", how, what, result);
	fflush(stdout);
}

/* One attempt, both ways. */
static void attempt(const char *what, long number, long a, long b, long c, long d, long e, long f)
{
	said("normal", what, normal_call(number, a, b, c, d, e, f));
	said("raw", what, raw_call(number, a, b, c, d, e, f));
}

#define ATTEMPT(what, number, a, b, c, d, e, f) \
	attempt(what, number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* The kernel's answer differs from the monitor's: only then is the other way really another. */
static void take_over(void)
{
	gadget = find_gadget();
	if (!gadget) {
		puts("there is no gadget in the monitor");
		exit(99);
	}
	long monitors = NORMAL(SYS_getpid, 0, 0, 0, 0, 0, 0), walls = RAW(SYS_getpid, 0, 0, 0, 0, 0, 0);
	if (monitors != 1 || walls != -ENOSYS || RAW(SYS_getppid, 0, 0, 0, 0, 0, 0) <= 0) {
		printf("the gadget does not reach the kernel: %ld, %ld\n", monitors, walls);
		exit(98);
	}
	puts("the monitor is ours");
	fflush(stdout);
}

/* --- what the box holds --- */

/* The socket to the broker is the one descriptor that cannot be read at a place. */
static int broker_socket(void)
{
	char byte;
	for (int fd = 0; fd < 4096; fd++)
		if (RAW(SYS_pread64, fd, &byte, 1, 0, 0, 0) == -ESPIPE)
			return fd;
	return -1;
}

static int arena_descriptor(void)
{
	uint64_t magic;
	for (int fd = 0; fd < 4096; fd++)
		if (RAW(SYS_pread64, fd, &magic, sizeof magic, 0, 0, 0) == sizeof magic && magic == ZVM_ORDER_MAGIC)
			return fd;
	return -1;
}

/* A packet to the broker, as the monitor would send it. */
static long ask(int socket, uint32_t kind, const void *text, uint32_t length)
{
	struct zvm_ask header = {.kind = kind, .text_length = length};
	struct iovec parts[2] = {{&header, sizeof header}, {(void *)text, length}};
	return RAW(SYS_writev, socket, parts, 2, 0, 0, 0);
}

#endif
