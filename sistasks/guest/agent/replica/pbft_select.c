/* PBFT's view-change messages, and the decision procedure that makes a new view of them (4.4). And how messages that
 * may be longer than a datagram are cut into parts.
 *
 * VIEW-CHANGE: view u32, author u8, stable u32, number of checkpoints u8, number of records u8; the checkpoints C, each
 * sequence u32 and digest; the records, in order of their sequence numbers: sequence - stable u8, view in which the
 * command was prepared u32 (NO_VIEW: it was not; else it is the element of P), view in which it was pre-prepared last
 * u32 (the element of Q), command. A prepared command has been pre-prepared: so P is a part of Q, and one record serves
 * both. At most 11 + 3 * 36 + 32 * 3 * 41 = 4055 bytes: three parts of 1400; usually, with one command a number and
 * half the window in use, 11 + 2 * 36 + 16 * 41 = 739: one.
 *
 * NEW-VIEW: number u8, then for each view-change: author u8, digest: at most 1 + 128 * 33 = 4225 bytes. It does not say
 * what has been selected: that follows from the view-changes, everywhere in the same way.
 *
 * Part: view u32, author u8, which u8, size of the whole u16, bytes.
 */
#include <string.h>

#include "pbft.h"
#include "replica.h"

#define HEADER 11u
#define CHECKPOINT_ENTRY (4u + DIGEST)
#define RECORD 41u
#define PART (PAYLOAD_MAX - LONG_HEADER)
_Static_assert(HEADER + CHECKPOINTS * CHECKPOINT_ENTRY + WINDOW * VALUES * RECORD <= LONG_MAX, "a view-change fits");
_Static_assert(1 + NODES_MAX * (1 + DIGEST) <= LONG_MAX, "a new-view fits");
_Static_assert(WINDOW * VALUES <= 255, "records are counted in a byte");

/* --- parts */

void long_send(unsigned to, uint8_t type, unsigned author, uint32_t view, const uint8_t *data, size_t size)
{
    uint8_t part[PAYLOAD_MAX];
    for (size_t at = 0, which = 0; at < size; at += PART, which++) {
        size_t some = size - at < PART ? size - at : PART;
        put_u32(part, view);
        part[4] = (uint8_t)author;
        part[5] = (uint8_t)which;
        put_u16(part + 6, (uint16_t)size);
        memcpy(part + LONG_HEADER, data + at, some);
        if (to == 0) {
            wire_send_all(type, part, LONG_HEADER + some);
        } else {
            wire_send(to, type, part, LONG_HEADER + some);
        }
    }
}

bool long_take(struct long_message *message, const uint8_t *part, size_t size)
{
    if (size <= LONG_HEADER) {
        return false;
    }
    uint32_t view = get_u32(part);
    size_t whole = get_u16(part + 6), at = part[5] * PART, some = size - LONG_HEADER;
    if (whole > LONG_MAX || at >= whole || some != (whole - at < PART ? whole - at : PART) || view < message->view ||
        (message->whole && view == message->view)) {
        return false;
    }
    if (view != message->view || whole != message->size) {
        message->view = view;
        message->size = (uint16_t)whole;
        message->parts = 0;
        message->whole = false;
    }
    memcpy(message->data + at, part + LONG_HEADER, some);
    message->parts |= (uint8_t)(1 << part[5]);
    message->whole = message->parts == (1 << (whole + PART - 1) / PART) - 1;
    return message->whole;
}

/* --- view-change messages */

static uint32_t stable_of(const uint8_t *change)
{
    return get_u32(change + 5);
}

static const uint8_t *checkpoint_in(const uint8_t *change, unsigned which)
{
    return change + HEADER + which * CHECKPOINT_ENTRY;
}

static const uint8_t *record_in(const uint8_t *change, unsigned which)
{
    return change + HEADER + change[9] * CHECKPOINT_ENTRY + which * RECORD;
}

static uint32_t prepared_in(const uint8_t *record)
{
    return get_u32(record + 1);
}

static uint32_t pre_prepared_in(const uint8_t *record)
{
    return get_u32(record + 5);
}

static const uint8_t *command_in(const uint8_t *record)
{
    return record + 9;
}

size_t view_change_write(uint8_t *out, uint32_t view)
{
    unsigned records = 0;
    put_u32(out, view);
    out[4] = (uint8_t)cluster.self;
    put_u32(out + 5, my.stable);
    out[9] = (uint8_t)checkpoint_list(out + HEADER);
    for (uint32_t offset = 1; offset <= WINDOW; offset++) {
        const struct slot *slot = &my.slots[(my.stable + offset) % WINDOW];
        for (unsigned i = 0; i < VALUES; i++) {
            const struct past *past = &slot->past[i];
            if (past->view == NO_VIEW) {
                continue;
            }
            uint8_t *record = out + HEADER + out[9] * CHECKPOINT_ENTRY + records++ * RECORD;
            bool prepared = slot->prepared_view != NO_VIEW && same_command(&past->value, &slot->prepared_value);
            record[0] = (uint8_t)offset;
            put_u32(record + 1, prepared ? slot->prepared_view : NO_VIEW);
            put_u32(record + 5, past->view);
            memcpy(record + 9, &past->value, sizeof past->value);
        }
    }
    out[10] = (uint8_t)records;
    return HEADER + out[9] * CHECKPOINT_ENTRY + records * RECORD;
}

static bool records_whole(const uint8_t *data, uint32_t view)
{
    unsigned offset = 0, same = 0, prepared = 0;
    for (unsigned i = 0; i < data[10]; i++) {
        const uint8_t *record = record_in(data, i);
        if (record[0] < offset || record[0] == 0 || record[0] > WINDOW) {
            return false;
        }
        same = record[0] == offset ? same + 1 : 1;
        prepared = record[0] == offset ? prepared : 0;
        offset = record[0];
        prepared += prepared_in(record) != NO_VIEW;
        if (same > VALUES || prepared > 1 || pre_prepared_in(record) >= view ||
            (prepared_in(record) != NO_VIEW && prepared_in(record) > pre_prepared_in(record))) {
            return false;
        }
        for (unsigned j = 1; j < same; j++) {
            if (memcmp(command_in(record), command_in(record - j * RECORD), sizeof(struct command)) == 0) {
                return false;
            }
        }
    }
    return true;
}

bool view_change_whole(const uint8_t *data, size_t size, uint32_t view, unsigned author)
{
    if (size < HEADER || get_u32(data) != view || view == NO_VIEW || data[4] != author || data[9] == 0 ||
        data[9] > CHECKPOINTS || data[10] > WINDOW * VALUES ||
        size != HEADER + data[9] * CHECKPOINT_ENTRY + data[10] * RECORD) {
        return false;
    }
    uint32_t stable = stable_of(data), before = stable;
    if (stable > NO_VIEW - 2 * WINDOW || stable % CHECKPOINT_EVERY != 0 || get_u32(checkpoint_in(data, 0)) != stable) {
        return false;
    }
    for (unsigned i = 1; i < data[9]; i++) {
        uint32_t sequence = get_u32(checkpoint_in(data, i));
        if (sequence <= before || sequence > stable + WINDOW || sequence % CHECKPOINT_EVERY != 0) {
            return false;
        }
        before = sequence;
    }
    return records_whole(data, view);
}

/* --- the decision procedure (4.4, figure 4) */

/* the highest checkpoint that f + 1 have and a quorum is not beyond */
static bool select_checkpoint(const uint8_t *const *list, unsigned count, struct selection *out)
{
    bool found = false;
    for (unsigned i = 0; i < count; i++) {
        for (unsigned c = 0; c < list[i][9]; c++) {
            const uint8_t *candidate = checkpoint_in(list[i], c);
            uint32_t sequence = get_u32(candidate);
            unsigned not_beyond = 0, have = 0;
            if (found && sequence <= out->stable) {
                continue;
            }
            for (unsigned j = 0; j < count; j++) {
                not_beyond += stable_of(list[j]) <= sequence;
                for (unsigned d = 0; d < list[j][9]; d++) {
                    have += memcmp(checkpoint_in(list[j], d), candidate, CHECKPOINT_ENTRY) == 0;
                }
            }
            if (not_beyond >= cluster.quorum && have >= cluster.faulty + 1) {
                found = true;
                out->stable = sequence;
                memcpy(out->head, candidate + 4, DIGEST);
            }
        }
    }
    return found;
}

/* the records of one sequence number in each view-change */
struct row {
    bool above; /* the number is above that replica's stable checkpoint: it knows of it */
    uint8_t count;
    const uint8_t *first, *prepared; /* prepared: NULL where P has none */
};

static void find_row(const uint8_t *change, uint32_t sequence, struct row *row)
{
    *row = (struct row){.above = stable_of(change) < sequence};
    if (!row->above || sequence - stable_of(change) > WINDOW) {
        return;
    }
    for (unsigned i = 0; i < change[10]; i++) {
        const uint8_t *record = record_in(change, i);
        if (record[0] == sequence - stable_of(change)) {
            row->first = row->count++ == 0 ? record : row->first;
            row->prepared = prepared_in(record) != NO_VIEW ? record : row->prepared;
        } else if (row->count > 0) {
            break;
        }
    }
}

/* condition A for one element of P */
static bool holds(const struct row *rows, unsigned count, const uint8_t *candidate)
{
    unsigned none_later = 0, pre_prepared = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        const uint8_t *other = row->prepared;
        /* A1: a quorum has prepared nothing else in this view or later */
        none_later += row->above &&
                      (other == NULL || prepared_in(other) < prepared_in(candidate) ||
                       (prepared_in(other) == prepared_in(candidate) &&
                        memcmp(command_in(other), command_in(candidate), sizeof(struct command)) == 0));
        /* A2: a loyal replica among f + 1 has seen it pre-prepared in this view or later: it is not made up */
        for (unsigned j = 0; j < row->count; j++) {
            const uint8_t *record = row->first + j * RECORD;
            pre_prepared += pre_prepared_in(record) >= prepared_in(candidate) &&
                            memcmp(command_in(record), command_in(candidate), sizeof(struct command)) == 0;
        }
    }
    return none_later >= cluster.quorum && pre_prepared >= cluster.faulty + 1;
}

/* The command for one number: of those that hold that of the latest view. False: neither A nor B is met. `any` tells
 * whether it is a command, and not the empty one of B. */
static bool select_command(const struct row *rows, unsigned count, struct command *out, bool *any)
{
    const uint8_t *best = NULL, *tried = NULL;
    unsigned without = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *candidate = rows[i].prepared;
        without += rows[i].above && candidate == NULL;
        /* many are the same: P of one and the next differ only where something went wrong */
        if (candidate == NULL || (best != NULL && prepared_in(candidate) <= prepared_in(best)) ||
            (tried != NULL && memcmp(candidate + 1, tried + 1, 4) == 0 &&
             memcmp(command_in(candidate), command_in(tried), sizeof *out) == 0)) {
            continue;
        }
        tried = candidate;
        best = holds(rows, count, candidate) ? candidate : best;
    }
    *any = best != NULL;
    if (best != NULL) {
        memcpy(out, command_in(best), sizeof *out);
    } else {
        memset(out, 0, sizeof *out);
    }
    return best != NULL || without >= cluster.quorum;
}

bool view_change_select(const uint8_t *const *list, unsigned count, struct selection *out)
{
    static struct row rows[NODES_MAX];
    out->count = 0;
    if (!select_checkpoint(list, count, out)) {
        return false;
    }
    for (uint32_t i = 0; i < WINDOW; i++) {
        bool any;
        for (unsigned j = 0; j < count; j++) {
            find_row(list[j], out->stable + 1 + i, &rows[j]);
        }
        if (!select_command(rows, count, &out->values[i], &any)) {
            return false;
        }
        /* empty commands at the end are left out: B says that nothing was decided there, so the primary is free */
        out->count = any ? i + 1 : out->count;
    }
    return true;
}
