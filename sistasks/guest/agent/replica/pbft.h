/* PBFT's files among themselves. The protocol is that of Castro and Liskov, "Practical Byzantine Fault Tolerance and
 * Proactive Recovery", ACM TOCS 20(4), 2002, section 4, in its form with MACs; section numbers in the comments are of
 * that paper.
 *
 *   pbft.c             what comes in, timers, the three phases (4.3)
 *   pbft_requests.c    the clients, which are the replicas themselves (4.1), and what a primary proposes
 *   pbft_checkpoint.c  checkpoints (4.3), and the repair of what the network lost (5.2)
 *   pbft_view.c        view changes (4.4): leaving a view
 *   pbft_new_view.c    and entering the next
 *   pbft_select.c      view-change messages and the primary's decision procedure (4.4)
 *   pbft_lies.c        traitors
 *
 * A request is a command of 32 bytes and so is as long as its digest would be: messages carry the command itself where
 * the paper has a digest. The identity has no collisions, and nobody lacks the request that a digest names (A3 of 4.4
 * always holds). One command has one sequence number: its index in the ledger + 1. There are no batches.
 */
#ifndef PBFT_H
#define PBFT_H

#include <string.h>

#include "replica.h"

#define CHECKPOINT_EVERY 16u            /* K */
#define WINDOW (2u * CHECKPOINT_EVERY)  /* L: sequence numbers above the stable checkpoint that are in the log */
#define PIPELINE_MAX CHECKPOINT_EVERY   /* a whole pipeline and the checkpoint before it fit into the window */
#define CHECKPOINTS (WINDOW / CHECKPOINT_EVERY + 1)
#define VALUES 3u /* different commands for one number that Q remembers; the paper bounds them too (4.5) */
#define NO_VIEW 0xffffffffu
#define LONG_MAX 4232u /* the longest message before it is cut into parts: see pbft_select.c */

enum message {
    REQUEST = 1,     /* command */
    PRE_PREPARE,     /* view u32, sequence u32, command */
    PREPARE,         /* the same */
    COMMIT,          /* the same */
    CHECKPOINT,      /* sequence u32, head of the ledger */
    VIEW_CHANGE,     /* a part of one; of another's where the sender only passes it on */
    VIEW_CHANGE_ACK, /* view u32, then for each view-change: author u8, digest */
    NEW_VIEW,        /* a part of one */
    STATUS,          /* see pbft_checkpoint.c */
    VOTES,           /* view u32, then for each vote: type u8, sequence u32, command */
    FETCH,           /* view u32, author u8, whether the message itself is wanted u8 */
};
#define VOTE_SIZE 40u /* of a PRE_PREPARE, PREPARE or COMMIT */
#define VOTES_ENTRY 37u

enum timer { TICK, SOON };

struct node_set {
    uint8_t bits[NODES_MAX / 8 + 1];
};
static inline bool set_has(const struct node_set *set, unsigned node)
{
    return set->bits[node / 8] >> node % 8 & 1;
}
static inline void set_add(struct node_set *set, unsigned node)
{
    set->bits[node / 8] |= (uint8_t)(1 << node % 8);
}

/* the prepares or the commits of one sequence number */
struct votes {
    struct node_set from;
    unsigned total, matching; /* matching what the slot has accepted */
    struct command value[NODES_MAX + 1];
};

/* one sequence number in the log */
struct slot {
    uint32_t sequence;
    /* of the view whose votes are counted */
    bool offered, accepted, prepared, committed;
    struct command offer;   /* a pre-prepare that came before its new-view */
    struct command value;   /* of the pre-prepare that was accepted */
    struct command outcome; /* what a quorum has committed */
    struct votes prepares, commits;
    /* of all views: the elements of P and Q */
    uint32_t prepared_view; /* NO_VIEW: never prepared */
    struct command prepared_value;
    struct past {
        uint32_t view; /* NO_VIEW: not in use */
        struct command value;
    } past[VALUES];
};

struct pbft {
    uint32_t view;
    bool active;         /* false: the view is being changed to `view` */
    uint32_t vote_view;  /* whose votes the slots hold: the last active one until a quorum wants the new one */
    uint32_t stable;     /* h */
    uint8_t stable_head[DIGEST];
    uint32_t next;       /* what the primary proposes next */
    uint32_t height;     /* of the ledger, as far as our books are kept */
    bool unsettled;      /* something has changed that may let us go on */
    unsigned failures;   /* view changes without progress since */
    uint64_t progress_at; /* the last execution, or the last thing that excuses the lack of one */
    uint64_t executed_at; /* the last execution */
    bool progressed;      /* something was executed in this view */
    struct slot slots[WINDOW];
};
extern struct pbft my;

static inline unsigned primary_of(uint32_t view)
{
    return view % cluster.count + 1;
}
static inline bool same_command(const struct command *a, const struct command *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}
static inline bool finished(void)
{
    return cluster.decisions != 0 && ledger_height() >= cluster.decisions;
}
/* patience doubles with each view change that has helped nothing (4.4, liveness) */
static inline uint64_t patience(void)
{
    return cluster.timeout_ns << (my.failures < 6 ? my.failures : 6);
}

/* pbft.c */
struct slot *slot_of(uint32_t sequence); /* NULL: outside of the window */
void slots_forget_votes(void);           /* those of an older view */
void slots_move(uint32_t stable);        /* the window; what falls out of it is forgotten */
void slot_accept(struct slot *slot, const struct command *value);
void slots_take_offers(void);
void pbft_vote(unsigned from, uint8_t type, uint32_t view, uint32_t sequence, const struct command *value);

/* pbft_requests.c */
void requests_begin(void);
void requests_hear(const uint8_t *data, size_t size);
void requests_executed(const struct command *command, uint32_t sequence);
void requests_submit(void);  /* as many as are ours to submit */
void requests_new_view(void); /* tell the new primary */
void requests_tick(uint64_t now);
bool requests_waiting(void);
bool requests_starved(uint64_t now);
bool requests_under_way(const struct command *command, uint32_t except);
void primary_propose(void);

/* pbft_checkpoint.c */
void checkpoint_begin(void);
void checkpoint_reached(uint32_t height); /* the ledger has so many: each CHECKPOINT_EVERY one is told to all */
void checkpoint_hear(unsigned from, const uint8_t *data, size_t size);
unsigned checkpoint_list(uint8_t *out); /* C of 4.4: sequence u32, digest each; how many */
void checkpoint_review(void);
void others_are_at(unsigned from, uint32_t height); /* a node has decided so many, it seems */
void status_tick(uint64_t now);
void status_hear(unsigned from, const uint8_t *data, size_t size);
void votes_hear(unsigned from, const uint8_t *data, size_t size);

/* pbft_view.c */
void view_begin(void);
void view_suspect(void); /* give up the view */
void view_hear(unsigned from, uint8_t type, const uint8_t *data, size_t size);
void view_tick(uint64_t now);
void view_soon(uint64_t now);
void view_help(unsigned node); /* a node that is in an older view, or waits for this one */
/* the view-changes for my.view that are held: each author's first, whatever it sends later */
struct change {
    bool held;
    uint16_t size;
    uint8_t vouchers; /* others who have the same */
    uint8_t digest[DIGEST];
    uint8_t data[LONG_MAX];
};
extern struct change changes[NODES_MAX + 1];
void view_hold(unsigned author, const uint8_t *data, size_t size);
bool view_vouches(unsigned node, unsigned author, const uint8_t *digest);
unsigned view_count_vouchers(unsigned author, const uint8_t *digest);
void view_acknowledge(unsigned to, const struct node_set *authors);
void view_call_soon(void);

/* pbft_new_view.c */
void new_view_begin(void);
void new_view_settle(void);
void new_view_hear(unsigned from, uint8_t type, const uint8_t *data, size_t size);
void new_view_hear_copy(unsigned from, const uint8_t *part, size_t size);
void new_view_send(unsigned to); /* again, if we made one; 0: to all */
bool new_view_heard(void); /* something of it has come from the primary */
void new_view_soon(uint64_t now);
void new_view_tick(uint64_t now);

/* pbft_select.c */
struct selection {
    uint32_t stable;
    uint8_t head[DIGEST];
    unsigned count; /* of values: those of stable + 1 … */
    struct command values[WINDOW];
};
size_t view_change_write(uint8_t *out, uint32_t view);
bool view_change_whole(const uint8_t *data, size_t size, uint32_t view, unsigned author);
/* The decision procedure on view-changes that are whole: each of a different author, in the order of authors. The same
 * everywhere. False: these are not enough. */
bool view_change_select(const uint8_t *const *list, unsigned count, struct selection *out);
/* `to` 0: to all */
void long_send(unsigned to, uint8_t type, unsigned author, uint32_t view, const uint8_t *data, size_t size);
/* a long message as its parts come in */
struct long_message {
    uint32_t view;
    uint16_t size;
    uint8_t parts; /* as bits */
    bool whole;
    uint8_t data[LONG_MAX];
};
#define LONG_HEADER 8u
/* whether it has just become whole */
bool long_take(struct long_message *message, const uint8_t *part, size_t size);

/* pbft_lies.c */
bool pbft_lie(unsigned to, uint8_t *type, uint8_t *data, size_t *size);
void pbft_attack(void);

#endif
