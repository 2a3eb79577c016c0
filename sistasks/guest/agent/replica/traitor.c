/* What a traitor does with the messages of its replica, whatever the protocol: hold back, delay, repeat. */
#include <string.h>

#include "../sis.h"
#include "internal.h"
#include "replica.h"

#define KEPT 128u

struct kept {
    uint64_t due;
    uint16_t to, size;
    uint8_t type, data[PAYLOAD_MAX];
};
static struct kept kept[KEPT];
static unsigned first, count;
static uint64_t attack_at;
static struct random_state dice;

void traitor_begin(void)
{
    first = count = 0;
    attack_at = 0;
    random_seed(&dice, cluster.seed * NODES_MAX + cluster.self);
}

static void keep(unsigned to, uint8_t type, const uint8_t *data, size_t size)
{
    if (count == KEPT) {
        first = (first + 1) % KEPT;
        count--;
    }
    struct kept *one = &kept[(first + count++) % KEPT];
    one->due = clock_ns() + cluster.timeout_ns / 4;
    one->to = (uint16_t)to;
    one->type = type;
    one->size = (uint16_t)size;
    memcpy(one->data, data, size);
}

static void send_kept(const struct kept *one)
{
    wire_emit(cluster.self, one->to, one->type, one->data, one->size);
}

bool traitor_passes(unsigned to, uint8_t *type, uint8_t *data, size_t *size)
{
    switch (cluster.treason) {
    case SILENT:
        return false;
    case LATE:
        keep(to, *type, data, *size);
        return false;
    case REPLAY:
        keep(to, *type, data, *size);
        if (random_next(&dice) % 2 == 0) {
            send_kept(&kept[(first + random_next(&dice) % count) % KEPT]);
        }
        return true;
    case EQUIVOCATE:
    case CORRUPT:
        return *type >= TYPE_CATCHUP_ASK || protocol->lie == NULL || protocol->lie(to, type, data, size);
    default:
        return true;
    }
}

uint64_t traitor_tick(uint64_t now)
{
    if (cluster.treason == LATE) {
        while (count > 0 && kept[first].due <= now) {
            send_kept(&kept[first]);
            first = (first + 1) % KEPT;
            count--;
        }
        return count > 0 ? kept[first].due : 0;
    }
    if ((cluster.treason != FALSE_VIEW && cluster.treason != FLOOD && cluster.treason != FORGE) ||
        protocol->attack == NULL) {
        return 0;
    }
    if (now >= attack_at) {
        attack_at = now + cluster.timeout_ns / 4;
        protocol->attack();
    }
    return attack_at;
}
