"""The session's targets as JSON, and each run's JSON again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sistasks.errors import HistoryError
from sistasks.evidence.usage import resources_json
from sistasks.history.exports import suite_json
from sistasks.history.records import utc_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.report.records import MetricReport, RunReport


def industry_report(runs: Sequence[RunReport]) -> dict[str, Any]:
    """Targets against what was measured, for programs.

    Returns:
        What `json.dumps` takes: `runs[]` (what was measured with what, and what it used) and `metrics[]` (a
        metric in a run: `target`, `statistic`, `measured` as the median over nodes in `unit`, `met`, `industry`,
        `enforced`).
    """
    judged = [metric for run in runs for metric in run.metrics if metric.met is not None]
    return {
        "generated_from": [run.run.id for run in runs],
        "summary": {
            "targets": len(judged),
            "met": sum(metric.met is True for metric in judged),
            "missed": sum(metric.met is False for metric in judged),
        },
        "runs": [_run(run) for run in runs],
        "metrics": [_metric(run, metric) for run in runs for metric in run.metrics],
    }


def _run(run: RunReport) -> dict[str, Any]:
    return {
        "run": run.run.id,
        "suite": run.run.suite,
        "status": run.run.status,
        "message": run.run.message,
        "timestamp": utc_text(run.run.started_at),
        "nodes": run.run.nodes,
        "iterations": run.run.iterations,
        "kernel": {
            name: run.kernel[name] for name in ("id", "name", "release", "arch", "git_commit", "command_line")
        },
        "environment": dict(run.environment),
        "clock": run.clock_words,
        "targets": run.target_words,
        "resources": resources_json(run.resources),
    }


def _metric(run: RunReport, metric: MetricReport) -> dict[str, Any]:
    definition = metric.definition
    return {
        "run": run.run.id,
        "suite": run.run.suite,
        "metric": definition.name,
        "unit": definition.unit,
        "better": definition.better,
        "target": definition.target,
        "statistic": metric.statistic,
        "measured": metric.middle(metric.statistic),
        "met": metric.met,
        "enforced": run.enforced and metric.met is not None,
        "industry": definition.industry,
        "nodes": len(metric.summaries),
        "samples": sum(row.count for row in metric.summaries),
    }


def results_text(run: RunReport) -> str:
    """A run's JSON in the form that programs around the earlier scripts read."""
    metrics = [metric.definition for metric in run.metrics]
    return json_text(
        suite_json(run.run, metrics, f"{run.run.suite}_benchmark", resources_json(run.resources))
    )


def json_text(value: Any) -> str:
    """JSON with an end of line.

    Raises:
        HistoryError: there is a NaN or an infinity in it, for which JSON has no word; only a hand can have written it.
    """
    try:
        return json.dumps(value, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise HistoryError(
            f"a figure in the history is no number: {error}", "restore a copy of it"
        ) from error
