"""One PBFT replica alone, natively: fed with messages, or asked to select from view-changes."""

from __future__ import annotations

import functools
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from native import compile_program

from sistasks.guest.build import AGENT

NO_VIEW = 0xFFFFFFFF
WINDOW = 32
# One replica, node 2 of 4 (or of as many as are told), and nobody around it: what it sends is dropped.
_HARNESS = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "replica/internal.h"
#include "replica/pbft.h"
#include "sis.h"

struct cluster cluster;
static uint64_t now = 1;
static uint64_t timers[TIMERS];

uint64_t now_ns(void) { return now; }
uint64_t clock_ns(void) { return now; }
void timer_set(unsigned timer, uint64_t at_ns) { timers[timer] = at_ns; }
void tell(const char *event, const char *format, ...) { (void)event, (void)format; }
void replica_give_up(const char *problem) { fputs(problem, stderr); abort(); }
void catchup_hint(uint32_t height) { (void)height; }
void catchup_moved(void) { }
void wire_send(unsigned to, uint8_t type, const void *data, size_t size)
{
    if (to == 0 || to > cluster.count || to == cluster.self || type == 0 || size > PAYLOAD_MAX) {
        abort();
    }
    /* all of it may be read */
    static uint8_t message[PAYLOAD_MAX];
    memcpy(message, data, size);
}
void wire_send_all(uint8_t type, const void *data, size_t size) { wire_send(1, type, data, size); }
void wire_forge(unsigned from, unsigned to, uint8_t type, const void *data, size_t size)
{
    (void)from;
    wire_send(to, type, data, size);
}
void channel_samples(const char *metric, const int64_t *samples, uint32_t count)
{
    (void)metric, (void)samples, (void)count;
}
void channel_bytes(enum frame_type type, const void *data, size_t size) { (void)type, (void)data, (void)size; }
void channel_text(enum frame_type type, const char *format, ...) { (void)type, (void)format; }

static bool take(void *data, size_t size) { return fread(data, 1, size, stdin) == size; }

/* in a block of just that size, so that a read behind it is seen */
static uint8_t *take_block(size_t size)
{
    uint8_t *data = malloc(size == 0 ? 1 : size);
    if (data == NULL || !take(data, size)) {
        abort();
    }
    return data;
}

static void deliver(unsigned from, uint8_t type, const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < TIMERS; i++) {
        if (timers[i] != 0 && timers[i] <= now) {
            timers[i] = 0;
            pbft.timer(i);
        }
    }
    pbft.message(from, type, data, size);
}

static void feed(void)
{
    uint8_t header[6];
    pbft.start();
    while (take(header, sizeof header)) {
        size_t size = get_u16(header + 4);
        uint8_t *data = take_block(size);
        now += get_u16(header) * 1000ull;
        deliver(header[2], header[3], data, size);
        free(data);
    }
    printf("%u %u %d ", (unsigned)my.view, (unsigned)ledger_height(), my.active);
    struct command command = ledger_command(1, 1);
    uint8_t vote[VOTE_SIZE];
    put_u32(vote, 0);
    put_u32(vote + 4, 1);
    memcpy(vote + 8, &command, sizeof command);
    deliver(1, PRE_PREPARE, vote, sizeof vote);
    deliver(3, PREPARE, vote, sizeof vote);
    deliver(1, COMMIT, vote, sizeof vote);
    deliver(3, COMMIT, vote, sizeof vote);
    printf("%d\n", ledger_height() == 1 && memcmp(ledger_at(0), &command, sizeof command) == 0);
}

static void select_each(void)
{
    uint8_t header[3], size[2];
    static struct selection selection;
    while (take(header, sizeof header)) {
        uint8_t *list[NODES_MAX];
        bool whole = true;
        cluster.quorum = header[1];
        cluster.faulty = header[2];
        for (unsigned i = 0; i < header[0] && take(size, sizeof size); i++) {
            list[i] = take_block(get_u16(size));
            whole = view_change_whole(list[i], get_u16(size), 9, i + 1) && whole;
        }
        if (!whole) {
            printf("broken\n");
        } else if (!view_change_select((const uint8_t *const *)list, header[0], &selection)) {
            printf("none\n");
        } else {
            printf("%u %02x", (unsigned)selection.stable, selection.head[0]);
            for (unsigned i = 0; i < selection.count; i++) {
                printf(" %02x", ((uint8_t *)&selection.values[i])[0]);
            }
            printf("\n");
        }
        for (unsigned i = 0; i < header[0]; i++) {
            free(list[i]);
        }
    }
}

int main(int count, char **arguments)
{
    cluster = (struct cluster){.self = 2, .count = 4, .faulty = 1, .quorum = 3, .seed = 1,
                               .timeout_ns = 1000000000u, .pipeline = 4};
    ledger_begin();
    if (count == 2 && strcmp(arguments[1], "select") == 0) {
        cluster.count = 10;
        select_each();
    } else {
        feed();
    }
    return 0;
}
"""


@functools.cache
def harness() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pbft-"))
    main = folder / "main.c"
    main.write_text(_HARNESS)
    replica = AGENT / "replica"
    files = [main, replica / "ledger.c", replica / "sha256.c", *sorted(replica.glob("pbft*.c"))]
    return compile_program(folder / "harness", files)


@dataclass(frozen=True)
class Record:
    """What a view-change says of one command at one number."""

    offset: int
    prepared: int | None
    pre_prepared: int
    value: int


@dataclass(frozen=True)
class Change:
    """A view-change: P and Q of the paper as records, C as sequence -> first byte of the digest."""

    stable: int
    checkpoints: dict[int, int]
    records: tuple[Record, ...]

    def encode(self, author: int, view: int = 9) -> bytes:
        header = struct.pack("<IBIBB", view, author, self.stable, len(self.checkpoints), len(self.records))
        checkpoints = b"".join(
            struct.pack("<I", sequence) + bytes([head]) * 32 for sequence, head in self.checkpoints.items()
        )
        return (
            header
            + checkpoints
            + b"".join(
                struct.pack(
                    "<BII", one.offset, NO_VIEW if one.prepared is None else one.prepared, one.pre_prepared
                )
                + bytes([one.value]) * 32
                for one in self.records
            )
        )

    def p(self, sequence: int) -> tuple[int, int] | None:
        """P's element: (value, view)."""
        for one in self.records:
            if one.prepared is not None and self.stable + one.offset == sequence:
                return one.value, one.prepared
        return None

    def q(self, sequence: int) -> dict[int, int]:
        """Q's element: value -> view."""
        return {one.value: one.pre_prepared for one in self.records if self.stable + one.offset == sequence}


@st.composite
def changes_of(draw: st.DrawFn) -> Change:
    stable = draw(st.sampled_from([0, 0, 0, 16]))
    checkpoints = {stable: 7}
    for further in (16, 32):
        if further > stable and draw(st.booleans()):
            checkpoints[further] = draw(st.sampled_from([8, 8, 9]))
    records = []
    for offset in (1, 2, 17, 32):
        values = draw(st.lists(st.sampled_from([1, 2, 3]), unique=True, max_size=3))
        prepared = draw(st.sampled_from([None, *values]))
        for value in values:
            view = draw(st.integers(0, 3))
            at = draw(st.integers(0, view)) if value == prepared else None
            records.append(Record(offset, at, view, value))
    return Change(stable, checkpoints, tuple(records))
