/*
 * The few things C can't say: the way in from the launcher, the way to a guest's first instruction, the signal
 * trampolines, and copying to and from memory that may not be there.
 */
	.section .text.entry, "ax"

/* void monitor_entry(struct zvm_handoff *): on the launcher's stack, which is about to be unmapped. */
	.globl	monitor_entry
monitor_entry:
	cld
	leaq	zygote_stack_top(%rip), %rax
	movq	%rax, %rsp
	xorl	%ebp, %ebp
	call	zygote_main
	ud2

/*
 * void guest_enter(u64 instruction, u64 stack, u64 state): gives the processor to the guest as execve would, with every
 * register that could carry something over cleared. `state`: 1 if xrstor may initialise the vector registers too.
 */
	.globl	guest_enter
guest_enter:
	movq	%rdi, %rcx
	movq	%rsi, %rsp
	testl	%edx, %edx
	jz	1f
	movl	$-1, %eax
	movl	$-1, %edx
	leaq	initial_state(%rip), %rdi
	xrstor	(%rdi)
1:	fninit
	ldmxcsr	initial_mxcsr(%rip)
	pxor	%xmm0, %xmm0
	pxor	%xmm1, %xmm1
	pxor	%xmm2, %xmm2
	pxor	%xmm3, %xmm3
	pxor	%xmm4, %xmm4
	pxor	%xmm5, %xmm5
	pxor	%xmm6, %xmm6
	pxor	%xmm7, %xmm7
	pxor	%xmm8, %xmm8
	pxor	%xmm9, %xmm9
	pxor	%xmm10, %xmm10
	pxor	%xmm11, %xmm11
	pxor	%xmm12, %xmm12
	pxor	%xmm13, %xmm13
	pxor	%xmm14, %xmm14
	pxor	%xmm15, %xmm15
	pushq	%rcx
	pushq	$0x202
	popfq
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	xorl	%r8d, %r8d
	xorl	%r9d, %r9d
	xorl	%r10d, %r10d
	xorl	%r11d, %r11d
	xorl	%r12d, %r12d
	xorl	%r13d, %r13d
	xorl	%r14d, %r14d
	xorl	%r15d, %r15d
	ret

/* What the kernel returns to after a native handler. */
	.globl	native_restorer
native_restorer:
	movl	$15, %eax
	syscall
	ud2

/*
 * int guest_copy(void *to, const void *from, size_t n): 0, or -EFAULT if either side faulted; a fault between the
 * two labels is sent to guest_copy_fault by the SIGSEGV handler.
 */
	.globl	guest_copy, guest_copy_begin, guest_copy_end, guest_copy_fault
guest_copy:
	movq	%rdx, %rcx
	xorl	%eax, %eax
guest_copy_begin:
	rep movsb
guest_copy_end:
	ret
guest_copy_fault:
	movl	$-14, %eax
	ret

/* int guest_fill(void *to, size_t n): the same for zeros. Shares the fault landing. */
	.globl	guest_fill, guest_fill_begin, guest_fill_end
guest_fill:
	movq	%rsi, %rcx
	xorl	%eax, %eax
guest_fill_begin:
	rep stosb
guest_fill_end:
	ret

/* u64 stack_switch(u64 *save, u64 to): leave this monitor stack, go on with another task's. Callee-saved registers only. */
	.globl	stack_switch, task_start
stack_switch:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret

/* A new thread's first instructions: the stack pointer to its frame's context (rbx), then out through the kernel. */
task_start:
	movq	%rbx, %rsp
	movl	$15, %eax
	syscall
	ud2

	.section .rodata
	.balign	64
initial_state:			/* an XSAVE image whose header says: every component in its initial state */
	.fill	576, 1, 0
initial_mxcsr:
	.long	0x1f80

	.bss
	.balign	4096
	.fill	65536, 1, 0
zygote_stack_top:

	.section .note.GNU-stack, "", @progbits
