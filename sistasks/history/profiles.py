"""Profiles: what each function executed in a test of a node, in the history.

The names of functions are a table of their own, for they are the same in all runs. A profile is their numbers and four
columns of counts, little-endian 64-bit integers one column after the other, transposed and compressed as samples are
(history/samples.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError
from sistasks.history.connection import reading, writing
from sistasks.history.kin import accepted, kin
from sistasks.history.read import BASELINE_CONDITION
from sistasks.history.samples import decode, encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

# as verdicts name the one run that they are against
_AGAINST: Final = re.compile(r"run (\d{1,18}) \(")
# of two runs of other iterations, samples are not the same work
_BASELINE: Final = f"""
    SELECT runs.id FROM runs JOIN kernels ON kernels.id = kernel_id
    WHERE suite = :suite AND environment_id = :environment_id AND iterations = :iterations AND runs.id < :id
        AND EXISTS (SELECT 1 FROM profiles WHERE profiles.run_id = runs.id)
        AND (runs.id IS :preferred OR (
            status = 'ok' AND kernel_id <> :kernel_id AND {BASELINE_CONDITION}
            AND runs.id >= :since AND kernels.name NOT IN (SELECT value FROM json_each(:beside))
        ))
    ORDER BY runs.id IS :preferred DESC, kernels.name = :name DESC, runs.id DESC LIMIT 1"""  # noqa: S608 - our own condition

COLUMNS: Final = ("instructions", "calls", "blocks", "accesses")


@dataclass(frozen=True, slots=True, eq=False)
class Functions:
    """Counts of functions; all columns have one value for each name, int64.

    Attributes:
        names: of functions; those outside the kernel begin with `user:`, those of modules end with ` [module]`.
        instructions: that were executed in it, those of functions that it calls apart.
        calls: how often it was entered at its beginning.
        blocks: sequences of instructions without a branch that were executed.
        accesses: loads from memory and stores to it.
    """

    names: tuple[str, ...]
    instructions: Counts
    calls: Counts
    blocks: Counts
    accesses: Counts

    def total(self, column: str) -> int:
        """The sum of a column."""
        return int(getattr(self, column).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProfileRecord:
    """One phase of one test on one node.

    Attributes:
        node: the node's number.
        test: of its plan.
        phase: what of the test, in a word.
        metrics: that are measured in it.
        functions: what was executed.
    """

    node: int
    test: str
    phase: str
    metrics: tuple[str, ...]
    functions: Functions


def insert(connection: sqlite3.Connection, run_id: int, profiles: tuple[ProfileRecord, ...]) -> None:
    """Write the profiles of a run, within its transaction."""
    import numpy as np

    names = sorted({name for profile in profiles for name in profile.functions.names})
    connection.executemany(
        "INSERT INTO functions (name) VALUES (?) ON CONFLICT (name) DO NOTHING", [(name,) for name in names]
    )
    known = dict(connection.execute("SELECT name, id FROM functions"))
    for profile in profiles:
        found = profile.functions
        columns = [np.array([known[name] for name in found.names], dtype=np.int64)]
        columns += [getattr(found, column) for column in COLUMNS]
        encoding, data = encode(np.concatenate(columns).astype(np.int64))
        connection.execute(
            "INSERT INTO profiles (run_id, node, test, phase, metrics, instructions, calls, blocks, accesses,"
            " functions, encoding, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run_id, profile.node, profile.test, profile.phase, " ".join(profile.metrics),
                *(found.total(column) for column in COLUMNS), len(found.names), encoding, data,
            ),
        )  # fmt: skip


def add(db: Path, run_id: int, profiles: tuple[ProfileRecord, ...]) -> None:
    """Write profiles of a run that the history has already.

    Raises:
        HistoryError: the history cannot be written, or has other profiles of the same nodes.
    """
    with writing(db) as connection:
        insert(connection, run_id, profiles)


def decode_functions(known: Mapping[int, str], encoding: str, data: bytes, count: int) -> Functions:
    """Functions of a row of `profiles`.

    Args:
        known: names of functions by their number in the history.
        encoding: the row's.
        data: the row's.
        count: how many functions it has.

    Raises:
        HistoryError: the bytes are damaged, or a function is missing.
    """
    import numpy as np

    whole = decode(encoding, data, count * (1 + len(COLUMNS)))
    ids, *columns = np.asarray(whole, dtype=np.int64).reshape(1 + len(COLUMNS), -1)
    try:
        names = tuple(known[number] for number in ids.tolist())
    except KeyError as missing:
        raise HistoryError(
            f"a profile names function {missing}, which the history has not", "restore a copy of the history"
        ) from missing
    return Functions(names, **dict(zip(COLUMNS, columns, strict=True)))


def profile_rows(connection: sqlite3.Connection, run_id: int) -> list[ProfileRecord]:
    """The profiles of a run, by node, test and phase; none in a history from before there were any.

    Raises:
        HistoryError: one of them is damaged.
    """
    if not _known(connection):
        return []
    rows = connection.execute(
        "SELECT node, test, phase, metrics, functions, encoding, data FROM profiles WHERE run_id = ?"
        " ORDER BY node, test, phase",
        (run_id,),
    ).fetchall()
    known = dict(connection.execute("SELECT id, name FROM functions")) if rows else {}
    return [
        ProfileRecord(
            node=node, test=test, phase=phase, metrics=tuple(metrics.split()),
            functions=decode_functions(known, encoding, data, count),
        )
        for node, test, phase, metrics, count, encoding, data in rows
    ]  # fmt: skip


def profiled_baseline(connection: sqlite3.Connection, run_id: int, against: str = "") -> int | None:
    """The run whose profile tells what a run does otherwise than its baseline.

    Args:
        connection: to the history.
        run_id: the run that was judged.
        against: what the verdict says that it is against; where that is one run with a profile, it is taken.

    Returns:
        Else the newest run of the baseline that has one, as the gate makes it; None where none has.
    """
    if not _known(connection):
        return None
    names = ("id", "suite", "environment_id", "iterations", "kernel_id")
    run = connection.execute(f"SELECT {', '.join(names)} FROM runs WHERE id = ?", (run_id,)).fetchone()  # noqa: S608 - our own names
    asked = dict(zip(names, run, strict=True)) if run is not None else {}
    named = _AGAINST.match(against)
    asked["preferred"] = int(named[1]) if named else None
    if run is None:
        return None
    own = kin(connection, run_id)
    since = accepted(connection, asked["suite"], asked["environment_id"], run_id, own.beside)
    asked |= {"name": own.name, "beside": json.dumps(own.beside), "since": max(since, default=0)}
    row = connection.execute(_BASELINE, asked).fetchone()
    return None if row is None else int(row[0])


def _known(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'profiles'").fetchall())


def profiles_of(db: Path, run_id: int) -> list[ProfileRecord]:
    """The profiles of a run, by node, test and phase; none if it was not profiled.

    Raises:
        HistoryError: the history cannot be read, or a profile is damaged.
    """
    with reading(db) as connection:
        return [] if connection is None else profile_rows(connection, run_id)
