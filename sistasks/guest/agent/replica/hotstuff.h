/* What the files of the linear protocol share with each other. hotstuff.c says how it works. */
#ifndef HOTSTUFF_H
#define HOTSTUFF_H

#include "replica.h"

/* Messages, all numbers little endian. A reference is view u32, digest 32; a block 76 bytes, as they are hashed:
 * view u32, height u32, reference of its parent, command 32.
 *   PROPOSAL  block, voters (16 bytes, node n is bit n - 1), a share of the parent's vote from each of them
 *   VOTE      reference, shares for all nodes
 *   WISH      view u32, count u8, references of certified blocks
 *   DOUBT     reference, missing u16: so many shares too few for us
 *   VOUCH     reference: its certificate holds, says the sender
 *   ASK       reference: we lack that block
 *   BLOCKS    blocks, each the parent of the one before */
enum { PROPOSAL = 1, VOTE, WISH, DOUBT, VOUCH, ASK, BLOCKS };
#define REFERENCE_SIZE 36u
#define BLOCK_SIZE 76u
#define VOTERS_SIZE (NODES_MAX / 8u)
#define DOUBT_SIZE (REFERENCE_SIZE + 2u)
#define WISH_REFERENCES 8u /* certificates that a node vouches for when it gives a view up */
_Static_assert(BLOCK_SIZE + VOTERS_SIZE + NODES_MAX * SHARE <= PAYLOAD_MAX, "a proposal is one message");
_Static_assert(REFERENCE_SIZE + NODES_MAX * SHARE <= PAYLOAD_MAX, "a vote is one message");

enum { VIEW_TIMER, RETRY_TIMER, GRACE_TIMER };
#define VIEW_MAX (UINT32_MAX - RING) /* later views are lies: nobody lives so long */

struct reference {
    uint32_t view;
    uint8_t digest[DIGEST];
};

struct block {
    struct reference self, parent; /* the parent is what the block's certificate certifies */
    uint32_t height;               /* of the ledger when this block has been decided */
    struct command command;
    bool here;      /* the content is known, not only the reference */
    bool witnessed; /* its leader has sent it to us, or a loyal node that it was sent to has voted for it */
    bool certified; /* we have verified that a quorum has voted for it */
    bool voted;     /* by us */
};

void put_reference(uint8_t *at, const struct reference *reference);
struct reference get_reference(const uint8_t *at);
bool same(const struct reference *a, const struct reference *b);
static inline unsigned leader_of(uint32_t view)
{
    return view % cluster.count + 1;
}

/* hotstuff_blocks.c: recent blocks, by view */
#define RING 1024u
#define WAYS 2u
#define AHEAD 256u /* uncertified blocks of later views than this many are not kept: they could push out others */
void blocks_begin(struct reference *genesis);
struct block *block_find(const struct reference *reference);
/* found or made; NULL: there is no room for one of that view. The pointer holds until the next call. */
struct block *block_place(const struct reference *reference);
bool block_certified(const struct reference *reference);
/* the blocks of one view: WAYS at most, NULL for none */
struct block *block_of_view(uint32_t view, unsigned which);
/* the content as it is hashed; the digest in `self` follows from it */
void block_read(const uint8_t *data, struct block *block);
void block_write(const struct block *block, uint8_t *data);
void block_seal(struct block *block);
/* keep what was read; NULL: no room */
struct block *block_keep(const struct block *content);
/* ask a node for a block and its forefathers; not again within a sixteenth of a timeout */
void block_ask(const struct reference *reference, unsigned node);
bool block_wanted(const struct reference *reference);
void block_answer(unsigned to, const struct reference *reference);
/* whether block and all its forefathers down to what the ledger has are here; else asks for the first that is not */
bool block_rooted(const struct block *block, unsigned node);
/* whether a client's command is in the block or between it and the ledger; the block must be rooted */
bool block_carries(const struct block *block, uint32_t client, uint32_t number);
/* append to the ledger what is new up to that block, in order; false: forefathers are missing */
bool block_decide(const struct reference *reference, unsigned node);
/* the first of three certified blocks of successive views, the last of which is this; NULL: it is not so */
struct block *block_three_chain(const struct block *last);

/* hotstuff_proof.c: who has voted and vouched for what */
void proof_begin(void);
/* what is authenticated in a vote for that block */
void proof_statement(const struct reference *reference, uint8_t digest[DIGEST]);
/* keep a vote that holds for us; false: nothing new */
bool proof_take_vote(unsigned from, const uint8_t *data, size_t size, struct reference *reference);
unsigned proof_votes(const struct reference *reference);
/* the shares of a certificate for one node, as in a PROPOSAL; returns the size */
size_t proof_column(const struct reference *reference, unsigned to, uint8_t *out);
/* how many of the shares in a PROPOSAL hold for us, counted up to `enough`; false: malformed */
bool proof_check(const struct reference *reference, const uint8_t *data, size_t size, unsigned enough, unsigned *holds);
/* what a node vouches for by a WISH, in place of what it has vouched for before */
void proof_take_wish(unsigned from, const uint8_t *data, unsigned count);
unsigned proof_vouchers(const struct reference *reference);
/* a VOUCH for something that we asked for; returns how many nodes have sent one */
unsigned proof_take_vouch(unsigned from, const struct reference *reference);
/* whether this is new: then vouches for it count from now on */
bool proof_doubt(const struct reference *reference);

/* hotstuff.c: what this node believes of the chain */
extern struct chain {
    uint32_t view;
    uint32_t locked_view;       /* no vote for blocks whose parent is below */
    struct reference high;      /* the highest certified block */
    struct reference committed; /* the highest decided one; the ledger may have less of it, or more */
} chain;
bool at_rest(void); /* all is decided */
/* a certificate holds; ask `helper` for blocks that are missing */
void chain_certify(const struct reference *reference, unsigned helper);
void chain_entered(void);
/* its last two votes, those from a view on */
void chain_send_votes(unsigned to, uint32_t from_view);

/* hotstuff_views.c */
void views_begin(void);
void views_progress(void); /* a higher certificate */
void views_enter(uint32_t which, bool by_certificate);
void views_give_up(void);
void views_take_wish(unsigned from, const uint8_t *data, size_t size);

/* hotstuff_lead.c */
void lead_begin(void);
void lead_entered(bool by_certificate, uint64_t patience);
void lead_grace_over(void);
void lead_propose(void); /* if it is time */
void lead_again(void);   /* to all, if it has proposed in this view */
void lead_has_votes(const struct reference *reference, unsigned votes);
/* a node lacks so many shares for the proposal's certificate */
void lead_take_doubt(unsigned from, const struct reference *reference, unsigned missing);

/* hotstuff_lies.c */
void lies_begin(void);
bool hotstuff_lie(unsigned to, uint8_t *type, uint8_t *data, size_t *size);
void hotstuff_attack(void);

#endif
