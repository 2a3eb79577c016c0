"""Writing one run into the history: all of it, or nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import numbers
from typing import TYPE_CHECKING, Final, TypeAlias

from sistasks.errors import HistoryError
from sistasks.history.connection import TIMEOUT, writing
from sistasks.history.profiles import insert as insert_profiles
from sistasks.history.records import utc_text
from sistasks.history.samples import encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from _typeshed import DataclassInstance

    from sistasks.history.records import MetricRow, RunRecord, SampleSet, SessionRow

_Value: TypeAlias = str | int | float | bytes | None
_Row: TypeAlias = "Mapping[str, _Value]"

# columns of `runs` that are plain fields of a run
_RUN_COLUMNS: Final = (
    "suite", "inputs_sha256", "started_at", "finished_at", "status", "nodes", "iterations", "seed", "message",
)  # fmt: skip
# of remarks that no person made
_AUTHOR: Final = "sistasks"
_KNOWN_ALREADY: Final = "ON CONFLICT (id) DO NOTHING"
_REDEFINED: Final = """ON CONFLICT (name) DO UPDATE SET
    unit = excluded.unit, better = excluded.better, target = excluded.target,
    target_statistic = excluded.target_statistic, industry = excluded.industry,
    minimum_effect = excluded.minimum_effect, description = excluded.description"""
_GOES_ON: Final = "ON CONFLICT (id) DO UPDATE SET finished_at = max(finished_at, excluded.finished_at)"


def write_run(
    db: Path, session: SessionRow, run: RunRecord, metrics: Sequence[MetricRow], timeout: float = TIMEOUT
) -> int:
    """Write a run with all that belongs to it, in one transaction.

    The kernel, the environment and the session are written if the history does not have them; a metric's definition is
    brought up to date. Everything is converted and compressed before the lock is taken, so that sessions wait
    for each other as briefly as can be.

    Args:
        db: the history; made if it is not there.
        session: the session that the run belongs to; it is finished when the last of its runs is.
        run: the run.
        metrics: definitions of at least those metrics that the run has summaries or samples of.
        timeout: seconds to wait for another session that is writing.

    Returns:
        The run's id.

    Raises:
        HistoryError: the history cannot be written, or a value (NaN, an unknown status or metric) may not be kept; the
            history is then as it was.
    """
    session_row = {**_row(session), "finished_at": utc_text(run.finished_at)}
    run_row = {
        **{name: _plain(name, getattr(run, name)) for name in _RUN_COLUMNS},
        "session_id": session.id,
        "kernel_id": run.kernel.id,
        "environment_id": run.environment.id,
    }
    metric_rows = [_row(metric) for metric in metrics]
    kernel, environment = _row(run.kernel), _row(run.environment)
    parts: dict[str, list[dict[str, _Value]]] = {
        "results": [_row(result) for result in run.results],
        "summaries": [_row(summary) for summary in run.summaries],
        "samples": [_sample_row(samples) for samples in run.samples],
        "crashes": [_row(crash) for crash in run.crashes],
        "resources": [_row(resource) for resource in run.resources],
        "artifacts": [_row(artifact) for artifact in run.artifacts],
        "findings": [_row(finding) for finding in run.findings],
        "annotations": [
            {"kind": kind, "text": text, "author": _AUTHOR, "created_at": utc_text(run.finished_at)}
            for kind, text in run.remarks
        ],
    }
    with writing(db, timeout) as connection:
        _insert(connection, "metrics", metric_rows, _REDEFINED)
        _insert(connection, "kernels", [kernel], _KNOWN_ALREADY)
        _insert(connection, "environments", [environment], _KNOWN_ALREADY)
        _insert(connection, "sessions", [session_row], _GOES_ON)
        _insert(connection, "runs", [run_row])
        (run_id,) = connection.execute("SELECT last_insert_rowid()").fetchone()
        for table, rows in parts.items():
            _insert(connection, table, [{"run_id": run_id, **row} for row in rows])
        insert_profiles(connection, int(run_id), run.profiles)
    return int(run_id)


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[_Row], conflict: str = "") -> None:
    if rows:
        columns = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        # the names are those of our tables and records; the values are bound
        sql = f"INSERT INTO {table} ({columns}) VALUES ({values}) {conflict}"  # noqa: S608 - our own names
        connection.executemany(sql, rows)


def _row(record: DataclassInstance) -> dict[str, _Value]:
    """A record's fields as values that SQLite keeps exactly."""
    return {
        field.name: _plain(field.name, getattr(record, field.name)) for field in dataclasses.fields(record)
    }


def _sample_row(samples: SampleSet) -> dict[str, _Value]:
    for index, value in enumerate(samples.values):
        if value < 0:
            raise HistoryError(
                f"{samples.metric} of node {samples.node}: sample {index} is {value}, and nothing is less than 0",
                "this is a mistake in what measured it",
            )
    encoding, data = encode(samples.values)
    return {
        "node": _plain("node", samples.node),
        "metric": samples.metric,
        "count": len(samples.values),
        "encoding": encoding,
        "data": data,
    }


def _plain(name: str, value: object) -> _Value:
    """A value as one of SQLite's own types; numpy's scalars would be kept as bytes, or refused without a reason."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, dt.datetime):
        return utc_text(value)
    if isinstance(value, numbers.Integral) and -(2**63) <= int(value) < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise HistoryError(
        f"{name}={value!r} cannot be kept in the history", "this is a mistake in what measured it"
    )
