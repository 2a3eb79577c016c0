"""Writing verdicts, change points and a person's acceptance into the history."""

from __future__ import annotations

import datetime as dt
import getpass
from typing import TYPE_CHECKING

from sistasks.errors import UsageError
from sistasks.history.connection import writing
from sistasks.history.records import utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sistasks.verdicts.records import Verdict

_COLUMNS = (
    "metric", "statistic", "outcome", "reason", "baseline_value", "value", "effect", "low", "high", "p", "q", "n", "k",
    "mde", "method", "baseline", "confirmed", "seed",
)  # fmt: skip


def _now() -> str:
    return utc_text(dt.datetime.now(dt.UTC))


def write_verdicts(db: Path, run_id: int, verdicts: Sequence[Verdict]) -> None:
    """Add the verdicts on a run; earlier ones stay, the views show the newest.

    Raises:
        HistoryError: the history cannot be written.
    """
    names = ("run_id", *_COLUMNS, "created_at")
    now = _now()
    rows = [(run_id, *(getattr(verdict, name) for name in _COLUMNS), now) for verdict in verdicts]
    marks = ", ".join("?" * len(names))
    with writing(db) as connection:
        connection.executemany(f"INSERT INTO verdicts ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608 - our own columns


def accept(db: Path, run_id: int, note: str) -> None:
    """Take a run as the new normal: baselines begin with it.

    Raises:
        UsageError: the history has no such run.
        HistoryError: the history cannot be written.
    """
    with writing(db) as connection:
        if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
            raise UsageError(f"run {run_id} is not in the history", "doit gate names the runs that it judged")
        connection.execute(
            "INSERT INTO annotations (run_id, kind, text, author, created_at) VALUES (?, 'accept', ?, ?, ?)",
            (run_id, note, getpass.getuser(), _now()),
        )


def annotate_metrics(db: Path, run_id: int, kind: str, notes: Mapping[str, str]) -> None:
    """Leave a remark on each metric, tied to the run that it comes from.

    Raises:
        HistoryError: the history cannot be written.
    """
    now, author = _now(), getpass.getuser()
    rows = [(run_id, metric, kind, text, author, now) for metric, text in notes.items()]
    with writing(db) as connection:
        connection.executemany(
            "INSERT INTO annotations (run_id, metric, kind, text, author, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
