/* The recent blocks of the chain: by view, two of each, for a traitor may make more than one. */
#include <string.h>

#include "hotstuff.h"

#define ANSWER (PAYLOAD_MAX / BLOCK_SIZE)

static struct block ring[RING][WAYS];
static struct reference asked;
static uint64_t asked_at;

void put_reference(uint8_t *at, const struct reference *reference)
{
    put_u32(at, reference->view);
    memcpy(at + 4, reference->digest, DIGEST);
}

struct reference get_reference(const uint8_t *at)
{
    struct reference reference = {.view = get_u32(at)};
    memcpy(reference.digest, at + 4, DIGEST);
    return reference;
}

bool same(const struct reference *a, const struct reference *b)
{
    return a->view == b->view && memcmp(a->digest, b->digest, DIGEST) == 0;
}

void blocks_begin(struct reference *genesis)
{
    struct sha256 hash;
    uint8_t seed[8];
    memset(ring, 0, sizeof ring);
    memset(&asked, 0, sizeof asked);
    asked_at = 0;
    put_u64(seed, cluster.seed);
    genesis->view = 0;
    sha256_begin(&hash);
    sha256_add(&hash, "hotstuff genesis", strlen("hotstuff genesis"));
    sha256_add(&hash, seed, sizeof seed);
    sha256_end(&hash, genesis->digest);
    ring[0][0] = (struct block){
        .self = *genesis, .parent = *genesis, .here = true, .witnessed = true, .certified = true, .voted = true};
}

struct block *block_of_view(uint32_t view, unsigned which)
{
    struct block *block = &ring[view % RING][which];
    return which < WAYS && block->here && block->self.view == view ? block : NULL;
}

struct block *block_find(const struct reference *reference)
{
    for (unsigned way = 0; way < WAYS; way++) {
        struct block *block = &ring[reference->view % RING][way];
        if (same(&block->self, reference)) {
            return block;
        }
    }
    return NULL;
}

bool block_certified(const struct reference *reference)
{
    const struct block *block = block_find(reference);
    return block != NULL && block->certified;
}

/* whether another block of this view or a later one may take its place */
static bool gives_way(const struct block *block, uint32_t view)
{
    return block->self.view < view || (block->self.view == view && !block->certified && !block->voted);
}

struct block *block_place(const struct reference *reference)
{
    struct block *found = block_find(reference), *place = NULL;
    if (found != NULL) {
        return found;
    }
    for (unsigned way = 0; way < WAYS; way++) {
        struct block *block = &ring[reference->view % RING][way];
        if (gives_way(block, reference->view) && (place == NULL || block->self.view < place->self.view)) {
            place = block;
        }
    }
    if (place != NULL) {
        memset(place, 0, sizeof *place);
        place->self = *reference;
    }
    return place;
}

void block_write(const struct block *block, uint8_t *data)
{
    put_u32(data, block->self.view);
    put_u32(data + 4, block->height);
    put_reference(data + 8, &block->parent);
    memcpy(data + 8 + REFERENCE_SIZE, &block->command, sizeof block->command);
}

static void digest_of(const uint8_t *data, uint8_t digest[DIGEST])
{
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, "hotstuff block", strlen("hotstuff block"));
    sha256_add(&hash, data, BLOCK_SIZE);
    sha256_end(&hash, digest);
}

void block_seal(struct block *block)
{
    uint8_t data[BLOCK_SIZE];
    block_write(block, data);
    digest_of(data, block->self.digest);
}

void block_read(const uint8_t *data, struct block *block)
{
    memset(block, 0, sizeof *block);
    block->self.view = get_u32(data);
    digest_of(data, block->self.digest);
    block->height = get_u32(data + 4);
    block->parent = get_reference(data + 8);
    memcpy(&block->command, data + 8 + REFERENCE_SIZE, sizeof block->command);
}

struct block *block_keep(const struct block *content)
{
    struct block *block = block_place(&content->self);
    if (block != NULL && !block->here) {
        block->parent = content->parent;
        block->height = content->height;
        block->command = content->command;
        block->here = true;
    }
    return block;
}

void block_ask(const struct reference *reference, unsigned node)
{
    uint8_t data[REFERENCE_SIZE];
    if (same(&asked, reference) && clock_ns() - asked_at < cluster.timeout_ns / 16) {
        return;
    }
    asked = *reference;
    asked_at = clock_ns();
    put_reference(data, reference);
    wire_send(node == cluster.self ? node % cluster.count + 1 : node, ASK, data, sizeof data);
}

bool block_wanted(const struct reference *reference)
{
    const struct block *block = block_find(reference);
    return block != NULL ? !block->here : same(&asked, reference);
}

void block_answer(unsigned to, const struct reference *reference)
{
    uint8_t data[ANSWER * BLOCK_SIZE];
    const struct block *block = block_find(reference);
    size_t size = 0;
    while (block != NULL && block->here && block->self.view != 0 && size < sizeof data) {
        block_write(block, data + size);
        size += BLOCK_SIZE;
        block = block_find(&block->parent);
    }
    if (size > 0) {
        wire_send(to, BLOCKS, data, size);
    }
}

bool block_rooted(const struct block *block, unsigned node)
{
    while (block->here && block->height > ledger_height()) {
        struct reference parent = block->parent;
        block = block_find(&parent);
        if (block == NULL) {
            block_ask(&parent, node);
            return false;
        }
    }
    if (!block->here) {
        block_ask(&block->self, node);
    }
    return block->here;
}

bool block_carries(const struct block *block, uint32_t client, uint32_t number)
{
    while (block != NULL && block->height > ledger_height()) {
        if (block->command.client == client && block->command.number == number) {
            return true;
        }
        block = block_find(&block->parent);
    }
    return false;
}

bool block_decide(const struct reference *reference, unsigned node)
{
    static const struct block *path[RING];
    const struct block *block = block_find(reference);
    unsigned length = 0;
    if (block == NULL || !block_rooted(block, node)) {
        return false;
    }
    for (; block->height > ledger_height() && length < RING; block = block_find(&block->parent)) {
        path[length++] = block;
    }
    while (length-- > 0) {
        /* by height, so that what catch-up has brought is neither decided twice nor out of order */
        if (path[length]->command.client != 0 && path[length]->height == ledger_height() + 1) {
            ledger_append(&path[length]->command, path[length]->self.view);
        }
    }
    return true;
}

struct block *block_three_chain(const struct block *last)
{
    struct block *middle = block_find(&last->parent);
    if (!last->certified || !last->here || middle == NULL || !middle->here ||
        last->self.view != middle->self.view + 1) {
        return NULL;
    }
    struct block *first = block_find(&middle->parent);
    return first != NULL && middle->self.view == first->self.view + 1 ? first : NULL;
}
