"""A run as a table: for each metric the median over the nodes of what each node measured."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from sistasks.suites.metrics import METRICS
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from sistasks.history.records import SummaryRow
    from sistasks.suites.metrics import Metric


# below so many columns what others reach stands under the table, and below so many more the targets do
_WIDE = 128
_MIDDLE = 104
_FIGURES = ("mean", "p50", "p95", "p99", "std")
# on a narrow terminal, in this order
_LEFT_OUT = ("std", "mean", "p95")


def results_table(
    title: str, summaries: Sequence[SummaryRow], width: int, metrics: Mapping[str, Metric] = METRICS
) -> Table:
    """A rich table: metric, mean, p50, p95, p99, std, target, industry, for a terminal of `width` columns.

    Each figure is the median over nodes; the samples of different nodes are never pooled.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    wide, middling = width >= _WIDE, width >= _MIDDLE
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("metric", no_wrap=True)
    shown = _shown(summaries, width, metrics)
    for heading in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    if middling:
        table.add_column("target", no_wrap=True)
    if wide:
        table.add_column("industry", overflow="fold")
    below = []
    for name, metric in metrics.items():
        rows = [row for row in summaries if row.metric == name]
        if not rows:
            continue
        middle = {field: statistics.median(float(getattr(row, field)) for row in rows) for field in _FIGURES}
        figures = [show(middle[field], metric.unit) for field in shown]
        if all(row.count == 1 for row in rows):  # one value has no distribution
            figures[1:] = ["-"] * (len(figures) - 1)
        target = _target(metric, middle)
        # kernels name their metrics, and users say what others reach: neither is markup
        cells = [name, *figures, *([target] if middling else []), *([metric.industry] if wide else [])]
        table.add_row(*map(escape, cells))
        words = [f"target {target}"] if target != "-" and not middling else []
        words += [f"industry {metric.industry}"] if metric.industry and not wide else []
        if words:
            below.append(f"{name}: {'; '.join(words)}")
    if below:
        table.caption = escape("\n".join(below))
        table.caption_justify = "left"
    return table


def _shown(summaries: Sequence[SummaryRow], width: int, metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """The figures that a terminal has room for: none is cut, what says least is left out."""
    room = width - max((len(row.metric) for row in summaries), default=0) - 1
    chosen = list(_FIGURES)
    for field in _LEFT_OUT:
        cells = [
            [
                show(float(getattr(row, one)), metrics[row.metric].unit)
                for row in summaries
                if row.metric in metrics
            ]
            for one in chosen
        ]
        if sum(max((len(cell) for cell in column), default=0) + 1 for column in cells) <= room:
            break
        chosen.remove(field)
    return tuple(chosen)


def _target(metric: Metric, middle: dict[str, float]) -> str:
    if metric.target is None or metric.target_statistic is None:
        return "-"
    sign = "<" if metric.better == "lower" else ">"
    met = "met" if metric.meets_target(middle[metric.target_statistic]) else "missed"
    return f"{metric.target_statistic} {sign} {show(metric.target, metric.unit)} {met}"
