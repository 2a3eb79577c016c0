"""A run as JSON, in the form that programs around the earlier scripts read.

The form: `suite_name`, `start_time` and `end_time` (seconds since 1970), `duration` (seconds), `node_count`,
`timestamp`, `results[]` (`test_name`, `node_id`, `success`, `metrics{}`) and `summary{}`. What is more than that
(`status`, `message`, `skipped`, `findings`, `resources`) is beside it.

A metric `test.quantity` is named by statistic, quantity and unit: `p99_latency_ns`. Where the earlier scripts had
another unit or name for it, it is there under both: `p99_latency_us`, `std_dev_us`, `operations_per_second`.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.records import utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.history.records import FindingRow, MetricRow, ResultRow, RunRecord, StoredRun, SummaryRow

_STATISTICS: Final = ("mean", "min", "p50", "p95", "p99", "max")
_NOT_PLAIN: Final = re.compile(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]+")
_RATES: Final = frozenset({"ops/s", "op/s", "1/s", "operations/s"})


def suite_json(
    run: RunRecord | StoredRun,
    metrics: Sequence[MetricRow],
    suite_name: str = "",
    resources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A run in the form above.

    Args:
        run: with its results and summaries.
        metrics: definitions of every metric that the run has summaries of.
        suite_name: what `suite_name` is to say, such as `performance_benchmark`; the suite's own name if empty.
        resources: what the nodes and the host used, and how well that served the run.

    Returns:
        What `json.dumps` takes.

    Raises:
        KeyError: a metric is not defined.
    """
    units = {metric.name: metric.unit for metric in metrics}
    # a test that was skipped has neither passed nor failed
    judged = [result for result in run.results if result.status != "skip"]
    skipped = [result for result in run.results if result.status == "skip"]
    passed = sum(result.status == "pass" for result in judged)
    return {
        "suite_name": suite_name or run.suite,
        "start_time": run.started_at.timestamp(),
        "end_time": run.finished_at.timestamp(),
        "duration": (run.finished_at - run.started_at).total_seconds(),
        "node_count": run.nodes,
        "timestamp": utc_text(run.started_at),
        "status": run.status,
        "message": run.message,
        "results": [_result(result, run.summaries, units) for result in judged],
        "skipped": [
            {"test_name": result.test, "node_id": result.node, "message": result.message}
            for result in skipped
        ],
        "summary": {
            "total_tests": len(judged),
            "passed_tests": passed,
            "failed_tests": len(judged) - passed,
            "skipped_tests": len(skipped),
            "overall_success_rate": passed / len(judged) if judged else 0.0,
        },
        "findings": [_finding(row) for row in run.findings],
        "resources": dict(resources or {}),
    }


def _finding(row: FindingRow) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "category": row.category,
        "node_id": row.node,
        "severity": row.severity,
        "outcome": row.outcome,
        "title": row.title,
        "evidence": row.evidence,
        "reason": row.reason,
        "source": row.source,
    }


def results_name(suite: str, boot: str = "") -> str:
    """The file name that readers of a run's JSON know; a suite that is measured in several ways has a file for each.

    Whatever the history says, it is a plain name, and different for different suites.

    Args:
        suite: the suite's name.
        boot: the way of booting, where there are several.
    """
    name = f"{suite}_{boot}" if boot else suite
    plain = _NOT_PLAIN.sub("-", name)[:60]
    if plain != name:
        plain += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain}_results.json"


def _result(result: ResultRow, summaries: Sequence[SummaryRow], units: dict[str, str]) -> dict[str, Any]:
    values: dict[str, float | int] = {}
    for summary in summaries:
        test, _, quantity = summary.metric.partition(".")
        if test == result.test and summary.node == result.node:
            values.update(_values(summary, quantity, units[summary.metric]))
    return {
        "test_name": result.test,
        "node_id": result.node,
        "success": result.status == "pass",
        "status": result.status,
        "target_met": result.target_met,
        "duration": result.duration,
        "message": result.message,
        "metrics": values,
    }


def _values(summary: SummaryRow, quantity: str, unit: str) -> dict[str, float | int]:
    """One metric's figures under every name that they have."""
    values = _named(summary, f"{quantity}_{_word(unit)}".strip("_"), 1)
    values[f"{quantity}_samples"] = summary.count
    if unit == "ns":
        values.update(_named(summary, f"{quantity}_us", 1000))
    if (quantity, unit) == ("latency", "ns"):
        values.update(std_dev_us=summary.std / 1000, std_dev_ns=summary.std)
    if unit in _RATES:
        name = "operations_per_second" if quantity == "rate" else f"{quantity}_operations_per_second"
        values.update({name: summary.mean, **_named(summary, name, 1)})
    return values


def _named(summary: SummaryRow, name: str, divisor: int) -> dict[str, float | int]:
    values: dict[str, float | int] = {
        f"{item}_{name}": getattr(summary, item) / divisor for item in _STATISTICS
    }
    values[f"std_dev_{name}"] = summary.std / divisor
    return values


def _word(unit: str) -> str:
    """A unit as a part of a name: `ops/s` is `ops_per_s`."""
    return re.sub(r"\W+", "_", unit.replace("/", "_per_").replace("%", "percent"))
