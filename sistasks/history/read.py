"""Asking the history: quick enough to be asked before every task, and never a reason for a file to come to be.

A history that is not there is empty. Every function raises HistoryError if the file is there and cannot be read, is
something else, or was written by a newer sistasks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError
from sistasks.history.connection import reading
from sistasks.history.findings import finding_rows
from sistasks.history.records import MetricRow, ResourceRow, ResultRow, StoredRun, SummaryRow
from sistasks.history.samples import decode

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from sistasks.history.samples import Samples


_RESULTS = (
    "SELECT node, test, status, target_met, duration, message FROM results WHERE run_id = ? ORDER BY node, id"
)
_SUMMARIES = "SELECT * FROM summaries WHERE run_id = ? ORDER BY node, metric"
_RESOURCES = "SELECT * FROM resources WHERE run_id = ? ORDER BY node, at"
_RESOURCE_FIELDS: Final = tuple(field.name for field in dataclasses.fields(ResourceRow))
_SUMMARY_FIELDS: Final = tuple(field.name for field in dataclasses.fields(SummaryRow))


# a regression of a kernel counts until somebody accepts a run of that kernel; of several verdicts on one thing the
# newest does
def _regressed(table: str, same: str, counts: str = "") -> str:
    """From where a query takes `verdicts` and the runs `judged` by them."""
    return f"""
    FROM {table} AS verdicts JOIN runs AS judged ON judged.id = verdicts.run_id
    LEFT JOIN (
        SELECT runs.suite, runs.environment_id, runs.kernel_id, max(runs.id) AS last
        FROM annotations CROSS JOIN runs ON runs.id = annotations.run_id WHERE annotations.kind = 'accept'
        GROUP BY runs.suite, runs.environment_id, runs.kernel_id
    ) AS accepted ON accepted.kernel_id = judged.kernel_id
        AND accepted.suite = judged.suite AND accepted.environment_id = judged.environment_id
    WHERE verdicts.outcome = 'worse' {counts}
        AND NOT EXISTS (
            SELECT 1 FROM {table} AS newer
            WHERE newer.run_id = verdicts.run_id AND {same} AND newer.id > verdicts.id
        )
        AND judged.id > coalesce(accepted.last, 0)"""  # noqa: S608 - our own tables


# whether a session was asked for several kernels together, in a query on `sessions`
SEVERAL_KERNELS: Final = """detail LIKE '{"kernels"%'"""
# of such kernels: there may have been many, one after the other
_NAMES: Final = 16
# of metrics, and of findings
REGRESSED: Final = (
    _regressed(
        "verdicts",
        "newer.metric = verdicts.metric AND newer.statistic = verdicts.statistic",
        "AND verdicts.confirmed IS NOT 0",
    ),
    _regressed("finding_verdicts", "newer.rule = verdicts.rule"),
)
# one text, not three values: where these are in no row, SQLite reads all rows, for one of them might be unknown
_REGRESSED: Final = " UNION ALL ".join(
    f"SELECT judged.suite || ' ' || judged.environment_id || ' ' || judged.kernel_id {each}"
    for each in REGRESSED
)
# whether a good run may be part of a baseline, in a query on `runs` and `kernels`
BASELINE_CONDITION: Final = (
    "(coalesce(git_dirty, 0) = 0 AND suite || ' ' || environment_id || ' ' || kernels.id NOT IN "
    f"({_REGRESSED}))"
)


def good_runs(db: Path, inputs_sha256: str, *, targets_met: bool = False) -> int:
    """How many good runs (status `ok`) the history holds of these very inputs.

    Args:
        db: the history.
        inputs_sha256: of the runs.
        targets_met: count only those that missed no target: one that was only reported may be enforced now.
    """
    query = "SELECT count(*) FROM runs WHERE inputs_sha256 = ? AND status = 'ok'"
    if targets_met:
        query += " AND NOT EXISTS (SELECT 1 FROM results WHERE run_id = runs.id AND target_met = 0)"
    return _number(db, query, (inputs_sha256,))


def run_count(db: Path) -> int:
    """How many runs the history holds, whatever their status."""
    return _number(db, "SELECT count(*) FROM runs", ())


def latest_run(
    db: Path, suite: str, inputs_sha256: str | None = None, *, good: bool = False
) -> StoredRun | None:
    """The newest run of a suite with its results and summaries.

    Args:
        db: the history.
        suite: its name, as in `runs.suite`.
        inputs_sha256: only runs of these inputs, if given.
        good: only runs whose status is `ok`; else whatever their status.

    Returns:
        The run that was written last, or None if there is none.
    """
    query = "SELECT * FROM runs WHERE suite = :suite AND inputs_sha256 = coalesce(:inputs, inputs_sha256)"
    if good:
        query += " AND status = 'ok'"
    with reading(db) as connection:
        if connection is None:
            return None
        parameters = {"suite": suite, "inputs": inputs_sha256}
        row = connection.execute(f"{query} ORDER BY id DESC LIMIT 1", parameters).fetchone()
        return None if row is None else stored_run(connection, dict(row))


def recent_kernels(db: Path, runs: int) -> set[str]:
    """Kernels that a baseline of `runs` runs may name, and that of each newest good run.

    A baseline leaves out its candidate's own kernel, however often that was measured, and kernels that got worse: both
    may be more than `runs` runs in a row, and the kernel that they are compared with must not be forgotten meanwhile.
    Of kernels that were asked for together one may change more rarely than the others: of each the two newest that a
    baseline may name are among them.
    """
    query = f"""
        WITH good AS (
            SELECT kernels.id AS kernel_id, runs.id, {BASELINE_CONDITION} AS fit,
                first_value(kernels.id) OVER what AS newest, row_number() OVER what AS place,
                suite, environment_id, iterations, name, session_id
            FROM runs JOIN kernels ON kernels.id = kernel_id WHERE status = 'ok'
            WINDOW what AS (PARTITION BY suite, environment_id, iterations ORDER BY runs.id DESC)
        ), aged AS (
            SELECT *,
                row_number() OVER (PARTITION BY suite, environment_id, iterations ORDER BY id DESC) AS age,
                row_number() OVER (
                    PARTITION BY suite, environment_id, iterations, kernel_id = newest ORDER BY id DESC
                ) AS age_among_others
            FROM good WHERE fit
        ), named AS (
            SELECT *, dense_rank() OVER (
                PARTITION BY suite, environment_id, iterations ORDER BY newest_of_name DESC
            ) AS name_age, row_number() OVER (
                PARTITION BY suite, environment_id, iterations, name ORDER BY last DESC
            ) AS age_in_name
            FROM (
                SELECT suite, environment_id, iterations, name, kernel_id, max(aged.id) AS last,
                    max(max(aged.id)) OVER (PARTITION BY suite, environment_id, iterations, name) AS newest_of_name
                FROM aged JOIN sessions ON sessions.id = session_id WHERE {SEVERAL_KERNELS}
                GROUP BY suite, environment_id, iterations, name, kernel_id
            )
        )
        SELECT kernel_id FROM good WHERE place = 1
        UNION SELECT kernel_id FROM aged WHERE age <= :runs
        UNION SELECT kernel_id FROM named WHERE name_age <= :names AND age_in_name <= 2
        UNION SELECT kernel_id FROM aged WHERE kernel_id <> newest AND age_among_others <= :runs"""  # noqa: S608 - our own columns
    asked = {"runs": runs, "names": _NAMES}
    with reading(db) as connection:
        return set() if connection is None else {row[0] for row in connection.execute(query, asked)}


def results_of(db: Path, run_id: int) -> tuple[ResultRow, ...]:
    """A run's results, by node and then in the order in which they were written; empty for an unknown run."""
    with reading(db) as connection:
        return () if connection is None else _results(connection, run_id)


def summaries_of(db: Path, run_id: int) -> tuple[SummaryRow, ...]:
    """A run's summaries, by node and metric; empty for an unknown run."""
    with reading(db) as connection:
        return () if connection is None else summary_rows(connection, run_id)


def summary_rows(connection: sqlite3.Connection, run_id: int) -> tuple[SummaryRow, ...]:
    """A run's summaries, by node and metric; a history from before a column came has the others.

    Args:
        connection: to the history, with rows that have names.
        run_id: the run.
    """
    rows = (dict(row) for row in connection.execute(_SUMMARIES, (run_id,)))
    return tuple(SummaryRow(**{name: row[name] for name in _SUMMARY_FIELDS if name in row}) for row in rows)


def resource_rows(connection: sqlite3.Connection, run_id: int) -> tuple[ResourceRow, ...]:
    """What a run's nodes and the host used, by node and time; a history from before a column came has the others.

    A row whose time cannot be read, for a hand has been at it, is left out.

    Args:
        connection: to the history, with rows that have names.
        run_id: the run.
    """
    found = []
    for row in map(dict, connection.execute(_RESOURCES, (run_id,))):
        with contextlib.suppress(ValueError):
            at = dt.datetime.fromisoformat(row["at"])
            found.append(
                ResourceRow(**{**{name: row[name] for name in _RESOURCE_FIELDS if name in row}, "at": at})
            )
    return tuple(found)


def samples_of(db: Path, run_id: int, node: int, metric: str) -> Samples:
    """Every raw sample of one metric on one node.

    Returns:
        Shape (count,), int64 or float64, in the metric's unit and in the order of measurement.

    Raises:
        HistoryError: there are none, or they are damaged.
    """
    query = "SELECT encoding, data, count FROM samples WHERE run_id = ? AND node = ? AND metric = ?"
    with reading(db) as connection:
        row = None if connection is None else connection.execute(query, (run_id, node, metric)).fetchone()
    if row is None:
        raise HistoryError(f"{db} has no samples of {metric} on node {node} in run {run_id}")
    return decode(row["encoding"], row["data"], row["count"])


def metrics_of(db: Path) -> tuple[MetricRow, ...]:
    """Every metric that the history knows, by name."""
    with reading(db) as connection:
        if connection is None:
            return ()
        return tuple(
            MetricRow(**dict(row)) for row in connection.execute("SELECT * FROM metrics ORDER BY name")
        )


def _number(db: Path, query: str, parameters: tuple[str, ...]) -> int:
    with reading(db) as connection:
        return 0 if connection is None else int(connection.execute(query, parameters).fetchone()[0])


def _results(connection: sqlite3.Connection, run_id: int) -> tuple[ResultRow, ...]:
    return tuple(
        ResultRow(
            **{**dict(row), "target_met": None if row["target_met"] is None else bool(row["target_met"])}
        )
        for row in connection.execute(_RESULTS, (run_id,))
    )


def stored_run(connection: sqlite3.Connection, row: dict[str, Any]) -> StoredRun:
    """A row of `runs` with its results and summaries; rows of the connection have names."""
    for column in ("started_at", "finished_at"):
        row[column] = dt.datetime.fromisoformat(row[column])
    return StoredRun(
        **row,
        results=_results(connection, row["id"]),
        summaries=summary_rows(connection, row["id"]),
        findings=finding_rows(connection, row["id"]),
    )
