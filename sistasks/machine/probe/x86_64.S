/*
 * The smallest guest that needs what a kernel needs; the accelerator probe boots it.
 *
 * An accelerator may create a virtual machine and still not run one, so each step here is one that was
 * seen to fail, or that every kernel takes first: CPUID, model-specific registers, long mode with paging,
 * an interrupt table, and a timer interrupt that wakes a halted processor. The last is the test of the
 * whole way from the clock of the host through the interrupt controller into the guest.
 *
 * Each step done sends a letter to the debug console (port 0xe9), so that a hang says where. The end is
 * a write to QEMU's isa-debug-exit (port 0xf4): QEMU then exits with (value << 1) | 1. Any exception
 * finds no gate, becomes a triple fault, and with -no-reboot an exit with 0, which is not success.
 *
 * Loaded by QEMU as a 32-bit Multiboot ELF (Multiboot Specification 0.6.96, 3.1).
 * Build: cc -m32 -nostdlib -static -Wl,-N,-Ttext=0x100000,--build-id=none x86_64.S
 */

#define TRACE_PORT      0xe9
#define EXIT_PORT       0xf4
#define SUCCESS         0x42            /* QEMU exits with 133 */
#define NO_LONG_MODE    0x43            /* QEMU exits with 135 */
#define TIMER_VECTOR    0x20

#define MSR_TSC         0x10
#define MSR_APIC_BASE   0x1b
#define MSR_EFER        0xc0000080

/* PROBE_MASK_TIMER: the test's proof that success needs the interrupt. */
#ifdef PROBE_MASK_TIMER
#define PIC_MASK        0xff
#else
#define PIC_MASK        0xfe            /* only line 0, the timer */
#endif

.macro trace letter
        movb    $\letter, %al
        outb    %al, $TRACE_PORT
.endm

        .text
        .code32
        .balign 4
multiboot_header:
        .long   0x1badb002              /* magic, flags, checksum: their sum is 0 */
        .long   0
        .long   -0x1badb002

        .globl  _start
_start:
        cli
        cld
        movl    $stack_top, %esp
        trace   's'
        trace   'i'
        trace   's'
        trace   ':'
        trace   'e'                     /* entered */

        movl    $0x80000000, %eax
        cpuid
        cmpl    $0x80000001, %eax
        jb      no_long_mode
        movl    $0x80000001, %eax
        cpuid
        btl     $29, %edx               /* LM */
        jnc     no_long_mode
        trace   'c'                     /* CPUID answered */

        movl    $MSR_TSC, %ecx
        rdmsr
        movl    $MSR_APIC_BASE, %ecx
        rdmsr
        trace   'm'                     /* model-specific registers answered */

        /* One 2 MiB page at 0, mapped to itself: all that is touched lies in it. */
        movl    $(page_directory_pointers + 3), page_map        /* present, writable */
        movl    $(page_directory + 3), page_directory_pointers
        movl    $0x83, page_directory                           /* the same, and a large page */
        movl    $page_map, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x20, %eax             /* PAE */
        movl    %eax, %cr4
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $0x100, %eax            /* LME */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000001, %eax       /* PG, PE */
        movl    %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x08, $long_mode

no_long_mode:
        movb    $NO_LONG_MODE, %al
        outb    %al, $EXIT_PORT
1:      hlt
        jmp     1b

        .code64
long_mode:
        movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack_top, %esp
        trace   'l'                     /* long mode */

        /* The gate is made here because its address is cut in pieces that no linker relocates. */
        movl    $on_timer, %eax
        movl    $(idt + TIMER_VECTOR * 16), %edi
        movw    %ax, (%rdi)
        movw    $0x08, 2(%rdi)          /* code segment */
        movw    $0x8e00, 4(%rdi)        /* present interrupt gate */
        shrl    $16, %eax
        movw    %ax, 6(%rdi)
        lidt    idt_pointer(%rip)

        /* 8259A: away from the exceptions' vectors, every line closed except the timer's. */
        movb    $0x11, %al
        outb    %al, $0x20
        outb    %al, $0xa0
        movb    $TIMER_VECTOR, %al
        outb    %al, $0x21
        movb    $(TIMER_VECTOR + 8), %al
        outb    %al, $0xa1
        movb    $4, %al
        outb    %al, $0x21
        movb    $2, %al
        outb    %al, $0xa1
        movb    $1, %al
        outb    %al, $0x21
        outb    %al, $0xa1
        movb    $PIC_MASK, %al
        outb    %al, $0x21
        movb    $0xff, %al
        outb    %al, $0xa1

        /* 8254 channel 0, mode 0: one interrupt when 1193 ticks of 1.193182 MHz (1 ms) are over. */
        movb    $0x30, %al
        outb    %al, $0x43
        movb    $(1193 & 0xff), %al
        outb    %al, $0x40
        movb    $(1193 >> 8), %al
        outb    %al, $0x40
        trace   't'                     /* timer started, about to halt */

        /* sti takes effect after the next instruction: the interrupt cannot slip in before hlt. */
1:      sti
        hlt
        cli
        cmpb    $0, ticked(%rip)
        je      1b

        trace   'i'                     /* interrupt came */
        movb    $SUCCESS, %al
        outb    %al, $EXIT_PORT
2:      hlt
        jmp     2b

on_timer:
        movb    $1, ticked(%rip)
        pushq   %rax
        movb    $0x20, %al              /* end of interrupt */
        outb    %al, $0x20
        popq    %rax
        iretq

        .balign 8
gdt:
        .quad   0
        .quad   0x00209a0000000000      /* 64-bit code */
        .quad   0x0000920000000000      /* data */
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
        .long   0
idt_pointer:
        .word   (TIMER_VECTOR + 1) * 16 - 1
        .long   idt
        .long   0

        .bss
        .balign 4096
page_map:
        .skip   4096
page_directory_pointers:
        .skip   4096
page_directory:
        .skip   4096
idt:
        .skip   (TIMER_VECTOR + 1) * 16
        .skip   1024
        .balign 16
stack_top:
ticked:
        .skip   1
        .section .note.GNU-stack, "", @progbits
