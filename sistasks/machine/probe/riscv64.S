/*
 * The smallest riscv64 guest that needs what a kernel needs; x86_64.S says why there is one at all.
 *
 * The steps: the firmware's answer, supervisor registers, paging (Sv39), and the supervisor's timer
 * interrupt while the hart waits. Letters go to the serial line through the firmware (RISC-V SBI 2.0),
 * which prints a banner before them; the end is its system reset, a shutdown, and QEMU exits with 0 for that
 * as well as for other ends, so the letters are the proof. An exception that is not the timer shuts down.
 *
 * OpenSBI enters the image in supervisor mode at 0x80200000.
 * Build: cc -nostdlib -static -Wl,-N,-Ttext=0x80200000,--build-id=none riscv64.S
 */

#define SBI_PUTCHAR     1
#define SBI_BASE        0x10
#define SBI_TIME        0x54494d45
#define SBI_RESET       0x53525354
#define TIMER_TICKS     10000           /* 1 ms of virt's 10 MHz */
#define TIMER_CAUSE     5

.macro trace letter
        li      a0, \letter
        li      a7, SBI_PUTCHAR
        ecall
.endm

        .text
        .option norelax                 /* there is no global pointer to relax to */
        .globl  _start
_start:
        li      s0, 0                   /* the interrupt came */
        la      t0, on_trap
        csrw    stvec, t0
        trace   's'
        trace   'i'
        trace   's'
        trace   ':'
        trace   'e'                     /* entered */

        li      a6, 0
        li      a7, SBI_BASE
        ecall
        bnez    a0, power_off
        trace   'c'                     /* the firmware answered */

        csrr    t0, sstatus
        csrr    t0, time
        trace   'm'                     /* registers answered */

        la      t0, leaves
        srli    t0, t0, 12
        li      t1, 8 << 60             /* Sv39 */
        or      t0, t0, t1
        sfence.vma
        csrw    satp, t0
        sfence.vma
        trace   'l'                     /* paging is on */

        csrr    a0, time
        li      t0, TIMER_TICKS
        add     a0, a0, t0
        li      a6, 0
        li      a7, SBI_TIME
        ecall
#ifndef PROBE_MASK_TIMER                /* the test's proof that success needs the interrupt */
        li      t0, 1 << TIMER_CAUSE
        csrs    sie, t0
#endif
        trace   't'                     /* timer started, about to wait */

        /* wfi wakes for a pending interrupt that is masked by sstatus too: none can slip in before it */
1:      wfi
        csrsi   sstatus, 2
        csrci   sstatus, 2
        beqz    s0, 1b

        trace   'i'                     /* interrupt came */
power_off:
        trace   '\n'
        li      a0, 0                   /* shutdown */
        li      a1, 0
        li      a6, 0
        li      a7, SBI_RESET
        ecall
2:      wfi
        j       2b

        .balign 4
on_trap:
        csrr    t0, scause
        bgez    t0, power_off           /* the highest bit says interrupt */
        slli    t0, t0, 1
        srli    t0, t0, 1
        li      t1, TIMER_CAUSE
        bne     t0, t1, power_off
        li      t0, 1 << TIMER_CAUSE
        csrc    sie, t0
        li      s0, 1
        sret

        .balign 4096
leaves:                                 /* blocks of 1 GiB: dirty, accessed, executable, writable, readable */
        .quad   0
        .quad   0
        .quad   (0x80000000 >> 12) << 10 | 0xcf
        .fill   509, 8, 0
        .section .note.GNU-stack, "", %progbits
