/* The monitor, linked on its own, carried inside zvm. */
	.section .rodata
	.balign	4096
	.globl	zvm_monitor_image, zvm_monitor_image_end
zvm_monitor_image:
	.incbin	MONITOR_FILE
zvm_monitor_image_end:
	.section .note.GNU-stack, "", @progbits
