"""The pages of the report, made from the templates: each is one file that needs nothing else."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.charts import (
    STYLE,
    Point,
    changed_chart,
    distribution_chart,
    dots_chart,
    history_chart,
    shares_chart,
    sparkline,
)
from sistasks.charts.svg import clean
from sistasks.history.findings import (
    CATEGORIES,
    OUTCOMES,
    SEVERITIES,
    rules_words,
    severity_words,
    verdict_words,
)
from sistasks.report.records import all_of
from sistasks.report.words import SIGNS, percentage, plural, size
from sistasks.resources import data_file
from sistasks.units import percent, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from sistasks.report.records import MetricReport, RunReport

# of one text: a crash report is that long, and no message is meant to be
_LONGEST: Final = 60_000
# of a figure with its unit
_FIGURE: Final = 24
_MARKS: Final = ("p50", "p95", "p99")


def dashboard(runs: Sequence[RunReport]) -> str:
    """The dashboard: everything about the latest session on one page."""
    return _render("report/dashboard.html", runs)


def results_page(runs: Sequence[RunReport]) -> str:
    """The compact page: suites, tests, how each node passed, messages."""
    return _render("report/test_report.html", runs)


def _render(name: str, runs: Sequence[RunReport]) -> str:
    page = _environment().get_template(name)
    return page.render(
        runs=runs,
        counts={status: all_of(runs, status) for status in ("pass", "fail", "error", "skip")},
        targets=[(run, metric) for run in runs for metric in run.metrics if metric.met is not None],
        kernels=list(dict.fromkeys(run.kernel_title for run in runs)),
    )


def _environment() -> Environment:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: data_file(f"templates/{name}").read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # text of anybody: cleaned here, escaped by autoescape after it
        finalize=lambda value: clean(value, _LONGEST) if type(value) is str else value,
    )
    environment.filters.update(
        show=lambda value, unit: clean(show(value, unit), _FIGURE),
        percent=percent, percentage=percentage, size=size, plural=plural, short=clean,
        distribution=lambda metric: Markup(_distribution(metric)),  # noqa: S704 - the charts escape
        dots=lambda metric: Markup(_dots(metric)),  # noqa: S704 - made by us, which escapes
        past=lambda metric, title: Markup(_past(metric, title)),  # noqa: S704 - made by us, which escapes
        spark=lambda metric: Markup(_spark(metric)),  # noqa: S704 - made by us, which escapes
        changed=lambda difference: Markup(changed_chart(difference)),  # noqa: S704 - the charts escape
        shares=lambda phase: Markup(shares_chart(phase)),  # noqa: S704 - the charts escape
        rules=rules_words, severities=severity_words, verdicts=verdict_words,
        course=lambda values: Markup(sparkline(values, better="lower")) if values else "",  # noqa: S704 - made by us, which escapes
    )  # fmt: skip
    environment.globals.update(
        style=Markup(STYLE),  # noqa: S704 - made by us, which escapes
        signs=SIGNS, categories=CATEGORIES, severities=SEVERITIES, finding_outcomes=OUTCOMES,
        seen_by_nodes=_seen_by_nodes,
    )  # fmt: skip
    return environment


def _distribution(metric: MetricReport) -> str:
    marks = {name: metric.middle(name) for name in _MARKS}
    nodes = plural(len(metric.summaries), "node")
    samples = metric.samples if metric.samples is not None else ()
    return distribution_chart(
        samples, unit=metric.definition.unit, title=f"Distribution, {nodes}", marks=marks
    )


def _dots(metric: MetricReport) -> str:
    groups = {"cluster" if row.node == 0 else str(row.node): (row.p50,) for row in metric.summaries}
    return dots_chart(groups, unit=metric.definition.unit, title="Median of each node")


def _past(metric: MetricReport, title: str) -> str:
    points = [
        Point(
            label=f"{run.started_at:%Y-%m-%d %H:%M}",
            value=statistics.median(run.values),
            low=min(run.values),
            high=max(run.values),
            outcome=run.outcome,
            note=f"run {run.run_id}, {run.kernel}",
        )
        for run in metric.history
    ]
    return history_chart(
        points,
        unit=metric.definition.unit,
        title=title,
        changes=metric.changes,
    )


def _spark(metric: MetricReport) -> str:
    values = [statistics.median(run.values) for run in metric.history]
    return sparkline(values, better=metric.definition.better)


def _seen_by_nodes(run: RunReport) -> list[tuple[int, dict[str, Any]]]:
    """For each node its results by test, for the grid of tests and nodes."""
    nodes: dict[int, dict[str, Any]] = {}
    for result in run.run.results:
        nodes.setdefault(result.node, {})[result.test] = result
    return sorted(nodes.items())
