"""Asking the history: quick enough to be asked before every task, and never a reason for a file to come to be.

A history that is not there is empty. Every function raises HistoryError if the file is there and cannot be read, is
something else, or was written by a newer sistasks.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sistasks.errors import HistoryError
from sistasks.history.connection import reading
from sistasks.history.records import MetricRow, ResultRow, StoredRun, SummaryRow
from sistasks.history.samples import decode

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

_RESULTS = (
    "SELECT node, test, status, target_met, duration, message FROM results WHERE run_id = ? ORDER BY node, id"
)
_SUMMARIES = """SELECT node, metric, count, mean, std, min, p50, p95, p99, max, ci_low, ci_high, confidence
    FROM summaries WHERE run_id = ? ORDER BY node, metric"""


def good_runs(db: Path, inputs_sha256: str) -> int:
    """How many good runs (status `ok`) the history holds of these very inputs."""
    query = "SELECT count(*) FROM runs WHERE inputs_sha256 = ? AND status = 'ok'"
    return _number(db, query, (inputs_sha256,))


def run_count(db: Path) -> int:
    """How many runs the history holds, whatever their status."""
    return _number(db, "SELECT count(*) FROM runs", ())


def latest_run(db: Path, suite: str, inputs_sha256: str | None = None) -> StoredRun | None:
    """The newest run of a suite, whatever its status, with its results and summaries.

    Args:
        db: the history.
        suite: its name, as in `runs.suite`.
        inputs_sha256: only runs of these inputs, if given.

    Returns:
        The run that was written last, or None if there is none.
    """
    query = "SELECT * FROM runs WHERE suite = :suite AND inputs_sha256 = coalesce(:inputs, inputs_sha256)"
    with reading(db) as connection:
        if connection is None:
            return None
        parameters = {"suite": suite, "inputs": inputs_sha256}
        row = connection.execute(f"{query} ORDER BY id DESC LIMIT 1", parameters).fetchone()
        return None if row is None else _stored_run(connection, dict(row))


def recent_kernels(db: Path, runs: int) -> set[str]:
    """Kernels of the `runs` newest good runs of each suite in each environment: those that baselines may name."""
    query = """SELECT DISTINCT kernel_id FROM (
        SELECT kernel_id, row_number() OVER (PARTITION BY suite, environment_id ORDER BY id DESC) AS age
        FROM runs WHERE status = 'ok'
    ) WHERE age <= ?"""
    with reading(db) as connection:
        return set() if connection is None else {row[0] for row in connection.execute(query, (runs,))}


def results_of(db: Path, run_id: int) -> tuple[ResultRow, ...]:
    """A run's results, by node and then in the order in which they were written; empty for an unknown run."""
    with reading(db) as connection:
        return () if connection is None else _results(connection, run_id)


def summaries_of(db: Path, run_id: int) -> tuple[SummaryRow, ...]:
    """A run's summaries, by node and metric; empty for an unknown run."""
    with reading(db) as connection:
        return () if connection is None else _summaries(connection, run_id)


def samples_of(db: Path, run_id: int, node: int, metric: str) -> npt.NDArray[np.int64]:
    """Every raw sample of one metric on one node.

    Returns:
        Shape (count,), int64, in the metric's unit and in the order of measurement.

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


def _summaries(connection: sqlite3.Connection, run_id: int) -> tuple[SummaryRow, ...]:
    return tuple(SummaryRow(**dict(row)) for row in connection.execute(_SUMMARIES, (run_id,)))


def _stored_run(connection: sqlite3.Connection, row: dict[str, Any]) -> StoredRun:
    for column in ("started_at", "finished_at"):
        row[column] = dt.datetime.fromisoformat(row[column])
    return StoredRun(
        **row, results=_results(connection, row["id"]), summaries=_summaries(connection, row["id"])
    )
