from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from history_records import METRICS, VALUES, run, session
from small_disks import read_only

from sistasks.errors import HistoryError
from sistasks.history import read
from sistasks.history.connection import reading
from sistasks.history.store import write_run

LATENCY = METRICS[0].name


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def test_a_history_that_is_not_there_is_empty_and_stays_away(tmp_path: Path) -> None:
    db = tmp_path / "target" / "results.db"
    assert read.good_runs(db, "x") == read.run_count(db) == 0
    assert read.latest_run(db, "performance") is None
    assert [*read.results_of(db, 1), *read.summaries_of(db, 1), *read.metrics_of(db)] == []
    with pytest.raises(HistoryError, match=f"{db} has no samples of {LATENCY} on node 2 in run 1"):
        read.samples_of(db, 1, 2, LATENCY)
    assert list(tmp_path.iterdir()) == []


def test_good_runs_are_ok_and_of_the_same_inputs(db: Path) -> None:
    for status, inputs in (("ok", "a"), ("ok", "a"), ("failed", "a"), ("error", "a"), ("ok", "b")):
        write_run(db, session(), run(status=status, inputs_sha256=inputs), METRICS)
    assert [read.good_runs(db, inputs) for inputs in ("a", "b", "c", "")] == [2, 1, 0, 0]
    assert read.run_count(db) == 5


def test_the_latest_run_is_of_the_suite_and_of_the_inputs(db: Path) -> None:
    for suite, inputs in (("performance", "a"), ("performance", "b"), ("boot", "a")):
        write_run(db, session(), run(suite=suite, inputs_sha256=inputs), METRICS)

    def latest(suite: str, inputs: str | None = None) -> int | None:
        found = read.latest_run(db, suite, inputs)
        return None if found is None else found.id

    assert [latest("performance"), latest("performance", "a"), latest("boot", "a")] == [2, 1, 3]
    assert [latest("boot", "b"), latest("stress")] == [None, None]


def test_rows_belong_to_their_run(db: Path) -> None:
    first = run()
    second = run(nodes=3, results=tuple(dataclasses.replace(row, message="2") for row in first.results))
    for record in (first, second):
        write_run(db, session(), record, METRICS)
    assert read.results_of(db, 1) == first.results
    assert read.results_of(db, 2) == second.results
    assert read.summaries_of(db, 2) == second.summaries
    assert [*read.results_of(db, 3), *read.summaries_of(db, 3)] == []


@pytest.mark.parametrize(
    ("run_id", "node", "metric"), [(2, 1, LATENCY), (1, 3, LATENCY), (1, 1, "boot.kernel")]
)
def test_samples_that_are_not_there_are_named(db: Path, run_id: int, node: int, metric: str) -> None:
    write_run(db, session(), run(), METRICS)
    with pytest.raises(HistoryError, match=f"no samples of {metric} on node {node} in run {run_id}"):
        read.samples_of(db, run_id, node, metric)


def test_damaged_samples_are_refused(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with contextlib.closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE samples SET data = substr(data, 1, length(data) - 1) WHERE node = 2")
    assert read.samples_of(db, 1, 1, LATENCY).tolist() == list(VALUES[LATENCY])
    with pytest.raises(HistoryError, match="samples are damaged"):
        read.samples_of(db, 1, 2, LATENCY)


def test_what_is_still_in_the_log_is_seen(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with contextlib.closing(sqlite3.connect(db)) as other:
        other.execute("SELECT count(*) FROM runs").fetchone()  # the last one to close it would empty the log
        size = db.stat().st_size
        write_run(db, session(), run(), METRICS)
        assert db.with_name("results.db-wal").stat().st_size > 0
        assert db.stat().st_size == size
        assert read.run_count(db) == 2
        assert read.samples_of(db, 2, 1, LATENCY).tolist() == list(VALUES[LATENCY])


def test_reading_leaves_nothing_beside_the_history_and_writes_nothing(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    before = db.read_bytes()
    with contextlib.closing(sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("SELECT count(*) FROM runs").fetchone()
    assert len(list(db.parent.iterdir())) == 3, "what may only read leaves files behind"
    with reading(db) as connection:
        assert connection is not None
        assert connection.execute("SELECT count(*) FROM runs").fetchone()[0] == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM runs")
    assert [path.name for path in db.parent.iterdir()] == ["results.db"]
    assert db.read_bytes() == before


def test_what_a_killed_writer_left_half_written_is_not_read_where_it_cannot_be_undone(
    db: Path, tmp_path: Path
) -> None:
    """A copy that a hand has made, without a log, of a history that was being changed."""
    write_run(db, session(), run(), METRICS)
    half = tmp_path / "half" / db.name
    half.parent.mkdir()
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE").fetchone()
        writer.execute("PRAGMA cache_size = 2")  # what does not fit is in the file before it is committed
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE runs SET message = hex(zeroblob(100000))")
        for suffix in ("", "-journal"):
            shutil.copy(f"{db}{suffix}", f"{half}{suffix}")
        writer.execute("ROLLBACK")
    assert half.stat().st_size > db.stat().st_size
    with read_only(half.parent), pytest.raises(HistoryError, match=r"results\.db cannot be (written|opened)"):
        read.run_count(half)
    assert read.run_count(half) == 1
    assert [path.name for path in half.parent.iterdir()] == [db.name], "undone"


@pytest.mark.parametrize(
    "name",
    ["a b.db", "what?mode=memory", "frag#ment", "100%41.db", "é;'\".db", "a&cache=shared", "-x", ":memory:"],
)
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    db = tmp_path / name / name
    write_run(db, session(), run(), METRICS)
    assert read.run_count(db) == 1
    assert db.is_file()


def test_relative_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("results.db"), session(), run(), METRICS)
    assert read.run_count(tmp_path / "results.db") == read.run_count(Path("results.db")) == 1


def test_reading_cannot_write(db: Path) -> None:
    write_run(db, session(), run(), METRICS)

    def delete() -> None:
        with reading(db) as connection:
            assert connection is not None
            connection.execute("DELETE FROM samples")

    with pytest.raises(HistoryError, match="cannot be written"):
        delete()
    assert read.samples_of(db, 1, 1, LATENCY).size == len(VALUES[LATENCY])


def test_asking_is_quick_because_little_is_imported(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    script = (
        "import sys; from pathlib import Path; from sistasks.history import exports, read, store; "
        "assert read.good_runs(Path(sys.argv[1]), 'x') == 0 and read.latest_run(Path(sys.argv[1]), 'performance'); "
        "print(sorted({'numpy', 'sqlite_utils', 'asyncio', 'tempfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(db)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_runs_that_missed_a_reported_target_do_not_count_where_targets_are_enforced(db: Path) -> None:
    missed = run()
    assert any(row.target_met is False for row in missed.results)
    write_run(db, session(), missed, METRICS)
    assert read.good_runs(db, missed.inputs_sha256) == 1
    assert read.good_runs(db, missed.inputs_sha256, targets_met=True) == 0
    results = tuple(dataclasses.replace(row, target_met=True) for row in missed.results)
    write_run(db, session(), dataclasses.replace(missed, results=results), METRICS)
    assert read.good_runs(db, missed.inputs_sha256, targets_met=True) == 1


def test_a_failed_run_is_not_the_one_that_holds(db: Path) -> None:
    good = write_run(db, session(), run(), METRICS)
    write_run(db, session(), run(status="failed", message="it fell"), METRICS)
    newest = read.latest_run(db, "performance", run().inputs_sha256, good=True)
    assert newest is not None
    assert newest.id == good
