/* pingpong.c: two processes that hand over to each other through pipes, and what a hand-over costs */
#ifndef PINGPONG_H
#define PINGPONG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ping_pong {
    int there, back;
    pid_t partner;
    volatile uint64_t *arrived;
    bool pinned; /* both are on the first processor; false: the kernel has no sched_setaffinity */
};

#define PING_PONG_GONE (-1)
#define PING_PONG_LATE (-2)

/* Pins the caller, starts the partner. */
bool ping_pong_open(struct ping_pong *pair);
/* Nanoseconds from just before the one's write to just after the other's read: a write, a switch, a read. Where
 * patience_ms is not negative, PING_PONG_LATE if the partner has not answered by then. */
int64_t ping_pong_once(struct ping_pong *pair, int patience_ms);
void ping_pong_close(struct ping_pong *pair);

#endif
