"""How sure a difference is when boots of one session share its mood: boots differ, and sessions differ beyond that.

The model is one-way random effects: y = level + mood of the session + boot, each independent (Searle, Casella &
McCulloch 1992, "Variance Components", chapter 3). Values are logarithms, so a standard deviation of 0.02 is 2 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.statistics.ranks import finite

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# half a percent between boots: steadier figures than this are no promise for the next boot
FLOOR: Final = 0.005
# what sessions are taken to differ by, and how many sessions of evidence outweigh that: few tell little of themselves
DRIFT: Final = 0.02
DRIFT_SESSIONS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A candidate's session less the baseline's sessions.

    Attributes:
        shift: difference of the means, a logarithm.
        error: its standard error.
        degrees: of freedom of the t distribution that shift / error follows if nothing changed.
        spread: standard deviation between boots of one session, as used.
        drift: standard deviation between sessions, as used.
        sessions: of the baseline.
    """

    shift: float
    error: float
    degrees: float
    spread: float
    drift: float
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Boots of one level: `labels`, `counts` and `means` of its sessions, `rests` of boots in sessions of several."""

    labels: Sequence[object]
    counts: Floats
    means: Floats
    rests: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """Mean squares within and between sessions; `size`: how much of the drift is in the mean square between them."""

    within: float
    within_degrees: int
    between: float
    between_degrees: int
    size: float


def difference(
    baseline: npt.ArrayLike,
    sessions: Sequence[object],
    candidate: npt.ArrayLike,
    *,
    session: object = None,
    others: Sequence[tuple[Sequence[float], Sequence[object]]] = (),
    drift: float = DRIFT,
    drift_sessions: float = DRIFT_SESSIONS,
    floor: float = FLOOR,
) -> Difference:
    """How far the candidate is from the baseline, and how far that may be off.

    The mood of the candidate's session is in the difference whatever the number of its boots, so that the variance
    between sessions decides; and ten sessions tell a variance no better than to 50 %. So it is shrunk towards `drift`,
    which counts as much as `drift_sessions` sessions (Smyth 2004, "Linear models and empirical Bayes methods", with a
    prior that is given): with nothing known, sessions differ by `drift`; what a long history shows outweighs that.
    Shift / error follows a t distribution with degrees of freedom by Satterthwaite 1946, the given part being exact.
    So the share of false alarms is right where sessions differ by `drift`, smaller where they differ by less, and
    larger where they differ by more than a short history has shown.

    Each session's mean weighs by the inverse of its variance. Where no session has two boots, what is between them is
    all that is known: it is taken as drift, and nothing is given.

    Args:
        baseline: shape (n,), n >= 2, logarithms, of one level.
        sessions: n labels; boots of one session have the same.
        candidate: shape (k,), k >= 1, of one session.
        session: the candidate's label: a mood that both sides share is in no difference.
        others: (values, labels) of boots of other levels: they say nothing of the level, and as much of the variances.
        drift: standard deviation between sessions that is given, a logarithm.
        drift_sessions: its weight.
        floor: of the standard deviation between boots.

    Raises:
        ValueError: not one label a boot, or values that are not finite.
    """
    import numpy as np

    now = finite(candidate)
    level = _level(finite(baseline, least=2), sessions)
    levels = [level, *(_level(finite(values), labels) for values, labels in others)]
    parts = _parts([*levels, _level(now, [session] * now.size)], floor)
    weight = parts.between_degrees
    if parts.within_degrees:
        found = (parts.between - parts.within) / parts.size if weight else 0.0
        squared = max(0.0, (drift_sessions * drift**2 + weight * found) / (drift_sessions + weight))
    else:
        drift_sessions, squared = 0.0, max(parts.between, floor**2)
    shares = 1 / (squared + parts.within / level.counts)
    shares /= shares.sum()
    own = np.array([label == session and session is not None for label in level.labels])
    moods = float((shares[~own] ** 2).sum()) + (1 - float(shares[own].sum())) ** 2
    boots = 1 / now.size + float((shares**2 / level.counts).sum())
    variance = moods * squared + boots * parts.within
    return Difference(
        shift=float(now.mean() - (shares * level.means).sum()),
        error=math.sqrt(variance),
        degrees=_degrees(parts, drift_sessions, squared, moods, boots),
        spread=math.sqrt(parts.within),
        drift=math.sqrt(squared),
        sessions=len(level.labels),
    )


def _level(values: Floats, sessions: Sequence[object]) -> _Level:
    import numpy as np

    if len(sessions) != values.size:
        raise ValueError(f"{values.size} boots need as many sessions, not {len(sessions)}")
    places: dict[object, int] = {}
    at = np.array([places.setdefault(label, len(places)) for label in sessions])
    counts = np.bincount(at).astype(np.float64)
    means = np.bincount(at, values) / counts
    return _Level(labels=list(places), counts=counts, means=means, rests=(values - means[at])[counts[at] > 1])


def _parts(levels: Sequence[_Level], floor: float) -> _Parts:
    """Mean squares over all levels.

    That within sessions is at least that of the MAD: one mode of two that was hardly seen is no steadiness.
    """
    import numpy as np

    between = size = within = 0.0
    count = degrees = 0
    for level in levels:
        total = level.counts.sum()
        middle = (level.counts * level.means).sum() / total
        between += float((level.counts * (level.means - middle) ** 2).sum())
        size += float(total - (level.counts**2).sum() / total)
        count += level.counts.size - 1
        degrees += int(total) - level.counts.size
    if degrees:
        rests = np.concatenate([level.rests for level in levels])
        robust = (1.4826 * float(np.median(np.abs(rests)))) ** 2 * rests.size / degrees
        within = max(float((rests**2).sum()) / degrees, robust, floor**2)
    return _Parts(
        within=within,
        within_degrees=degrees,
        between=between / count if count else 0.0,
        between_degrees=count,
        size=size / count if count else 1.0,
    )


def _degrees(parts: _Parts, given: float, squared: float, moods: float, boots: float) -> float:
    """Degrees of freedom of moods * squared + boots * within, by Satterthwaite; what is given has no error.

    The mean square between sessions is taken at what it is expected to be, which varies less than itself.
    """
    part = moods * parts.between_degrees / ((given + parts.between_degrees) * parts.size) if moods else 0.0
    errors = 0.0
    if parts.between_degrees:
        errors += (part * (parts.size * squared + parts.within)) ** 2 / parts.between_degrees
    if parts.within_degrees:
        errors += ((boots - part) * parts.within) ** 2 / parts.within_degrees
    return (moods * squared + boots * parts.within) ** 2 / errors if errors > 0 else math.inf
