"""From what the guests said to what the history keeps: results, summaries and samples of one run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure
from sistasks.history.records import ResultRow, SampleSet, SummaryRow
from sistasks.statistics.intervals import STATISTICS, intervals
from sistasks.statistics.summary import Summary, summarise
from sistasks.suites.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.cluster.nodes import NodeReport
    from sistasks.suites.metrics import Metric
    from sistasks.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class Measured:
    """One run's rows, and its status: `ok`, `failed` (the kernel's) or `error` (ours or the host's)."""

    results: tuple[ResultRow, ...]
    summaries: tuple[SummaryRow, ...]
    samples: tuple[SampleSet, ...]
    status: str
    message: str


def measure(
    suite: Suite,
    reports: Sequence[NodeReport],
    *,
    enforce: bool,
    confidence: float = 0.99,
    metrics: Mapping[str, Metric] = METRICS,
) -> Measured:
    """Judge every test on every node and summarise every metric.

    A test that was asked for and did not report, or that left out one of its metrics, is an error.

    Args:
        suite: what was run.
        reports: how each node ended.
        enforce: a missed target fails its test.
        confidence: level of the intervals of the means and the percentiles.
        metrics: those that are known; what else came is left out.
    """
    results: list[ResultRow] = []
    found: dict[tuple[int, str], Summary] = {}
    samples: list[SampleSet] = []
    for report in reports:
        by_metric: dict[str, Summary] = {}
        for metric, values in report.results.samples.items():
            if metric in metrics and values and min(values) >= 0:
                by_metric[metric] = found[report.number, metric] = summarise(values)
                samples.append(SampleSet(node=report.number, metric=metric, values=tuple(values)))
        results += [
            _result(report, test, needed, by_metric, metrics, enforce=enforce)
            for test, needed in suite.tests.items()
        ]
    status, message = _status(_where_it_fell(results, reports), reports)
    known = _intervals(samples, confidence)
    summaries = tuple(_summary_row(key, summary, known.get(key, {})) for key, summary in found.items())
    return Measured(tuple(results), summaries, tuple(samples), status, message)


def measure_cluster(
    suite: Suite,
    reports: Sequence[NodeReport],
    *,
    enforce: bool,
    confidence: float = 0.99,
    metrics: Mapping[str, Metric] = METRICS,
) -> Measured:
    """The same where node 0 answers for a part: what is asked of the cluster is asked of it alone.

    Args:
        suite: what was run; it has something that node 0 answers for.
        reports: that of node 0, then each node's.
        enforce: a missed target fails its test.
        confidence: level of the intervals of the means and the percentiles.
        metrics: those that are known; what else came is left out.
    """
    whole, *nodes = reports
    of_nodes: dict[str, tuple[str, ...]] = dict.fromkeys(suite.tests, ()) if suite.conducted else suite.tests
    return _together(
        [
            measure(
                replace(suite, tests=tests), some, enforce=enforce, confidence=confidence, metrics=metrics
            )
            for tests, some in ((suite.whole or {}, [whole]), (of_nodes, nodes))
        ]
    )


def _together(parts: Sequence[Measured]) -> Measured:
    # a node that fell tells more than the cluster that missed it
    worst = min(reversed(parts), key=lambda part: ("failed", "error", "ok").index(part.status))
    return Measured(
        tuple(row for part in parts for row in part.results),
        tuple(row for part in parts for row in part.summaries),
        tuple(row for part in parts for row in part.samples),
        worst.status,
        worst.message,
    )


def _intervals(
    samples: Sequence[SampleSet], confidence: float
) -> dict[tuple[int, str], dict[str, float | None]]:
    """Ends of the intervals of each node and metric, by column; series of one length are done together.

    An end that so few samples do not have is None.
    """
    import numpy as np

    by_count: dict[int, list[SampleSet]] = {}
    for series in samples:
        by_count.setdefault(len(series.values), []).append(series)
    ends: dict[tuple[int, str], dict[str, float | None]] = {}
    for count, group in by_count.items():
        if count < 2:
            continue
        found = intervals(np.array([series.values for series in group], dtype=np.float64).T, confidence)
        for index, series in enumerate(group):
            row: dict[str, float | None] = {"confidence": confidence}
            for statistic in STATISTICS:
                name = "ci" if statistic == "mean" else statistic
                for end in ("low", "high"):
                    value = float(getattr(found[statistic], end)[index])
                    row[f"{name}_{end}"] = value if math.isfinite(value) else None
            ends[series.node, series.metric] = row
    return ends


def _summary_row(key: tuple[int, str], summary: Summary, ends: dict[str, float | None]) -> SummaryRow:
    node, metric = key
    return SummaryRow(
        node=node, metric=metric, count=summary.count, mean=summary.mean, std=summary.std, min=summary.min,
        p50=summary.p50, p95=summary.p95, p99=summary.p99, max=summary.max, **ends,
    )  # fmt: skip


def _result(
    report: NodeReport,
    test: str,
    needed: tuple[str, ...],
    summaries: dict[str, Summary],
    metrics: Mapping[str, Metric],
    *,
    enforce: bool,
) -> ResultRow:
    outcome = next((item for item in report.results.tests if item.name == test), None)
    status, message, duration = "error", "the guest did not report this test", 0.0
    if outcome is not None:
        status, message, duration = outcome.status, outcome.message, outcome.duration_ns / 1e9
    if report.error is not None and (outcome is None or outcome.status == "error"):
        status = "fail" if isinstance(report.error, KernelFailure) else "error"
        message = report.reason if report.at in {"", test} else f"{report.reason} (in {report.at})"
    missing = [_why_missing(report, metrics[name]) for name in needed if name not in summaries]
    if status == "pass" and missing:
        status, message = "error", f"not measured: {', '.join(missing)}"
    met, misses = _targets([metrics[name] for name in needed], summaries)
    if status == "pass" and misses and enforce:
        status, message = "fail", "; ".join(misses)
    if status == "pass" and report.retried:
        message = "; ".join(filter(None, [message, f"on a second node, for the first: {report.retried}"]))
    return ResultRow(
        node=report.number, test=test, status=status, target_met=met, duration=duration, message=message
    )


def _why_missing(report: NodeReport, metric: Metric) -> str:
    """A metric that did not come, or came with a number that cannot be: a clock that ran backwards, for one."""
    for index, value in enumerate(report.results.samples.get(metric.name, [])):
        if value < 0:
            return f"{metric.name} (sample {index} is {value} {metric.unit})"
    return metric.name


def _targets(needed: Sequence[Metric], summaries: dict[str, Summary]) -> tuple[bool | None, list[str]]:
    """Whether every target of a test's metrics is met (None: it has none), and which are missed."""
    met: bool | None = None
    misses = []
    for metric in needed:
        if metric.target is None or metric.target_statistic is None or metric.name not in summaries:
            continue
        value = float(getattr(summaries[metric.name], metric.target_statistic))
        good = bool(metric.meets_target(value))
        met = good if met is None else met and good
        if not good:
            misses.append(
                f"{metric.name} {metric.target_statistic} is {value:.0f} {metric.unit}, target {metric.target:.0f}"
            )
    return met, misses


def _where_it_fell(results: Sequence[ResultRow], reports: Sequence[NodeReport]) -> list[ResultRow]:
    """The results, those of tests in which a node fell first: they tell why the others did not come."""
    fell = {(report.number, report.at) for report in reports if report.at}
    return sorted(results, key=lambda row: (row.node, row.test) not in fell)


def _status(results: Sequence[ResultRow], reports: Sequence[NodeReport]) -> tuple[str, str]:
    """The run's status and its first reason; the kernel's failure outweighs ours."""
    for status, word in (("fail", "failed"), ("error", "error")):
        for row in results:
            if row.status == status:
                # a test may have told all that it knows; the log has it
                return word, f"node {row.node}, {row.test}: {row.message.partition(chr(10))[0]}"
    for report in reports:  # every test passed, and the kernel fell after its work
        if report.error is not None:
            return ("failed" if isinstance(report.error, KernelFailure) else "error"), report.error.problem
    return "ok", ""
