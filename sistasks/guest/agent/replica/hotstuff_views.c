/* When a view ends: by the certificate of its block, or because a quorum has lost its patience. */
#include <inttypes.h>
#include <string.h>

#include "hotstuff.h"

#define DOUBLINGS_MAX 5u

static unsigned failures; /* views that ended without a certificate, less those that gave one late */
static bool given_up;     /* this view */
static uint32_t wished[NODES_MAX + 1], ordered[NODES_MAX]; /* the same, the highest first */
static uint64_t helped_at[NODES_MAX + 1];

void views_begin(void)
{
    failures = 0;
    memset(wished, 0, sizeof wished);
    memset(ordered, 0, sizeof ordered);
    memset(helped_at, 0, sizeof helped_at);
    views_enter(1, true);
}

static void raise_wish(unsigned node, uint32_t wish)
{
    unsigned i = 0;
    if (wish <= wished[node]) {
        return;
    }
    while (ordered[i] != wished[node]) {
        i++;
    }
    for (; i > 0 && ordered[i - 1] < wish; i--) {
        ordered[i] = ordered[i - 1];
    }
    ordered[i] = wished[node] = wish;
}

/* to one node, or to all others: 0 */
static void send_wish(unsigned to)
{
    uint8_t data[5 + WISH_REFERENCES * REFERENCE_SIZE];
    unsigned count = 0;
    for (uint32_t back = 0; back < chain.high.view && back < AHEAD && count < WISH_REFERENCES; back++) {
        for (unsigned way = 0; way < WAYS && count < WISH_REFERENCES; way++) {
            const struct block *block = block_of_view(chain.high.view - back, way);
            if (block != NULL && block->certified) {
                put_reference(data + 5 + count++ * REFERENCE_SIZE, &block->self);
            }
        }
    }
    put_u32(data, wished[cluster.self]);
    data[4] = (uint8_t)count;
    if (to == 0) {
        wire_send_all(WISH, data, 5 + count * REFERENCE_SIZE);
    } else {
        wire_send(to, WISH, data, 5 + count * REFERENCE_SIZE);
    }
}

void views_progress(void)
{
    failures -= failures > 0;
}

void views_enter(uint32_t which, bool by_certificate)
{
    chain.view = which;
    given_up = false;
    raise_wish(cluster.self, which);
    failures = by_certificate ? 0 : failures < DOUBLINGS_MAX ? failures + 1 : failures;
    /* one leader that keeps silent costs two views, its own and that whose votes it has: the second is not doubled */
    uint64_t patience = cluster.timeout_ns << (failures > 0 ? failures - 1 : 0);
    timer_set(VIEW_TIMER, at_rest() ? 0 : clock_ns() + patience);
    chain_entered();
    lead_entered(by_certificate, patience);
    if (!by_certificate) {
        chain_send_votes(leader_of(which), 0);
    }
}

static void weigh_wishes(void)
{
    if (ordered[cluster.faulty] > wished[cluster.self]) {
        raise_wish(cluster.self, ordered[cluster.faulty]);
        send_wish(0);
    }
    uint32_t reached = ordered[cluster.quorum - 1];
    if (reached > chain.view) {
        views_enter(reached, false);
    }
}

void views_give_up(void)
{
    if (!given_up) {
        tell("round", "view=%" PRIu32 "\nleader=%u\n", chain.view, leader_of(chain.view));
        given_up = true;
    }
    raise_wish(cluster.self, chain.view + 1);
    send_wish(0);
    /* not doubled: after a partition the first to speak must not be the most patient */
    timer_set(VIEW_TIMER, clock_ns() + cluster.timeout_ns);
    weigh_wishes();
}

void views_take_wish(unsigned from, const uint8_t *data, size_t size)
{
    if (size < 5 || data[4] > WISH_REFERENCES || size != 5 + data[4] * REFERENCE_SIZE) {
        return;
    }
    uint32_t wish = get_u32(data);
    proof_take_wish(from, data + 5, data[4]);
    for (unsigned i = 0; i < data[4]; i++) {
        struct reference reference = get_reference(data + 5 + i * REFERENCE_SIZE);
        if (reference.view > chain.committed.view && reference.view <= VIEW_MAX && !block_certified(&reference) &&
            proof_vouchers(&reference) > cluster.faulty) {
            chain_certify(&reference, from);
        }
    }
    if (wish <= VIEW_MAX) {
        raise_wish(from, wish);
        weigh_wishes();
    }
    /* one who is behind cannot know what we know by certificates; f + 1 of us tell it */
    if ((wish < chain.view || at_rest()) && clock_ns() - helped_at[from] >= cluster.timeout_ns / 4) {
        helped_at[from] = clock_ns();
        send_wish(from);
    }
}
