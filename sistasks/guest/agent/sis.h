/* The agent: PID 1 of every guest. It takes a plan, measures, and sends every raw sample to the host. */
#ifndef SIS_H
#define SIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clock.c: all times are nanoseconds of CLOCK_MONOTONIC */
uint64_t now_ns(void);
void sleep_until(uint64_t ns);
void sleep_to_boundary(uint64_t step_ns);
uint64_t cycles(void);            /* a counter that starts with the machine; 0: none known */
uint64_t cycles_per_second(void); /* 0: not known without measuring */

/* random.c: xorshift64*, Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators" */
struct random_state {
    uint64_t x;
};
void random_seed(struct random_state *state, uint64_t seed);
uint64_t random_next(struct random_state *state);
void random_mix_into_kernel(uint64_t seed);

/* pci.c: devices by sysfs, so that no driver is needed */
struct pci_device {
    char path[128];
};
bool pci_present(struct pci_device *device, unsigned vendor, unsigned id);
/* the same, and enable it */
bool pci_find(struct pci_device *device, unsigned vendor, unsigned id);
volatile void *pci_map(const struct pci_device *device, int resource, size_t size);

/* channel.c: frames to the host (sistasks/guest/frames.py reads them) */
enum frame_type {
    FRAME_HELLO = 1,
    FRAME_READY = 2,
    FRAME_BEGIN = 3,
    FRAME_SAMPLES = 4,
    FRAME_END = 5,
    FRAME_NOTE = 6,
    FRAME_DONE = 7,
    FRAME_EVENT = 8,     /* at once, while a test runs */
    FRAME_DECISIONS = 9, /* the log of a replica */
    FRAME_LINES = 10,    /* lines that a program wrote, as it wrote them */
    FRAME_FILE = 11,     /* name, NUL, offset u32, bytes of a file */
    FRAME_FILL = 12,     /* nothing */
};
bool channel_open(char *name, size_t size);
void channel_take(int fd); /* what is open already */
void channel_text(enum frame_type type, const char *format, ...) __attribute__((format(printf, 2, 3)));
void channel_bytes(enum frame_type type, const void *data, size_t size);
void channel_samples(const char *metric, const int64_t *samples, uint32_t count);
void channel_part(const char *name, uint32_t offset, const void *data, size_t size);
/* the beginning of a file, under a name that the host expects; false where it cannot be read */
bool channel_file(const char *name, const char *path, uint64_t most);
void channel_hold(void);    /* collect frames instead of sending them */
void channel_release(void); /* send what was collected, and the rest as it comes */
uint64_t channel_sample_count(void);
void channel_drain(void);

/* findings.c: what the test under way saw of a rule (sistasks/suites/security/rules); the outcome is a STATUS_... */
void finding(const char *rule, const char *outcome, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* plan.c: one page of text from the host */
#define PLAN_PAGE 16384
#define PLAN_TESTS 512
struct plan {
    unsigned node;
    uint64_t seed;
    bool freeze;    /* this node becomes a template */
    bool aligned;   /* virtual clock: begin each test on a boundary, so that the host cannot move it */
    bool hold;      /* stay up after the tests until the host ends the node */
    uint32_t iterations;
    char tests[PLAN_TESTS];
};
bool plan_open(void);
bool plan_read(struct plan *plan, char *problem, size_t size);
/* the same from text that is not the page: PLAN_PAGE bytes and a NUL, which it changes */
bool plan_parse(char *text, struct plan *plan, char *problem, size_t size);
/* a key of the plan that was read last; false where it is missing or longer */
bool plan_value(const char *key, char *value, size_t size);
uint64_t plan_number(const char *key); /* 0 where it is missing */
/* tells a host that looks at a stopped machine how far the agent is: the test under way, from 1; 0: none */
void plan_mark(uint32_t test);

/* freeze.c: stop the whole machine at an instant that the guest chooses */
bool freeze_machine(bool aligned, char *problem, size_t size);

/* trace.c: what the kernel does while a test runs, where the plan asks for it */
void trace_prepare(void);
void trace_clear(void);
void trace_run(bool on);
void trace_send(const char *test);

/* symbols.c */
void symbols_send(void);

/* modules.c */
void modules_load(void);
void modules_load_list(const char *list_path); /* where there is one */

/* tests: each sends its samples itself and returns NULL, or says why it could not */
struct test {
    const char *name;
    /* fills problem and returns the status that the host shall record */
    const char *(*run)(const struct plan *plan, char *problem, size_t size);
};
extern const struct test tests[];
const char *test_boot(const struct plan *plan, char *problem, size_t size);
const char *test_context_switch(const struct plan *plan, char *problem, size_t size);
const char *test_memory_allocation(const struct plan *plan, char *problem, size_t size);
const char *test_ai_inference(const struct plan *plan, char *problem, size_t size);
const char *test_throughput(const struct plan *plan, char *problem, size_t size);
const char *test_network(const struct plan *plan, char *problem, size_t size);
const char *test_consensus(const struct plan *plan, char *problem, size_t size);
const char *test_election(const struct plan *plan, char *problem, size_t size);
const char *test_partition(const struct plan *plan, char *problem, size_t size);
const char *test_penetration(const struct plan *plan, char *problem, size_t size);
const char *test_stress_cpu(const struct plan *plan, char *problem, size_t size);
const char *test_stress_scheduler(const struct plan *plan, char *problem, size_t size);
const char *test_stress_memory(const struct plan *plan, char *problem, size_t size);
const char *test_stress_vm(const struct plan *plan, char *problem, size_t size);
const char *test_stress_filesystem(const struct plan *plan, char *problem, size_t size);
const char *test_stress_network(const struct plan *plan, char *problem, size_t size);
const char *test_stress_timers(const struct plan *plan, char *problem, size_t size);
const char *test_stress_signals(const struct plan *plan, char *problem, size_t size);
const char *test_hardening(const struct plan *plan, char *problem, size_t size);
const char *test_kaslr(const struct plan *plan, char *problem, size_t size);
const char *test_fuzzing(const struct plan *plan, char *problem, size_t size);

/* test_program.c: a test that is a program of the user's, where the plan knows one of that name */
bool program_known(const char *name);
uint64_t program_limit_ms(const char *name); /* 0 where it is not known */
const char *test_program(const struct plan *plan, const char *name, char *problem, size_t size);

#define STATUS_PASS "pass"
#define STATUS_FAIL "fail"
#define STATUS_ERROR "error"
#define STATUS_SKIP "skip"

/* main.c: the end of this machine */
void power_off(void) __attribute__((noreturn));

/* main.c: stages of the boot as seen from PID 1 */
struct boot_stages {
    uint64_t cycles_at_init;
    uint64_t cycles_at_ready;
};
extern struct boot_stages boot_stages;

/* memory for samples, populated before anything is timed; NULL when the guest has too little */
int64_t *samples_allocate(uint32_t count);
void samples_free(int64_t *samples, uint32_t count);

#endif
