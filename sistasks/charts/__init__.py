"""Charts: numbers in, SVG out. No JavaScript, no network, no file; a page that shows them carries `STYLE`."""

from __future__ import annotations

from sistasks.charts.distribution import distribution_chart
from sistasks.charts.dots import dots_chart
from sistasks.charts.functions import changed_chart, shares_chart
from sistasks.charts.history import Point, history_chart
from sistasks.charts.sparkline import sparkline
from sistasks.charts.style import STYLE

__all__ = [
    "STYLE", "Point", "changed_chart", "distribution_chart", "dots_chart", "history_chart", "shares_chart", "sparkline",
]  # fmt: skip
