/* PBFT's traitors: what they change in messages on their way, and what they send unasked. */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define FLOOD_EACH 64u /* messages to each node at a time */
#define APART 32u /* numbers of the other commands: near enough for the ledger, and mostly not decided yet */

static uint32_t attacks; /* how often */

/* the other one of two commands, both valid */
static void turn(uint8_t *at)
{
    struct command command;
    memcpy(&command, at, sizeof command);
    if (command.client != 0) {
        command = ledger_command(command.client, ((command.number - 1) ^ APART) + 1);
        memcpy(at, &command, sizeof command);
    }
}

/* One half of the nodes sees one command, the other half the other, from every traitor alike: so each half gets from
 * them the votes for what it was told. */
static void equivocate(unsigned to, uint8_t type, uint8_t *data, size_t size)
{
    if (to % 2 == cluster.self % 2) {
        return;
    }
    if (type == PRE_PREPARE || type == PREPARE || type == COMMIT) {
        turn(data + 8);
    } else if (type == VOTES) {
        for (size_t at = 4; at + VOTES_ENTRY <= size; at += VOTES_ENTRY) {
            turn(data + at + 5);
        }
    }
}

bool pbft_lie(unsigned to, uint8_t *type, uint8_t *data, size_t *size)
{
    if (cluster.treason == EQUIVOCATE) {
        equivocate(to, *type, data, *size);
    } else if (cluster.treason == CORRUPT && *type != REQUEST && *type != STATUS && *size > 0) {
        /* the digest, or the last of what is named, is what all of these end with */
        data[*size - 1] ^= 0x55;
    }
    return true;
}

static void want_views(void)
{
    static uint8_t data[LONG_MAX];
    uint32_t far = my.view + 1 + attacks * 1000;
    uint32_t leading = my.view + 1 + (cluster.count + cluster.self - primary_of(my.view + 1)) % cluster.count;
    long_send(0, VIEW_CHANGE, cluster.self, my.view + 1, data, view_change_write(data, my.view + 1));
    long_send(0, VIEW_CHANGE, cluster.self, far, data, view_change_write(data, far));
    data[0] = (uint8_t)cluster.quorum;
    for (unsigned i = 0; i < cluster.quorum; i++) {
        data[1 + i * (1 + DIGEST)] = (uint8_t)(i + 1);
        memset(data + 2 + i * (1 + DIGEST), (int)attacks, DIGEST);
    }
    long_send(0, NEW_VIEW, cluster.self, leading, data, 1 + cluster.quorum * (1 + DIGEST));
    long_send(0, NEW_VIEW, cluster.self, my.view, data, 1 + cluster.quorum * (1 + DIGEST));
}

/* the first as it should be; then cut short, of other views and numbers, and noise */
static void flood(void)
{
    uint8_t data[PAYLOAD_MAX];
    uint64_t noise = clock_ns() ^ cluster.seed;
    for (unsigned i = 0; i < FLOOD_EACH; i++) {
        struct command command = ledger_command(cluster.self, ledger_submitted() + 1 + i % 32);
        uint8_t type = (uint8_t)(1 + i % 16);
        size_t size = type == REQUEST ? sizeof command : VOTE_SIZE;
        for (size_t at = 0; at < sizeof data; at++) {
            noise = noise * 6364136223846793005u + 1442695040888963407u;
            data[at] = (uint8_t)(noise >> 56);
        }
        put_u32(data, i % 4 == 3 ? get_u32(data) : my.view);
        put_u32(data + 4, ledger_height() + data[4] % 64);
        memcpy(data + (type == REQUEST ? 0 : 8), &command, sizeof command);
        if (i % 8 >= 6) {
            size = get_u16(data + 40) % PAYLOAD_MAX;
        }
        wire_send_all(type, data, size);
    }
}

/* Make one node decide what nobody else does: for numbers that the primary has not come to, so that its own
 * pre-prepares come too late there. */
static void forge(void)
{
    unsigned primary = primary_of(my.view), victim = cluster.self % cluster.count + 1;
    uint8_t data[VOTE_SIZE];
    if (victim == primary) {
        victim = victim % cluster.count + 1;
    }
    for (uint32_t ahead = 1; ahead <= 4; ahead++) {
        uint32_t sequence = ledger_height() + cluster.pipeline + ahead;
        struct command command = ledger_command(cluster.self, ledger_submitted() + APART / 2 + sequence % APART);
        put_u32(data, my.view);
        put_u32(data + 4, sequence);
        memcpy(data + 8, &command, sizeof command);
        wire_forge(primary, victim, PRE_PREPARE, data, sizeof data);
        for (unsigned node = 1; node <= cluster.count; node++) {
            if (node != victim && node != primary) {
                wire_forge(node, victim, PREPARE, data, sizeof data);
            }
        }
        for (unsigned node = 1; node <= cluster.count; node++) {
            if (node != victim) {
                wire_forge(node, victim, COMMIT, data, sizeof data);
            }
        }
    }
}

void pbft_attack(void)
{
    attacks++;
    if (cluster.treason == FALSE_VIEW) {
        want_views();
    } else if (cluster.treason == FLOOD) {
        flood();
    } else if (cluster.treason == FORGE) {
        forge();
    }
}
