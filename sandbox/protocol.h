/*
 * What the monitor and the host side say to each other: with shebang.h the only header that both include.
 *
 * Three conversations, all over SOCK_SEQPACKET, one message a packet, native byte order, fixed-width fields:
 *
 *   launcher -> zygote   struct zvm_fork_order  + [box socket, arena]      zygote -> launcher   struct zvm_fork_done
 *   host -> box          struct zvm_run_order   + [stdin, stdout, stderr, program, interpreter?]      once, first
 *   host -> template     struct zvm_run_order   + [program, interpreter?]           once, first; it stops, and then:
 *   launcher -> template struct zvm_fork_order  + [box socket, arena]      template -> launcher struct zvm_fork_done
 *   host -> box          struct zvm_part_order  + [stdin, stdout, stderr]           once, first, to one so forked
 *   box -> host          struct zvm_ask + text                             host -> box          struct zvm_reply + text
 * [+ fd]
 *
 * The program and its interpreter come as prepared images where there are any; of other contents the box gets the
 * prepared one by a question (ZVM_ASK_KIND_IMAGE), so that who reads a file gets the file.
 *
 * Every ask but ZVM_ASK_KIND_TRACE, _BYTES and _STOPPED gets exactly one reply, and the next ask comes after it: a
 * box that lets answers pile up is hung up on. The host trusts nothing in an ask. A box cannot send descriptors (the
 * wall knows no sendmsg), and the host receives without room for them, so the kernel would drop them. No pointer
 * crosses, and nothing here depends on libc, because the monitor has none.
 */
#ifndef ZVM_PROTOCOL_H
#define ZVM_PROTOCOL_H

#include <stdint.h>

/*
 * The address space of a box, the same in every run. The guest owns what lies below ZVM_GUEST_END; the wall lets
 * nobody map, unmap or protect anything at or above ZVM_MONITOR_BASE but the arena itself: a call's address is below
 * ZVM_GUEST_END and its length at most ZVM_MAP_LENGTH_MAX, so the sum stays below the monitor. (seccomp can compare an
 * argument with a constant, not the sum of two.)
 */
#define ZVM_GUEST_END 0x7c0000000000ull
#define ZVM_MAP_LENGTH_MAX 0x020000000000ull
#define ZVM_MONITOR_BASE 0x7e0000000000ull
#define ZVM_MONITOR_END 0x7e1000000000ull
#define ZVM_ARENA_BASE 0x7e2000000000ull
/* What the arena's memfd holds while the box waits for its order, before it is cut to size and sealed. */
#define ZVM_ARENA_FIRST (192ull << 20)
/* Room for any arena; how much of it there is depends on the run's limit. */
#define ZVM_ARENA_MAPPED (96ull << 30)

#define ZVM_PATH_MAX 4096
/* Longest packet in either direction: header, a path, or the strings of a run order. */
#define ZVM_PACKET_MAX 65536

#define ZVM_ORDER_MAGIC 0x31304d565aull

/* A BPF instruction as the kernel takes it (struct sock_filter). */
struct zvm_filter_instruction {
	uint16_t code;
	uint8_t jump_true, jump_false;
	uint32_t k;
};
#define ZVM_FILTER_MAX 1024

/*
 * Given by the launcher's C code to the monitor's entry (rdi), in the process that becomes the zygote. The monitor
 * copies it, leaves the old stack, unmaps everything that is not its own, installs both filters (redirect first, wall
 * last) and serves orders.
 */
struct zvm_handoff {
	int32_t control;     /* socket to the launcher; every other descriptor is closed already */
	int32_t fault_cpuid; /* arch_prctl(ARCH_CPUID_SET, 0) stood: cpuid raises SIGSEGV and is answered by the monitor
	                      */
	uint64_t host_features;    /* ZVM_HOST_* */
	uint32_t no_jumps, unused; /* undo the jumps of what is mapped: every system call traps */
	uint32_t redirect_count, wall_count;
	struct zvm_filter_instruction redirect[16];
	struct zvm_filter_instruction wall[ZVM_FILTER_MAX];
};

struct zvm_fork_order {
	uint64_t magic;
	uint64_t arena_size;  /* to map of the memfd sent along; the run order says how much of it there is */
	uint32_t box, unused; /* the launcher's number for it */
};

struct zvm_fork_done {
	uint32_t box;
	int32_t pid; /* or -errno */
};

/*
 * Jumps (jumps.h): behind the file's own bytes a prepared image has trampolines, one a slot, to be mapped `reach` bytes
 * from where the file's first byte lies, or would lie, in memory with its code. Slot 0 holds the address of the
 * monitor's gate. The others:
 *
 *   backward   the displaced instruction; lea AFTER, %rcx; lea AFTER, %r11; jmp *GATE
 *   forward    lea AFTER, %rcx; lea RESUME, %r11; jmp *GATE; RESUME: the displaced instruction; jmp back behind it
 *
 * AFTER is the address behind the `syscall`. The last byte of a slot is the displaced instruction's length, with
 * ZVM_JUMP_FORWARD; 0: there is nothing in it.
 */
#define ZVM_GATE (ZVM_MONITOR_BASE + 0x400)
#define ZVM_JUMP_SLOT 32u
#define ZVM_JUMP_CALL 20u /* of the three instructions that lead to the gate */
#define ZVM_JUMP_FORWARD 0x80u

struct zvm_jumps {
	uint64_t offset, size; /* in the image, of whole pages; size 0: there are none */
	int64_t reach;
};

#define ZVM_SEGMENTS_MAX 16

struct zvm_segment {
	uint64_t address; /* of the first byte, unbiased; same offset within its page as file_offset */
	uint64_t file_offset;
	uint64_t file_size;
	uint64_t memory_size; /* >= file_size; the rest is zero */
	uint32_t protection;  /* PROT_* */
	uint32_t unused;
};

/* How to map one ELF file: made and checked by plan.c, so that the monitor only has to obey. */
struct zvm_image {
	uint64_t entry;           /* unbiased */
	uint64_t program_headers; /* address in memory, unbiased; 0 if not mapped */
	uint32_t program_header_count;
	uint32_t segment_count;
	uint64_t low, high;   /* page-aligned span of all segments, unbiased */
	uint32_t relocatable; /* ET_DYN: may be placed anywhere */
	uint32_t executable_stack;
	uint32_t prepared;      /* the descriptor that comes along is of a prepared image (prepare.h) */
	uint32_t unvetted;      /* its code could not be looked into */
	struct zvm_jumps jumps; /* of the prepared image */
	struct zvm_segment segments[ZVM_SEGMENTS_MAX];
};

#define ZVM_RUN_TRACE 1u    /* send a ZVM_ASK_KIND_TRACE line for each system call */
#define ZVM_RUN_TEMPLATE 2u /* stop where runs part (ZVM_ASK_KIND_STOPPED) */

struct zvm_run_order {
	uint64_t magic;
	uint32_t size; /* of the whole packet */
	uint32_t flags;
	uint64_t memory_limit, output_limit; /* bytes */
	uint64_t cpu_seconds;                /* hard RLIMIT_CPU */
	uint64_t data_limit;                 /* hard RLIMIT_DATA */
	uint64_t arena_size;                 /* what the memfd holds, sealed against growing and shrinking */
	uint64_t input_size;
	unsigned char seed[32], own_seed[32]; /* of chance until runs part, and from there on */
	uint32_t has_interpreter;
	uint32_t argument_count, environment_count;
	uint32_t strings_size; /* after this struct: executable's guest path, arguments, environment, each
	                          NUL-terminated */
	struct zvm_image program, interpreter;
};

struct zvm_part_order {
	uint64_t magic;
	uint64_t input_size;
	unsigned char own_seed[32];
};

enum zvm_ask_code {
	ZVM_ASK_KIND_LOOKUP = 1,  /* = ZVM_ASK_LOOKUP of view.h; text: path */
	ZVM_ASK_KIND_OPEN = 2,    /* = ZVM_ASK_OPEN; text: path; a descriptor comes with a good reply */
	ZVM_ASK_KIND_PLAN = 3,    /* text: uint32_t, the `content` of an earlier reply, 0: what was sent by BYTES; reply
	                             text: struct zvm_image, then the file's own guest path ("": of BYTES) and that of
	                             the interpreter it names ("": none), each NUL-terminated; a descriptor to map */
	ZVM_ASK_KIND_REPORT = 4,  /* text: struct zvm_report; the box exits after the reply */
	ZVM_ASK_KIND_TRACE = 5,   /* text: one line; no reply */
	ZVM_ASK_KIND_IMAGE = 6,   /* text: uint32_t, the `content` of an earlier reply, to be mapped executable; a
	                             descriptor  comes with the reply if there is a prepared image, and as text its struct
	                             zvm_jumps; else the  content itself will do */
	ZVM_ASK_KIND_BYTES = 7,   /* text: the next bytes of a file that the guest has written and executes; no reply */
	ZVM_ASK_KIND_STOPPED = 8, /* a template: from now on it serves fork orders, and asks nothing more; no reply */
};

struct zvm_ask {
	uint32_t kind;
	uint32_t flags;       /* ZVM_ASK_NOFOLLOW of view.h: 1 */
	uint32_t text_length; /* bytes after this struct */
	uint32_t unused;
};

#define ZVM_REPLY_ELSEWHERE 1u /* text: the absolute guest path to restart with */
#define ZVM_REPLY_CONTENT 2u   /* a descriptor came along */
#define ZVM_REPLY_UNVETTED 4u  /* IMAGE: nothing is known of the code in it */
#define ZVM_REPLY_MISSING 8u   /* with ENOENT; text: the directory on the way that is missing, and all below it */

struct zvm_reply {
	int32_t error; /* 0 or -errno for the guest */
	uint32_t flags;
	uint32_t mode;
	uint32_t text_length;
	uint64_t size, inode;
	uint64_t content_size; /* of what the descriptor holds: for a directory the listing's bytes */
	int64_t mtime;
	uint32_t content; /* the host's number for what the descriptor holds, in this run; 0: no file */
	uint32_t unused;
};

enum zvm_report_end {
	ZVM_REPORT_EXIT = 1,
	ZVM_REPORT_SIGNAL = 2,
	ZVM_REPORT_OUTPUT_LIMIT = 3,
	ZVM_REPORT_DEADLOCK = 4,
	ZVM_REPORT_START_FAILED = 5, /* the image could not be mapped: status is the errno */
	ZVM_REPORT_HOST_FAILED = 6,  /* the host did not do what it does for others: status is the errno */
};

/* Bits of zvm_report.remarks. */
#define ZVM_REMARK_NOT_VETTED 1u /* executable anonymous memory was mapped */
#define ZVM_REMARK_REAL_TIME 2u  /* only real time moved a spinning task on */

#define ZVM_CALLS_MAX 512
#define ZVM_REFUSED_MAX 16

struct zvm_report {
	uint32_t end;   /* enum zvm_report_end */
	int32_t status; /* exit status, signal number, or errno */
	uint64_t system_calls, virtual_ns, peak_memory, bytes_read, bytes_written;
	uint32_t calls_by_number[ZVM_CALLS_MAX];
	uint32_t remarks;
	uint32_t refused_count;
	uint64_t refused[ZVM_CALLS_MAX / 64];     /* a bit for each system call number that was refused at least once */
	char refused_detail[ZVM_REFUSED_MAX][48]; /* "socket(AF_INET, SOCK_STREAM)"; refused_count of them are set */
	char message[256];                        /* NUL-terminated line for err/, may be empty */
	char fault_file[256];  /* NUL-terminated guest path of what the last fault was in; "": none */
	uint64_t fault_offset; /* in it */
};

#endif
