/* Certificates without signatures.
 *
 * Nodes share secrets in pairs, so nobody can show to a third what a second has said. A vote therefore carries one
 * share (a short MAC) for every node, and a leader passes on to each node the column that is for it. Whoever finds a
 * quorum of shares for itself knows as much as a signature would tell it. A traitor may give good shares to the
 * leader and bad ones to others; then others doubt, and two things help:
 *   - more votes: the leader sends again when it has so many more as a doubter lacks;
 *   - vouchers: f + 1 nodes say that they have verified the certificate, and one of them is loyal.
 */
#include <string.h>

#include "hotstuff.h"

#define VOTES 2u  /* of each node that are kept: the two of the highest views */
#define DOUBTS 4u /* references that are in doubt at once */

static struct vote {
    struct reference block;
    uint8_t shares[NODES_MAX][SHARE];
} votes[NODES_MAX + 1][VOTES];
static struct {
    struct reference blocks[WISH_REFERENCES];
    unsigned count;
} wishes[NODES_MAX + 1];
static struct {
    struct reference block;
    bool vouched[NODES_MAX + 1];
} doubts[DOUBTS];
static unsigned next_doubt;

void proof_begin(void)
{
    memset(votes, 0, sizeof votes);
    memset(wishes, 0, sizeof wishes);
    memset(doubts, 0, sizeof doubts);
    next_doubt = 0;
}

void proof_statement(const struct reference *reference, uint8_t digest[DIGEST])
{
    uint8_t data[REFERENCE_SIZE];
    struct sha256 hash;
    put_reference(data, reference);
    sha256_begin(&hash);
    sha256_add(&hash, "hotstuff vote", strlen("hotstuff vote"));
    sha256_add(&hash, data, sizeof data);
    sha256_end(&hash, digest);
}

bool proof_take_vote(unsigned from, const uint8_t *data, size_t size, struct reference *reference)
{
    uint8_t statement[DIGEST];
    struct vote *place = &votes[from][0];
    if (size != REFERENCE_SIZE + cluster.count * SHARE) {
        return false;
    }
    *reference = get_reference(data);
    for (unsigned i = 0; i < VOTES; i++) {
        if (votes[from][i].block.view == reference->view) {
            return false;
        }
        if (votes[from][i].block.view < place->block.view) {
            place = &votes[from][i];
        }
    }
    proof_statement(reference, statement);
    if (reference->view < place->block.view ||
        !wire_share_holds(from, statement, data + REFERENCE_SIZE + (cluster.self - 1) * SHARE)) {
        return false;
    }
    place->block = *reference;
    memcpy(place->shares, data + REFERENCE_SIZE, cluster.count * SHARE);
    return true;
}

static const struct vote *vote_of(unsigned node, const struct reference *reference)
{
    for (unsigned i = 0; i < VOTES; i++) {
        if (same(&votes[node][i].block, reference)) {
            return &votes[node][i];
        }
    }
    return NULL;
}

unsigned proof_votes(const struct reference *reference)
{
    unsigned sum = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        sum += vote_of(node, reference) != NULL;
    }
    return sum;
}

size_t proof_column(const struct reference *reference, unsigned to, uint8_t *out)
{
    size_t size = VOTERS_SIZE;
    memset(out, 0, VOTERS_SIZE);
    for (unsigned node = 1; node <= cluster.count; node++) {
        const struct vote *vote = vote_of(node, reference);
        if (vote != NULL) {
            out[(node - 1) / 8] |= (uint8_t)(1u << (node - 1) % 8);
            memcpy(out + size, vote->shares[to - 1], SHARE);
            size += SHARE;
        }
    }
    return size;
}

bool proof_check(const struct reference *reference, const uint8_t *data, size_t size, unsigned enough, unsigned *holds)
{
    uint8_t statement[DIGEST];
    unsigned voters = 0;
    *holds = 0;
    for (unsigned bit = 0; size >= VOTERS_SIZE && bit < NODES_MAX; bit++) {
        bool voter = data[bit / 8] >> bit % 8 & 1;
        if (voter && bit >= cluster.count) {
            return false;
        }
        voters += voter;
    }
    if (size < VOTERS_SIZE || size != VOTERS_SIZE + voters * SHARE) {
        return false;
    }
    const uint8_t *share = data + VOTERS_SIZE;
    proof_statement(reference, statement);
    for (unsigned node = 1; node <= cluster.count && *holds < enough; node++) {
        if (data[(node - 1) / 8] >> (node - 1) % 8 & 1) {
            *holds += wire_share_holds(node, statement, share);
            share += SHARE;
        }
    }
    return true;
}

void proof_take_wish(unsigned from, const uint8_t *data, unsigned count)
{
    wishes[from].count = count;
    for (unsigned i = 0; i < count; i++) {
        wishes[from].blocks[i] = get_reference(data + i * REFERENCE_SIZE);
    }
}

unsigned proof_vouchers(const struct reference *reference)
{
    unsigned sum = 0;
    for (unsigned node = 1; node <= cluster.count; node++) {
        for (unsigned i = 0; i < wishes[node].count; i++) {
            if (same(&wishes[node].blocks[i], reference)) {
                sum++;
                break;
            }
        }
    }
    return sum;
}

unsigned proof_take_vouch(unsigned from, const struct reference *reference)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < DOUBTS; i++) {
        if (!same(&doubts[i].block, reference)) {
            continue;
        }
        doubts[i].vouched[from] = true;
        for (unsigned node = 1; node <= cluster.count; node++) {
            sum += doubts[i].vouched[node];
        }
    }
    return sum;
}

bool proof_doubt(const struct reference *reference)
{
    for (unsigned i = 0; i < DOUBTS; i++) {
        if (same(&doubts[i].block, reference)) {
            return false;
        }
    }
    memset(&doubts[next_doubt], 0, sizeof doubts[next_doubt]);
    doubts[next_doubt].block = *reference;
    next_doubt = (next_doubt + 1) % DOUBTS;
    return true;
}
