"""Splits of rows: against one row at a time, against scipy's ranks, and the level of the test by simulation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sistasks.statistics.cusum import Chance, best_splits, gather, row_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    Floats = np.ndarray[Any, np.dtype[np.float64]]

ROWS = st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=14), min_size=1, max_size=5)


def table(rows: Sequence[Sequence[float]]) -> tuple[Floats, Any]:
    lengths = np.array([len(row) for row in rows])
    series = np.array([value for row in rows for value in row], dtype=float)
    return gather(series, np.cumsum(lengths) - lengths, lengths), lengths


@given(ROWS)
def test_ranks_are_scipys_about_their_mean(rows: list[list[float]]) -> None:
    ranks, lengths = row_ranks(*table(rows)), [len(row) for row in rows]
    for row, found, length in zip(rows, ranks, lengths, strict=True):
        assert found[:length].tolist() == (stats.rankdata(row) - (length + 1) / 2).tolist()
        assert not found[length:].any()


@given(ROWS, st.integers(1, 4))
def test_the_best_split_is_that_of_a_loop(rows: list[list[float]], least: int) -> None:
    filled, lengths = table(rows)
    statistics, splits = best_splits(row_ranks(filled, lengths), lengths, least)
    for row, statistic, split in zip(rows, statistics, splits, strict=True):
        n = len(row)
        ranks = stats.rankdata(row) - (n + 1) / 2
        tried = {k: abs(ranks[:k].sum()) / math.sqrt(k * (n - k) / n) for k in range(least, n - least + 1)}
        scale = float(ranks.std())
        best = max(tried.values(), default=0.0) / scale if scale else 0.0
        assert statistic == pytest.approx(best, abs=1e-9)
        if best > 0:
            assert tried[int(split)] / scale == pytest.approx(best, abs=1e-9)


def share_significant(rows: Floats, level: float, chance: Chance) -> float:
    lengths = np.full(len(rows), rows.shape[1])
    ranks = row_ranks(rows, lengths)
    statistics, _ = best_splits(ranks, lengths, chance.least)
    return float(np.mean(chance.significant(ranks, lengths, statistics, level)))


@pytest.mark.parametrize("length", [10, 27, 60, 120])
def test_rows_without_a_step_are_significant_at_the_level(length: int) -> None:
    rows = np.random.default_rng(length).normal(size=(4000, length))
    chance = Chance(5, 4999, 1)
    # lengths of 10 have few different statistics: at most the level
    assert share_significant(rows, 0.02, chance) < 0.0285
    if length > 10:
        assert share_significant(rows, 0.02, chance) > 0.013


@pytest.mark.parametrize("digits", [1.0, 2.0, 4.0])
def test_ties_do_not_raise_the_level(digits: float) -> None:
    rows = np.round(np.random.default_rng(3).normal(size=(1500, 60)) / digits)
    assert share_significant(rows, 0.02, Chance(5, 999, 1)) < 0.033


def test_one_odd_value_among_equal_ones_is_no_step() -> None:
    """Without permutations of its own ranks such a row would look like a clear step."""
    rows = np.zeros((1, 60))
    rows[0, 5] = 1.0
    lengths = np.array([60])
    ranks = row_ranks(rows, lengths)
    chance = Chance(5, 999, 1)
    statistics, _ = best_splits(ranks, lengths, 5)
    assert statistics > 0.8 * chance.critical(lengths, 0.005)
    assert not chance.significant(ranks, lengths, statistics, 0.005).any()
    rows[0, 45:] = 1.0
    ranks = row_ranks(rows, lengths)
    statistics, splits = best_splits(ranks, lengths, 5)
    assert chance.significant(ranks, lengths, statistics, 0.005).all()
    assert splits.tolist() == [45]


def test_a_row_of_equal_values_is_judged_by_its_own_permutations() -> None:
    row = np.zeros((1, 60))
    row[0, 50:53] = 1.0
    lengths = np.array([60])
    ranks = row_ranks(row, lengths)
    statistics, _ = best_splits(ranks, lengths, 5)
    chance = Chance(5, 199, 3)
    drawn = np.random.default_rng((3, 60)).random((199, 60)).argsort(axis=1)
    at_least = best_splits(ranks[0][drawn], np.full(199, 60), 5)[0] >= statistics[0] - 1e-9
    p = (1 + int(at_least.sum())) / 200
    assert 0.005 < p < 0.2
    assert chance.significant(ranks, lengths, statistics, p).all()
    assert not chance.significant(ranks, lengths, statistics, p - 0.004).any()


def test_correlated_rows_have_larger_critical_values() -> None:
    chance = Chance(5, 4999, 2)
    lengths = np.array([60])
    plain, half, most = (chance.critical(lengths, 0.01, correlation)[0] for correlation in (0.0, 0.5, 0.8))
    assert plain < half < most
    random = np.random.default_rng(4)
    rows = random.normal(size=(2000, 60))
    for place in range(1, 60):
        rows[:, place] = 0.5 * rows[:, place - 1] + math.sqrt(0.75) * rows[:, place]
    rows_lengths = np.full(2000, 60)
    statistics, _ = best_splits(row_ranks(rows, rows_lengths), rows_lengths, 5)
    assert 0.004 < float(np.mean(statistics > half)) < 0.018
    assert float(np.mean(statistics > plain)) > 0.05


def test_critical_values_between_lengths_and_of_short_rows() -> None:
    chance = Chance(5, 999, 0)
    found = chance.critical(np.array([4, 9, 10, 60, 61, 72]), 0.01)
    assert found[:2].tolist() == [math.inf, math.inf]
    assert found[2] == chance.critical(np.array([10]), 0.01)[0]
    assert min(found[3], found[5]) <= found[4] <= max(found[3], found[5])


def test_a_level_beyond_the_replicates_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be had from 99 permutations"):
        Chance(5, 99, 0).critical(np.array([60]), 0.005)
    assert Chance(5, 199, 0).critical(np.array([60]), 0.005)[0] < math.inf
