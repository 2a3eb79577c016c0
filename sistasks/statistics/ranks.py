"""Two samples compared by their ranks: the Mann-Whitney test and the Hodges-Lehmann shift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Alternative = Literal["greater", "less", "two-sided"]
# steps of the exact distribution's table; about 20 ms at most
_EXACT_STEPS: Final = 20_000_000
# differences that are simply written out; more are counted without being made
_EXACT_DIFFERENCES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RankTest:
    """A Mann-Whitney test.

    Attributes:
        u: pairs in which the candidate is larger, ties counted half; 0 to n * k.
        p: probability of a result at least as extreme if both samples have one distribution.
        method: `exact` or `asymptotic`.
    """

    u: float
    p: float
    method: str


@dataclass(frozen=True, slots=True)
class Shift:
    """A Hodges-Lehmann shift, in the unit of the values.

    Attributes:
        shift: median of all differences candidate - baseline.
        low: lower end of its interval; -inf where the samples are too few for the level.
        high: upper end; inf where they are too few.
    """

    shift: float
    low: float
    high: float


def finite(values: npt.ArrayLike, least: int = 1) -> Floats:
    """Values as an array of shape (n,).

    Raises:
        ValueError: another shape, fewer than `least` values, or one that is not finite.
    """
    import numpy as np

    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < least or not np.isfinite(array).all():
        raise ValueError(f"needs {least} or more finite values in one row, not an array of {array.shape}")
    return array


def doubled_ranks(values: Floats) -> npt.NDArray[np.int64]:
    """Twice the rank of each of n values, from 2 to 2n; equal values share the mean of their ranks.

    Doubled, so that the mean of two ranks is a whole number too.
    """
    import numpy as np

    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: npt.NDArray[np.int64] = (2 * np.cumsum(count) - count + 1)[place]
    return ranks


@lru_cache(maxsize=256)
def _subset_sums(weights: tuple[int, ...], size: int) -> Floats:
    """How many subsets of `size` weights have each sum, from 0 on, as shares of all subsets.

    The recurrence over the number of weights that are taken (Mann & Whitney 1947), with the ranks as weights, so that
    ties need no correction: Streitberg & Roehmel 1986, "Exact distributions for permutation and rank tests".
    """
    import numpy as np

    most = sum(sorted(weights)[-size:])
    table = np.zeros((size + 1, most + 1))
    table[0, 0] = 1.0
    for weight in weights:
        if weight > most:
            continue
        # numpy reads the overlapping right side before it writes
        table[1:, weight:] += table[:-1, : most + 1 - weight]
    shares: Floats = table[size] / table[size].sum()
    return shares


def _steps(count: int, size: int) -> int:
    return count * size * size * (2 * count - size)


def _exact(ranks: npt.NDArray[np.int64], size: int) -> tuple[float, float]:
    """P(sum >= observed) and P(sum <= observed) for the sum of the last `size` of the doubled ranks."""
    weights = ranks - ranks.min()
    if not (weights % 2).any():
        weights //= 2
    observed = int(weights[-size:].sum())
    shares = _subset_sums(tuple(sorted(weights.tolist())), size)
    return min(1.0, float(shares[observed:].sum())), min(1.0, float(shares[: observed + 1].sum()))


def _asymptotic(u: float, ranks: npt.NDArray[np.int64], n: int, k: int) -> tuple[float, float]:
    """The same by the normal distribution, with correction for ties and for continuity."""
    import numpy as np

    total = n + k
    _, ties = np.unique(ranks, return_counts=True)
    correction = float(((ties.astype(np.float64) ** 3) - ties).sum()) / (total * (total - 1))
    variance = n * k / 12 * (total + 1 - correction)
    if variance <= 0:
        return 1.0, 1.0
    scale = math.sqrt(2 * variance)
    above = 0.5 * math.erfc((u - n * k / 2 - 0.5) / scale)
    below = 0.5 * math.erfc(-(u - n * k / 2 + 0.5) / scale)
    return above, below


def mann_whitney(
    baseline: npt.ArrayLike,
    candidate: npt.ArrayLike,
    *,
    alternative: Alternative = "greater",
    method: Literal["auto", "exact", "asymptotic"] = "auto",
) -> RankTest:
    """Whether the candidate's values tend to be larger than the baseline's (Mann & Whitney 1947).

    Ties are handled: the exact distribution is that of the sum of the observed mid-ranks under all choices of k among
    n + k values. Assumes that the values are exchangeable if nothing changed: one value a boot, no drift.

    Args:
        baseline: shape (n,), n >= 1, any unit.
        candidate: shape (k,), k >= 1, the same unit.
        alternative: of the candidate: `greater`, `less`, or `two-sided` (twice the smaller of both, at most 1).
        method: `auto` is exact where its table is small (up to about 40 + 40 values, or 300 + 10).

    Raises:
        ValueError: an empty sample, or values that are not finite.
    """
    import numpy as np

    before, after = finite(baseline), finite(candidate)
    n, k = before.size, after.size
    ranks = doubled_ranks(np.concatenate((before, after)))
    u = float(ranks[n:].sum()) / 2 - k * (k + 1) / 2
    if method == "exact" or (method == "auto" and _steps(n + k, min(n, k)) <= _EXACT_STEPS):
        used = "exact"
        # the smaller group makes the smaller table; large sums of the one are small sums of the other
        if k <= n:
            above, below = _exact(ranks, k)
        else:
            below, above = _exact(ranks[::-1].copy(), n)
    else:
        used = "asymptotic"
        above, below = _asymptotic(u, ranks, n, k)
    p = {"greater": above, "less": below, "two-sided": min(1.0, 2 * min(above, below))}[alternative]
    return RankTest(u, p, used)


def smallest_p(n: int, k: int) -> float:
    """The smallest p that a one-sided rank test of n against k values can give: 1 / C(n + k, k)."""
    return 1 / math.comb(n + k, k)


def _outer_pairs(n: int, k: int, tail: float) -> int:
    """How many of the n * k ordered differences may be left out at each end; -1: leaving out none is not enough.

    The number is the largest c with P(U <= c) <= tail (Hollander, Wolfe & Chicken 2014, section 4.3). Large samples:
    the normal approximation.
    """
    import numpy as np

    if _steps(n + k, min(n, k)) <= _EXACT_STEPS:
        cumulated = np.cumsum(_subset_sums(tuple(range(n + k)), min(n, k))[math.comb(min(n, k), 2) :])
        return int(np.searchsorted(cumulated, tail * (1 + 1e-12), side="right")) - 1
    return int(n * k / 2 + NormalDist().inv_cdf(tail) * math.sqrt(n * k * (n + k + 1) / 12) - 0.5)


def _differences(before: Floats, after: Floats) -> Floats | None:
    """All differences after - before; None if there are too many to write out."""
    if before.size * after.size > _EXACT_DIFFERENCES:
        return None
    differences: Floats = (after[:, None] - before[None, :]).ravel()
    return differences


def _nth_difference(before: Floats, after: Floats, place: int) -> float:
    """The difference after - before at this place of their order, from 0 on."""
    import numpy as np

    differences = _differences(before, after)
    if differences is None:
        return _search_difference(np.sort(before), np.sort(after), place)
    differences.partition(place)
    return float(differences[place])


def median_difference(before: Floats, after: Floats) -> float:
    """The Hodges-Lehmann shift alone, for checked values: the median of all differences after - before."""
    count = before.size * after.size
    lower = (count - 1) // 2
    differences = _differences(before, after)
    if differences is None:
        return (_nth_difference(before, after, lower) + _nth_difference(before, after, count // 2)) / 2
    differences.partition(lower)
    upper = differences[lower] if count % 2 else differences[lower + 1 :].min()
    return float(differences[lower] + upper) / 2


def _search_difference(before: Floats, after: Floats, place: int) -> float:
    """By bisection over the value: differences <= x are counted without being made."""
    import numpy as np

    low, high = float(after[0] - before[-1]), float(after[-1] - before[0])
    for _ in range(100):
        middle = low + (high - low) / 2
        if not low < middle < high:
            break
        # after - before <= middle  <=>  before >= after - middle
        within = before.size * after.size - int(np.searchsorted(before, after - middle, side="left").sum())
        if within > place:
            high = middle
        else:
            low = middle
    return high


def hodges_lehmann(baseline: npt.ArrayLike, candidate: npt.ArrayLike, *, confidence: float = 0.99) -> Shift:
    """By how much the candidate is shifted: the median of all n * k differences, and its interval.

    The interval inverts the Mann-Whitney test, so it covers whatever the distribution (Hodges & Lehmann 1963;
    Hollander, Wolfe & Chicken 2014, "Nonparametric Statistical Methods", section 4.3); with ties it is conservative.
    Assumes that the candidate's distribution is the baseline's, shifted. Beyond a million differences the result is
    found by bisection, exact to rounding.

    Args:
        baseline: shape (n,), n >= 1. Of logarithms the shift is the logarithm of a ratio.
        candidate: shape (k,), k >= 1, the same unit.
        confidence: level of the interval, two-sided.

    Raises:
        ValueError: an empty sample, values that are not finite, or a level outside (0, 1).
    """
    before, after = finite(baseline), finite(candidate)
    if not 0 < confidence < 1:
        raise ValueError("the level of an interval is between 0 and 1")
    count = before.size * after.size
    outer = _outer_pairs(before.size, after.size, (1 - confidence) / 2)
    low, high = -math.inf, math.inf
    if outer >= 0:
        low = _nth_difference(before, after, outer)
        high = _nth_difference(before, after, count - 1 - outer)
    return Shift(median_difference(before, after), low, high)
