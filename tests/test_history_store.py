from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from history_records import METRICS, START, VALUES, environment, run, session, summary

from sistasks.errors import HistoryError
from sistasks.history import read
from sistasks.history.connection import writing
from sistasks.history.records import MetricRow, ResultRow, SampleSet
from sistasks.history.store import write_run

TABLES = ("metrics", "kernels", "environments", "sessions", "runs", "results", "summaries", "samples")
HERE = str(Path(__file__).parent)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def rows(db: Path, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()


def counts(db: Path) -> dict[str, int]:
    return {table: rows(db, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}  # noqa: S608 -- our names


def child(script: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A process of its own that writes; `sys.argv[1]` is the first argument."""
    preamble = (
        f"import sys\nsys.path.insert(0, {HERE!r})\nfrom pathlib import Path\nfrom history_records import *\n"
    )
    command = [sys.executable, "-c", preamble + script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_a_run_comes_back_exactly(db: Path) -> None:
    record = run()
    assert write_run(db, session(), record, METRICS) == 1
    stored = read.latest_run(db, "performance")
    assert stored is not None
    for field in dataclasses.fields(stored):
        if hasattr(record, field.name):
            assert getattr(stored, field.name) == getattr(record, field.name), field.name
    assert (stored.session_id, stored.kernel_id) == (session().id, record.kernel.id)
    assert stored.environment_id == record.environment.id
    assert read.metrics_of(db) == METRICS
    for node in (1, 2):
        for metric, values in VALUES.items():
            assert read.samples_of(db, 1, node, metric).tolist() == list(values)
    kernel = dict(zip(dataclasses.asdict(record.kernel), rows(db, "SELECT * FROM kernels")[0], strict=True))
    assert set(kernel.values()) == set(dataclasses.astuple(record.kernel))


def test_every_column_holds_the_field_of_its_name(db: Path) -> None:
    record = run(environment=environment(firmware_sha256="f1", host_cpu="a cpu", host_cores=2))
    write_run(db, session(), record, METRICS)
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.row_factory = sqlite3.Row
        for table, kept in (("kernels", record.kernel), ("environments", record.environment)):
            found = connection.execute(f"SELECT * FROM {table}").fetchone()  # noqa: S608 -- our names
            assert dict(found) == dataclasses.asdict(kept)
        found = connection.execute("SELECT * FROM sessions").fetchone()
        times = {"started_at": "2026-01-31T23:59:59.000125Z", "finished_at": "2026-02-01T00:00:54.333125Z"}
        assert dict(found) == dataclasses.asdict(session()) | times


def test_remarks_become_annotations_of_their_run(db: Path) -> None:
    number = write_run(db, session(), run(remarks=(("worker", "one"),)), METRICS)
    assert rows(db, "SELECT run_id, kind, text, author FROM annotations") == [
        (number, "worker", "one", "sistasks")
    ]


def test_what_is_known_is_not_written_twice(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    later = run(finished_at=START.replace(year=2027))
    assert write_run(db, session(), later, METRICS) == 2
    write_run(db, session(), run(), METRICS)
    assert counts(db) == {
        "metrics": 2, "kernels": 1, "environments": 1, "sessions": 1, "runs": 3, "results": 12, "summaries": 12,
        "samples": 12,
    }  # fmt: skip
    assert rows(db, "SELECT finished_at FROM sessions") == [("2027-01-31T23:59:59.000125Z",)]


def test_a_metric_follows_its_definition(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    changed = MetricRow(
        name="throughput.rate", unit="ops/s", better="higher", target=5e5, target_statistic="mean"
    )
    write_run(db, session(), run(), [METRICS[0], changed])
    assert read.metrics_of(db) == (METRICS[0], changed)


def test_numpy_numbers_are_kept_as_numbers(db: Path) -> None:
    row = summary(
        1, METRICS[0].name, count=np.int64(6), mean=np.float32(1.5), std=np.float64(2.5), min=np.int32(3)
    )
    result = ResultRow(node=np.int64(1), test="t", status="pass", target_met=np.bool_(True))  # type: ignore[arg-type]
    samples = SampleSet(node=np.int8(1), metric=METRICS[0].name, values=np.array([4, 5]))  # type: ignore[arg-type]
    write_run(db, session(), run(results=(result,), summaries=(row,), samples=(samples,)), METRICS)
    kinds = rows(db, "SELECT typeof(count), typeof(mean), typeof(std), typeof(min) FROM summaries")
    assert kinds == [("integer", "real", "real", "real")]
    assert rows(db, "SELECT count, mean, std, min FROM summaries") == [(6, 1.5, 2.5, 3.0)]
    assert rows(db, "SELECT node, target_met FROM results") == [(1, 1)]
    assert read.samples_of(db, 1, 1, METRICS[0].name).tolist() == [4, 5]


LATENCY = METRICS[0].name
REFUSED = [
    ({"summaries": (summary(1, LATENCY, mean=float("nan")),)}, r"mean=nan cannot be kept"),
    ({"samples": (SampleSet(node=2, metric=LATENCY, values=(3, -7)),)}, r"latency of node 2: sample 1 is -7"),
    ({"summaries": (summary(1, LATENCY, p99=np.float64("inf")),)}, r"p99=inf cannot be kept"),
    ({"summaries": (summary(1, LATENCY, count=2**63),)}, r"count=9223372036854775808 cannot be kept"),
    ({"summaries": (summary(1, LATENCY, mean=[1.0]),)}, r"mean=\[1.0\] cannot be kept"),
    ({"summaries": (summary(1, LATENCY, mean=None),)}, r"refuses a row: NOT NULL .*summaries.mean"),
    ({"summaries": (summary(1, LATENCY, count=1.5),)}, r"refuses a row: cannot store REAL value in INTEGER"),
    ({"summaries": (summary(1, LATENCY), summary(1, LATENCY))}, r"refuses a row: UNIQUE"),
    ({"summaries": (summary(1, "context_switch.typo"),)}, r"refuses a row: FOREIGN KEY"),
    ({"status": "good"}, r"refuses a row: CHECK .*status"),
    ({"results": (ResultRow(node=1, test="t", status="passed"),)}, r"refuses a row: CHECK .*status"),
    ({"samples": (SampleSet(node=1, metric=LATENCY, values=[0.5, 1]),)}, r"whole numbers"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_may_not_be_kept_leaves_no_trace(db: Path, changes: dict[str, Any], message: str) -> None:
    write_run(db, session("first"), run(), METRICS)
    before = counts(db)
    with pytest.raises(HistoryError, match=message):
        write_run(db, session("second"), run(environment=environment(cpus=2), **changes), METRICS)
    assert counts(db) == before


def test_a_value_that_may_not_be_kept_makes_no_file(db: Path) -> None:
    with pytest.raises(HistoryError, match="std=nan"):
        write_run(db, session(), run(summaries=(summary(1, LATENCY, std=float("nan")),)), METRICS)
    assert not db.exists()


def test_a_failure_at_the_last_row_leaves_no_trace(db: Path) -> None:
    write_run(db, session("first"), run(), METRICS)
    trigger = (
        "CREATE TRIGGER t AFTER INSERT ON samples WHEN new.node = 2 BEGIN SELECT RAISE(FAIL, 'the end'); END"
    )
    rows(db, trigger)
    before = counts(db)
    with pytest.raises(HistoryError, match="the end"):
        write_run(db, session("second"), run(environment=environment(cpus=2)), METRICS)
    assert counts(db) == before


def test_an_exception_of_the_writer_leaves_no_trace(db: Path) -> None:
    write_run(db, session(), run(), METRICS)

    def interrupted() -> None:
        with writing(db) as connection:
            connection.execute("UPDATE runs SET status = 'error'")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert rows(db, "SELECT status FROM runs") == [("ok",)]
    assert write_run(db, session(), run(), METRICS) == 2  # and no lock either


def test_a_locked_history_is_named(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryError) as caught:
            write_run(db, session(), run(), METRICS, timeout=0.05)
        assert read.run_count(db) == 1  # a reader does not wait for a writer
    assert str(caught.value) == (
        f"{db} is locked: another session is writing, and did not end within 0.05 s; try again when it has ended"
    )


def test_writers_wait_for_each_other(db: Path) -> None:
    script = """
from sistasks.history.store import write_run
sys.stdin.readline()
for _ in range(25):
    print(write_run(Path(sys.argv[1]), session(sys.argv[2]), run(), METRICS))
"""
    writers = [child(script, db, f"session {number}", stdin=subprocess.PIPE) for number in range(4)]
    # all at once, and the history is not even there
    ends = []
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        output, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors) == (0, "")
        ends += [int(line) for line in output.split()]
    assert sorted(ends) == list(range(1, 101))
    assert counts(db) | {"metrics": 2} == {
        "metrics": 2, "kernels": 1, "environments": 1, "sessions": 4, "runs": 100, "results": 400, "summaries": 400,
        "samples": 400,
    }  # fmt: skip
    assert rows(db, "PRAGMA integrity_check") == [("ok",)]
    assert [path.name for path in db.parent.iterdir() if not path.name.startswith("results.db")] == []


def test_the_log_of_a_deleted_history_is_not_replayed(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with contextlib.closing(sqlite3.connect(db)) as other:
        other.execute("SELECT count(*) FROM runs").fetchone()
        write_run(db, session(), run(), METRICS)
        log = db.with_name("results.db-wal")
        kept = log.read_bytes()
    assert len(kept) > 4096
    log.write_bytes(kept)
    db.unlink()
    assert write_run(db, session("new"), run(), METRICS) == 1
    assert counts(db)["runs"] == 1
    assert rows(db, "PRAGMA integrity_check") == [("ok",)]


# a real process that stops in the middle of the transaction: a trigger calls a function that never comes back
KILLED = """
import signal
from sistasks.history.store import write_run

def stop():
    print("inside", flush=True)
    signal.pause()

prepare(lambda connection: connection.create_function("stop", 0, stop))
write_run(Path(sys.argv[1]), session("killed"), big_run(), METRICS)
"""
BIG = """
import numpy as np

def big_run():
    noise = np.random.default_rng(1).integers(0, 2**63 - 1, 400_000)  # more than SQLite keeps in memory
    return run(samples=tuple(SampleSet(node=n, metric="throughput.rate", values=noise) for n in (1, 2)))

def prepare(change):
    # what is to be done to every connection that this process opens
    import sqlite3

    connect = sqlite3.connect

    def prepared(*arguments, **options):
        connection = connect(*arguments, **options)
        change(connection)
        return connection

    sqlite3.connect = prepared
"""


def test_a_killed_writer_leaves_no_half_run(db: Path) -> None:
    write_run(db, session("first"), run(), METRICS)
    rows(db, "CREATE TRIGGER t AFTER INSERT ON samples WHEN new.node = 2 BEGIN SELECT stop(); END")
    before = counts(db)
    writer = child(BIG + KILLED, db)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "inside\n"
        log = db.with_name("results.db-wal")
        assert log.stat().st_size > 1 << 20  # half of the run is on the disk
    finally:
        writer.kill()
        writer.communicate(timeout=60)
    assert read.run_count(db) == 1
    assert counts(db) == before
    assert rows(db, "PRAGMA integrity_check") == [("ok",)]
    rows(db, "DROP TRIGGER t")
    assert write_run(db, session("second"), run(), METRICS) == 2


WRITE = """
from sistasks.errors import HistoryError
from sistasks.history.store import write_run

try:
    write_run(Path(sys.argv[1]), session("full"), big_run(), METRICS)
except HistoryError as error:
    print(error)
"""
# SQLite's own limit ends as a full disk does; the limit on a file's size makes the system refuse
PAGES = """
prepare(lambda connection: connection.execute("PRAGMA max_page_count = 200"))
"""
SIZE = """
import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
"""


@pytest.mark.parametrize(
    ("limit", "message"),
    [(PAGES, "the disk is full"), (SIZE, "cannot be read or written")],
    ids=["pages", "size"],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk_leaves_the_history_as_it_was(db: Path, limit: str, message: str, known: bool) -> None:
    if known:
        write_run(db, session("first"), run(), METRICS)
    writer = child(BIG + limit + WRITE, db)
    output, errors = writer.communicate(timeout=60)
    assert (writer.returncode, errors) == (0, "")
    assert message in output
    assert str(db) in output
    assert read.run_count(db) == int(known)
    if known:
        assert read.samples_of(db, 1, 2, LATENCY).tolist() == list(VALUES[LATENCY])
    assert write_run(db, session("second"), run(), METRICS) == int(known) + 1


def test_no_room_for_an_empty_history_leaves_no_file(db: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
    writer = child(BIG + limit + WRITE, db)
    output, errors = writer.communicate(timeout=60)
    assert (writer.returncode, errors) == (0, "")
    assert "cannot be read or written" in output
    assert list(db.parent.iterdir()) == []
