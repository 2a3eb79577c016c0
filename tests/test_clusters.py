"""Clusters of different sizes side by side, from a real history."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from history_records import environment, run, session, summary
from rich.console import Console

from sistasks.history.clusters import cluster_sizes
from sistasks.history.records import KernelRow, MetricRow
from sistasks.history.store import write_run
from sistasks.suites.distributed.scaling import scaling_table

if TYPE_CHECKING:
    from pathlib import Path

PBFT = {"protocol": "pbft", "byzantine": 0, "traitors": "mixed", "faults": ""}
METRICS = [
    MetricRow(name=name, unit="ns", better="lower")
    for name in ("consensus.latency", "consensus.messages", "consensus.bound")
]
KERNEL = KernelRow(id="ab" * 32, name="debian", release="6.1", arch="x86_64", size=1, path="/k")


def write(db: Path, nodes: int, messages: float, *, status: str = "ok", **cluster: Any) -> int:
    """One distributed run: its nodes' latencies are 1, 2, ... ms, and the host has two cores."""
    latencies = [summary(node, "consensus.latency", p50=node * 1e6) for node in range(1, nodes + 1)]
    whole = [
        summary(0, "consensus.messages", mean=messages * 1000),
        summary(0, "consensus.bound", mean=5e6),
    ]
    detail = json.dumps({"cluster": {**PBFT, **cluster}, "nodes_at_once": nodes})
    made = run(
        nodes=nodes, suite="distributed", status=status, kernel=KERNEL, results=(), samples=(),
        summaries=(*latencies, *whole), environment=environment(clock="wall", host_cores=2, detail=detail),
    )  # fmt: skip
    return write_run(db, session(), made, METRICS)


def test_the_latest_good_run_of_each_size_counts(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    assert cluster_sizes(db, KERNEL.id, PBFT) == []
    write(db, 4, 99)
    last = write(db, 4, 27)
    write(db, 4, 1, status="failed")
    write(db, 4, 6, protocol="hotstuff")
    ten = write(db, 10, 189)
    small, large = cluster_sizes(db, KERNEL.id, PBFT)
    assert (small.run, small.nodes, small.messages) == (last, 4, 27)
    assert (large.run, large.nodes, large.messages) == (ten, 10, 189)
    assert small.latency_ns == pytest.approx(2.5e6)
    assert small.cpu_ns == pytest.approx(10e6)
    assert [size.messages for size in cluster_sizes(db, KERNEL.id, {**PBFT, "protocol": "hotstuff"})] == [6]
    assert cluster_sizes(db, "other", PBFT) == []


def test_the_table_names_the_law(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    for nodes in (4, 10, 100):
        write(db, nodes, 2 * nodes**2)
    told = Console(file=io.StringIO(), width=100)
    told.print(scaling_table("by size", cluster_sizes(db, KERNEL.id, PBFT)))
    assert isinstance(told.file, io.StringIO)
    assert "n^2.00" in told.file.getvalue()
    assert "20000.0" in told.file.getvalue()
    with pytest.raises(ValueError, match="two sizes"):
        scaling_table("by size", cluster_sizes(db, KERNEL.id, PBFT)[:1])
