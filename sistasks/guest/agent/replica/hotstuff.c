/* A linear protocol: chained HotStuff with a leader for each view.
 *
 * Yin, Malkhi, Reiter, Gueta, Abraham 2019, "HotStuff: BFT Consensus in the Lens of Blockchain", algorithm 3. The
 * leader of view v sends one block to n - 1 nodes, each votes to the leader of v + 1 only: 2(n - 1) messages a decision.
 * A block names its parent by a certificate, which is the vote of a quorum (hotstuff_proof.c). A node votes once a view,
 * in rising order, for blocks whose parent is not below its lock, the grandparent of the highest certified block; three
 * certified blocks of successive views decide the first of them and its forefathers.
 *
 * What differs from the paper:
 *   - Views that fail. Every node that gives a view up says so to all (WISH), with the certificates that it vouches
 *     for: n^2 small messages, in such views only. f + 1 wishes make a node wish too, a quorum makes it enter. Nodes
 *     then send their last two votes to the new leader: else a leader that keeps silent would cost the block before
 *     its own too, and with n = 4 no three blocks would ever stand in a row. With two, there are always three or more
 *     loyal leaders in a row whose blocks are certified, for n >= 3f + 1.
 *   - A block holds the ledger's height, so that a node with gaps knows which of its commands it has.
 *   - Commands end: a leader proposes nothing when the block before it has told everybody that all is decided.
 * A node that is started again has forgotten how it voted; the fault is then its own, and counts among the f.
 */
#include <string.h>

#include "hotstuff.h"

#define NUMBERS_AHEAD 32u /* beyond that a client's command is refused: the ledger knows 64 that are out of order */
#define VOTE_SIZE (REFERENCE_SIZE + NODES_MAX * SHARE)

struct chain chain;
static uint32_t voted_view;
static unsigned retries;                /* in this view */
static uint8_t own_votes[2][VOTE_SIZE]; /* the last two */
static uint32_t own_vote_views[2];

bool at_rest(void)
{
    return cluster.decisions != 0 && ledger_height() >= cluster.decisions;
}

static bool too_far(uint32_t which)
{
    return which > chain.view && which - chain.view >= AHEAD;
}

void chain_send_votes(unsigned to, uint32_t from_view)
{
    for (unsigned i = 0; i < 2; i++) {
        if (own_vote_views[i] != 0 && own_vote_views[i] >= from_view) {
            wire_send(to, VOTE, own_votes[i], REFERENCE_SIZE + cluster.count * SHARE);
        }
    }
}

void chain_entered(void)
{
    retries = 0;
    timer_set(RETRY_TIMER, at_rest() ? 0 : clock_ns() + cluster.timeout_ns / 4);
}

static void decide(unsigned helper)
{
    const struct block *block = block_find(&chain.committed);
    if (block == NULL || !block_decide(&chain.committed, helper)) {
        catchup_hint(block != NULL && block->here ? block->height : ledger_height() + 1);
    }
    if (at_rest()) {
        timer_set(VIEW_TIMER, 0);
        timer_set(RETRY_TIMER, 0);
    }
}

/* What follows from a certificate: loyal nodes that voted for a block have verified that of its parent. */
static void learn(const struct reference *reference, unsigned helper)
{
    struct reference at = *reference;
    for (unsigned i = 0; i < RING && at.view > chain.committed.view; i++) {
        struct block *block = block_place(&at);
        if (block == NULL) {
            break;
        }
        block->certified = true;
        if (!block->here) {
            block_ask(&at, helper);
            break;
        }
        if (block->parent.view > chain.locked_view) {
            chain.locked_view = block->parent.view;
        }
        const struct block *first = block_three_chain(block);
        if (first != NULL && first->self.view > chain.committed.view) {
            chain.committed = first->self;
        }
        at = block->parent;
    }
    decide(helper);
}

void chain_certify(const struct reference *reference, unsigned helper)
{
    struct block *block = block_place(reference);
    if (block == NULL || block->certified) {
        return;
    }
    block->certified = true;
    if (reference->view > chain.high.view) {
        chain.high = *reference;
        views_progress();
    }
    learn(reference, helper);
    if (reference->view >= chain.view) {
        views_enter(reference->view + 1, true);
    }
}

static bool command_fits(const struct block *block, const struct block *parent)
{
    const struct command *command = &block->command;
    if (block->height != parent->height + (command->client != 0) || !ledger_valid(command)) {
        return false;
    }
    if (command->client == 0) {
        return true;
    }
    return command->client == leader_of(block->self.view) && block->height > ledger_height() &&
           (cluster.decisions == 0 || block->height <= cluster.decisions) &&
           (command->number <= NUMBERS_AHEAD || ledger_has(command->client, command->number - NUMBERS_AHEAD)) &&
           !ledger_has(command->client, command->number) && block_rooted(parent, leader_of(block->self.view)) &&
           !block_carries(parent, command->client, command->number);
}

static void send_vote(const struct reference *reference)
{
    uint8_t statement[DIGEST], shares[NODES_MAX][SHARE];
    unsigned place = own_vote_views[0] > own_vote_views[1];
    proof_statement(reference, statement);
    wire_shares(statement, shares);
    own_vote_views[place] = reference->view;
    put_reference(own_votes[place], reference);
    memcpy(own_votes[place] + REFERENCE_SIZE, shares, cluster.count * SHARE);
    wire_send(leader_of(reference->view + 1), VOTE, own_votes[place], REFERENCE_SIZE + cluster.count * SHARE);
}

static bool vote_if_safe(struct block *block)
{
    struct block *parent = block_find(&block->parent);
    if (!block->witnessed || parent == NULL || !parent->certified) {
        return false;
    }
    if (!parent->here) {
        block_ask(&block->parent, leader_of(block->self.view));
        return false;
    }
    if (parent->parent.view > chain.locked_view) {
        chain.locked_view = parent->parent.view;
    }
    if (block->parent.view < chain.locked_view || !command_fits(block, parent)) {
        return false;
    }
    voted_view = block->self.view;
    block->voted = true;
    send_vote(&block->self);
    return true;
}

static void vote_in(uint32_t which)
{
    for (unsigned way = 0; way < WAYS && voted_view < which; way++) {
        struct block *block = block_of_view(which, way);
        if (block != NULL && vote_if_safe(block)) {
            break;
        }
    }
}

/* do what has become possible */
static void go_on(void)
{
    lead_propose();
    vote_in(chain.view - 1);
    vote_in(chain.view);
}

static void send_doubt(unsigned to, const struct reference *reference, unsigned missing)
{
    uint8_t data[DOUBT_SIZE];
    put_reference(data, reference);
    put_u16(data + REFERENCE_SIZE, (uint16_t)missing);
    if (to == 0) {
        wire_send_all(DOUBT, data, sizeof data);
    } else {
        wire_send(to, DOUBT, data, sizeof data);
    }
}

/* the leader has a certificate that does not convince us: it may get more votes, and ours may be one of them */
static void doubt(const struct reference *reference, unsigned leader, unsigned holds)
{
    if (holds > cluster.faulty && !too_far(reference->view)) {
        struct block *block = block_place(reference);
        if (block != NULL) {
            block->witnessed = true;
            if (!block->here) {
                block_ask(reference, leader);
            }
        }
    }
    proof_doubt(reference);
    send_doubt(leader, reference, cluster.quorum - holds);
}

static void take_proposal(unsigned from, const uint8_t *data, size_t size)
{
    struct block content;
    unsigned holds;
    if (size < BLOCK_SIZE + VOTERS_SIZE) {
        return;
    }
    block_read(data, &content);
    if (content.self.view > VIEW_MAX || content.parent.view >= content.self.view ||
        leader_of(content.self.view) != from) {
        return;
    }
    if (!block_certified(&content.parent)) {
        if (!proof_check(&content.parent, data + BLOCK_SIZE, size - BLOCK_SIZE, cluster.quorum, &holds)) {
            return;
        }
        if (holds >= cluster.quorum) {
            chain_certify(&content.parent, from);
        } else if (content.self.view >= chain.view) {
            doubt(&content.parent, from, holds);
        }
    }
    if (too_far(content.self.view)) {
        return;
    }
    struct block *block = block_keep(&content);
    if (block != NULL) {
        block->witnessed = true;
        if (block->certified) {
            learn(&chain.high, from);
        }
    }
}

static void take_vote(unsigned from, const uint8_t *data, size_t size)
{
    struct reference reference;
    if (!proof_take_vote(from, data, size, &reference) || reference.view > VIEW_MAX) {
        return;
    }
    unsigned votes = proof_votes(&reference);
    if (votes >= cluster.quorum) {
        chain_certify(&reference, from);
    }
    lead_has_votes(&reference, votes);
}

static void take_doubt(unsigned from, const uint8_t *data)
{
    struct reference reference = get_reference(data);
    if (block_certified(&reference)) {
        wire_send(from, VOUCH, data, REFERENCE_SIZE);
        lead_take_doubt(from, &reference, get_u16(data + REFERENCE_SIZE));
    }
}

static void take_vouch(unsigned from, const uint8_t *data)
{
    struct reference reference = get_reference(data);
    if (reference.view != 0 && reference.view <= VIEW_MAX && proof_take_vouch(from, &reference) > cluster.faulty) {
        chain_certify(&reference, from);
    }
}

static void take_blocks(unsigned from, const uint8_t *data, size_t size)
{
    struct block content;
    struct reference wanted;
    if (size == 0 || size % BLOCK_SIZE != 0) {
        return;
    }
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        block_read(data + at, &content);
        if ((at == 0 ? !block_wanted(&content.self) : !same(&wanted, &content.self)) ||
            content.parent.view >= content.self.view) {
            break;
        }
        wanted = content.parent;
        block_keep(&content);
    }
    learn(&chain.high, from);
}

static void message(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    struct reference reference;
    switch (type) {
    case PROPOSAL:
        take_proposal(from, data, size);
        break;
    case VOTE:
        take_vote(from, data, size);
        break;
    case WISH:
        views_take_wish(from, data, size);
        break;
    case DOUBT:
        if (size == DOUBT_SIZE) {
            take_doubt(from, data);
        }
        break;
    case VOUCH:
        if (size == REFERENCE_SIZE) {
            take_vouch(from, data);
        }
        break;
    case ASK:
        if (size == REFERENCE_SIZE) {
            reference = get_reference(data);
            block_answer(from, &reference);
        }
        break;
    case BLOCKS:
        take_blocks(from, data, size);
        break;
    default:
        break;
    }
    go_on();
}

/* The view stands still: something may have been lost. */
static void retry(void)
{
    lead_again();
    if (voted_view + 1 >= chain.view) {
        chain_send_votes(leader_of(voted_view + 1), voted_view);
    }
    for (unsigned way = 0; way < WAYS; way++) {
        const struct block *block = block_of_view(chain.view, way);
        const struct block *parent = block != NULL && block->witnessed ? block_find(&block->parent) : NULL;
        /* a parent of which nobody loyal has been heard would only be asked for by all from all */
        if (parent != NULL && parent->witnessed && !parent->certified) {
            proof_doubt(&block->parent);
            send_doubt(0, &block->parent, 0);
        }
    }
    learn(&chain.high, 1 + (cluster.self + retries) % cluster.count);
    retries++;
    timer_set(RETRY_TIMER, clock_ns() + (cluster.timeout_ns / 4 << (retries < 8 ? retries : 8)));
}

static void timer(unsigned which)
{
    if (which == VIEW_TIMER) {
        views_give_up();
    } else if (which == RETRY_TIMER) {
        retry();
    } else {
        lead_grace_over();
    }
    go_on();
}

static void advanced(void)
{
    decide(leader_of(chain.view));
    go_on();
}

static void start(void)
{
    memset(&chain, 0, sizeof chain);
    blocks_begin(&chain.high);
    chain.committed = chain.high;
    voted_view = 0;
    memset(own_vote_views, 0, sizeof own_vote_views);
    proof_begin();
    lead_begin();
    lies_begin();
    views_begin();
    go_on();
}

static uint32_t round_now(void)
{
    return chain.view;
}

const struct protocol hotstuff = {
    .name = "hotstuff",
    .start = start,
    .message = message,
    .timer = timer,
    .advanced = advanced,
    .lie = hotstuff_lie,
    .attack = hotstuff_attack,
    .round = round_now,
};
