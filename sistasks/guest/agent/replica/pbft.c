/* PBFT: what comes in, timers, and the three phases of a request (4.3). pbft.h says what the other files do. */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define TICKS 16u /* in a timeout */

struct pbft my;
static uint64_t tick_at;

static const struct command empty;

/* the last sequence number that may be in the log: nobody goes beyond the last decision that is wanted */
static uint32_t window_end(void)
{
    uint32_t end = my.stable + WINDOW;
    return cluster.decisions != 0 && cluster.decisions < end ? cluster.decisions : end;
}

struct slot *slot_of(uint32_t sequence)
{
    return sequence > my.stable && sequence <= window_end() ? &my.slots[sequence % WINDOW] : NULL;
}

static void forget_votes(struct slot *slot)
{
    slot->offered = slot->accepted = slot->prepared = slot->committed = false;
    /* not the values: they count only where their sender is in the set */
    memset(&slot->prepares.from, 0, sizeof slot->prepares.from);
    memset(&slot->commits.from, 0, sizeof slot->commits.from);
    slot->prepares.total = slot->prepares.matching = 0;
    slot->commits.total = slot->commits.matching = 0;
}

static void forget(struct slot *slot, uint32_t sequence)
{
    forget_votes(slot);
    slot->sequence = sequence;
    slot->prepared_view = NO_VIEW;
    for (unsigned i = 0; i < VALUES; i++) {
        slot->past[i].view = NO_VIEW;
    }
}

void slots_forget_votes(void)
{
    for (unsigned i = 0; i < WINDOW; i++) {
        forget_votes(&my.slots[i]);
    }
}

void slots_move(uint32_t stable)
{
    my.stable = stable;
    for (uint32_t sequence = stable + 1; sequence <= stable + WINDOW; sequence++) {
        struct slot *slot = &my.slots[sequence % WINDOW];
        if (slot->sequence != sequence) {
            forget(slot, sequence);
        }
    }
    if (my.next <= stable) {
        my.next = stable + 1;
    }
}

/* --- the elements of P and Q: what this replica has pre-prepared and prepared, for the next view change */

/* A value that was prepared stays; of the others the one of the oldest view gives way (4.5). */
static void remember_pre_prepared(struct slot *slot)
{
    struct past *place = NULL;
    for (unsigned i = 0; i < VALUES; i++) {
        struct past *past = &slot->past[i];
        if (past->view != NO_VIEW && same_command(&past->value, &slot->value)) {
            past->view = my.view;
            return;
        }
        bool kept = past->view != NO_VIEW && slot->prepared_view != NO_VIEW &&
                    same_command(&past->value, &slot->prepared_value);
        /* NO_VIEW + 1 is 0: an unused place is the oldest */
        if (!kept && (place == NULL || past->view + 1 < place->view + 1)) {
            place = past;
        }
    }
    place->view = my.view;
    place->value = slot->value;
}

/* --- votes */

static unsigned count_matching(const struct votes *votes, const struct command *value)
{
    unsigned matching = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        matching += set_has(&votes->from, node) && same_command(&votes->value[node], value);
    }
    return matching;
}

/* the first of a node counts; a second, the same or another, changes nothing */
static bool vote_count(struct slot *slot, struct votes *votes, unsigned from, const struct command *value)
{
    if (set_has(&votes->from, from)) {
        return false;
    }
    set_add(&votes->from, from);
    votes->value[from] = *value;
    votes->total++;
    votes->matching += slot->accepted && same_command(&slot->value, value);
    return true;
}

static void vote_send(uint8_t type, const struct slot *slot)
{
    uint8_t data[VOTE_SIZE];
    put_u32(data, my.view);
    put_u32(data + 4, slot->sequence);
    memcpy(data + 8, &slot->value, sizeof slot->value);
    wire_send_all(type, data, sizeof data);
}

/* Committed-local (4.3). A quorum of commits is proof by itself: it holds a correct majority that has prepared, so a
 * replica that missed the pre-prepare need not wait for it. */
static void check_committed(struct slot *slot, const struct command *value)
{
    if (slot->committed || slot->commits.total < cluster.quorum) {
        return;
    }
    bool ours = slot->accepted && same_command(&slot->value, value);
    if ((ours ? slot->commits.matching : count_matching(&slot->commits, value)) >= cluster.quorum) {
        slot->committed = true;
        slot->outcome = *value;
        my.unsettled = true;
    }
}

/* Prepared (4.3): the pre-prepare, which is the primary's vote, and matching prepares of backups: a quorum in all. */
static void check_prepared(struct slot *slot)
{
    if (slot->prepared || !slot->accepted || slot->prepares.matching + 1 < cluster.quorum) {
        return;
    }
    slot->prepared = true;
    slot->prepared_view = my.view;
    slot->prepared_value = slot->value;
    vote_send(COMMIT, slot);
    vote_count(slot, &slot->commits, cluster.self, &slot->value);
    check_committed(slot, &slot->value);
}

void slot_accept(struct slot *slot, const struct command *value)
{
    slot->accepted = true;
    slot->value = *value;
    slot->prepares.matching = count_matching(&slot->prepares, value);
    slot->commits.matching = count_matching(&slot->commits, value);
    remember_pre_prepared(slot);
    if (primary_of(my.view) != cluster.self) {
        vote_send(PREPARE, slot);
        vote_count(slot, &slot->prepares, cluster.self, value);
    }
    check_prepared(slot);
    check_committed(slot, value);
}

/* What a backup accepts from its primary: a client's command that is new, or what the ledger has got there already. */
static bool acceptable(const struct command *value, uint32_t sequence)
{
    if (value->client == 0 || value->client > cluster.count) {
        return false;
    }
    if (sequence <= ledger_height()) {
        return same_command(value, ledger_at(sequence - 1));
    }
    return ledger_open(value->client, value->number) && !requests_under_way(value, sequence) && ledger_valid(value);
}

static void hear_pre_prepare(unsigned from, struct slot *slot, const struct command *value)
{
    if (from != primary_of(my.view) || my.vote_view != my.view) {
        return;
    }
    if (!my.active) {
        /* it has overtaken its new-view */
        if (!slot->offered) {
            slot->offered = true;
            slot->offer = *value;
        }
    } else if (!slot->accepted && acceptable(value, slot->sequence)) {
        slot_accept(slot, value);
    }
}

void slots_take_offers(void)
{
    for (uint32_t sequence = my.stable + 1; sequence <= my.stable + WINDOW; sequence++) {
        struct slot *slot = &my.slots[sequence % WINDOW];
        if (slot->offered) {
            slot->offered = false;
            if (slot_of(sequence) != NULL && !slot->accepted && acceptable(&slot->offer, sequence)) {
                slot_accept(slot, &slot->offer);
            }
        }
    }
}

void pbft_vote(unsigned from, uint8_t type, uint32_t view, uint32_t sequence, const struct command *value)
{
    struct slot *slot = slot_of(sequence);
    if (view != my.vote_view || slot == NULL) {
        return;
    }
    if (type == PRE_PREPARE) {
        hear_pre_prepare(from, slot, value);
    } else if (type == COMMIT) {
        if (vote_count(slot, &slot->commits, from, value)) {
            check_committed(slot, value);
        }
    } else if (type == PREPARE && from != primary_of(view)) {
        if (vote_count(slot, &slot->prepares, from, value) && my.active) {
            check_prepared(slot);
        }
    }
}

/* --- execution */

/* The books are kept for each command, whether it was decided here or taken from others. */
static void keep_books(void)
{
    uint64_t now = clock_ns();
    while (my.height < ledger_height()) {
        requests_executed(ledger_at(my.height), my.height + 1);
        my.height++;
        checkpoint_reached(my.height);
    }
    my.failures = my.active ? 0 : my.failures;
    my.progressed = true;
    my.progress_at = my.executed_at = now;
    my.unsettled = true;
}

static void execute(void)
{
    struct slot *slot;
    while ((slot = slot_of(ledger_height() + 1)) != NULL && slot->committed) {
        struct command command = slot->outcome;
        /* a command is executed once (4.1): a primary that proposes it again gets an empty place for it */
        if (!ledger_valid(&command) || !ledger_open(command.client, command.number)) {
            command = empty;
        }
        ledger_append(&command, my.vote_view);
        keep_books();
    }
}

/* Do what has become possible, until nothing more is. Handlers only mark that something may be: so nothing calls itself. */
static void settle(void)
{
    /* more rounds than there are slots help nobody */
    for (unsigned i = 0; my.unsettled && i < 2 * WINDOW; i++) {
        my.unsettled = false;
        execute();
        checkpoint_review();
        new_view_settle();
        requests_submit();
        primary_propose();
    }
}

static void advanced(void)
{
    keep_books();
    settle();
}

/* --- what comes in */

static void message(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    switch (type) {
    case REQUEST:
        requests_hear(data, size);
        break;
    case PRE_PREPARE:
    case PREPARE:
    case COMMIT:
        if (size == VOTE_SIZE) {
            struct command value;
            memcpy(&value, data + 8, sizeof value);
            others_are_at(from, get_u32(data + 4) > WINDOW ? get_u32(data + 4) - WINDOW : 0);
            pbft_vote(from, type, get_u32(data), get_u32(data + 4), &value);
        }
        break;
    case CHECKPOINT:
        checkpoint_hear(from, data, size);
        break;
    case STATUS:
        status_hear(from, data, size);
        break;
    case VOTES:
        votes_hear(from, data, size);
        break;
    default:
        view_hear(from, type, data, size);
    }
    settle();
}

/* A backup that waits for a request longer than its patience gives the primary up (4.4); also where everything goes on
 * but for one client's request. */
static void suspect(uint64_t now)
{
    if (!my.active || finished()) {
        return;
    }
    if (!requests_waiting()) {
        my.progress_at = now;
    } else if (now - my.progress_at > patience() || requests_starved(now)) {
        view_suspect();
    }
}

static void tick(uint64_t now)
{
    uint64_t step = cluster.timeout_ns / TICKS;
    /* who was away itself, stopped or starved of its processor, has no reason to blame the primary */
    if (now - tick_at > cluster.timeout_ns / 4) {
        my.progress_at = now;
    }
    tick_at = now + step;
    timer_set(TICK, tick_at);
    requests_tick(now);
    suspect(now);
    view_tick(now);
    status_tick(now);
}

static void timer(unsigned which)
{
    uint64_t now = clock_ns();
    if (which == TICK) {
        tick(now);
    } else {
        view_soon(now);
    }
    my.unsettled = true;
    settle();
}

static void start(void)
{
    uint64_t now = clock_ns();
    memset(&my, 0, sizeof my);
    my.active = true;
    my.next = 1;
    my.progress_at = my.executed_at = now;
    slots_move(0);
    requests_begin();
    checkpoint_begin();
    view_begin();
    /* not all at the same instant */
    tick_at = now + cluster.timeout_ns / TICKS + cluster.timeout_ns / TICKS * cluster.self / cluster.count;
    timer_set(TICK, tick_at);
    my.unsettled = true;
    settle();
}

static uint32_t current_round(void)
{
    return my.view;
}

const struct protocol pbft = {
    .name = "pbft",
    .start = start,
    .message = message,
    .timer = timer,
    .advanced = advanced,
    .lie = pbft_lie,
    .attack = pbft_attack,
    .round = current_round,
};
