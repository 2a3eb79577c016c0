/*
 * The smallest 32-bit arm guest that needs what a kernel needs; x86_64.S says why there is one at all.
 *
 * The steps: identification and system registers, paging by sections of 1 MiB, and the virtual timer's
 * interrupt through a GICv2 while the processor waits. Letters on the serial line are the proof: the end is
 * PSCI's SYSTEM_OFF, and QEMU exits with 0 for that as well as for other ends. An exception that is not
 * the interrupt powers off at once.
 *
 * Addresses are those of QEMU's machine `virt` (hw/arm/virt.c). GIC: Arm IHI 0048. PSCI: Arm DEN 0022.
 * Build: cc -marm -nostdlib -static -Wl,-N,-Ttext=0x40200000,--build-id=none arm.S
 */

#define IMAGE           0x40200000
#define UART            0x09000000
#define GICD            0x08000000
#define GICC            0x08010000
#define TIMER_PPI       27              /* the virtual timer's private interrupt */
#define SYSTEM_OFF      0x84000008
#define SECTION         0xc02           /* a section that all may read and write */

/* r8: the serial line; r9: the interrupt came */
.macro trace letter
        mov     r0, #\letter
        strb    r0, [r8]
.endm

/* Map the section that holds an address to itself; r4 is the table. */
.macro map address
        ldr     r0, =(\address & 0xfff00000 | SECTION)
        lsr     r1, r0, #20
        str     r0, [r4, r1, lsl #2]
.endm

        .text
        .arch   armv7-a
        .arch_extension virt
        .arm
        .globl  _start
_start:
        ldr     r8, =UART
        mov     r9, #0
        trace   's'
        trace   'i'
        trace   's'
        trace   ':'
        trace   'e'                     /* entered */

        mrc     p15, 0, r0, c0, c1, 1   /* ID_PFR1 */
        mrc     p15, 0, r0, c0, c1, 4   /* ID_MMFR0 */
        trace   'c'                     /* features answered */

        mrc     p15, 0, r0, c0, c0, 0   /* MIDR */
        mrc     p15, 0, r0, c1, c0, 0   /* SCTLR */
        mrrc    p15, 1, r0, r1, c14     /* CNTVCT */
        trace   'm'                     /* system registers answered */

        ldr     r4, =sections
        map     UART
        map     GICD
        map     IMAGE
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2   /* TTBCR: one table, short descriptors */
        mcr     p15, 0, r4, c2, c0, 0   /* TTBR0 */
        mvn     r0, #0
        mcr     p15, 0, r0, c3, c0, 0   /* DACR: permissions are not asked */
        dsb
        isb
        mrc     p15, 0, r0, c1, c0, 0
        orr     r0, r0, #1              /* M */
        mcr     p15, 0, r0, c1, c0, 0
        isb
        trace   'l'                     /* paging is on */

        ldr     r0, =vectors
        mcr     p15, 0, r0, c12, c0, 0  /* VBAR */

        ldr     r1, =GICD
        mov     r0, #1
        str     r0, [r1]                /* GICD_CTLR */
#ifndef PROBE_MASK_TIMER                /* the test's proof that success needs the interrupt */
        mov     r0, #(1 << TIMER_PPI)
        str     r0, [r1, #0x100]        /* GICD_ISENABLER0 */
#endif
        ldr     r1, =GICC
        mov     r0, #0xff
        str     r0, [r1, #4]            /* GICC_PMR: every priority */
        mov     r0, #1
        str     r0, [r1]                /* GICC_CTLR */

        mrc     p15, 0, r0, c14, c0, 0  /* CNTFRQ */
        lsr     r0, r0, #10             /* about 1 ms */
        mcr     p15, 0, r0, c14, c3, 0  /* CNTV_TVAL */
        mov     r0, #1
        mcr     p15, 0, r0, c14, c3, 1  /* CNTV_CTL */
        isb
        trace   't'                     /* timer started, about to wait */

        /* wfi wakes for an interrupt that is masked too, so none can slip in before it */
1:      wfi
        cpsie   i
        isb
        cpsid   i
        cmp     r9, #0
        beq     1b

        trace   'i'                     /* interrupt came */
power_off:
        ldr     r8, =UART
        trace   '\n'
        ldr     r0, =SYSTEM_OFF
        hvc     #0
2:      wfi
        b       2b

on_interrupt:
        ldr     r10, =GICC
        ldr     r11, [r10, #0xc]        /* GICC_IAR */
        mov     r12, #0
        mcr     p15, 0, r12, c14, c3, 1 /* the timer off */
        str     r11, [r10, #0x10]       /* GICC_EOIR */
        mov     r9, #1
        subs    pc, lr, #4

        .ltorg
        .balign 32
vectors:
        .rept   6
        b       power_off
        .endr
        b       on_interrupt
        b       power_off

        .bss
        .balign 16384
sections:
        .skip   16384
        .section .note.GNU-stack, "", %progbits
