"""PBFT's messages as foreign bytes."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native import run_harness
from pbft_parts import NO_VIEW, Change, changes_of, harness

if TYPE_CHECKING:
    from random import Random

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


@dataclass(frozen=True)
class Outcome:
    """Where the replica stands after what it was fed; and whether it then takes part in an honest decision."""

    view: int = 0
    height: int = 0
    active: bool = True
    decides: bool = True


def feed(stream: list[tuple[int, int, int, bytes]]) -> Outcome:
    """Give node 2 of 4 these (microseconds, from, type, payload)."""
    stdin = b"".join(
        struct.pack("<HBBH", pause, sender, kind, len(data)) + data for pause, sender, kind, data in stream
    )
    view, height, active, decides = map(int, run_harness(harness(), stdin=stdin).split())
    return Outcome(view, height, active == 1, decides == 1)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(messages)
def test_one_node_can_send_what_it_will(some: list[tuple[int, bytes]]) -> None:
    assert feed([(100, 4, kind, data) for kind, data in some]) == Outcome()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(messages, st.randoms(use_true_random=False))
def test_no_message_of_anybody_does_harm_to_memory(some: list[tuple[int, bytes]], dice: Random) -> None:
    feed([(dice.choice([10, 60000]), dice.choice([1, 3, 4]), kind, data) for kind, data in some])


def test_an_honest_decision_is_one() -> None:
    assert feed([]) == Outcome()


# --- what makes a quorum, and what does not


def vote(
    kind: int, *, view: int = 0, sequence: int = 1, number: int = 1, client: int = 1
) -> tuple[int, bytes]:
    value = struct.pack("<II", client, number)
    value += hashlib.sha256(b"sistasks command" + struct.pack("<Q", 1) + value).digest()[:24]
    return kind, struct.pack("<II", view, sequence) + value


def heights(*some: tuple[int, tuple[int, bytes]]) -> list[int]:
    """The height after each of these (from, message)."""
    stream = [(10, sender, *message) for sender, message in some]
    return [feed(stream[: end + 1]).height for end in range(len(stream))]


def test_a_decision_needs_each_phase() -> None:
    pre_prepare, prepare, commit = (vote(kind) for kind in (2, 3, 4))
    assert heights((1, pre_prepare), (3, prepare), (1, commit), (3, commit)) == [0, 0, 0, 1]
    # not prepared: so our own commit is missing
    assert heights((1, pre_prepare), (1, commit), (3, commit), (3, prepare)) == [0, 0, 0, 1]
    # in any order
    assert heights((3, commit), (3, prepare), (1, commit), (1, pre_prepare)) == [0, 0, 0, 1]
    assert heights((3, commit), (4, commit), (1, commit)) == [0, 0, 1]


def test_no_vote_counts_twice_or_for_another() -> None:
    pre_prepare, prepare, commit = (vote(kind) for kind in (2, 3, 4))
    for wrong in (
        [(1, pre_prepare), (1, prepare), (1, commit), (3, commit)],
        [(1, pre_prepare), (3, prepare), (3, commit), (3, commit), (3, commit)],
        [(3, pre_prepare), (3, prepare), (4, prepare), (3, commit)],
        [(1, pre_prepare), (3, vote(3, number=2)), (1, commit), (3, commit)],
        [(1, pre_prepare), (3, prepare), (1, vote(4, number=2)), (3, commit)],
        [(1, pre_prepare), (3, prepare), (1, vote(4, view=1)), (3, commit)],
        [(1, pre_prepare), (3, prepare), (1, vote(4, sequence=2)), (3, commit)],
        # the first vote of a node is its vote
        [(1, pre_prepare), (3, prepare), (3, vote(4, number=2)), (3, commit), (1, commit)],
    ):
        assert heights(*wrong)[-1] == 0


def test_a_primary_gets_no_second_word_and_no_command_twice() -> None:
    votes_for_second = [(3, vote(3, number=2)), (4, vote(3, number=2)), (3, vote(4, number=2))]
    assert heights((1, vote(2)), (1, vote(2, number=2)), *votes_for_second)[-1] == 0
    # one more number with the same command: nobody prepares it
    again = [(sender, vote(kind, sequence=2)) for sender, kind in ((1, 2), (3, 3), (4, 3), (3, 4))]
    first = [(sender, vote(kind)) for sender, kind in ((1, 2), (3, 3), (1, 4), (3, 4))]
    assert heights(*first, *again)[-1] == 1
    # what a quorum has committed stands; but the command is executed once
    assert heights(*first, *again, (4, vote(4, sequence=2)), (1, vote(4, sequence=2)))[-1] == 2


def test_a_view_change_of_hearsay_needs_f_that_vouch_for_it() -> None:
    change = Change(0, {0: 7}, ())
    # 1 and 3 leave for view 2, whose primary is 3, so we do; it names what only it says to be of 4
    mine, theirs = change.encode(1, 2), change.encode(3, 2)
    hearsay = change.encode(4, 2)
    named = bytes([3]) + b"".join(
        bytes([author]) + hashlib.sha256(data).digest()
        for author, data in ((1, mine), (3, theirs), (4, hearsay))
    )
    stream = [(60000, 1, *parts_of(6, 1, 2, mine)[0]), (10, 3, *parts_of(6, 3, 2, theirs)[0])]
    stream += [(10, 3, *parts_of(8, 3, 2, named)[0])]
    # a message without sense lets the time pass in which it is asked for
    nothing = (60000, 3, 5, b"")
    copy = (10, 3, *parts_of(6, 4, 2, hearsay)[0])
    ack = (7, struct.pack("<IB", 2, 4) + hashlib.sha256(hearsay).digest())
    stream += [nothing, copy]
    assert feed(stream) == Outcome(2, active=False, decides=False)
    # the primary's word is counted already, and the author's own is none
    assert feed([*stream, (10, 3, *ack)]) == Outcome(2, active=False, decides=False)
    assert feed([*stream, (10, 4, *ack)]) == Outcome(2, active=False, decides=False)
    assert feed([*stream, (10, 1, *ack)]) == Outcome(2, active=True, decides=False)
    assert feed([*stream[:3], (10, 4, *parts_of(6, 4, 2, hearsay)[0])]) == Outcome(
        2, active=True, decides=False
    )
