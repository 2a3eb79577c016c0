"""What a run's page says of the functions that were counted in it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from sistasks.charts import changed_chart, shares_chart
from sistasks.errors import HistoryError
from sistasks.history.differences import differences, shares
from sistasks.history.profiles import profile_rows, profiled_baseline

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from sistasks.browse.series import Row

# functions of one phase in the page's JSON
_TOLD: Final = 20


def profile_of_run(connection: sqlite3.Connection, run: Row, verdicts: Sequence[Row]) -> Row:
    """The phases of a run's profile, each with the functions that execute most.

    Args:
        connection: to the history.
        run: its row.
        verdicts: the newest on its metrics.

    Returns:
        `base`: the run to compare it with, None where there is none with a profile; `phases`; `problem`: why the
        profile cannot be told. Empty where the run was not counted.
    """
    try:
        found = profile_rows(connection, run["id"])
    except HistoryError as error:
        return {"base": None, "phases": [], "problem": error.problem}
    if not found:
        return {}
    against = next((row["baseline"] for row in verdicts if row["outcome"] in {"worse", "better"}), "")
    phases: list[dict[str, Any]] = []
    for phase in shares(found, run["iterations"]):
        functions = [dataclasses.asdict(each) for each in phase.functions[:_TOLD]]
        known = {
            "test": phase.test,
            "phase": phase.phase,
            "metrics": list(phase.metrics),
            "nodes": phase.nodes,
        }
        number = len(phase.functions)
        phases.append({**known, "instructions": phase.instructions, "count": number, "functions": functions})
    return {"base": profiled_baseline(connection, run["id"], against), "phases": phases, "problem": ""}


def function_charts(connection: sqlite3.Connection, run: Row, base: int | None) -> list[str]:
    """A chart for each phase: what changed against another run, else where the instructions go.

    Args:
        connection: to the history.
        run: its row.
        base: the other run's number.
    """
    try:
        found = profile_rows(connection, run["id"])
        before = [] if base is None else profile_rows(connection, base)
    except HistoryError:  # damaged: the page shows what is left
        return []
    # the two have the same number of iterations
    changed = differences(before, found, (run["iterations"], run["iterations"]))
    charts = {(each.test, each.phase): changed_chart(each) for each in changed if each.changed}
    for phase in shares(found, run["iterations"]):
        charts.setdefault((phase.test, phase.phase), shares_chart(phase))
    return list(charts.values())
