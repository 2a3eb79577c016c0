from __future__ import annotations

import getpass
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from judged import RATE, SWITCH, accept, run_info, told, write

from sistasks.errors import HistoryError
from sistasks.verdicts.changes import Change, Changes
from sistasks.verdicts.records import Verdict
from sistasks.verdicts.store import annotate_metrics, write_changes, write_verdicts

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0], RATE: [50.0]}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "results.db"
    for kernel in "abc":
        write(path, SAME, kernel)
    return path


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()


def changes(*points: int, runs: tuple[int, ...] = (1, 2, 3)) -> Changes:
    found = tuple(
        Change(run_id=run, before_run_id=run - 1, effect=0.2, p=0.001, advisory=False) for run in points
    )
    return Changes(points=found, runs=runs, better="lower", method="m", seed=3)


def test_all_verdicts_on_a_run_or_none(db: Path) -> None:
    good = Verdict(metric=SWITCH, statistic="p50", outcome="same")
    with pytest.raises(HistoryError, match="refuses a row"):
        write_verdicts(db, 1, [good, Verdict(metric="unknown", statistic="p50", outcome="same")])
    with pytest.raises(HistoryError, match="refuses a row"):
        write_verdicts(db, 1, [good, Verdict(metric=SWITCH, statistic="p50", outcome="fine")])
    assert rows(db, "select count(*) from verdicts") == [(0,)]
    write_verdicts(db, 1, [good])
    assert rows(db, "select run_id, metric, outcome from verdicts") == [(1, SWITCH, "same")]


def test_change_points_are_replaced_as_far_as_was_looked(db: Path) -> None:
    environment = run_info(db, 1).environment_id
    switch, tail, rate = (SWITCH, "p50"), (SWITCH, "p99"), (RATE, "p50")
    write_changes(db, environment, {switch: changes(2), tail: changes(2), rate: changes(2)})
    write_changes(db, environment, {switch: changes(3, runs=(2, 3)), rate: changes(runs=(1, 3))})
    found = rows(
        db, "select metric, statistic, run_id, before_run_id, n, seed from change_points order by 1, 2, 3"
    )
    assert found == [(*switch, 3, 2, 2, 3), (*tail, 2, 1, 3, 3), (*rate, 2, 1, 3, 3)]


def test_since_when_a_metric_is_worse() -> None:
    assert changes().worse_since is None
    assert changes(2, 9).worse_since == 9
    assert Changes(**{**fields(changes(2)), "better": "higher"}).worse_since is None
    advisory = Change(run_id=5, before_run_id=4, effect=0.2, p=0.001, advisory=True)
    assert Changes(**{**fields(changes(2)), "points": (*changes(2).points, advisory)}).worse_since == 2


def fields(found: Changes) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__slots__}


def test_a_user_without_a_name(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run with the number of a user that it does not know."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    assert accept(db, 2, "why")[0] == 0
    assert rows(db, "select run_id, kind, text, author from annotations") == [(2, "accept", "why", "4000000")]


def test_remarks_on_metrics(db: Path) -> None:
    annotate_metrics(db, 3, "selfcheck", {SWITCH: "0 alarms", RATE: "1 alarm"})
    assert rows(db, "select run_id, metric, kind, text from annotations order by metric") == [
        (3, SWITCH, "selfcheck", "0 alarms"),
        (3, RATE, "selfcheck", "1 alarm"),
    ]
    assert told(db)[0] == 0
