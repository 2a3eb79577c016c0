/* Leader election as Raft does it: terms, randomised timeouts, one vote a term.
 *
 * Ongaro and Ousterhout 2014, "In Search of an Understandable Consensus Algorithm", section 5.2; the vote before the
 * vote (a candidate first asks whether it could win, so that a node which comes back deposes nobody) is section 9.6 of
 * Ongaro's thesis, and that a node which hears its leader gives no vote is 4.2.3. There is no log: all are equal.
 * A leader that has not been heard by a majority for a timeout steps down, so that one who is cut off knows.
 *
 * All times come from cluster.timeout_ns, T: a node loses patience after [T, 2T), a leader sends every T/4.
 * Messages: term u32, then for HEARTBEAT and HEARD the leader's clock u64, which comes back as it was sent: an
 * acknowledgement proves that the leader was heard when it sent, not when the answer was read.
 */
#include <inttypes.h>
#include <string.h>

#include "../sis.h"
#include "replica.h"

enum { ASK = 1, WOULD, REQUEST, VOTE, HEARTBEAT, HEARD, NEWER };
enum { PATIENCE, BEAT };
#define TERM_SIZE 4u
#define BEAT_SIZE 12u

static enum { FOLLOWER, ASKING, CANDIDATE, LEADER } role;
static uint32_t term;
static unsigned voted_for, leader; /* in this term; 0: nobody */
static uint64_t leader_heard_at;   /* 0: none in this life */
static bool answered[NODES_MAX + 1];
static uint64_t heard_at[NODES_MAX + 1]; /* the leader's: the latest of its own times that each node has heard */
static struct random_state dice;

static unsigned majority(void)
{
    /* a control of the checker may plan a quorum that is none */
    unsigned half = cluster.count / 2 + 1;
    return cluster.quorum < half ? cluster.quorum : half;
}

static unsigned answers(void)
{
    unsigned sum = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        sum += answered[node];
    }
    return sum;
}

static void wait_for_a_leader(void)
{
    timer_set(PATIENCE, clock_ns() + cluster.timeout_ns + random_next(&dice) % cluster.timeout_ns);
}

static void send_term(unsigned to, uint8_t type, uint32_t which)
{
    uint8_t data[TERM_SIZE];
    put_u32(data, which);
    wire_send(to, type, data, sizeof data);
}

/* to those who have not answered: the rest would only answer again */
static void ask_the_others(uint8_t type, uint32_t which)
{
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (node != cluster.self && !answered[node]) {
            send_term(node, type, which);
        }
    }
}

static void beat(void)
{
    uint8_t data[BEAT_SIZE];
    put_u32(data, term);
    put_u64(data + TERM_SIZE, clock_ns());
    wire_send_all(HEARTBEAT, data, sizeof data);
    timer_set(BEAT, clock_ns() + cluster.timeout_ns / 4);
}

static void follow(uint32_t new_term)
{
    if (role == LEADER) {
        tell("stepdown", "term=%" PRIu32 "\n", term);
    }
    if (new_term > term) {
        term = new_term;
        voted_for = leader = 0;
    } else if (role == LEADER) {
        leader = 0;
    }
    role = FOLLOWER;
    timer_set(BEAT, 0);
    wait_for_a_leader();
}

static void vote_for(unsigned candidate)
{
    voted_for = candidate;
    tell("vote", "term=%" PRIu32 "\ncandidate=%u\n", term, candidate);
}

static void lead(void)
{
    role = LEADER;
    leader = cluster.self;
    tell("leader", "term=%" PRIu32 "\n", term);
    for (unsigned node = 1; node <= cluster.count; node++) {
        heard_at[node] = clock_ns();
    }
    timer_set(PATIENCE, 0);
    beat();
}

static void stand(void)
{
    role = CANDIDATE;
    term++;
    leader = 0;
    memset(answered, 0, sizeof answered);
    answered[cluster.self] = true;
    tell("candidate", "term=%" PRIu32 "\n", term);
    vote_for(cluster.self);
    if (answers() >= majority()) {
        lead();
        return;
    }
    ask_the_others(REQUEST, term);
    timer_set(BEAT, clock_ns() + cluster.timeout_ns / 4);
    wait_for_a_leader();
}

static void ask_whether_to_stand(void)
{
    role = ASKING;
    leader = 0;
    memset(answered, 0, sizeof answered);
    answered[cluster.self] = true;
    if (answers() >= majority()) {
        stand();
        return;
    }
    ask_the_others(ASK, term + 1);
    timer_set(BEAT, clock_ns() + cluster.timeout_ns / 4);
    wait_for_a_leader();
}

/* a leader in office: the node's own, or one that it has heard within the shortest patience */
static bool content(void)
{
    return role == LEADER ||
           (leader != 0 && leader_heard_at != 0 && clock_ns() - leader_heard_at < cluster.timeout_ns);
}

/* how many have heard this leader within a timeout, itself included */
static unsigned audience(void)
{
    unsigned sum = 1;
    for (unsigned node = 1; node <= cluster.count; node++) {
        sum += node != cluster.self && clock_ns() - heard_at[node] < cluster.timeout_ns;
    }
    return sum;
}

static void take_ask(unsigned from, uint32_t their)
{
    if (their <= term) {
        send_term(from, NEWER, term);
    } else if (!content()) {
        send_term(from, WOULD, their);
    }
}

static void take_request(unsigned from, uint32_t their)
{
    if (their < term) {
        send_term(from, NEWER, term);
        return;
    }
    if (their > term) {
        if (content()) {
            return;
        }
        follow(their);
    }
    /* a traitor votes for everybody */
    if (voted_for == 0 || voted_for == from || cluster.treason == EQUIVOCATE) {
        if (voted_for != from) {
            vote_for(from);
            wait_for_a_leader();
        }
        send_term(from, VOTE, term);
    }
}

static void take_heartbeat(unsigned from, uint32_t their, const uint8_t *data)
{
    uint8_t heard[BEAT_SIZE];
    if (their < term) {
        send_term(from, NEWER, term);
        return;
    }
    if (their == term && (role == LEADER || (leader != 0 && leader != from))) {
        return; /* a second leader of one term can only be a lie */
    }
    if (their > term || role != FOLLOWER) {
        follow(their);
    }
    if (leader == 0) {
        leader = from;
        tell("follow", "term=%" PRIu32 "\nleader=%u\n", term, from);
    }
    leader_heard_at = clock_ns();
    wait_for_a_leader();
    memcpy(heard, data, sizeof heard);
    wire_send(from, HEARD, heard, sizeof heard);
}

static void take_heard(unsigned from, uint32_t their, uint64_t at)
{
    if (role == LEADER && their == term && at <= clock_ns() && at > heard_at[from]) {
        heard_at[from] = at;
    }
}

static void take_answer(unsigned from, uint8_t type, uint32_t their)
{
    if (type == WOULD && role == ASKING && their == term + 1) {
        answered[from] = true;
        if (answers() >= majority()) {
            stand();
        }
    } else if (type == VOTE && role == CANDIDATE && their == term) {
        answered[from] = true;
        if (answers() >= majority()) {
            lead();
        }
    } else if (type == NEWER && their > term) {
        follow(their);
    }
}

static void message(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    bool with_clock = type == HEARTBEAT || type == HEARD;
    if (size != (with_clock ? BEAT_SIZE : TERM_SIZE) || from == cluster.self) {
        return;
    }
    uint32_t their = get_u32(data);
    if (their == UINT32_MAX) {
        return; /* terms end there, and no loyal node comes so far */
    }
    switch (type) {
    case ASK:
        take_ask(from, their);
        break;
    case REQUEST:
        take_request(from, their);
        break;
    case HEARTBEAT:
        take_heartbeat(from, their, data);
        break;
    case HEARD:
        take_heard(from, their, get_u64(data + TERM_SIZE));
        break;
    default:
        take_answer(from, type, their);
    }
}

static void timer(unsigned which)
{
    if (which == PATIENCE) {
        ask_whether_to_stand();
    } else if (role == LEADER) {
        if (audience() < majority()) {
            follow(term);
        } else {
            beat();
        }
    } else if (role == ASKING || role == CANDIDATE) {
        ask_the_others(role == ASKING ? ASK : REQUEST, role == ASKING ? term + 1 : term);
        timer_set(BEAT, clock_ns() + cluster.timeout_ns / 4);
    }
}

static void start(void)
{
    /* without a disk a node that is started again does not know whom it has voted for: it is a new one */
    role = FOLLOWER;
    term = 0;
    voted_for = leader = 0;
    leader_heard_at = 0;
    random_seed(&dice, cluster.seed * (NODES_MAX + 1) + cluster.self);
    wait_for_a_leader();
}

/* Ever higher terms, and votes that nobody has given: what Raft takes from its own, and from nobody else. */
static void attack(void)
{
    uint8_t data[BEAT_SIZE];
    unsigned victim = 1 + (unsigned)(random_next(&dice) % cluster.count);
    unsigned other = 1 + (unsigned)(random_next(&dice) % cluster.count);
    switch (cluster.treason) {
    case FALSE_VIEW:
        memset(answered, 0, sizeof answered);
        ask_the_others(REQUEST, term + 1 + (uint32_t)(random_next(&dice) % 1000));
        break;
    case FLOOD:
        for (unsigned i = 0; i < 16; i++) {
            put_u64(data, random_next(&dice));
            wire_send_all((uint8_t)(i % (NEWER + 2)), data, random_next(&dice) % sizeof data);
        }
        break;
    case FORGE:
        /* a majority for whoever stands, and another leader of the same term */
        for (unsigned node = 1; node <= cluster.count; node++) {
            put_u32(data, term);
            wire_forge(node, victim, VOTE, data, TERM_SIZE);
            put_u32(data, term + 1);
            wire_forge(node, victim, WOULD, data, TERM_SIZE);
            wire_forge(node, victim, VOTE, data, TERM_SIZE);
        }
        put_u32(data, term);
        put_u64(data + TERM_SIZE, clock_ns());
        if (victim != other) {
            wire_forge(other, victim, HEARTBEAT, data, BEAT_SIZE);
        }
        break;
    default:
        break;
    }
}

static uint32_t round_now(void)
{
    return term;
}

const struct protocol election = {
    .name = "election",
    .start = start,
    .message = message,
    .timer = timer,
    .attack = attack,
    .round = round_now,
};
