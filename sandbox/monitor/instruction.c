/*
 * Instructions that would tell one machine or moment from another, answered as a fixed machine would.
 *
 * They arrive as general protection faults: rdtsc and rdtscp because the box forbids them; cpuid where the processor
 * can be made to trap it; and all of them where a prepared image has `hlt` (f4) in place of their first byte (0f), the
 * bytes that remain saying which it was. Outside of prepared images a hlt is a hlt. One that lies within a jump stands
 * for the instruction that the jump has written over, which is elsewhere (jump.c).
 */
#include "internal.h"

#define GENERAL_PROTECTION 13
#define LONGEST 15
#define ZERO_FLAG 0x40ull
#define CODE_SEGMENT_32 0x23
#define DATA_SEGMENT 0x2b
#define CODE_SEGMENT 0x33
#define PROCESSOR_SEGMENT 0x7b

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

/* The instruction at `at`, read byte by byte: the next page may not be there. */
struct code {
	u64 start, at;
	u8 rex;
	bool operand16, repeat, repeat_not, failed;
};

static u8 take(struct code *c)
{
	u8 byte = 0;
	c->failed |= c->at - c->start >= LONGEST || guest_read(&byte, c->at, 1);
	c->at++;
	return byte;
}

/* Takes prefixes, and the first byte of the opcode. A REX prefix counts only right before it. */
static u8 take_opcode(struct code *c)
{
	for (;;) {
		u8 byte = take(c);
		if ((byte & 0xf0) == 0x40) {
			c->rex = byte;
			continue;
		}
		switch (byte) {
		case 0x66: c->operand16 = true; break;
		case 0xf2: c->repeat_not = true; break;
		case 0xf3: c->repeat = true; break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0x67: break;
		default: return byte;
		}
		c->rex = 0;
		if (c->failed)
			return 0;
	}
}

static u64 *register_at(struct sigcontext *r, u32 number)
{
	switch (number) {
	case 0: return (u64 *)&r->rax;
	case 1: return (u64 *)&r->rcx;
	case 2: return (u64 *)&r->rdx;
	case 3: return (u64 *)&r->rbx;
	case 4: return (u64 *)&r->rsp;
	case 5: return (u64 *)&r->rbp;
	case 6: return (u64 *)&r->rsi;
	case 7: return (u64 *)&r->rdi;
	case 8: return (u64 *)&r->r8;
	case 9: return (u64 *)&r->r9;
	case 10: return (u64 *)&r->r10;
	case 11: return (u64 *)&r->r11;
	case 12: return (u64 *)&r->r12;
	case 13: return (u64 *)&r->r13;
	case 14: return (u64 *)&r->r14;
	default: return (u64 *)&r->r15;
	}
}

static void answer_cpuid(struct sigcontext *r)
{
	u32 out[4];
	cpuid_answer((u32)r->rax, (u32)r->rcx, out);
	r->rax = out[0], r->rbx = out[1], r->rcx = out[2], r->rdx = out[3];
}

static void answer_clock(struct sigcontext *r)
{
	u64 t = clock_tsc();
	r->rax = (u32)t, r->rdx = t >> 32;
}

/* rdrand and rdseed into a register of 16, 32 or 64 bits: carry says that there was a number, the other flags are 0. */
static void answer_random(struct sigcontext *r, const struct code *c, u64 *to)
{
	u64 number;
	runs_part();
	random_bytes(&number, sizeof number);
	if (c->rex & 8)
		*to = number;
	else if (c->operand16)
		*to = (*to & ~0xffffull) | (u16)number;
	else
		*to = (u32)number;
	r->eflags = (r->eflags & ~0x8d5ull) | 1;
}

/* 0f c7 with a register: rdrand, rdseed, and with f3 rdpid, which tells the number of the one processor. */
static enum instruction answer_c7(struct sigcontext *r, struct code *c)
{
	u8 operand = take(c);
	u64 *to = register_at(r, (operand & 7u) | (c->rex & 1u) << 3);
	if (c->failed || operand < 0xf0 || c->repeat_not)
		return INSTRUCTION_OTHER;
	if (c->repeat && operand < 0xf8)
		return INSTRUCTION_OTHER;
	if (c->repeat)
		*to = 0;
	else
		answer_random(r, c, to);
	return INSTRUCTION_ANSWERED;
}

/* 0f 01: rdtscp; xgetbv and rdpru, which the fixed machine does not have. */
static enum instruction answer_01(struct sigcontext *r, struct code *c, bool prepared)
{
	u8 second = take(c);
	if (c->failed)
		return INSTRUCTION_OTHER;
	if (prepared && (second == 0xd0 || second == 0xfd))
		return INSTRUCTION_UNDEFINED;
	if (second != 0xf9)
		return INSTRUCTION_OTHER;
	answer_clock(r);
	r->rcx = 0;
	return INSTRUCTION_ANSWERED;
}

/*
 * lsl: the limit of a segment, into a register; zero says that there is one. The kernel keeps the number of the
 * processor in that of PROCESSOR_SEGMENT. Of the others a program can name only its own code and data, which have no
 * end.
 */
static enum instruction answer_lsl(struct sigcontext *r, struct code *c)
{
	u8 operand = take(c);
	u64 *to = register_at(r, (operand >> 3 & 7u) | (c->rex & 4u) << 1);
	u64 from = *register_at(r, (operand & 7u) | (c->rex & 1u) << 3) & 0xffff;
	bool whole = from == CODE_SEGMENT || from == DATA_SEGMENT || from == CODE_SEGMENT_32;
	if (c->failed || operand < 0xc0)
		return INSTRUCTION_OTHER;
	if (whole || from == PROCESSOR_SEGMENT) {
		u32 limit = whole ? 0xffffffff : 0;
		*to = c->operand16 && !(c->rex & 8) ? (*to & ~0xffffull) | (u16)limit : limit;
	}
	r->eflags = whole || from == PROCESSOR_SEGMENT ? r->eflags | ZERO_FLAG : r->eflags & ~ZERO_FLAG;
	return INSTRUCTION_ANSWERED;
}

static bool in_prepared_image(u64 address)
{
	const struct area *area = memory_find(memory_self(), address);
	return area && (area->flags & AREA_PREPARED);
}

static enum instruction answer(struct sigcontext *r, struct code *c, bool prepared)
{
	u8 opcode = take(c);
	if (c->failed)
		return INSTRUCTION_OTHER;
	switch (opcode) {
	case 0x01: return answer_01(r, c, prepared);
	case 0x03: return prepared ? answer_lsl(r, c) : INSTRUCTION_OTHER;
	case 0x31: answer_clock(r); return INSTRUCTION_ANSWERED;
	case 0xa2: answer_cpuid(r); return INSTRUCTION_ANSWERED;
	case 0xc7: return prepared ? answer_c7(r, c) : INSTRUCTION_OTHER;
	default: return INSTRUCTION_OTHER; /* rdpmc (33) among them: without the right to it, it faults */
	}
}

enum instruction instruction_answer(frame_t *frame)
{
	struct sigcontext *r = &frame->uc_mcontext;
	struct code c = {.start = r->rip, .at = r->rip};
	if (r->trapno != GENERAL_PROTECTION)
		return INSTRUCTION_OTHER;
	u8 first = take_opcode(&c);
	bool prepared = first == 0xf4 && in_prepared_image(c.at - 1);
	u64 resume = prepared && c.at - 1 == r->rip ? jump_resume(r->rip) : 0;
	if (resume) {
		r->rip = resume;
		return INSTRUCTION_ANSWERED;
	}
	if (c.failed || (first != 0x0f && !prepared))
		return INSTRUCTION_OTHER;
	enum instruction what = answer(r, &c, prepared);
	if (what == INSTRUCTION_ANSWERED)
		r->rip = c.at;
	return what;
}
