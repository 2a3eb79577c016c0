"""A store with files in it, and a history whose run names them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import history_records as records

from sistasks.evidence.records import Evidence
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.evidence.artifacts import Store
    from sistasks.history.records import ArtifactRow

LOG = b"[    0.000000] Linux version 6.1.0\n" * 500
DAY = 86400.0


def put(
    store: Store, content: bytes = LOG, *, kind: str = "logs", name: str = "console.log", node: int = 1
) -> ArtifactRow:
    """Put bytes that are nowhere else."""
    store.root.parent.mkdir(parents=True, exist_ok=True)
    path = store.root.parent / "evidence"
    path.write_bytes(content)
    return store.put(Evidence(node=node, kind=kind, path=path, name=name))


def evidence(folder: Path, content: bytes, *, kind: str = "logs", name: str = "console.log") -> Evidence:
    """A file that is elsewhere than the store."""
    (folder / "evidence").write_bytes(content)
    return Evidence(node=1, kind=kind, path=folder / "evidence", name=name)


def read(store: Store, row: ArtifactRow) -> bytes:
    with store.open(row) as file:
        return file.read()


def write(db: Path, *artifacts: ArtifactRow, days: float = 0, status: str = "ok") -> int:
    """A run with artifacts that were collected so many days ago."""
    ago = dt.timedelta(days=days)
    rows = tuple(dataclasses.replace(row, created_at=row.created_at - ago) for row in artifacts)
    return write_run(db, records.session(), records.run(artifacts=rows, status=status), records.METRICS)


def age(store: Store, days: float) -> None:
    """As if everything had been put so long ago."""
    then = time.time() - days * DAY
    for path in store.root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (then, then))


def files(store: Store) -> list[str]:
    """The files of the store without what it notes for itself."""
    found = [path.relative_to(store.root) for path in store.root.rglob("*") if not path.is_dir()]
    return sorted(str(path) for path in found if path.parts[0] != "metadata" and path.name != ".lock")


def rows(db: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(db)) as connection, connection:
        return list(connection.execute(query))
