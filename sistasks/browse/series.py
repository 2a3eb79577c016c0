"""What a metric was over many runs, read so that a history of a million summaries answers at once.

Runs are found through the index of their environment, and values through that of their metric; no query reads more rows
than it returns. Each figure is a median over nodes: samples of different nodes are never thrown together.
"""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any, Final

from sistasks.statistics.intervals import middle_ends

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from sistasks.history.kin import Kin

# columns of `summaries` that a series can be of
STATISTICS: Final = ("p50", "p95", "p99", "mean", "min", "max", "std")
# statistic -> columns of its interval, without their ends
INTERVALS: Final = {"mean": "ci", "p50": "p50", "p95": "p95", "p99": "p99"}
# the most rows that one page reads: runs of a thousand nodes come fewer at a time
BUDGET: Final = 20_000
# what a run's or a metric's verdicts come to: the first of these that is among them
_WEIGHTIEST: Final = ("worse", "unsure", "better", "same")

Row = dict[str, Any]


def rows(connection: sqlite3.Connection, query: str, *parameters: object) -> list[Row]:
    """What a query gives, each row by column."""
    return [dict(row) for row in connection.execute(query, parameters)]


def one(connection: sqlite3.Connection, query: str, *parameters: object) -> Row | None:
    """The first row that a query gives, by column."""
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else dict(row)


def within_budget(runs: Iterable[Row], budget: int = BUDGET) -> list[Row]:
    """The first of the runs whose nodes come to no more than the budget; at least one."""
    taken: list[Row] = []
    for run in runs:
        budget -= run["nodes"]
        if budget < 0 and taken:
            break
        taken.append(run)
    return taken


def runs_of_metric(
    connection: sqlite3.Connection,
    metric: str,
    environment_id: str,
    own: Kin,
    *,
    before: int | None = None,
    most: int,
) -> list[Row]:
    """The newest runs in an environment that have the metric and make one history, the newest first.

    Args:
        connection: to the history.
        metric: its name.
        environment_id: runs of other environments cannot be compared with these.
        own: whose runs they are.
        before: only runs with a smaller number.
        most: how many.
    """
    return within_budget(
        rows(
            connection,
            f"""SELECT runs.id AS run_id, runs.started_at, runs.suite, runs.status, runs.nodes, runs.kernel_id,
                kernels.name AS kernel, kernels.release
            FROM runs JOIN kernels ON kernels.id = runs.kernel_id
            WHERE runs.environment_id = ? AND runs.id < ?
                AND EXISTS (SELECT 1 FROM summaries WHERE summaries.metric = ? AND summaries.run_id = runs.id)
                AND {own.condition()}
            ORDER BY runs.id DESC LIMIT ?""",  # noqa: S608 - our own condition
            environment_id,
            2**63 - 1 if before is None else before,
            metric,
            own.names,
            most,
        )
    )


def values(
    connection: sqlite3.Connection, run_ids: Iterable[int], metric: str, statistic: str = "p50"
) -> dict[int, list[float]]:
    """What each node of the runs measured: run -> one statistic of the metric, in the order of nodes."""
    if statistic not in STATISTICS:
        raise ValueError(f"no statistic: {statistic!r}")
    # the column's name is one of ours
    query = f"""SELECT run_id, {statistic} FROM summaries
        WHERE metric = ? AND run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, node"""  # noqa: S608 - our own names
    found: dict[int, list[float]] = {}
    for run_id, value in connection.execute(query, (metric, json.dumps(list(run_ids)))):
        found.setdefault(run_id, []).append(value)
    return found


def ends_of_metric(
    connection: sqlite3.Connection, run_ids: Iterable[int], metric: str, statistic: str
) -> dict[int, tuple[float | None, float | None]]:
    """How well one node of each run is known: run -> the medians of the nodes' intervals, where they have one."""
    column = INTERVALS.get(statistic)
    if column is None:
        return {}
    # the column's name is one of ours
    query = f"""SELECT run_id, {column}_low, {column}_high FROM summaries NOT INDEXED
        WHERE metric = ? AND run_id IN (SELECT value FROM json_each(?))"""  # noqa: S608 - our own names
    found: dict[int, tuple[list[float | None], list[float | None]]] = {}
    for run_id, low, high in connection.execute(query, (metric, json.dumps(list(run_ids)))):
        lows, highs = found.setdefault(run_id, ([], []))
        lows.append(low)
        highs.append(high)
    return {run_id: middle_ends(lows, highs) for run_id, (lows, highs) in found.items()}


def recent(
    connection: sqlite3.Connection, metric: str, environment_id: str, own: Kin, *, until: int
) -> list[float]:
    """Medians over nodes of the metric's median in the newest 30 runs up to one, the oldest first.

    Args:
        connection: to the history.
        metric: its name.
        environment_id: of the runs.
        own: whose runs make a history with the last one.
        until: the last one.
    """
    runs = runs_of_metric(connection, metric, environment_id, own, before=until + 1, most=30)
    found = values(connection, [run["run_id"] for run in runs], metric)
    return [statistics.median(found[run["run_id"]]) for run in reversed(runs)]


def newest_verdicts(connection: sqlite3.Connection, run_ids: Iterable[int]) -> list[Row]:
    """The verdict that counts, of each run, metric and statistic: the one that was written last."""
    return rows(
        connection,
        """SELECT * FROM verdicts WHERE id IN (
            SELECT max(id) FROM verdicts WHERE run_id IN (SELECT value FROM json_each(?))
            GROUP BY run_id, metric, statistic
        ) ORDER BY run_id, metric, statistic""",
        json.dumps(list(run_ids)),
    )


def verdicts_of_metric(
    connection: sqlite3.Connection, run_ids: Iterable[int], metric: str
) -> dict[int, dict[str, str]]:
    """Outcomes of the newest verdicts on the metric: run -> statistic -> outcome."""
    # left to itself SQLite reads every verdict on the metric, because those come in the order asked for
    query = """SELECT run_id, statistic, outcome FROM verdicts INDEXED BY verdicts_by_run
        WHERE metric = ? AND run_id IN (SELECT value FROM json_each(?)) ORDER BY id"""
    found: dict[int, dict[str, str]] = {}
    for run_id, statistic, outcome in connection.execute(query, (metric, json.dumps(list(run_ids)))):
        found.setdefault(run_id, {})[statistic] = outcome
    return found


def weightiest(outcomes: Iterable[str]) -> str:
    """What several outcomes come to; empty where there is none."""
    present = set(outcomes)
    return next((outcome for outcome in _WEIGHTIEST if outcome in present), "")


def environment_words(environment: Mapping[str, Any]) -> str:
    """An environment in a few words, with the beginning of its id: several may differ in what the words leave out."""
    cpus = f"{environment['cpus']} cpu{'s' * (environment['cpus'] != 1)}"
    what = (environment[name] for name in ("arch", "accel", "clock", "boot"))
    return f"{' '.join(map(str, what))}, {cpus} ({environment['id'][:8]})"
