"""Which functions a verdict comes from, where the run and its baseline were counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError
from sistasks.history.differences import differences, shares
from sistasks.history.profiles import profile_rows, profiled_baseline
from sistasks.units import portion

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from sistasks.history.differences import PhaseDifference, PhaseShares
    from sistasks.history.profiles import ProfileRecord
    from sistasks.history.records import StoredRun
    from sistasks.report.records import VerdictRow

_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What a run executes otherwise in a phase in which something that is measured got better or worse.

    Attributes:
        base: number of the run that it is compared with.
        outcomes: metric -> `worse` or `better`, of the phase's metrics that are either.
        difference: of the two runs, in this phase.
    """

    base: int
    outcomes: Mapping[str, str]
    difference: PhaseDifference

    @property
    def first(self) -> str:
        """The functions that changed most, each with its share of the change."""
        rows = self.difference.functions[:_NAMED]
        return ", ".join(f"{row.function} ({portion(row.share)})" for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is told of the functions of a run.

    Attributes:
        phases: what they execute; empty where the run was not counted.
        explained: where verdicts come from.
        problem: why a profile is not told; empty where all is well.
    """

    phases: Sequence[PhaseShares] = ()
    explained: Sequence[Explained] = ()
    problem: str = ""


def profile_of(connection: sqlite3.Connection, run: StoredRun, verdicts: Sequence[VerdictRow]) -> Profile:
    """What the functions of a run execute, and where its verdicts come from.

    Args:
        connection: to the history.
        run: the run.
        verdicts: the newest on each statistic of its metrics.
    """
    try:
        found = profile_rows(connection, run.id)
    except HistoryError as error:
        return Profile(problem=error.problem)
    phases = tuple(shares(found, run.iterations))
    try:
        explained = _explained(connection, run, verdicts, found) if found else ()
    except HistoryError as error:
        return Profile(phases=phases, problem=error.problem)
    return Profile(phases=phases, explained=explained)


def _explained(
    connection: sqlite3.Connection,
    run: StoredRun,
    verdicts: Sequence[VerdictRow],
    found: Sequence[ProfileRecord],
) -> tuple[Explained, ...]:
    outcomes: dict[int, dict[str, str]] = {}
    for verdict in verdicts:
        if verdict.regressed or verdict.outcome == "better":
            base = profiled_baseline(connection, run.id, verdict.baseline)
            # of several statistics the one that got worse counts
            if base is not None and outcomes.setdefault(base, {}).get(verdict.metric) != "worse":
                outcomes[base][verdict.metric] = verdict.outcome
    explained = []
    for base, known in outcomes.items():
        before = profile_rows(connection, base)
        # the two have the same number of iterations
        for difference in differences(before, found, (run.iterations, run.iterations)):
            these = {metric: known[metric] for metric in difference.metrics if metric in known}
            if these:
                explained.append(Explained(base=base, outcomes=these, difference=difference))
    return tuple(explained)
