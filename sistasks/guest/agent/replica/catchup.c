/* A replica that has missed decisions takes them from others: an entry that faulty + 1 nodes give is right, for one of
 * them is loyal. It asks when the ledger stands still, and when the protocol sees that others are ahead.
 *
 * ASK: from u32. ENTRIES: first u32, count u32, then entries of 36 bytes: round u32, command.
 */
#include <string.h>

#include "internal.h"
#include "replica.h"

#define ENTRY 36u
#define MOST ((PAYLOAD_MAX - 8) / ENTRY)

/* what each node has said of the entries from `base` on */
static struct {
    uint32_t base, count;
    struct command commands[MOST];
    uint32_t rounds[MOST];
} said[NODES_MAX + 1];
static uint64_t moved_at, asked_at;
static unsigned asked; /* the last of those that were */
static uint32_t known; /* others are at least so far, says the protocol */

void catchup_begin(void)
{
    memset(said, 0, sizeof said);
    moved_at = asked_at = clock_ns();
    known = 0;
    asked = cluster.self;
}

void catchup_moved(void)
{
    moved_at = clock_ns();
}

static void ask(uint64_t now)
{
    uint8_t from[4];
    asked_at = now;
    put_u32(from, ledger_height());
    /* as many as must agree, and others the next time: asking all would cost a large cluster that stands still more
     * than it has */
    for (unsigned left = cluster.faulty + 1; left > 0; left--) {
        asked = asked % cluster.count + 1;
        if (asked == cluster.self) {
            asked = asked % cluster.count + 1;
        }
        wire_send(asked, TYPE_CATCHUP_ASK, from, sizeof from);
    }
}

void catchup_hint(uint32_t height)
{
    if (height > known) {
        known = height;
    }
    if (known > ledger_height() && clock_ns() - asked_at >= cluster.timeout_ns / 8) {
        ask(clock_ns());
    }
}

uint64_t catchup_tick(uint64_t now)
{
    uint64_t still = cluster.timeout_ns / 2;
    if (protocol->advanced == NULL) {
        return 0; /* a protocol without a log */
    }
    uint64_t last = moved_at > asked_at ? moved_at : asked_at;
    if (now - last >= still) {
        ask(now);
        last = now;
    }
    return last + still;
}

static void answer(unsigned to, uint32_t from)
{
    uint8_t data[PAYLOAD_MAX];
    uint32_t height = ledger_height();
    if (from >= height) {
        return;
    }
    uint32_t count = height - from < MOST ? height - from : MOST;
    put_u32(data, from);
    put_u32(data + 4, count);
    for (uint32_t i = 0; i < count; i++) {
        put_u32(data + 8 + i * ENTRY, ledger_round_at(from + i));
        memcpy(data + 8 + i * ENTRY + 4, ledger_at(from + i), sizeof(struct command));
    }
    wire_send(to, TYPE_CATCHUP_ENTRIES, data, 8 + count * ENTRY);
}

static const struct command *says(unsigned node, uint32_t index, uint32_t *round)
{
    if (index < said[node].base || index - said[node].base >= said[node].count) {
        return NULL;
    }
    *round = said[node].rounds[index - said[node].base];
    return &said[node].commands[index - said[node].base];
}

/* take what faulty + 1 agree on; whether there was any */
static bool take_next(unsigned last)
{
    uint32_t index = ledger_height(), round, other_round;
    const struct command *claim = says(last, index, &round);
    unsigned agree = 0;
    if (claim == NULL || !ledger_valid(claim)) {
        return false;
    }
    for (unsigned node = 1; node <= cluster.count; node++) {
        const struct command *other = says(node, index, &other_round);
        agree += other != NULL && memcmp(other, claim, sizeof *claim) == 0;
    }
    if (agree < cluster.faulty + 1) {
        return false;
    }
    ledger_put(claim, round, TAKEN_FROM_OTHERS);
    catchup_moved();
    return true;
}

static void hear(unsigned from, const uint8_t *data, size_t size)
{
    bool took = false;
    if (size < 8) {
        return;
    }
    uint32_t first = get_u32(data), count = get_u32(data + 4);
    if (count == 0 || count > MOST || size != 8 + count * ENTRY || first > ledger_height() ||
        first + count <= ledger_height()) {
        return;
    }
    said[from].base = first;
    said[from].count = count;
    for (uint32_t i = 0; i < count; i++) {
        said[from].rounds[i] = get_u32(data + 8 + i * ENTRY);
        memcpy(&said[from].commands[i], data + 8 + i * ENTRY + 4, sizeof(struct command));
    }
    while (take_next(from)) {
        took = true;
    }
    if (took) {
        protocol->advanced();
        /* a full answer has more behind it */
        if (count == MOST || known > ledger_height()) {
            ask(clock_ns());
        }
    }
}

void catchup_message(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    if (protocol->advanced == NULL) {
        return;
    }
    if (type == TYPE_CATCHUP_ASK && size == 4) {
        answer(from, get_u32(data));
    } else if (type == TYPE_CATCHUP_ENTRIES) {
        hear(from, data, size);
    }
}
