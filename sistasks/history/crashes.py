"""One crash with all that it takes to have it again: its run, the kernel and the environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.history.connection import reading
from sistasks.history.records import CrashRow, EnvironmentRow

if TYPE_CHECKING:
    from pathlib import Path

_CRASH: Final = """
    SELECT crashes.node, crashes.kind, crashes.title, crashes.report, crashes.console_offset, crashes.reproducer,
        runs.id, runs.suite, runs.kernel_id, runs.environment_id, kernels.name, kernels.command_line
    FROM crashes JOIN runs ON runs.id = crashes.run_id JOIN kernels ON kernels.id = runs.kernel_id
    WHERE crashes.id = ?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCrash:
    """A crash as the history has it.

    Attributes:
        row: the crash.
        run_id, suite: where it came.
        kernel_id, kernel_name: of its kernel.
        command_line: that the kernel had, whole.
        environment: of the run.
    """

    row: CrashRow
    run_id: int
    suite: str
    kernel_id: str
    kernel_name: str
    command_line: str
    environment: EnvironmentRow


def crash(db: Path, number: int) -> StoredCrash | None:
    """A crash by its number; None where the history has none of that number.

    Raises:
        HistoryError: the history cannot be read.
        ValueError: the environment of its run is not what its identity says.
    """
    with reading(db) as connection:
        if connection is None:
            return None
        row = connection.execute(_CRASH, (number,)).fetchone()
        if row is None:
            return None
        (environment,) = connection.execute("SELECT * FROM environments WHERE id = ?", (row[9],))
        return StoredCrash(
            row=CrashRow(
                node=row[0], kind=row[1], title=row[2], report=row[3], console_offset=row[4], reproducer=row[5]
            ),
            run_id=row[6], suite=row[7], kernel_id=row[8], kernel_name=row[10], command_line=row[11],
            environment=EnvironmentRow(**dict(environment)),
        )  # fmt: skip


def playable(db: Path, run_id: int) -> tuple[int, ...]:
    """Numbers of the crashes of a run that can be played again, one of each title, in order.

    Raises:
        HistoryError: the history cannot be read.
    """
    query = "SELECT min(id) FROM crashes WHERE run_id = ? AND reproducer != '' GROUP BY title ORDER BY 1"
    with reading(db) as connection:
        return () if connection is None else tuple(row[0] for row in connection.execute(query, (run_id,)))
