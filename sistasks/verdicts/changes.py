"""Since when: lasting changes of level in the history of each metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.verdicts import virtual, wall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.verdicts.baseline import History, RunInfo

METHOD: Final = "rank-CUSUM"
# two levels of five runs each: fewer tell nothing
LEAST_RUNS: Final = 10
# some windows of the search; what is older was looked at when it was new
MOST_RUNS: Final = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of level: the columns of `change_points`.

    Attributes:
        run_id: the first run at the new level.
        before_run_id: the last at the old one.
        effect: relative change, as a share.
        p: of the difference of the two levels.
        advisory: a series as correlated as this one makes such a step by itself too often.
    """

    run_id: int
    before_run_id: int
    effect: float
    p: float
    advisory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What was found in the history of one statistic of a metric.

    Attributes:
        points: in the order of the runs.
        runs: the runs that were looked at.
        better: which direction of the metric is better.
        method, seed: how it was found.
    """

    points: tuple[Change, ...]
    runs: tuple[int, ...]
    better: str
    method: str
    seed: int

    @property
    def worse_since(self) -> int | None:
        """The first run of the last level, if that level is a worse one than the one before."""
        last = next((point for point in reversed(self.points) if not point.advisory), None)
        if last is None or (last.effect > 0) != (self.better == "lower"):
            return None
        return last.run_id


def find_changes(
    history: History, run: RunInfo, metrics: Mapping[str, Mapping[str, Any]], *, seed: int
) -> dict[tuple[str, str], Changes]:
    """(metric, statistic) -> changes in the newest comparable runs up to `run`; with too few runs it is left out.

    Args:
        history: where the runs are.
        run: the last of them.
        metrics: definitions by name.
        seed: of the permutations.
    """
    found: dict[tuple[str, str], Changes] = {}
    for (metric, statistic), series in history.series(run, MOST_RUNS).items():
        numbers = [number for number, _ in series]
        values = [value for _, value in series]
        if len(values) < LEAST_RUNS or min(values) <= 0:  # a 0 has no logarithm
            continue
        definition = metrics[metric]
        least = virtual.MINIMUM_EFFECT if run.clock == "virtual" else wall.minimum_effect(definition)
        points = () if len(set(values)) == 1 else _points(values, numbers, least, seed)
        found[metric, statistic] = Changes(
            points=points, runs=tuple(numbers), better=definition["better"], method=METHOD,
            seed=seed,
        )  # fmt: skip
    return found


def _points(values: list[float], numbers: list[int], least: float, seed: int) -> tuple[Change, ...]:
    from sistasks.statistics.changepoints import change_points

    logarithms = [math.log(value) for value in values]
    return tuple(
        Change(
            run_id=numbers[point.index],
            before_run_id=numbers[point.index - 1],
            effect=math.expm1(point.shift),
            p=point.p,
            advisory=point.advisory,
        )
        for point in change_points(logarithms, minimum_effect=math.log1p(least), seed=seed).points
    )
