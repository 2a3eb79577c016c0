"""Histories for the tests of merging: a run with all that belongs to it, and what a history holds."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import history_records as records
import numpy as np
from judged import RATE, SWITCH, write

from sistasks.history.merge import merge
from sistasks.history.other import opened
from sistasks.history.profiles import COLUMNS, Functions, ProfileRecord
from sistasks.history.records import CrashRow, FindingRow, ResourceRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.history.merge import Merged

SAME: Final = {SWITCH: [1000.0, 1020.0], RATE: [500.0, 510.0]}


def at(minute: float) -> dt.datetime:
    return records.START + dt.timedelta(minutes=minute)


def profile(*names: str) -> ProfileRecord:
    counts = np.arange(1, len(names) + 1, dtype=np.int64)
    functions = Functions(names, **{column: counts + place for place, column in enumerate(COLUMNS)})
    return ProfileRecord(
        node=1, test="context_switch", phase="measure", metrics=(SWITCH,), functions=functions
    )


def measured(
    db: Path,
    minute: float,
    kernel: str = "old",
    functions: Sequence[str] = ("schedule", "memcpy"),
    **changes: Any,
) -> int:
    """A run with all that the history keeps of one but artifacts; it ended at that minute."""
    rich: dict[str, Any] = {
        "crashes": (CrashRow(node=1, kind="warning", title=f"WARNING in {kernel}", report="a\nb"),),
        "resources": (ResourceRow(node=0, at=at(minute), cpu_percent=50.0, busiest="cc1"),),
        "findings": (
            FindingRow(
                node=0, rule="runtime.smep", category="runtime", severity="critical", outcome="pass", title="t"
            ),
        ),
        "profiles": (profile(*functions),),
        "started_at": at(minute - 1),
        "finished_at": at(minute),
    }  # fmt: skip
    return write(db, changes.pop("values", SAME), kernel, **{**rich, **changes})


def merged(db: Path, other: Path) -> Merged:
    """Merge the histories alone, without files."""
    scratch = db.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    with opened(other, db, scratch) as source:
        return merge(db, source, {})


def rows(db: Path, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query, parameters).fetchall()


def tables(db: Path) -> list[str]:
    found = rows(db, "select name from sqlite_master where type = 'table' order by 1")
    return [name for (name,) in found if not name.startswith(("sqlite_", "_sqlite"))]


def content(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a history holds, but for numbers of rows that nobody is called by."""
    found = {}
    for table in tables(db):
        columns = [row[1] for row in rows(db, f"pragma table_info({table})")]
        kept = [
            name
            for name in columns
            if name != "id" or table in {"runs", "kernels", "environments", "sessions"}
        ]
        if table in {"profiles", "functions"}:
            continue  # by what they say: numbers of functions differ
        found[table] = sorted(rows(db, f"select {', '.join(kept)} from {table}"), key=repr)  # noqa: S608 - our own names
    return found


def untimed(words: str) -> str:
    """What was said, without when."""
    return re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", words)
