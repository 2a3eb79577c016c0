"""Fresh boots of two kernels in pairs: whether a suspicion of the screen stands."""

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

LEVEL: Final = 0.05
# of it, what is spent where pairs are looked at before all of them are there
EARLY: Final = 0.02
# of what is worse by just as much as counts, how often pairs may say that it is less
FUTILE: Final = 0.1
LEAST_PAIRS: Final = 6
# a boot takes seconds, and two kernels boot for each pair
MOST_PAIRS: Final = 24
# true effects that confirming may miss
LOSS: Final = 0.02
# of the effect that counts: a true one is found smaller as often as larger
ENOUGH: Final = 0.6
# 2**13 sums on each side
_EXACT: Final = 26


@dataclass(frozen=True, slots=True)
class SignFlip:
    """A sign-flip test: its one-sided p, and whether all 2**m flips were counted (`exact`) or drawn (`drawn`)."""

    p: float
    method: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Whether one metric's suspicion stands.

    Attributes:
        confirmed: q is small enough and the median large enough.
        median: median difference, candidate - baseline, turned so that positive is worse; a logarithm.
        p: one-sided sign-flip p.
        q: p adjusted for all metrics that were confirmed together.
        pairs: m.
        enough: whether so few pairs can confirm at all (2**-m <= level, after adjustment).
        excluded: the pairs show that it is not worse by as much as counts.
    """

    confirmed: bool
    median: float
    p: float
    q: float
    pairs: int
    enough: bool
    excluded: bool


def sign_flip(differences: npt.ArrayLike, *, replicates: int = 9999, seed: int = 0) -> SignFlip:
    """One-sided paired test: are the differences larger than 0 on average?

    If nothing changed, each difference is as likely with the other sign; p is the share of all sign choices whose sum
    is at least the observed one (Fisher 1935, "The Design of Experiments", section 21). Up to 26 differences all
    choices are counted, half by half: for each sum of the first half, how many of the second half's sums suffice.
    Beyond, seeded random choices, p = (1 + b) / (R + 1), which is never 0 (Phipson & Smyth 2010).

    Args:
        differences: shape (m,), m >= 1, candidate - baseline of each pair; symmetric about 0 if nothing changed.
        replicates: R, where choices are drawn.
        seed: of those.

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    import numpy as np

    values = finite(differences)
    # equal sums may differ by rounding, and then count as equal
    least = float(values.sum()) - 1e-9 * float(np.abs(values).sum())
    if values.size <= _EXACT:
        half = values.size // 2
        first, second = _signed_sums(values[:half]), np.sort(_signed_sums(values[half:]))
        short = int(np.searchsorted(second, least - first, side="left").sum())
        return SignFlip((first.size * second.size - short) / 2**values.size, "exact")
    signs = np.random.default_rng(seed).integers(0, 2, size=(replicates, values.size)) * 2.0 - 1.0
    return SignFlip((1 + int((signs @ values >= least).sum())) / (replicates + 1), "drawn")


def _signed_sums(values: Floats) -> Floats:
    import numpy as np

    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums - value, sums + value))
    return sums


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """The q values: the smallest false discovery rate at which each hypothesis is rejected.

    Benjamini & Hochberg 1995, "Controlling the false discovery rate"; for independent or positively dependent tests.

    Args:
        p: shape (m,), each within 0 and 1; m may be 0.

    Returns:
        shape (m,), in the order of p.

    Raises:
        ValueError: a p outside 0 to 1.
    """
    import numpy as np

    values = finite(p, least=0)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("a p value is within 0 and 1")
    order = np.argsort(values)[::-1]
    scaled = values[order] * values.size / np.arange(values.size, 0, -1)
    found = np.empty_like(values)
    found[order] = np.minimum(1.0, np.minimum.accumulate(scaled))
    return found


def first_look(pairs: int) -> int:
    """After how many of so many pairs they are looked at; 0: not before all are there.

    Once, after half of them: this is a group-sequential test with two looks, of which the first spends EARLY of the
    level and the second the rest (Lan & DeMets 1983, "Discrete sequential boundaries for clinical trials"). What is
    decided at either look is wrong with a probability of at most the sum, whatever the looks have to do with each
    other; that also holds of false discovery rates. Stopping where nothing counts costs power and no level.
    """
    half = max(LEAST_PAIRS, math.ceil(pairs / 2))
    return half if half < pairs else 0


def final_level(pairs: int) -> float:
    """What is left of the level when the last of so many pairs are there."""
    return LEVEL - EARLY if first_look(pairs) else LEVEL


def fewest() -> int:
    """Fewer pairs confirm nothing, whatever they show: no p is below 2**-m."""
    return math.ceil(-math.log2(LEVEL))


def pairs_needed(flagged: int, spread: float, effect: float, threshold: float) -> int:
    """Pairs of boots that miss an effect with a probability below 0.02, but no more than 24.

    At least six, and as many as can confirm at all: m pairs give no p below 2**-m, and the only true one of `flagged`
    metrics needs p <= level / flagged, with what a first look leaves of the level. An effect is missed where it is not
    significant (the sign-flip test has the power of the t-test: Hoeffding 1952, "The large-sample power of tests based
    on permutations") or where the median is too small (a normal median has the variance pi / 2m).

    Args:
        flagged: metrics that the screen flagged.
        spread: standard deviation between boots of one kernel, a logarithm.
        effect: true shift that is not to be missed, a logarithm, more than 0.
        threshold: the smallest shift that counts.
    """
    from scipy.special import nctdtr, ndtr, stdtrit

    flagged = max(flagged, 1)
    deviation = math.sqrt(2) * spread
    least = LEAST_PAIRS
    while 2**-least > final_level(least) / flagged:
        least += 1
    for pairs in range(least, MOST_PAIRS):
        if deviation == 0:
            return pairs
        level = final_level(pairs) / flagged
        missed = nctdtr(pairs - 1, effect * math.sqrt(pairs) / deviation, stdtrit(pairs - 1, 1 - level))
        if level < 2 * 2**-pairs:  # only the smallest p is small enough: no pair may be the other way round
            missed = max(missed, 1 - ndtr(effect / deviation) ** pairs)
        small = ndtr((ENOUGH * threshold - effect) * math.sqrt(2 * pairs / math.pi) / deviation)
        if missed + small < LOSS:
            return pairs
    return max(least, MOST_PAIRS)


def confirm(
    differences: Sequence[npt.ArrayLike],
    thresholds: Sequence[float],
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[Confirmation, ...]:
    """Judge all flagged metrics on fresh pairs of boots.

    Confirmed: Benjamini-Hochberg q <= level over the metrics, and a median difference of at least 0.6 of the shift
    that counts. Both kernels of a pair are booted next to each other, in changing order, so that a session's mood is
    in both (Bulej et al. 2020, "Duet benchmarking"). Excluded: by the same test the other way round, the differences
    are less than the threshold on average, p <= FUTILE (non-inferiority: Wellek 2010, "Testing Statistical Hypotheses
    of Equivalence and Noninferiority").

    Args:
        differences: for each metric, shape (m,): log(median) of the candidate's boot less that of the baseline's,
            turned so that positive is worse.
        thresholds: for each metric, the smallest shift that counts (`compare.threshold`).
        level: of the q values.
        seed: of the sign flips, where they are drawn.

    Returns:
        One for each metric, in order.

    Raises:
        ValueError: not one threshold a metric, or differences that are not finite.
    """
    import numpy as np

    rows = [finite(item) for item in differences]
    p = [sign_flip(row, seed=seed).p for row in rows]
    found = []
    for row, one, q, least in zip(rows, p, benjamini_hochberg(p).tolist(), thresholds, strict=True):
        median = float(np.median(row))
        found.append(
            Confirmation(
                confirmed=q <= level and median >= ENOUGH * least,
                median=median,
                p=one,
                q=q,
                pairs=row.size,
                enough=row.size >= math.log2(len(rows) / level),
                excluded=sign_flip(least - row, seed=seed).p <= FUTILE,
            )
        )
    return tuple(found)
