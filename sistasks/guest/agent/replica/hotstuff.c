/* A linear protocol: chained HotStuff with a leader for each view.
 *
 * Yin, Malkhi, Reiter, Gueta, Abraham 2019, "HotStuff: BFT Consensus in the Lens of Blockchain", algorithm 3. The leader
 * of view v sends one block to n - 1 nodes, each votes to the leader of v + 1 only: 2(n - 1) messages a decision. A
 * block names its parent by a certificate, which is the vote of a quorum (hotstuff_proof.c). A node votes once a view,
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
#include "hotstuff.h"

#include <inttypes.h>
#include <string.h>

enum { VIEW_TIMER, RETRY_TIMER, GRACE_TIMER };
#define DOUBLINGS_MAX 5u
#define IN_FLIGHT 8u      /* own commands under way; more wait for what becomes of these */
#define NUMBERS_AHEAD 32u /* beyond that a client's command is refused: the ledger knows 64 that are out of order */
#define VIEW_MAX (UINT32_MAX - RING)
#define VOTE_SIZE (REFERENCE_SIZE + NODES_MAX * SHARE)

static uint32_t view, voted_view, proposed_view, locked_view;
static struct reference high;      /* the highest certified block */
static struct reference committed; /* the highest decided one; the ledger may have less of it, or more */
static struct block proposal;
static unsigned failures;       /* views in a row that ended without a certificate */
static bool given_up;           /* this view */
static bool grace_over;         /* the leader waits no longer for votes */
static unsigned more_votes;     /* beyond a quorum, that were lately needed for others to be convinced */
static unsigned retries;        /* in this view */
static uint32_t first_open = 1; /* own commands below are decided */
static uint8_t own_votes[2][VOTE_SIZE];
static uint32_t own_vote_views[2];
static uint32_t wished[NODES_MAX + 1], wishes_ordered[NODES_MAX];
static uint64_t helped_at[NODES_MAX + 1];
static unsigned sent_with[NODES_MAX + 1], lacking[NODES_MAX + 1];

struct reference hotstuff_high(void)
{
    return high;
}

uint32_t hotstuff_view(void)
{
    return view;
}

static bool at_rest(void)
{
    return cluster.decisions != 0 && ledger_height() >= cluster.decisions;
}

static bool too_far(uint32_t which)
{
    return which > view && which - view >= AHEAD;
}

static bool is_certified(const struct reference *reference)
{
    const struct block *block = block_find(reference);
    return block != NULL && block->certified;
}

/* --- views */

static void raise_wish(unsigned node, uint32_t wish)
{
    unsigned i = 0;
    if (wish <= wished[node]) {
        return;
    }
    while (wishes_ordered[i] != wished[node]) {
        i++;
    }
    for (; i > 0 && wishes_ordered[i - 1] < wish; i--) {
        wishes_ordered[i] = wishes_ordered[i - 1];
    }
    wishes_ordered[i] = wished[node] = wish;
}

static void send_wish(unsigned to)
{
    uint8_t data[5 + WISH_REFERENCES * REFERENCE_SIZE];
    unsigned count = 0;
    for (uint32_t back = 0; back < high.view && back < AHEAD && count < WISH_REFERENCES; back++) {
        for (unsigned way = 0; way < 2 && count < WISH_REFERENCES; way++) {
            const struct block *block = block_of_view(high.view - back, way);
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

static void send_own_votes(unsigned to, uint32_t from_view)
{
    for (unsigned i = 0; i < 2; i++) {
        if (own_vote_views[i] != 0 && own_vote_views[i] >= from_view) {
            wire_send(to, VOTE, own_votes[i], REFERENCE_SIZE + cluster.count * SHARE);
        }
    }
}

static void enter(uint32_t which, bool by_certificate)
{
    view = which;
    given_up = grace_over = false;
    retries = 0;
    memset(lacking, 0, sizeof lacking);
    raise_wish(cluster.self, view);
    failures = by_certificate ? 0 : failures < DOUBLINGS_MAX ? failures + 1 : failures;
    /* one leader that keeps silent costs two views, its own and that whose votes it has: the second is not doubled */
    timer_set(VIEW_TIMER, at_rest() ? 0 : clock_ns() + (cluster.timeout_ns << (failures > 0 ? failures - 1 : 0)));
    timer_set(RETRY_TIMER, at_rest() ? 0 : clock_ns() + cluster.timeout_ns / 4);
    timer_set(GRACE_TIMER, clock_ns() + cluster.timeout_ns / (by_certificate ? 16 : 8));
    if (!by_certificate) {
        send_own_votes(leader_of(view), 0);
    }
}

static void weigh_wishes(void)
{
    uint32_t join = wishes_ordered[cluster.faulty], reached = wishes_ordered[cluster.quorum - 1];
    if (join > wished[cluster.self]) {
        raise_wish(cluster.self, join);
        send_wish(0);
        reached = wishes_ordered[cluster.quorum - 1];
    }
    if (reached > view) {
        enter(reached, false);
    }
}

static void give_up(void)
{
    if (!given_up) {
        tell("round", "view=%" PRIu32 "\nleader=%u\n", view, leader_of(view));
        given_up = true;
    }
    raise_wish(cluster.self, view + 1);
    send_wish(0);
    /* not doubled: after a partition the first to speak must not be the most patient */
    timer_set(VIEW_TIMER, clock_ns() + cluster.timeout_ns);
    weigh_wishes();
}

/* --- the chain */

static void decide(unsigned helper)
{
    const struct block *block = block_find(&committed);
    if (block == NULL || !block_decide(&committed, helper)) {
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
    for (unsigned i = 0; i < RING && at.view > committed.view; i++) {
        struct block *block = block_place(&at);
        if (block == NULL) {
            break;
        }
        block->certified = true;
        if (!block->here) {
            block_ask(&at, helper);
            break;
        }
        if (block->parent.view > locked_view) {
            locked_view = block->parent.view;
        }
        const struct block *first = block_three_chain(block);
        if (first != NULL && first->self.view > committed.view) {
            committed = first->self;
        }
        at = block->parent;
    }
    decide(helper);
}

static void certify(const struct reference *reference, unsigned helper)
{
    struct block *block = block_place(reference);
    if (block == NULL || block->certified) {
        return;
    }
    block->certified = true;
    if (reference->view > high.view) {
        high = *reference;
    }
    learn(reference, helper);
    if (reference->view >= view) {
        enter(reference->view + 1, true);
    }
}

/* --- voting */

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
    if (parent->parent.view > locked_view) {
        locked_view = parent->parent.view;
    }
    if (block->parent.view < locked_view || !command_fits(block, parent)) {
        return false;
    }
    voted_view = block->self.view;
    block->voted = true;
    send_vote(&block->self);
    return true;
}

static void vote_in(uint32_t which)
{
    for (unsigned way = 0; way < 2 && voted_view < which; way++) {
        struct block *block = block_of_view(which, way);
        if (block != NULL && vote_if_safe(block)) {
            break;
        }
    }
}

/* --- leading */

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

/* the highest certified block of which the others can be convinced */
static struct reference best_provable(void)
{
    for (uint32_t back = 0; back <= high.view - locked_view && back < RING; back++) {
        for (unsigned way = 0; way < 2; way++) {
            const struct block *block = block_of_view(high.view - back, way);
            if (block != NULL && block->certified &&
                (proof_votes(&block->self) >= cluster.quorum || proof_vouchers(&block->self) >= cluster.faulty)) {
                return block->self;
            }
        }
    }
    return high;
}

static void send_proposal(unsigned to)
{
    uint8_t data[PAYLOAD_MAX];
    block_write(&proposal, data);
    sent_with[to] = proof_votes(&proposal.parent);
    lacking[to] = 0;
    wire_send(to, PROPOSAL, data, BLOCK_SIZE + proof_column(&proposal.parent, to, data + BLOCK_SIZE));
}

static void send_proposal_to_all(void)
{
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (node != cluster.self) {
            send_proposal(node);
        }
    }
}

static void propose(void)
{
    struct reference best = high;
    if (leader_of(view) != cluster.self || proposed_view >= view) {
        return;
    }
    if (high.view + 1 != view) {
        if (!grace_over) {
            return;
        }
        best = best_provable();
    } else if (more_votes > 0 && !grace_over && proof_votes(&high) < cluster.quorum + more_votes) {
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
    proposal = (struct block){.self = {.view = view}, .parent = best, .height = parent->height + (command.client != 0),
                              .command = command};
    block_seal(&proposal);
    proposed_view = view;
    struct block *kept = block_keep(&proposal);
    if (kept != NULL) {
        kept->witnessed = true;
    }
    send_proposal_to_all();
}

/* do what has become possible */
static void go_on(void)
{
    propose();
    vote_in(view - 1);
    vote_in(view);
}

/* --- messages */

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
    if (!is_certified(&content.parent)) {
        if (!proof_check(&content.parent, data + BLOCK_SIZE, size - BLOCK_SIZE, cluster.quorum, &holds)) {
            return;
        }
        if (holds >= cluster.quorum) {
            certify(&content.parent, from);
        } else if (content.self.view >= view) {
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
            learn(&high, from);
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
        certify(&reference, from);
    }
    if (proposed_view == view && same(&reference, &proposal.parent)) {
        for (unsigned node = 1; node <= cluster.count; node++) {
            if (lacking[node] != 0 && votes >= lacking[node]) {
                send_proposal(node);
            }
        }
    }
}

static void take_doubt(unsigned from, const uint8_t *data)
{
    struct reference reference = get_reference(data);
    unsigned missing = get_u16(data + REFERENCE_SIZE);
    uint8_t vouch[REFERENCE_SIZE];
    if (!is_certified(&reference)) {
        return;
    }
    put_reference(vouch, &reference);
    wire_send(from, VOUCH, vouch, sizeof vouch);
    if (proposed_view == view && same(&reference, &proposal.parent) && missing > 0 && missing <= cluster.count) {
        unsigned spare = cluster.count - cluster.quorum;
        more_votes = missing > more_votes ? missing : more_votes;
        more_votes = more_votes > spare ? spare : more_votes;
        lacking[from] = sent_with[from] + missing;
        if (proof_votes(&reference) >= lacking[from]) {
            send_proposal(from);
        }
    }
}

static void take_vouch(unsigned from, const uint8_t *data)
{
    struct reference reference = get_reference(data);
    if (reference.view != 0 && reference.view <= VIEW_MAX && proof_take_vouch(from, &reference) > cluster.faulty) {
        certify(&reference, from);
    }
}

static void take_wish(unsigned from, const uint8_t *data, size_t size)
{
    if (size < 5 || data[4] > WISH_REFERENCES || size != 5 + data[4] * REFERENCE_SIZE || from == cluster.self) {
        return;
    }
    uint32_t wish = get_u32(data);
    proof_take_wish(from, data + 5, data[4]);
    for (unsigned i = 0; i < data[4]; i++) {
        struct reference reference = get_reference(data + 5 + i * REFERENCE_SIZE);
        if (reference.view > committed.view && reference.view <= VIEW_MAX && !is_certified(&reference) &&
            proof_vouchers(&reference) > cluster.faulty) {
            certify(&reference, from);
        }
    }
    if (wish <= VIEW_MAX) {
        raise_wish(from, wish);
        weigh_wishes();
    }
    /* one who is behind cannot know what we know by certificates; f + 1 of us tell it */
    if ((wish < view || at_rest()) && clock_ns() - helped_at[from] >= cluster.timeout_ns / 4) {
        helped_at[from] = clock_ns();
        send_wish(from);
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
    learn(&high, from);
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
        take_wish(from, data, size);
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
    if (proposed_view == view) {
        send_proposal_to_all();
    }
    if (voted_view + 1 >= view) {
        send_own_votes(leader_of(voted_view + 1), voted_view);
    }
    for (unsigned way = 0; way < 2; way++) {
        const struct block *block = block_of_view(view, way);
        if (block != NULL && block->witnessed && !is_certified(&block->parent)) {
            proof_doubt(&block->parent);
            send_doubt(0, &block->parent, 0);
        }
    }
    learn(&high, 1 + (cluster.self + retries) % cluster.count);
    retries++;
    timer_set(RETRY_TIMER, clock_ns() + (cluster.timeout_ns / 4 << (retries < 8 ? retries : 8)));
}

static void timer(unsigned which)
{
    if (which == VIEW_TIMER) {
        give_up();
    } else if (which == RETRY_TIMER) {
        retry();
    } else {
        if (high.view + 1 == view && proposed_view < view) {
            more_votes = 0; /* those who are missing keep silent: it is no use to wait for them */
        }
        grace_over = true;
    }
    go_on();
}

static void advanced(void)
{
    decide(leader_of(view));
    go_on();
}

static void start(void)
{
    blocks_begin(&high);
    proof_begin();
    committed = high;
    view = voted_view = proposed_view = locked_view = failures = more_votes = 0;
    first_open = 1;
    memset(&proposal, 0, sizeof proposal);
    memset(own_vote_views, 0, sizeof own_vote_views);
    memset(wished, 0, sizeof wished);
    memset(wishes_ordered, 0, sizeof wishes_ordered);
    memset(helped_at, 0, sizeof helped_at);
    enter(1, true);
    go_on();
}

const struct protocol hotstuff = {
    .name = "hotstuff",
    .start = start,
    .message = message,
    .timer = timer,
    .advanced = advanced,
    .lie = hotstuff_lie,
    .attack = hotstuff_attack,
    .round = hotstuff_view,
};
