/* Marks for an emulator's plugin that counts instructions (guest/plugin/profile.c): instructions without effect, with a
 * number in them that no compiler writes. They are there whether anybody counts or not, so that counting moves nothing.
 */
#ifndef PROFILE_H
#define PROFILE_H

/* What is counted apart; profile/phases.py reads this table: number, name, and the metrics that it is measured for. */
#define PROFILE_PHASES(PHASE)                                             \
    PHASE(1, PROGRAM, "")                                                 \
    PHASE(2, CONTEXT_SWITCH, "context_switch.latency")                    \
    PHASE(3, MEMORY_PAGES, "memory_allocation.latency")                   \
    PHASE(4, MEMORY_SMALL, "memory_allocation.small")                     \
    PHASE(5, INFERENCE, "ai_inference.latency")                           \
    PHASE(6, THROUGHPUT, "throughput.rate throughput.sustained")

#define PROFILE_NUMBER(number, name, metrics) PROFILE_##name = number,
enum { PROFILE_PHASES(PROFILE_NUMBER) };

#define PROFILE_BEGIN 1u /* of a phase: what follows counts as its */
#define PROFILE_END 2u
#define PROFILE_TEST 3u  /* another test of the plan begins */
#define PROFILE_DONE 4u  /* all that was counted is written */

#if defined(__x86_64__) || defined(__i386__)
/* nopl disp32(%eax): Intel SDM volume 2, "NOP" */
#define PROFILE_MARK(what, phase) \
    __asm__ volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(0x53490000u | (what) << 8 | (phase)) : "memory")
#elif defined(__aarch64__)
/* movz xzr, #imm16: Arm ARM, C6.2 */
#define PROFILE_MARK(what, phase) \
    __asm__ volatile(".inst %c0" : : "i"(0xd280001fu | (0x5000u | (what) << 8 | (phase)) << 5) : "memory")
#elif defined(__arm__)
/* pld [pc, #imm12]: Arm ARM (v7), A8.8.128 */
#define PROFILE_MARK(what, phase) __asm__ volatile("pld [pc, #%c0]" : : "i"((what) << 8 | (phase)) : "memory")
#elif defined(__riscv)
/* lui zero, imm20, a hint: RISC-V unprivileged ISA, "HINT Instructions" */
#define PROFILE_MARK(what, phase) \
    __asm__ volatile("lui zero, %0" : : "i"(0x53000u | (what) << 8 | (phase)) : "memory")
#else
#define PROFILE_MARK(what, phase) __asm__ volatile("" : : : "memory")
#endif

#endif
