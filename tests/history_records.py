"""Records for the tests of the history: one whole run, and how to make it differ."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sistasks.history import connection as connections
from sistasks.history import schema
from sistasks.history.profiles import COLUMNS, Functions, ProfileRecord
from sistasks.history.records import (
    EnvironmentRow,
    KernelRow,
    MetricRow,
    ResultRow,
    RunRecord,
    SampleSet,
    SessionRow,
    SummaryRow,
    identity,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

START: Final = dt.datetime(2026, 1, 31, 23, 59, 59, 125, tzinfo=dt.UTC)
METRICS: Final = (
    MetricRow(
        name="context_switch.latency", unit="ns", better="lower", target=500.0, target_statistic="p95",
        industry="Linux 1-2 us", minimum_effect=0.05, description="write to read",
    ),
    MetricRow(name="throughput.rate", unit="ops/s", better="higher"),
)  # fmt: skip
VALUES: Final = {
    "context_switch.latency": (1480, 1490, 1475, 9000, 0, 2**63 - 1),
    "throughput.rate": (723_839, 700_478),
}


def environment(**changes: Any) -> EnvironmentRow:
    fields: dict[str, Any] = {
        "arch": "x86_64", "accel": "tcg", "clock": "virtual", "boot": "direct", "qemu_version": "7.2.22",
        "machine": "q35", "cpu_model": "qemu64", "cpus": 1, "memory_bytes": 2**28, "firmware_sha256": None,
        "guest_sha256": "9f", "host_cpu": None, "host_cores": None, "detail": '{"cloned": true}',
        **changes,
    }  # fmt: skip
    return EnvironmentRow(id=identity(fields), **fields)


def summary(node: int, metric: str, p50: float = 1480.25, **changes: Any) -> SummaryRow:
    row = SummaryRow(
        node=node, metric=metric, count=6, mean=1500.5, std=12.75, min=1400.0, p50=p50, p95=1600.0, p99=1700.0,
        max=9000.0,
    )  # fmt: skip
    return dataclasses.replace(row, **changes)


def session(name: str = "20260131T235959-1") -> SessionRow:
    return SessionRow(id=name, started_at=START, command="doit test nodes=2", host="bench", detail="")


def run(nodes: int = 2, **changes: Any) -> RunRecord:
    numbers = range(1, nodes + 1)
    record = RunRecord(
        suite="performance",
        kernel=KernelRow(
            id="ab" * 32, name="debian", release="6.1.0", arch="x86_64", git_dirty=False, size=8_000_000,
            path="/boot/vmlinuz", command_line="console=ttyS0",
        ),
        environment=environment(),
        inputs_sha256="cd" * 32,
        started_at=START,
        finished_at=START + dt.timedelta(seconds=55.333),
        status="ok",
        nodes=nodes,
        iterations=1000,
        seed=1,
        results=tuple(
            ResultRow(node=node, test=test, status="pass", target_met=met, duration=1.5)
            for node in numbers
            for test, met in (("context_switch", False), ("throughput", None))
        ),
        summaries=tuple(summary(node, metric) for node in numbers for metric in VALUES),
        samples=tuple(
            SampleSet(node=node, metric=metric, values=values) for node in numbers for metric, values in VALUES.items()
        ),
    )  # fmt: skip
    return dataclasses.replace(record, **changes)


def profile(
    instructions: Mapping[str, int],
    node: int = 1,
    *,
    test: str = "t",
    phase: str = "p",
    metrics: tuple[str, ...] = ("t.m",),
) -> ProfileRecord:
    """What functions executed in one phase, each called once."""
    counts = {name: np.zeros(len(instructions), dtype=np.int64) for name in COLUMNS}
    counts["instructions"] += np.array(list(instructions.values()), dtype=np.int64)
    counts["calls"] += 1
    functions = Functions(tuple(instructions), **counts)
    return ProfileRecord(node=node, test=test, phase=phase, metrics=metrics, functions=functions)


def make_older(db: Path, migrations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a history as an older version left it: with the first migrations alone, and of the rows what it knew."""
    newer = db.with_name("newer.db")
    db.rename(newer)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", dict(itertools.islice(schema.MIGRATIONS.items(), migrations)))
        connections.prepare(db)
    with contextlib.closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("ATTACH ? AS newer", (str(newer),))
        tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if not table.startswith(("sqlite_", "_sqlite")):
                columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
                known = f"SELECT {columns} FROM newer.{table}"  # noqa: S608 - our own tables
                connection.execute(f"INSERT INTO main.{table} ({columns}) {known}")
    newer.unlink()
