/* The kernel's parts, and what each architecture gives (x86_64.c, arm64.c and the .S beside them). */
#pragma once

#include <stdbool.h>

#include "boot.h"

/* -- the architecture ------------------------------------------------------------------------------------------ */
void serial_start(void);
void serial_put(char);
int serial_get(void); /* waits, and lets the host have its processor meanwhile */
void own_the_machine(void); /* traps and page tables of our own instead of the firmware's */
uint64_t counter(void);
uint64_t counter_hz(void); /* takes some milliseconds where the processor does not know it */
void switch_stack(void **from, void *to); /* keeps what a function must keep, and goes on on another stack */
void *new_stack(void *end, void (*begin)(void)); /* a stack for the switch above */
void crash(void) __attribute__((noreturn)); /* an instruction that no processor has */
void restart(void);
void power_off(void);
void halt(void) __attribute__((noreturn));

/* -- the kernel ------------------------------------------------------------------------------------------------ */
/* %s text, %u number, %x number in hexadecimal, %m number of thousandths */
void print(const char *format, ...);
void panic(const char *why, uint64_t where) __attribute__((noreturn));
void heap_start(char *memory, uint64_t size);
void *allocate(uint64_t size); /* NULL: there is no such room */
void release(void *);
uint64_t heap_free(void); /* bytes in the longest stretch that is free */
uint64_t random_number(void); /* the same row of numbers after each boot */
void measure_start(void);
uint64_t picoseconds(uint64_t ticks);
bool measure_inference(void);
bool measure_switch(void);
bool measure_memory(void);
bool agree(uint64_t node, uint64_t nodes);
void talk_garbage(bool as_metrics);
