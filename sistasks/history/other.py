"""Another history, open to be read and never written: what it is refused for, and an older one as a newer copy."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sistasks.errors import HistoryError, UsageError
from sistasks.history import schema
from sistasks.history.connection import prepare, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_REMEDY = "name another history with from=…"


@dataclass(frozen=True, slots=True)
class Other:
    """One state of the other history, whatever others write into it meanwhile.

    Attributes:
        path: as the person named it.
    """

    path: Path
    _connection: sqlite3.Connection

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """What a query gives; rows have names.

        Raises:
            HistoryError: the file is damaged.
        """
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise HistoryError(f"{self.path} cannot be read: {error}", _REMEDY) from error


@contextlib.contextmanager
def opened(path: Path, db: Path, scratch: Path) -> Iterator[Other]:
    """The other history; one of an older version is read as a copy that is brought up to date.

    Args:
        path: its file.
        db: the history that it is brought into.
        scratch: an empty folder for the copy.

    Raises:
        UsageError: it is not there, no history, empty, of a newer version, or the history itself.
        HistoryError: it cannot be read for a reason of the host's.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist", _REMEDY)
    if db.exists() and db.samefile(path):
        raise UsageError(f"{path} is the history itself", _REMEDY)
    with contextlib.ExitStack() as stack:
        connection, applied = _open(stack, path, path)
        if len(applied) < len(schema.MIGRATIONS):
            copy = scratch / "older.db"
            with contextlib.closing(sqlite3.connect(copy)) as target:
                connection.backup(target)
            prepare(copy)
            connection, _ = _open(stack, copy, path)
        connection.execute("BEGIN")
        yield Other(path, connection)


def _open(stack: contextlib.ExitStack, file: Path, path: Path) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    try:
        connection = stack.enter_context(reading(file))
        applied = () if connection is None else schema.applied(connection, file)
    except HistoryError as error:
        newer = "upgrade" in error.remedy
        remedy = error.remedy if newer or "db=" not in error.remedy else _REMEDY
        # a lock or a missing right is nothing that the person asked for
        if isinstance(error.__cause__, sqlite3.OperationalError | OSError):
            raise HistoryError(error.problem, remedy) from error
        raise UsageError(error.problem, remedy) from error
    if connection is None:
        raise UsageError(f"{path} is an empty file, and no history", _REMEDY)
    return connection, applied
