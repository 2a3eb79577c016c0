"""Judging under the virtual clock: node by node, because there any difference is real."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.verdicts.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.verdicts.baseline import Boots, RunInfo

MINIMUM_EFFECT: Final = 0.01
METHOD: Final = "node by node, exact"
# a change of exactly the minimum is one, however its quotient is rounded
_ROUNDING: Final = 1e-12


def judge(
    run: RunInfo,
    runs: Sequence[RunInfo],
    boots: Mapping[tuple[str, str], Boots],
    metrics: Mapping[str, Mapping[str, Any]],
) -> list[Verdict]:
    """A verdict for each statistic of each metric that the run or its baseline has.

    Each metric is compared with the newest run of the baseline that has the same seed, so that equal nodes did equal
    work, and that measured it: one that disappeared is missed for as long as the baseline remembers it.

    Args:
        run: the candidate.
        runs: its baseline, the newest first, at least one.
        boots: values of all of them.
        metrics: definitions by name.
    """
    verdicts = []
    for (metric, statistic), values in sorted(boots.items(), key=lambda item: item[0]):
        by_run: dict[int, dict[int, float]] = {}
        for (number, node), value in values.items():
            by_run.setdefault(number, {})[node] = value
        alike = [other for other in runs if other.seed == run.seed]
        reference = next((other for other in alike if other.id in by_run), (alike or runs)[0])
        known = {
            "metric": metric,
            "statistic": statistic,
            "method": METHOD,
            "unit": metrics[metric]["unit"],
            "better": metrics[metric]["better"],
            "baseline": f"run {reference.id} ({reference.kernel_name})",
        }
        if not alike:
            why = f"no earlier run has seed={run.seed}, and nodes of other seeds do other work"
            verdicts.append(Verdict(**known, outcome="unsure", reason=why))
        else:
            verdicts.append(
                _judge_one(by_run.get(reference.id, {}), by_run.get(run.id, {}), reference.id, known)
            )
    return verdicts


def _judge_one(
    before: Mapping[int, float], now: Mapping[int, float], reference: int, known: dict[str, Any]
) -> Verdict:
    nodes = sorted(now.keys() & before.keys())
    known = known | {
        "n": len(before),
        "k": len(now),
        "baseline_value": statistics.median(before.values()) if before else None,
        "value": statistics.median(now.values()) if now else None,
    }
    if not now:
        why = f"this run did not measure it, run {reference} did"
        return Verdict(**known, outcome="unsure", reason=why)
    if not before:
        return Verdict(**known, outcome="unsure", reason="the baseline has no such metric")
    if not nodes:
        return Verdict(**known, outcome="unsure", reason="the two runs have no node in common")
    if any(before[node] <= 0 and now[node] != before[node] for node in nodes):
        why = "the baseline is 0 or less: a relative change has no meaning"
        return Verdict(**known, outcome="unsure", reason=why)
    effects = {node: now[node] / before[node] - 1 if before[node] else 0.0 for node in nodes}
    effect = statistics.median(effects.values())
    outcome = _outcome(effect, known["better"])
    apart = _apart(effects, outcome, known["better"])
    if outcome != "worse" and any(_outcome(one, known["better"]) == "worse" for one in effects.values()):
        outcome = "unsure"  # most nodes got no worse, but some really did
    middle = abs(statistics.median(before[node] for node in nodes))
    return Verdict(
        **known,
        outcome=outcome,
        reason=apart,
        effect=effect,
        low=min(effects.values()),
        high=max(effects.values()),
        # a count of whole units cannot show less than one of them
        mde=max(MINIMUM_EFFECT, 1 / middle) if middle else MINIMUM_EFFECT,
    )


def _outcome(effect: float, better: str) -> str:
    loss = effect if better == "lower" else -effect
    least = MINIMUM_EFFECT - _ROUNDING
    return "worse" if loss >= least else "better" if loss <= -least else "same"


def _apart(effects: Mapping[int, float], outcome: str, better: str) -> str:
    """Nodes that say something else than most: their work differs by their seeds, and may meet what changed."""
    others = {node: effect for node, effect in effects.items() if _outcome(effect, better) != outcome}
    if not others:
        return ""
    node, effect = max(others.items(), key=lambda item: abs(item[1]))
    count = len(others)
    return f"{count} of {len(effects)} nodes {'says' if count == 1 else 'say'} otherwise, node {node} {effect:+.2%}"
