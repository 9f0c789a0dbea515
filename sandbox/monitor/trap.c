/*
 * Where the guest's system calls arrive. The redirect filter turns every `syscall` outside the monitor's text into
 * SIGSYS; the handler runs on the task's alternate stack, looks the number up in the one table (calls.def), puts the
 * answer into the saved registers and returns through the kernel's own frame. rcx and r11 are already as the kernel
 * leaves them. That takes some 2 us, of which the answer is the least.
 *
 * Calls of prepared images come in by a jump instead (gate.S), for some 20 ns, with a frame on the same stack that has
 * the general registers where the kernel's has them. Most are left as they were entered. Those that something has
 * happened to which the kernel undoes best (another task has run, a signal handler is to run, every register was
 * replaced) have been made whole by state_keep, and leave through it like a trap's.
 *
 * SIGSEGV has three causes: the monitor touched a bad guest pointer (turned into -EFAULT), the guest executed an
 * instruction that is answered (instruction.c), or the guest is simply wrong, and gets its signal.
 */
#include "internal.h"

u32 current_task;
u64 current_call;
bool frame_replaced;
static frame_t *frames[TASKS_MAX];

frame_t *task_frame(u32 task)
{
	return frames[task];
}

void task_frame_set(u32 task, frame_t *frame)
{
	frames[task] = frame;
}

/* --- the table --- */

struct call {
	call_handler *handler; /* NULL: refused */
	s32 refusal;
	bool absent; /* no word of it in `info` */
};

#define CALL(number, name, handler, kind, why) [number] = CALL_##kind(handler),
#define CALL_EMULATED(handler)    \
	{                         \
		handler, 0, false \
	}
#define CALL_BROKERED(handler)    \
	{                         \
		handler, 0, false \
	}
#define CALL_PASSED(handler)      \
	{                         \
		handler, 0, false \
	}
#define CALL_REFUSED(error)        \
	{                          \
		NULL, error, false \
	}
#define CALL_ABSENT(error)        \
	{                         \
		NULL, error, true \
	}
static const struct call calls[ZVM_CALLS_MAX] = {
#include "calls.def"
};
#undef CALL

s64 refuse(const char *detail, int error_number)
{
	if (current_call < ZVM_CALLS_MAX)
		arena->refused[current_call / 64] |= 1ull << (current_call % 64);
	if (!detail)
		return -error_number;
	for (u32 i = 0; i < arena->refused_count; i++)
		if (!strcmp(arena->refused_detail[i], detail))
			return -error_number;
	if (arena->refused_count < ZVM_REFUSED_MAX)
		format(arena->refused_detail[arena->refused_count++], sizeof arena->refused_detail[0], "%s", detail);
	return -error_number;
}

static s64 refuse_number(u64 number, s32 error_number)
{
	char detail[32];
	if (number < ZVM_CALLS_MAX)
		return refuse(NULL, error_number ? error_number : ENOSYS);
	format(detail, sizeof detail, "syscall %lu", number);
	return refuse(detail, ENOSYS);
}

static s64 answer(u64 number, const u64 *a)
{
	const struct call *call = number < ZVM_CALLS_MAX ? &calls[number] : NULL;
	if (call && call->absent)
		return -call->refusal;
	if (!call || !call->handler)
		return refuse_number(number, call ? call->refusal : 0);
	return call->handler(a);
}

static void system_call(frame_t *frame)
{
	struct sigcontext *r = &frame->uc_mcontext;
	u64 number = r->rax;
	u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
	frames[current_task] = frame;
	yield_if_long();
	current_call = number;
	frame_replaced = false;
	arena->calls++;
	if (number < ZVM_CALLS_MAX)
		arena->calls_by_number[number]++;
	s64 result = answer(number, a);
	/* A switch to another task may have happened in between; this is still our frame, but the statics are the
	 * other's. */
	current_call = number;
	if (!frame_replaced)
		r->rax = (u64)result;
	frame_replaced = false;
	if (arena->trace)
		trace_call(number, a, result);
	if (arena->clock_ns >= arena->next_timer)
		timers_fire();
	signals_deliver(frame);
}

/* --- the gate --- */

/* A frame, and behind it what state_keep may need; all of it aligned as vector registers want. */
#define GATE_FRAME_ROOM ((sizeof(frame_t) + 63) / 64 * 64 + STATE_NATIVE_ROOM)
#define TRAP_FLAG 0x100u

void gate_stack_use(u32 slot)
{
	u64 frame = stack_slot_at(slot) + STACK_SLOT_SIZE - GATE_FRAME_ROOM;
	gate_stack = frame + offsetof(frame_t, uc_mcontext.eflags) + sizeof(u64);
}

static void return_to_own_stack(frame_t *frame)
{
	frame->uc_stack.ss_sp = (void *)stack_slot_at(task_self()->stack_slot);
	frame->uc_stack.ss_size = STACK_SLOT_SIZE;
	frame->uc_stack.ss_flags = 0;
}

/*
 * From the gate; `resume` continues the guest behind its call. While the call lasts the frame says where that is by the
 * guest's own account, so that signals and restarts see what they would see after a trap. true: leave by the kernel.
 */
bool gate_call(frame_t *frame, u64 resume)
{
	struct sigcontext *r = &frame->uc_mcontext;
	u64 after = r->rip;
	frame->uc_link = (void *)resume;
	r->fpstate = NULL;
	system_call(frame);
	if (r->rip == after && frame->uc_link)
		r->rip = (u64)frame->uc_link;
	if (!r->fpstate && !(r->eflags & TRAP_FLAG))
		return false;
	state_keep(frame);
	return_to_own_stack(frame);
	return true;
}

void frames_leave(u64 start, u64 end)
{
	for (u32 i = 0; i < arena->task_count; i++) {
		const struct task *task = &arena->tasks[i];
		bool lives = task->state == TASK_RUNNABLE || task->state == TASK_BLOCKED;
		if (!lives || task->host != task_self()->host || !frames[i])
			continue;
		if ((u64)frames[i]->uc_link >= start && (u64)frames[i]->uc_link < end)
			frames[i]->uc_link = NULL;
	}
}

/*
 * A guest that steps through its own code takes no notice of trampolines: its own steps are told, and one into the gate
 * is the system call.
 */
static bool step(frame_t *frame)
{
	struct sigcontext *r = &frame->uc_mcontext;
	if (r->rip != ZVM_GATE)
		return jump_hides(r->rip);
	r->rip = r->rcx;
	r->r11 = r->eflags;
	system_call(frame);
	return true;
}

/* --- the handlers --- */

static bool in_copy(u64 rip)
{
	return (rip >= (u64)guest_copy_begin && rip < (u64)guest_copy_end) ||
	       (rip >= (u64)guest_fill_begin && rip < (u64)guest_fill_end);
}

/* As the kernel tells of an instruction that this processor does not have. */
static void undefined(frame_t *frame)
{
	struct siginfo info = {0};
	info.si_signo = SIGILL;
	info.si_code = 2; /* ILL_ILLOPN */
	info.si_addr = (void *)frame->uc_mcontext.rip;
	frame->uc_mcontext.trapno = 6;
	frame->uc_mcontext.err = 0;
	signal_fault(frame, SIGILL, &info);
}

/*
 * Kernels since 6.14 show no filter the calls that their own probes make (uretprobe, uprobe), and send whoever else
 * makes them SIGILL: the answer must not depend on that.
 */
static bool is_probe_call(int number, const struct siginfo *info, frame_t *frame)
{
	u8 code[2];
	if (number != SIGILL || info->si_code != 0x80 /* SI_KERNEL, where the processor itself says ILL_* */ ||
	    guest_read(code, frame->uc_mcontext.rip - 2, sizeof code) || code[0] != 0x0f || code[1] != 0x05)
		return false;
	current_call = 335;
	frame->uc_mcontext.rax = (u64)refuse(NULL, ENOSYS);
	return true;
}

static void fault(int number, const struct siginfo *info, frame_t *frame)
{
	u64 rip = frame->uc_mcontext.rip;
	u64 address = (u64)info->si_addr;
	if ((number == SIGBUS && memory_fault(address)) || (number == SIGSEGV && stack_grow(address)))
		return;
	if (in_copy(rip)) {
		frame->uc_mcontext.rip = (u64)guest_copy_fault;
		return;
	}
	if (number == SIGTRAP && step(frame))
		return;
	if (rip >= ZVM_GUEST_END) {
		char message[128];
		format(message, sizeof message, "the monitor faulted at 0x%lx, address 0x%lx, in call %lu", rip,
		       (u64)info->si_addr, current_call);
		run_end(ZVM_REPORT_SIGNAL, number, message);
	}
	u64 interrupted_call = current_call, displaced = jump_displaced(rip);
	if (displaced)
		frame->uc_mcontext.rip = displaced;
	frames[current_task] = frame;
	current_call = NO_INDEX;
	enum instruction what = number == SIGSEGV ? instruction_answer(frame) : INSTRUCTION_OTHER;
	if (what == INSTRUCTION_UNDEFINED)
		undefined(frame);
	else if (what == INSTRUCTION_OTHER && !is_probe_call(number, info, frame))
		signal_fault(frame, number, info);
	current_call = interrupted_call;
}

static void handler(int number, struct siginfo *info, void *context)
{
	frame_t *frame = context;
	if (number == SIGILL && state_told(frame))
		return;
	if (number != SIGSYS)
		fault(number, info, frame);
	else
		system_call(frame);
	/* The kernel takes the alternate stack of the frame it returns through: that of the task which runs now. */
	return_to_own_stack(frame);
}

void trap_install(void)
{
	static const int numbers[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	struct {
		u64 handler, flags, restorer, mask;
	} action = {(u64)handler, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTORER, (u64)native_restorer, 0};
	for (u32 i = 0; i < ARRAY_LENGTH(numbers); i++)
		native_call(__NR_rt_sigaction, (u64)numbers[i], (u64)&action, 0, 8, 0, 0);
	u64 none = 0;
	native_call(__NR_rt_sigprocmask, SIG_SETMASK, (u64)&none, 0, 8, 0, 0);
}
