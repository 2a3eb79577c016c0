/* QEMU's q35: a 16550 at 0x3f8, ICH9's power management at 0x600, where OVMF puts it.
 * Sources: PC16550D and 8259A data sheets; ACPI 6.5, 4.8.3 (power management timer, PM1 control); Intel SDM 3A, 4.5
 * (page tables), 6.14 (traps in 64-bit mode), 10.5 (local vectors); Intel ICH9 data sheet, 13.7.5 (port 0xcf9). */
#include "kernel.h"

enum { SERIAL = 0x3f8, PM_CONTROL = 0x604, PM_TIMER = 0x608, RESET = 0xcf9 };
enum { PM_HZ = 3579545, SLEEP_ENABLE = 1 << 13 };

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }

static uint8_t in8(uint16_t port)
{
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static uint32_t in32(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void serial_start(void)
{
	out8(SERIAL + 1, 0);    /* no interrupts */
	out8(SERIAL + 3, 0x83); /* 8 bits; the divisor's registers are there now */
	out8(SERIAL + 0, 1);    /* 115200 */
	out8(SERIAL + 1, 0);
	out8(SERIAL + 3, 0x03);
	out8(SERIAL + 2, 0x01); /* queues */
	out8(SERIAL + 4, 0x0b); /* its interrupt reaches the controller */
}

void serial_put(char c)
{
	while (!(in8(SERIAL + 5) & 0x20))
		;
	out8(SERIAL, (uint8_t)c);
}

int serial_get(void)
{
	while (!(in8(SERIAL + 5) & 1))
		/* an interrupt that comes before the halt is taken after it: `sti` works one instruction late */
		__asm__ volatile("sti\n\thlt\n\tcli" ::: "memory");
	return in8(SERIAL);
}

/* -- the machine is ours ----------------------------------------------------------------------------------------- */

struct gate {
	uint16_t low, selector, kind, middle;
	uint32_t high, zero;
};

enum { TRAPS = 32, SERIAL_VECTOR = 36, GATES = SERIAL_VECTOR + 1, STUB = 16 };
enum { PRESENT = 1, WRITABLE = 2, LARGE = 1 << 7, GIGABYTES = 4 };
extern const char trap_stubs[], serial_interrupt[];
static struct gate gates[GATES];
static uint64_t top[512] __attribute__((aligned(4096))), middle[512] __attribute__((aligned(4096)));
static uint64_t low[GIGABYTES][512] __attribute__((aligned(4096)));

static void set_gate(int vector, const char *handler)
{
	uint64_t at = (uint64_t)handler;
	gates[vector] = (struct gate){(uint16_t)at, 8, 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
}

/* The serial line's interrupt (4) and no other, by the old controllers, whose pin the local APIC passes on. */
static void hear_serial(void)
{
	volatile uint32_t *apic = (volatile uint32_t *)0xfee00000;
	static const uint8_t first[] = {0x20, 0x04, 0x01, 0xef}, second[] = {0x28, 0x02, 0x01, 0xff};
	out8(0x20, 0x11); /* begins the four words: first vector, wiring, mode; then what is masked */
	out8(0xa0, 0x11);
	for (int i = 0; i < 4; i++) {
		out8(0x21, first[i]);
		out8(0xa1, second[i]);
	}
	apic[0xf0 / 4] = 0x1ff;  /* on */
	apic[0x350 / 4] = 0x700; /* its pin 0 is an outer controller's */
	out8(SERIAL + 1, 1);     /* received data interrupt */
}

void own_the_machine(void)
{
	for (int i = 0; i < TRAPS; i++)
		set_gate(i, trap_stubs + i * STUB);
	set_gate(SERIAL_VECTOR, serial_interrupt);
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) table = {sizeof gates - 1, (uint64_t)gates};
	__asm__ volatile("lidt %0" ::"m"(table));
	/* the first 4 GB in pages of 2 MB, each at its own address */
	for (uint64_t gigabyte = 0; gigabyte < GIGABYTES; gigabyte++) {
		for (uint64_t i = 0; i < 512; i++)
			low[gigabyte][i] = gigabyte << 30 | i << 21 | LARGE | WRITABLE | PRESENT;
		middle[gigabyte] = (uint64_t)low[gigabyte] | WRITABLE | PRESENT;
	}
	top[0] = (uint64_t)middle | WRITABLE | PRESENT;
	__asm__ volatile("mov %0, %%cr3" ::"r"(top) : "memory");
	hear_serial();
}

void trap(uint64_t vector, uint64_t where)
{
	static const char *const names[] = {[0] = "divide error", [6] = "invalid opcode", [13] = "general protection fault",
					    [14] = "page fault"};
	panic(vector < sizeof names / sizeof *names && names[vector] ? names[vector] : "a trap", where);
}

void *new_stack(void *end, void (*begin)(void))
{
	/* as if `begin` had been called: its return address (nowhere) keeps the stack aligned */
	uint64_t *stack = (uint64_t *)end - 8;
	memset(stack, 0, 8 * sizeof *stack);
	stack[6] = (uint64_t)begin;
	return stack;
}

/* -- time -------------------------------------------------------------------------------------------------------- */

uint64_t counter(void)
{
	uint32_t high, low32;
	__asm__ volatile("lfence\n\trdtsc" : "=a"(low32), "=d"(high)::"memory");
	return (uint64_t)high << 32 | low32;
}

/* The cycle counter's ticks in 10 ms of the power management timer, whose rate is fixed. */
static uint64_t ticks_of_10_ms(void)
{
	uint32_t start, before = in32(PM_TIMER);
	for (uint64_t tries = 0; (start = in32(PM_TIMER)) == before; tries++)
		if (tries == 1000000)
			panic("the power management timer stands still", PM_TIMER);
	uint64_t from = counter();
	while (((in32(PM_TIMER) - start) & 0xffffff) < PM_HZ / 100)
		;
	return counter() - from;
}

uint64_t counter_hz(void)
{
	static uint64_t hz;
	if (!hz) {
		/* a host that was busy elsewhere spoils one of three, not the middle one */
		uint64_t a = ticks_of_10_ms(), b = ticks_of_10_ms(), c = ticks_of_10_ms();
		uint64_t most = a > b ? a : b, least = a > b ? b : a;
		hz = 100 * (c > most ? most : c < least ? least : c);
	}
	return hz;
}

/* -- ends -------------------------------------------------------------------------------------------------------- */

void crash(void)
{
	__asm__ volatile("ud2");
	__builtin_unreachable();
}

void restart(void) { out8(RESET, 6); }
void power_off(void) { out16(PM_CONTROL, SLEEP_ENABLE); }

void halt(void)
{
	for (;;)
		__asm__ volatile("cli\n\thlt");
}
