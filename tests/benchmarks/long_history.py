"""A long history for benchmarks: made-up numbers from a seeded generator, and nothing but a fixture."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sistasks.history.connection import prepare
from sistasks.history.records import utc_text
from sistasks.suites.metrics import METRICS

RUNS: Final = 10_000
NODES: Final = 10
_FIRST: Final = dt.datetime(2010, 1, 1, tzinfo=dt.UTC)
# what a history gathers in years: kernels come and go, and the environment changes with every upgrade
_RUNS_OF_A_KERNEL: Final = 20
_ENVIRONMENTS: Final = 20
# as many as make a million of summaries
_METRICS: Final = tuple(METRICS.values())[:10]
_TESTS: Final = ("ai_inference", "context_switch", "memory_allocation", "throughput")


def fill(db: Path, runs: int = RUNS, nodes: int = NODES) -> int:
    """Make a history of runs by nodes by ten metrics, in one transaction; three of four runs are in one environment.

    Returns:
        How many summaries it has.
    """
    prepare(db)
    dice = random.Random(20_260_131)  # noqa: S311 -- made-up numbers
    with closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        _insert(connection, "metrics", [(m.name, m.unit, m.better, m.target, m.target_statistic, m.industry,
                                         m.minimum_effect, m.description) for m in _METRICS])  # fmt: skip
        _insert(connection, "kernels", [(f"{number:064x}", "linux", f"6.1.{number}", "x86_64", None, None, None, None,
                                         "quiet", 8_000_000, "vmlinuz")
                                        for number in range(runs // _RUNS_OF_A_KERNEL + 1)])  # fmt: skip
        _insert(connection, "environments", [(f"{number:064x}", "x86_64", "tcg", "wall", "direct", f"9.{number}", "q35",
                                              "qemu64", 2, 2**28, None, "9f", "cpu", 2, "")
                                             for number in range(_ENVIRONMENTS)])  # fmt: skip
        _insert(connection, "sessions", [("s", _moment(0), _moment(runs), "doit test", "bench", "")])
        for first in range(1, runs + 1, 100):
            _hundred(connection, dice, range(first, min(first + 100, runs + 1)), nodes)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(connection.execute("SELECT count(*) FROM summaries").fetchone()[0])


def _hundred(connection: sqlite3.Connection, dice: random.Random, numbers: range, nodes: int) -> None:
    runs: list[tuple[Any, ...]] = []
    summaries: list[tuple[Any, ...]] = []
    results: list[tuple[Any, ...]] = []
    verdicts: list[tuple[Any, ...]] = []
    for run in numbers:
        environment = 0 if dice.random() < 0.75 else dice.randrange(1, _ENVIRONMENTS)
        kernel = run // _RUNS_OF_A_KERNEL
        runs.append((run, "s", "performance", f"{kernel:064x}", f"{environment:064x}", f"{run:064x}", _moment(run),
                     _moment(run), "ok", nodes, 1000, 1, ""))  # fmt: skip
        for metric in (one.name for one in _METRICS):
            session = dice.lognormvariate(0, 0.02)
            for node in range(1, nodes + 1):
                middle = 5000 * session * dice.lognormvariate(0, 0.03)
                summaries.append((run, node, metric, 1000, middle * 1.02, middle * 0.1, middle * 0.9, middle,
                                  middle * 1.2, middle * 1.5, middle * 9, middle, middle * 1.03, 0.99, middle * 0.99,
                                  middle * 1.01, middle * 1.1, middle * 1.3, middle * 1.4, middle * 2))  # fmt: skip
            outcome = dice.choices(("same", "unsure", "worse", "better"), (90, 6, 2, 2))[0]
            verdicts.append((run, metric, outcome, session - 1, 0.5, 0.5, 30, nodes, 0.04, "screen", "30 runs", 1,
                             None, _moment(run), "p50"))  # fmt: skip
        results.extend(
            (run, node, test, "pass" if dice.random() < 0.999 else "fail", None, 1.5, "")
            for node in range(1, nodes + 1)
            for test in _TESTS
        )
    _insert(connection, "runs", runs)
    _insert(connection, "summaries", summaries)
    _insert(connection, "results", results, "(run_id, node, test, status, target_met, duration, message)")
    _insert(connection, "verdicts", verdicts, "(run_id, metric, outcome, effect, p, q, n, k, mde, method, baseline, "
            "seed, confirmed, created_at, statistic)")  # fmt: skip


def _insert(
    connection: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]], columns: str = ""
) -> None:
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO {table} {columns} VALUES ({marks})", rows)  # noqa: S608 -- our names


def _moment(hour: int) -> str:
    return utc_text(_FIRST + dt.timedelta(hours=hour))


if __name__ == "__main__":
    print(fill(Path(sys.argv[1])))
