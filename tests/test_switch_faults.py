"""What each fault does to the frames of one edge, and that chance repeats."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switch_parts import frame

from sistasks.cluster.switching.ethernet import framed
from sistasks.cluster.switching.fates import HOLD_NS, RATE_QUEUE, Fate, Passed, Tally
from sistasks.cluster.switching.faults import ANY, FINE, Cut, EdgeFaults, Faults, Rule, from_message

COUNT = 1000


def numbered(count: int, size: int = 50) -> list[bytes]:
    return [framed(frame(1, 2, number.to_bytes(4, "big") + bytes(size - 4))) for number in range(count)]


def met(sent: list[bytes], seed: int = 1, step: int = 0, **faults: Any) -> tuple[list[Passed], Tally]:
    """What passes of frames that come every `step` nanoseconds."""
    tally = Tally()
    fate = Fate(EdgeFaults(**faults), seed, 1, 2, tally)
    return [passed for number, one in enumerate(sent) for passed in fate.meet(one, number * step)[0]], tally


def test_loss_drops_its_share() -> None:
    sent = numbered(COUNT)
    passed, tally = met(sent, loss=0.1)
    assert len(passed) + tally.loss == COUNT
    assert 60 < tally.loss < 140
    assert met(sent, loss=1.0)[0] == []


def test_duplication_doubles_its_share() -> None:
    passed, tally = met(numbered(COUNT), duplicate=0.1)
    assert len(passed) == COUNT + tally.duplicated
    assert 60 < tally.duplicated < 140
    assert (
        sum(first.frame == second.frame for first, second in itertools.pairwise(passed)) == tally.duplicated
    )


def test_corruption_flips_one_bit_behind_the_header() -> None:
    sent = numbered(COUNT)
    passed, tally = met(sent, corrupt=0.1)
    bits = [
        int.from_bytes(before) ^ int.from_bytes(after.frame)
        for before, after in zip(sent, passed, strict=True)
        if before != after.frame
    ]
    assert len(bits) == tally.corrupted
    assert 60 < tally.corrupted < 140
    assert all(bit.bit_count() == 1 and bit.bit_length() <= 50 * 8 for bit in bits)
    assert len(set(bits)) > 30


def test_a_frame_without_payload_cannot_be_corrupted() -> None:
    passed, tally = met([framed(frame(1, 2, b""))], corrupt=1.0)
    assert passed[0].frame == framed(frame(1, 2, b""))
    assert tally.corrupted == 0


@pytest.mark.parametrize("by", [1, 3])
def test_a_reordered_frame_comes_after_as_many_others(by: int) -> None:
    sent = numbered(COUNT)
    passed, tally = met(sent, reorder=0.05, by=by)
    order = [sent.index(one.frame) for one in passed if one.held is None]
    held = [sent.index(one.frame) for one in passed if one.held is not None]
    assert len(held) == tally.reordered
    assert 20 < tally.reordered < 100
    assert set(held) - set(order) <= set(range(COUNT - 10, COUNT))  # only those at the end still wait
    for number in held:
        if number in order:
            free = [other for other in order[: order.index(number)] if other > number and other not in held]
            assert len(free) == by
    assert [number for number in order if number not in held] == [n for n in range(COUNT) if n not in held]
    assert all(one.due == HOLD_NS for one in passed if one.held is not None)


def test_delay_and_jitter_keep_order() -> None:
    passed, tally = met(numbered(COUNT), step=1000, delay=0.002, jitter=0.001)
    waits = [one.due - number * 1000 for number, one in enumerate(passed)]
    assert tally.delayed == COUNT
    assert min(waits) >= 2_000_000
    assert max(waits) <= 3_000_000
    assert len(set(waits)) > 1
    assert [one.due for one in passed] == sorted(one.due for one in passed)
    assert {one.due for one in met(numbered(COUNT), delay=0.002)[0]} == {2_000_000}


def test_rate_spreads_frames_and_drops_what_its_queue_does_not_hold() -> None:
    sent = numbered(COUNT, 986)  # 1,000 bytes with their header
    passed, tally = met(sent, rate=1_000_000.0)
    assert [one.due for one in passed] == [1_000_000 * (number + 1) for number in range(RATE_QUEUE // 1000)]
    assert tally.rate == COUNT - len(passed)
    slowly, tally = met(sent, rate=1_000_000.0, step=1_000_000)
    assert (len(slowly), tally.rate) == (COUNT, 0)


def test_a_slow_edge_passes_a_frame_that_is_larger_than_its_queue() -> None:
    assert len(met([framed(frame(1, 2, bytes(65000 + 536)))], rate=1.0)[0]) == 1


shares = st.sampled_from([0.0, 0.2, 0.5])
faults = st.fixed_dictionaries(
    dict.fromkeys(("loss", "duplicate", "reorder", "corrupt"), shares)
    | {"delay": st.sampled_from([0.0, 0.001]), "jitter": st.sampled_from([0.0, 0.001])}
)


@given(faults, st.integers(0, 5), st.lists(st.integers(0, 5_000_000), min_size=40, max_size=40))
def test_chance_depends_on_seed_and_sequence_alone(
    chosen: dict[str, Any], seed: int, pauses: list[int]
) -> None:
    """Neither on when frames come, nor on what other edges carry meanwhile."""
    sent = numbered(40)
    alone, tally = met(sent, seed, **chosen)
    tallies = Tally(), Tally()
    fate = Fate(EdgeFaults(**chosen), seed, 1, 2, tallies[0])
    other = Fate(EdgeFaults(**chosen), seed, 1, 3, tallies[1])
    now, passed = 0, []
    for one, pause in zip(sent, pauses, strict=True):
        now += pause
        passed += fate.meet(one, now)[0]
        for _ in range(pause % 3):
            other.meet(one, now)
    assert [one.frame for one in passed] == [one.frame for one in alone]
    for name in ("loss", "duplicated", "reordered", "corrupted"):
        assert getattr(tallies[0], name) == getattr(tally, name)


def test_other_seeds_and_edges_have_other_luck() -> None:
    sent = numbered(100)
    fates = [Fate(EdgeFaults(loss=0.5), seed, source, target, Tally()) for seed, source, target in
             ((1, 1, 2), (2, 1, 2), (1, 2, 1), (1, 1, 3), (1, 12, 1), (1, 1, 21))]  # fmt: skip
    assert len({tuple(bool(fate.meet(one, 0)[0]) for one in sent) for fate in fates}) == len(fates)


def test_a_partition_cuts_between_its_groups_only() -> None:
    cut = Cut(groups=(frozenset({1, 2}), frozenset({3})))
    assert cut.holds(1, 3)
    assert cut.holds(3, 2)
    assert not cut.holds(1, 2)
    assert not cut.holds(1, 4)  # nobody said what becomes of 4
    rest = Cut(groups=(frozenset({1}), frozenset({ANY})))
    assert rest.holds(1, 4)
    assert rest.holds(4, 1)
    assert not rest.holds(4, 5)


def test_a_one_way_cut_lets_the_other_way_pass() -> None:
    cut = Cut(edges=frozenset({(1, 2), (3, ANY)}))
    assert [cut.holds(*edge) for edge in ((1, 2), (2, 1), (3, 9), (9, 3))] == [True, False, True, False]


def test_the_later_rule_of_a_kind_is_in_force() -> None:
    wrong = Faults(rules=(Rule("loss", 0.5), Rule("loss", 0.1, frozenset({(1, ANY)})), Rule("delay", 1.0)))
    assert wrong.of(1, 2) == EdgeFaults(loss=0.1, delay=1.0)
    assert wrong.of(2, 1) == EdgeFaults(loss=0.5, delay=1.0)
    assert Faults().of(1, 2) == FINE
    assert Faults(rules=(Rule("loss", 0.0),)).of(1, 2) == FINE


@pytest.mark.parametrize(
    ("kind", "value", "by"),
    [("lost", 0.1, 1), ("loss", 1.1, 1), ("delay", -1.0, 1), ("rate", 0.0, 1), ("loss", 0.1, 0)],
)
def test_impossible_rules_are_refused(kind: str, value: float, by: int) -> None:
    with pytest.raises(ValueError, match=kind):
        Rule(kind, value, by=by)


def test_impossible_cuts_are_refused() -> None:
    with pytest.raises(ValueError, match="either"):
        Cut()
    with pytest.raises(ValueError, match="either"):
        Cut((frozenset({1}),), frozenset({(1, 2)}))


def test_a_message_says_it_all() -> None:
    wrong = Faults(
        cuts=(Cut(groups=(frozenset({1, 2}), frozenset({ANY}))), Cut(edges=frozenset({(1, 2), (ANY, 3)}))),
        rules=(Rule("reorder", 0.25, frozenset({(4, ANY)}), by=7), Rule("rate", 1e6)),
        seed=9,
    )
    assert from_message(wrong.message()) == wrong
