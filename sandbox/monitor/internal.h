/*
 * What the monitor's core files (entry, load, trap, signal, sched, process, thread, memory, time) offer each other,
 * beyond monitor.h. The files side does not need it.
 */
#ifndef MONITOR_INTERNAL_H
#define MONITOR_INTERNAL_H

#include "monitor.h"
#include "native.h"

/* entry.S */
int guest_copy(void *to, const void *from, size_t n);
int guest_fill(void *to, size_t n);
void guest_enter(u64 instruction, u64 stack, u64 state) NORETURN;
void native_restorer(void);
void stack_switch(u64 *save, u64 to);
extern const char guest_copy_begin[], guest_copy_end[], guest_copy_fault[], guest_fill_begin[], guest_fill_end[];
extern const char monitor_text_start[], monitor_text_end[];

/* The guest's address space: one plan, the same in every run (addresses are part of what a guest sees). */
#define STACK_TOP 0x7bfffffff000ull
#define STACK_SIZE (8ull << 20)
#define MAP_TOP 0x7bff80000000ull /* mappings are handed out from here downwards */
#define MAP_BOTTOM 0x10000ull
#define PROGRAM_BASE 0x555555554000ull /* of relocatable programs */

/* entry.c */
extern struct zvm_handoff handoff;
#define STACK_SLOT_SIZE (64ull << 10)
u64 stack_slot_at(u32 slot); /* lowest address of a task's alternate stack */
void stack_slot_use(u32 slot);
void touch_ahead(const void *at, size_t size); /* writes to each page, changing nothing */

/* gate.S */
extern u64 gate_stack; /* where the gate pushes the registers of the current task */

/* load.c */
struct program_order {
	const struct zvm_image *program, *interpreter; /* interpreter NULL: static */
	int program_fd, interpreter_fd;
	const char *name;       /* as it was called: AT_EXECFN, and comm */
	const char *executable; /* the file's own guest path */
	u32 argument_count, environment_count;
	const char *strings; /* arguments then environment, each NUL-terminated */
	size_t strings_size;
};
/* Maps it into the (empty) address space of the current process and builds its stack; 0 or -errno. */
int program_load(const struct program_order *order, u64 *instruction, u64 *stack);

/* trap.c */
typedef struct ucontext frame_t;
frame_t *task_frame(u32 task);
extern bool frame_replaced; /* the handler has set every register itself: leave rax alone */
void trap_install(void);
bool gate_call(frame_t *frame, u64 resume);
void gate_stack_use(u32 slot);         /* calls through the gate come in there */
void frames_leave(u64 start, u64 end); /* no task of this native process is to go on in there */

/* instruction.c */
enum instruction {
	INSTRUCTION_OTHER,    /* not one of those: a fault like any other */
	INSTRUCTION_ANSWERED, /* registers are set, and rip is behind it */
	INSTRUCTION_UNDEFINED /* one that the fixed machine does not have */
};
enum instruction instruction_answer(frame_t *frame);

/* signal.c */
void signals_deliver(frame_t *frame); /* before returning to the guest */
void signal_fault(frame_t *frame, int number, const struct siginfo *info);
void signal_reset_for_exec(struct process *process);
int signal_wait_status(int number);

void signal_mask_for_call(u64 mask); /* ppoll, pselect, epoll_pwait, sigsuspend: until the call returns */

/* state.c: floating-point and vector registers, for signal frames; 0 or -EFAULT */
#define STATE_ROOM 3072 /* one size for every processor, so that stack addresses do not tell them apart */
int state_save(u64 to, frame_t *frame);
int state_restore(frame_t *frame, u64 from);
/*
 * Frames that came through the gate have none of it yet. Before anything else runs on the processor, or somebody looks,
 * this makes such a frame one that the kernel can restore; to any other it does nothing.
 */
#define STATE_NATIVE_ROOM 4096u /* behind such a frame, for that */
void state_keep(frame_t *frame);
void state_learn(void); /* once a zygote: what the kernel's frames are like here */
bool state_told(frame_t *frame);

/* time.c */
int get_timespec(u64 from, u64 *ns);
void timers_fire(void); /* send what the clock has passed */
u64 timers_next(void);  /* earliest deadline of any timer, or NEVER */
void clock_advance_to(u64 ns);
u64 clock_tsc(void);

/* stack.c */
bool stack_grow(u64 address);              /* true: something is mapped there now */
int stack_map(bool executable, u64 words); /* of a new program, with room for its words; 0 or -errno */

/* memory.c */
bool memory_over_limit(struct process *process, u64 more, bool data); /* that the guest has set itself */
u64 memory_place(u64 size);                                           /* a free range below MAP_TOP, or 0 */
bool memory_range_free(const struct process *process, u64 start, u64 end);
int memory_add(u64 start, u64 end, u32 protection, u32 flags, u64 offset, u64 inode, u32 name, u32 node);
void memory_unmap(void);                     /* all of the guest's, in the current native process */
void memory_forget(struct process *process); /* its areas are gone, and cost nothing any more */
const struct area *memory_find(const struct process *process, u64 address);
bool memory_range_valid(u64 start, u64 size); /* page-aligned, the guest's, and not too long for the wall */
bool memory_range_mapped(const struct process *process, u64 start, u64 end); /* without a hole */
void memory_follow(void);       /* this process has its turn again: others may have cut files that it has mapped */
bool memory_fault(u64 address); /* it could not be reached: true if it has been mapped by now */

/* jump.c: system calls that come in by a jump; `base` is where the file's first byte lies, or would lie */
int jumps_map(u64 at, u64 offset, const struct zvm_jumps *jumps, int image, u32 content); /* of executable pages */
void jumps_give_way(u64 start, u64 end); /* the guest wants that place */
void jumps_text_moves(u64 base);
void jumps_clear(void);      /* nothing of the guest is mapped any more, and nobody goes on in it */
u64 jump_displaced(u64 rip); /* where a guest is by its own account, before or behind what was displaced; 0: nowhere */
u64 jump_resume(u64 rip);    /* where the instruction that a jump has written over is instead; 0: none is */
bool jump_hides(u64 rip);    /* a step to there is none of the guest's own */

/* chance.c */
void random_seed(const unsigned char seed[32]);

/* arena.c */
void arena_start(u64 size);
void arena_extend(u64 size);
u32 arena_next_page(void); /* where the next fresh page will be */

/* ask.c */
void ask_warm(void); /* touches the pages that every run writes to */
void host_send(u32 kind, u32 flags, const void *text, u32 length);
s64 host_receive(int socket, void *to, size_t room, int *fds, u32 fds_max, u32 *fd_count);

/* trace.c */
void trace_call(u64 number, const u64 *a, s64 result);
const char *call_name(u64 number);

/* sched.c */
void task_interrupt(u32 task);        /* a blocked task becomes runnable without its channel having been woken */
u32 task_choose(void);                /* who goes on, when the current task does not */
int block_uninterrupted(u64 channel); /* as block, but no signal ends it */

/* thread.c */
void task_switch(u32 next);            /* give the processor to it; returns when we have it again */
u32 task_new(void);                    /* a cleared slot of the table, not yet runnable; NO_INDEX if there is none */
void task_resume_other(void) NORETURN; /* the current task will not run here again: continue whoever is chosen */
s64 thread_start(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls, u32 process);
void thread_end(void) NORETURN;
void process_first_wait(u32 process);
void task_leave_for_good(void) NORETURN;
bool task_lives(u32 task);      /* runs, or waits */
u32 task_guest_of(u32 process); /* a task, not the current one, that runs in this one's memory; NO_INDEX: none */
void task_moved(u32 old_host) NORETURN;

/* peek.c */
bool peek_answer(u32 process); /* the token was lent to look into this process's memory, and is given back */
void token_hand(u32 process);
void token_take(u32 process); /* waits for it */

/* stop.c */
bool signal_stops(int number); /* by default */
void process_stop(struct process *process, int number);
void process_unstop(struct process *process);               /* and nobody is told */
void stop_signal_sent(struct process *process, int number); /* what any signal does besides */
bool stop_at_once(struct process *process, int number);     /* it is sent, and has done all that it does */
void stay_stopped(void);                                    /* the current task, while its process is stopped */
/* The parent of a member of a group is gone for it, or else the member (ending) itself: who is stopped in it goes on.
 */
void group_left(const struct process *member, const struct process *parent, const struct process *ending);

/* futex.c */
void futex_wake_guest(u64 address, u32 count);
void robust_list_release(const struct task *task);

/* fork.c */
void vfork_release(struct task *task); /* the child of a vfork has called exec or ended */
void vfork_leave(const int fds[2]);    /* the current task, on its way to exec, gets a native process of its own, and
                                          takes these native descriptors (-1: none) along */
s64 fork_native(void);
void follow_launcher(void);
void run_over_if_unheard(void);

/* process.c */
void process_end_others(void);                              /* threads of the current process */
struct process *process_find(s64 pid);                      /* 0: the current one */
void process_die(int number, const char *message) NORETURN; /* the current process is killed by a signal */
void task_frame_set(u32 task, frame_t *frame);

/* identity.c */
void limits_start(struct process *process);

#endif
