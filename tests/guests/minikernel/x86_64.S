	.text
	.global entry, switch_stack, trap_stubs, serial_interrupt
entry:
	cli
	cld
	lea stack_end(%rip), %rsp
	lgdt gdt_pointer(%rip)
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	lea 1f(%rip), %rax
	push $8
	push %rax
	lretq
1:	call kernel_main

switch_stack:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/* one stub of 16 bytes each; the processor has pushed an error code before some of them */
	.balign 16
trap_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if !((0x60227d00 >> vector) & 1)
	push $0
	.endif
	push $vector
	jmp trapped
	.set vector, vector + 1
	.endr
trapped:
	mov (%rsp), %rdi
	mov 16(%rsp), %rsi
	and $-16, %rsp
	call trap

/* it only ends the halt: what was typed is read by who waits for it */
serial_interrupt:
	push %rax
	mov $0x20, %al
	out %al, $0x20
	pop %rax
	iretq

	.data
	.balign 8
gdt:	.quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
	.short . - gdt - 1
	.quad gdt
	.bss
	.balign 16
	.skip 65536
stack_end:
	.section .note.GNU-stack, "", @progbits
