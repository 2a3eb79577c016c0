	.text
	.global entry, switch_stack, vectors
entry:
	msr daifset, #15
	adrp x1, stack_end
	add x1, x1, :lo12:stack_end
	mov sp, x1
	bl kernel_main

switch_stack:
	sub sp, sp, #96
	stp x19, x20, [sp]
	stp x21, x22, [sp, #16]
	stp x23, x24, [sp, #32]
	stp x25, x26, [sp, #48]
	stp x27, x28, [sp, #64]
	stp x29, x30, [sp, #80]
	mov x2, sp
	str x2, [x0]
	mov sp, x1
	ldp x19, x20, [sp]
	ldp x21, x22, [sp, #16]
	ldp x23, x24, [sp, #32]
	ldp x25, x26, [sp, #48]
	ldp x27, x28, [sp, #64]
	ldp x29, x30, [sp, #80]
	add sp, sp, #96
	ret

	.balign 2048
vectors:
	.rept 16
	.balign 128
	b trapped
	.endr
trapped:
	mrs x0, esr_el1
	mrs x1, elr_el1
	b trap

	.bss
	.balign 16
	.skip 65536
stack_end:
	.section .note.GNU-stack, "", %progbits
