"""What a column means wherever it stands, and what is told of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# columns that mean the same wherever they stand
COMMON: Final = {
    "id": "number of the row, in the order of writing",
    "run_id": "the run",
    "session_id": "the session that the run belongs to",
    "kernel_id": "SHA-256 that identifies the kernel under test",
    "environment_id": "SHA-256 of all that must be equal for two runs to be comparable",
    "suite": "what was run: boot, performance, …",
    "started_at": "when it began (ISO 8601, UTC)",
    "finished_at": "when it ended (ISO 8601, UTC)",
    "created_at": "when it was written (ISO 8601, UTC)",
    "node": "number of the node, from 1; 0 is the cluster as a whole",
    "test": "name of the test",
    "metric": "name of the metric: test.quantity",
    "unit": "unit of every value of the metric",
    "better": "which direction is better: lower or higher",
    "target": "the value that target_statistic must not be worse than; empty: no target",
    "target_statistic": "which statistic the target is for",
    "kernel": "name of the kernel",
    "release": "release of the kernel, as it calls itself",
    "arch": "architecture of the nodes",
    "accel": "QEMU's accelerator: tcg (emulation), kvm or hvf",
    "clock": "virtual: one instruction is one nanosecond, repeatable to the bit; wall: time as it passes",
    "count": "how many samples",
    "mean": "mean of the node's samples",
    "std": "standard deviation of the node's samples",
    "min": "smallest sample of the node",
    "p50": "median of the node's samples",
    "p95": "95th percentile of the node's samples",
    "p99": "99th percentile of the node's samples",
    "max": "largest sample of the node",
    "message": "why it did not go well, in one line",
    "target_met": "whether the metric's target was met: 1, 0, or empty where there is none",
    "duration": "seconds",
    "statistic": "which statistic of the metric was judged: p50, p95 or p99 of each node's samples",
    "outcome": "better, same, worse or unsure",
    "effect": "relative change: 0.031 is +3.1 %",
    "low": "lower end of the effect's interval",
    "high": "upper end of the effect's interval",
    "p": "probability of such a shift by chance",
    "q": "p after accounting for how many metrics there are; on fresh boots, for how many were flagged",
    "n": "boots in the baseline",
    "k": "boots in the run",
    "mde": "the smallest relative effect that could have been seen",
    "baseline_value": "median over the baseline's boots, in the metric's unit",
    "value": "median over the run's boots, in the metric's unit",
    "reason": "why, in words",
    "method": "what decided",
    "baseline": "what it was judged against",
    "confirmed": "whether fresh boots of both kernels agreed: 1, 0, or empty where that is not needed",
    "seed": "seed of the random numbers",
    "git_commit": "commit that the kernel was built from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table or view as Datasette shows it.

    Attributes:
        title, description: for people.
        columns: name -> what it holds, of every column.
        newest_first: the column by which the list is sorted, the newest first; empty: unsorted.
        sorted_by: the same, the smallest first.
        sortable: columns that a person may sort by: those for which that is quick or the table is small.
        label: the column that stands for a row where other tables name it.
        facets: columns by whose values the list can be narrowed at once.
    """

    title: str
    description: str
    columns: dict[str, str]
    newest_first: str = ""
    sorted_by: str = ""
    sortable: tuple[str, ...] = ()
    label: str = ""
    facets: tuple[str, ...] = ()


def columns(names: str, **own: str) -> dict[str, str]:
    """The columns of those names, in order, with what they hold where it is not what all tables mean by them."""
    return {name: own[name] if name in own else COMMON[name] for name in names.split()}
