/* Children of a test that try something, and how that ended. */
#ifndef ZVM_TEST_CHILDREN_H
#define ZVM_TEST_CHILDREN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "protocol.h"

static inline long raw(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static inline void install(struct zvm_filter_instruction *program, uint32_t count)
{
	struct sock_fprog filter = {(unsigned short)count, (struct sock_filter *)program};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
		_exit(99);
}

static inline void leave(int status)
{
	for (;;)
		raw(SYS_exit_group, status, 0, 0);
}

static inline int status_of(void (*child)(void))
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

#endif
