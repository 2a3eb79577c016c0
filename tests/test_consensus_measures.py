"""Measures: by hand, by a second formula, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.consensus import measures
from sistasks.consensus.clocks import offset
from sistasks.consensus.records import Decision, Decisions, NodeLog

dull = settings(deadline=None)
SIZES = st.lists(st.integers(1, 1000), min_size=2, max_size=8, unique=True)


def test_traffic_by_hand() -> None:
    edges = {(1, 2): (10, 1000), (2, 1): (5, 300), (3, 1): (100, 9000), (1, 3): (1, 60)}
    assert measures.traffic(edges, 2) == measures.Traffic(58, 5180, 58, 5180)
    assert measures.traffic(edges, 2, traitors=[3]) == measures.Traffic(58, 5180, 8, 680)
    assert measures.traffic({}, 1) == measures.Traffic(0, 0, 0, 0)
    with pytest.raises(ValueError, match="no decisions"):
        measures.traffic(edges, 0)


@dull
@given(SIZES, st.floats(-3, 3), st.floats(0.01, 100))
def test_a_law_is_found_again(sizes: list[int], exponent: float, factor: float) -> None:
    found = measures.growth([(n, factor * n**exponent) for n in sizes])
    assert found.exponent == pytest.approx(exponent, abs=1e-6)
    assert found.worst == pytest.approx(1, abs=1e-6)


def test_a_law_between_neighbours_may_be_steep() -> None:
    found = measures.growth([(115, 4.0), (114, 319.0)])
    assert found.exponent == pytest.approx(math.log(4 / 319) / math.log(115 / 114))
    assert found.worst == pytest.approx(1)


@dull
@given(SIZES, st.data())
def test_growth_is_the_least_squares_of_numpy(sizes: list[int], data: st.DataObject) -> None:
    values = [data.draw(st.floats(0.01, 1e6)) for _ in sizes]
    found = measures.growth(zip(sizes, values, strict=True))
    x, y = np.log(sizes), np.log(values)
    slope, start = np.polyfit(x, y, 1)
    assert found.exponent == pytest.approx(slope, rel=1e-4, abs=1e-6)
    worst = math.exp(np.max(np.abs(y - slope * x - start)))
    assert found.worst == pytest.approx(worst, rel=1e-4)


@pytest.mark.parametrize("points", [
    [], [(4, 1.0)], [(4, 1.0), (4, 2.0)], [(4, 1.0), (5, 0.0)], [(4, 1.0), (0, 1.0)], [(4, math.inf), (5, 1.0)],
    [(4, math.nan), (5, 1.0)],
])  # fmt: skip
def test_points_without_an_exponent(points: list[tuple[int, float]]) -> None:
    with pytest.raises(ValueError, match="an exponent takes"):
        measures.growth(points)


def test_throughput() -> None:
    assert measures.throughput([3 * 10**9, 10**9, 2 * 10**9]) == pytest.approx(1)
    assert measures.throughput([0, 10**6]) == pytest.approx(1000)
    for times in ([], [1], [5, 5]):
        with pytest.raises(ValueError, match=f"throughput of {len(times)} decisions"):
            measures.throughput(times)


def log(*entries: tuple[int, bool], per_frame: int = 2) -> NodeLog:
    made = [Decision(number, taken, 0, bytes(32)) for number, taken in entries]
    frames = [Decisions(i, tuple(made[i : i + per_frame])) for i in range(0, len(made), per_frame)]
    return NodeLog(1, tuple(frames))


@pytest.mark.parametrize(("numbers", "start", "rotating", "expected"), [
    ([0, 0, 0], 0, False, [1, 1, 1]),
    ([0, 1, 1, 3], 0, False, [1, 2, 1, 3]),  # a view change, then two
    ([2, 1], 1, False, [2, 1]),  # what was decided late in an older view
    ([1, 2, 3], 1, True, [1, 1, 1]),
    ([2, 5, 5], 1, True, [2, 3, 1]),  # leaders who did nothing; two in one round
    ([], 0, True, []),
])  # fmt: skip
def test_rounds(numbers: list[int], start: int, rotating: bool, expected: list[int]) -> None:
    told = log(*((number, False) for number in numbers))
    assert measures.rounds(told, start=start, rotating=rotating) == expected


def test_rounds_of_others_are_not_measured() -> None:
    told = log((0, False), (9, True), (9, False), (10, False))
    assert measures.rounds(told, start=0, rotating=False) == [1, 2]


def test_the_bound_by_hand() -> None:
    bound = measures.cpu_bound(guests_s=36, switch_s=4, decisions=10, cores=2, latency_ns=3e9)
    assert bound.bound_ns == pytest.approx(2e9)
    assert bound.ratio == pytest.approx(1.5)
    assert bound.switch_share == pytest.approx(0.1)
    assert bound.words == (
        "a decision took 1.50 times what the 2 cores need for it: 90.0% of that in the guests, 10.0% in the switch"
    )


def test_one_core_and_a_switch_that_costs_nothing_have_a_bound() -> None:
    bound = measures.cpu_bound(guests_s=2, switch_s=0, decisions=1, cores=1, latency_ns=1e9)
    assert (bound.bound_ns, bound.ratio, bound.switch_share) == (2e9, 0.5, 0)


@pytest.mark.parametrize(
    "wrong", [{"decisions": 0}, {"cores": 0}, {"guests_s": 0, "switch_s": 0}, {"switch_s": -1, "guests_s": 3}]
)
def test_no_bound(wrong: dict[str, int]) -> None:
    values = {"guests_s": 1, "switch_s": 1, "decisions": 1, "cores": 1, "latency_ns": 1} | wrong
    with pytest.raises(ValueError, match=r"no decisions|a bound of"):
        measures.cpu_bound(**values)


@dull
@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**9)), min_size=1),
)
def test_an_offset_is_too_large_by_the_shortest_delay(true: int, heard: list[tuple[int, int]]) -> None:
    found = offset((at, at + true + delay) for at, delay in heard)
    assert found - true == min(delay for _, delay in heard)


def test_a_node_that_nobody_heard_has_no_offset() -> None:
    with pytest.raises(ValueError, match="nothing was heard"):
        offset([])
