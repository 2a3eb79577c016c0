"""Runs of clusters of different sizes, side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sistasks.history.connection import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSize:
    """The latest good run of a cluster of one size.

    Attributes:
        run: its number.
        nodes: how many.
        latency_ns: median over the nodes of their median latency of a decision.
        messages: of loyal nodes, for each decision.
        cpu_ns: processor time of all nodes and the switch, for each decision.
    """

    run: int
    nodes: int
    latency_ns: float
    messages: float
    cpu_ns: float


def cluster_sizes(db: Path, kernel_id: str, cluster: Mapping[str, Any]) -> list[ClusterSize]:
    """The latest good run of each size, small clusters first.

    Args:
        db: the history.
        kernel_id: of this kernel.
        cluster: and of clusters that were asked this, as in the environment's detail.

    Raises:
        HistoryError: the history cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            return []
        found = connection.execute(
            """SELECT max(runs.id) AS run, runs.nodes, environments.host_cores, environments.detail
               FROM runs JOIN environments ON environments.id = environment_id
               WHERE suite = 'distributed' AND status = 'ok' AND kernel_id = ? GROUP BY runs.nodes, environment_id
               ORDER BY run""",
            (kernel_id,),
        ).fetchall()
        # of several environments with so many nodes the latest
        latest = {
            nodes: (run, cores)
            for run, nodes, cores, detail in found
            if json.loads(detail).get("cluster") == dict(cluster)
        }
        return [_size(connection, run, nodes, cores) for nodes, (run, cores) in sorted(latest.items())]


def _size(connection: Any, run: int, nodes: int, cores: int) -> ClusterSize:
    import statistics

    rows = connection.execute(
        "SELECT node, metric, p50, mean FROM summaries WHERE run_id = ? AND metric LIKE 'consensus.%'", (run,)
    ).fetchall()
    whole = {metric: mean for node, metric, _, mean in rows if node == 0}
    latencies = [p50 for node, metric, p50, _ in rows if node and metric == "consensus.latency"]
    return ClusterSize(
        run=run, nodes=nodes, latency_ns=statistics.median(latencies),
        messages=whole["consensus.messages"] / 1000, cpu_ns=whole["consensus.bound"] * cores,
    )  # fmt: skip
