/* PBFT's view changes without signatures (4.4). A replica that gives up its view tells all what it has prepared and
 * pre-prepared (VIEW-CHANGE); those who get it say so to the next primary (VIEW-CHANGE-ACK), for a MAC convinces nobody
 * but its receiver; the primary makes the new view of a quorum of those that enough others have (NEW-VIEW), and each
 * backup comes to the same from the same view-changes. */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define ACK_ENTRY (1u + DIGEST)
#define ACKS_MOST ((PAYLOAD_MAX - 4) / ACK_ENTRY)

struct change changes[NODES_MAX + 1];
static struct long_message arriving[NODES_MAX + 1];
static unsigned held;
/* what each node says that it has from whom */
static struct acks {
    uint32_t view;
    struct node_set authors;
    uint8_t digest[NODES_MAX + 1][DIGEST];
} acks[NODES_MAX + 1];
static struct node_set to_acknowledge;
static uint64_t waiting_since, sent_at, soon_at; /* waiting: for the new-view; 0: not yet */
static unsigned mute; /* primaries in a row that were not heard at all */
static uint64_t helped_at[NODES_MAX + 1];

void view_begin(void)
{
    memset(arriving, 0, sizeof arriving);
    for (unsigned node = 0; node <= NODES_MAX; node++) {
        changes[node].held = false;
        acks[node].view = 0;
        memset(&acks[node].authors, 0, sizeof acks[node].authors);
    }
    memset(&to_acknowledge, 0, sizeof to_acknowledge);
    memset(helped_at, 0, sizeof helped_at);
    held = 0;
    waiting_since = soon_at = 0;
    mute = 0;
    sent_at = clock_ns();
    new_view_begin();
}

void view_call_soon(void)
{
    if (soon_at == 0) {
        soon_at = clock_ns() + cluster.timeout_ns / 64;
        timer_set(SOON, soon_at);
    }
}

/* --- view-changes */

bool view_vouches(unsigned node, unsigned author, const uint8_t *digest)
{
    return acks[node].view == my.view && set_has(&acks[node].authors, author) &&
           memcmp(acks[node].digest[author], digest, DIGEST) == 0;
}

unsigned view_count_vouchers(unsigned author, const uint8_t *digest)
{
    unsigned count = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        count += node != author && node != cluster.self && view_vouches(node, author, digest);
    }
    return count;
}

/* The wait for the new-view begins when a quorum has left the old one (4.4). Who wants a later view has left it too: its
 * view-change for this one may be lost for good, and then nobody would wait, and all would stay where they are. */
static void wait_for_new_view(void)
{
    unsigned left = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        left += changes[node].held || (arriving[node].whole && arriving[node].view > my.view);
    }
    if (!my.active && waiting_since == 0 && left >= cluster.quorum) {
        waiting_since = clock_ns();
    }
}

void view_hold(unsigned author, const uint8_t *data, size_t size)
{
    struct change *change = &changes[author];
    held += !change->held;
    change->held = true;
    change->size = (uint16_t)size;
    memcpy(change->data, data, size);
    sha256_of(data, size, change->digest);
    change->vouchers = (uint8_t)view_count_vouchers(author, change->digest);
    if (author != cluster.self) {
        set_add(&to_acknowledge, author);
        view_call_soon();
    }
    /* from now on the old view is history */
    if (held >= cluster.quorum && my.vote_view != my.view) {
        my.vote_view = my.view;
        slots_forget_votes();
    }
    wait_for_new_view();
    my.unsettled = true;
}

static void send_own(unsigned to)
{
    const struct change *own = &changes[cluster.self];
    if (own->held) {
        long_send(to, VIEW_CHANGE, cluster.self, my.view, own->data, own->size);
    }
}

static void change_view(uint32_t view)
{
    static uint8_t own[LONG_MAX];
    my.view = view;
    my.active = false;
    my.progressed = false;
    held = 0;
    waiting_since = 0;
    new_view_begin();
    memset(&to_acknowledge, 0, sizeof to_acknowledge);
    for (unsigned node = 1; node <= cluster.count; node++) {
        changes[node].held = false;
    }
    view_hold(cluster.self, own, view_change_write(own, view));
    sent_at = clock_ns();
    send_own(0);
    for (unsigned node = 1; node <= cluster.count; node++) {
        if (arriving[node].whole && arriving[node].view == view && !changes[node].held) {
            view_hold(node, arriving[node].data, arriving[node].size);
        }
    }
}

void view_suspect(void)
{
    /* a view in which nothing was done counts as one more that has failed */
    my.failures += my.view > 0 && !my.progressed;
    change_view(my.view + 1);
}

/* f + 1 that want later views hold one that is loyal: then the view is over here too. They are taken as far as f + 1 of
 * them go. */
static void join(void)
{
    uint32_t highest[NODES_MAX + 1] = {0};
    unsigned kept = cluster.faulty + 1;
    for (unsigned node = 1; node <= cluster.count; node++) {
        uint32_t view = node == cluster.self || !arriving[node].whole ? 0 : arriving[node].view;
        for (unsigned i = 0; i < kept && view > 0; i++) {
            if (view > highest[i]) {
                uint32_t lower = highest[i];
                highest[i] = view;
                view = lower;
            }
        }
    }
    if (highest[kept - 1] > my.view) {
        change_view(highest[kept - 1]);
    }
}

static void hear_change(unsigned from, const uint8_t *part, size_t size)
{
    if (size <= LONG_HEADER) {
        return;
    }
    struct long_message *change = &arriving[from];
    if (part[4] != from) {
        new_view_hear_copy(from, part, size);
        return;
    }
    /* who is behind needs help; so does who sends again what was got already, when we have gone on */
    if (get_u32(part) < my.view || (my.active && change->whole && get_u32(part) == my.view)) {
        view_help(from);
        return;
    }
    if (!long_take(change, part, size)) {
        return;
    }
    if (!view_change_whole(change->data, change->size, change->view, from)) {
        change->whole = false;
        change->parts = 0;
    } else if (change->view > my.view) {
        join();
        wait_for_new_view();
    } else if (!my.active && !changes[from].held) {
        view_hold(from, change->data, change->size);
    }
}

/* --- acknowledgements: gathered for a moment, so that a view change has few large ones and not n * n */

void view_acknowledge(unsigned to, const struct node_set *authors)
{
    uint8_t data[PAYLOAD_MAX];
    unsigned count = 0;
    put_u32(data, my.view);
    for (unsigned author = 1; author <= cluster.count; author++) {
        if (!set_has(authors, author) || !changes[author].held) {
            continue;
        }
        data[4 + count * ACK_ENTRY] = (uint8_t)author;
        memcpy(data + 5 + count * ACK_ENTRY, changes[author].digest, DIGEST);
        if (++count == ACKS_MOST) {
            wire_send(to, VIEW_CHANGE_ACK, data, 4 + count * ACK_ENTRY);
            count = 0;
        }
    }
    if (count > 0) {
        wire_send(to, VIEW_CHANGE_ACK, data, 4 + count * ACK_ENTRY);
    }
}

static void hear_acks(unsigned from, const uint8_t *data, size_t size)
{
    if (size < 4 || (size - 4) % ACK_ENTRY != 0 || from == cluster.self) {
        return;
    }
    uint32_t view = get_u32(data);
    struct acks *of = &acks[from];
    if (view < my.view || view < of->view) {
        return;
    }
    if (view > of->view) {
        of->view = view;
        memset(&of->authors, 0, sizeof of->authors);
    }
    for (size_t at = 4; at < size; at += ACK_ENTRY) {
        unsigned author = data[at];
        if (author == 0 || author > cluster.count || author == from || set_has(&of->authors, author)) {
            continue;
        }
        set_add(&of->authors, author);
        memcpy(of->digest[author], data + at + 1, DIGEST);
        changes[author].vouchers +=
            view == my.view && changes[author].held && view_vouches(from, author, changes[author].digest);
    }
    my.unsettled = true;
}

/* --- what else comes in, and what is due */

void view_hear(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    if (type == VIEW_CHANGE) {
        hear_change(from, data, size);
    } else if (type == VIEW_CHANGE_ACK) {
        hear_acks(from, data, size);
    } else {
        new_view_hear(from, type, data, size);
    }
}

void view_help(unsigned node)
{
    uint64_t now = clock_ns();
    if (helped_at[node] == 0 || now - helped_at[node] >= cluster.timeout_ns / 8) {
        helped_at[node] = now;
        send_own(node);
        new_view_send(node);
    }
}

void view_soon(uint64_t now)
{
    soon_at = 0;
    if (my.active) {
        return;
    }
    if (primary_of(my.view) != cluster.self) {
        view_acknowledge(primary_of(my.view), &to_acknowledge);
    }
    memset(&to_acknowledge, 0, sizeof to_acknowledge);
    new_view_soon(now);
}

static void send_again(uint64_t now)
{
    struct node_set all;
    sent_at = now;
    send_own(0);
    if (primary_of(my.view) != cluster.self) {
        memset(&all, 0xff, sizeof all);
        view_acknowledge(primary_of(my.view), &all);
    }
}

/* A primary that has not been heard at all is given half the time, and is no reason for more patience, or a third of
 * the nodes in a row that are down would take hours; but more than f of those in a row are not all down. */
static bool waited_enough(uint64_t now)
{
    bool heard = changes[primary_of(my.view)].held || new_view_heard();
    if (waiting_since == 0 || now - waiting_since < (heard ? patience() : patience() / 2)) {
        return false;
    }
    mute = heard ? 0 : mute + 1;
    if (heard || mute > cluster.faulty) {
        my.failures++;
        mute = 0;
    }
    return true;
}

void view_tick(uint64_t now)
{
    new_view_tick(now);
    if (my.active) {
        mute = 0;
    } else if (waited_enough(now)) {
        change_view(my.view + 1);
    } else if (now - sent_at >= cluster.timeout_ns / 4) {
        send_again(now);
    }
}
