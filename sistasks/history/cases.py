"""Runs by what they were made for: a session's, and those of a test case that somebody scripted."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from sistasks.history.connection import reading, writing
from sistasks.history.read import stored_run
from sistasks.history.records import CrashRow, StoredRun, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# the kind of annotation that says which test case a run was made for
_KIND: Final = "test_case"


def newest_run(db: Path) -> int:
    """The number of the run that was written last; 0 for an empty history.

    Raises:
        HistoryError: the history cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            return 0
        return int(connection.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()[0])


def runs_of_session(db: Path, session: str, after: int = 0) -> tuple[StoredRun, ...]:
    """A session's runs with a number above `after`, in the order of writing.

    Raises:
        HistoryError: the history cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            return ()
        query = "SELECT * FROM runs WHERE session_id = ? AND id > ? ORDER BY id"
        return tuple(stored_run(connection, dict(row)) for row in connection.execute(query, (session, after)))


def crashes_of(db: Path, run_id: int) -> tuple[CrashRow, ...]:
    """What the kernels of a run complained of, by node; empty for an unknown run.

    Raises:
        HistoryError: the history cannot be read.
    """
    columns = "node, kind, title, report, console_offset, reproducer"
    query = f"SELECT {columns} FROM crashes WHERE run_id = ? ORDER BY node, id"  # noqa: S608 - our own columns
    with reading(db) as connection:
        if connection is None:
            return ()
        return tuple(CrashRow(**dict(row)) for row in connection.execute(query, (run_id,)))


def crash_title(db: Path, crash: int) -> tuple[str, str] | None:
    """(suite, title) of a crash by its number; None: there is none.

    Raises:
        HistoryError: the history cannot be read.
    """
    query = "SELECT suite, title FROM crashes JOIN runs ON runs.id = run_id WHERE crashes.id = ?"
    with reading(db) as connection:
        row = None if connection is None else connection.execute(query, (crash,)).fetchone()
    return None if row is None else (row["suite"], row["title"])


def run_of_commit(db: Path, suite: str, commit: str, since: int) -> int:
    """The newest good run of a suite on a kernel of that commit, built of nothing else; 0: there is none.

    Args:
        db: the history.
        suite: its name.
        commit: in full.
        since: a run; what is older than it, or of another environment, is not looked at.

    Raises:
        HistoryError: the history cannot be read.
    """
    query = """SELECT coalesce(max(runs.id), 0) FROM runs JOIN kernels ON kernels.id = kernel_id
        WHERE suite = ? AND git_commit = ? AND NOT git_dirty AND status = 'ok' AND runs.id >= ?
        AND environment_id = (SELECT environment_id FROM runs WHERE id = ?)"""
    with reading(db) as connection:
        if connection is None:
            return 0
        return int(connection.execute(query, (suite, commit, since, since)).fetchone()[0])


def commit_of_run(db: Path, run: int) -> str:
    """The commit that a run's kernel was built of; empty where that is not known, or there is no such run.

    Raises:
        HistoryError: the history cannot be read.
    """
    query = "SELECT git_commit FROM runs JOIN kernels ON kernels.id = kernel_id WHERE runs.id = ?"
    with reading(db) as connection:
        row = None if connection is None else connection.execute(query, (run,)).fetchone()
    return "" if row is None else row["git_commit"] or ""


def note_test_case(db: Path, runs: Iterable[int], test_id: str, author: str) -> None:
    """Say for which test case runs were made.

    Raises:
        HistoryError: the history cannot be written, or has no such run.
    """
    now = utc_text(dt.datetime.now(dt.UTC))
    with writing(db) as connection:
        connection.executemany(
            "INSERT INTO annotations (run_id, kind, text, author, created_at) VALUES (?, ?, ?, ?, ?)",
            [(run, _KIND, test_id, author, now) for run in runs],
        )


def runs_of_test_case(db: Path, test_id: str) -> tuple[int, ...]:
    """Numbers of the runs that were made for a test case, the oldest first.

    Raises:
        HistoryError: the history cannot be read.
    """
    query = "SELECT DISTINCT run_id FROM annotations WHERE kind = ? AND text = ? ORDER BY run_id"
    with reading(db) as connection:
        return (
            () if connection is None else tuple(row[0] for row in connection.execute(query, (_KIND, test_id)))
        )
