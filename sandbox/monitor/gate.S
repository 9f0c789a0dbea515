/*
 * The gate: where a system call arrives by a jump (jumps.c, on the host's side, tells of them). It lies at a fixed
 * address, because images that jump here are kept for longer than a monitor lives.
 *
 * On entry rcx is the address behind the guest's `syscall`, r11 the one to go on at, and everything else the guest's,
 * its flags included. Its stack is not touched: below the pointer may be its red zone, and the pointer may be anything.
 * What the registers hold is pushed as the general part of the very frame that a trap would have made, at the top of
 * the task's monitor stack (trap.c), so that nothing behind this needs to know how a call came in. The vector registers
 * stay where they are, as nothing in the monitor uses them; who gives the processor to somebody else saves them first
 * (state_keep).
 *
 * Natively there is one thread and no signal but for faults, so two words of scratch serve everybody.
 */
	.section .text.gate, "ax"

#define REGISTERS 40		/* offset of uc_mcontext in struct ucontext */

	.globl	gate
gate:
	movq	%rsp, guest_stack(%rip)
	movq	gate_stack(%rip), %rsp		/* behind the frame's eflags */
	pushfq
	pushq	%rcx				/* rip */
	pushq	guest_stack(%rip)		/* rsp */
	pushq	%rcx
	pushq	%rax
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r15
	pushq	%r14
	pushq	%r13
	pushq	%r12
	pushq	104(%rsp)			/* r11: the flags, as the kernel leaves it */
	pushq	%r10
	pushq	%r9
	pushq	%r8
	cld
	movq	%r11, %rsi
	subq	$REGISTERS, %rsp
	movq	%rsp, %rdi
	call	gate_call			/* (frame, where to go on): true if the kernel has to restore it */
	testb	%al, %al
	jnz	1f
	addq	$REGISTERS, %rsp
	popq	%r8
	popq	%r9
	popq	%r10
	popq	%r11
	popq	%r12
	popq	%r13
	popq	%r14
	popq	%r15
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rax
	popq	%rcx
	popq	guest_stack(%rip)
	popq	guest_instruction(%rip)
	popfq
	movq	guest_stack(%rip), %rsp
	jmp	*guest_instruction(%rip)
1:	movl	$15, %eax			/* rt_sigreturn */
	syscall
	ud2

/* void state_probe(void): state_learn sees the frame of this fault. */
	.globl	state_probe, state_probe_at
state_probe:
state_probe_at:
	ud2
	ret

	.bss
	.balign	8
	.globl	gate_stack
gate_stack:
	.skip	8
guest_stack:
	.skip	8
guest_instruction:
	.skip	8

	.section .note.GNU-stack, "", @progbits
