"""How well the mean and the percentiles of a series are known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.statistics.bootstrap import mean_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

STATISTICS: Final = ("mean", "p50", "p95", "p99")
# a bootstrap of fewer values is too narrow by far
_FEW: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of one statistic of m series.

    Attributes:
        statistic: `mean`, or `p` and a number: `p95`.
        low: shape (m,), in the unit of the series; NaN where there are too few values for an end at this level.
        high: shape (m,), likewise.
        confidence: the level asked for.
        method: `bootstrap` or `order statistics`.
        warnings: why an end is missing or not to be trusted.
    """

    statistic: str
    low: Floats
    high: Floats
    confidence: float
    method: str
    warnings: tuple[str, ...]


def intervals(
    series: npt.ArrayLike,
    confidence: float = 0.99,
    *,
    statistics: Sequence[str] = STATISTICS,
    seed: int = 0,
) -> dict[str, Intervals]:
    """Intervals of several statistics of several series of one length.

    Args:
        series: shape (n, m): n values of each of m series, n >= 1, any unit; exchangeable within a series.
        confidence: two-sided level, 0 < confidence < 1.
        statistics: `mean` and `p` with a percentage between 0 and 100.
        seed: of the bootstrap.

    Returns:
        statistic -> its intervals.

    Raises:
        ValueError: another shape, values that are not finite, or an unknown statistic.
    """
    import numpy as np

    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] == 0 or not np.isfinite(values).all() or not 0 < confidence < 1:
        raise ValueError("intervals need a table of finite values and a level between 0 and 1")
    ordered = np.sort(values, axis=0)
    found = {}
    for name in statistics:
        if name == "mean":
            found[name] = _mean(values, confidence, seed)
        else:
            found[name] = _percentile(ordered, name, confidence)
    return found


def _mean(values: Floats, confidence: float, seed: int) -> Intervals:
    import numpy as np

    count = values.shape[0]
    warnings: tuple[str, ...] = ()
    if count < 2:
        low = high = np.full(values.shape[1], math.nan)
        warnings = ("the mean of one value has no interval",)
    else:
        low, high = mean_intervals(values, confidence, seed=seed)
        if count < _FEW:
            warnings = (f"the interval of the mean of {count} values is too narrow: it needs {_FEW} or more",)
    return Intervals(
        statistic="mean", low=low, high=high, confidence=confidence, method="bootstrap", warnings=warnings
    )


def _percentile(ordered: Floats, name: str, confidence: float) -> Intervals:
    import numpy as np

    share = _share(name)
    count = ordered.shape[0]
    first, last = order_statistics(count, share, confidence)
    missing = np.full(ordered.shape[1], math.nan)
    return Intervals(
        statistic=name, confidence=confidence, method="order statistics",
        warnings=missing_ends(name, count, confidence),
        low=missing if first is None else ordered[first], high=missing if last is None else ordered[last],
    )  # fmt: skip


def middle_ends(
    lows: Sequence[float | None], highs: Sequence[float | None]
) -> tuple[float | None, float | None]:
    """How well one series of several is known: the medians of their intervals' ends.

    Args:
        lows: of each series; None where it has no such end.
        highs: likewise.

    Returns:
        (low, high); None for an end that not every series has, or where there is no series.
    """
    import statistics

    found = []
    for ends in (lows, highs):
        known = [end for end in ends if end is not None]
        found.append(statistics.median(known) if known and len(known) == len(ends) else None)
    return found[0], found[1]


def missing_ends(name: str, count: int, confidence: float) -> tuple[str, ...]:
    """Which ends of a percentile's interval `count` values cannot give, and how many would: one sentence each.

    Args:
        name: `p` with a percentage between 0 and 100.
        count: values.
        confidence: two-sided level; outside 0 to 1 it is none, and nothing is missing.
    """
    share = _share(name)
    if not 0 < confidence < 1:
        return ()
    needed = {"lower": values_needed(share, confidence), "upper": values_needed(1 - share, confidence)}
    return tuple(
        f"{count} samples are too few for the {word} end of {name} at {100 * confidence:g} %: it needs {least}"
        for word, least in needed.items()
        if count < least
    )


def _share(name: str) -> float:
    try:
        share = float(name.removeprefix("p")) / 100
    except ValueError:
        share = math.nan
    if not name.startswith("p") or not 0 < share < 1:
        raise ValueError(f"no statistic is called {name}")
    return share


def values_needed(tail: float, confidence: float) -> int:
    """How many values an end of an interval needs, if a share `tail` of the distribution lies beyond the percentile.

    The largest of n values is below the percentile with the probability (1 - tail)**n.
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log1p(-tail))


def order_statistics(count: int, share: float, confidence: float) -> tuple[int | None, int | None]:
    """Which of `count` values in order, from 0 on, are the ends of a percentile's interval; None: none is far enough.

    The number of values below the percentile is binomial, whatever the (continuous) distribution, so the coverage is
    at least the level, exactly; each tail has at most half of the rest (David & Nagaraja 2003, "Order Statistics",
    section 7.1). It costs one sort; a bootstrap of p99 draws the same few largest values again and again, covers less
    than it says, and costs a thousand times more.

    Args:
        count: values, at least 1.
        share: the percentile as a share: 0.95.
        confidence: two-sided level.
    """
    import numpy as np
    from scipy.special import bdtr

    tail = (1 - confidence) / 2
    # P(at most k values are below the percentile), for k = 0 .. count - 1
    at_most = bdtr(np.arange(count), count, share)
    first = int(np.searchsorted(at_most, tail, side="right")) - 1
    # the value at place k (from 0 on) is too low an upper end if more than k values are below the percentile
    last = int(np.searchsorted(-(1 - at_most), -tail, side="left"))
    return (first if first >= 0 else None), (last if last < count else None)
