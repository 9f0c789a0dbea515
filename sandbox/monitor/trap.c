/*
 * Where the guest's system calls arrive. The redirect filter turns every `syscall` outside the monitor's text into
 * SIGSYS; the handler runs on the task's alternate stack, looks the number up in the one table (calls.def), puts the
 * answer into the saved registers and returns through the kernel's own frame. rcx and r11 are already as the kernel
 * leaves them.
 *
 * SIGSEGV has three causes: the monitor touched a bad guest pointer (turned into -EFAULT), the guest executed an
 * instruction that is answered here (rdtsc, cpuid), or the guest is simply wrong, and gets its signal.
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
	current_call = number;
	frame_replaced = false;
	arena->calls++;
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

/* --- instructions --- */

/* A fixed machine: Nehalem-like, x86-64-v2, no XSAVE; glibc, libgcc, libcrypto and the others take it as they would the
 * real one. */
static void cpuid_answer(u32 leaf, u32 sub, u32 out[4])
{
	static const u32 brand[12] = {0x206d767a, 0x75747269, 0x63206c61, 0x00007570};
	u32 none[4] = {0, 0, 0, 0};
	memcpy(out, none, sizeof none);
	switch (leaf) {
	case 0: out[0] = 13, out[1] = 0x756e6547, out[2] = 0x6c65746e, out[3] = 0x49656e69; break;
	case 1: out[0] = 0x000106a3, out[1] = 0x00010800, out[2] = 0x00982201, out[3] = 0x078bfbff; break;
	case 2: /* the caches of leaf 4 by their descriptors, so that nobody has to walk leaf 4 for each question */
		out[0] = 0x002c3001, out[3] = 0x00e42100;
		break;
	case 4: {
		static const u32 caches[4][4] = {{0x121, 0x01c0003f, 0x3f, 1},
		                                 {0x122, 0x00c0003f, 0x7f, 1},
		                                 {0x143, 0x01c0003f, 0x1ff, 0},
		                                 {0x163, 0x03c0003f, 0x1fff, 6}};
		if (sub < 4)
			memcpy(out, caches[sub], sizeof caches[sub]);
		break;
	}
	case 0xb:
		if (sub == 0)
			out[0] = 0, out[1] = 1, out[2] = 0x100;
		else if (sub == 1)
			out[0] = 0, out[1] = 1, out[2] = 0x201;
		else
			out[2] = sub;
		break;
	case 0x80000000: out[0] = 0x80000008; break;
	case 0x80000001: out[2] = 1, out[3] = 0x20100800; break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004: memcpy(out, brand + (leaf - 0x80000002) * 4, 16); break;
	case 0x80000006: out[2] = 0x01006040; break;
	case 0x80000007: out[3] = 0x100; break;
	case 0x80000008: out[0] = 0x3028; break;
	}
}

/* Answers the instruction at rip if it is one of ours; false: a fault like any other. */
static bool instruction(frame_t *frame)
{
	struct sigcontext *r = &frame->uc_mcontext;
	u8 code[3] = {0};
	if (guest_read(code, r->rip, 2))
		return false;
	if (code[0] == 0x0f && code[1] == 0x31) { /* rdtsc */
		u64 t = clock_tsc();
		r->rax = (u32)t, r->rdx = t >> 32, r->rip += 2;
		return true;
	}
	if (code[0] == 0x0f && code[1] == 0xa2) { /* cpuid */
		u32 out[4];
		cpuid_answer((u32)r->rax, (u32)r->rcx, out);
		r->rax = out[0], r->rbx = out[1], r->rcx = out[2], r->rdx = out[3], r->rip += 2;
		return true;
	}
	if (code[0] == 0x0f && code[1] == 0x01 && !guest_read(code, r->rip, 3) && code[2] == 0xf9) { /* rdtscp */
		u64 t = clock_tsc();
		r->rax = (u32)t, r->rdx = t >> 32, r->rcx = 0, r->rip += 3;
		return true;
	}
	return false;
}

/* --- the handlers --- */

static bool in_copy(u64 rip)
{
	return (rip >= (u64)guest_copy_begin && rip < (u64)guest_copy_end) ||
	       (rip >= (u64)guest_fill_begin && rip < (u64)guest_fill_end);
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
	if (number == SIGBUS && memory_fault((u64)info->si_addr))
		return;
	if (in_copy(rip)) {
		frame->uc_mcontext.rip = (u64)guest_copy_fault;
		return;
	}
	if (rip >= ZVM_GUEST_END) {
		char message[128];
		format(message, sizeof message, "the monitor faulted at 0x%lx, address 0x%lx, in call %lu", rip,
		       (u64)info->si_addr, current_call);
		run_end(ZVM_REPORT_SIGNAL, number, message);
	}
	u64 interrupted_call = current_call;
	frames[current_task] = frame;
	current_call = NO_INDEX;
	if (!is_probe_call(number, info, frame) && (number != SIGSEGV || !instruction(frame)))
		signal_fault(frame, number, info);
	current_call = interrupted_call;
}

static void handler(int number, struct siginfo *info, void *context)
{
	frame_t *frame = context;
	if (number != SIGSYS)
		fault(number, info, frame);
	else
		system_call(frame);
	/* The kernel takes the alternate stack of the frame it returns through: that of the task which runs now. */
	frame->uc_stack.ss_sp = (void *)stack_slot_at(task_self()->stack_slot);
	frame->uc_stack.ss_size = STACK_SLOT_SIZE;
	frame->uc_stack.ss_flags = 0;
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
