/* The stress tests' inside: one test is one class of load (test_stress.c), in three phases (phases.c). */
#ifndef STRESS_H
#define STRESS_H

#include <sys/types.h>

#include "../pingpong.h"
#include "../sis.h"

#define STRESS_WORDS 240
#define STRESS_NAME 32

struct stress {
    const char *test, *class; /* stress_cpu, cpu */
    unsigned node;
    uint64_t seed;
    uint64_t load_ns;                  /* of the load's own time */
    uint64_t patience_ns;              /* in which the probe must answer, and beyond which a load should long have ended */
    uint64_t settle_ns;                /* in which everything must be back */
    bool flip, leak;                   /* planted faults, by which tests see that they are noticed */
    char folder[32];                   /* for files of the load */
    int64_t *rest, *loaded;            /* samples of the probe */
    uint32_t rest_count, loaded_count;
    uint64_t pace_ns;                  /* between two samples under load */
    struct ping_pong probe;
    bool hung;
    uint64_t total, before, lowest;    /* bytes of memory: all, available at rest, available at worst */
    uint64_t killed;                   /* by the kernel, for want of memory, before the load */
    uint64_t swapped;                  /* pages, before it */
    unsigned ran, lacking, idle;       /* stressors that did something, those that cannot be had, and those too slow */
    bool by_force;                     /* the load was ended by a signal: what it has left behind is not the kernel's */
    char failure[STRESS_WORDS];        /* the first one */
    char remarks[STRESS_WORDS];
    char skipped[STRESS_WORDS];
    int64_t recovery;                  /* nanoseconds; -1: not everything came back */
};

/* phases.c */
void stress_fail(struct stress *stress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void stress_remark(struct stress *stress, const char *format, ...) __attribute__((format(printf, 2, 3)));
void stress_skip(struct stress *stress, const char *stressor, const char *why);
/* one that came to no whole round in its time */
void stress_idle(struct stress *stress, const char *stressor);
/* operations a second of one stressor; of a class there is no such figure, for what is one differs among stressors */
void stress_rate(struct stress *stress, const char *stressor, double rate);
bool stress_prepare(struct stress *stress, const struct plan *plan, char *problem, size_t size);
void stress_rest(struct stress *stress);
/* one sample of the probe and a look at the memory, then a pause; false: the probe did not answer */
bool stress_tick(struct stress *stress);
void stress_recover(struct stress *stress);
void stress_send(struct stress *stress);
void stress_close(struct stress *stress);

/* job.c: a process that is the load, with all that it starts; the probe goes on meanwhile */
struct job {
    pid_t pid;
    int output; /* of which each line goes to `line`; -1: it has none */
    void (*line)(void *context, const char *text);
    void *context;
    uint64_t limit_ns;
    int status;
    bool ended, in_time;
    char rest[8192]; /* names of all that stress-ng has are one line */
    size_t length;
};
/* in the child: a session of its own, with every processor, and the first that is killed for want of memory */
pid_t job_start(struct job *job, bool with_output);
void job_follow(struct stress *stress, struct job *job);

/* state.c */
struct memory {
    uint64_t total, available;
};
bool memory_read(struct memory *memory);
/* processes beside PID 1, the kernel's own and `spared`; `name` gets what the first of them is */
unsigned processes_left(pid_t spared, char *name, size_t size);
void processes_kill(pid_t spared);
uint64_t vmstat(const char *key);
void spare_from_killing(pid_t process);
bool folder_open(struct stress *stress);
void folder_close(struct stress *stress);

/* tool.c: the stressors of stress-ng, where the guest has it; false: it has none of them */
bool tool_there(void);
bool tool_load(struct stress *stress, char *problem, size_t size);

/* own.c: ours, for guests without it; `beside`: only those that run beside stress-ng's. False: there are none. */
#define OWN_WORKERS 4
struct own;
struct worker;
struct own_run {
    struct job job;
    const struct own *chosen[OWN_WORKERS];
    struct worker *workers;
    unsigned count;
};
bool own_begin(struct stress *stress, struct own_run *run, bool beside);
void own_end(struct stress *stress, struct own_run *run);

/* own_swap.c: whatever own_begin has opened */
void swap_close(void);

/* exchange.c */
bool exchange_load(struct stress *stress, char *problem, size_t size);

/* patterns.c: words that follow from a seed and their place; bytes are a multiple of 8 */
void pattern_fill(void *memory, size_t bytes, uint64_t seed);
bool pattern_holds(const void *memory, size_t bytes, uint64_t seed, size_t *where);

#endif
