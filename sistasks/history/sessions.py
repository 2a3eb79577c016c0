"""Sessions of two histories: which are the same, and a name of its own for one that is not."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sistasks.history.numbers import RENAMED, original

if TYPE_CHECKING:
    import sqlite3

    from sistasks.history.other import Other

_QUERY = "SELECT * FROM sessions"


class Sessions:
    """The other history's sessions on their way into this one, within its transaction.

    A session is named by its second and its process, and another host, or another container, may have the same.
    """

    def __init__(self, connection: sqlite3.Connection, other: Other) -> None:
        self._db = connection
        self._other = other

    def names(self) -> dict[str, str]:
        """Name of a session there -> its name here; those that are not here yet are written."""
        known = {_who(row): row["id"] for row in self._db.execute(_QUERY).fetchall()}
        taken = set(known.values())
        found: dict[str, str] = {}
        for row in map(dict, self._other.rows(_QUERY)):
            name = known.get(_who(row))
            if name is not None:
                self._db.execute(
                    "UPDATE sessions SET finished_at = max(coalesce(finished_at, ''), ?) WHERE id = ?",
                    (row["finished_at"] or "", name),
                )
            else:
                name = row["id"] if row["id"] not in taken else _another_name(row)
                taken.add(name)
                self._db.execute(
                    "INSERT INTO sessions (id, started_at, finished_at, command, host, detail)"
                    " VALUES (:id, :started_at, :finished_at, :command, :host, :detail)",
                    {**row, "id": name},
                )
            found[row["id"]] = name
        return found


def _who(row: sqlite3.Row | dict[str, str]) -> tuple[str, str, str]:
    return original(row["id"]), row["started_at"], row["host"]


def _another_name(row: dict[str, str]) -> str:
    digest = hashlib.sha256(f"{row['started_at']} {row['host']}".encode(errors="surrogatepass")).hexdigest()
    return f"{original(row['id'])}{RENAMED}{digest[:8]}"
