"""PBFT's messages as foreign bytes, and its decision procedure beside the paper's words."""

from __future__ import annotations

import functools
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sistasks.guest.build import AGENT
from tests.native import compile_program, run_harness

NO_VIEW = 0xFFFFFFFF
WINDOW = 32
PART = 1400
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
    printf("%u %u ", (unsigned)pbft.round(), (unsigned)ledger_height());
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


# --- view-changes


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


def by_the_paper(changes: list[Change], quorum: int, faulty: int) -> tuple[int, int, list[int]] | None:
    """The decision procedure in the words of TOCS 2002, 4.4: stable checkpoint, its digest, values (0: empty)."""
    certain = {
        (sequence, head)
        for change in changes
        for sequence, head in change.checkpoints.items()
        if sum(other.stable <= sequence for other in changes) >= quorum
        and sum(other.checkpoints.get(sequence) == head for other in changes) > faulty
    }
    if not certain:
        return None
    stable = max(sequence for sequence, _ in certain)
    # two digests for one number need more than f liars: then the first that is told
    head = next(
        change.checkpoints[stable]
        for change in changes
        if (stable, change.checkpoints.get(stable)) in certain
    )
    values: list[int] = []
    for sequence in range(stable + 1, stable + WINDOW + 1):
        below = [change for change in changes if change.stable < sequence]

        def chosen(value: int, view: int, sequence: int = sequence, below: list[Change] = below) -> bool:
            a1 = sum(
                change.p(sequence) is None
                or (change.p(sequence) or (0, 0))[1] < view
                or change.p(sequence) == (value, view)
                for change in below
            )
            a2 = sum(change.q(sequence).get(value, -1) >= view for change in changes)
            return a1 >= quorum and a2 > faulty

        candidates = [one for change in changes if (one := change.p(sequence)) is not None and chosen(*one)]
        if candidates:
            values.append(max(candidates, key=lambda one: one[1])[0])
        elif sum(change.p(sequence) is None for change in below) >= quorum:
            values.append(0)
        else:
            return None
    while values and values[-1] == 0:
        values.pop()
    return stable, head, values


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


# what a cluster says that is honest but for f: much alike, so that something can be selected
@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Change], int, int]:
    count = draw(st.sampled_from([4, 5, 7]))
    faulty = (count - 1) // 3
    common = draw(changes_of())
    some = draw(st.integers(count - faulty, count))
    changes = [common if draw(st.integers(0, 2)) else draw(changes_of()) for _ in range(some)]
    return changes, count - faulty, faulty


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(cases(), min_size=1, max_size=12))
def test_the_decision_procedure_is_that_of_the_paper(many: list[tuple[list[Change], int, int]]) -> None:
    stdin = b""
    for changes, quorum, faulty in many:
        stdin += bytes([len(changes), quorum, faulty])
        for author, change in enumerate(changes, start=1):
            data = change.encode(author)
            stdin += struct.pack("<H", len(data)) + data
    lines = run_harness(harness(), "select", stdin=stdin).decode().splitlines()
    assert len(lines) == len(many)
    for line, case in zip(lines, many, strict=True):
        right = by_the_paper(*case)
        if right is None:
            assert line == "none"
        else:
            stable, head, values = right
            assert line.split() == [str(stable), f"{head:02x}", *(f"{value:02x}" for value in values)]


def test_the_procedure_where_it_matters() -> None:
    value, other = Record(1, 0, 0, 5), Record(1, None, 0, 5)
    nothing, prepared, seen = (Change(0, {0: 7}, records) for records in ((), (value,), (other,)))
    later = Change(0, {0: 7}, (Record(1, 1, 1, 6), Record(1, None, 0, 5)))
    # one that has prepared may have decided
    assert by_the_paper([prepared, seen, nothing], 3, 1) == (0, 7, [5])
    # but what one alone has seen was never prepared: and one alone may lie
    assert by_the_paper([prepared, nothing, nothing], 3, 1) is None
    assert by_the_paper([prepared, nothing, nothing, nothing], 3, 1) == (0, 7, [])
    # the later view counts, where it is not made up
    assert by_the_paper([prepared, later, later], 3, 1) == (0, 7, [6])
    assert by_the_paper([prepared, later, seen], 3, 1) is None


# --- foreign bytes


commands = st.one_of(
    st.just(bytes(32)),
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda client, number: struct.pack("<II", client, number) + bytes(24),
        st.integers(0, 5),
        st.integers(0, 70),
    ),
)
numbers = st.one_of(st.integers(0, 70), st.sampled_from([0x7FFFFFFF, NO_VIEW, NO_VIEW - 1, NO_VIEW - 32]))
views = st.one_of(st.integers(0, 5), numbers)
votes = st.builds(
    lambda kind, view, sequence, command: (kind, struct.pack("<II", view, sequence) + command),
    st.integers(2, 4), views, numbers, commands,
)  # fmt: skip
bundles = st.builds(
    lambda view, entries: (10, struct.pack("<I", view) + b"".join(entries)),
    views,
    st.lists(
        st.builds(
            lambda kind, sequence, command: struct.pack("<BI", kind, sequence) + command,
            st.integers(0, 11), numbers, commands,
        ),
        max_size=37,
    ),
)  # fmt: skip
statuses = st.builds(
    lambda view, vote_view, active, height, stable, bits: (
        9, struct.pack("<IIBII", view, vote_view, active, height, stable) + bits
    ),
    views, views, st.integers(0, 2), numbers, numbers, st.binary(min_size=12, max_size=12),
)  # fmt: skip


def parts_of(kind: int, author: int, view: int, data: bytes) -> list[tuple[int, bytes]]:
    """A long message as its parts."""
    return [
        (kind, struct.pack("<IBBH", view, author, which, len(data)) + data[at : at + PART])
        for which, at in enumerate(range(0, len(data), PART))
    ]


def damaged(data: bytes, at: int, value: int) -> bytes:
    return data if at >= len(data) else data[:at] + bytes([value]) + data[at + 1 :]


changed = st.builds(
    lambda change, view, at, value, author: parts_of(6, author, view, damaged(change.encode(author, view), at, value)),
    changes_of(), views, st.integers(0, 1000), st.integers(0, 255), st.sampled_from([4, 4, 4, 1, 3]),
)  # fmt: skip
new_views = st.builds(
    lambda view, authors, extra: parts_of(
        8, 4, view, bytes([len(authors)]) + b"".join(bytes([one]) + bytes(32) for one in authors) + extra
    ),
    views, st.lists(st.integers(0, 130), max_size=128), st.binary(max_size=3),
)  # fmt: skip
acks = st.builds(
    lambda view, authors: [(7, struct.pack("<I", view) + b"".join(bytes([one]) + bytes(32) for one in authors))],
    views, st.lists(st.integers(0, 255), max_size=42),
)  # fmt: skip
single = st.one_of(
    votes,
    bundles,
    statuses,
    st.builds(
        lambda sequence, head: (5, struct.pack("<I", sequence) + head),
        numbers,
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(lambda command: (1, command), commands),
    st.builds(
        lambda view, author, wanted: (11, struct.pack("<IBB", view, author, wanted)),
        views,
        st.integers(0, 255),
        st.integers(0, 2),
    ),
    st.tuples(st.integers(0, 63), st.binary(max_size=1408)),
)
messages = st.lists(
    st.one_of(single.map(lambda one: [one]), changed, new_views, acks), max_size=60
).map(lambda lists: [message for some in lists for message in some])  # fmt: skip


def feed(stream: list[tuple[int, int, int, bytes]]) -> tuple[int, int, bool]:
    """View and height after these (microseconds, from, type, payload), and whether it then decides as it should."""
    stdin = b"".join(
        struct.pack("<HBBH", pause, sender, kind, len(data)) + data for pause, sender, kind, data in stream
    )
    view, height, decides = run_harness(harness(), stdin=stdin).split()
    return int(view), int(height), decides == b"1"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(messages)
def test_one_node_can_send_what_it_will(some: list[tuple[int, bytes]]) -> None:
    assert feed([(100, 4, kind, data) for kind, data in some]) == (0, 0, True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(messages, st.randoms(use_true_random=False))
def test_no_message_of_anybody_does_harm_to_memory(some: list[tuple[int, bytes]], dice: object) -> None:
    choose = dice.choice  # type: ignore[attr-defined]  # hypothesis' random
    feed([(choose([10, 60000]), choose([1, 3, 4]), kind, data) for kind, data in some])


def test_an_honest_decision_is_one() -> None:
    assert feed([]) == (0, 0, True)
