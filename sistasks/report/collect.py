"""Reading what a report needs, in one look at the history: other sessions may write meanwhile."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import HistoryError
from sistasks.history.connection import reading
from sistasks.history.findings import finding_rows, finding_verdict_rows
from sistasks.history.kin import KERNEL_OF_SEVERAL, kin
from sistasks.history.read import resource_rows, summary_rows
from sistasks.history.records import MetricRow, ResultRow, StoredRun
from sistasks.history.samples import decode
from sistasks.report.profiles import profile_of
from sistasks.report.records import MetricReport, PastRun, RunReport, VerdictRow, kernel_title

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sistasks.history.samples import Samples


# what may tell runs of a suite apart
_WAYS: Final = ("kernel", "arch", "boot")
# digits of an environment's identity
_SHORT: Final = 12
# runs in a metric's history
_PAST: Final = 200

# the newest run of each suite, and of each environment and kernel that its latest session measured it with
_LATEST: Final = f"""
    SELECT runs.*, kernels.name AS kernel, environments.arch, environments.boot FROM runs
    JOIN kernels ON kernels.id = kernel_id JOIN environments ON environments.id = environment_id
    WHERE runs.id IN (
        SELECT max(runs.id) FROM runs JOIN kernels ON kernels.id = kernel_id JOIN (
            SELECT suite AS latest_suite, session_id AS latest_session
            FROM runs WHERE id IN (SELECT max(id) FROM runs GROUP BY suite)
        ) ON suite = latest_suite AND session_id = latest_session
        GROUP BY suite, environment_id, {KERNEL_OF_SEVERAL}
    ) ORDER BY runs.id"""  # noqa: S608 - our own words
_RESULTS: Final = """
    SELECT node, test, status, target_met, duration, message FROM results WHERE run_id = ? ORDER BY node, id"""
_PAST_RUNS: Final = """
    SELECT runs.id AS run_id, started_at, kernels.id AS id, name, release
    FROM runs JOIN kernels ON kernels.id = kernel_id
    WHERE suite = :suite AND environment_id = :environment_id AND runs.id <= :id AND {kin}
    ORDER BY runs.id DESC LIMIT :past"""
_PAST_VALUES: Final = """
    SELECT summaries.run_id, metric, p50 FROM summaries JOIN runs ON runs.id = summaries.run_id
    WHERE runs.id BETWEEN :oldest AND :id AND suite = :suite AND environment_id = :environment_id
    ORDER BY summaries.run_id, node"""
_PAST_VERDICTS: Final = """
    SELECT verdicts.* FROM verdicts JOIN runs ON runs.id = verdicts.run_id
    WHERE runs.id BETWEEN :oldest AND :id AND suite = :suite AND environment_id = :environment_id
    ORDER BY verdicts.id"""


def collect(db: Path) -> tuple[RunReport, ...]:
    """The newest run of each suite (one for each environment and kernel of its latest session), with its history.

    Raises:
        HistoryError: there are no runs yet, or the file cannot be read as a history.
    """
    with reading(db) as connection:
        if connection is not None:
            # a hand or a damaged disk may have left text that is none
            connection.text_factory = _text
            connection.execute("BEGIN")
            rows = [dict(row) for row in connection.execute(_LATEST)]
            if rows:
                apart = [
                    _apart(row, [other for other in rows if other["suite"] == row["suite"]]) for row in rows
                ]
                return tuple(_run(connection, row, words) for row, words in zip(rows, apart, strict=True))
    raise HistoryError(f"{db} has no runs yet", "measure first: doit test")


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _apart(row: Mapping[str, Any], alike: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What tells a run from the others of its suite: of kernel, architecture, boot those that differ, environment."""
    # a kernel's arguments stand behind what it is called; where that tells kernels apart, it is enough
    short = len({one["kernel"].split(" ")[0] for one in alike}) == len({one["kernel"] for one in alike})
    found = {name: str(row[name]) for name in _WAYS if len({one[name] for one in alike}) > 1}
    if short and "kernel" in found:
        found["kernel"] = found["kernel"].split(" ")[0]
    # workers of several kinds: processors, versions of QEMU
    if sum(all(one[name] == row[name] for name in _WAYS) for one in alike) > 1:
        found["environment"] = str(row["environment_id"])[:_SHORT]
    return found


def _run(connection: sqlite3.Connection, row: dict[str, Any], apart: dict[str, str]) -> RunReport:
    number = row["id"]
    columns = {name: value for name, value in row.items() if name not in _WAYS}
    run = StoredRun(
        **{**columns, "started_at": _moment(row["started_at"]), "finished_at": _moment(row["finished_at"])},
        results=tuple(
            ResultRow(**{**result, "target_met": _flag(result["target_met"])})
            for result in _rows(
                connection,
                _RESULTS,
                number,
            )
        ),
        summaries=summary_rows(connection, number),
        findings=finding_rows(connection, number),
    )
    verdicts = tuple(
        _newest(_rows(connection, "SELECT * FROM verdicts WHERE run_id = ? ORDER BY id", number)).values()
    )
    session = _one(connection, "SELECT * FROM sessions WHERE id = ?", row["session_id"])
    return RunReport(
        run=run,
        kernel=_one(connection, "SELECT * FROM kernels WHERE id = ?", row["kernel_id"]),
        environment=_one(connection, "SELECT * FROM environments WHERE id = ?", row["environment_id"]),
        command=session["command"],
        host=session["host"],
        apart=apart,
        accepted=bool(
            _rows(
                connection, "SELECT 1 FROM annotations WHERE run_id = ? AND kind = 'accept' LIMIT 1", number
            )
        ),
        metrics=_metrics(connection, run),
        verdicts=verdicts,
        finding_verdicts=finding_verdict_rows(connection, number),
        crashes=tuple(
            _rows(
                connection, "SELECT * FROM crashes WHERE run_id = ? ORDER BY node, console_offset, id", number
            )
        ),
        resources=resource_rows(connection, number),
        profile=profile_of(connection, run, verdicts),
    )


def _rows(connection: sqlite3.Connection, query: str, value: str | int) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query, (value,))]


def _one(connection: sqlite3.Connection, query: str, value: str) -> dict[str, Any]:
    return _rows(connection, query, value)[0]


def _moment(written: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(written)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise HistoryError(f"a time in the history is {written[:40]!r}", "restore a copy of the history")
    return moment.astimezone(dt.UTC)


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


_VERDICT_FIELDS: Final = tuple(field.name for field in dataclasses.fields(VerdictRow))


def _newest(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], VerdictRow]:
    """The last verdict on each statistic of each metric; a history from before its columns came has some of them."""
    found: dict[tuple[str, str], VerdictRow] = {}
    for row in rows:
        known = {name: row[name] for name in _VERDICT_FIELDS if name in row}
        verdict = VerdictRow(**{**known, "confirmed": _flag(known.get("confirmed"))})
        found[verdict.metric, verdict.statistic] = verdict
    return dict(sorted(found.items()))


def _metrics(connection: sqlite3.Connection, run: StoredRun) -> tuple[MetricReport, ...]:
    names = sorted({row.metric for row in run.summaries})
    past = _past(connection, run)
    return tuple(_metric(connection, run, name, past) for name in names)


def _metric(
    connection: sqlite3.Connection, run: StoredRun, name: str, past: Mapping[str, tuple[PastRun, ...]]
) -> MetricReport:
    definition = _one(connection, "SELECT * FROM metrics WHERE name = ?", name)
    samples, problem = _samples(connection, run, name)
    history = past.get(name, ())
    positions = {item.run_id: index for index, item in enumerate(history)}
    query = "SELECT * FROM change_points WHERE metric = ? AND environment_id = ? ORDER BY run_id"
    # the history that is drawn is that of medians; an older history knows no others
    changes = [
        row["run_id"]
        for row in map(dict, connection.execute(query, (name, run.environment_id)))
        if row.get("statistic", "p50") == "p50"
    ]
    return MetricReport(
        definition=MetricRow(**definition),
        summaries=tuple(row for row in run.summaries if row.metric == name),
        samples=samples,
        problem=problem,
        history=history,
        changes=tuple(positions[number] for number in changes if number in positions),
    )


def _samples(connection: sqlite3.Connection, run: StoredRun, metric: str) -> tuple[Samples | None, str]:
    """The samples of all nodes, and what is wrong with them."""
    import numpy as np

    rows = connection.execute(
        "SELECT node, encoding, data, count FROM samples WHERE run_id = ? AND metric = ? ORDER BY node",
        (run.id, metric),
    )
    sets, problems = [], []
    for row in rows:
        try:
            sets.append(decode(row["encoding"], row["data"], row["count"]))
        except HistoryError as error:
            problems.append(f"node {row['node']}: {error.problem}")
    problem = "; ".join(problems)
    if not sets:
        return None, problem or "no samples are kept"
    # floats beside whole numbers make floats of all: this is for a picture
    together = np.concatenate([values.astype(np.float64) for values in sets])
    return together, problem


def _past(connection: sqlite3.Connection, run: StoredRun) -> dict[str, tuple[PastRun, ...]]:
    """The last runs of the same suite in the same environment that make a history with it, by metric; oldest first."""
    own = kin(connection, run.id)
    asked: dict[str, Any] = {
        "suite": run.suite, "environment_id": run.environment_id, "id": run.id, "past": _PAST,
        "names": own.names,
    }  # fmt: skip
    past_runs = _PAST_RUNS.format(kin=own.condition(":names"))
    runs = {row["run_id"]: dict(row) for row in connection.execute(past_runs, asked)}
    asked["oldest"] = min(runs)
    values: dict[str, dict[int, list[float]]] = {}
    for row in connection.execute(_PAST_VALUES, asked):
        if row["run_id"] in runs:
            values.setdefault(row["metric"], {}).setdefault(row["run_id"], []).append(row["p50"])
    outcomes = {
        (row["run_id"], row["metric"]): row["outcome"]
        for row in map(dict, connection.execute(_PAST_VERDICTS, asked))
        if row.get("statistic", "p50") == "p50"
    }
    return {
        metric: tuple(
            PastRun(
                run_id=number,
                started_at=_moment(runs[number]["started_at"]),
                kernel=kernel_title(runs[number]),
                values=tuple(medians),
                outcome=outcomes.get((number, metric), ""),
            )
            for number, medians in of_run.items()
        )
        for metric, of_run in values.items()
    }
