"""Judging under the virtual clock: node by node, because there any difference is real."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.verdicts.records import STATISTICS, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.verdicts.baseline import Boots, RunInfo

MINIMUM_EFFECT: Final = 0.01
METHOD: Final = "node by node, exact"


def reference_run(run: RunInfo, runs: Sequence[RunInfo]) -> RunInfo | None:
    """The newest baseline run with the same seed, so that equal nodes did equal work."""
    return next((other for other in runs if other.seed == run.seed), None)


def judge(
    run: RunInfo,
    reference: RunInfo,
    boots: dict[tuple[str, str], Boots],
    metrics: dict[str, dict[str, Any]],
) -> list[Verdict]:
    """A verdict for each statistic of each metric that the run or its reference has.

    Args:
        run: the candidate.
        reference: the run that it is compared with, of the same seed.
        boots: values of both runs.
        metrics: definitions by name.
    """
    verdicts = []
    for metric in sorted({name for name, _ in boots}):
        for statistic in STATISTICS:
            values = boots.get((metric, statistic), {})
            known = {"metric": metric, "statistic": statistic, "method": METHOD}
            verdicts.append(_judge_one(run, reference, values, metrics[metric], known))
    return verdicts


def _judge_one(
    run: RunInfo,
    reference: RunInfo,
    values: Boots,
    definition: dict[str, Any],
    known: dict[str, Any],
) -> Verdict:
    now = {node: value for (number, node), value in values.items() if number == run.id}
    before = {node: value for (number, node), value in values.items() if number == reference.id}
    nodes = sorted(now.keys() & before.keys())
    known = known | {
        "unit": definition["unit"],
        "better": definition["better"],
        "baseline": f"run {reference.id} ({reference.kernel_name})",
        "n": len(before),
        "k": len(now),
        "baseline_value": statistics.median(before.values()) if before else None,
        "value": statistics.median(now.values()) if now else None,
    }
    if not now or not before:
        who = (
            f"this run did not measure it, run {reference.id} did"
            if before
            else "the baseline has no such metric"
        )
        return Verdict(**known, outcome="unsure", reason=who)
    if not nodes:
        return Verdict(**known, outcome="unsure", reason="the two runs have no node in common")
    if any(before[node] == 0 for node in nodes):
        if all(before[node] == now[node] for node in nodes):
            return Verdict(**known, outcome="same", effect=0.0, low=0.0, high=0.0, mde=0.0)
        return Verdict(
            **known, outcome="unsure", reason="the baseline is 0: a relative change has no meaning"
        )
    effects = [now[node] / before[node] - 1 for node in nodes]
    effect = statistics.median(effects)
    worse = effect if definition["better"] == "lower" else -effect
    outcome = "worse" if worse >= MINIMUM_EFFECT else "better" if worse <= -MINIMUM_EFFECT else "same"
    # the clock's step: a nanosecond, or one in whatever the unit is
    step = 1 / statistics.median(before[node] for node in nodes)
    return Verdict(
        **known,
        outcome=outcome,
        effect=effect,
        low=min(effects),
        high=max(effects),
        mde=max(step, MINIMUM_EFFECT),
    )
