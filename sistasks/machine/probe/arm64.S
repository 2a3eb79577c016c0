/*
 * The smallest arm64 guest that needs what a kernel needs; x86_64.S says why there is one at all.
 *
 * The steps: system registers, paging with caches, the vectors, and the virtual timer's interrupt through
 * a GICv3 (the controller that nodes have) while the processor waits. Each step done sends a letter to the
 * serial line, where the letters are the proof: the end is PSCI's SYSTEM_OFF, and QEMU exits with 0 for
 * that as well as for other ends. An exception that is not the interrupt powers off at once.
 *
 * Addresses are those of QEMU's machine `virt` (hw/arm/virt.c), which puts the device tree at the start of
 * memory and enters a plain ELF at EL1. GIC: Arm IHI 0069. PSCI: Arm DEN 0022.
 * Build: cc -nostdlib -static -Wl,-N,-Ttext=0x40200000,--build-id=none arm64.S
 */

#define UART            0x09000000
#define GICD            0x08000000
#define GICR            0x080a0000
#define GICR_SGI        0x080b0000      /* the redistributor's second page: interrupts 0 to 31 */
#define TIMER_PPI       27              /* the virtual timer's private interrupt */
#define SYSTEM_OFF      0x84000008

/* x19: the serial line; x20: the interrupt came */
.macro trace letter
        mov     w0, #\letter
        strb    w0, [x19]
.endm

        .text
        .globl  _start
_start:
        mov     x19, #UART
        mov     x20, #0
        trace   's'
        trace   'i'
        trace   's'
        trace   ':'
        trace   'e'                     /* entered */

        mrs     x0, id_aa64pfr0_el1
        mrs     x0, id_aa64mmfr0_el1
        trace   'c'                     /* features answered */

        mrs     x0, midr_el1
        mrs     x0, mpidr_el1
        mrs     x0, cntvct_el0
        trace   'm'                     /* system registers answered */

        /* 4 GiB in blocks of 1 GiB. The walks are uncached: the table came with the image, past our caches. */
        ldr     x0, =0xff00             /* attribute 0: device, 1: normal memory */
        msr     mair_el1, x0
        ldr     x0, =(32 | 1 << 23)     /* T0SZ: 32 bits of address; no upper half */
        msr     tcr_el1, x0
        adr     x0, blocks
        msr     ttbr0_el1, x0
        isb
        mrs     x0, sctlr_el1
        mov     x1, #0x1005             /* I, C, M */
        orr     x0, x0, x1
        msr     sctlr_el1, x0
        isb
        trace   'l'                     /* paging is on */

        adr     x0, vectors
        msr     vbar_el1, x0

        ldr     x1, =GICD
        mov     w0, #0x12               /* affinity routing, group 1 */
        str     w0, [x1]
        ldr     x1, =GICR
        ldr     w0, [x1, #0x14]         /* GICR_WAKER: leave ProcessorSleep */
        bic     w0, w0, #2
        str     w0, [x1, #0x14]
1:      ldr     w0, [x1, #0x14]         /* until no ChildrenAsleep */
        tbnz    w0, #2, 1b
        ldr     x1, =GICR_SGI
        mov     w0, #(1 << TIMER_PPI)
        str     w0, [x1, #0x80]         /* GICR_IGROUPR0: group 1 */
        mov     w2, #0x80
        strb    w2, [x1, #(0x400 + TIMER_PPI)]  /* GICR_IPRIORITYR */
#ifndef PROBE_MASK_TIMER                /* the test's proof that success needs the interrupt */
        str     w0, [x1, #0x100]        /* GICR_ISENABLER0 */
#endif
        mov     x0, #1
        msr     S3_0_C12_C12_5, x0      /* ICC_SRE_EL1: system registers */
        isb
        mov     x0, #0xff
        msr     S3_0_C4_C6_0, x0        /* ICC_PMR_EL1: every priority */
        mov     x0, #1
        msr     S3_0_C12_C12_7, x0      /* ICC_IGRPEN1_EL1 */
        isb

        mrs     x0, cntfrq_el0
        mov     x1, #1000
        udiv    x0, x0, x1              /* 1 ms */
        msr     cntv_tval_el0, x0
        mov     x0, #1
        msr     cntv_ctl_el0, x0
        isb
        trace   't'                     /* timer started, about to wait */

        /* wfi wakes for an interrupt that is masked too, so none can slip in before it */
2:      wfi
        msr     daifclr, #2
        isb
        msr     daifset, #2
        cbz     x20, 2b

        trace   'i'                     /* interrupt came */
power_off:
        trace   '\n'
        ldr     x0, =SYSTEM_OFF
        hvc     #0
3:      wfi
        b       3b

on_interrupt:
        mrs     x0, S3_0_C12_C12_0      /* ICC_IAR1_EL1 */
        msr     cntv_ctl_el0, xzr
        msr     S3_0_C12_C12_1, x0      /* ICC_EOIR1_EL1 */
        mov     x20, #1
        eret

        .ltorg
        .balign 2048
vectors:
        .rept   5
        .balign 128
        b       power_off
        .endr
        .balign 128
        b       on_interrupt            /* interrupt, current level with its own stack */
        .rept   10
        .balign 128
        b       power_off
        .endr

        .balign 4096
blocks:
        .quad   0x00000000 | 0x401              /* accessed, attribute 0: the devices */
        .quad   0x40000000 | 0x401 | 1 << 2 | 3 << 8    /* shareable, attribute 1: memory */
        .quad   0
        .quad   0
        .section .note.GNU-stack, "", %progbits
