"""A candidate's boots against a baseline's: is it slower, by how much, and what could have been seen at all.

Everything works on one value per boot, y = log(median of the boot's samples): a difference of logarithms is a ratio,
and boots, not samples, are what repeats independently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sistasks.statistics.ranks import (
    Shift,
    finite,
    hodges_lehmann,
    mann_whitney,
    median_difference,
    smallest_p,
)
from sistasks.statistics.sessions import FLOOR, difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LEVEL: Final = 0.01
POWER: Final = 0.8
LEAST_EFFECT: Final = 0.05
_IMPLAUSIBLE: Final = 0.5
# from this many ways to choose the candidate's boots on, ranks decide as finely as the level needs
_RANKS_FROM: Final = 600


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why data cannot decide.

    Attributes:
        code: `baseline` (fewer than two boots), `detectable` (the smallest detectable effect is larger than the
            smallest that matters), `implausible` (better by more than half).
        words: the same for a person, with the figures.
    """

    code: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What a first look at a candidate says; effects are logarithms of ratios, candidate over baseline.

    Attributes:
        outcome: `worse`, `better`, `same` or `unsure`. `worse` is a suspicion, to be confirmed on fresh boots.
        shift: Hodges-Lehmann shift.
        low: lower end of its interval (of the test that was used: ranks or t).
        high: upper end.
        p: one-sided, for worse.
        p_better: one-sided, for better.
        method: `rank` (exact Mann-Whitney), `t`, or `sessions` (t with the noise between sessions).
        spread: standard deviation between boots (of one session, by `sessions`) as used: max(sd, 1.4826 MAD, floor).
        drift: standard deviation between sessions as used; 0.0 where all boots count as independent.
        error: standard error of the shift.
        degrees: of freedom of the t distribution.
        n: boots of the baseline.
        k: boots of the candidate.
        threshold: smallest absolute shift that counts.
        detectable: the smallest shift that is found with a probability of 0.8.
        doubts: why the outcome is `unsure`; also set where a flagged effect stands in spite of one.
        notes: what a reader should know and that changes nothing.
    """

    outcome: Literal["worse", "better", "same", "unsure"]
    shift: float
    low: float
    high: float
    p: float
    p_better: float
    method: Literal["rank", "t", "sessions"]
    spread: float
    drift: float
    error: float
    degrees: float
    n: int
    k: int
    threshold: float
    detectable: float
    doubts: tuple[Doubt, ...]
    notes: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether the candidate is to be measured again: p <= .01 for worse and a shift that counts."""
        return self.outcome == "worse"


def spread(baseline: npt.ArrayLike, floor: float = FLOOR) -> float:
    """Standard deviation between boots: max(sd, 1.4826 MAD, floor).

    The MAD keeps a bimodal baseline with one mode hardly seen from looking steady; the floor keeps a constant one from
    making every difference significant. Fewer than two values: infinite.

    Args:
        baseline: shape (n,), logarithms.
        floor: in the same unit.
    """
    import numpy as np

    values = finite(baseline)
    if values.size < 2:
        return math.inf
    deviation = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return max(float(values.std(ddof=1)), deviation, floor)


def threshold(minimum_effect: float = LEAST_EFFECT, noise: float = 0.0) -> float:
    """The smallest shift that counts: max(log 1.05, log(1 + minimum_effect), 2 noise).

    Args:
        minimum_effect: the metric's own, as a share (0.05: five percent).
        noise: standard deviation of the shift between two measurements of one kernel (A/A), a logarithm.
    """
    return max(math.log1p(LEAST_EFFECT), math.log1p(minimum_effect), 2 * noise)


def detectable_effect(error: float, degrees: float, *, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest true shift that the t-rule finds with this power: (t_(1-level) + t_power) error.

    With the error s sqrt(1/k + 1/n) and n - 1 degrees of freedom. Bloom 1995, "Minimum detectable effects". Infinite
    without degrees of freedom.

    Args:
        error: standard error of the shift.
        degrees: of freedom of its estimate.
        level: one-sided level of the test.
        power: probability of finding it.
    """
    if degrees <= 0 or not math.isfinite(error):
        return math.inf
    return (_t_quantile(degrees, 1 - level) + _t_quantile(degrees, power)) * error


def screen(
    baseline: npt.ArrayLike,
    candidate: npt.ArrayLike,
    *,
    better: Literal["lower", "higher"] = "lower",
    minimum_effect: float = LEAST_EFFECT,
    noise: float = 0.0,
    level: float = LEVEL,
    floor: float = FLOOR,
    confidence: float = 0.99,
) -> Screen:
    """A first look at boots that are all independent: is the candidate worse, and could it have been seen?

    t = (mean of the candidate - mean of the baseline) / (s sqrt(1/k + 1/n)) with s = max(sd, 1.4826 MAD, floor) of the
    baseline and n - 1 degrees of freedom; where ranks are fine enough (C(n + k, k) >= 600) the exact one-sided
    Mann-Whitney test instead. Flagged: p <= level and a shift of at least the threshold. Noise that is known is part of
    the standard error, and p is then the larger of both tests' p.

    Drift between sessions raises false alarms to 3-6 %: `screen_sessions` is for boots of several sessions.

    Args:
        baseline: shape (n,), n >= 1: log(median of a boot's samples), one kernel or several of one level.
        candidate: shape (k,), k >= 1: the same of the candidate.
        better: which direction is better.
        minimum_effect: the metric's own, as a share.
        noise: standard deviation of the shift between two measurements of one kernel, a logarithm.
        level: of the one-sided test.
        floor: of the spread.
        confidence: level of the interval.

    Raises:
        ValueError: no boots, or values that are not finite.
    """
    before, after = finite(baseline), finite(candidate)
    n, k = before.size, after.size
    used = spread(before, floor)
    boots = used * math.sqrt(1 / k + 1 / n)
    error, degrees = max(boots, noise), float(n - 1)
    method: Literal["rank", "t"] = "rank" if math.comb(n + k, k) >= _RANKS_FROM else "t"
    above, below = _t_probabilities(float(after.mean() - before.mean()), error, degrees)
    shift = hodges_lehmann(before, after, confidence=confidence)
    if method == "rank":
        ranked = [mann_whitney(before, after, alternative=side).p for side in ("greater", "less")]
        known = error > boots
        above, below = (max(pair) for pair in zip(ranked, (above, below) if known else (0, 0), strict=True))
    else:
        half = _t_quantile(degrees, (1 + confidence) / 2) * error if degrees > 0 else math.inf
        shift = Shift(shift.shift, shift.shift - half, shift.shift + half)
    return _screen(
        shift, (above, below), better=better, method=method, spread=used, drift=0.0, error=error, degrees=degrees,
        n=n, k=k, level=level, alone=level, least=threshold(minimum_effect, noise), notes=_notes(n, k, level),
    )  # fmt: skip


def screen_sessions(
    baseline: npt.ArrayLike,
    sessions: Sequence[object],
    candidate: npt.ArrayLike,
    *,
    session: object = None,
    others: Sequence[tuple[Sequence[float], Sequence[object]]] = (),
    better: Literal["lower", "higher"] = "lower",
    minimum_effect: float = LEAST_EFFECT,
    level: float = LEVEL,
    alone: float = LEVEL,
    confidence: float = 0.99,
) -> Screen:
    """A first look at boots of several sessions, whose moods differ: is the candidate worse, could it have been seen?

    Flagged: p <= level by the t-rule of `sessions.difference`, and a Hodges-Lehmann shift of at least the threshold,
    which a few boots that are far off do not move.

    Args:
        baseline: shape (n,), n >= 1: log(median of a boot's samples), one kernel or several of one level.
        sessions: a label for each boot of the baseline.
        candidate: shape (k,), k >= 1, of one session.
        session: the candidate's label.
        others: (values, labels) of boots of other levels, which tell more of the noise.
        better: which direction is better.
        minimum_effect: the metric's own, as a share.
        level: of the one-sided test.
        alone: level that a change must reach which no other metric shows; what is detectable is told by it.
        confidence: level of the interval.

    Raises:
        ValueError: no boots, values that are not finite, or labels that are not one a boot.
    """
    before, after = finite(baseline), finite(candidate)
    n, k = before.size, after.size
    middle = median_difference(before, after)
    least = threshold(minimum_effect)
    if n < 2:
        return _screen(
            Shift(middle, -math.inf, math.inf), (1.0, 1.0), better=better, method="sessions", spread=math.inf,
            drift=math.inf, error=math.inf, degrees=0.0, n=n, k=k, level=level, alone=alone, least=least, sessions=n,
        )  # fmt: skip
    found = difference(before, sessions, after, session=session, others=others)
    half = _t_quantile(found.degrees, (1 + confidence) / 2) * found.error
    return _screen(
        Shift(middle, middle - half, middle + half), _t_probabilities(found.shift, found.error, found.degrees),
        better=better, method="sessions", spread=found.spread, drift=found.drift, error=found.error,
        degrees=found.degrees, n=n, k=k, level=level, alone=alone, least=least, sessions=found.sessions,
    )  # fmt: skip


def _screen(
    shift: Shift,
    probabilities: tuple[float, float],
    *,
    better: Literal["lower", "higher"],
    method: Literal["rank", "t", "sessions"],
    spread: float,
    drift: float,
    error: float,
    degrees: float,
    n: int,
    k: int,
    level: float,
    alone: float,
    least: float,
    sessions: int = 0,
    notes: tuple[str, ...] = (),
) -> Screen:
    above, below = probabilities
    worse, good = (above, below) if better == "lower" else (below, above)
    loss = shift.shift if better == "lower" else -shift.shift
    detectable = detectable_effect(error, degrees, level=alone)
    doubts = _doubts(n, loss, detectable, least, sessions)
    return Screen(
        outcome=_outcome(worse <= level and loss >= least, good <= level and -loss >= least, doubts),
        shift=shift.shift, low=shift.low, high=shift.high, p=worse, p_better=good, method=method, spread=spread,
        drift=drift, error=error, degrees=degrees, n=n, k=k, threshold=least, detectable=detectable, doubts=doubts,
        notes=notes,
    )  # fmt: skip


def _outcome(
    worse: bool, improved: bool, doubts: tuple[Doubt, ...]
) -> Literal["worse", "better", "same", "unsure"]:
    if worse:
        return "worse"
    if improved and not any(doubt.code == "implausible" for doubt in doubts):
        return "better"
    return "unsure" if doubts else "same"


def _doubts(n: int, loss: float, detectable: float, least: float, sessions: int) -> tuple[Doubt, ...]:
    found = []
    if n < 2:
        found.append(Doubt("baseline", "the baseline has one boot, and one boot tells no spread"))
    elif detectable > least:
        found.append(
            Doubt(
                "detectable",
                f"the smallest detectable change is larger than the {math.expm1(least):.1%} that matter: the baseline "
                f"has {n} boots{f' of {sessions} session' if sessions else ''}{'s' * (sessions > 1)}",
            )
        )
    # half the time, or twice the rate
    if loss < math.log(_IMPLAUSIBLE):
        found.append(
            Doubt("implausible", f"better by a factor of {math.exp(-loss):.1f}, which is implausible")
        )
    return tuple(found)


def _notes(n: int, k: int, level: float) -> tuple[str, ...]:
    smallest = smallest_p(n, k)
    if smallest > level:
        return (
            f"{k} against {n} boots cannot fail a rank test: its smallest p is {smallest:.3f}; judged by the t-rule",
        )
    return ()


def _t_quantile(degrees: float, probability: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def _t_probabilities(difference: float, error: float, degrees: float) -> tuple[float, float]:
    """P(T >= t) and P(T <= t)."""
    from scipy.special import stdtr

    if degrees <= 0 or not math.isfinite(error):
        return 1.0, 1.0
    if error == 0:
        return (1.0 if difference <= 0 else 0.0), (1.0 if difference >= 0 else 0.0)
    t = difference / error
    return float(stdtr(degrees, -t)), float(stdtr(degrees, t))
