/* A plugin of QEMU's that counts what a guest executes, between the marks of the agent (guest/agent/profile.h).
 *
 * Counters are added to by the translated code itself (inline), so that the guest's clock and its inputs stay what they
 * are without it. What it uses of QEMU's plugin interface is declared here, for distributions install no header: QEMU,
 * docs/devel/tcg-plugins.rst, include/qemu/qemu-plugin.h. API is the interface's number: 1 (QEMU 4.2-8.2), 2 (9.0) and
 * 3 (9.1 and later), whose numbers above are as 3 for what is used here. QEMU itself refuses a number that it has not.
 *
 * Arguments: fd=N, a descriptor that the counts are written to: for each test and phase
 *     "SISPROF1", u32 test (from 1), u32 phase, u64 blocks, then for each block
 *     u64 address, u64 instructions, u64 times executed, u64 accesses to memory
 * in the host's byte order; and at the end "SISPROF0".
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef API
#define API 1
#endif
#define EXPORT __attribute__((visibility("default")))

/* of the C library that QEMU has loaded; the compiler may be for another one, and have its headers only */
void *calloc(size_t, size_t);
void free(void *);
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
int strcmp(const char *, const char *);
int strncmp(const char *, const char *, size_t);
int atoi(const char *);
long write(int, const void *, size_t);
int close(int);

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus, max_vcpus;
        } system;
    };
} qemu_info_t;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_RW = 3 };
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *),
                                            enum qemu_plugin_cb_flags, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

#if API == 1
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
void qemu_plugin_register_vcpu_mem_inline(struct qemu_plugin_insn *, enum qemu_plugin_mem_rw, enum qemu_plugin_op,
                                          void *, uint64_t);
#else
struct qemu_plugin_scoreboard;
typedef struct {
    struct qemu_plugin_scoreboard *score;
    size_t offset;
} qemu_plugin_u64;
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *, unsigned);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, enum qemu_plugin_op, qemu_plugin_u64,
                                                       uint64_t);
void qemu_plugin_register_vcpu_mem_inline_per_vcpu(struct qemu_plugin_insn *, enum qemu_plugin_mem_rw,
                                                   enum qemu_plugin_op, qemu_plugin_u64, uint64_t);
#if API == 2
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
#endif
#endif

EXPORT int qemu_plugin_version = API;

enum mark { MARK_NONE, MARK_BEGIN, MARK_END, MARK_TEST, MARK_DONE };
enum architecture { OTHER, X86, ARM64, ARM, RISCV };

#define TABLE 65536u
#define CHUNK 1024u
/* Loads and stores together: asked for one of them, QEMU 7.2 adds inline for the other ("accel/tcg/plugin: Fix op_rw",
 * qemu-devel, November 2022). */
enum kind { EXECUTED, ACCESSES, KINDS };

/* one phase of one test, and what blocks have executed in it */
struct part {
    struct part *next;
    uint32_t test, phase;
    uint64_t count;
    struct tally *tallies;
};

/* what a block has executed in one part: in a list of the block's, and in one of the part's */
struct tally {
    struct tally *next, *next_of_part;
    const struct part *part;
    const struct block *block;
    uint64_t count[KINDS];
};

/* counters of one block, which the translated code adds to; they are cleared when a phase begins */
struct counters {
    uint64_t count[KINDS];
};

struct block {
    struct block *next, *earlier;
    uint64_t address, instructions;
    struct tally *tallies;
#if API == 1
    struct counters counters;
#else
    struct qemu_plugin_scoreboard *board;
    size_t offset;
#endif
};

static struct block *blocks[TABLE], *newest;
static struct part *parts;
static enum architecture architecture;
static uint32_t test;
static int output = -1;
static bool failed;

#if API == 1
static bool give_counters(struct block *block)
{
    (void)block;
    return true;
}

static struct counters *counters_of(struct block *block)
{
    return &block->counters;
}

static void count_executions(struct qemu_plugin_tb *tb, struct block *block)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &block->counters.count[EXECUTED], 1);
}

static void count_accesses(struct qemu_plugin_insn *insn, struct block *block)
{
    qemu_plugin_register_vcpu_mem_inline(insn, QEMU_PLUGIN_MEM_RW, QEMU_PLUGIN_INLINE_ADD_U64,
                                         &block->counters.count[ACCESSES], 1);
}
#else
/* a scoreboard holds the counters of many blocks, for each processor; there is one */
static bool give_counters(struct block *block)
{
    static struct qemu_plugin_scoreboard *board;
    static size_t used = CHUNK;
    if (used == CHUNK) {
        board = qemu_plugin_scoreboard_new(CHUNK * sizeof(struct counters));
        used = 0;
    }
    block->board = board;
    block->offset = used++ * sizeof(struct counters);
    return board != NULL;
}

static struct counters *counters_of(struct block *block)
{
    return (struct counters *)((char *)qemu_plugin_scoreboard_find(block->board, 0) + block->offset);
}

static qemu_plugin_u64 entry(const struct block *block, enum kind kind)
{
    return (qemu_plugin_u64){block->board, block->offset + kind * sizeof(uint64_t)};
}

static void count_executions(struct qemu_plugin_tb *tb, struct block *block)
{
    qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64, entry(block, EXECUTED), 1);
}

static void count_accesses(struct qemu_plugin_insn *insn, struct block *block)
{
    qemu_plugin_register_vcpu_mem_inline_per_vcpu(insn, QEMU_PLUGIN_MEM_RW, QEMU_PLUGIN_INLINE_ADD_U64,
                                                  entry(block, ACCESSES), 1);
}
#endif

static struct block *block_of(uint64_t address, uint64_t instructions)
{
    struct block **head = &blocks[(address * 0x9e3779b97f4a7c15u) >> 48];
    struct block *at = *head;
    while (at != NULL && (at->address != address || at->instructions != instructions)) {
        at = at->next;
    }
    if (at == NULL && (at = calloc(1, sizeof *at)) != NULL) {
        if (!give_counters(at)) {
            free(at);
            return NULL;
        }
        at->address = address;
        at->instructions = instructions;
        at->next = *head;
        *head = at;
        at->earlier = newest;
        newest = at;
    }
    return at;
}

static struct part *part_of(uint32_t phase)
{
    struct part **at = &parts;
    while (*at != NULL && ((*at)->test != test || (*at)->phase != phase)) {
        at = &(*at)->next;
    }
    if (*at == NULL && (*at = calloc(1, sizeof **at)) != NULL) {
        (*at)->test = test;
        (*at)->phase = phase;
    }
    return *at;
}

static struct tally *tally_of(struct block *block, struct part *part)
{
    struct tally *at = block->tallies;
    while (at != NULL && at->part != part) {
        at = at->next;
    }
    if (at == NULL && (at = calloc(1, sizeof *at)) != NULL) {
        *at = (struct tally){.next = block->tallies, .next_of_part = part->tallies, .part = part, .block = block};
        block->tallies = part->tallies = at;
        part->count++;
    }
    return at;
}

/* What the blocks have counted since the last mark goes to a phase of the test under way, or away. */
static void take(uint32_t phase, bool keep)
{
    struct part *part = keep ? part_of(phase) : NULL;
    failed = failed || (keep && part == NULL);
    for (struct block *at = newest; at != NULL; at = at->earlier) {
        struct counters *counters = counters_of(at);
        if (counters->count[EXECUTED] == 0) {
            continue;
        }
        struct tally *tally = part != NULL ? tally_of(at, part) : NULL;
        failed = failed || (part != NULL && tally == NULL);
        for (int kind = 0; tally != NULL && kind < KINDS; kind++) {
            tally->count[kind] += counters->count[kind];
        }
        memset(counters, 0, sizeof *counters);
    }
}

static void put(const void *data, size_t size)
{
    const char *at = data;
    while (!failed && size > 0) {
        long count = write(output, at, size);
        failed = count <= 0;
        at += count > 0 ? count : 0;
        size -= count > 0 ? (size_t)count : 0;
    }
}

static void write_part(const struct part *part)
{
    static uint64_t row[CHUNK][2 + KINDS];
    size_t used = 0;
    put("SISPROF1", 8);
    put(&part->test, sizeof part->test);
    put(&part->phase, sizeof part->phase);
    put(&part->count, sizeof part->count);
    for (const struct tally *tally = part->tallies; tally != NULL; tally = tally->next_of_part) {
        row[used][0] = tally->block->address;
        row[used][1] = tally->block->instructions;
        memcpy(&row[used][2], tally->count, sizeof tally->count);
        if (++used == CHUNK) {
            put(row, sizeof row);
            used = 0;
        }
    }
    put(row, used * sizeof row[0]);
}

static void write_all(void)
{
    for (const struct part *part = parts; part != NULL; part = part->next) {
        write_part(part);
    }
    if (!failed) {
        put("SISPROF0", 8);
    }
    close(output);
    output = -1;
}

static void on_mark(unsigned processor, void *number)
{
    uint32_t word = (uint32_t)(uintptr_t)number;
    (void)processor;
    if (output < 0) {
        return;
    }
    switch (word >> 8) {
    case MARK_BEGIN:
    case MARK_END:
        take(word & 0xff, word >> 8 == MARK_END);
        break;
    case MARK_TEST:
        test++;
        break;
    default:
        write_all();
    }
}

/* What a mark says, or 0: the instruction is none (guest/agent/profile.h). */
static uint32_t mark_in(const unsigned char *code, size_t size)
{
    uint32_t word = 0, halves = 0, found = 0;
    if (size >= 4) {
        word = (uint32_t)code[0] | (uint32_t)code[1] << 8 | (uint32_t)code[2] << 16 | (uint32_t)code[3] << 24;
        halves = word << 16 | word >> 16;
    }
    if (architecture == X86 && size == 7 && code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x80 && code[6] == 0x53 &&
        code[5] == 0x49) {
        found = (uint32_t)code[3] | (uint32_t)code[4] << 8;
    } else if (architecture == ARM64 && size == 4 && (word & 0xffe0001f) == 0xd280001f && (word >> 5 & 0xf000) == 0x5000) {
        found = word >> 5 & 0xfff;
    } else if (architecture == ARM && size == 4 && (word & 0xfffff000) == 0xf5dff000) {
        found = word & 0xfff;
    } else if (architecture == ARM && size == 4 && (halves & 0xfffff000) == 0xf89ff000) {
        found = halves & 0xfff;
    } else if (architecture == RISCV && size == 4 && (word & 0xfff) == 0x037 && word >> 24 == 0x53) {
        found = word >> 12 & 0xfff;
    }
    return found >> 8 >= MARK_BEGIN && found >> 8 <= MARK_DONE ? found : 0;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    struct block *block = block_of(qemu_plugin_tb_vaddr(tb), count);
    (void)id;
    if (block == NULL) {
        failed = true;
        return;
    }
    count_executions(tb, block);
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t size = qemu_plugin_insn_size(insn);
#if API >= 3
        unsigned char code[16] = {0};
        qemu_plugin_insn_data(insn, code, size < sizeof code ? size : sizeof code);
#else
        const unsigned char *code = qemu_plugin_insn_data(insn);
#endif
        uint32_t mark = mark_in(code, size);
        if (mark != 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)mark);
        }
        count_accesses(insn, block);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **arguments)
{
    static const struct {
        const char *name;
        enum architecture architecture;
    } known[] = {{"x86_64", X86}, {"i386", X86}, {"aarch64", ARM64}, {"arm", ARM}, {"riscv64", RISCV}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(info->target_name, known[i].name) == 0) {
            architecture = known[i].architecture;
        }
    }
    for (int i = 0; i < count; i++) {
        if (strncmp(arguments[i], "fd=", 3) == 0) {
            output = atoi(arguments[i] + 3);
        }
    }
    if (output < 0 || architecture == OTHER) {
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
