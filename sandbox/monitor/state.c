/*
 * The floating-point and vector registers in a guest's signal frames.
 *
 * The kernel's own frames tell processors apart: by their size, by the list of components, by which of these happened
 * to be in use. The guest has been told of a processor that saves with FXSAVE, so it sees that: 512 bytes, and no word
 * of more. Programs that use wider registers all the same must find them unchanged behind a handler, so their contents
 * are kept behind the 512 bytes, zeros unless the guest has put something there, in a room of one size.
 *
 * A call that came in through the gate has left them where they are, in the processor. They are put behind its frame,
 * in the form of a kernel's frame, only if that frame is needed (state_keep).
 */
#include "internal.h"

#define LEGACY_SIZE 512u
#define LEGACY_USED 464u   /* then the kernel's notes to itself about the frame */
#define MXCSR_OFFSET 24u   /* and behind it which of its bits the processor knows */
#define MXCSR_BITS 0xffffu /* of a processor without AMD's additions */
#define HEADER_END (LEGACY_SIZE + 64u)
#define KEPT_END 2688u /* AVX and AVX-512; behind them protection keys and tiles, which no guest is given */
#define KEPT_COMPONENTS 0xe7ull

_Static_assert(KEPT_END <= STATE_ROOM, "the room holds what is kept");

/* --- frames of the gate --- */

#define FRAME_ALIGNMENT 64ull
#define USER_CODE 0x33
#define USER_DATA 0x2b

extern const char state_probe_at[];
void state_probe(void);

static struct _fpx_sw_bytes native_notes; /* as the kernel writes them on this machine; all 0: it knows FXSAVE only */
static u64 native_flags;

void state_learn(void)
{
	state_probe();
}

bool state_told(frame_t *frame)
{
	if (frame->uc_mcontext.rip != (u64)state_probe_at)
		return false;
	native_flags = frame->uc_flags;
	memcpy(&native_notes, (const u8 *)frame->uc_mcontext.fpstate + LEGACY_USED, sizeof native_notes);
	if (native_notes.magic1 != FP_XSTATE_MAGIC1)
		memset(&native_notes, 0, sizeof native_notes);
	/* The kernel restores what a frame says that it has: what there is no room for, no guest is given anyway. */
	if (native_notes.extended_size > STATE_NATIVE_ROOM) {
		native_notes.xfeatures &= KEPT_COMPONENTS;
		native_notes.xstate_size = KEPT_END;
		native_notes.extended_size = KEPT_END + FP_XSTATE_MAGIC2_SIZE;
	}
	frame->uc_mcontext.rip += 2;
	return true;
}

static void save_registers(u8 *to)
{
	const u32 magic = FP_XSTATE_MAGIC2;
	u64 which = native_notes.xfeatures;
	if (!native_notes.magic1) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(to) : "memory");
	} else {
		memset(to + LEGACY_SIZE, 0, HEADER_END - LEGACY_SIZE);
		__asm__ volatile("xsave64 (%0)" : : "r"(to), "a"((u32)which), "d"((u32)(which >> 32)) : "memory");
		memcpy(to + native_notes.xstate_size, &magic, sizeof magic);
	}
	memcpy(to + LEGACY_USED, &native_notes, sizeof native_notes);
}

void state_keep(frame_t *frame)
{
	struct sigcontext *r = &frame->uc_mcontext;
	if (r->fpstate)
		return;
	u8 *native = (u8 *)(((u64)(frame + 1) + FRAME_ALIGNMENT - 1) & ~(FRAME_ALIGNMENT - 1));
	save_registers(native);
	frame->uc_flags = native_flags;
	frame->uc_sigmask = 0;
	memset(&r->cs, 0, sizeof *r - offsetof(struct sigcontext, cs));
	r->cs = USER_CODE;
	r->ss = USER_DATA;
	r->fpstate = (void *)native;
}

/* --- frames of the guest --- */

static const struct _fpx_sw_bytes *notes(const u8 *native)
{
	return (const void *)(native + LEGACY_USED);
}

/* Where the kept components end in the kernel's frame: not behind the frame, which has four bytes of magic at its end.
 */
static u64 kept_end(const u8 *native)
{
	if (notes(native)->magic1 != FP_XSTATE_MAGIC1 || notes(native)->extended_size < HEADER_END + 4)
		return LEGACY_SIZE;
	return min_u64(notes(native)->extended_size - 4, KEPT_END);
}

int state_save(u64 to, frame_t *frame)
{
	state_keep(frame);
	const u8 *native = (const void *)frame->uc_mcontext.fpstate;
	u8 legacy[LEGACY_SIZE];
	u32 mask = MXCSR_BITS;
	u64 end = kept_end(native);
	memset(legacy, 0, sizeof legacy);
	memcpy(legacy, native, LEGACY_USED);
	memcpy(legacy + MXCSR_OFFSET + 4, &mask, sizeof mask);
	if (guest_write(to, legacy, sizeof legacy) || guest_zero(to + LEGACY_SIZE, STATE_ROOM - LEGACY_SIZE))
		return -EFAULT;
	return end > HEADER_END ? guest_write(to + HEADER_END, native + HEADER_END, end - HEADER_END) : 0;
}

int state_restore(frame_t *frame, u64 from)
{
	state_keep(frame);
	u8 *native = (u8 *)frame->uc_mcontext.fpstate;
	u64 end = kept_end(native), in_use;
	u32 mxcsr;
	if (!from)
		return 0;
	if (guest_read(native, from, LEGACY_USED))
		return -EFAULT;
	/* Loading a bit that the processor does not know is a fault of the kernel's return, and would end the box. */
	memcpy(&mxcsr, native + MXCSR_OFFSET, sizeof mxcsr);
	mxcsr &= MXCSR_BITS;
	memcpy(native + MXCSR_OFFSET, &mxcsr, sizeof mxcsr);
	if (end <= HEADER_END)
		return 0;
	if (guest_read(native + HEADER_END, from + HEADER_END, end - HEADER_END))
		return -EFAULT;
	/* What is marked as unused would be cleared instead of loaded. */
	memcpy(&in_use, native + LEGACY_SIZE, sizeof in_use);
	in_use |= notes(native)->xfeatures & KEPT_COMPONENTS;
	memcpy(native + LEGACY_SIZE, &in_use, sizeof in_use);
	return 0;
}
