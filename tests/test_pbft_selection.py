"""PBFT's decision procedure beside the paper's words."""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native import run_harness
from pbft_parts import WINDOW, Change, Record, changes_of, harness


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
