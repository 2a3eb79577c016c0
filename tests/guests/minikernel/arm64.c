/* QEMU's virt: a PL011 at 0x09000000, a GICv3 at 0x08000000, PSCI by hvc.
 * Sources: ARM PL011 manual (DDI 0183); Arm GIC (IHI 0069), 12.9; Arm PSCI (DEN 0022), 5.9 and 5.10; Arm architecture
 * reference manual (DDI 0487), D8.3 (translation tables), D13.2 (system registers). */
#include "kernel.h"

static volatile uint32_t *const serial = (volatile uint32_t *)0x09000000;
enum { DATA = 0x00 / 4, FLAGS = 0x18 / 4, LINE = 0x2c / 4, CONTROL = 0x30 / 4, INTERRUPTS = 0x38 / 4 };
enum { FULL = 1 << 5, EMPTY = 1 << 4, SYSTEM_OFF = 0x84000008, SYSTEM_RESET = 0x84000009u };

void serial_start(void)
{
	serial[INTERRUPTS] = 0;
	serial[LINE] = 0x70;     /* 8 bits, queues */
	serial[CONTROL] = 0x301; /* on, both ways */
}

void serial_put(char c)
{
	while (serial[FLAGS] & FULL)
		;
	serial[DATA] = (uint8_t)c;
}

int serial_get(void)
{
	while (serial[FLAGS] & EMPTY)
		__asm__ volatile("wfi" ::: "memory"); /* ends with an interrupt, even one that is masked */
	return (int)(serial[DATA] & 0xff);
}

/* -- the machine is ours ----------------------------------------------------------------------------------------- */

enum { BLOCK = 1, DEVICE = 0 << 2, NORMAL = 1 << 2, SHARED = 3 << 8, ACCESSED = 1 << 10 };
static const uint64_t never_run = 3ull << 53;
static uint64_t table[512] __attribute__((aligned(4096)));
extern const char vectors[];

/* The serial line's interrupt (33) is to reach this processor, which never takes it. */
static void hear_serial(void)
{
	enum { CONTROL_OF_ALL = 0, GROUP = 0x80 / 4 + 1, ENABLE = 0x100 / 4 + 1, BIT = 1 << (33 - 32) };
	volatile uint32_t *gic = (volatile uint32_t *)0x08000000;
	volatile uint64_t *route = (volatile uint64_t *)(0x08000000 + 0x6000);
	gic[CONTROL_OF_ALL] = 0x12; /* affinity routing, group 1 */
	gic[GROUP] |= BIT;
	((volatile uint8_t *)gic)[0x400 + 33] = 0x80;
	route[33] = 0;
	gic[ENABLE] = BIT;
	__asm__ volatile("msr S3_0_C4_C6_0, %0\n\t"  /* ICC_PMR_EL1: every priority */
			 "msr S3_0_C12_C12_7, %1\n\t" /* ICC_IGRPEN1_EL1 */
			 "isb" ::"r"(0xffull), "r"(1ull));
	serial[INTERRUPTS] = 0x50; /* something came, and nothing more came */
}

void own_the_machine(void)
{
	/* 64 GB in blocks of 1 GB, each at its own address: devices below, memory above */
	table[0] = BLOCK | DEVICE | ACCESSED | never_run;
	for (uint64_t i = 1; i < 64; i++)
		table[i] = i << 30 | BLOCK | NORMAL | SHARED | ACCESSED;
	uint64_t attributes = 0xff00; /* 0: device, 1: memory with write-back caches */
	/* 39 bits of address, walks in shared write-back caches, no upper half, 36 bits of physical address */
	uint64_t control = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1ull << 32;
	uint64_t system;
	__asm__ volatile("msr vbar_el1, %0\n\tisb" ::"r"(vectors));
	__asm__ volatile("mrs %0, sctlr_el1" : "=r"(system));
	/* the tables' form changes: nothing may be looked up in between, neither stack nor data */
	__asm__ volatile("dsb sy\n\t"
			 "msr sctlr_el1, %0\n\tisb\n\t"
			 "msr mair_el1, %1\n\tmsr tcr_el1, %2\n\tmsr ttbr0_el1, %3\n\tisb\n\t"
			 "tlbi vmalle1\n\tdsb sy\n\tisb\n\t"
			 "msr sctlr_el1, %4\n\tisb" ::"r"(system & ~1ull),
			 "r"(attributes), "r"(control), "r"(table), "r"(system | 0x1005)
			 : "memory");
	hear_serial();
}

void trap(uint64_t syndrome, uint64_t where)
{
	switch (syndrome >> 26) {
	case 0x00:
		panic("invalid opcode", where);
	case 0x21:
		panic("instruction abort", where);
	case 0x25:
		panic("data abort", where);
	default:
		panic("a trap", where);
	}
}

void *new_stack(void *end, void (*begin)(void))
{
	uint64_t *stack = (uint64_t *)end - 12;
	memset(stack, 0, 12 * sizeof *stack);
	stack[11] = (uint64_t)begin; /* x30: where the switch returns to */
	return stack;
}

/* -- time -------------------------------------------------------------------------------------------------------- */

uint64_t counter(void)
{
	uint64_t ticks;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
	return ticks;
}

uint64_t counter_hz(void)
{
	uint64_t hz;
	__asm__("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz;
}

/* -- ends -------------------------------------------------------------------------------------------------------- */

static void psci(uint32_t function)
{
	register uint64_t what __asm__("x0") = function;
	__asm__ volatile("hvc #0" : "+r"(what)::"memory", "x1", "x2", "x3");
}

void crash(void)
{
	__asm__ volatile("udf #0");
	__builtin_unreachable();
}

void restart(void) { psci(SYSTEM_RESET); }
void power_off(void) { psci(SYSTEM_OFF); }

void halt(void)
{
	for (;;)
		__asm__ volatile("msr daifset, #15\n\twfi");
}
