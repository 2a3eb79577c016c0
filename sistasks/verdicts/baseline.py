"""What a run is judged against.

The baseline is made of earlier runs of the same suite in the same environment that are ok and clean, of another kernel,
no confirmed regressions, and not older than the last run that a person accepted as the new normal.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError, UsageError
from sistasks.history.connection import reading
from sistasks.verdicts.records import STATISTICS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_RUNS: Final = 30
MOST_BOOTS: Final = 30
# (run, node) -> value of one statistic of one metric
Boots = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The columns of a run that comparability depends on."""

    id: int
    suite: str
    kernel_id: str
    kernel_name: str
    environment_id: str
    clock: str
    accel: str
    status: str
    message: str
    nodes: int
    iterations: int
    seed: int
    session_id: str
    started_at: str


_RUN: Final = """
    SELECT runs.id, suite, kernel_id, kernels.name AS kernel_name, environment_id, clock, accel, status, message,
        nodes, iterations, seed, session_id, started_at
    FROM runs JOIN environments ON environments.id = environment_id JOIN kernels ON kernels.id = kernel_id
"""
# a worse verdict counts until somebody accepts the run
_REGRESSED: Final = """
    EXISTS (SELECT 1 FROM verdicts WHERE verdicts.run_id = runs.id AND outcome = 'worse' AND confirmed IS NOT 0)
    AND NOT EXISTS (SELECT 1 FROM annotations WHERE annotations.run_id = runs.id AND kind = 'accept')
"""


def _info(row: sqlite3.Row) -> RunInfo:
    return RunInfo(**dict(row))


class History:
    """Reads runs and boots for judging. Use `open_history`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        import sqlite3

        self._connection = connection
        self._connection.row_factory = sqlite3.Row

    def latest(self) -> list[RunInfo]:
        """The latest run of each suite, and of each environment that its latest session measured it in."""
        query = f"""{_RUN} WHERE runs.id IN (
            SELECT max(runs.id) FROM runs JOIN (
                SELECT suite AS s, session_id AS last FROM runs WHERE id IN (SELECT max(id) FROM runs GROUP BY suite)
            ) ON suite = s AND session_id = last
            GROUP BY suite, environment_id
        ) ORDER BY runs.id"""  # noqa: S608 - our own columns
        return [_info(row) for row in self._connection.execute(query)]

    def run(self, number: int) -> RunInfo:
        """One run.

        Raises:
            UsageError: the history has no such run.
        """
        row = self._connection.execute(f"{_RUN} WHERE runs.id = ?", (number,)).fetchone()
        if row is None:
            raise UsageError(f"run {number} is not in the history", "doit browse shows what is there")
        return _info(row)

    def select(self, query: str, parameters: Sequence[Any]) -> list[RunInfo]:
        """Runs for which a condition on `runs`, `kernels` and `environments` holds, the newest first."""
        rows = self._connection.execute(
            f"{_RUN} WHERE {query} ORDER BY runs.id DESC LIMIT ?", (*parameters, MOST_RUNS)
        )
        return [_info(row) for row in rows]

    def baseline_runs(self, run: RunInfo, *, same_kernel: bool = False) -> list[RunInfo]:
        """The runs that `run` is judged against, the newest first, at most MOST_RUNS.

        Args:
            run: the candidate.
            same_kernel: judge it against its own kernel (the A/A check) instead of against others.
        """
        accepted = self._connection.execute(
            """SELECT max(annotations.run_id) FROM annotations JOIN runs ON runs.id = annotations.run_id
               WHERE kind = 'accept' AND suite = ? AND environment_id = ? AND runs.id < ?""",
            (run.suite, run.environment_id, run.id),
        ).fetchone()[0]
        return self.select(
            f"""suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok'
                AND kernel_id {"=" if same_kernel else "<>"} ? AND runs.id < ? AND runs.id >= ?
                AND coalesce(git_dirty, 0) = 0 AND NOT ({_REGRESSED})""",
            (run.suite, run.environment_id, run.iterations, run.kernel_id, run.id, accepted or 0),
        )

    def boots(self, runs: Sequence[int]) -> dict[tuple[str, str], Boots]:
        """(metric, statistic) -> (run, node) -> value, of every node of the runs."""
        marks = ",".join("?" * len(runs))
        found: dict[tuple[str, str], Boots] = {}
        query = f"SELECT run_id, node, metric, p50, p95, p99 FROM summaries WHERE node > 0 AND run_id IN ({marks})"  # noqa: S608
        for row in self._connection.execute(query, list(runs)):
            for statistic in STATISTICS:
                boots = found.setdefault((row["metric"], statistic), {})
                boots[row["run_id"], row["node"]] = row[statistic]
        return found

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Every metric's definition, by name."""
        return {row["name"]: dict(row) for row in self._connection.execute("SELECT * FROM metrics")}

    def series(self, run: RunInfo, metric: str, statistic: str) -> list[tuple[int, float]]:
        """(run, median over its nodes) of every good run comparable with `run`, the oldest first."""
        import statistics

        query = f"""SELECT runs.id, {statistic} AS value FROM runs JOIN summaries ON run_id = runs.id
            WHERE suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok' AND metric = ? AND node > 0
            ORDER BY runs.id"""  # noqa: S608 - a statistic is one of ours
        by_run: dict[int, list[float]] = {}
        for row in self._connection.execute(query, (run.suite, run.environment_id, run.iterations, metric)):
            by_run.setdefault(row["id"], []).append(row["value"])
        return [(number, statistics.median(values)) for number, values in by_run.items()]


@contextlib.contextmanager
def open_history(db: Path) -> Iterator[History]:
    """A History while the context lasts.

    Raises:
        HistoryError: there is none, or it cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            raise HistoryError(f"{db} does not exist: nothing has been measured yet", "doit test")
        yield History(connection)


def spread(runs: Sequence[RunInfo], boots: Boots) -> list[tuple[int, float]]:
    """At most MOST_BOOTS boots as (run, value), taken evenly from the runs: so is the drift between sessions seen."""
    if not runs:
        return []
    quota = max(1, MOST_BOOTS // len(runs))
    values: list[tuple[int, float]] = []
    for run in runs:
        nodes = sorted(node for number, node in boots if number == run.id)
        values += [(run.id, boots[run.id, node]) for node in nodes[:quota]]
    return values[:MOST_BOOTS]
