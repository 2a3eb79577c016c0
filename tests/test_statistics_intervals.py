"""Intervals of percentiles: against the binomial written out, against coverage, and where there are too few values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sistasks.statistics.bootstrap import mean_intervals
from sistasks.statistics.intervals import intervals, order_statistics, values_needed


def coverage(count: int, share: float, first: int, last: int) -> tuple[float, float]:
    """P(the value at `first` is above the percentile), P(the value at `last` is below)."""
    below = [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)]
    return sum(below[: first + 1]), sum(below[last + 1 :])


@pytest.mark.parametrize("count", [12, 100, 400])
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_ends_are_the_nearest_that_cover(count: int, share: float, confidence: float) -> None:
    tail = (1 - confidence) / 2
    first, last = order_statistics(count, share, confidence)
    if first is not None:
        assert coverage(count, share, first, 0)[0] <= tail
        assert coverage(count, share, first + 1, 0)[0] > tail
    if last is not None:
        assert coverage(count, share, 0, last)[1] <= tail
        assert coverage(count, share, 0, last - 1)[1] > tail
    else:
        assert coverage(count, share, 0, count - 1)[1] > tail


@pytest.mark.parametrize("name", ["p50", "p95", "p99"])
def test_agrees_with_scipy(name: str) -> None:
    values = np.random.default_rng(2).gamma(2, 100, size=1000)
    found = intervals(values[:, None], 0.99, statistics=(name,))[name]
    share = float(name[1:]) / 100
    theirs = stats.quantile_test(values, p=share).confidence_interval(0.99)
    # scipy counts values up to the percentile where we count those below: one place at most
    ordered = np.sort(values)
    places = [int(np.searchsorted(ordered, end)) for end in (found.low[0], found.high[0])]
    assert abs(places[0] - int(np.searchsorted(ordered, theirs.low))) <= 1
    assert abs(places[1] - int(np.searchsorted(ordered, theirs.high))) <= 1
    assert not found.warnings


def test_coverage_is_what_it_says() -> None:
    random = np.random.default_rng(3)
    series = random.exponential(size=(1000, 2000))
    found = intervals(series, 0.95)
    for name, truth in (("mean", 1.0), ("p50", math.log(2)), ("p95", math.log(20)), ("p99", math.log(100))):
        item = found[name]
        covered = float(np.mean((item.low <= truth) & (truth <= item.high)))
        assert 0.935 < covered < 0.985, name


def test_series_do_not_disturb_each_other() -> None:
    series = np.random.default_rng(5).normal(size=(700, 3))
    together, alone = intervals(series), intervals(series[:, 1:2])
    for name, item in together.items():
        assert item.low[1] == pytest.approx(alone[name].low[0], rel=1e-12)
        assert item.high[1] == pytest.approx(alone[name].high[0], rel=1e-12)
    low, high = mean_intervals(series, 0.99)
    assert (together["mean"].low.tolist(), together["mean"].high.tolist()) == (low.tolist(), high.tolist())


def test_too_few_values_are_told() -> None:
    found = intervals(np.arange(100.0)[:, None], 0.99)
    assert found["p50"].warnings == ()
    assert found["p99"].warnings == (
        "100 samples are too few for the upper end of p99 at 99 %: it needs 528",
    )
    assert math.isnan(found["p99"].high[0])
    assert found["p99"].low[0] < 99
    assert values_needed(0.01, 0.99) == 528
    assert order_statistics(527, 0.99, 0.99)[1] is None
    assert order_statistics(528, 0.99, 0.99)[1] == 527


def test_one_value_and_few_values() -> None:
    found = intervals([[5.0]])
    assert found["mean"].warnings == ("the mean of one value has no interval",)
    assert len(found["p50"].warnings) == 2
    assert math.isnan(found["p50"].low[0])
    few = intervals([[5.0], [6.0], [7.0]])["mean"]
    assert few.warnings == ("the interval of the mean of 3 values is too narrow: it needs 10 or more",)
    assert 5 <= few.low[0] < few.high[0] <= 7


def test_constant_series_are_known_exactly() -> None:
    for item in intervals(np.full((600, 1), 3.0)).values():
        assert (item.low[0], item.high[0]) == (3.0, 3.0)


@pytest.mark.parametrize(
    ("series", "confidence", "statistics"),
    [
        ([[float("nan")]], 0.9, ("p50",)),
        (np.empty((0, 2)), 0.9, ("p50",)),
        ([1.0], 0.9, ("p50",)),
        ([[1.0]], 1.0, ("p50",)),
        ([[1.0]], 0.9, ("p0",)),
        ([[1.0]], 0.9, ("50",)),
        ([[1.0]], 0.9, ("median",)),
        ([[1.0]], 0.9, ("pnan",)),
    ],
)
def test_what_cannot_be_is_refused(
    series: list[list[float]], confidence: float, statistics: tuple[str]
) -> None:
    with pytest.raises(ValueError, match=r"intervals need|no statistic"):
        intervals(series, confidence, statistics=statistics)
