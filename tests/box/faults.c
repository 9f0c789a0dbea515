/* A guest that survives its own faults: each signal on an alternate stack, and a jump out of its handler. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static sigjmp_buf back;
static char alternate[65536];
static volatile int zero;

static void handler(int number, siginfo_t *info, void *context)
{
	siglongjmp(back, number * 100 + info->si_code);
}

static int overflow(int n)
{
	char frame[4096];
	memset(frame, n, sizeof frame);
	return overflow(n + 1) + frame[n % 4096];
}

#define SURVIVE(fault)                              \
	do {                                        \
		int caught = sigsetjmp(back, 1);    \
		if (!caught)                        \
			fault;                      \
		printf("%s: %d\n", #fault, caught); \
	} while (0)

int main(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaltstack(&stack, NULL);
	for (int i = 0; i < 4; i++)
		sigaction((int[]){SIGFPE, SIGSEGV, SIGBUS, SIGILL}[i], &action, NULL);
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SURVIVE(zero = 1 / zero);
	SURVIVE(overflow(0));
	SURVIVE(__builtin_trap());
	SURVIVE(page[5] = 1);
	SURVIVE(*(volatile char *)8 = 1);
	return 0;
}
