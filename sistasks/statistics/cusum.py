"""Where a row of values splits best, by ranks, and whether a row without a step splits as well.

Many rows are done at a time: everything here works on tables with one row for each stretch of a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

# critical values are made at lengths of about this ratio and interpolated between: they change slowly
_GRID: Final = 1.2
# Ties make the ranks' spread smaller. Down to this share of it the critical values of untied ranks hold (simulated:
# level .0045 to .0055 for .005). Below it most values are equal, and rows that come near get permutations of their own.
_TIED: Final = 0.8
_NEAR: Final = 0.8


def gather(series: Floats, starts: Ints, lengths: Ints) -> Floats:
    """Stretches of a series as rows, filled up with inf to the longest.

    Args:
        series: shape (n,).
        starts: shape (m,): where each stretch begins.
        lengths: shape (m,): how long it is, at least 1.

    Returns:
        shape (m, max(lengths)).
    """
    places = np.arange(int(lengths.max()))
    rows: Floats = series[np.minimum(starts[:, None] + places, series.size - 1)]
    rows[places >= lengths[:, None]] = np.inf
    return rows


def row_ranks(rows: Floats, lengths: Ints) -> Floats:
    """Ranks of each row's values less their mean, so that a row's ranks sum to 0; the filling gets 0.

    Args:
        rows: shape (m, w), as `gather` makes them; equal values share the mean of their ranks.
        lengths: shape (m,).
    """
    count, width = rows.shape
    order = rows.argsort(axis=1)
    flat = order + np.arange(count)[:, None] * width
    ordered = rows.ravel()[flat]
    ranks = np.broadcast_to(np.arange(width, dtype=np.float64), rows.shape)
    new = np.empty(rows.shape, dtype=bool)
    new[:, 0] = True
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=new[:, 1:])
    if not new.all():
        # a run of equal values goes from its first place to before the next run's
        begins = np.flatnonzero(new)
        middles = (begins + np.append(begins[1:], new.size) - 1) / 2
        ranks = middles[np.cumsum(new.ravel()) - 1].reshape(rows.shape) - np.arange(count)[:, None] * width
    found = np.empty(rows.shape)
    found.ravel()[flat] = ranks
    found -= (lengths[:, None] - 1) / 2
    found[np.arange(width) >= lengths[:, None]] = 0.0
    return found


def best_splits(ranks: Floats, lengths: Ints, least: int) -> tuple[Floats, Ints]:
    """The largest rank-CUSUM statistic of each row, and where it is.

    T = max over k of |sum of the first k centred ranks| / sqrt(k (n - k) / n), divided by the ranks' standard
    deviation, so that rows of all lengths and with ties are on one scale (Pettitt 1979, "A non-parametric approach to
    the change-point problem", with the weights of a two-sample test).

    Args:
        ranks: shape (m, w), as `row_ranks` makes them.
        lengths: shape (m,).
        least: values that a part must have; rows shorter than two parts get the statistic 0.

    Returns:
        (statistics, splits), each of shape (m,); a split is the number of values in the first part.
    """
    width = ranks.shape[1]
    sums = np.abs(np.cumsum(ranks[:, : max(width - least, 1)], axis=1))[:, least - 1 :]
    if sums.shape[1] == 0:
        return np.zeros(lengths.size), np.full(lengths.size, least)
    first = np.arange(least, least + sums.shape[1])
    rest = lengths[:, None] - first
    weights = np.maximum(first * rest, 1) / lengths[:, None]
    scaled = np.where(rest >= least, sums / np.sqrt(weights), 0.0)
    split = scaled.argmax(axis=1)
    spread = np.sqrt((ranks**2).sum(axis=1) / lengths)
    top = scaled[np.arange(lengths.size), split]
    return np.divide(top, spread, out=np.zeros_like(top), where=spread > 0), split + least


@dataclass(frozen=True, slots=True)
class Chance:
    """Random rows without a step, which real rows are judged against.

    p = (1 + b) / (replicates + 1), where b counts the random rows with a statistic at least as large.

    Attributes:
        least: values that a part must have.
        replicates: random rows of each length.
        seed: of those: the same seed gives the same judgement.
    """

    least: int
    replicates: int
    seed: int

    def allowed(self, level: float) -> int:
        """The most random rows b with a statistic at least as large, for p <= level.

        Raises:
            ValueError: so few replicates that p cannot be so small.
        """
        most = int(level * (self.replicates + 1) * (1 + 1e-12)) - 1
        if most < 0:
            raise ValueError(f"p <= {level} cannot be had from {self.replicates} permutations")
        return most

    def critical(self, lengths: Ints, level: float, correlation: float = 0.0) -> Floats:
        """What a row's statistic must exceed for p <= level.

        Ranks without ties have one distribution whatever the values', so one set of random rows serves all rows of a
        length, and lengths between are interpolated. With a correlation the random rows are stretches of a Gaussian
        AR(1) process instead of permutations.

        Args:
            lengths: shape (m,).
            level: of the test.
            correlation: of neighbouring values, 0 to below 1.

        Returns:
            shape (m,); inf for rows too short to split.

        Raises:
            ValueError: so few replicates that p cannot be so small.
        """
        found = np.full(lengths.size, np.inf)
        able = lengths >= 2 * self.least
        if able.any():
            wanted = lengths[able]
            grid = _grid(2 * self.least, int(wanted.max()))
            place = np.searchsorted(grid, wanted)
            between = grid[place] != wanted
            needed = np.unique(np.concatenate((place, place[between] - 1)))
            known = [_critical_value(self, int(at), level, correlation) for at in grid[needed]]
            found[able] = np.interp(wanted, grid[needed], known)
        return found

    def significant(
        self, ranks: Floats, lengths: Ints, statistics: Floats, level: float
    ) -> npt.NDArray[np.bool_]:
        """Which rows split better than chance.

        A row of mostly equal values is judged against permutations of its own ranks where it comes near.

        Args:
            ranks: shape (m, w), as `row_ranks` makes them.
            lengths: shape (m,).
            statistics: shape (m,), as `best_splits` makes them.
            level: of the test.

        Returns:
            shape (m,).
        """
        critical = self.critical(lengths, level)
        found = statistics > critical
        share = np.sqrt((ranks**2).sum(axis=1) / lengths / np.maximum((lengths**2 - 1) / 12, 1))
        for row in np.flatnonzero((share < _TIED) & (statistics > _NEAR * critical)):
            length = int(lengths[row])
            own = ranks[row, :length][_permutations(length, self.replicates, self.seed)]
            drawn, _ = best_splits(own, np.full(self.replicates, length), self.least)
            # rounding may part what is equal
            at_least = int((drawn >= statistics[row] * (1 - 1e-9)).sum())
            found[row] = (1 + at_least) / (self.replicates + 1) <= level
        return found


def _grid(first: int, last: int) -> Ints:
    """Lengths from the first to at least the last, each about _GRID times the one before."""
    lengths = [first]
    while lengths[-1] < last:
        lengths.append(max(lengths[-1] + 1, round(lengths[-1] * _GRID)))
    return np.array(lengths)


@lru_cache(maxsize=1024)
def _critical_value(chance: Chance, length: int, level: float, correlation: float) -> float:
    if correlation:
        order = _correlated(chance, length, correlation).argsort(axis=1).argsort(axis=1)
    else:
        order = _permutations(length, chance.replicates, chance.seed)
    lengths = np.full(chance.replicates, length)
    ranks = order.astype(np.float64) - (length - 1) / 2
    statistics, _ = best_splits(ranks, lengths, chance.least)
    place = chance.replicates - 1 - chance.allowed(level)
    return float(np.partition(statistics, place)[place])


def _correlated(chance: Chance, length: int, correlation: float) -> Floats:
    random = np.random.default_rng((chance.seed, length))
    rows = random.standard_normal((length, chance.replicates))
    rows[1:] *= np.sqrt(1 - correlation**2)
    for place in range(1, length):
        rows[place] += correlation * rows[place - 1]
    return rows.T


@lru_cache(maxsize=64)
def _permutations(length: int, replicates: int, seed: int) -> Ints:
    """Random orders of this length: those of random values."""
    order: Ints = np.random.default_rng((seed, length)).random((replicates, length)).argsort(axis=1)
    return order
