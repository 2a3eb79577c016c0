"""Judging on the wall clock: a screen against earlier boots, then fresh boots of both kernels for what it flags.

The unit is one boot: y = log(statistic of its samples). Samples of different boots are never thrown together.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.verdicts.baseline import spread
from sistasks.verdicts.records import STATISTICS, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.statistics.compare import Screen
    from sistasks.verdicts.baseline import Boots, RunInfo

MINIMUM_EFFECT: Final = 0.05
# six can confirm, but where boots differ by 4 % they lose one in ten slowdowns of 10 %; eight lose one in fifty
LEAST_PAIRS: Final = 8
Boot = dict[tuple[str, str], float]


def screen(
    run: RunInfo,
    runs: Sequence[RunInfo],
    boots: dict[tuple[str, str], Boots],
    metrics: dict[str, dict[str, Any]],
) -> list[Verdict]:
    """A verdict for each statistic of each metric; `worse` is a suspicion until it is confirmed.

    Args:
        run: the candidate.
        runs: its baseline, the newest first.
        boots: values of all of them.
        metrics: definitions by name.
    """
    against = _names(runs)
    found = []
    for metric in sorted({name for name, _ in boots}):
        for statistic in STATISTICS:
            known = {
                "metric": metric,
                "statistic": statistic,
                "unit": metrics[metric]["unit"],
                "better": metrics[metric]["better"],
                "baseline": against,
            }
            minimum = minimum_effect(metrics[metric])
            found.append(_screen_one(run, runs, boots.get((metric, statistic), {}), minimum, known))
    return found


def minimum_effect(definition: Mapping[str, Any]) -> float:
    """The smallest change of a metric that counts: its own, or the default."""
    return float(definition["minimum_effect"] or MINIMUM_EFFECT)


def _names(runs: Sequence[RunInfo]) -> str:
    """The runs by number, neighbours together: `runs 1-3, 7`."""
    if len(runs) == 1:
        return f"run {runs[0].id} ({runs[0].kernel_name})"
    spans: list[list[int]] = []
    for number in sorted(other.id for other in runs):
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return f"runs {', '.join('-'.join(map(str, span)) for span in spans)}"


def _screen_one(
    run: RunInfo, runs: Sequence[RunInfo], values: Boots, minimum: float, known: dict[str, Any]
) -> Verdict:
    from sistasks.statistics import compare

    now = [value for (number, _), value in sorted(values.items()) if number == run.id]
    labelled = spread(runs, values)
    before = [value for _, value in labelled]
    known |= {
        "n": len(before),
        "k": len(now),
        "baseline_value": statistics.median(before) if before else None,
        "value": statistics.median(now) if now else None,
    }
    if not now or not before:
        who = "this run did not measure it, its baseline did" if before else "the baseline has no such metric"
        return Verdict(**known, outcome="unsure", reason=who)
    if min(*now, *before) <= 0:
        return Verdict(**known, outcome="unsure", reason="a value is 0: a relative change has no meaning")
    seen = compare.screen(
        [math.log(value) for value in before],
        [math.log(value) for value in now],
        better=known["better"],
        minimum_effect=minimum,
        sessions=[session for session, _ in labelled],
    )
    return Verdict(
        **known,
        outcome=seen.outcome,
        reason="; ".join([doubt.words for doubt in seen.doubts] + list(seen.notes)),
        effect=math.expm1(seen.shift),
        low=_share(seen.low),
        high=_share(seen.high),
        p=seen.p,
        mde=_share(_detectable(seen)),
        method="screen, Mann-Whitney" if seen.method == "rank" else "screen, t-rule",
    )


def _detectable(seen: Screen) -> float:
    """The smallest true shift that is flagged four times in five: significant, and seen as one that counts.

    A shift of exactly the threshold is seen as less than it every other time.
    """
    from sistasks.statistics.compare import detectable_effect

    counts = seen.threshold + detectable_effect(seen.error, seen.degrees, level=0.5)
    return max(seen.detectable, counts)


def _share(logarithm: float) -> float | None:
    """A logarithm as a relative change; None where it is not bounded."""
    return math.expm1(logarithm) if math.isfinite(logarithm) and logarithm < 100 else None


def pairs_needed(flagged: Sequence[Verdict]) -> int:
    """Pairs of fresh boots that can confirm so many, at least LEAST_PAIRS."""
    from sistasks.statistics.paired import pairs_needed as needed

    return max(LEAST_PAIRS, needed(len(flagged)))


def unconfirmed(verdict: Verdict, why: str) -> Verdict:
    """A suspicion that could not be looked into."""
    return replace(verdict, outcome="unsure", reason=f"flagged, but not confirmed: {why}")


def confirm(
    flagged: Sequence[Verdict],
    pairs: Sequence[tuple[Boot, Boot]],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
) -> Mapping[tuple[str, str], Verdict]:
    """What fresh boots of both kernels say of the flagged.

    `worse` where they agree, `same` where they show less than counts, and `unsure` between: a shift that counts and
    that chance makes too.

    Args:
        flagged: verdicts of the screen, `worse`.
        pairs: for each pair (baseline, candidate): (metric, statistic) -> value of that boot.
        metrics: definitions by name.
        seed: of the sign flips.

    Returns:
        (metric, statistic) -> the verdict that stands.
    """
    from sistasks.statistics import compare, paired

    verdicts = {}
    measured, differences, least = [], [], []
    for verdict in flagged:
        key = (verdict.metric, verdict.statistic)
        values = [boot.get(key, 0.0) for pair in pairs for boot in pair]
        if not values or min(values) <= 0:
            verdicts[key] = unconfirmed(verdict, "not every fresh boot measured it, or some measured 0")
            continue
        sign = 1 if verdict.better == "lower" else -1
        measured.append((key, verdict))
        differences.append([sign * math.log(after[key] / before[key]) for before, after in pairs])
        least.append(compare.threshold(minimum_effect(metrics[verdict.metric])))
    found = paired.confirm(differences, least, seed=seed)
    for (key, verdict), one, enough in zip(measured, found, least, strict=True):
        change = math.expm1(one.median if verdict.better == "lower" else -one.median)
        words = f"{one.pairs} pairs of fresh boots: {change:+.1%}"
        verdicts[key] = replace(
            verdict,
            outcome="worse" if one.confirmed else "same" if one.median < paired.ENOUGH * enough else "unsure",
            confirmed=one.confirmed,
            p=one.p,
            q=one.q,
            seed=seed,
            method=f"{verdict.method}, sign-flip on pairs",
            reason=f"confirmed by {words}" if one.confirmed else f"flagged, not confirmed by {words}",
        )
    return verdicts
