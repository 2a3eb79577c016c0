"""Bootstrap intervals: against a slow oracle, against known coverage, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from sistasks.statistics.bootstrap import mean_intervals


def test_one_interval_agrees_with_plain_resampling() -> None:
    values = np.random.default_rng(7).gamma(2, 100, size=80)
    random = np.random.default_rng(11)
    means = [random.choice(values, size=values.size).mean() for _ in range(20_000)]
    low, high = mean_intervals(values[:, None], 0.95, replicates=20_000)
    spread = float(np.std(means))
    assert low[0] == pytest.approx(np.quantile(means, 0.025), abs=0.06 * spread)
    assert high[0] == pytest.approx(np.quantile(means, 0.975), abs=0.06 * spread)


def test_coverage_is_what_it_says() -> None:
    series = np.random.default_rng(3).normal(1000, 50, size=(100, 2000))
    low, high = mean_intervals(series, 0.9)
    covered = float(np.mean((low <= 1000) & (high >= 1000)))
    assert 0.86 < covered < 0.93


def test_the_same_seed_gives_the_same_interval_whatever_else_is_there() -> None:
    series = np.random.default_rng(5).normal(size=(50, 4))
    together = mean_intervals(series, 0.99, seed=9)
    alone = mean_intervals(series[:, 2:3], 0.99, seed=9)
    assert together[0][2] == pytest.approx(alone[0][0], rel=1e-12)
    assert mean_intervals(series, 0.99, seed=9)[1].tolist() == together[1].tolist()
    assert mean_intervals(series, 0.99, seed=10)[1].tolist() != together[1].tolist()


def test_long_series_are_grouped_without_changing_the_answer() -> None:
    values = np.random.default_rng(13).normal(5e6, 1e3, size=(40_000, 1))
    low, high = mean_intervals(values, 0.95)
    half = 1.96 * values.std() / 200
    assert (high[0] - low[0]) / 2 == pytest.approx(half, rel=0.1)
    assert low[0] < values.mean() < high[0]


def test_constant_series_are_known_exactly() -> None:
    low, high = mean_intervals([[3.0], [3.0], [3.0]], 0.99)
    assert low[0] == high[0] == 3.0


@pytest.mark.parametrize(
    ("series", "confidence"),
    [
        ([[1.0]], 0.9),
        ([1.0, 2.0], 0.9),
        ([[1.0], [float("nan")]], 0.9),
        ([[1.0], [2.0]], 1.0),
        ([[1.0], [2.0]], 0.0),
    ],
)
def test_what_cannot_be_is_refused(series: list[list[float]], confidence: float) -> None:
    with pytest.raises(ValueError, match="a bootstrap needs"):
        mean_intervals(series, confidence)
