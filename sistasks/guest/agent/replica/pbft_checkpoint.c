/* PBFT's checkpoints (4.3), and the repair of what the network has lost (5.2): who waits says what it has, and the
 * others send it what it lacks of theirs.
 *
 * STATUS: view u32, vote view u32, active u8, height u32, stable u32, then as bits of u32 for the numbers above stable:
 * accepted, prepared, committed.
 */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define STATUS_SIZE 29u
#define CHECKPOINT_SIZE (4u + DIGEST)
#define KEPT 4u /* checkpoints of a node: those of the window and one more, as nodes are not all at the same place */

struct checkpoint {
    uint32_t sequence; /* 0: none */
    uint8_t head[DIGEST];
};
static struct checkpoint told[NODES_MAX + 1][KEPT];
static bool to_review;
static uint8_t head[DIGEST]; /* of the ledger, as far as our books are kept */
static uint32_t heights[NODES_MAX + 1];
static uint64_t status_at, answered_at[NODES_MAX + 1];

void checkpoint_begin(void)
{
    memset(told, 0, sizeof told);
    memset(heights, 0, sizeof heights);
    memset(answered_at, 0, sizeof answered_at);
    memcpy(head, ledger_head(), DIGEST);
    memcpy(my.stable_head, head, DIGEST);
    to_review = false;
    status_at = clock_ns();
}

static struct checkpoint *place_of(unsigned node, uint32_t sequence)
{
    return &told[node][sequence / CHECKPOINT_EVERY % KEPT];
}

static void checkpoint_send(unsigned to, const struct checkpoint *checkpoint)
{
    uint8_t data[CHECKPOINT_SIZE];
    put_u32(data, checkpoint->sequence);
    memcpy(data + 4, checkpoint->head, DIGEST);
    if (to == 0) {
        wire_send_all(CHECKPOINT, data, sizeof data);
    } else {
        wire_send(to, CHECKPOINT, data, sizeof data);
    }
}

void checkpoint_reached(uint32_t height)
{
    bool latest = height == ledger_height();
    if (latest) {
        memcpy(head, ledger_head(), DIGEST);
    } else {
        /* several were taken from others at once: the chain as in ledger.c */
        struct sha256 hash;
        sha256_begin(&hash);
        sha256_add(&hash, head, DIGEST);
        sha256_add(&hash, ledger_at(height - 1), sizeof(struct command));
        sha256_end(&hash, head);
    }
    if (height % CHECKPOINT_EVERY == 0) {
        struct checkpoint *own = place_of(cluster.self, height);
        own->sequence = height;
        memcpy(own->head, head, DIGEST);
        to_review = true;
        /* of many that were taken from others the last ones are enough */
        if (ledger_height() - height < WINDOW) {
            checkpoint_send(0, own);
        }
    }
}

void checkpoint_hear(unsigned from, const uint8_t *data, size_t size)
{
    if (size != CHECKPOINT_SIZE) {
        return;
    }
    uint32_t sequence = get_u32(data);
    struct checkpoint *place = place_of(from, sequence);
    if (sequence == 0 || sequence % CHECKPOINT_EVERY != 0 || sequence <= place->sequence) {
        return;
    }
    place->sequence = sequence;
    memcpy(place->head, data + 4, DIGEST);
    others_are_at(from, sequence);
    to_review = true;
}

/* Stable is what a quorum has told alike, and what we have ourselves (4.3): then the log before it can go. */
void checkpoint_review(void)
{
    if (!to_review) {
        return;
    }
    to_review = false;
    for (unsigned i = 0; i < KEPT; i++) {
        const struct checkpoint *own = &told[cluster.self][i];
        unsigned alike = 0;
        if (own->sequence <= my.stable) {
            continue;
        }
        for (unsigned node = 1; node <= cluster.count; node++) {
            const struct checkpoint *other = place_of(node, own->sequence);
            alike += other->sequence == own->sequence && memcmp(other->head, own->head, DIGEST) == 0;
        }
        if (alike >= cluster.quorum) {
            memcpy(my.stable_head, own->head, DIGEST);
            slots_move(own->sequence);
            my.unsettled = true;
        }
    }
}

unsigned checkpoint_list(uint8_t *out)
{
    unsigned count = 1;
    put_u32(out, my.stable);
    memcpy(out + 4, my.stable_head, DIGEST);
    for (uint32_t sequence = my.stable + CHECKPOINT_EVERY; sequence <= my.stable + WINDOW;
         sequence += CHECKPOINT_EVERY) {
        const struct checkpoint *own = place_of(cluster.self, sequence);
        if (own->sequence == sequence) {
            put_u32(out + CHECKPOINT_SIZE * count, sequence);
            memcpy(out + CHECKPOINT_SIZE * count + 4, own->head, DIGEST);
            count++;
        }
    }
    return count;
}

/* --- are others ahead? */

void others_are_at(unsigned from, uint32_t height)
{
    if (height > heights[from]) {
        heights[from] = height;
    }
}

/* at least one loyal node is there: the (f + 1)th highest of what they say */
static uint32_t surely_reached(void)
{
    uint32_t highest[NODES_MAX + 1] = {0};
    unsigned kept = cluster.faulty + 1;
    for (unsigned node = 1; node <= cluster.count; node++) {
        uint32_t height = node == cluster.self ? 0 : heights[node];
        for (unsigned i = 0; i < kept && height > 0; i++) {
            if (height > highest[i]) {
                uint32_t lower = highest[i];
                highest[i] = height;
                height = lower;
            }
        }
    }
    return highest[kept - 1];
}

/* --- status */

static void status_send(void)
{
    uint8_t data[STATUS_SIZE];
    uint32_t accepted = 0, prepared = 0, committed = 0;
    for (uint32_t i = 0; i < WINDOW; i++) {
        const struct slot *slot = slot_of(my.stable + 1 + i);
        bool executed = my.stable + 1 + i <= ledger_height();
        if (slot != NULL) {
            accepted |= (uint32_t)slot->accepted << i;
            prepared |= (uint32_t)slot->prepared << i;
            committed |= (uint32_t)(slot->committed || executed) << i;
        }
    }
    put_u32(data, my.view);
    put_u32(data + 4, my.vote_view);
    data[8] = my.active;
    put_u32(data + 9, ledger_height());
    put_u32(data + 13, my.stable);
    put_u32(data + 17, accepted);
    put_u32(data + 21, prepared);
    put_u32(data + 25, committed);
    wire_send_all(STATUS, data, sizeof data);
}

void status_tick(uint64_t now)
{
    /* who waits for a new view sends its view-change again, which says enough (pbft_view.c) */
    bool elsewhere = !my.active && my.vote_view == my.view;
    if (finished() || elsewhere || now - my.executed_at < cluster.timeout_ns / 8) {
        return;
    }
    if (surely_reached() > ledger_height()) {
        catchup_hint(surely_reached());
    }
    if (now - my.executed_at >= cluster.timeout_ns / 4 && now - status_at >= cluster.timeout_ns / 4) {
        status_at = now;
        status_send();
    }
}

struct bundle {
    size_t size;
    uint8_t data[PAYLOAD_MAX];
};

static void bundle_add(struct bundle *bundle, uint8_t type, uint32_t sequence, const struct command *value)
{
    if (bundle->size + VOTES_ENTRY <= sizeof bundle->data) {
        uint8_t *at = bundle->data + bundle->size;
        at[0] = type;
        put_u32(at + 1, sequence);
        memcpy(at + 5, value, sizeof *value);
        bundle->size += VOTES_ENTRY;
    }
}

/* our votes that the other lacks, the lowest numbers first, as many as one message holds */
static void send_votes(unsigned to, const uint8_t *status)
{
    uint32_t stable = get_u32(status + 13);
    uint32_t accepted = get_u32(status + 17), prepared = get_u32(status + 21), committed = get_u32(status + 25);
    struct bundle bundle = {.size = 4};
    put_u32(bundle.data, my.view);
    for (uint32_t i = 0; i < WINDOW; i++) {
        const struct slot *slot = slot_of(stable + 1 + i);
        if (slot == NULL || !slot->accepted || committed >> i & 1) {
            continue;
        }
        if (primary_of(my.view) != cluster.self) {
            if (!(prepared >> i & 1)) {
                bundle_add(&bundle, PREPARE, slot->sequence, &slot->value);
            }
        } else if (!(accepted >> i & 1)) {
            bundle_add(&bundle, PRE_PREPARE, slot->sequence, &slot->value);
        }
        if (slot->prepared) {
            bundle_add(&bundle, COMMIT, slot->sequence, &slot->value);
        }
    }
    if (bundle.size > 4) {
        wire_send(to, VOTES, bundle.data, bundle.size);
    }
}

void status_hear(unsigned from, const uint8_t *data, size_t size)
{
    uint64_t now = clock_ns();
    if (size != STATUS_SIZE || from == cluster.self) {
        return;
    }
    others_are_at(from, get_u32(data + 9));
    /* one answer a period, however often one asks */
    if (answered_at[from] != 0 && now - answered_at[from] < cluster.timeout_ns / 8) {
        return;
    }
    answered_at[from] = now;
    uint32_t view = get_u32(data), stable = get_u32(data + 13);
    if (stable < my.stable || stable < ledger_height()) {
        for (unsigned i = 0; i < KEPT; i++) {
            const struct checkpoint *own = &told[cluster.self][i];
            if (own->sequence > stable) {
                checkpoint_send(from, own);
            }
        }
    }
    if (view < my.view || (view == my.view && data[8] == 0)) {
        view_help(from);
    }
    if (my.active && get_u32(data + 4) == my.view) {
        send_votes(from, data);
    }
}

void votes_hear(unsigned from, const uint8_t *data, size_t size)
{
    if (size < 4 || (size - 4) % VOTES_ENTRY != 0) {
        return;
    }
    for (size_t at = 4; at < size; at += VOTES_ENTRY) {
        struct command value;
        memcpy(&value, data + at + 5, sizeof value);
        pbft_vote(from, data[at], get_u32(data), get_u32(data + at + 1), &value);
    }
}
