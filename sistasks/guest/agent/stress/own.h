/* The agent's own stressors (own.c): a step of each is one round of work whose outcome is known beforehand. */
#ifndef OWN_H
#define OWN_H

#include <stdarg.h>
#include <stdio.h>

#include "stress.h"

enum outcome { OWN_GOOD, OWN_WRONG, OWN_LACKING, OWN_NO_ROOM };

struct worker {
    pid_t pid;
    int signal; /* that ended it */
    enum outcome outcome;
    uint64_t rounds, begin, end;
    char why[120];
};

struct bench {
    struct stress *stress;
    struct worker *worker;
    struct random_state random;
    bool flip; /* one bit, once */
    uint64_t *memory;
    size_t size;
    int pipes[8];
    bool ready;
};

struct own {
    const char *class, *name;
    enum outcome (*step)(struct bench *bench);
    bool beside; /* it runs beside those of stress-ng, too */
};

/* whether the bit is to be flipped now */
static inline bool own_flip(struct bench *bench)
{
    bool now = bench->flip;
    bench->flip = false;
    return now;
}

static inline enum outcome __attribute__((format(printf, 3, 4)))
own_word(struct bench *bench, enum outcome outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(bench->worker->why, sizeof bench->worker->why, format, arguments);
    va_end(arguments);
    return outcome;
}

enum outcome own_arithmetic(struct bench *bench);
enum outcome own_ring(struct bench *bench);
enum outcome own_patterns(struct bench *bench);
enum outcome own_blocks(struct bench *bench);
enum outcome own_swap(struct bench *bench);
enum outcome own_pages(struct bench *bench);
enum outcome own_fork(struct bench *bench);
enum outcome own_cache(struct bench *bench);
enum outcome own_files(struct bench *bench);
enum outcome own_sleeps(struct bench *bench);
enum outcome own_queue(struct bench *bench);

#endif
