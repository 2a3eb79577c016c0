/* PBFT's requests (4.1): the replicas are their own clients.
 *
 * A slot is a place in the ledger. Slot k belongs to client k mod n + 1: when it becomes one of the next `pipeline`
 * undecided ones, that node submits a command, which the primary may put into any slot. So as many commands are under
 * way as the pipeline is long. A client that does not come forward in time is passed over, until the ledger has a
 * command of it again; the others own its slots meanwhile.
 */
#include <string.h>

#include "pbft.h"
#include "replica.h"

/* what nobody has executed yet, in the order in which it came */
static struct pending {
    struct command command;
    uint64_t at, relayed_at;
    uint32_t height; /* of the ledger, then */
} pending[NODES_MAX * PIPELINE_MAX];
static unsigned pending_count, pending_of[NODES_MAX + 1];

static struct own {
    struct command command;
    uint64_t sent_at;
} own[2 * PIPELINE_MAX];
static unsigned own_count;

static struct client {
    bool absent;
    uint32_t served; /* the height at which its last command was executed */
    uint64_t served_at;
} clients[NODES_MAX + 1];
static uint64_t idle_since; /* the next slot has been without a proposal */

static unsigned pipeline(void)
{
    return cluster.pipeline < 1 ? 1 : cluster.pipeline > PIPELINE_MAX ? PIPELINE_MAX : cluster.pipeline;
}

void requests_begin(void)
{
    pending_count = own_count = 0;
    memset(pending_of, 0, sizeof pending_of);
    memset(clients, 0, sizeof clients);
    idle_since = clock_ns();
}

static bool names(const struct command *a, const struct command *b)
{
    return a->client == b->client && a->number == b->number;
}

static struct pending *find_pending(const struct command *command)
{
    for (unsigned i = 0; i < pending_count; i++) {
        if (names(&pending[i].command, command)) {
            return &pending[i];
        }
    }
    return NULL;
}

/* A client has a pipeline of commands under way at most, so its next numbers are near: a traitor that invents others,
 * in its own name or another's, fills nothing but its own share. */
static void keep_pending(const struct command *command)
{
    if (pending_of[command->client] >= 2 * pipeline() || pending_count == sizeof pending / sizeof *pending ||
        !ledger_open(command->client, command->number) || find_pending(command) != NULL || !ledger_valid(command)) {
        return;
    }
    pending[pending_count++] = (struct pending){
        .command = *command, .at = clock_ns(), .relayed_at = clock_ns(), .height = ledger_height()};
    pending_of[command->client]++;
    my.unsettled = true;
}

void requests_hear(const uint8_t *data, size_t size)
{
    struct command command;
    if (size != sizeof command) {
        return;
    }
    memcpy(&command, data, sizeof command);
    if (command.client != 0 && command.client <= cluster.count) {
        keep_pending(&command);
    }
}

static void drop_pending(const struct command *command)
{
    struct pending *gone = find_pending(command);
    if (gone != NULL) {
        size_t behind = (size_t)(&pending[pending_count] - (gone + 1));
        memmove(gone, gone + 1, behind * sizeof *gone);
        pending_count--;
        pending_of[command->client]--;
    }
}

void requests_executed(const struct command *command, uint32_t sequence)
{
    idle_since = clock_ns();
    if (command->client == 0 || command->client > cluster.count) {
        return;
    }
    struct client *client = &clients[command->client];
    client->absent = false;
    client->served = sequence;
    client->served_at = clock_ns();
    drop_pending(command);
    for (unsigned i = 0; i < own_count; i++) {
        if (names(&own[i].command, command)) {
            own[i] = own[--own_count];
            break;
        }
    }
}

/* --- the client */

static void send_own(struct own *one, bool to_all)
{
    one->sent_at = clock_ns();
    keep_pending(&one->command);
    if (to_all || !my.active) {
        wire_send_all(REQUEST, &one->command, sizeof one->command);
    } else if (primary_of(my.view) != cluster.self) {
        wire_send(primary_of(my.view), REQUEST, &one->command, sizeof one->command);
    }
}

/* whose turn it is: nobody thinks itself absent */
static unsigned owner_of(uint32_t index)
{
    unsigned node = index % cluster.count + 1;
    while (clients[node].absent && node != cluster.self) {
        node = node % cluster.count + 1;
    }
    return node;
}

void requests_submit(void)
{
    uint32_t height = ledger_height(), end = height + pipeline();
    unsigned wanted = 0;
    if (cluster.decisions != 0 && cluster.decisions < end) {
        end = cluster.decisions;
    }
    for (uint32_t index = height; index < end; index++) {
        wanted += owner_of(index) == cluster.self;
    }
    while (own_count < wanted) {
        struct own one = {.command = ledger_submit()};
        /* a traitor may have come before us with our own command: then the next one */
        if (!ledger_has(one.command.client, one.command.number)) {
            own[own_count] = one;
            send_own(&own[own_count++], false);
        }
    }
}

void requests_new_view(void)
{
    idle_since = clock_ns();
    for (unsigned i = 0; i < own_count; i++) {
        send_own(&own[i], false);
    }
}

/* --- patience */

/* the next slot stands empty because its client is not there: the next one in turn takes it */
static void pass_over_absent(uint64_t now)
{
    const struct slot *next = slot_of(ledger_height() + 1);
    if (!my.active || finished() || pending_count > 0 || (next != NULL && next->accepted)) {
        idle_since = now;
    } else if (now - idle_since > cluster.timeout_ns / 8) {
        unsigned owner = owner_of(ledger_height());
        clients[owner].absent = owner != cluster.self;
        idle_since = now;
    }
}

/* A backup passes on what the client had to send to all (4.1): the way from the client to the primary may be cut. */
static void relay(uint64_t now)
{
    unsigned primary = primary_of(my.view);
    if (!my.active || primary == cluster.self) {
        return;
    }
    for (unsigned i = 0; i < pending_count; i++) {
        struct pending *one = &pending[i];
        if (one->command.client != cluster.self && now - one->relayed_at > cluster.timeout_ns / 4) {
            one->relayed_at = now;
            wire_send(primary, REQUEST, &one->command, sizeof one->command);
        }
    }
}

void requests_tick(uint64_t now)
{
    pass_over_absent(now);
    relay(now);
    for (unsigned i = 0; i < own_count && !finished(); i++) {
        if (now - own[i].sent_at > cluster.timeout_ns / 2) {
            send_own(&own[i], true);
        }
    }
}

/* whether there is anything that should be executed by and by */
bool requests_waiting(void)
{
    if (pending_count > 0) {
        return true;
    }
    for (uint32_t sequence = ledger_height() + 1; sequence <= my.stable + WINDOW; sequence++) {
        const struct slot *slot = slot_of(sequence);
        if (slot != NULL && slot->accepted) {
            return true;
        }
    }
    return false;
}

/* One client's request waits while all others had their turn twice: the primary leaves it out. Counted in decisions,
 * so that a slow machine is no reason. */
bool requests_starved(uint64_t now)
{
    uint32_t turns = 2 * cluster.count + 2 * PIPELINE_MAX;
    for (unsigned i = 0; i < pending_count; i++) {
        const struct pending *one = &pending[i];
        const struct client *client = &clients[one->command.client];
        uint32_t since = one->height > client->served ? one->height : client->served;
        uint64_t at = one->at > client->served_at ? one->at : client->served_at;
        if (ledger_height() - since > turns && now - at > patience()) {
            return true;
        }
    }
    return false;
}

/* --- the primary */

bool requests_under_way(const struct command *command, uint32_t except)
{
    for (uint32_t sequence = ledger_height() + 1; sequence <= my.stable + WINDOW; sequence++) {
        const struct slot *slot = &my.slots[sequence % WINDOW];
        if (sequence > my.stable && sequence != except && slot->accepted && names(&slot->value, command)) {
            return true;
        }
    }
    return false;
}

/* the client that has waited longest comes first, so that none can push the others aside */
static const struct command *choose(void)
{
    const struct command *best = NULL;
    for (unsigned i = 0; i < pending_count; i++) {
        const struct command *command = &pending[i].command;
        if ((best == NULL || clients[command->client].served < clients[best->client].served) &&
            !requests_under_way(command, 0)) {
            best = command;
        }
    }
    return best;
}

void primary_propose(void)
{
    if (!my.active || primary_of(my.view) != cluster.self) {
        return;
    }
    if (my.next <= ledger_height()) {
        my.next = ledger_height() + 1;
    }
    while (my.next <= ledger_height() + pipeline()) {
        struct slot *slot = slot_of(my.next);
        const struct command *command = slot == NULL ? NULL : choose();
        if (command == NULL) {
            return;
        }
        uint8_t data[VOTE_SIZE];
        put_u32(data, my.view);
        put_u32(data + 4, my.next);
        memcpy(data + 8, command, sizeof *command);
        wire_send_all(PRE_PREPARE, data, sizeof data);
        my.next++;
        slot_accept(slot, command);
    }
}
