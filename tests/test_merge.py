"""Two histories become one: nothing is lost, nothing is there twice, and the gate says what it says of the whole."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import history_records as records
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import METRICS, RATE, SWITCH, accept, told
from merging import content, measured, merged, rows, tables, untimed

from sistasks.errors import HistoryError
from sistasks.history.connection import prepare
from sistasks.history.merge import REFERENCES
from sistasks.history.profiles import profiles_of
from sistasks.history.read import samples_of
from sistasks.verdicts.changes import LEAST_RUNS
from sistasks.verdicts.store import annotate_metrics

if TYPE_CHECKING:
    from pathlib import Path

SLOW = {SWITCH: [1120.0, 1142.4], RATE: [500.0, 510.0]}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other.db"


def test_all_that_belongs_to_a_run_comes_with_it(db: Path, other: Path) -> None:
    measured(db, 10, functions=("memcpy", "zap"))
    number = measured(other, 20, "new", functions=("schedule", "memcpy"), values=SLOW)
    accept(other, number, "meant")
    told(other)
    done = merged(db, other)
    assert (done.numbers.theirs, done.numbers.known, done.numbers.moved) == ({1: 2}, frozenset(), {})
    for table in tables(other):
        if table == "functions":
            continue
        key = "id" if table == "runs" else "run_id"
        columns = [row[1] for row in rows(db, f"pragma table_info({table})")]
        if key not in columns:
            assert set(rows(other, f"select * from {table}")) <= set(rows(db, f"select * from {table}"))  # noqa: S608 - our own names
            continue
        kept = ", ".join(name for name in columns if name not in {"id", "run_id", "data"})
        (theirs, here) = (
            rows(file, f"select {kept} from {table} where {key} = ?", which)  # noqa: S608 - our own names
            for file, which in ((other, 1), (db, 2))
        )
        assert here == theirs, table
        assert theirs or table in {"artifacts", "change_points", "verdicts", "finding_verdicts"}, table
    for node in (1, 2):
        assert samples_of(db, 2, node, SWITCH).tolist() == samples_of(other, 1, node, SWITCH).tolist()
    (before,), (after,) = profiles_of(other, 1), profiles_of(db, 2)
    assert after.functions.names == before.functions.names == ("schedule", "memcpy")
    assert after.functions.instructions.tolist() == before.functions.instructions.tolist()
    assert rows(db, "pragma foreign_key_check") == []


def test_whatever_names_a_run_is_known(db: Path) -> None:
    """A table that a later version adds must not be forgotten here."""
    prepare(db)
    found = {
        (table, row[3])
        for table in tables(db)
        for row in rows(db, f"pragma foreign_key_list({table})")
        if row[2] == "runs"
    }
    assert found == set(REFERENCES)
    shared = {"runs", "kernels", "environments", "sessions", "metrics", "functions"}
    assert set(tables(db)) == {table for table, _ in REFERENCES} | shared


def test_a_second_time_adds_nothing(db: Path, other: Path) -> None:
    measured(db, 10)
    measured(other, 5, "new")
    accept(other, measured(other, 15, "newer"), "meant")
    told(other)
    first = merged(db, other)
    before = content(db)
    again = merged(db, other)
    assert content(db) == before
    assert first.numbers.theirs == again.numbers.theirs == {1: 1, 2: 3}
    assert again.numbers.known == {1, 2}
    assert (len(again.numbers.new), len(again.numbers.moved)) == (0, 0)
    assert (again.conflicts, again.redefined, again.said.total()) == ({}, {}, 0)
    back = merged(other, db)
    assert (back.numbers.theirs, back.numbers.moved) == ({1: 1, 2: 2, 3: 3}, {2: 3})
    assert content(other) == before


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], Path]:
    """Histories of one run each, all of them with one that they share; and the one that has all."""
    folder = tmp_path_factory.mktemp("parts")
    whole = folder / "whole.db"
    found = [folder / f"{index}.db" for index in range(4)]
    for one in (whole, *found):
        measured(one, 0, "shared", session="first")
    for index, part in enumerate(found):
        for one in (whole, part):
            measured(one, 10 * (index + 1), f"k{index % 2}", session=f"s{index // 2}")
    return found, whole


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)))
def test_any_order_gives_the_same_history(
    parts: tuple[list[Path], Path], tmp_path: Path, order: list[int]
) -> None:
    found, whole = parts
    db = tmp_path / "all.db"
    db.unlink(missing_ok=True)
    for index in order:
        merged(db, found[index])
    assert content(db) == content(whole)


def judged_alike(db: Path, whole: Path) -> None:
    """The gate says the same of both, and writes the same."""
    (code, words), (code_of_whole, words_of_whole) = told(db), told(whole)
    assert (code, untimed(words)) == (code_of_whole, untimed(words_of_whole))
    for table, order in (
        ("verdicts", "metric, statistic"),
        ("finding_verdicts", "rule"),
        ("change_points", "1, 2"),
    ):
        columns = [row[1] for row in rows(db, f"pragma table_info({table})")]
        kept = ", ".join(name for name in columns if name not in {"id", "created_at"})
        here, there = (
            rows(file, f"select {kept} from {table} order by run_id, {order}")  # noqa: S608 - our own names
            for file in (db, whole)
        )
        assert here == there
        assert here or table == "change_points"


def test_the_gate_judges_as_on_the_whole(db: Path, other: Path) -> None:
    """Runs that took turns in two histories; one was accepted, a later level is worse, and since when is known."""
    whole = db.with_name("whole.db")
    for index in range(LEAST_RUNS + 4):
        scale = 1.0 if index < 8 else 1.2
        values = {SWITCH: [scale * (1000.0 + index % 3)], RATE: [500.0 + index % 2]}
        kernel = "base" if index < 3 else "dev"
        for file in (whole, other if index % 2 else db):
            measured(file, index, kernel, values=values, session=f"s{index}")
    for file, number in ((whole, 3), (db, 2)):
        assert accept(file, number, "faster")[0] == 0
    merged(db, other)
    assert rows(db, "select run_id from annotations") == [(3,)]
    judged_alike(db, whole)
    code, words = told(db)
    assert (code, "since run 9" in words, "against run 3" in words) == (1, True, True)


def test_words_name_the_same_runs_after_it(db: Path, other: Path) -> None:
    measured(db, 10)
    measured(db, 20, "new", values=SLOW)
    assert told(db)[0] == 1
    for minute in (1, 2, 15):
        measured(other, minute, f"k{minute}")
    done = merged(db, other)
    assert (done.numbers.moved, done.numbers.theirs) == ({1: 3, 2: 5}, {1: 1, 2: 2, 3: 4})
    assert set(rows(db, "select run_id, baseline from verdicts")) == {(5, "run 3 (old)")}
    assert set(rows(db, "select run_id, baseline from finding_verdicts")) == {(5, "run 3 (old)")}
    assert rows(db, "pragma foreign_key_check") == []
    for table in ("results", "summaries", "samples", "findings", "profiles", "crashes", "resources"):
        assert rows(db, f"select distinct run_id from {table} order by 1") == [(n,) for n in range(1, 6)]  # noqa: S608 - our own names


def test_what_was_said_of_a_run_elsewhere_is_united(db: Path, other: Path) -> None:
    """A history is taken home, a run is accepted there, and it comes back."""
    measured(db, 10)
    measured(db, 20, "new", values=SLOW)
    assert told(db)[0] == 1
    shutil.copy(db, other)
    accept(other, 2, "meant")
    annotate_metrics(other, 2, "remark", {SWITCH: "a trap"})
    told(db)  # and is judged once more here: what comes from there is older than that
    later = rows(db, "select max(created_at) from verdicts")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute(
            "insert into annotations (kernel_id, kind, text, author, created_at)"
            " select kernel_id, 'remark', 'of a kernel', 'me', '2026' from runs where id = 2"
        )
        connection.execute("update verdicts set created_at = '2026-01-01T00:00:00.000000Z', outcome = 'same'")
    done = merged(db, other)
    assert done.said["annotations"] == 3
    assert done.said["verdicts"] == 6
    assert rows(db, "select distinct outcome from latest_verdicts where metric = ?", SWITCH) == [("worse",)]
    assert rows(db, "select max(created_at) from latest_verdicts") == later
    assert told(db)[0] == 0
    assert merged(db, other).said.total() == 0


def test_a_run_that_differs_stays_and_is_named(db: Path, other: Path) -> None:
    measured(db, 10)
    shutil.copy(db, other)
    accept(other, 1)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("update summaries set p50 = 1 where node = 2")
        connection.execute("update runs set message = 'other'")
    before = content(db)
    assert merged(db, other).conflicts == {(1, 1): ("runs", "summaries")}
    assert content(db) == before


@pytest.mark.parametrize(("minute", "taken"), [(5, False), (15, True)])
def test_the_definition_of_what_was_measured_last_counts(
    db: Path, other: Path, minute: float, taken: bool
) -> None:
    measured(db, 10)
    changed = (METRICS[0], records.METRICS[1])
    measured(other, minute, "new", metrics=changed)
    assert merged(db, other).redefined == {RATE: taken}
    effect = 0.0 if taken else 0.05
    assert rows(db, "select minimum_effect from metrics where name = ?", RATE) == [(effect,)]
    assert merged(db, other).redefined == ({} if taken else {RATE: False})


def test_a_session_of_another_host_is_another_one(db: Path, other: Path) -> None:
    measured(db, 10, session="s1")
    measured(other, 20, "new", session="s1")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("update sessions set host = 'elsewhere'")
    merged(db, other)
    names = [name for (name,) in rows(db, "select session_id from runs order by id")]
    assert names[0] == "s1"
    assert names[1].startswith("s1~")
    third = db.with_name("third.db")
    for source in (other, db, other):
        merged(third, source)
    assert rows(third, "select count(*) from runs") == [(2,)]
    assert merged(db, third).numbers.new == []
    assert rows(db, "select count(*) from sessions") == [(2,)]


def test_a_frozen_clock_makes_no_run_twice_and_loses_none(db: Path, other: Path) -> None:
    for _ in range(3):
        measured(other, 10)
    measured(db, 10)
    assert merged(db, other).numbers.theirs == {1: 1, 2: 2, 3: 3}
    assert rows(db, "select count(*) from runs") == [(3,)]


def test_an_older_one_is_read_as_a_newer_copy(db: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(other, 10, profiles=(), findings=(), crashes=(), resources=())
    records.make_older(other, 7, monkeypatch)
    before = other.read_bytes()
    merged(db, other)
    assert other.read_bytes() == before
    assert rows(db, "select count(*), max(run_id) from summaries") == [(4, 1)]
    assert rows(other, "select count(*) from sqlite_master where name = 'profiles'") == [(0,)]


def test_it_is_all_or_nothing(db: Path, other: Path) -> None:
    measured(db, 10)
    for minute in (5, 15):
        measured(other, minute, "new")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute(
            "update samples set metric = 'nobody knows it' where run_id = 2 and node = 2 and metric = 'throughput.rate'"
        )
    before = content(db)
    with pytest.raises(HistoryError, match=r"results\.db refuses a row"):
        merged(db, other)
    assert content(db) == before


def test_numbers_of_an_empty_history_are_those_of_the_other(db: Path, other: Path) -> None:
    for minute in range(4):
        measured(other, minute)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute("delete from runs where id = 2")
    assert merged(db, other).numbers.theirs == {1: 1, 3: 3, 4: 4}
    assert list(itertools.chain(*rows(db, "select id from runs"))) == [1, 3, 4]
