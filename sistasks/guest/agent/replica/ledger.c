/* The log of one replica: what was decided, in order, as a hash chain; and how long its own commands took. */
#include <stdlib.h>
#include <string.h>

#include "../sis.h"
#include "internal.h"
#include "replica.h"

#define SAMPLES_OPEN 64

/* on the wire and to the host an entry is 48 bytes: round, how, at, command */
struct entry {
    uint32_t round, how;
    uint64_t at;
    struct command command;
};
_Static_assert(sizeof(struct entry) == DECISION_SIZE, "an entry is sent as it lies");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are sent as they lie");

static struct entry *entries;
static uint32_t height, room;
static uint8_t head[DIGEST];
static uint32_t submitted;
static uint64_t submitted_at[SAMPLES_OPEN];
static int64_t *latencies;
static uint32_t latency_count, latency_room;
/* per client: the last number up to which all are decided, and the later ones as bits */
static struct {
    uint32_t whole;
    uint64_t later;
} decided[NODES_MAX + 1];

void ledger_begin(void)
{
    struct sha256 hash;
    uint8_t seed[8];
    free(entries);
    free(latencies);
    entries = NULL;
    latencies = NULL;
    height = room = submitted = latency_count = latency_room = 0;
    memset(decided, 0, sizeof decided);
    put_u64(seed, cluster.seed);
    sha256_begin(&hash);
    sha256_add(&hash, "sistasks ledger", strlen("sistasks ledger"));
    sha256_add(&hash, seed, sizeof seed);
    sha256_end(&hash, head);
}

struct command ledger_command(uint32_t client, uint32_t number)
{
    struct command command = {.client = client, .number = number};
    struct sha256 hash;
    uint8_t numbers[16], digest[DIGEST];
    put_u64(numbers, cluster.seed);
    put_u32(numbers + 8, client);
    put_u32(numbers + 12, number);
    sha256_begin(&hash);
    sha256_add(&hash, "sistasks command", strlen("sistasks command"));
    sha256_add(&hash, numbers, sizeof numbers);
    sha256_end(&hash, digest);
    memcpy(command.value, digest, sizeof command.value);
    return command;
}

bool ledger_valid(const struct command *command)
{
    static const struct command empty;
    if (command->client == 0) {
        return memcmp(command, &empty, sizeof empty) == 0;
    }
    if (command->client > cluster.count || command->number == 0) {
        return false;
    }
    struct command right = ledger_command(command->client, command->number);
    return memcmp(command, &right, sizeof right) == 0;
}

bool ledger_has(uint32_t client, uint32_t number)
{
    if (client == 0 || client > cluster.count) {
        return false;
    }
    uint32_t whole = decided[client].whole;
    return number <= whole || (number - whole <= 64 && decided[client].later >> (number - whole - 1) & 1);
}

bool ledger_open(uint32_t client, uint32_t number)
{
    return client != 0 && client <= cluster.count && number > decided[client].whole &&
           number - decided[client].whole <= 64 && !ledger_has(client, number);
}

static void mark(const struct command *command)
{
    if (command->client == 0 || command->client > cluster.count || command->number <= decided[command->client].whole ||
        command->number - decided[command->client].whole > 64) {
        return;
    }
    decided[command->client].later |= (uint64_t)1 << (command->number - decided[command->client].whole - 1);
    while (decided[command->client].later & 1) {
        decided[command->client].later >>= 1;
        decided[command->client].whole++;
    }
}

uint32_t ledger_height(void)
{
    return height;
}

const struct command *ledger_at(uint32_t index)
{
    return &entries[index].command;
}

uint32_t ledger_round_at(uint32_t index)
{
    return entries[index].round;
}

const uint8_t *ledger_head(void)
{
    return head;
}

struct command ledger_submit(void)
{
    submitted++;
    submitted_at[submitted % SAMPLES_OPEN] = now_ns();
    return ledger_command(cluster.self, submitted);
}

uint32_t ledger_submitted(void)
{
    return submitted;
}

/* an array of `size` bytes an element that has room for one more */
static void *grown(void *array, uint32_t count, uint32_t *room_now, size_t size)
{
    if (count < *room_now) {
        return array;
    }
    *room_now = *room_now == 0 ? 1024 : *room_now * 2;
    void *larger = realloc(array, *room_now * size);
    if (larger == NULL) {
        /* a log that forgets would be a lie */
        replica_give_up("too little memory for the log");
    }
    return larger;
}

void ledger_sample(int64_t ns)
{
    latencies = grown(latencies, latency_count, &latency_room, sizeof *latencies);
    latencies[latency_count++] = ns;
}

static void measure_own(const struct command *command, uint64_t now)
{
    if (command->client != cluster.self || command->number > submitted ||
        submitted - command->number >= SAMPLES_OPEN) {
        return;
    }
    uint64_t *at = &submitted_at[command->number % SAMPLES_OPEN];
    if (*at != 0) {
        ledger_sample((int64_t)(now - *at));
        *at = 0;
    }
}

void ledger_put(const struct command *command, uint32_t round, uint32_t how)
{
    struct sha256 hash;
    uint64_t now = now_ns();
    entries = grown(entries, height, &room, sizeof *entries);
    entries[height] = (struct entry){.round = round, .how = how, .at = now, .command = *command};
    height++;
    mark(command);
    sha256_begin(&hash);
    sha256_add(&hash, head, sizeof head);
    sha256_add(&hash, command, sizeof *command);
    sha256_end(&hash, head);
    if (how == DECIDED_HERE) {
        measure_own(command, now);
    }
}

void ledger_append(const struct command *command, uint32_t round)
{
    ledger_put(command, round, DECIDED_HERE);
    catchup_moved();
}

/* As frames of at most this many entries, and the latencies as samples. */
#define ENTRIES_PER_FRAME 512

void ledger_report(const char *metric)
{
    static uint8_t payload[8 + ENTRIES_PER_FRAME * DECISION_SIZE];
    for (uint32_t first = 0; first < height; first += ENTRIES_PER_FRAME) {
        uint32_t some = height - first < ENTRIES_PER_FRAME ? height - first : ENTRIES_PER_FRAME;
        put_u32(payload, first);
        put_u32(payload + 4, some);
        memcpy(payload + 8, entries + first, some * sizeof *entries);
        channel_bytes(FRAME_DECISIONS, payload, 8 + some * sizeof *entries);
    }
    if (latency_count > 0) {
        channel_samples(metric, latencies, latency_count);
    }
}
