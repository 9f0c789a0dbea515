/* static: uses up whatever there is. Argument: of what; a raw one goes past the monitor. */
#include "escape.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define CLONE_LIKE_THE_MONITOR (0x8000 /* CLONE_PARENT */ | SIGCHLD)

/* Every child forks too, and spins: without the parent-death signal that the monitor would ask for. */
static void fork_raw(void)
{
	for (;;)
		RAW(SYS_clone, CLONE_LIKE_THE_MONITOR, 0, 0, 0, 0, 0);
}

static void fork_normal(void)
{
	int children = 0, pid;
	while ((pid = fork()) > 0)
		children++;
	if (pid == 0) { /* without the outputs it is no reason to go on once the first process has ended */
		for (int fd = 0; fd < 3; fd++)
			close(fd);
		for (;;)
			pause();
	}
	printf("forked %d children, then %s\n", children, strerrorname_np(errno));
}

/* Private memory, as the wall allows it, each page written to. */
static void memory_raw(void)
{
	uint64_t at = 0x100000000000ull, step = 16 << 20, got = 0;
	for (;; at += step) {
		long r = RAW(SYS_mmap, at, step, 3, 0x32 /* private, anonymous, fixed */, -1, 0);
		if (r < 0) {
			printf("got %lu MiB, then %s\n", got >> 20, strerrorname_np((int)-r));
			return;
		}
		for (uint64_t i = 0; i < step; i += 4096)
			*(volatile char *)(at + i) = 1;
		got += step;
	}
}

static void memory_normal(void)
{
	size_t got = 0;
	while (malloc(1 << 20))
		got++;
	printf("got %zu MiB, then %s\n", got, strerrorname_np(errno));
	fflush(stdout);
}

/* Read-only pages that no data limit counts, each touched in another page table. */
static void tables_raw(void)
{
	uint64_t at = 0x100000000000ull, step = 1ull << 36, got = 0;
	long r;
	while ((r = RAW(SYS_mmap, at, step, 1, 0x4032 /* private, anonymous, fixed, not reserved */, -1, 0)) > 0) {
		at += step;
		got += step;
	}
	printf("reserved %lu GiB, then %s\n", got >> 30, strerrorname_np((int)-r));
}

static void output_raw(void)
{
	static char block[65536];
	int output = -1;
	char byte;
	/* The outputs are the two that cannot be read, being open for writing only. */
	for (int fd = 0; fd < 64 && output < 0; fd++)
		if (RAW(SYS_pread64, fd, &byte, 1, 0, 0, 0) == -EBADF && RAW(SYS_write, fd, "", 0, 0, 0, 0) == 0)
			output = fd;
	for (;;)
		if (RAW(SYS_write, output, block, sizeof block, 0, 0, 0) < 0)
			return;
}

static void output_normal(void)
{
	static char block[65536];
	while (write(1, block, sizeof block) > 0)
		;
}

static void descriptors_normal(void)
{
	int n = 0;
	while (open("/usr/bin/env", O_RDONLY) >= 0)
		n++;
	printf("opened %d, then %s\n", n, strerrorname_np(errno));
}

/* The broker's answers, each with a descriptor that is never closed. */
static void descriptors_raw(void)
{
	int socket = broker_socket(), n = 0;
	for (;; n++) {
		struct zvm_reply reply;
		char control[64];
		struct iovec part = {&reply, sizeof reply};
		struct msghdr message = {
		        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		if (ask(socket, ZVM_ASK_KIND_OPEN, "/usr/bin/env", 12) < 0)
			break;
		long got = RAW(SYS_recvmsg, socket, &message, 0x40000000, 0, 0, 0);
		if (got <= 0 || reply.error || message.msg_controllen == 0)
			break;
	}
	printf("got %d descriptors\n", n);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	take_over();
	if (!strcmp(what, "fork"))
		fork_normal();
	else if (!strcmp(what, "fork-raw"))
		fork_raw();
	else if (!strcmp(what, "memory"))
		memory_normal();
	else if (!strcmp(what, "memory-raw"))
		memory_raw();
	else if (!strcmp(what, "tables-raw"))
		tables_raw();
	else if (!strcmp(what, "output"))
		output_normal();
	else if (!strcmp(what, "output-raw"))
		output_raw();
	else if (!strcmp(what, "descriptors"))
		descriptors_normal();
	else if (!strcmp(what, "descriptors-raw"))
		descriptors_raw();
	else if (!strcmp(what, "spin"))
		for (;;)
			;
	else if (!strcmp(what, "wait-raw"))
		RAW(SYS_futex, ZVM_ARENA_BASE + 4096 * 8, 0, 0, 0, 0, 0);
	else if (!strcmp(what, "stop"))
		raise(SIGSTOP);
	else if (!strcmp(what, "stop-raw"))
		said("raw", "stop", RAW(SYS_kill, 0, SIGSTOP, 0, 0, 0, 0));
	else
		return 97;
	printf("tried %s\n", what);
	return 0;
}
