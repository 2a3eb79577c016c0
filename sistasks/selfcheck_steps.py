"""The A/A check: the same kernel against itself through the real gate, where every alarm is a false one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.settings import Settings
    from sistasks.terminal import Terminal
    from sistasks.verdicts.baseline import RunInfo
    from sistasks.verdicts.records import Verdict

Noise = dict[tuple[str, str], float]


def selfcheck(settings: Settings, terminal: Terminal) -> None:
    """Measure the same kernel `count` times, judge each run by those before, and keep alarms and noise.

    Raises:
        SistasksError: a run or a confirmation failed.
    """
    from sistasks.combinations import label
    from sistasks.suites.run import run_suite

    of = label(settings)
    judge_alike(
        [number for _ in range(settings.count) for number in run_suite("performance", settings, terminal)],
        settings,
        terminal,
        f"{of} " if of else "",
    )


def judge_alike(numbers: Sequence[int], settings: Settings, terminal: Terminal, of: str = "") -> None:
    """Judge runs of the same kernel in the same environment, each by those before, and keep alarms and noise.

    Args:
        numbers: of the runs, the oldest first; at least one.
        settings: where they are, and what the gate is to be told.
        terminal: told what came of it.
        of: which runs, where there are others; ends with a blank.

    Raises:
        SistasksError: a confirmation failed, or the history cannot be used.
    """
    from sistasks.gate_steps import judge
    from sistasks.verdicts.baseline import open_history
    from sistasks.verdicts.store import annotate_metrics

    verdicts: list[Verdict] = []
    with open_history(settings.db) as history:
        runs = [history.run(number) for number in numbers]
        for run in runs[1:]:
            verdicts += judge(history, run, settings, terminal, same_kernel=True)
        noise = _noise(runs, history.boots(numbers))
    alarms = _alarms(verdicts)
    notes = {}
    for metric in sorted({metric for metric, _ in noise}):
        false, judged = alarms.get(metric, (0, 0))
        notes[metric] = (
            f"{false} false alarms in {judged} verdicts; noise of a boot: {floors(noise, metric)}; "
            f"{runs[-1].clock} clock"
        )
    annotate_metrics(settings.db, numbers[-1], "selfcheck", notes)
    for metric, note in notes.items():
        terminal.result(f"{of}{metric}: {note}")
    total = sum(judged for _, judged in alarms.values())
    false = sum(false for false, _ in alarms.values())
    share = f"{false / total:.2%}" if total else "none judged"
    terminal.result(
        f"selfcheck: {of}{false} false alarms in {total} verdicts of {len(numbers)} runs ({share})"
    )


def floors(noise: Noise, metric: str) -> str:
    """The noise of each statistic of a metric in words; of one sample a node there is only `p50`."""
    known = [(statistic, noise[name, statistic]) for name, statistic in noise if name == metric]
    return ", ".join(f"{statistic} {value:.3%}" for statistic, value in known)


def _alarms(verdicts: Sequence[Verdict]) -> dict[str, tuple[int, int]]:
    """Metric -> (false alarms, verdicts)."""
    counted: dict[str, tuple[int, int]] = {}
    for verdict in verdicts:
        false, judged = counted.get(verdict.metric, (0, 0))
        counted[verdict.metric] = (false + verdict.regressed, judged + 1)
    return counted


def _noise(runs: Sequence[RunInfo], boots: dict[tuple[str, str], dict[tuple[int, int], float]]) -> Noise:
    """(metric, statistic) -> standard deviation of the logarithm, between runs, of what equal nodes measured.

    Nodes differ by their seed, so each is compared with itself: the deviation is taken about each node's own mean.
    """
    noise = {}
    for key, values in boots.items():
        squares = freedom = 0.0
        for node in {node for _, node in values}:
            logs = [math.log(values[run.id, node]) for run in runs if values.get((run.id, node), 0) > 0]
            if len(logs) > 1:
                mean = sum(logs) / len(logs)
                squares += sum((value - mean) ** 2 for value in logs)
                freedom += len(logs) - 1
        noise[key] = math.sqrt(squares / freedom) if freedom else 0.0
    return noise
