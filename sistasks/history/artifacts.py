"""Which artifacts the history names, and which runs are worth more than their age.

What stands in these rows may have been written by anybody: a path here is no path before the store has checked it.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError
from sistasks.history.connection import reading, writing
from sistasks.history.read import REGRESSED
from sistasks.history.records import ArtifactRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_COLUMNS: Final = "id, run_id, node, kind, path, size, sha256, created_at, compressed, keep_until, detail"
# how verdicts name their baseline: `run 7 (name)`, `runs 1-3, 7`
_NAMED: Final = re.compile(r"runs? (\d{1,18}(?:-\d{1,18})?(?:, \d{1,18}(?:-\d{1,18})?)*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """A row of `artifacts`, with the numbers that the history gave it."""

    id: int
    run_id: int
    row: ArtifactRow


def moment(text: str | None) -> dt.datetime | None:
    """A time of the history; None for none, and for a text that is none."""
    try:
        found = dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.utcoffset() is not None else None


def name_of(detail: str) -> str:
    """What a person calls an artifact, by its row's `detail`; `-` where that does not tell."""
    try:
        found = json.loads(detail)
    except (ValueError, RecursionError):
        return "-"
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) and name else "-"


def artifacts_of(db: Path, run_id: int) -> tuple[StoredArtifact, ...]:
    """What a run left, in the order of writing; empty for an unknown run.

    Raises:
        HistoryError: the history cannot be read, or a row is none of ours.
    """
    with reading(db) as connection:
        if connection is None:
            return ()
        rows = connection.execute(f"SELECT {_COLUMNS} FROM artifacts WHERE run_id = ? ORDER BY id", (run_id,))  # noqa: S608 - our own columns
        return tuple(stored_artifact(row) for row in rows)


def artifact(connection: sqlite3.Connection, number: int) -> StoredArtifact | None:
    """One artifact by its number; rows of the connection have names.

    Raises:
        HistoryError: the row is none of ours.
    """
    row = connection.execute(f"SELECT {_COLUMNS} FROM artifacts WHERE id = ?", (number,)).fetchone()  # noqa: S608 - our own columns
    return None if row is None else stored_artifact(row)


def stored_artifact(row: Mapping[str, Any]) -> StoredArtifact:
    """An artifact from its row.

    Raises:
        HistoryError: the row is none of ours.
    """
    fields = {name: row[name] for name in _COLUMNS.split(", ")}
    number, run_id, created = fields.pop("id"), fields.pop("run_id"), moment(fields["created_at"])
    if created is None:
        raise HistoryError(
            f"artifact {number} has no time: its row is damaged", "restore a copy of the history"
        )
    fields.update(
        created_at=created, compressed=bool(fields["compressed"]), keep_until=moment(fields["keep_until"])
    )
    return StoredArtifact(id=number, run_id=run_id, row=ArtifactRow(**fields))


def paths(db: Path) -> set[str]:
    """Every path that the history names; empty where there is none.

    Raises:
        HistoryError: it is there and cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            return set()
        return {row[0] for row in connection.execute("SELECT DISTINCT path FROM artifacts")}


def remove(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Forget artifacts, within the transaction that is open."""
    connection.executemany("DELETE FROM artifacts WHERE id = ?", [(number,) for number in numbers])


def move_compressed(db: Path, moved: Mapping[str, str]) -> None:
    """Tell where files are now that they are compressed, in one transaction.

    Args:
        db: the history; one that is not there names nothing.
        moved: old path -> new path.

    Raises:
        HistoryError: the history cannot be written.
    """
    if not moved.keys() & paths(db):
        return
    with writing(db) as connection:
        connection.executemany(
            "UPDATE artifacts SET path = ?, compressed = 1 WHERE path = ?",
            [(new, old) for old, new in moved.items()],
        )


def precious_runs(connection: sqlite3.Connection) -> dict[int, str]:
    """Runs whose artifacts no retention may take, and why.

    They are: accepted by a person; an open regression, and what its verdicts were judged against; the baseline of the
    newest judged run of each suite in each environment; around a change point; the first with a crash of its title.
    """
    found: dict[int, str] = {}
    known = [row[0] for row in connection.execute("SELECT DISTINCT run_id FROM artifacts")]

    def add(runs: Iterable[int | None], why: str) -> None:
        for run in runs:
            if run is not None:
                found.setdefault(run, why)

    def column(query: str) -> list[Any]:
        return [row[0] for row in connection.execute(query)]

    add(column("SELECT run_id FROM annotations WHERE kind = 'accept'"), "accepted")
    for regressed in REGRESSED:
        add(column(f"SELECT DISTINCT judged.id {regressed}"), "of an open regression")
        against = column(f"SELECT DISTINCT verdicts.baseline {regressed}")
        add(named_runs(against, known), "of an open regression")
    for table in ("verdicts", "finding_verdicts"):
        newest = (
            f"SELECT max(run_id) FROM {table} JOIN runs ON runs.id = run_id GROUP BY suite, environment_id"  # noqa: S608 - our own tables
        )
        against = column(f"SELECT DISTINCT baseline FROM {table} WHERE run_id IN ({newest})")  # noqa: S608 - our own names
        add(named_runs(against, known), "of a baseline")
    for end in ("run_id", "before_run_id"):
        add(column(f"SELECT {end} FROM change_points WHERE advisory = 0"), "at a change")  # noqa: S608 - two columns of ours
    add(column("SELECT min(run_id) FROM crashes GROUP BY title"), "first of its crash")
    return found


def named_runs(texts: Iterable[str], known: Iterable[int]) -> set[int]:
    """Those of the known runs that verdicts' words on their baseline name: `runs 1-3, 7`."""
    spans = []
    for text in texts:
        match = _NAMED.match(text)
        for part in match[1].split(", ") if match else ():
            low, _, high = part.partition("-")
            spans.append((int(low), int(high or low)))
    return {run for run in known if any(low <= run <= high for low, high in spans)}
