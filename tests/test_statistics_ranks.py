"""Ranks: against every choice written out, against scipy, and intervals against their level."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sistasks.statistics import ranks
from sistasks.statistics.ranks import Alternative, hodges_lehmann, mann_whitney, smallest_p

SMALL = st.lists(st.integers(0, 4), min_size=1, max_size=5)
ALTERNATIVES: tuple[Alternative, ...] = ("greater", "less", "two-sided")


def pairs_won(before: list[int], after: list[int]) -> float:
    return sum((a > b) + (a == b) / 2 for a in after for b in before)


def enumerated(before: list[int], after: list[int]) -> tuple[float, float]:
    """P(U >= observed) and P(U <= observed) over every choice of which values are the candidate's."""
    values = before + after
    observed = pairs_won(before, after)
    sums = []
    for chosen in itertools.combinations(range(len(values)), len(after)):
        rest = [value for place, value in enumerate(values) if place not in chosen]
        sums.append(pairs_won(rest, [values[place] for place in chosen]))
    return sum(u >= observed for u in sums) / len(sums), sum(u <= observed for u in sums) / len(sums)


@given(SMALL, SMALL)
def test_exact_p_is_that_of_every_choice_with_ties(before: list[int], after: list[int]) -> None:
    above, below = enumerated(before, after)
    found = mann_whitney(before, after)
    assert found.method == "exact"
    assert found.u == pairs_won(before, after)
    assert found.p == pytest.approx(above, rel=1e-12)
    assert mann_whitney(before, after, alternative="less").p == pytest.approx(below, rel=1e-12)
    both = mann_whitney(before, after, alternative="two-sided").p
    assert both == pytest.approx(min(1, 2 * min(above, below)), rel=1e-12)


@pytest.mark.parametrize(("n", "k"), [(30, 10), (10, 30), (30, 1), (1, 30), (8, 8)])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_agrees_with_scipy(n: int, k: int, alternative: Alternative) -> None:
    random = np.random.default_rng(n * 100 + k)
    for shift in (0.0, 0.5, 2.0):
        before, after = random.normal(size=n), random.normal(shift, size=k)
        theirs = stats.mannwhitneyu(after, before, alternative=alternative, method="exact")
        mine = mann_whitney(before, after, alternative=alternative, method="exact")
        assert [mine.u, mine.p] == pytest.approx([theirs.statistic, theirs.pvalue], rel=1e-9)
        before, after = before.round(), after.round()
        theirs = stats.mannwhitneyu(after, before, alternative=alternative, method="asymptotic")
        mine = mann_whitney(before, after, alternative=alternative, method="asymptotic")
        assert [mine.u, mine.p] == pytest.approx([theirs.statistic, min(1, theirs.pvalue)], rel=1e-9)


def test_exact_and_asymptotic_meet_where_auto_changes_over() -> None:
    random = np.random.default_rng(2)
    before, after = random.normal(size=40).round(1), random.normal(0.5, size=40).round(1)
    exact = mann_whitney(before, after)
    assert exact.method == "exact"
    assert mann_whitney(before, after, method="asymptotic").p == pytest.approx(exact.p, rel=0.05)
    assert mann_whitney(np.arange(500), np.arange(500)).method == "asymptotic"


def test_constant_values_are_no_evidence() -> None:
    assert mann_whitney([1.0] * 4, [1.0] * 3).p == 1
    assert mann_whitney([1.0] * 4, [1.0] * 3, method="asymptotic").p == 1


def test_one_boot_cannot_fail_a_rank_test() -> None:
    assert smallest_p(30, 1) == 1 / 31
    assert mann_whitney(range(30), [99.0]).p == pytest.approx(1 / 31)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)
)  # fmt: skip
def test_the_shift_is_the_median_of_all_differences(before: list[float], after: list[float]) -> None:
    brute = float(np.median([a - b for a in after for b in before]))
    assert hodges_lehmann(before, after).shift == pytest.approx(brute, rel=1e-12, abs=1e-12)


def test_many_differences_are_counted_without_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    for digits in (8, 1):
        before, after = random.normal(size=70).round(digits), random.normal(1, size=81).round(digits)
        plain = hodges_lehmann(before, after)
        with monkeypatch.context() as patch:
            patch.setattr(ranks, "_EXACT_DIFFERENCES", 10)
            counted = hodges_lehmann(before, after)
        assert (counted.shift, counted.low, counted.high) == pytest.approx(
            (plain.shift, plain.low, plain.high), abs=1e-12
        )


@pytest.mark.parametrize(
    ("n", "k", "confidence"), [(6, 6, 0.95), (30, 3, 0.95), (12, 9, 0.8), (100, 90, 0.95)]
)
def test_intervals_cover_what_they_say(n: int, k: int, confidence: float) -> None:
    random = np.random.default_rng(n + k)
    rounds = 1500
    covered = 0
    for _ in range(rounds):
        found = hodges_lehmann(
            random.exponential(size=n), random.exponential(size=k) + 1, confidence=confidence
        )
        covered += found.low <= 1 <= found.high
    # at least the level; above it by no more than the steps of small samples
    assert confidence - 0.02 < covered / rounds < confidence + 0.04


def test_the_interval_inverts_the_test() -> None:
    random = np.random.default_rng(6)
    before, after = random.normal(size=12), random.normal(1, size=9)
    found = hodges_lehmann(before, after, confidence=0.9)
    for end, inside in ((found.low, 1e-9), (found.high, -1e-9)):
        sides = [
            min(mann_whitney(before + end + step, after, alternative=side).p for side in ("greater", "less"))
            for step in (inside, -inside)
        ]
        assert sides[0] > 0.05 >= sides[1]


def test_too_few_values_have_no_end() -> None:
    found = hodges_lehmann([1.0, 2.0], [3.0], confidence=0.99)
    assert (found.shift, found.low, found.high) == (1.5, -math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")], [[1.0]]])
def test_what_cannot_be_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mann_whitney([1.0], values)
    with pytest.raises(ValueError, match="finite"):
        hodges_lehmann(values, [1.0])
    with pytest.raises(ValueError, match="level"):
        hodges_lehmann([1.0], [1.0], confidence=1.0)
