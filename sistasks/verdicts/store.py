"""Writing verdicts, change points and a person's acceptance into the history."""

from __future__ import annotations

import datetime as dt
import getpass
import os
from typing import TYPE_CHECKING

from sistasks.errors import UsageError
from sistasks.history.connection import writing
from sistasks.history.records import utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sistasks.history.findings import FindingVerdict
    from sistasks.verdicts.baseline import RunInfo
    from sistasks.verdicts.changes import Changes
    from sistasks.verdicts.records import Verdict

_COLUMNS = (
    "metric", "statistic", "outcome", "reason", "baseline_value", "value", "effect", "low", "high", "p", "q", "n", "k",
    "mde", "method", "baseline", "confirmed", "seed",
)  # fmt: skip
_FINDING_COLUMNS = ("rule", "severity", "outcome", "was", "now", "k", "n", "reason", "baseline")


def _now() -> str:
    return utc_text(dt.datetime.now(dt.UTC))


def _author() -> str:
    """Who does this; in a container a user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def write_verdicts(db: Path, run_id: int, verdicts: Sequence[Verdict]) -> None:
    """Add the verdicts on a run; earlier ones stay, the views show the newest.

    Raises:
        HistoryError: the history cannot be written.
    """
    _add(db, run_id, "verdicts", _COLUMNS, verdicts)


def write_finding_verdicts(db: Path, run_id: int, verdicts: Sequence[FindingVerdict]) -> None:
    """Add the verdicts on a run's findings; earlier ones stay.

    Raises:
        HistoryError: the history cannot be written.
    """
    _add(db, run_id, "finding_verdicts", _FINDING_COLUMNS, verdicts)


def _add(
    db: Path, run_id: int, table: str, columns: tuple[str, ...], verdicts: Sequence[Verdict | FindingVerdict]
) -> None:
    names = ("run_id", *columns, "created_at")
    now = _now()
    rows = [(run_id, *(getattr(verdict, name) for name in columns), now) for verdict in verdicts]
    marks = ", ".join("?" * len(names))
    with writing(db) as connection:
        connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608 - our own columns


def write_changes(db: Path, environment_id: str, changes: Mapping[tuple[str, str], Changes]) -> None:
    """Replace what is known of the runs that were looked at; what is known of earlier ones stays.

    Args:
        db: the history.
        environment_id: where the metrics were measured.
        changes: (metric, statistic) -> what was found.

    Raises:
        HistoryError: the history cannot be written.
    """
    now = _now()
    rows = [
        (
            *key, environment_id, point.run_id, point.before_run_id, point.effect, point.p, len(found.runs),
            point.advisory, found.method, found.seed, now,
        )
        for key, found in changes.items() for point in found.points
    ]  # fmt: skip
    with writing(db) as connection:
        connection.executemany(
            "DELETE FROM change_points WHERE metric = ? AND statistic = ? AND environment_id = ? AND run_id = ?",
            [(*key, environment_id, run) for key, found in changes.items() for run in found.runs],
        )
        connection.executemany(
            "INSERT INTO change_points (metric, statistic, environment_id, run_id, before_run_id, effect, p, n, "
            "advisory, method, seed, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def accept(db: Path, run: RunInfo, note: str) -> None:
    """Take a run as the new normal: baselines begin with it.

    Raises:
        UsageError: the run is not good: what failed is no normal.
        HistoryError: the history cannot be written.
    """
    if run.status != "ok":
        raise UsageError(
            f"run {run.id} cannot be the new normal: its status is {run.status}", "name a good run"
        )
    with writing(db) as connection:
        connection.execute(
            "INSERT INTO annotations (run_id, kind, text, author, created_at) VALUES (?, 'accept', ?, ?, ?)",
            (run.id, note, _author(), _now()),
        )


def annotate_metrics(db: Path, run_id: int, kind: str, notes: Mapping[str, str]) -> None:
    """Leave a remark on each metric, tied to the run that it comes from.

    Raises:
        HistoryError: the history cannot be written.
    """
    now, author = _now(), _author()
    rows = [(run_id, metric, kind, text, author, now) for metric, text in notes.items()]
    with writing(db) as connection:
        connection.executemany(
            "INSERT INTO annotations (run_id, metric, kind, text, author, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
