/* What the leader of a view does: choose a parent, propose a block, convince those who doubt. */
#include <string.h>

#include "hotstuff.h"

#define IN_FLIGHT 8u /* own commands under way; more wait for what becomes of these */

static uint32_t proposed_view;
static struct block proposal;
static bool grace_over;     /* it waits no longer for votes */
static unsigned more_votes; /* beyond a quorum, that were lately needed for others to be convinced */
static uint32_t first_open; /* own commands below are decided */
/* votes in the last PROPOSAL to each node; votes for which it gets another, 0: it has not asked */
static unsigned sent_with[NODES_MAX + 1], lacking[NODES_MAX + 1];

void lead_begin(void)
{
    proposed_view = 0;
    memset(&proposal, 0, sizeof proposal);
    more_votes = 0;
    first_open = 1;
}

void lead_entered(bool by_certificate, uint64_t patience)
{
    grace_over = false;
    memset(lacking, 0, sizeof lacking);
    timer_set(GRACE_TIMER,
              leader_of(chain.view) != cluster.self ? 0 : clock_ns() + patience / (by_certificate ? 16 : 4));
}

void lead_grace_over(void)
{
    if (chain.high.view + 1 == chain.view && proposed_view < chain.view) {
        more_votes = 0; /* those who are missing keep silent: it is no use to wait for them */
    }
    grace_over = true;
}

static struct command next_command(const struct block *parent)
{
    const struct command none = {0};
    if ((cluster.decisions != 0 && parent->height >= cluster.decisions) || parent->height < ledger_height() ||
        !block_rooted(parent, leader_of(parent->self.view))) {
        return none;
    }
    while (first_open <= ledger_submitted() && ledger_has(cluster.self, first_open)) {
        first_open++;
    }
    for (uint32_t number = first_open; number <= ledger_submitted(); number++) {
        if (!ledger_has(cluster.self, number) && !block_carries(parent, cluster.self, number)) {
            return ledger_command(cluster.self, number); /* its block was abandoned */
        }
    }
    return ledger_submitted() + 1 - first_open < IN_FLIGHT ? ledger_submit() : none;
}

/* whoever has this block knows that all is decided */
static bool tells_the_end(const struct block *parent)
{
    const struct block *block = block_find(&parent->parent);
    while (cluster.decisions != 0 && block != NULL && block->here && block->height >= cluster.decisions) {
        const struct block *first = block_three_chain(block);
        if (first != NULL && first->here && first->height >= cluster.decisions) {
            return true;
        }
        block = block_find(&block->parent);
    }
    return false;
}

static bool provable(const struct reference *reference)
{
    return proof_votes(reference) >= cluster.quorum || proof_vouchers(reference) >= cluster.faulty;
}

/* Whether a leader that came by wishes need not wait for what others know. If nothing was proposed in the view before,
 * a certificate of the one before that is as high as any, and no lock can be above it. */
static bool nothing_higher(void)
{
    for (unsigned way = 0; way < WAYS; way++) {
        const struct block *block = block_of_view(chain.view - 1, way);
        if (block != NULL && block->witnessed) {
            return false;
        }
    }
    return chain.high.view + 2 == chain.view && provable(&chain.high);
}

/* the highest certified block of which the others can be convinced */
static struct reference best_provable(void)
{
    for (uint32_t back = 0; back <= chain.high.view - chain.locked_view && back < RING; back++) {
        for (unsigned way = 0; way < WAYS; way++) {
            const struct block *block = block_of_view(chain.high.view - back, way);
            if (block != NULL && block->certified && provable(&block->self)) {
                return block->self;
            }
        }
    }
    return chain.high;
}

static void send_proposal(unsigned to)
{
    uint8_t data[PAYLOAD_MAX];
    block_write(&proposal, data);
    sent_with[to] = proof_votes(&proposal.parent);
    lacking[to] = 0;
    wire_send(to, PROPOSAL, data, BLOCK_SIZE + proof_column(&proposal.parent, to, data + BLOCK_SIZE));
}

void lead_again(void)
{
    for (unsigned node = 1; node <= cluster.count && proposed_view == chain.view; node++) {
        if (node != cluster.self) {
            send_proposal(node);
        }
    }
}

void lead_propose(void)
{
    struct reference best = chain.high;
    if (leader_of(chain.view) != cluster.self || proposed_view >= chain.view) {
        return;
    }
    if (best.view + 1 == chain.view) {
        if (more_votes > 0 && !grace_over && proof_votes(&best) < cluster.quorum + more_votes) {
            return;
        }
    } else if (grace_over) {
        best = best_provable();
    } else if (!nothing_higher()) {
        return;
    }
    const struct block *parent = block_find(&best);
    if (parent == NULL || !parent->here) {
        block_ask(&best, leader_of(best.view));
        return;
    }
    if (tells_the_end(parent)) {
        return;
    }
    struct command command = next_command(parent);
    proposal = (struct block){.self = {.view = chain.view}, .parent = best, .command = command,
                              .height = parent->height + (command.client != 0)};
    block_seal(&proposal);
    proposed_view = chain.view;
    struct block *kept = block_keep(&proposal);
    if (kept != NULL) {
        kept->witnessed = true;
    }
    lead_again();
}

void lead_has_votes(const struct reference *reference, unsigned votes)
{
    if (proposed_view != chain.view || !same(reference, &proposal.parent)) {
        return;
    }
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (lacking[node] != 0 && votes >= lacking[node]) {
            send_proposal(node);
        }
    }
}

void lead_take_doubt(unsigned from, const struct reference *reference, unsigned missing)
{
    unsigned spare = cluster.count - cluster.quorum;
    if (proposed_view != chain.view || !same(reference, &proposal.parent) || missing == 0 || missing > spare) {
        return;
    }
    more_votes = missing > more_votes ? missing : more_votes;
    lacking[from] = sent_with[from] + missing;
    if (proof_votes(reference) >= lacking[from]) {
        send_proposal(from);
    }
}
