"""What our pages say, as data: what the page shows and what its JSON holds."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.browse.findings import findings_of_run, verdict_counts
from sistasks.browse.profiles import profile_of_run
from sistasks.browse.series import (
    INTERVALS,
    STATISTICS,
    Row,
    ends_of_metric,
    environment_words,
    newest_verdicts,
    one,
    recent,
    rows,
    runs_of_metric,
    values,
    verdicts_of_metric,
    weightiest,
    within_budget,
)
from sistasks.evidence.usage import course, resources_json
from sistasks.history.kin import Kin, kin
from sistasks.history.read import resource_rows
from sistasks.statistics.intervals import middle_ends, missing_ends

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_LATEST_RUNS: Final = 20
_POINTS: Final = 200
_KERNEL_RUNS: Final = 50
_KERNELS: Final = 20
# figures of a run's table
_SHOWN: Final = ("mean", "p50", "p95", "p99", "std")

_RUN_LIST: Final = """SELECT runs.id AS run_id, runs.started_at, runs.suite, runs.status, runs.nodes, runs.message,
        runs.kernel_id, kernels.name AS kernel, kernels.release, runs.environment_id, environments.arch,
        environments.accel, environments.clock, environments.boot, environments.cpus
    FROM runs
    JOIN kernels ON kernels.id = runs.kernel_id
    JOIN environments ON environments.id = runs.environment_id"""


def start_page(connection: sqlite3.Connection) -> Row:
    """The newest runs and every metric."""
    runs = _run_list(connection, f"{_RUN_LIST} ORDER BY runs.id DESC LIMIT ?", _LATEST_RUNS)
    counts = {
        # the names are ours
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
        for table in ("runs", "kernels", "environments", "sessions", "crashes", "findings")
    }
    return {"counts": counts, "runs": runs, "metrics": metric_list(connection)["metrics"]}


def metric_list(connection: sqlite3.Connection) -> Row:
    """Every metric with what it was lately, in the environment of its newest run."""
    metrics = rows(connection, "SELECT * FROM metrics ORDER BY name")
    known: dict[int, Kin] = {}
    for metric in metrics:
        newest = _newest_run(connection, metric["name"])
        metric["recent"] = []
        metric["run_id"] = None if newest is None else newest["id"]
        if newest is not None:
            run_id, environment_id = newest["id"], newest["environment_id"]
            own = known[run_id] = known.get(run_id) or kin(connection, run_id)
            metric["recent"] = recent(connection, metric["name"], environment_id, own, until=run_id)
        found = {} if newest is None else verdicts_of_metric(connection, [newest["id"]], metric["name"])
        metric["outcome"] = weightiest(outcome for each in found.values() for outcome in each.values())
    return {"metrics": metrics}


def run_page(connection: sqlite3.Connection, run_id: int) -> Row | None:
    """All that is known of a run; None where there is no such run."""
    run = one(connection, "SELECT * FROM runs WHERE id = ?", run_id)
    if run is None:
        return None
    verdicts = newest_verdicts(connection, [run_id])
    around = "SELECT {0}(id) AS id FROM runs WHERE suite = ? AND id {1} ?"
    environment = _named(connection, "environments", run["environment_id"])
    return {
        "run": run,
        "kernel": _named(connection, "kernels", run["kernel_id"]),
        "environment": {**environment, "words": environment_words(environment)},
        "session": _named(connection, "sessions", run["session_id"]),
        "earlier": connection.execute(around.format("max", "<"), (run["suite"], run_id)).fetchone()[0],
        "later": connection.execute(around.format("min", ">"), (run["suite"], run_id)).fetchone()[0],
        "verdicts": verdicts,
        "metrics": _metrics_of_run(connection, run, verdicts),
        "findings": findings_of_run(connection, run_id),
        "tests": _tests_of_run(connection, run_id),
        "resources": _resources_of_run(connection, run_id),
        "profile": profile_of_run(connection, run, verdicts),
        "crashes": rows(connection, "SELECT * FROM crashes WHERE run_id = ? ORDER BY id LIMIT 100", run_id),
        "artifacts": rows(
            connection, "SELECT * FROM artifacts WHERE run_id = ? ORDER BY id LIMIT 200", run_id
        ),
        "change_points": rows(
            connection, "SELECT * FROM change_points WHERE run_id = ? ORDER BY metric, statistic", run_id
        ),
        "annotations": rows(connection, "SELECT * FROM annotations WHERE run_id = ? ORDER BY id", run_id),
    }


def _resources_of_run(connection: sqlite3.Connection, run_id: int) -> Row:
    """What the run used, and the host's processors over time; empty where nothing was watched."""
    found = resource_rows(connection, run_id)
    told = resources_json(found)
    return {**told, "host_cpu": course(found, 0, "cpu_percent")} if told else {}


def kernel_page(connection: sqlite3.Connection, kernel_id: str) -> Row | None:
    """All that is known of a kernel; None where there is no such kernel."""
    kernel = one(connection, "SELECT * FROM kernels WHERE id = ?", kernel_id)
    if kernel is None:
        return None
    runs = _run_list(
        connection,
        f"{_RUN_LIST} WHERE runs.kernel_id = ? ORDER BY runs.id DESC LIMIT ?",
        kernel_id,
        _KERNEL_RUNS,
    )
    same = "SELECT id, name, release, git_commit FROM kernels WHERE {0} = ? AND id <> ? LIMIT 20"
    return {
        "kernel": kernel,
        "parents": rows(connection, same.format("git_commit"), kernel["git_parent"], kernel_id),
        "children": rows(connection, same.format("git_parent"), kernel["git_commit"], kernel_id),
        "runs": runs,
        "metrics": _metrics_of_kernel(connection, within_budget(runs, 2000)),
        "annotations": rows(
            connection, "SELECT * FROM annotations WHERE kernel_id = ? ORDER BY id", kernel_id
        ),
    }


def metric_page(
    connection: sqlite3.Connection,
    name: str,
    *,
    statistic: str = "p50",
    environment_id: str = "",
    kernel: str = "",
    before: int | None = None,
) -> Row | None:
    """A metric's history in one environment, at most 200 runs of it; None where there is no such metric.

    Kernels that stand beside each other have a history each.

    Args:
        connection: to the history.
        name: the metric's.
        statistic: which one of each node's samples; `p50` where it is none.
        environment_id: that of the metric's newest run where it is empty.
        kernel: the name of one whose newest run the history leads to; that of the newest run where there is none.
        before: only runs with a smaller number.
    """
    metric = one(connection, "SELECT * FROM metrics WHERE name = ?", name)
    if metric is None:
        return None
    statistic = statistic if statistic in STATISTICS else "p50"
    environments = _environments_of_metric(connection, name)
    chosen = next((each for each in environments if each["id"] == environment_id), None)
    if chosen is None and environments:
        chosen = max(environments, key=lambda each: int(each["newest_run"]))
    points: list[Row] = []
    changes: list[Row] = []
    kernels: list[Row] = []
    earlier = None
    if chosen is not None:
        last = _newest_of_kernel(connection, name, chosen["id"], kernel) or int(chosen["newest_run"])
        own = kin(connection, last)
        kernel = own.name
        kernels = _kernels_of(connection, chosen["id"], own)
        runs = runs_of_metric(connection, name, chosen["id"], own, before=before, most=_POINTS)
        points = _points(connection, name, statistic, runs)
        if runs and runs_of_metric(connection, name, chosen["id"], own, before=runs[-1]["run_id"], most=1):
            earlier = runs[-1]["run_id"]
        changes = rows(
            connection,
            f"""SELECT change_points.* FROM change_points JOIN runs ON runs.id = run_id
                JOIN kernels ON kernels.id = kernel_id
                WHERE metric = ? AND statistic = ? AND change_points.environment_id = ? AND {own.condition()}
                ORDER BY run_id DESC LIMIT 100""",  # noqa: S608 - our own condition
            name,
            statistic if statistic in {"p95", "p99"} else "p50",
            chosen["id"],
            own.names,
        )
    return {
        "metric": metric,
        "statistic": statistic,
        "statistics": list(STATISTICS),
        "environment": chosen,
        "environments": environments,
        "kernel": kernel,
        "kernels": kernels,
        "points": points,
        "changes": changes,
        "before": before,
        "earlier": earlier,
        "annotations": rows(
            connection, "SELECT * FROM annotations WHERE metric = ? ORDER BY id DESC LIMIT 100", name
        ),
    }


def _named(connection: sqlite3.Connection, table: str, row_id: str) -> Row:
    # the table's name is one of ours, and a foreign key guarantees the row
    return one(connection, f"SELECT * FROM {table} WHERE id = ?", row_id) or {}  # noqa: S608 - our own names


def _newest_run(connection: sqlite3.Connection, metric: str) -> Row | None:
    newest = "SELECT max(run_id) FROM summaries WHERE metric = ?"
    return one(connection, f"SELECT id, environment_id FROM runs WHERE id = ({newest})", metric)  # noqa: S608 - our own names


def _newest_of_kernel(
    connection: sqlite3.Connection, metric: str, environment_id: str, kernel: str
) -> int | None:
    """The newest run of a kernel, by its name, that has the metric."""
    newest = one(
        connection,
        """SELECT runs.id FROM kernels CROSS JOIN runs ON runs.kernel_id = kernels.id
            WHERE kernels.name = ? AND runs.environment_id = ? AND EXISTS (
                SELECT 1 FROM summaries WHERE summaries.metric = ? AND summaries.run_id = runs.id
            ) ORDER BY runs.id DESC LIMIT 1""",
        kernel,
        environment_id,
        metric,
    )
    return None if newest is None else int(newest["id"])


def _kernels_of(connection: sqlite3.Connection, environment_id: str, own: Kin) -> list[Row]:
    """Names of kernels in an environment, where not all of them make one history; the newest first."""
    if not own.beside and not own.alone:
        return []
    found = rows(
        connection,
        """SELECT kernels.name, max(runs.id) AS newest_run FROM runs JOIN kernels ON kernels.id = runs.kernel_id
            WHERE runs.environment_id = ? GROUP BY kernels.name ORDER BY newest_run DESC LIMIT ?""",
        environment_id,
        _KERNELS,
    )
    return found if len(found) > 1 else []


def _run_list(connection: sqlite3.Connection, query: str, *parameters: object) -> list[Row]:
    """Runs with how many of their tests ended how, and what their verdicts come to."""
    runs = rows(connection, query, *parameters)
    ids = [run["run_id"] for run in runs]
    tests: dict[int, dict[str, int]] = {}
    for row in rows(
        connection,
        """SELECT run_id, status, count(*) AS number FROM results
            WHERE run_id IN (SELECT value FROM json_each(?)) GROUP BY run_id, status""",
        json.dumps(ids),
    ):
        tests.setdefault(row["run_id"], {})[row["status"]] = row["number"]
    outcomes = verdict_counts(connection, ids)
    for verdict in newest_verdicts(connection, ids):
        counted = outcomes.setdefault(verdict["run_id"], {})
        counted[verdict["outcome"]] = counted.get(verdict["outcome"], 0) + 1
    for run in runs:
        run["tests"] = tests.get(run["run_id"], {})
        run["outcomes"] = outcomes.get(run["run_id"], {})
    return runs


def _metrics_of_run(connection: sqlite3.Connection, run: Row, verdicts: Sequence[Row]) -> list[Row]:
    found = rows(
        connection,
        """SELECT metrics.*, summaries.* FROM summaries JOIN metrics ON metrics.name = summaries.metric
        WHERE summaries.run_id = ? ORDER BY summaries.metric, summaries.node""",
        run["id"],
    )
    own = kin(connection, run["id"])
    by_metric: dict[str, list[Row]] = {}
    for row in found:
        by_metric.setdefault(row["name"], []).append(row)
    metrics = []
    for name, nodes in by_metric.items():
        first = nodes[0]
        outcomes = {row["statistic"]: row["outcome"] for row in verdicts if row["metric"] == name}
        metrics.append(
            {
                **{
                    key: first[key]
                    for key in ("name", "unit", "better", "target", "target_statistic", "description")
                },
                "samples": first["count"],
                "nodes": {row["node"]: row["p50"] for row in nodes},
                "confidence": first["confidence"],
                "intervals": {
                    name: middle_ends(*([row[f"{column}_{end}"] for row in nodes] for end in ("low", "high")))
                    for name, column in INTERVALS.items()
                },
                "too_few": _too_few(nodes),
                **{key: statistics.median(row[key] for row in nodes) for key in _SHOWN},
                "outcome": weightiest(outcomes.values()),
                "recent": recent(connection, name, run["environment_id"], own, until=run["id"]),
            }
        )
    return metrics


def _too_few(nodes: Sequence[Row]) -> list[str]:
    """Which ends of intervals the node with the fewest samples has too few for."""
    level, fewest = nodes[0]["confidence"], min(row["count"] for row in nodes)
    names = [] if level is None else [name for name in INTERVALS if name != "mean"]
    return [words for name in names for words in missing_ends(name, fewest, level)]


def _tests_of_run(connection: sqlite3.Connection, run_id: int) -> list[Row]:
    return rows(
        connection,
        """SELECT test, sum(status = 'pass') AS passed, sum(status = 'fail') AS failed, sum(status = 'error') AS errors,
            sum(status = 'skip') AS skipped, sum(target_met = 0) AS targets_missed, max(duration) AS longest,
            coalesce(max(iif(status <> 'pass', message, '')), '') AS message
        FROM results WHERE run_id = ? GROUP BY test ORDER BY test""",
        run_id,
    )


def _metrics_of_kernel(connection: sqlite3.Connection, runs: Sequence[Row]) -> list[Row]:
    """For each metric and environment: what the kernel's runs (the newest first) measured, the newest run's in full."""
    found = rows(
        connection,
        """SELECT summaries.metric, summaries.run_id, summaries.p50, metrics.unit, metrics.better
        FROM summaries JOIN metrics ON metrics.name = summaries.metric
        WHERE summaries.run_id IN (SELECT value FROM json_each(?))
        ORDER BY summaries.metric, summaries.run_id, summaries.node""",
        json.dumps([run["run_id"] for run in runs]),
    )
    by_run = {run["run_id"]: run for run in runs}
    series: dict[tuple[str, str], Row] = {}
    for row in found:
        run = by_run[row["run_id"]]
        entry = series.setdefault(
            (row["metric"], run["environment_id"]),
            {
                "name": row["metric"], "unit": row["unit"], "better": row["better"],
                "environment_id": run["environment_id"], "runs": {},
                "environment": environment_words({**run, "id": run["environment_id"]}),
            },
        )  # fmt: skip
        entry["runs"].setdefault(row["run_id"], []).append(row["p50"])
    for entry in series.values():
        entry["recent"] = [statistics.median(nodes) for nodes in entry["runs"].values()]
        entry["run_id"] = max(entry["runs"])
    return list(series.values())


def _environments_of_metric(connection: sqlite3.Connection, metric: str) -> list[Row]:
    """Environments in which the metric was measured, each with its newest run, the newest first."""
    found = []
    for environment in rows(connection, "SELECT * FROM environments"):
        newest = connection.execute(
            """SELECT id FROM runs WHERE environment_id = ? AND EXISTS (
                SELECT 1 FROM summaries WHERE summaries.metric = ? AND summaries.run_id = runs.id
            ) ORDER BY id DESC LIMIT 1""",
            (environment["id"], metric),
        ).fetchone()
        if newest is not None:
            words = environment_words(environment)
            found.append({"id": environment["id"], "words": words, "newest_run": newest[0]})
    return sorted(found, key=lambda each: -int(each["newest_run"]))


def _points(connection: sqlite3.Connection, metric: str, statistic: str, runs: Sequence[Row]) -> list[Row]:
    ids = [run["run_id"] for run in runs]
    nodes = values(connection, ids, metric, statistic)
    ends = ends_of_metric(connection, ids, metric, statistic)
    outcomes = verdicts_of_metric(connection, ids, metric)
    points: list[dict[str, Any]] = []
    for run in reversed(runs):
        measured = nodes[run["run_id"]]
        points.append(
            {
                **run,
                "measured": len(measured),
                "value": statistics.median(measured),
                "low": min(measured),
                "high": max(measured),
                "interval": ends.get(run["run_id"], (None, None)),
                "outcome": outcomes.get(run["run_id"], {}).get(statistic, ""),
            }
        )
    return points
