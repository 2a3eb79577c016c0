/* PBFT's new views (4.4): the primary makes one of the view-changes that enough others have too; a backup gathers those
 * that it names, comes to the same, and goes on. */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define ENTRY (1u + DIGEST)
#define FETCHES_MOST 8u /* that one node is answered in a period */

static struct long_message arriving[NODES_MAX + 1];
static uint8_t new_view[LONG_MAX]; /* ours, for those who have missed it */
static size_t new_view_size;
/* one view-change at a time that a new-view names and we lack */
static struct {
    unsigned author; /* 0: none */
    unsigned from;   /* who is asked for it */
    uint64_t asked_at;
    uint8_t digest[DIGEST];
    struct long_message copy;
} wanted;
static uint64_t period_at;
static unsigned fetches[NODES_MAX + 1]; /* answered in this period */

void new_view_begin(void)
{
    if (my.view == 0) {
        memset(arriving, 0, sizeof arriving);
        memset(fetches, 0, sizeof fetches);
        period_at = clock_ns();
    }
    wanted.author = 0;
    new_view_size = 0;
}

static void enter(const struct selection *selection)
{
    if (my.vote_view != my.view) {
        my.vote_view = my.view;
        slots_forget_votes();
    }
    my.active = true;
    my.progress_at = clock_ns();
    if (selection->stable > my.stable) {
        memcpy(my.stable_head, selection->head, DIGEST);
        slots_move(selection->stable);
        catchup_hint(selection->stable);
    }
    for (unsigned i = 0; i < selection->count; i++) {
        struct slot *slot = slot_of(selection->stable + 1 + i);
        if (slot != NULL) {
            slot_accept(slot, &selection->values[i]);
        }
    }
    my.next = selection->stable + selection->count + 1;
    if (my.next <= my.stable) {
        my.next = my.stable + 1;
    }
    tell("round", "view=%u\nleader=%u\n", (unsigned)my.view, primary_of(my.view));
    slots_take_offers();
    requests_new_view();
    my.unsettled = true;
}

/* what the primary may use: enough others have the same from that author, so that every backup can get it */
static bool certified(unsigned author)
{
    const struct change *change = &changes[author];
    return change->held && (author == cluster.self || change->vouchers + 2u >= cluster.quorum);
}

static void lead(void)
{
    static struct selection selection;
    const uint8_t *list[NODES_MAX];
    unsigned count = 0;
    for (unsigned author = 1; author <= cluster.count; author++) {
        if (certified(author)) {
            new_view[1 + count * ENTRY] = (uint8_t)author;
            memcpy(new_view + 2 + count * ENTRY, changes[author].digest, DIGEST);
            list[count++] = changes[author].data;
        }
    }
    if (count < cluster.quorum || !view_change_select(list, count, &selection)) {
        return;
    }
    new_view[0] = (uint8_t)count;
    new_view_size = 1 + count * ENTRY;
    new_view_send(0);
    enter(&selection);
}

static bool new_view_whole(const uint8_t *data, size_t size)
{
    unsigned before = 0;
    if (size < 1 || size != 1 + data[0] * ENTRY || data[0] < cluster.quorum || data[0] > cluster.count) {
        return false;
    }
    for (unsigned i = 0; i < data[0]; i++) {
        unsigned author = data[1 + i * ENTRY];
        if (author <= before || author > cluster.count) {
            return false;
        }
        before = author;
    }
    return true;
}

static void ask(uint64_t now)
{
    uint8_t data[6];
    put_u32(data, my.view);
    data[4] = (uint8_t)wanted.author;
    /* the primary has it; after it each node in turn, for the primary may be the liar */
    do {
        wanted.from = wanted.from == 0 ? primary_of(my.view) : wanted.from % cluster.count + 1;
    } while (wanted.from == cluster.self);
    wanted.asked_at = now;
    memset(&wanted.copy, 0, offsetof(struct long_message, data));
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (node != cluster.self) {
            data[5] = node == wanted.from;
            wire_send(node, FETCH, data, sizeof data);
        }
    }
}

/* Whether this view-change is here, or has come from others: f that vouch for it, and the primary who names it, are
 * f + 1 (4.4). */
static bool have_named(unsigned author, const uint8_t *digest)
{
    if (changes[author].held && memcmp(changes[author].digest, digest, DIGEST) == 0) {
        return true;
    }
    if (author == cluster.self) {
        return false;
    }
    if (wanted.author == author && wanted.copy.whole && memcmp(wanted.digest, digest, DIGEST) == 0) {
        unsigned primary = primary_of(my.view), others = view_count_vouchers(author, digest);
        others -= primary != author && view_vouches(primary, author, digest);
        if (others >= cluster.faulty) {
            view_hold(author, wanted.copy.data, wanted.copy.size);
            wanted.author = 0;
            return true;
        }
    } else if (wanted.author != author || memcmp(wanted.digest, digest, DIGEST) != 0) {
        wanted.author = author;
        wanted.from = 0;
        wanted.asked_at = 0;
        wanted.copy.whole = false;
        memcpy(wanted.digest, digest, DIGEST);
        view_call_soon();
    }
    return false;
}

static void follow(void)
{
    static struct selection selection;
    const struct long_message *named = &arriving[primary_of(my.view)];
    const uint8_t *list[NODES_MAX];
    if (!named->whole || named->view != my.view) {
        return;
    }
    if (!new_view_whole(named->data, named->size)) {
        view_suspect();
        return;
    }
    for (unsigned i = 0; i < named->data[0]; i++) {
        const uint8_t *entry = named->data + 1 + i * ENTRY;
        if (!have_named(entry[0], entry + 1)) {
            return;
        }
        list[i] = changes[entry[0]].data;
    }
    if (view_change_select(list, named->data[0], &selection)) {
        enter(&selection);
    } else {
        view_suspect();
    }
}

void new_view_settle(void)
{
    if (my.active) {
        return;
    }
    if (primary_of(my.view) == cluster.self) {
        lead();
    } else {
        follow();
    }
}

/* --- what comes in, and what is due */

void new_view_hear_copy(unsigned from, const uint8_t *part, size_t size)
{
    uint8_t digest[DIGEST];
    if (wanted.author == 0 || part[4] != wanted.author || from != wanted.from || get_u32(part) != my.view ||
        !long_take(&wanted.copy, part, size)) {
        return;
    }
    sha256_of(wanted.copy.data, wanted.copy.size, digest);
    wanted.copy.whole = memcmp(digest, wanted.digest, DIGEST) == 0 &&
                        view_change_whole(wanted.copy.data, wanted.copy.size, my.view, wanted.author);
    wanted.copy.parts = 0;
    my.unsettled = true;
}

static void hear_fetch(unsigned from, const uint8_t *data, size_t size)
{
    struct node_set one = {0};
    if (size != 6 || get_u32(data) != my.view || data[4] == 0 || data[4] > cluster.count || !changes[data[4]].held ||
        from == cluster.self || fetches[from] >= FETCHES_MOST) {
        return;
    }
    fetches[from]++;
    set_add(&one, data[4]);
    view_acknowledge(from, &one);
    if (data[5] == 1) {
        long_send(from, VIEW_CHANGE, data[4], my.view, changes[data[4]].data, changes[data[4]].size);
    }
}

void new_view_hear(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    if (type == FETCH) {
        hear_fetch(from, data, size);
    } else if (type == NEW_VIEW && size > LONG_HEADER && data[4] == from && primary_of(get_u32(data)) == from &&
               get_u32(data) >= my.view && long_take(&arriving[from], data, size)) {
        my.unsettled = true;
    }
}

void new_view_send(unsigned to)
{
    if (new_view_size > 0) {
        long_send(to, NEW_VIEW, cluster.self, my.view, new_view, new_view_size);
    }
}

bool new_view_heard(void)
{
    return arriving[primary_of(my.view)].view == my.view;
}

void new_view_soon(uint64_t now)
{
    if (wanted.author != 0 && wanted.asked_at == 0) {
        ask(now);
    }
}

void new_view_tick(uint64_t now)
{
    if (now - period_at >= cluster.timeout_ns / 8) {
        period_at = now;
        memset(fetches, 0, sizeof fetches);
    }
    if (!my.active && wanted.author != 0 && now - wanted.asked_at >= cluster.timeout_ns / 8) {
        ask(now);
    }
}
