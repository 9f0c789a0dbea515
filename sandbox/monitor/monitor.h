/*
 * The monitor's own header: its types, its one arena, and what each of its files offers the others.
 *
 * The monitor is freestanding: no libc, no floating point, nothing but its code, the guest's memory and the arena. It
 * runs on the guest's threads, inside the SIGSYS handler, on the alternate stack of the task that trapped, so it may
 * block at any depth.
 *
 * All state that outlives a system call is in the arena: shared memory at a fixed address, so that every
 * process of a box sees the same and a template can be copied whole. Records in it refer to each other by index,
 * never by host pointer. Statics elsewhere: the current task, what is of one native process alone
 * (frames, trampolines), and scratch that no two calls share.
 *
 * Only one task of a box runs at a time (sched.c), so nothing here takes a lock.
 */
#ifndef MONITOR_H
#define MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "protocol.h"
#include "abi.h"

/* One static image without a global offset table: declarations, too, are of symbols inside it. */
#pragma GCC visibility push(hidden)

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;
typedef int64_t s64;
typedef int32_t s32;

#define PAGE_SIZE 4096ull
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define NORETURN __attribute__((noreturn))

static inline u64 page_down(u64 x)
{
	return x & ~(PAGE_SIZE - 1);
}
static inline u64 page_up(u64 x)
{
	return (x + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}
static inline u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* --- sizes of the tables --- */
#define TASKS_MAX 256
#define PROCESSES_MAX 256
#define DESCRIPTORS_MAX 1024  /* of a process: RLIMIT_NOFILE as the guest sees it */
#define DESCRIPTIONS_MAX 4096 /* open file descriptions of the box */
#define AREAS_MAX 4096        /* mappings of a process */
#define NO_INDEX 0xffffffffu

/* What a handler is told of a signal that waits to be delivered. */
struct signal_info {
	s32 code, pid, status, unused;
	u64 value;
};

/* A real-time signal behind one that waits already. */
struct queued_signal {
	s32 owner; /* pid, or -tid: of one task; 0: free */
	s32 number;
	u64 sequence;
	struct signal_info info;
};
#define QUEUED_MAX 256

struct timer {
	u32 in_use;
	s32 signal; /* 0: none */
	s32 thread; /* SIGEV_THREAD_ID; 0: the process */
	s32 overrun;
	u64 deadline, interval; /* virtual ns; NEVER: disarmed */
	u64 value;
};
#define TIMERS_MAX 32 /* 0: ITIMER_REAL and alarm, 1: ITIMER_VIRTUAL, 2: ITIMER_PROF, then timer_create's */
#define FIRST_OWN_TIMER 3

/* --- sched.c: tasks --- */
enum task_state { TASK_FREE = 0, TASK_RUNNABLE, TASK_BLOCKED, TASK_ZOMBIE };

struct task {
	u32 state;   /* enum task_state */
	u32 process; /* index of its process */
	u32 host; /* index of the process whose memory it runs in: its own, or after vfork, until exec, its parent's */
	u32 vfork_parent; /* task that waits for its exec or end, plus 1; 0: none */
	u32 futex_bits;
	u32 call;        /* in which it waits */
	s32 tid;         /* virtual */
	u32 stack_slot;  /* its alternate stack in the monitor's memory */
	u64 channel;     /* what it waits for (block) */
	u64 sequence;    /* order of arrival: first come, first served */
	u64 deadline;    /* virtual ns; NEVER if none */
	u64 saved_stack; /* monitor stack pointer while not running */
	u64 fs_base;
	u64 clear_tid, robust_list;
	u64 signal_mask, signal_pending;
	u64 saved_mask; /* of sigsuspend, ppoll, ... while `restore_mask` */
	bool restore_mask, woken;
	bool cut_short; /* a stop has come upon a wait that ends with EINTR then */
	u32 policy;     /* SCHED_*: told back, and nothing else */
	u64 alternate_stack, alternate_size;
	u32 alternate_flags;
	struct signal_info pending_info[65];
	char name[16];
};

/* --- memory.c: mappings of a process, ordered by address --- */
struct area {
	u64 start, end;
	u32 protection; /* PROT_* */
	u32 flags;      /* AREA_* */
	u64 offset;     /* in its file */
	u64 inode;      /* for /proc/self/maps; 0: anonymous */
	u32 name;       /* arena string (string_keep), or NO_INDEX */
	u32 node;       /* AREA_PRIVATE_FILE: the private file it maps */
	u32 content;    /* a host file's: the host's number for it, to ask for its prepared image; else 0 */
};
#define AREA_SHARED 1u
#define AREA_HEAP 2u
#define AREA_STACK 4u
#define AREA_CHARGED 16u     /* counts against the memory limit */
#define AREA_PREPARED 32u    /* of a prepared image: a hlt in it may stand for another instruction */
#define AREA_READ_ONLY 64u   /* shared, of a file that was not opened for writing */
#define AREA_PRIVATE_FILE 8u /* pages of the arena: a file of the private tree, mapped shared */

struct signal_action {
	u64 handler, flags, restorer, mask;
};

struct descriptor {
	u32 description; /* index, or NO_INDEX when closed */
	u32 close_on_exec;
};

struct process {
	u32 in_use;
	s32 pid, parent, group, session; /* virtual */
	s32 native_pid;
	u32 token;       /* futex word: the process runs while it holds the box's token */
	s32 exit_status; /* wait status once it is a zombie */
	u32 zombie, umask;
	u64 end_sequence;                      /* order in which zombies ended */
	u32 stopped;                           /* by which signal; the scheduler passes it over */
	u32 stop_news, continue_news, adopted; /* to be told to who waits for it; adopted by process 1 */
	u64 news_sequence;
	struct signal_action actions[65];
	struct descriptor descriptors[DESCRIPTORS_MAX];
	char directory[ZVM_PATH_MAX];  /* current, absolute, resolved */
	char executable[ZVM_PATH_MAX]; /* guest path: /proc/self/exe */
	u64 break_start, break_end;
	u64 stack_low, stack_high, arguments_start, arguments_end, environment_start, environment_end;
	u64 program_headers, program_header_count, entry, interpreter_base; /* as in its auxv */
	u64 auxv[48];
	u32 auxv_count;
	u32 area_count;
	struct area areas[AREAS_MAX];
	u64 charged; /* bytes of private writable mappings */
	u64 signal_pending;
	struct signal_info pending_info[65];
	struct timer timers[TIMERS_MAX];
	s32 nice, death_signal; /* prctl(PR_SET_PDEATHSIG) */
	u32 dumpable, keeps_capabilities, subreaper;
	u32 executed; /* another program since it was forked */
	u8 drawn[25]; /* by this program, as it started: how often so many bytes (chance.c) */
	u64 timer_slack;
	u64 limits[16][2]; /* RLIMIT_*: soft, hard, as the guest sees and sets them */
	char name[16];
};

/* What is asked of who is lent the token (peek.c). */
struct peek {
	u32 home; /* process whose memory it is, plus 1; 0: nothing is asked */
	u32 reader;
	u64 from, to, size; /* `to` is in the arena */
	s32 result;
};

/* --- the arena --- */
struct arena {
	u64 magic, size;
	u32 box;
	s32 socket;                 /* to the host */
	s32 arena_fd;               /* this arena's memfd, for mapping private files into the guest */
	s32 input_fd, output_fd[2]; /* stdin; stdout and stderr */
	u64 input_size, output_limit, output_written[2];
	u64 clock_ns;  /* since the epoch; starts at EPOCH_NS */
	u64 random[8]; /* state of the generator (chance.c) */
	u64 memory_limit, memory_used, memory_peak;
	u64 calls; /* system calls made */
	u32 calls_by_number[ZVM_CALLS_MAX];
	u64 bytes_read, bytes_written; /* by calls, from and to anything with a descriptor */
	u64 turn;                      /* of which before the current task got the processor */
	u64 next_timer;                /* no timer is due before; NEVER: none is armed */
	u64 sequence;
	u32 trace, remarks;
	bool template, parted; /* template.c */
	u8 own_seed[32];       /* of chance from the parting on */
	u32 files_cut; /* how often a mapped file has become shorter: other processes' mappings follow (memory_follow)
	                */
	u64 refused[ZVM_CALLS_MAX / 64];
	u32 refused_count, running;
	char refused_detail[ZVM_REFUSED_MAX][48];
	struct queued_signal queued[QUEUED_MAX];
	u32 queued_count;
	u32 stopped; /* processes that are: 0 saves looking */
	struct peek peek;
	s32 next_pid;
	s32 first_status; /* wait status of pid 1 once it has ended */
	char first_message[256];
	u32 fault_name; /* the file that a crash was in, as string_keep'd, and where in it */
	u64 fault_offset;
	u32 task_count,
	        process_count; /* slots ever used: loops stop there, so the rest of the tables is never touched */
	struct task tasks[TASKS_MAX];
	struct process processes[PROCESSES_MAX];
	u8 files[4 << 20]
	        __attribute__((aligned(64))); /* files.h: open descriptions, pipes, the private tree's tables */
	u8 heap_state[1 << 20] __attribute__((aligned(64))); /* arena.c */
	u8 asks[1 << 19] __attribute__((aligned(64)));       /* ask.c: answers remembered */
};

typedef struct arena arena_layout; /* to name the type where the macro below would get in the way */
#define arena ((arena_layout *)ZVM_ARENA_BASE)
#define EPOCH_NS (946684800ull * 1000000000ull)
#define NEVER UINT64_MAX

/* --- current task: the one static that all files share --- */
extern u32 current_task;
static inline struct task *task_self(void)
{
	return &arena->tasks[current_task];
}
static inline struct process *process_self(void)
{
	return &arena->processes[task_self()->process];
}
/* Whose memory the current task runs in: its areas, heap and charge are that one's. */
static inline struct process *memory_self(void)
{
	return &arena->processes[task_self()->host];
}

/* --- lib.c --- */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
bool starts_with(const char *s, const char *prefix);
/* Bounded, always NUL-terminated; returns the length it would have had. Knows %s %d %u %x %ld %lu %lx %llx %c %%,
 * widths and 0-padding. */
int format(char *to, size_t room, const char *pattern, ...) __attribute__((format(printf, 3, 4)));
/* A text that grows up to `room`, for made-up files. */
struct text {
	char *data;
	size_t size, room;
};
void text_add(struct text *text, const char *pattern, ...) __attribute__((format(printf, 2, 3)));

/* --- guest.c: the guest's memory, from which any pointer may be bad --- */
bool guest_range(u64 address, u64 size);             /* wholly below ZVM_GUEST_END (it may still fault) */
int guest_read(void *to, u64 from, size_t n);        /* 0 or -EFAULT */
int guest_write(u64 to, const void *from, size_t n); /* 0 or -EFAULT */
int guest_zero(u64 to, size_t n);
s64 guest_string(char *to, u64 from,
                 size_t room); /* length without NUL; -EFAULT, or -ENAMETOOLONG if no NUL within room */
#define GUEST_GET(variable, address) guest_read(&(variable), (address), sizeof(variable))
#define GUEST_PUT(address, variable) guest_write((address), &(variable), sizeof(variable))

/* --- arena.c: memory inside the arena --- */
/* `count` consecutive pages of the data area, zeroed; index of the first, or NO_INDEX if the arena is full. Not charged
 * to the guest. */
u32 pages_take(u32 count);
void pages_give(u32 first, u32 count);
void *page_at(u32 page);   /* address in the arena */
u64 page_offset(u32 page); /* offset in the memfd arena->arena_fd, for mmap */
/* Small blocks (names, table chunks); 16-byte aligned, zeroed; 0 if there is none. An index, so that nothing holds a
 * pointer. */
u32 block_take(size_t size);
void block_give(u32 block, size_t size);
void *block_at(u32 block);
/* Guest-visible memory accounting: 0, or -ENOMEM when the limit would be passed (inclusive). */
int memory_charge(u64 bytes);
void memory_uncharge(u64 bytes);

/* --- time.c --- */
u64 clock_query(void); /* a guest asks: advances 1 us and returns ns since 1970 */
u64 clock_peek(void);  /* ours: does not advance */

/* --- chance.c --- */
void random_bytes(void *to, size_t n);
void random_for_start(u64 n); /* before drawing so much: runs part, unless a library may be starting */

/* --- template.c --- */
void runs_part(void); /* before what needs the input, or shows outside; may return in another process */

/* --- sched.c --- */
/*
 * The one wait. Blocks the current task until wake(channel) reaches it (0), the virtual clock reaches the deadline
 * (-ETIMEDOUT), or a signal that is not blocked is pending (-EINTR). Callers loop: test the condition, block, test
 * again. With nothing else runnable the clock jumps to the earliest deadline; with none the run ends as a deadlock.
 */
int block(u64 channel, u64 deadline);
void wake(u64 channel, u32 count); /* marks at most `count` waiters runnable, first come first served */
void yield(void);
void yield_if_long(void);
bool signal_deliverable(void); /* an unblocked signal is pending on the current task */

/* Channels: what may be waited for. */
static inline u64 channel_description(u32 description)
{
	return (1ull << 56) | description;
}
static inline u64 channel_pipe(u32 pipe)
{
	return (2ull << 56) | pipe;
}
static inline u64 channel_child(u32 process)
{
	return (3ull << 56) | process;
}
static inline u64 channel_sleep(u32 task)
{
	return (4ull << 56) | task;
}
static inline u64 channel_vfork(u32 task)
{
	return (7ull << 56) | task;
}
static inline u64 channel_poll(void)
{
	return 5ull << 56;
} /* any readiness changed */

/* --- signal.c --- */
/* Queue it; delivered on return to the guest. -EAGAIN: real-time signals wait without end. */
s64 signal_post(struct process *process, int number, const struct signal_info *info);
void signal_send(struct process *process, int number); /* the same, from the kernel and with nothing to tell */
const char *signal_name(int number);
/* One with this code and pid waits; thread: for that one alone, 0: for the process. */
bool signal_posted(const struct process *process, s32 thread, int number, s32 code, s32 pid);
s64 signal_post_thread(s32 thread, int number, const struct signal_info *info); /* -ESRCH: there is none */
void signal_forget(struct process *process, int number);                        /* whatever of it waits is gone */
int signal_take(u64 set, struct signal_info *info); /* the lowest that waits for the current task, or 0 */
void run_end(u32 end, int status,
             const char *message) NORETURN; /* report to the host and die, with every process of the box */
/*
 * The host refuses what the guest may have by our own count (a limit set by whoever started zvm, a full disk). Telling
 * the guest would make its result depend on that; so there will be none.
 */
void host_failed(const char *what, s64 error) NORETURN;

/* --- trap.c: refusing --- */
/* Note a refused call for `info` and give back the errno: return refuse("socket(AF_INET)", EAFNOSUPPORT). detail NULL:
 * only the number. */
s64 refuse(const char *detail, int error_number);
extern u64 current_call; /* number of the call being answered */

/* --- ask.c: the host's files --- */
struct answer {
	s32 error;      /* -errno for the guest; then nothing else is set */
	bool elsewhere; /* `text`: absolute guest path to restart with */
	u32 mode;
	u64 size, inode, content_size;
	s64 mtime;
	u32 content;             /* of a file that was opened: the host's number for it */
	char text[ZVM_PATH_MAX]; /* link target, or elsewhere */
};
/*
 * Ask about an absolute guest path below a host place (/usr /bin /sbin /lib /lib64 /etc /script). Answers hold for the
 * whole run (it sees one snapshot), so lookups are remembered in the arena and a question is asked once. *fd (open):
 * native descriptor of the content, the caller's to close with native_close.
 */
void ask_lookup(const char *path, bool follow, struct answer *ret);
void ask_open(const char *path, bool follow, struct answer *ret, int *fd);
/* The prepared image of a content: a native descriptor, the caller's to close, and what jumps it has; -1: the content
 * itself will do (or, not `vetted`, has to do). */
int ask_image(u32 content, bool *vetted, struct zvm_jumps *jumps);

/*
 * How a file is to be loaded that may be executed: by the number of its content; 0: what has been sent by ask_bytes. 0
 * and a descriptor to map, the caller's; or the guest's -errno. own: the file's name without links, "" for bytes;
 * interpreter: "" if it names none.
 */
int ask_plan(u32 content, struct zvm_image *plan, char own[ZVM_PATH_MAX], char interpreter[ZVM_PATH_MAX], int *fd);
void ask_bytes(const void *bytes, u32 size);

/* --- maps.c and memory.c, for /proc/self/maps and limits --- */
void memory_maps_text(const struct process *process, struct text *text, bool smaps);
u64 memory_mapped_bytes(const struct process *process);
/* A private file that has been mapped ends elsewhere now; both page-aligned. */
void memory_file_resized(u32 private_node, u64 old_end, u64 new_end);

/* --- peek.c --- */
int memory_peek(const struct process *process, u64 from, void *to, u64 n); /* `to` is in the arena; 0 or -errno */

/* --- files.h side: what file.c offers the rest (all written against descriptors of process_self()) --- */
void files_start(void);   /* once a run: the private tree, and descriptors 0-2 of process 0 */
void files_connect(void); /* when the order has come: what 0-2 read and write */
int files_fork(struct process *parent, struct process *child); /* share descriptions: references up */
void files_moved(const struct process *process, u32 host);     /* it has left this one's memory and native process */
void files_exec(struct process *process);                      /* close-on-exec */
void files_exit(struct process *process);                      /* close all */
bool files_hold_output(const struct process *process);         /* has the run's stdout or stderr open */
bool rights_hold_output(void);                                 /* they are on their way to somebody */

s64 pidfd_make(s32 pid, u32 flags); /* a new descriptor that is a process */
/* Which process a descriptor is: its pid, or -EBADF; and whether it is to be waited for. */
s64 pidfd_to_wait_for(u64 fd, bool *nonblocking);

/* What mmap needs to know of a descriptor. */
struct mapping {
	int native_fd; /* to pass to mmap; -1: the arena's pages below */
	u64 size;      /* of the file */
	u64 inode;
	u32 name;      /* string_keep'd path for /proc/self/maps */
	u32 content;   /* the host's number for it; 0: not one of its files */
	bool writable; /* opened for writing: MAP_SHARED with PROT_WRITE is allowed */
	bool readable;
	bool sealed;      /* against writing */
	bool zeros;       /* /dev/zero: as if it were anonymous */
	u32 private_node; /* a file of the private tree, or NO_INDEX */
};
/* 0, -EBADF, -ENODEV (pipes, directories, made-up files that cannot be mapped), -EACCES. */
int files_mapping(int fd, struct mapping *ret);
/*
 * The arena page that holds byte `offset` (page-aligned) of a private file, allocating it if `allocate` (charged like a
 * write); NO_INDEX for a hole without allocate or when memory is short. How many pages follow consecutively: *run (at
 * least 1).
 */
u32 files_page(u32 private_node, u64 offset, bool allocate, u32 *run);
/* The size of a private file that is being mapped: from then on memory_file_resized is told of each change. */
u64 files_mapped_size(u32 private_node);
/* Keep a string for the life of the run (deduplicated); its index, NO_INDEX when full. */
u32 string_keep(const char *s);
const char *string_at(u32 string);

/* --- calls: every handler has this shape; arguments as the guest passed them; the result goes to rax --- */
typedef s64 call_handler(const u64 *a);

#define CALL(number, name, handler, kind, why) CALL_##kind(handler)
#define CALL_EMULATED(handler) call_handler handler;
#define CALL_BROKERED(handler) call_handler handler;
#define CALL_PASSED(handler) call_handler handler;
#define CALL_REFUSED(error)
#define CALL_ABSENT(error)
#include "calls.def"
#undef CALL
#undef CALL_EMULATED
#undef CALL_BROKERED
#undef CALL_PASSED
#undef CALL_REFUSED
#undef CALL_ABSENT

#endif
