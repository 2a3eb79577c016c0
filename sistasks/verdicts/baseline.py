"""What a run is judged against.

The baseline is made of earlier runs of the same suite in the same environment that are ok and clean, of another kernel,
no confirmed regressions, and not older than the last run that a person accepted as the new normal. Where there are such
runs of kernels of the same name it is made of those alone, and never of kernels that were asked for together.
"""

from __future__ import annotations

import bisect
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError, UsageError
from sistasks.history.connection import reading
from sistasks.history.findings import finding_rows
from sistasks.history.kin import KERNEL_OF_SEVERAL, Kin, accepted, kin
from sistasks.history.read import BASELINE_CONDITION
from sistasks.verdicts.records import STATISTICS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sistasks.history.records import FindingRow

MOST_RUNS: Final = 30
# runs of other levels that are looked at for noise, and boots in them
_NOISE_RUNS: Final = 60
_NOISE_BOOTS: Final = 3000
# (run, node) -> value of one statistic of one metric
Boots = dict[tuple[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """The columns of a run that comparability depends on."""

    id: int
    suite: str
    kernel_id: str
    kernel_name: str
    environment_id: str
    clock: str
    accel: str
    status: str
    message: str
    nodes: int
    iterations: int
    seed: int
    session_id: str
    started_at: str
    finished_at: str = ""
    arch: str = ""


_RUN: Final = """
    SELECT runs.id, suite, kernel_id, kernels.name AS kernel_name, environment_id, clock, accel, status, message,
        environments.arch, nodes, iterations, seed, session_id, started_at, finished_at
    FROM runs JOIN environments ON environments.id = environment_id JOIN kernels ON kernels.id = kernel_id
"""
_LARGEST: Final = 2**63 - 1


def _info(row: sqlite3.Row) -> RunInfo:
    return RunInfo(**dict(row))


class History:
    """Reads runs and boots for judging. Use `open_history`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        import sqlite3

        self._connection = connection
        self._kin: dict[int, Kin] = {}
        self._connection.row_factory = sqlite3.Row
        # a hand or a damaged disk may have left text that is none
        self._connection.text_factory = lambda raw: raw.decode(errors="replace")

    def latest(self, *, good: bool = False) -> list[RunInfo]:
        """The latest run of each suite, and of each environment that its latest session measured it in.

        Where that session was asked for several kernels, of each of these.

        Args:
            good: leave out runs whose status is not `ok`.
        """
        status = "status = 'ok'" if good else "TRUE"
        query = f"""{_RUN} WHERE runs.id IN (
            SELECT max(runs.id) FROM runs JOIN kernels ON kernels.id = kernel_id JOIN (
                SELECT suite AS s, session_id AS last FROM runs
                WHERE id IN (SELECT max(id) FROM runs WHERE {status} GROUP BY suite)
            ) ON suite = s AND session_id = last
            WHERE {status} GROUP BY suite, environment_id, {KERNEL_OF_SEVERAL}
        ) ORDER BY runs.id"""  # noqa: S608 - our own columns
        return [_info(row) for row in self._connection.execute(query)]

    def run(self, number: int) -> RunInfo:
        """One run.

        Raises:
            UsageError: the history has no such run.
        """
        known = (min(number, _LARGEST),)
        row = self._connection.execute(f"{_RUN} WHERE runs.id = ?", known).fetchone()
        if row is None:
            raise UsageError(f"run {number} is not in the history", "doit browse shows what is there")
        return _info(row)

    def select(self, query: str, parameters: Sequence[Any]) -> list[RunInfo]:
        """Runs for which a condition on `runs`, `kernels` and `environments` holds, the newest first."""
        rows = self._connection.execute(
            f"{_RUN} WHERE {query} ORDER BY runs.id DESC LIMIT ?", (*parameters, MOST_RUNS)
        )
        return [_info(row) for row in rows]

    def newest(self, query: str, parameters: Sequence[Any]) -> list[RunInfo]:
        """The newest run of each suite in each environment, and of each kernel's name, for which a condition holds."""
        among = f"""{_RUN} WHERE runs.id IN (
            SELECT max(runs.id) FROM runs JOIN kernels ON kernels.id = kernel_id WHERE {query}
            GROUP BY suite, environment_id, kernels.name
        ) ORDER BY runs.id"""  # noqa: S608 - our own columns
        return [_info(row) for row in self._connection.execute(among, parameters)]

    def kernels(self, beginning: str) -> int:
        """How many kernels' identities begin so; `beginning` is hexadecimal."""
        query = "SELECT count(*) FROM kernels WHERE id LIKE ?"
        return int(self._connection.execute(query, (f"{beginning}%",)).fetchone()[0])

    def accepted(self, run: RunInfo) -> int:
        """The last run up to `run`, of its suite and in its environment, that a person accepted; 0 for none."""
        return max(self._accepted(run), default=0)

    def kin(self, run: RunInfo) -> Kin:
        """The kernels that a run is compared with."""
        if run.id not in self._kin:
            self._kin[run.id] = kin(self._connection, run.id)
        return self._kin[run.id]

    def _accepted(self, run: RunInfo) -> list[int]:
        """All of them, in order."""
        apart = self.kin(run).beside
        return accepted(self._connection, run.suite, run.environment_id, run.id, apart)

    def baseline_runs(self, run: RunInfo, *, same_kernel: bool = False) -> list[RunInfo]:
        """The runs that `run` is judged against, the newest first, at most MOST_RUNS.

        An accepted run is the new normal itself, and has no baseline.

        Args:
            run: the candidate.
            same_kernel: judge it against its own kernel (the A/A check) instead of against others.
        """
        which = "kernel_id = ?" if same_kernel else f"kernel_id <> ? AND {BASELINE_CONDITION}"
        query = f"""suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok' AND {which}
            AND runs.id < ? AND runs.id >= ?"""
        asked = (run.suite, run.environment_id, run.iterations, run.kernel_id, run.id, self.accepted(run))
        if same_kernel:
            return self.select(query, asked)
        found = self.kin(run)
        ways = [found, replace(found, alone=False)] if found.alone else [found]
        tried = (self.select(f"{query} AND {one.condition()}", (*asked, one.names)) for one in ways)
        return next(filter(None, tried), [])

    def other_levels(self, run: RunInfo, baseline: Sequence[RunInfo]) -> list[list[RunInfo]]:
        """Comparable good runs that are no part of the baseline, level by level: they tell how noisy the metrics are.

        One level are the runs between two that were accepted, as a baseline would be made of them, those of the
        candidate's name and of each kernel beside it apart; and the runs of one kernel that no baseline would have:
        the candidate's own, one that got worse, one with uncommitted changes.

        Args:
            run: the candidate.
            baseline: the runs that it is judged by.
        """
        newest = "suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok' AND id < ?"
        query = f"""WITH newest AS MATERIALIZED (SELECT * FROM runs WHERE {newest} ORDER BY id DESC LIMIT ?)
            SELECT runs.id, name, kernel_id <> ? AND {BASELINE_CONDITION} AS fit
            FROM newest AS runs JOIN kernels ON kernels.id = kernel_id"""  # noqa: S608 - our own columns
        asked = (
            run.suite, run.environment_id, run.iterations, run.id, _NOISE_RUNS + len(baseline), run.kernel_id,
        )  # fmt: skip
        since, found = self._accepted(run), self.kin(run)
        apart = {run.kernel_name, *found.beside}
        keys = {
            row["id"]: (
                bisect.bisect(since, row["id"]),
                row["fit"],
                row["name"] if row["name"] in apart else "",
            )
            for row in self._connection.execute(query, asked)
        }
        for other in baseline:
            keys.pop(other.id, None)
        numbers = ",".join(str(int(number)) for number in keys)
        levels: dict[tuple[int, str, str], list[RunInfo]] = {}
        boots = 0
        for row in self._connection.execute(f"{_RUN} WHERE runs.id IN ({numbers}) ORDER BY runs.id DESC"):
            one = _info(row)
            boots += one.nodes
            if boots > _NOISE_BOOTS:
                break
            level, fit, name = keys[one.id]
            levels.setdefault((level, name, "" if fit else one.kernel_id), []).append(one)
        return list(levels.values())

    def boots(self, runs: Sequence[int]) -> dict[tuple[str, str], Boots]:
        """(metric, statistic) -> (run, node) -> value, of every node of the runs.

        Of a metric of which no node has more than one sample only `p50`: that is all percentiles of it.
        """
        marks = ",".join("?" * len(runs))
        found: dict[tuple[str, str], Boots] = {}
        several = set()
        query = f"SELECT run_id, node, metric, count, p50, p95, p99 FROM summaries WHERE run_id IN ({marks})"  # noqa: S608 - question marks only
        for row in self._connection.execute(query, list(runs)):
            if row["count"] > 1:
                several.add(row["metric"])
            for statistic in STATISTICS:
                boots = found.setdefault((row["metric"], statistic), {})
                boots[row["run_id"], row["node"]] = row[statistic]
        return {key: boots for key, boots in found.items() if key[1] == STATISTICS[0] or key[0] in several}

    def findings(self, runs: Sequence[int]) -> dict[int, tuple[FindingRow, ...]]:
        """Run -> its findings, of those that have some."""
        found = {number: finding_rows(self._connection, number) for number in runs}
        return {number: rows for number, rows in found.items() if rows}

    def failing_since(self, run: RunInfo, rule: str) -> int:
        """The first run of those that make a history with `run`, up to itself, since which a rule has failed."""
        found = self.kin(run)
        query = f"""SELECT runs.id, max(outcome = 'fail') FROM findings JOIN runs ON runs.id = run_id
            JOIN kernels ON kernels.id = kernel_id
            WHERE rule = ? AND suite = ? AND environment_id = ? AND runs.id < ? AND status = 'ok'
                AND {found.condition()}
            GROUP BY runs.id ORDER BY runs.id DESC"""  # noqa: S608 - our own condition
        asked = (rule, run.suite, run.environment_id, run.id, found.names)
        since = run.id
        for number, failed in self._connection.execute(query, asked):
            if not failed:
                break
            since = number
        return since

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Every metric's definition, by name."""
        return {row["name"]: dict(row) for row in self._connection.execute("SELECT * FROM metrics")}

    def series(self, run: RunInfo, most: int) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """(metric, statistic) -> (run, median over its nodes), the oldest first, of good runs comparable with `run`.

        They are its `most` newest, up to itself, of the kernels that make a history with it, among them its own; on the
        virtual clock only those of its seed.
        """
        import statistics

        own = self.kin(run)
        seed = "AND seed = ?" if run.clock == "virtual" else "AND ? >= 0"
        query = f"""SELECT metric, run_id, count, p50, p95, p99 FROM summaries WHERE run_id IN (
                SELECT runs.id FROM runs JOIN kernels ON kernels.id = kernel_id
                WHERE suite = ? AND environment_id = ? AND iterations = ? AND status = 'ok'
                    AND nodes = ? AND runs.id <= ? {seed} AND {own.condition()} ORDER BY runs.id DESC LIMIT ?
            ) ORDER BY run_id"""  # noqa: S608 - conditions of ours
        asked = (
            run.suite, run.environment_id, run.iterations, run.nodes, run.id, run.seed, own.names, most,
        )  # fmt: skip
        several = set()
        nodes: dict[tuple[str, int], list[tuple[float, ...]]] = {}
        for row in self._connection.execute(query, asked):
            metric, number, count, *values = row
            if count > 1:
                several.add(metric)
            nodes.setdefault((metric, number), []).append(tuple(values))
        found: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for (metric, number), rows in nodes.items():
            told = STATISTICS if metric in several else STATISTICS[:1]
            for statistic, values in zip(told, zip(*rows, strict=True), strict=False):
                found.setdefault((metric, statistic), []).append((number, statistics.median(values)))
        return found


@contextlib.contextmanager
def open_history(db: Path) -> Iterator[History]:
    """A History while the context lasts.

    Raises:
        HistoryError: there is none, or it cannot be read.
    """
    with reading(db) as connection:
        if connection is None:
            raise HistoryError(f"{db} does not exist: nothing has been measured yet", "doit test")
        yield History(connection)


def by_run(boots: Boots) -> dict[int, list[float]]:
    """Run -> values of its boots, in the order of the nodes."""
    found: dict[int, list[float]] = {}
    for (number, _), value in sorted(boots.items()):
        found.setdefault(number, []).append(value)
    return found


def labelled(runs: Sequence[RunInfo], values: Mapping[int, Sequence[float]]) -> tuple[list[float], list[str]]:
    """The boots of some runs, and the session of each: boots of one session share its mood."""
    found = [(value, run.session_id) for run in runs for value in values.get(run.id, ())]
    return [value for value, _ in found], [session for _, session in found]
