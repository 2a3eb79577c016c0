"""Since when: the places in a series where its level changed for good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sistasks.statistics.cusum import Chance, best_splits, gather, row_ranks
from sistasks.statistics.ranks import finite, mann_whitney, median_difference

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

WINDOW: Final = 60
LEAST: Final = 5
MINIMUM_EFFECT: Final = math.log(1.05)
CORRELATED: Final = 0.3
# an asymptotic p this far from the level, of parts this small, may be on its other side
_UNCERTAIN: Final = 30.0
_SMALL: Final = 12
# a step of exactly the smallest effect is found smaller as often as larger: this share of it is enough to stay
_ENOUGH: Final = 0.6
# windows may propose at this multiple of the level; what they propose is judged again by its whole neighbourhood
_WEAK: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One lasting change of level.

    Attributes:
        index: of the first value at the new level, from 0 on.
        shift: Hodges-Lehmann shift from the values before to the values after, at most `window` of each; of
            logarithms, the logarithm of the ratio.
        p: two-sided Mann-Whitney p of the same values. The place was chosen, so it says less than its size.
        before: median of those values before.
        after: median of those values after.
        advisory: a process whose neighbouring values are as correlated as this series' makes such a step by itself too
            often: show it, don't act on it.
    """

    index: int
    shift: float
    p: float
    before: float
    after: float
    advisory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoints:
    """What was found in one series.

    Attributes:
        points: in the order of the series.
        autocorrelation: of neighbouring values, the steps left out; 0 where it could not be estimated. Above 0.3 the
            values are no independent evidence, and points are `advisory` unless they stand against that too.
    """

    points: tuple[ChangePoint, ...]
    autocorrelation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    window: int
    level: float
    merge_level: float
    minimum_effect: float
    chance: Chance

    def splits(
        self, values: Floats, starts: Ints, lengths: Ints, level: float
    ) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Each stretch's best split, and whether it is better than chance at this level."""
        ranks = row_ranks(gather(values, starts, lengths), lengths)
        statistics, splits = best_splits(ranks, lengths, self.chance.least)
        return splits, self.chance.significant(ranks, lengths, statistics, level)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Of each point: where its neighbourhood begins, the point, and where it ends."""

    begins: Ints
    points: Ints
    ends: Ints

    @classmethod
    def of(cls, size: int, points: Ints, window: int) -> _Parts:
        """At most a window to each side, and not beyond the next point."""
        return cls(
            np.maximum(points - window, np.append(0, points[:-1])),
            points,
            np.minimum(points + window, np.append(points[1:], size)),
        )

    @property
    def lengths(self) -> Ints:
        return self.ends - self.begins

    def some(self, which: npt.NDArray[np.bool_]) -> _Parts:
        return _Parts(self.begins[which], self.points[which], self.ends[which])


def change_points(
    series: npt.ArrayLike,
    *,
    minimum_effect: float = MINIMUM_EFFECT,
    window: int = WINDOW,
    least: int = LEAST,
    level: float = 0.005,
    merge_level: float = 0.001,
    replicates: int = 999,
    seed: int = 0,
) -> ChangePoints:
    """Find the changes of level in a series.

    Windows that overlap by half are split where the rank-CUSUM statistic is largest, as long as a permutation test
    finds the split better than chance (at four times `level`); so are the parts. Of the places found, those are kept
    whose neighbourhoods, at most `window` to each side, differ by a Mann-Whitney test (`merge_level`) and by a
    Hodges-Lehmann shift of 0.6 `minimum_effect`, the weakest removed first; each is then moved to the best split
    between its neighbours, and must there pass the permutation test at `level`. Ranks make single outliers harmless.

    The values are to be one per boot, in the order of time, and independent but for the steps. Values that hang
    together are noticed; points that a correlated process (AR(1)) of their strength makes too are marked as advisory.

    Sources: Pettitt 1979 (rank-CUSUM); Fleming et al. 2023, "Hunter" (windows, weak points, merge).

    Args:
        series: shape (n,), usually logarithms of a boot's median; any n.
        minimum_effect: smallest absolute shift worth reporting, in the unit of the series.
        window: values in a window.
        least: values that a level must last for to be seen, at least 2.
        level: of the permutation test.
        merge_level: of the Mann-Whitney test.
        replicates: permutations.
        seed: of the permutations: the same seed gives the same points.

    Raises:
        ValueError: values that are not finite, or parameters that cannot be together.
    """
    values = finite(series, least=0)
    if least < 2 or window < 2 * least or replicates < 1 or minimum_effect < 0:
        raise ValueError("a window holds two parts of two or more values, and an effect is not negative")
    rule = _Rule(
        window=window, level=level, merge_level=merge_level, minimum_effect=minimum_effect,
        chance=Chance(least, replicates, seed),
    )  # fmt: skip
    rule.chance.allowed(level)  # refused whatever the series is, not only where a point comes so far
    found = _merged(values, _candidates(values, rule), rule)
    if found.size:
        found = _merged(values, _refined(values, found, rule), rule)
    if found.size:
        found = _merged(values, _significant(values, found, rule), rule)
    correlation = autocorrelation(values, found)
    described = _described(values, found, correlation, rule) if found.size else ()
    return ChangePoints(points=described, autocorrelation=correlation)


def autocorrelation(series: npt.ArrayLike, points: npt.ArrayLike = ()) -> float:
    """Correlation of neighbouring values between the steps: the larger of two estimates.

    One is the correlation of what is left when each level's mean is taken off; drift raises it, and steps that are
    none lower it. For the other, the differences of neighbours and of next neighbours of an AR(1) process have the
    variances 2 s2 (1 - r) and 2 s2 (1 - r2), whose ratio is 1 + r; steps hardly touch it. Outliers are clipped.

    Args:
        series: shape (n,).
        points: shape (m,): where a new level begins, in order, each within 1 and n - 1.

    Returns:
        The estimate, -1 to 1; 0.0 for fewer than 20 values or more than half of them equal.
    """
    values = finite(series, least=0)
    far = np.abs(values[2:] - values[:-2])
    if values.size < 20 or (clip := 4 * 1.4826 * float(np.median(far))) == 0:
        return 0.0
    squares = [float(np.mean(np.minimum(item, clip) ** 2)) for item in (np.abs(np.diff(values)), far)]
    begins = np.append(0, np.asarray(points, dtype=np.int64))
    lengths = np.diff(np.append(begins, values.size))
    rest = np.clip(values - np.repeat(np.add.reduceat(values, begins) / lengths, lengths), -clip, clip)
    rest -= rest.mean()
    return min(1.0, max(squares[1] / squares[0] - 1, float(rest[1:] @ rest[:-1] / (rest @ rest))))


def _candidates(values: Floats, rule: _Rule) -> Ints:
    """Every place at which some window, or a part of one, splits better than chance."""
    if values.size < 2 * rule.chance.least:
        return np.empty(0, dtype=np.int64)
    size = min(rule.window, values.size)
    starts = np.arange(0, values.size - size + 1, max(1, size // 2))
    if starts[-1] != values.size - size:
        starts = np.append(starts, values.size - size)
    lengths = np.full(starts.size, size)
    found = []
    while starts.size:
        splits, good = rule.splits(values, starts, lengths, min(1.0, _WEAK * rule.level))
        starts, lengths, splits = starts[good], lengths[good], splits[good]
        found.append(starts + splits)
        starts, lengths = np.append(starts, starts + splits), np.append(splits, lengths - splits)
        long_enough = lengths >= 2 * rule.chance.least
        starts, lengths = starts[long_enough], lengths[long_enough]
    return np.unique(np.concatenate(found))


def _z(values: Floats, parts: _Parts) -> Floats:
    """Mann-Whitney z of each neighbourhood, all at a time; the sign is left out."""
    lengths = parts.lengths
    ranks = row_ranks(gather(values, parts.begins, lengths), lengths)
    first, rest = parts.points - parts.begins, parts.ends - parts.points
    sums = np.where(np.arange(ranks.shape[1]) < first[:, None], ranks, 0.0).sum(axis=1)
    # the ranks' own spread takes ties into account
    scale = np.sqrt(first * rest / (lengths - 1) * (ranks**2).sum(axis=1) / lengths)
    found: Floats = np.divide(np.abs(sums) - 0.5, scale, out=np.zeros_like(scale), where=scale > 0)
    return found


def _probabilities(values: Floats, parts: _Parts, level: float) -> Floats:
    """Two-sided Mann-Whitney p of each neighbourhood; exact where that may change on which side of the level it is."""
    p = _two_sided(_z(values, parts))
    small = np.minimum(parts.points - parts.begins, parts.ends - parts.points) <= _SMALL
    for i in np.flatnonzero(small & (p < level * _UNCERTAIN) & (p > level / _UNCERTAIN)).tolist():
        before, after = _sides(values, parts, i)
        p[i] = mann_whitney(before, after, alternative="two-sided").p
    return p


def _sides(values: Floats, parts: _Parts, i: int) -> tuple[Floats, Floats]:
    point = parts.points[i]
    return values[parts.begins[i] : point], values[point : parts.ends[i]]


def _two_sided(z: Floats) -> Floats:
    return np.array([min(1.0, math.erfc(item / math.sqrt(2))) for item in z.tolist()])


def _merged(values: Floats, points: Ints, rule: _Rule) -> Ints:
    """The points whose neighbourhoods differ; the weakest goes first, since its going changes its neighbours."""
    stale = np.ones(points.size, dtype=bool)
    weakness = np.zeros(points.size)
    while points.size:
        parts = _Parts.of(values.size, points, rule.window).some(stale)
        weakness[stale] = _weakness(values, parts, rule)
        # of neighbours that both fail, one may pass without the other
        before, after = np.append(0, weakness[:-1]), np.append(weakness[1:], 0)
        gone = (weakness > 0) & (weakness >= before) & (weakness > after)
        if not gone.any():
            break
        stale = (np.append(False, gone[:-1]) | np.append(gone[1:], False))[~gone]
        points, weakness = points[~gone], weakness[~gone]
    return points


def _weakness(values: Floats, parts: _Parts, rule: _Rule) -> Floats:
    """0 for points that stand; else how weak they are: first by p, then by effect."""
    p = _probabilities(values, parts, rule.merge_level)
    weakness = np.where(p > rule.merge_level, 1 + p, 0.0)
    enough = _ENOUGH * rule.minimum_effect
    for i in np.flatnonzero(weakness == 0).tolist():
        before, after = _sides(values, parts, i)
        differences = after[:, None] - before
        # whether the median is beyond is counted, which is cheaper than to find it
        beyond = max(np.count_nonzero(differences >= enough), np.count_nonzero(differences <= -enough))
        if 2 * beyond < differences.size:
            weakness[i] = 1 - beyond / differences.size
    return weakness


def _significant(values: Floats, points: Ints, rule: _Rule) -> Ints:
    """The points whose neighbourhood splits better than chance."""
    parts = _Parts.of(values.size, points, rule.window)
    _, good = rule.splits(values, parts.begins, parts.lengths, rule.level)
    return points[good]


def _refined(values: Floats, points: Ints, rule: _Rule) -> Ints:
    """Each point at the best split of its neighbourhood, which now has one step only.

    Here it is the values that are split, not their ranks: of a large step ranks know only the order. What lies beyond
    both levels by more than the noise is cut off.
    """
    parts = _Parts.of(values.size, points, rule.window)
    lengths = parts.lengths
    rows = gather(values, parts.begins, lengths)
    places = np.arange(rows.shape[1])
    filling = places >= lengths[:, None]
    before, after = (side[:, None] for side in _medians(values, parts))
    left = places < (points - parts.begins)[:, None]
    rest = np.abs(rows - np.where(left, before, after))
    # the filling is inf here: the median of the others is where it would be without
    noise = 3 * np.sort(rest, axis=1)[np.arange(points.size), lengths // 2][:, None]
    rows = np.clip(rows, np.minimum(before, after) - noise, np.maximum(before, after) + noise)
    rows[filling] = 0.0
    rows -= rows.sum(axis=1, keepdims=True) / lengths[:, None]
    rows[filling] = 0.0
    _, splits = best_splits(rows, lengths, rule.chance.least)
    return np.unique(np.where(lengths >= 2 * rule.chance.least, parts.begins + splits, points))


def _medians(values: Floats, parts: _Parts) -> tuple[Floats, Floats]:
    """Before and after each point."""
    found = []
    for starts, ends in ((parts.begins, parts.points), (parts.points, parts.ends)):
        lengths = ends - starts
        ordered = np.sort(gather(values, starts, lengths), axis=1)
        rows = np.arange(lengths.size)
        found.append((ordered[rows, (lengths - 1) // 2] + ordered[rows, lengths // 2]) / 2)
    return found[0], found[1]


def _described(values: Floats, points: Ints, correlation: float, rule: _Rule) -> tuple[ChangePoint, ...]:
    parts = _Parts.of(values.size, points, rule.window)
    before, after = _medians(values, parts)
    p = _probabilities(values, parts, rule.merge_level)
    doubtful = _doubtful(values, parts, correlation, rule)
    described = []
    for i, index in enumerate(points.tolist()):
        first, second = _sides(values, parts, i)
        described.append(
            ChangePoint(
                index=index, shift=median_difference(first, second), p=float(p[i]),
                before=float(before[i]), after=float(after[i]), advisory=bool(doubtful[i]),
            )
        )  # fmt: skip
    return tuple(described)


def _doubtful(values: Floats, parts: _Parts, correlation: float, rule: _Rule) -> npt.NDArray[np.bool_]:
    """Which points a correlated process without steps would make too often."""
    if correlation <= CORRELATED:
        return np.zeros(parts.points.size, dtype=bool)
    # in steps of 0.05, so that the random rows can be shared
    correlation = min(0.95, round(correlation * 20) / 20)
    lengths = parts.lengths
    ranks = row_ranks(gather(values, parts.begins, lengths), lengths)
    statistics, _ = best_splits(ranks, lengths, rule.chance.least)
    chance = statistics <= rule.chance.critical(lengths, rule.level, correlation)
    # correlated values are worth as much as fewer independent ones
    p = _two_sided(_z(values, parts) * math.sqrt((1 - correlation) / (1 + correlation)))
    return chance | (p > rule.merge_level)
