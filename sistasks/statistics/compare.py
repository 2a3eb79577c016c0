"""A candidate's boots against a baseline's: is it slower, by how much, and what could have been seen at all.

Everything works on one value per boot, y = log(median of the boot's samples): a difference of logarithms is a ratio,
and boots, not samples, are what repeats independently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sistasks.statistics.ranks import Shift, finite, hodges_lehmann, mann_whitney, smallest_p

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LEVEL: Final = 0.01
POWER: Final = 0.8
LEAST_EFFECT: Final = 0.05
# half a percent between boots: steadier figures than this are no promise for the next boot
FLOOR: Final = 0.005
_IMPLAUSIBLE: Final = 0.5
# from this many ways to choose the candidate's boots on, ranks decide as finely as the level needs
_RANKS_FROM: Final = 600
_SESSIONS: Final = 4


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
        method: `rank` (exact Mann-Whitney) or `t`.
        spread: standard deviation between boots as used: max(sd, 1.4826 MAD, floor).
        error: standard error of the shift, with the noise between sessions.
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
    method: Literal["rank", "t"]
    spread: float
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


def session_noise(baseline: npt.ArrayLike, sessions: Sequence[object]) -> float:
    """Standard deviation between sessions beyond what boots within a session explain; 0.0 if there is none to see.

    One-way random effects by the method of moments (Searle, Casella & McCulloch 1992, "Variance Components", 3.6).

    Args:
        baseline: shape (n,), logarithms.
        sessions: n labels; boots of one session have the same.

    Returns:
        0.0 too for fewer than four sessions, or where no session has two boots.

    Raises:
        ValueError: not one label a boot.
    """
    import numpy as np

    values = finite(baseline)
    if len(sessions) != values.size:
        raise ValueError(f"{values.size} boots need as many sessions, not {len(sessions)}")
    groups: dict[object, list[float]] = {}
    for label, value in zip(sessions, values.tolist(), strict=True):
        groups.setdefault(label, []).append(value)
    count = len(groups)
    if count < _SESSIONS or count == values.size:
        return 0.0
    sizes = np.array([len(group) for group in groups.values()])
    means = np.array([float(np.mean(group)) for group in groups.values()])
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (count - 1)
    within = sum(float(np.var(group)) * len(group) for group in groups.values()) / (values.size - count)
    size = (values.size - float((sizes**2).sum()) / values.size) / (count - 1)
    return math.sqrt(max(0.0, (between - within) / size))


def screen(
    baseline: npt.ArrayLike,
    candidate: npt.ArrayLike,
    *,
    better: Literal["lower", "higher"] = "lower",
    minimum_effect: float = LEAST_EFFECT,
    noise: float = 0.0,
    sessions: Sequence[object] | None = None,
    level: float = LEVEL,
    floor: float = FLOOR,
    confidence: float = 0.99,
) -> Screen:
    """A first look: is the candidate worse than the baseline, and could it have been seen?

    t = (mean of the candidate - mean of the baseline) / (s sqrt(1/k + 1/n)) with s = max(sd, 1.4826 MAD, floor) of the
    baseline and n - 1 degrees of freedom; where ranks are fine enough (C(n + k, k) >= 600) the exact one-sided
    Mann-Whitney test instead. Flagged: p <= level and a shift of at least the threshold.

    Boots of one session share its mood. Where that is known - as the noise of A/A comparisons, or because the baseline
    tells its sessions, four or more - it is part of the standard error, and p is the larger of both tests' p.

    Assumes independent boots but for that, and a candidate measured in one session. Drift that is not told raises
    false alarms to 3-6 %: confirm on fresh boots (`paired.confirm`).

    Args:
        baseline: shape (n,), n >= 1: log(median of a boot's samples), one kernel or several of one level.
        candidate: shape (k,), k >= 1: the same of the candidate.
        better: which direction is better.
        minimum_effect: the metric's own, as a share.
        noise: standard deviation of the shift between two measurements of one kernel, a logarithm.
        sessions: a label for each boot of the baseline.
        level: of the one-sided test.
        floor: of the spread.
        confidence: level of the interval.

    Raises:
        ValueError: no boots, values that are not finite, or labels that are not one a boot.
    """
    before, after = finite(baseline), finite(candidate)
    n, k = before.size, after.size
    used = spread(before, floor)
    error, degrees = _error(before, k, used, noise, sessions)
    least = threshold(minimum_effect, noise)
    method: Literal["rank", "t"] = "rank" if math.comb(n + k, k) >= _RANKS_FROM else "t"
    above, below = _t_probabilities(float(after.mean() - before.mean()), error, degrees)
    shift = hodges_lehmann(before, after, confidence=confidence)
    if method == "rank":
        ranked = [mann_whitney(before, after, alternative=side).p for side in ("greater", "less")]
        known = error > used * math.sqrt(1 / k + 1 / n)
        above, below = (max(pair) for pair in zip(ranked, (above, below) if known else (0, 0), strict=True))
    else:
        half = _t_quantile(degrees, (1 + confidence) / 2) * error if degrees > 0 else math.inf
        shift = Shift(shift.shift, shift.shift - half, shift.shift + half)
    worse, good = (above, below) if better == "lower" else (below, above)
    loss = shift.shift if better == "lower" else -shift.shift
    detectable = detectable_effect(error, degrees, level=level)
    doubts = _doubts(n, loss, detectable, least)
    return Screen(
        outcome=_outcome(worse <= level and loss >= least, good <= level and -loss >= least, doubts),
        shift=shift.shift, low=shift.low, high=shift.high, p=worse, p_better=good, method=method, spread=used,
        error=error, degrees=degrees, n=n, k=k, threshold=least, detectable=detectable, doubts=doubts,
        notes=_notes(n, k, level),
    )  # fmt: skip


def _error(
    before: Floats, k: int, used: float, noise: float, sessions: Sequence[object] | None
) -> tuple[float, float]:
    """Standard error of the shift and its degrees of freedom (Satterthwaite 1946)."""
    n = before.size
    boots = used**2 * (1 / k + 1 / n)
    error, degrees = max(math.sqrt(boots), noise), float(n - 1)
    between = session_noise(before, sessions) if sessions is not None else 0.0
    if between > 0 and sessions is not None:
        count = len(set(sessions))
        shared = between**2 * (1 + 1 / count)
        degrees = (boots + shared) ** 2 / (boots**2 / (n - 1) + shared**2 / (count - 1))
        error = max(math.sqrt(boots + shared), noise)
    return error, degrees


def _outcome(
    worse: bool, improved: bool, doubts: tuple[Doubt, ...]
) -> Literal["worse", "better", "same", "unsure"]:
    if worse:
        return "worse"
    if improved and not any(doubt.code == "implausible" for doubt in doubts):
        return "better"
    return "unsure" if doubts else "same"


def _doubts(n: int, loss: float, detectable: float, least: float) -> tuple[Doubt, ...]:
    found = []
    if n < 2:
        found.append(Doubt("baseline", "the baseline has one boot, and one boot tells no spread"))
    elif detectable > least:
        found.append(
            Doubt(
                "detectable",
                f"the smallest detectable change is {math.expm1(detectable):.1%}, and {math.expm1(least):.1%} matters",
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
