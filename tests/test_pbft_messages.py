"""PBFT's messages as foreign bytes."""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.native import run_harness
from tests.pbft_parts import NO_VIEW, changes_of, harness

PART = 1400


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
