"""The charts of a page, made from what the page says and the samples of its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from sistasks.browse.cells import metric_path, run_path
from sistasks.browse.profiles import function_charts
from sistasks.charts import Point, distribution_chart, dots_chart, history_chart, sparkline
from sistasks.errors import HistoryError
from sistasks.history.samples import decode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from sistasks.browse.series import Row

# beyond so many runs the dots of a kernel cannot be told apart
_DOT_RUNS: Final = 8


def spark(values: Sequence[float], better: str) -> Markup:
    """A sparkline; nothing where there are no values."""
    return Markup(sparkline(values, better=better)) if values else Markup("")  # noqa: S704 -- made by our charts


def metric_pictures(connection: sqlite3.Connection, page: Row) -> list[Markup]:
    """A metric's history, and the samples of the first node of the newest run that it shows.

    Each point is the median over the nodes of a run, with the range of its nodes.
    """
    metric, points = page["metric"], page["points"]
    places = {point["run_id"]: index for index, point in enumerate(points)}
    changes = [places[change["run_id"]] for change in page["changes"] if change["run_id"] in places]
    drawn = [
        Point(
            label=f"{point['started_at'][:10]} run {point['run_id']}, {point['release'] or point['kernel']}",
            value=point["value"],
            low=point["low"],
            high=point["high"],
            outcome=point["outcome"],
            href=run_path(point["run_id"]),
        )
        for point in points
    ]
    title = f"{metric['name']}: {page['statistic']}, {metric['better']} is better"
    charts = [history_chart(drawn, unit=metric["unit"], title=title, changes=changes)]
    if points:
        charts += _distribution(connection, points[-1]["run_id"], metric, None, of_run=True)
    return _markup(charts)


def run_pictures(connection: sqlite3.Connection, page: Row, node: int | None) -> list[dict[str, Any]]:
    """For each metric of a run: the samples of one node as a histogram, and the medians of all nodes.

    Args:
        connection: to the history.
        page: what `pages.run_page` says.
        node: whose samples; the first that has some where it is None.
    """
    pictures = []
    for metric in page["metrics"]:
        name = metric["name"]
        charts = _distribution(connection, page["run"]["id"], metric, node)
        if len(metric["nodes"]) > 1:
            groups = {f"{number}": [value] for number, value in metric["nodes"].items()}
            charts.append(dots_chart(groups, unit=metric["unit"], title=f"{name}: median of each node"))
        pictures.append({"name": name, "path": metric_path(name), "charts": _markup(charts)})
    return pictures


def function_pictures(connection: sqlite3.Connection, page: Row) -> list[Markup]:
    """For each phase of a run that was counted: which functions changed, else which ones execute most."""
    if not page["profile"]:
        return []
    return _markup(function_charts(connection, page["run"], page["profile"]["base"]))


def kernel_pictures(page: Row) -> list[Markup]:
    """For each metric of a kernel: what the nodes measured in the newest runs, in the environment of the newest one."""
    newest: dict[str, Row] = {}
    for metric in page["metrics"]:
        known = newest.setdefault(metric["name"], metric)
        if metric["run_id"] > known["run_id"]:
            newest[metric["name"]] = metric
    charts = []
    for metric in newest.values():
        groups = {str(run_id): nodes for run_id, nodes in list(metric["runs"].items())[-_DOT_RUNS:]}
        charts.append(dots_chart(groups, unit=metric["unit"], title=f"{metric['name']}: nodes"))
    return _markup(charts)


def _distribution(
    connection: sqlite3.Connection, run_id: int, metric: Row, node: int | None, *, of_run: bool = False
) -> list[str]:
    """The samples of one node as a histogram, or nothing where there are none."""
    taken, samples = _samples(connection, run_id, metric["name"], node)
    if samples is None:
        return []
    where = f"run {run_id}, node {taken}" if of_run else f"node {taken}"
    title = f"{metric['name']}: samples of {where}"
    return [distribution_chart(samples, unit=metric["unit"], title=title, marks=_percentiles(samples))]


def _markup(charts: Sequence[str]) -> list[Markup]:
    # our charts escape whatever text they are given
    return [Markup(chart) for chart in charts]  # noqa: S704 - made by our charts, which escape


def _samples(connection: sqlite3.Connection, run_id: int, metric: str, node: int | None) -> tuple[int, Any]:
    row = connection.execute(
        """SELECT node, encoding, data, count FROM samples
        WHERE run_id = ? AND metric = ? AND node = coalesce(?, node) ORDER BY node LIMIT 1""",
        (run_id, metric, node),
    ).fetchone()
    if row is None:
        return 0, None
    try:
        return row["node"], decode(row["encoding"], row["data"], row["count"])
    except HistoryError:  # damaged: the page shows what is left
        return 0, None


def _percentiles(samples: Any) -> Mapping[str, float]:
    import numpy as np

    if not samples.size:
        return {}
    found = np.percentile(samples, (50, 95, 99))
    return {f"p{rank}": float(value) for rank, value in zip((50, 95, 99), found, strict=True)}
