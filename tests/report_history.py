"""A history that has everything a report shows: runs over time, a change, verdicts, a crash, what was watched."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import math
import random
from typing import TYPE_CHECKING, Any, Final

import history_records as records

from sistasks.history.connection import writing
from sistasks.history.profiles import add
from sistasks.history.records import FindingRow, ResultRow, SampleSet, SummaryRow
from sistasks.history.store import write_run
from sistasks.statistics.intervals import intervals
from sistasks.statistics.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sistasks.history.records import RunRecord

SWITCH, RATE = "context_switch.latency", "throughput.rate"


@functools.cache
def ends(values: tuple[int, ...]) -> dict[str, Any]:
    """How well the statistics are known, by column; what so few values do not tell is left out."""
    found: dict[str, float] = {"confidence": 0.99}
    for name, interval in intervals([[value] for value in values]).items():
        column = "ci" if name == "mean" else name
        found |= {f"{column}_low": float(interval.low[0]), f"{column}_high": float(interval.high[0])}
    return {name: value for name, value in found.items() if math.isfinite(value)}


@functools.cache
def measured(nodes: int, scale: float, seed: int) -> RunRecord:
    """A run of the performance suite with a long-tailed latency and a rate on each node.

    Beyond four nodes what they measure repeats, for intervals take long to compute.
    """
    results, summaries, samples = [], [], []
    for node in range(1, nodes + 1):
        chance = random.Random(f"{seed} {node % 4}")  # noqa: S311 - repeatable on purpose
        values = {
            SWITCH: [
                int(scale * chance.gauss(5600, 40)) + (9000 if chance.random() < 0.01 else 0)
                for _ in range(400)
            ],
            RATE: [int(chance.gauss(700_000, 30_000) / scale) for _ in range(100)],
        }
        for metric, numbers in values.items():
            samples.append(SampleSet(node=node, metric=metric, values=numbers))
            summaries.append(
                SummaryRow(
                    node=node, metric=metric, **dataclasses.asdict(summarise(numbers)), **ends(tuple(numbers))
                )
            )
        results.append(
            ResultRow(node=node, test="context_switch", status="pass", target_met=False, duration=0.02)
        )
        results.append(ResultRow(node=node, test="throughput", status="pass", duration=0.03))
    return records.run(
        nodes=nodes, results=tuple(results), summaries=tuple(summaries), samples=tuple(samples), seed=seed
    )


def write_runs(db: Path, count: int = 12, *, nodes: int = 4, slower_from: int = 8) -> list[int]:
    """Runs an hour apart, each in a session of its own; from one of them on 12 % slower. Their ids."""
    ids = []
    for index in range(count):
        run = measured(nodes, 1.12 if index >= slower_from else 1.0, seed=index)
        shift = dt.timedelta(hours=index)
        run = dataclasses.replace(run, started_at=run.started_at + shift, finished_at=run.finished_at + shift)
        ids.append(write_run(db, records.session(f"session-{index}"), run, records.METRICS))
    return ids


def insert(db: Path, table: str, row: Mapping[str, Any]) -> None:
    """One row as it is, into a table of ours."""
    with writing(db) as connection:
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608 - our own names


def verdict(run_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "run_id": run_id, "metric": SWITCH, "statistic": "p50", "outcome": "worse", "effect": 0.121, "low": 0.11,
        "high": 0.13, "baseline_value": 5600.0, "value": 6277.0, "mde": 0.01, "method": "node by node, exact",
        "baseline": f"run {run_id - 1} (debian)", "reason": "", "n": 4, "k": 4, "created_at": "2026-02-01T00:00:00Z",
        **changes,
    }  # fmt: skip


def write_everything(db: Path) -> list[int]:
    """The whole history; the ids of its runs."""
    ids = write_runs(db)
    for run_id, outcome in zip(ids[2:8], ("same", "better", "same", "unsure", "same", "same"), strict=True):
        insert(db, "verdicts", verdict(run_id, outcome=outcome, effect=0.001))
    insert(db, "verdicts", verdict(ids[8]))
    insert(db, "verdicts", verdict(ids[-1]))
    insert(db, "verdicts", verdict(ids[-1], statistic="p99", confirmed=0, p=0.004, q=0.2))
    insert(
        db,
        "verdicts",
        verdict(
            ids[-1],
            metric=RATE,
            outcome="unsure",
            effect=None,
            low=None,
            high=None,
            mde=0.08,
            reason="too few boots",
        ),
    )
    for run_id, more in ((ids[-2], 0), (ids[-1], 123_456)):
        counted = {
            f"a_function_with_quite_a_long_name_{index}": 9_000_000 + more * index for index in range(-3, 14)
        }
        add(db, run_id, (records.profile(counted, test="context_switch", metrics=(SWITCH,)),))
    insert(db, "change_points", {
        "metric": SWITCH, "statistic": "p50", "environment_id": records.environment().id, "run_id": ids[8],
        "before_run_id": ids[7],
        "effect": 0.12, "p": 0.001, "n": 12, "method": "rank-CUSUM", "created_at": "2026-02-01T00:00:00Z",
    })  # fmt: skip
    insert(db, "crashes", {
        "run_id": ids[-1], "node": 2, "kind": "panic", "title": "Kernel panic - not syncing: Attempted to kill init!",
        "report": "[    0.51] Kernel panic - not syncing\n[    0.52] CPU: 0 PID: 1 Comm: init\n",
        "console_offset": 4711,
    })  # fmt: skip
    for node in range(3):
        for second in range(3):
            insert(db, "resources", {
                "run_id": ids[-1], "node": node, "at": f"2026-02-01T00:00:0{second}Z",
                "cpu_percent": 50.0 + 10 * second,
                "rss": (100 + 10 * second) << 20, "threads": 4, "read_bytes": 1 << 20, "write_bytes": 2 << 20,
            })  # fmt: skip
    return ids


def finding(rule: str, outcome: str, **changes: Any) -> FindingRow:
    fields: dict[str, Any] = {
        "node": 0, "category": rule.partition(".")[0], "severity": "medium", "title": f"what {rule} asks for",
        "evidence": "what was seen of it", "reason": "why it asks", "source": "KSPP", **changes,
    }  # fmt: skip
    return FindingRow(rule=rule, outcome=outcome, **fields)


FINDINGS: Final = (
    finding("runtime.smep", "fail", node=1, severity="critical"),
    finding("runtime.smep", "pass", node=2, severity="critical"),
    finding("config.slab", "fail", severity="high"),
    finding("config.kexec", "pass"),
    finding("config.bpf", "skip", severity="low"),
    finding("image.w_xor_x", "error", severity="info"),
    finding("own.rule", "pass"),
)


def write_security(db: Path, *, judged: bool = True) -> int:
    """A run of the security suite, with verdicts; its number."""
    results = tuple(ResultRow(node=node, test="hardening", status="pass", duration=1.0) for node in (1, 2))
    run = records.run(suite="security", findings=FINDINGS, results=results, summaries=(), samples=())
    number = write_run(db, records.session("security"), run, ())
    verdicts = (
        ("runtime.smep", "critical", "worse", "pass", "fail", "on 1 of 2 nodes: seen"),
        ("config.slab", "high", "same", "fail", "fail", ""),
        ("config.kexec", "medium", "better", "fail", "pass", ""),
        ("image.w_xor_x", "info", "unsure", "pass", "error", "run 12 passed it, this run could not tell"),
    )
    for rule, severity, outcome, was, now, reason in verdicts if judged else ():
        insert(db, "finding_verdicts", {
            "run_id": number, "rule": rule, "severity": severity, "outcome": outcome, "was": was, "now": now,
            "reason": reason, "baseline": "run 12 (debian)", "created_at": "2026-02-01T00:00:00Z",
        })  # fmt: skip
    return number
