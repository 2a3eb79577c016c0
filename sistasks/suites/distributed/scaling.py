"""How a decision's cost grows with the cluster, from the history's runs of different sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.consensus.measures import growth
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sistasks.history.clusters import ClusterSize


def scaling_table(title: str, sizes: Sequence[ClusterSize]) -> Table:
    """A rich table: nodes, latency, messages, processor time; below it the law that messages follow.

    Args:
        title: what was compared.
        sizes: of two sizes of cluster at least.

    Raises:
        ValueError: fewer.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for heading in ("nodes", "latency p50", "messages/decision", "CPU/decision", "CPU/message", "run"):
        table.add_column(heading, justify="right", no_wrap=True)
    for size in sizes:
        table.add_row(
            str(size.nodes), show(size.latency_ns, "ns"), f"{size.messages:.1f}", show(size.cpu_ns, "ns"),
            show(size.cpu_ns / size.messages, "ns"), str(size.run),
        )  # fmt: skip
    law = growth([(size.nodes, size.messages) for size in sizes])
    table.caption = f"messages grow as n^{law.exponent:.2f} (within {law.worst - 1:.0%} of it)"
    table.caption_justify = "left"
    return table
