/*
 * The kernel, as the monitor may call it: what the wall allows and nothing more. Each returns the kernel's result,
 * -errno on failure. These are the only `syscall` instructions in the monitor's text.
 */
#ifndef MONITOR_NATIVE_H
#define MONITOR_NATIVE_H

#include "monitor.h"

static inline s64 native_call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	s64 result;
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}

static inline s64 native_pread(int fd, u64 to, u64 n, u64 offset)
{
	return native_call(__NR_pread64, (u64)(u32)fd, to, n, offset, 0, 0);
}

static inline s64 native_write(int fd, u64 from, u64 n)
{
	return native_call(__NR_write, (u64)(u32)fd, from, n, 0, 0, 0);
}

static inline s64 native_close(int fd)
{
	return native_call(__NR_close, (u64)(u32)fd, 0, 0, 0, 0, 0);
}

/* Always at a fixed address: the monitor chooses every address itself. */
static inline s64 native_map(u64 at, u64 size, int protection, int flags, int fd, u64 offset)
{
	return native_call(__NR_mmap, at, size, (u64)(u32)protection, (u64)(u32)(flags | MAP_FIXED), (u64)(s64)fd,
	                   offset);
}

static inline s64 native_unmap(u64 at, u64 size)
{
	return native_call(__NR_munmap, at, size, 0, 0, 0, 0);
}

static inline s64 native_protect(u64 at, u64 size, int protection)
{
	return native_call(__NR_mprotect, at, size, (u64)(u32)protection, 0, 0, 0);
}

static inline s64 native_advise(u64 at, u64 size, int advice)
{
	return native_call(__NR_madvise, at, size, (u64)(u32)advice, 0, 0, 0);
}

NORETURN static inline void native_exit(int status)
{
	for (;;)
		native_call(__NR_exit_group, (u64)(u32)status, 0, 0, 0, 0, 0);
}

#endif
