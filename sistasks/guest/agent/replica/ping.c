/* No protocol at all: every node asks its neighbour for an echo, one after the other, and measures the way there and
 * back. What the consensus protocols pay for each message, on this network and with so many nodes, is in it.
 */
#include "../sis.h"
#include "internal.h"
#include "replica.h"

enum { PING = 1, PONG = 2 };
#define LOST 0 /* the timer */

static uint32_t number;
static uint64_t sent_at;

static void ask(void)
{
    uint8_t data[4];
    if (number == cluster.decisions) {
        timer_set(LOST, 0);
        tell("pinged", "count=%u\n", number);
        return;
    }
    number++;
    put_u32(data, number);
    sent_at = now_ns();
    timer_set(LOST, sent_at + cluster.timeout_ns);
    wire_send(cluster.self % cluster.count + 1, PING, data, sizeof data);
}

static void start(void)
{
    number = 0;
    ask();
}

static void message(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    if (size != 4) {
        return;
    }
    if (type == PING) {
        wire_send(from, PONG, data, size);
    } else if (type == PONG && get_u32(data) == number && sent_at != 0) {
        ledger_sample((int64_t)(now_ns() - sent_at));
        sent_at = 0;
        ask();
    }
}

static void timer(unsigned which)
{
    (void)which;
    ask(); /* a lost echo is no sample */
}

static uint32_t round_now(void)
{
    return number;
}

const struct protocol ping = {
    .name = "ping", .start = start, .message = message, .timer = timer, .round = round_now,
};
