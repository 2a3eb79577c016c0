"""The runs of another history, with all that belongs to them, into this one: in one transaction, and each once.

A run that both have stays as it is here; what was said of it later (acceptances, verdicts, profiles) is united. Numbers
are given anew, so that a later run has a higher one (`history.numbers`), and go through all that names them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sistasks.history.connection import writing
from sistasks.history.numbers import Numbering, Run, number, original, retold, told_apart
from sistasks.history.profile_numbers import renumbered
from sistasks.history.profiles import COLUMNS
from sistasks.history.sessions import Sessions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sistasks.history.other import Other
    from sistasks.history.records import ArtifactRow

Rows: TypeAlias = "list[dict[str, Any]]"
Ask: TypeAlias = "Callable[..., Sequence[sqlite3.Row]]"

# what is written with its run and never changes
_MEASURED: Final = ("results", "summaries", "samples", "crashes", "resources", "findings")
# what is said of a run later, and may be said again; with the columns that name runs in words, and how often at most
_SAID: Final[dict[str, dict[str, int]]] = {
    "verdicts": {"baseline": 1, "reason": 0},
    "finding_verdicts": {"baseline": 1, "reason": 0},
    "annotations": {},
}
# all that is told of a run by its number, and where
REFERENCES: Final = (
    *((table, "run_id") for table in (*_MEASURED, *_SAID, "artifacts", "profiles", "change_points")),
    ("change_points", "before_run_id"),
)
_RUNS: Final = """
    SELECT runs.*, sessions.started_at AS session_started, sessions.host
    FROM runs JOIN sessions ON sessions.id = session_id ORDER BY runs.id"""


@dataclass(slots=True)
class Merged:
    """What a merge did.

    Attributes:
        numbers: of all runs.
        conflicts: number in the other history -> number here -> in which tables they differ, of runs that both have.
        redefined: metric -> whether the other history's definition is taken, of those that it defines otherwise.
        said: table -> rows that were added to runs that both have.
        artifacts: how many rows came.
        missing: how many did not, because their file is not at hand.
    """

    numbers: Numbering
    conflicts: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    redefined: dict[str, bool] = field(default_factory=dict)
    said: Counter[str] = field(default_factory=Counter)
    artifacts: int = 0
    missing: int = 0


def numbering(ours: Ask, theirs: Ask) -> Numbering:
    """Numbers of all runs, by what each history answers to a query."""
    return number(_who(ours), _who(theirs))


def _who(ask: Ask) -> list[Run]:
    return told_apart(
        Run(
            row["id"],
            (
                original(row["session_id"]), row["session_started"], row["host"], row["started_at"], row["suite"],
                row["kernel_id"], row["environment_id"], row["inputs_sha256"], row["seed"],
            ),
            row["finished_at"],
        )
        for row in ask(_RUNS)
    )  # fmt: skip


def merge(db: Path, other: Other, files: Mapping[int, ArtifactRow]) -> Merged:
    """Bring the other history's runs into this one, or change nothing.

    Args:
        db: the history.
        other: the one that is read.
        files: artifact in the other history -> its row here, of those whose file is in the store.

    Raises:
        HistoryError: one cannot be read, the other not written.
    """
    import sqlite3

    with writing(db) as connection:
        connection.row_factory = sqlite3.Row
        # numbers of runs change, and what names them a moment later
        connection.execute("PRAGMA defer_foreign_keys = ON")
        one = _Merge(connection, other, files)
        one.everything()
        return one.merged


class _Merge:
    """One merge, within the transaction of its connection."""

    def __init__(
        self, connection: sqlite3.Connection, other: Other, files: Mapping[int, ArtifactRow]
    ) -> None:
        self._db = connection
        self._other = other
        self._files = files
        self.merged = Merged(numbering(self._ask, other.rows))
        self._numbers = self.merged.numbers.theirs

    def everything(self) -> None:
        """All of it, in the order in which rows may refer to each other."""
        self._move()
        for table in ("kernels", "environments"):
            self._insert(table, self._theirs(f"SELECT * FROM {table}"), "OR IGNORE")  # noqa: S608 - our own tables
        self._metrics()
        sessions = Sessions(self._db, self._other).names()
        functions = self._functions()
        for old in self.merged.numbers.new:
            (row,) = self._theirs("SELECT * FROM runs WHERE id = ?", old)
            self._insert(
                "runs", [{**row, "id": self._numbers[old], "session_id": sessions[row["session_id"]]}]
            )
            for table in _MEASURED:
                self._insert(table, self._of(table, old))
            for table in _SAID:
                self._insert(table, self._said(table, old))
            self._insert("profiles", self._profiles(old, functions))
            self._artifacts(old, set())
        # when all runs are there: a change lies between two of them
        for old in self.merged.numbers.new:
            self._insert("change_points", self._changes(old))
        for old in sorted(self.merged.numbers.known):
            differing = self._differing(old)
            if differing:
                self.merged.conflicts[old, self._numbers[old]] = differing
            else:
                self._unite(old, functions)
        self._remarks()

    def _ask(self, query: str, *parameters: Any) -> list[sqlite3.Row]:
        return self._db.execute(query, parameters).fetchall()

    def _theirs(self, query: str, *parameters: Any) -> Rows:
        return [dict(row) for row in self._other.rows(query, parameters)]

    def _insert(self, table: str, rows: Rows, how: str = "") -> None:
        if rows:
            names = ", ".join(rows[0])
            values = ", ".join(f":{name}" for name in rows[0])
            # the names are columns of our own schema; the values are bound
            self._db.executemany(f"INSERT {how} INTO {table} ({names}) VALUES ({values})", rows)  # noqa: S608 - our own names

    def _move(self) -> None:
        """Give the runs that are here their new numbers: from the last, for all go up, and none meets another."""
        moved = self.merged.numbers.moved
        if not moved:
            return
        for old in sorted(moved, reverse=True):
            for table, column in (("runs", "id"), *REFERENCES):
                query = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"  # noqa: S608 - our own names
                self._db.execute(query, (moved[old], old))
        for table, columns in _SAID.items():
            for column, most in columns.items():
                query = f"SELECT id, {column} AS words FROM {table} WHERE {column} LIKE '%run%'"  # noqa: S608 - our own names
                told = [
                    (retold(row["words"], self.merged.numbers.ours, most), row["id"])
                    for row in self._ask(query)
                ]
                self._db.executemany(f"UPDATE {table} SET {column} = ? WHERE id = ?", told)  # noqa: S608 - our own names

    def _metrics(self) -> None:
        """Of two definitions the one counts with which the metric was measured last, as in one history."""
        ours = {row["name"]: dict(row) for row in self._ask("SELECT * FROM metrics")}
        last = (
            "SELECT coalesce(max(finished_at), '') AS at FROM runs"
            " WHERE id IN (SELECT run_id FROM summaries WHERE metric = ?)"
        )
        for row in self._theirs("SELECT * FROM metrics ORDER BY name"):
            name = row["name"]
            if ours.get(name, row) != row:
                (theirs,) = self._theirs(last, name)
                newer = theirs["at"] > self._ask(last, name)[0]["at"]
                self.merged.redefined[name] = newer
                if newer:
                    changes = ", ".join(f"{column} = :{column}" for column in row if column != "name")
                    self._db.execute(f"UPDATE metrics SET {changes} WHERE name = :name", row)  # noqa: S608 - our own columns
            elif name not in ours:
                self._insert("metrics", [row])

    def _of(self, table: str, old: int) -> Rows:
        """The other history's rows on a run, as they are here; without the numbers of the rows themselves."""
        order = "id" if "id" in self._columns(table) else "1, 2, 3"
        rows = self._theirs(f"SELECT * FROM {table} WHERE run_id = ? ORDER BY {order}", old)  # noqa: S608 - our own names
        for row in rows:
            row.pop("id", None)
            row["run_id"] = self._numbers[old]
        return rows

    def _columns(self, table: str) -> list[str]:
        return [row["name"] for row in self._ask(f"PRAGMA table_info({table})")]

    def _said(self, table: str, old: int) -> Rows:
        rows = self._of(table, old)
        for row in rows:
            for column, most in _SAID[table].items():
                row[column] = retold(row[column], self._numbers, most)
        return rows

    def _changes(self, old: int) -> Rows:
        rows = self._of("change_points", old)
        for row in rows:
            row["before_run_id"] = self._numbers[row["before_run_id"]]
        return rows

    def _here(self, table: str, old: int) -> Rows:
        """What is here of a run that the other history has, too."""
        query = f"SELECT * FROM {table} WHERE run_id = ?"  # noqa: S608 - our own tables
        rows = [dict(row) for row in self._ask(query, self._numbers[old])]
        for row in rows:
            row.pop("id", None)
        return rows

    def _differing(self, old: int) -> tuple[str, ...]:
        """Where a run that both have is not the same."""
        (row,) = self._theirs("SELECT * FROM runs WHERE id = ?", old)
        (here,) = self._ask("SELECT * FROM runs WHERE id = ?", self._numbers[old])
        columns = ("status", "message", "finished_at", "nodes", "iterations")
        found = () if all(row[name] == here[name] for name in columns) else ("runs",)
        return (
            *found,
            *(table for table in _MEASURED if _bag(self._of(table, old)) != _bag(self._here(table, old))),
        )

    def _unite(self, old: int, functions: Mapping[int, int]) -> None:
        """Add what the other history says of a run that both have."""
        for table in _SAID:
            here = self._here(table, old)
            new = [row for row in self._said(table, old) if row not in here]
            if new:
                # of several verdicts the last counts: they stand in the order in which they were given
                self._db.execute(f"DELETE FROM {table} WHERE run_id = ?", (self._numbers[old],))  # noqa: S608 - our own tables
                self._insert(table, sorted([*here, *new], key=lambda row: row["created_at"]))
                self.merged.said[table] += len(new)
        here = self._here("profiles", old)
        known = {(row["node"], row["test"], row["phase"]) for row in here}
        profiles = [
            row
            for row in self._profiles(old, functions)
            if (row["node"], row["test"], row["phase"]) not in known
        ]
        self._insert("profiles", profiles)
        self.merged.said["profiles"] += len(profiles)
        self._artifacts(old, {artifact_key(row) for row in self._here("artifacts", old)})

    def _artifacts(self, old: int, known: set[tuple[Any, ...]]) -> None:
        for row in self._theirs("SELECT * FROM artifacts WHERE run_id = ? ORDER BY id", old):
            if artifact_key(row) in known:
                continue
            kept = self._files.get(row.pop("id"))
            if kept is None:
                self.merged.missing += 1
                continue
            row.update(run_id=self._numbers[old], path=kept.path, compressed=int(kept.compressed))
            self._insert("artifacts", [row])
            self.merged.artifacts += 1

    def _functions(self) -> dict[int, int]:
        """Number of a function there -> here."""
        theirs = {row["id"]: row["name"] for row in self._theirs("SELECT id, name FROM functions")}
        self._insert("functions", [{"name": name} for name in theirs.values()], "OR IGNORE")
        here = (
            {row["name"]: row["id"] for row in self._ask("SELECT id, name FROM functions")} if theirs else {}
        )
        return {old: here[name] for old, name in theirs.items()}

    def _profiles(self, old: int, functions: Mapping[int, int]) -> Rows:
        rows = self._of("profiles", old)
        for row in rows:
            row["encoding"], row["data"] = renumbered(
                row["encoding"], row["data"], row["functions"], len(COLUMNS), functions
            )
        return rows

    def _remarks(self) -> None:
        """Remarks on kernels and metrics, which belong to no run."""
        query = "SELECT * FROM annotations WHERE run_id IS NULL ORDER BY id"
        here = [{**dict(row), "id": 0} for row in self._ask(query)]
        rows = [row for row in self._theirs(query) if {**row, "id": 0} not in here]
        for row in rows:
            del row["id"]
        self._insert("annotations", rows)
        self.merged.said["annotations"] += len(rows)


def artifact_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """By what an artifact of a run is known again, wherever it lies and whether or not it is compressed."""
    return (row["node"], row["kind"], row["sha256"], row["detail"])


def _bag(rows: Rows) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.items()) for row in rows)
