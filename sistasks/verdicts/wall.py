"""Judging on the wall clock: a screen against earlier boots, then fresh boots of both kernels for what it flags.

The unit is one boot: y = log(statistic of its samples). Samples of different boots are never thrown together.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.numbers import spans
from sistasks.verdicts.baseline import by_run, labelled
from sistasks.verdicts.records import STATISTICS, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.statistics.compare import Screen
    from sistasks.statistics.paired import Confirmation
    from sistasks.verdicts.baseline import Boots, RunInfo

MINIMUM_EFFECT: Final = 0.05
SLOWDOWN: Final = 0.1
METHOD: Final = "screen, t-rule over sessions"
# of unchanged kernels, how many may be booted again for nothing, however many metrics were looked at
CHANCE: Final = 0.1
Boot = dict[tuple[str, str], float]


def screen(
    run: RunInfo,
    runs: Sequence[RunInfo],
    boots: dict[tuple[str, str], Boots],
    metrics: dict[str, dict[str, Any]],
    others: Sequence[Sequence[RunInfo]] = (),
) -> list[Verdict]:
    """A verdict for each statistic of each metric; `worse` is a suspicion until it is confirmed.

    Many metrics are many chances: Benjamini-Hochberg over the metrics of the run, q <= CHANCE, beside each one's own
    level. Where nothing changed, at most that share of runs is flagged at all. Statistics of one metric are no metrics
    of their own: its p is Simes's of them (Simes 1986, "An improved Bonferroni procedure"; families of hypotheses:
    Benjamini & Bogomolov 2014, "Selective inference on multiple families of hypotheses"). Up to ten metrics it changes
    nothing where all statistics of a metric show the same; one that is alone in it is one of three.

    Args:
        run: the candidate.
        runs: its baseline, the newest first.
        boots: values of all of them.
        metrics: definitions by name.
        others: runs of other levels, level by level; they tell how much sessions and boots differ.
    """
    against = _names(runs)
    found = []
    judged = {run.id, *(other.id for other in runs)}
    names = sorted({name for (name, _), values in boots.items() if any(i in judged for i, _ in values)})
    for metric in names:
        for statistic in (one for one in STATISTICS if (metric, one) in boots):
            known = {
                "metric": metric,
                "statistic": statistic,
                "unit": metrics[metric]["unit"],
                "better": metrics[metric]["better"],
                "baseline": against,
            }
            minimum = minimum_effect(metrics[metric])
            values = boots[metric, statistic]
            found.append(
                _screen_one(run, (runs, *others), values, minimum, known=known, alone=CHANCE / len(names))
            )
    return _by_chance(found)


def _by_chance(screened: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with their q, and `unsure` for what so many metrics show by chance."""
    from sistasks.statistics.paired import benjamini_hochberg

    tested: dict[str, list[float]] = {}
    for verdict in screened:
        if verdict.p is not None:
            tested.setdefault(verdict.metric, []).append(verdict.p)
    # Simes's p is the smallest q
    own = {metric: float(benjamini_hochberg(p).min()) for metric, p in tested.items()}
    q = dict(zip(own, benjamini_hochberg(list(own.values())).tolist(), strict=True)) if own else {}
    found = []
    for verdict in screened:
        if verdict.metric in q and verdict.p is not None:
            verdict = replace(verdict, q=q[verdict.metric])  # noqa: PLW2901 - the same with what it lacked
            if verdict.outcome == "worse" and q[verdict.metric] > CHANCE:
                why = f"seems worse (p = {verdict.p:.2g}), as one of {len(own)} metrics may by chance"
                reason = "; ".join([why, verdict.reason] if verdict.reason else [why])
                verdict = replace(verdict, outcome="unsure", reason=reason)  # noqa: PLW2901 - likewise
        found.append(verdict)
    return found


def minimum_effect(definition: Mapping[str, Any]) -> float:
    """The smallest change of a metric that counts: its own, or the default."""
    return float(definition["minimum_effect"] or MINIMUM_EFFECT)


def _names(runs: Sequence[RunInfo]) -> str:
    """The runs by number, neighbours together: `runs 1-3, 7`."""
    if len(runs) == 1:
        return f"run {runs[0].id} ({runs[0].kernel_name})"
    return f"runs {spans(other.id for other in runs)}"


def _screen_one(
    run: RunInfo,
    levels: Sequence[Sequence[RunInfo]],
    values: Boots,
    minimum: float,
    *,
    known: dict[str, Any],
    alone: float,
) -> Verdict:
    from sistasks.statistics import compare

    measured = by_run(values)
    now = measured.get(run.id, [])
    before, sessions = labelled(levels[0], measured)
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
    others = [labelled(level, measured) for level in levels[1:]]
    seen = compare.screen_sessions(
        _logarithms(before),
        sessions,
        _logarithms(now),
        session=run.session_id,
        others=[(_logarithms(level), labels) for level, labels in others if level and min(level) > 0],
        better=known["better"],
        minimum_effect=minimum,
        alone=min(compare.LEVEL, alone),
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
        method=METHOD,
        spread=seen.spread,
    )


def _logarithms(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


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


def pairs_needed(flagged: Sequence[Verdict], metrics: Mapping[str, Mapping[str, Any]]) -> int:
    """Pairs of fresh boots that miss less than one in fifty slowdowns of 10 %.

    Where a metric is so noisy that its screen sees no 10 %, of what it sees; where no 10 % count, of twice what counts.
    """
    from sistasks.statistics import compare, paired

    needed = []
    for verdict in flagged:
        least = compare.threshold(minimum_effect(metrics[verdict.metric]))
        effect = max(math.log1p(SLOWDOWN), 2 * least, math.log1p(verdict.mde or 0.0))
        needed.append(paired.pairs_needed(len(flagged), verdict.spread or 0.0, effect, least))
    return max(needed)


def unconfirmed(verdict: Verdict, why: str) -> Verdict:
    """A suspicion that could not be looked into."""
    return replace(verdict, outcome="unsure", reason=f"flagged, but not confirmed: {why}")


def settled(
    flagged: Sequence[Verdict],
    pairs: Sequence[tuple[Boot, Boot]],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
) -> bool:
    """Whether a first look at half of the pairs decides all: each is confirmed, or shown to be less than counts."""
    from sistasks.statistics import paired

    verdicts, found = _paired(flagged, pairs, metrics, level=paired.EARLY, seed=seed)
    return not verdicts and all(one.confirmed or one.excluded for _, one, _ in found)


def confirm(
    flagged: Sequence[Verdict],
    pairs: Sequence[tuple[Boot, Boot]],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    planned: int = 0,
    short: str = "",
) -> Mapping[tuple[str, str], Verdict]:
    """What fresh boots of both kernels say of the flagged.

    `worse` where they agree, `same` where they show less than counts, and `unsure` between: a shift that counts and
    that chance makes too. Of fewer pairs than were planned only what they show beyond doubt; how many there was time
    for has nothing to do with what they show, so that it costs power and no level.

    Args:
        flagged: verdicts of the screen, `worse`.
        pairs: for each pair (baseline, candidate): (metric, statistic) -> value of that boot.
        metrics: definitions by name.
        seed: of the sign flips.
        planned: how many pairs were to be measured; 0: as many as there are.
        short: why there are no more, where that was no first look at them that settled all.

    Returns:
        (metric, statistic) -> the verdict that stands.
    """
    from sistasks.statistics import paired

    planned = max(planned, len(pairs))
    look = paired.first_look(planned)
    level = paired.final_level(planned) if look and len(pairs) >= look else paired.LEVEL
    if look == len(pairs) and settled(flagged, pairs, metrics, seed=seed):
        level, planned = paired.EARLY, look
    if not pairs:
        why = short or "no fresh boot was measured"
        return {(verdict.metric, verdict.statistic): unconfirmed(verdict, why) for verdict in flagged}
    verdicts, found = _paired(flagged, pairs, metrics, level=level, seed=seed)
    for verdict, one, enough in found:
        small = one.excluded or (one.pairs >= planned and one.median < paired.ENOUGH * enough)
        verdicts[verdict.metric, verdict.statistic] = replace(
            verdict,
            outcome="worse" if one.confirmed else "same" if small else "unsure",
            confirmed=one.confirmed,
            p=one.p,
            q=one.q,
            seed=seed,
            method=f"{verdict.method}, sign-flip on pairs",
            reason=_told(verdict, one, "" if small else short),
        )
    return verdicts


def _told(verdict: Verdict, found: Confirmation, short: str) -> str:
    change = math.expm1(found.median if verdict.better == "lower" else -found.median)
    words = f"by {found.pairs} pair{'s' * (found.pairs > 1)} of fresh boots: {change:+.1%}"
    if found.confirmed:
        return f"confirmed {words}"
    return f"flagged, not decided {words}; {short}" if short else f"flagged, not confirmed {words}"


def _paired(
    flagged: Sequence[Verdict],
    pairs: Sequence[tuple[Boot, Boot]],
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    level: float,
    seed: int,
) -> tuple[dict[tuple[str, str], Verdict], list[tuple[Verdict, Confirmation, float]]]:
    """(verdicts on what not every pair measured, each other one with what its pairs say and what counts of it)."""
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
        measured.append(verdict)
        differences.append([sign * math.log(after[key] / before[key]) for before, after in pairs])
        least.append(compare.threshold(minimum_effect(metrics[verdict.metric])))
    found = paired.confirm(differences, least, level=level, seed=seed)
    return verdicts, list(zip(measured, found, least, strict=True))
