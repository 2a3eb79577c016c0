/* What a traitor does in the linear protocol. */
#include <string.h>

#include "../sis.h"
#include "hotstuff.h"

static struct random_state dice;

void lies_begin(void)
{
    random_seed(&dice, cluster.seed * (NODES_MAX + 1) + cluster.self);
}

/* to the second half of the nodes another command, just as valid */
static void equivocate(unsigned to, uint8_t *data)
{
    struct block block;
    if (to <= cluster.count / 2) {
        return;
    }
    block_read(data, &block);
    block.height += block.command.client == 0;
    block.command = ledger_command(cluster.self, block.command.number + 1);
    block_write(&block, data);
}

static void corrupt(unsigned to, uint8_t type, uint8_t *data, size_t size)
{
    size_t from = REFERENCE_SIZE, end = size;
    switch (type) {
    case VOTE:
        /* its leader can use this vote, and shows it to others who cannot */
        for (unsigned node = 1; node <= cluster.count; node++) {
            if (node != to) {
                memset(data + REFERENCE_SIZE + (node - 1) * SHARE, (int)node, SHARE);
            }
        }
        return;
    case PROPOSAL:
        from = 8 + 4; /* the digest of the parent */
        end = from + DIGEST;
        break;
    case WISH:
        from = 5;
        break;
    case BLOCKS:
        from = 0;
        break;
    default:
        from = 4;
        break;
    }
    for (size_t i = from; i < end; i++) {
        data[i] ^= 0x55;
    }
}

bool hotstuff_lie(unsigned to, uint8_t *type, uint8_t *data, size_t *size)
{
    if (cluster.treason == CORRUPT) {
        corrupt(to, *type, data, *size);
    } else if (*type == PROPOSAL) {
        equivocate(to, data);
    }
    return true;
}

/* shares in the name of everybody, which are none */
static size_t false_certificate(uint8_t *out)
{
    memset(out, 0, VOTERS_SIZE);
    for (unsigned node = 0; node < cluster.count; node++) {
        out[node / 8] |= (uint8_t)(1u << node % 8);
    }
    memset(out + VOTERS_SIZE, 0xee, cluster.count * SHARE);
    return VOTERS_SIZE + cluster.count * SHARE;
}

/* certificates that do not exist, for views that nobody needs */
static void ask_for_false_views(void)
{
    uint8_t data[PAYLOAD_MAX];
    struct reference reference = {.view = chain.view + (uint32_t)(random_next(&dice) % 1000)};
    memset(reference.digest, (int)random_next(&dice), DIGEST);
    for (unsigned i = 0; i < WISH_REFERENCES; i++) {
        reference.view++;
        put_reference(data + 5 + i * REFERENCE_SIZE, &reference);
    }
    put_u32(data, reference.view + 1);
    data[4] = WISH_REFERENCES;
    wire_send_all(WISH, data, 5 + WISH_REFERENCES * REFERENCE_SIZE);
    /* a block of its own next view upon such a certificate, with shares that are none */
    struct block block = {.self = {.view = chain.view + 1}};
    while (leader_of(block.self.view) != cluster.self) {
        block.self.view++;
    }
    reference.view = block.self.view - 1;
    block.parent = reference;
    block_write(&block, data);
    wire_send_all(PROPOSAL, data, BLOCK_SIZE + false_certificate(data + BLOCK_SIZE));
}

static void flood(void)
{
    uint8_t data[PAYLOAD_MAX];
    struct reference high = chain.high;
    for (unsigned i = 0; i < 16; i++) {
        for (size_t at = 0; at < sizeof data; at += 8) {
            put_u64(data + at, random_next(&dice));
        }
        /* half of them about something that exists */
        if (i % 2 == 0) {
            put_reference(data, &high);
        }
        wire_send_all((uint8_t)(i % (BLOCKS + 2)), data,
                      i % 4 == 0 ? REFERENCE_SIZE : (size_t)(random_next(&dice) % sizeof data));
    }
}

/* One victim is shown a chain of three certified blocks, from leaders that know nothing of them: where shares are not
 * checked, it decides the first of them. */
static void forge(void)
{
    uint8_t data[PAYLOAD_MAX];
    struct reference parent = chain.high;
    const struct block *high = block_find(&parent);
    unsigned victim = cluster.self % cluster.count + 1;
    uint32_t view = chain.view + AHEAD / 4; /* the true chain shall not overtake it on the way */
    if (high == NULL || !high->here) {
        return;
    }
    uint32_t height = high->height + 1;
    uint8_t blocks[4][BLOCK_SIZE];
    for (unsigned i = 0; i < 4; i++, view++) {
        struct block block = {.self = {.view = view}, .parent = parent, .height = height};
        if (i == 0) {
            block.command = ledger_command(leader_of(view), ledger_height() + 17);
        }
        block_seal(&block);
        block_write(&block, blocks[i]);
        memcpy(data, blocks[i], BLOCK_SIZE);
        size_t size = BLOCK_SIZE + false_certificate(data + BLOCK_SIZE);
        if (leader_of(view) != victim) {
            wire_forge(leader_of(view), victim, PROPOSAL, data, size);
        }
        parent = block.self;
    }
    /* the victim's own would be the one that it lacks */
    for (unsigned i = 0; i < 4; i++) {
        wire_forge(cluster.self, victim, BLOCKS, blocks[i], BLOCK_SIZE);
    }
}

void hotstuff_attack(void)
{
    switch (cluster.treason) {
    case FALSE_VIEW:
        ask_for_false_views();
        break;
    case FLOOD:
        flood();
        break;
    case FORGE:
        forge();
        break;
    default:
        break;
    }
}
