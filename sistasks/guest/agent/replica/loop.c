/* One thread, one loop: messages, timers, the host's word. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../control.h"
#include "../sis.h"
#include "internal.h"
#include "replica.h"

#define MESSAGES_PER_TURN 64u

struct cluster cluster;
const struct protocol *protocol;
static uint64_t now, timers[TIMERS], report_at;
static uint32_t reported_height, reported_round;

uint64_t clock_ns(void)
{
    return now;
}

void timer_set(unsigned timer, uint64_t at_ns)
{
    timers[timer] = at_ns;
}

void tell(const char *event, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    channel_text(FRAME_EVENT, "event=%s\nat_ns=%" PRIu64 "\n%s", event, now_ns(), text);
}

void replica_give_up(const char *problem)
{
    channel_text(FRAME_DONE, "problem=%s\nsamples=%" PRIu64 "\n", problem, channel_sample_count());
    power_off();
}

enum order { NOTHING, START, STOP };

/* `start` with the timeout in ms, or `stop` */
static enum order hear(void)
{
    char words[64], word[16] = "";
    unsigned timeout_ms = 0;
    if (!control_hear(words, sizeof words)) {
        return NOTHING;
    }
    (void)sscanf(words, "%15s %u", word, &timeout_ms);
    if (timeout_ms > 0) {
        cluster.timeout_ns = timeout_ms * (uint64_t)1000000;
    }
    return strcmp(word, "start") == 0 ? START : strcmp(word, "stop") == 0 ? STOP : NOTHING;
}

static void report_progress(void)
{
    char hex[17];
    uint32_t height = ledger_height(), round = protocol->round();
    report_at = now + cluster.report_ns;
    if (height == reported_height && round == reported_round) {
        return;
    }
    reported_height = height;
    reported_round = round;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(hex + 2 * i, 3, "%02x", ledger_head()[i]);
    }
    tell("progress", "height=%" PRIu32 "\nround=%" PRIu32 "\nhead=%s\n", height, round, hex);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* what is due, and when the next is */
static uint64_t do_what_is_due(void)
{
    for (unsigned i = 0; i < TIMERS; i++) {
        if (timers[i] != 0 && timers[i] <= now) {
            timers[i] = 0;
            protocol->timer(i);
        }
    }
    uint64_t next = earliest(catchup_tick(now), traitor_tick(now));
    if (now >= report_at) {
        report_progress();
    }
    next = earliest(next, report_at);
    for (unsigned i = 0; i < TIMERS; i++) {
        next = earliest(next, timers[i]);
    }
    return next;
}

/* Wait for messages, the host's word, or what is due. `at` is told from the `now` of this turn: reading the clock again
 * is a system call where the kernel trusts no counter, and under emulation each costs as much as a message. */
static enum order wait_until(uint64_t at)
{
    struct pollfd both[] = {{.fd = wire_socket(), .events = POLLIN}, {.fd = control_socket(), .events = POLLIN}};
    struct timespec limit = {0};
    if (at > now) {
        limit = (struct timespec){.tv_sec = (time_t)((at - now) / 1000000000u), .tv_nsec = (long)((at - now) % 1000000000u)};
    }
    ppoll(both, 2, &limit, NULL);
    return both[1].revents & POLLIN ? hear() : NOTHING;
}

static bool wait_for_start(void)
{
    enum order order = NOTHING;
    while (order == NOTHING) {
        /* what others send who have started already is kept by the socket as far as it has room */
        struct pollfd heard = {.fd = control_socket(), .events = POLLIN};
        poll(&heard, 1, -1);
        order = hear();
    }
    return order == START;
}

static void begin(void)
{
    now = now_ns();
    memset(timers, 0, sizeof timers);
    report_at = now + cluster.report_ns;
    reported_height = reported_round = 0;
    ledger_begin();
    wire_begin();
    catchup_begin();
    traitor_begin();
    protocol->start();
}

static void end(const char *metric)
{
    char hex[2 * DIGEST + 1];
    for (unsigned i = 0; i < DIGEST; i++) {
        snprintf(hex + 2 * i, 3, "%02x", ledger_head()[i]);
    }
    tell("counters",
         "sent=%" PRIu64 "\nreceived=%" PRIu64 "\nmalformed=%" PRIu64 "\nforged=%" PRIu64 "\nunsendable=%" PRIu64 "\n",
         wire_counters.sent, wire_counters.received, wire_counters.malformed, wire_counters.forged,
         wire_counters.unsendable);
    ledger_report(metric);
    tell("ended", "height=%" PRIu32 "\nhead=%s\nsubmitted=%" PRIu32 "\n", ledger_height(), hex, ledger_submitted());
}

bool replica_run(const struct protocol *which, const char *test, const char *metric, char *problem, size_t size)
{
    protocol = which;
    if (!wire_open(cluster.network) || !control_open(cluster.network, cluster.self)) {
        snprintf(problem, size, "no UDP sockets: %m");
        return false;
    }
    tell("waiting", "test=%s\n", test);
    if (wait_for_start()) {
        begin();
        tell("started", "protocol=%s\n", which->name);
        for (enum order order = NOTHING; order != STOP;) {
            now = now_ns();
            bool more = wire_receive(MESSAGES_PER_TURN);
            uint64_t next = do_what_is_due();
            order = wait_until(more ? now : next);
        }
        tell("stopped", "test=%s\n", test);
        end(metric);
    }
    control_close();
    wire_close();
    return true;
}
