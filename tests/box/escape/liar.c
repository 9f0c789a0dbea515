/* static: abuses what a box holds: its arena, its monitor, its broker. Argument: how. */
#include "escape.h"
#include <sys/mman.h>
#include <sys/socket.h>

static void beyond_the_arena(void)
{
	int fd = arena_descriptor();
	static char block[4096];
	ATTEMPT("ftruncate", SYS_ftruncate, fd, 1ull << 40, 0, 0, 0, 0);
	ATTEMPT("fallocate", SYS_fallocate, fd, 0, 1ull << 36, 4096, 0, 0);
	ATTEMPT("pwrite64", SYS_pwrite64, fd, block, 4096, 1ull << 36, 0, 0);
	ATTEMPT("lseek", SYS_lseek, fd, 1ull << 36, 0, 0, 0, 0);
	said("raw", "F_ADD_SEALS", RAW(SYS_fcntl, fd, 1033, 0, 0, 0, 0));
	long mapped = RAW(SYS_mmap, 0x20000000, 4096, 3, 0x11, fd, 1ull << 38);
	said("raw", "mapping far behind the end", mapped);
	if (mapped > 0)
		printf("what is there can %s\n", readable((void *)mapped) ? "be read: ESCAPED" : "not be read");
	puts("tried the arena");
}

static void move_the_monitor(void)
{
	static const uint64_t places[] = {ZVM_MONITOR_BASE, ZVM_MONITOR_BASE + 4096, ZVM_ARENA_BASE,
	                                  ZVM_GUEST_END,    0x7fffffffe000ull,       0xffffffffff600000ull};
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		ATTEMPT("munmap", SYS_munmap, places[i], 4096, 0, 0, 0, 0);
		ATTEMPT("mprotect", SYS_mprotect, places[i], 4096, 7, 0, 0, 0);
		ATTEMPT("mmap", SYS_mmap, places[i], 4096, 7, 0x32, -1, 0);
		ATTEMPT("mremap", SYS_mremap, places[i], 4096, 4096, 3, 0x20000000, 0);
		ATTEMPT("mremap there", SYS_mremap, 0x20000000, 4096, 4096, 3, places[i], 0);
		ATTEMPT("madvise", SYS_madvise, places[i], 4096, 4, 0, 0, 0);
	}
	ATTEMPT("a long munmap", SYS_munmap, 0x10000, 0x7ff000000000ull, 0, 0, 0, 0);
	ATTEMPT("pkey_mprotect", SYS_pkey_mprotect, ZVM_MONITOR_BASE, 4096, 7, 0, 0, 0);
	/* Its data are ours anyway; its text is not to be written. */
	puts(write_byte(gadget, 0x90) ? "ESCAPED: the monitor's text was written" : "its text cannot be written");
	puts("tried the monitor");
}

static void close_everything(void)
{
	puts("closing all");
	fflush(stdout);
	for (int fd = 0; fd < 64; fd++)
		RAW(SYS_close, fd, 0, 0, 0, 0, 0);
	exit(0);
}

/* Questions without end, and not one answer taken: the broker must not wait for us. */
static void be_silent(void)
{
	int socket = broker_socket();
	for (;;)
		if (ask(socket, ZVM_ASK_KIND_OPEN, "/usr/bin/env", 12) < 0)
			for (;;)
				;
}

static void flood(void)
{
	int socket = broker_socket();
	static char line[1000];
	memset(line, 'x', sizeof line);
	while (ask(socket, ZVM_ASK_KIND_TRACE, line, sizeof line) >= 0)
		;
	for (;;)
		;
}

static void send_descriptors(void)
{
	int socket = broker_socket();
	struct iovec part = {"hello", 5};
	struct {
		uint64_t size;
		int level, type, fd, unused;
	} control = {20, 1, 1, arena_descriptor(), 0};
	struct msghdr message = {
	        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	said("raw", "sendmsg with a descriptor", RAW(SYS_sendmsg, socket, &message, 0, 0, 0, 0));
	said("raw", "sendmmsg with a descriptor", RAW(SYS_sendmmsg, socket, &message, 1, 0, 0, 0));
	puts("tried sending");
}

static void lie(void)
{
	static struct zvm_report report;
	int socket = broker_socket();
	memset(&report, 0xff, sizeof report);
	report.end = ZVM_REPORT_EXIT;
	report.status = 7;
	memset(report.message, '\033', sizeof report.message);
	memset(report.refused_detail, '\n', sizeof report.refused_detail);
	report.refused_count = UINT32_MAX;
	puts("lying");
	fflush(stdout);
	ask(socket, ZVM_ASK_KIND_REPORT, &report, sizeof report);
	for (;;) /* and not leaving */
		;
}

/* A template that is none: it takes the order to fork, and names a process, or is silent (-2), or forks and hides it
 * (-3). */
static void stop(int pid)
{
	struct zvm_fork_order order;
	struct iovec part = {&order, sizeof order};
	char control[64];
	struct msghdr message = {
	        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int socket = broker_socket();
	ask(socket, ZVM_ASK_KIND_STOPPED, "", 0);
	while (RAW(SYS_recvmsg, socket, &message, 0x40000000, 0, 0, 0) == sizeof order) {
		struct zvm_fork_done done = {order.box, pid};
		if (pid == -3 && RAW(SYS_clone, 0x8000 | 17, 0, 0, 0, 0, 0) == 0)
			for (;;)
				;
		if (pid != -2)
			RAW(SYS_write, socket, &done, sizeof done, 0, 0, 0);
	}
	for (;;)
		;
}

/* The packets of a liar, by number: each ends the run, and nothing else. */
static void talk_nonsense(int which)
{
	static char big[200000];
	int socket = broker_socket();
	struct zvm_ask header = {.kind = ZVM_ASK_KIND_OPEN, .text_length = 100};
	printf("nonsense %d\n", which);
	fflush(stdout);
	memset(big, 'A', sizeof big);
	big[0] = '/';
	switch (which) {
	case 0: RAW(SYS_write, socket, &header, 3, 0, 0, 0); break;
	case 1: RAW(SYS_write, socket, &header, sizeof header, 0, 0, 0); break;
	case 2: ask(socket, 77, "/", 1); break;
	case 3: ask(socket, ZVM_ASK_KIND_OPEN, big, 60000); break;
	case 4: ask(socket, ZVM_ASK_KIND_OPEN, big, 150000); break;
	case 5: ask(socket, ZVM_ASK_KIND_LOOKUP, "/usr\0/bin", 9); break;
	case 6: ask(socket, ZVM_ASK_KIND_PLAN, "no number", 9); break;
	case 7: ask(socket, ZVM_ASK_KIND_PLAN, "\377\377\377\177", 4); break;
	case 8: ask(socket, ZVM_ASK_KIND_REPORT, "short", 5); break;
	case 9: RAW(SYS_write, socket, &header, 0, 0, 0, 0); break;
	}
	RAW(SYS_exit_group, 0, 0, 0, 0, 0, 0); /* unless we are killed first */
}

int main(int argc, char **argv)
{
	/* A script can pass no number on: then it is the last letter of our own name. */
	const char *name = strstr(argv[0], "nonsense"), *what = name ? "nonsense" : argc > 1 ? argv[1] : "";
	take_over();
	if (!strcmp(what, "arena"))
		beyond_the_arena();
	else if (!strcmp(what, "monitor"))
		move_the_monitor();
	else if (!strcmp(what, "close"))
		close_everything();
	else if (!strcmp(what, "silent"))
		be_silent();
	else if (!strcmp(what, "flood"))
		flood();
	else if (!strcmp(what, "send"))
		send_descriptors();
	else if (!strcmp(what, "forge"))
		ask(broker_socket(), ZVM_ASK_KIND_TRACE, "\033[2J\nforged\r\x9b", 13);
	else if (!strcmp(what, "lie"))
		lie();
	else if (!strcmp(what, "stop"))
		stop(argc > 2 ? atoi(argv[2]) : 0);
	else if (!strcmp(what, "nonsense"))
		talk_nonsense(name ? atoi(name + strlen("nonsense")) : 0);
	else
		return 97;
	return 0;
}
