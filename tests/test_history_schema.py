from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from history_records import METRICS, environment, make_older, run, session, summary

from sistasks.errors import HistoryError
from sistasks.history import read, schema
from sistasks.history.connection import writing
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = {
    "environments": "id, arch, accel, clock, boot, qemu_version, machine, cpu_model, cpus, memory_bytes, "
    "firmware_sha256, guest_sha256, host_cpu, host_cores, detail",
    "kernels": "id, name, release, arch, git_commit, git_parent, git_dirty, config_sha256, command_line, size, path",
    "sessions": "id, started_at, finished_at, command, host, detail",
    "runs": "id, session_id, suite, kernel_id, environment_id, inputs_sha256, started_at, finished_at, status, nodes, "
    "iterations, seed, message",
    "results": "id, run_id, node, test, status, target_met, duration, message",
    "metrics": "name, unit, better, target, target_statistic, industry, minimum_effect, description",
    "summaries": "run_id, node, metric, count, mean, std, min, p50, p95, p99, max, ci_low, ci_high, confidence, "
    "p50_low, p50_high, p95_low, p95_high, p99_low, p99_high",
    "samples": "run_id, node, metric, count, encoding, data",
    "resources": "run_id, node, at, cpu_percent, rss, vms, read_bytes, write_bytes, net_rx, net_tx, threads, fds, "
    "load1, seconds, cpu_peak, rss_peak, wait_percent, memory_percent, memory_wait, io_wait, others_percent, "
    "steal_percent, net_percent, load5, load15, processors, busiest",
    "artifacts": "id, run_id, node, kind, path, size, sha256, created_at, compressed, keep_until, detail",
    "crashes": "id, run_id, node, kind, title, report, console_offset, reproducer",
    "verdicts": "id, run_id, metric, outcome, effect, p, q, n, k, mde, method, baseline, seed, confirmed, created_at, "
    "statistic, baseline_value, value, low, high, reason",
    "change_points": "id, metric, statistic, environment_id, run_id, before_run_id, effect, p, n, advisory, method, "
    "seed, created_at",
    "annotations": "id, run_id, kernel_id, metric, kind, text, author, created_at",
    "functions": "id, name",
    "profiles": "run_id, node, test, phase, metrics, instructions, calls, blocks, accesses, functions, "
    "encoding, data",
    "findings": "id, run_id, node, rule, category, severity, outcome, title, evidence, source, reason",
    "finding_verdicts": "id, run_id, rule, severity, outcome, was, now, k, n, reason, baseline, created_at",
}
VIEWS = {"latest_results", "metric_history", "latest_verdicts", "latest_findings", "noise"}
LATENCY = METRICS[0].name


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


@contextlib.contextmanager
def opened(db: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def test_the_tables_are_those_of_the_contract(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with opened(db) as connection:
        listed = {
            row["name"]: row for row in connection.execute("PRAGMA table_list") if row["schema"] == "main"
        }
        ours = {name for name in listed if not name.startswith(("sqlite_", "_sqlite"))}
        assert ours == set(TABLES) | VIEWS
        for table, columns in TABLES.items():
            found = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert found == columns.split(", "), table
            assert listed[table]["strict"] == 1
        assert {name for name in listed if listed[name]["type"] == "view"} == VIEWS
        for view in VIEWS:
            connection.execute(f"SELECT * FROM {view}").fetchall()  # noqa: S608 -- our names
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_every_reference_is_indexed(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    missing = []
    with opened(db) as connection:
        for table in TABLES:
            leading = {
                connection.execute(f"PRAGMA index_info({index['name']})").fetchone()["name"]
                for index in connection.execute(f"PRAGMA index_list({table})").fetchall()
            }
            references = connection.execute(f"PRAGMA foreign_key_list({table})").fetchall()
            missing += [(table, row["from"]) for row in references if row["from"] not in leading]
    assert missing == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM runs WHERE inputs_sha256 = 'x' AND status = 'ok'",
        "SELECT run_id, node, p50, p99 FROM summaries WHERE metric = 'x' ORDER BY run_id",
    ],
)
def test_frequent_questions_are_answered_by_an_index_alone(db: Path, query: str) -> None:
    write_run(db, session(), run(), METRICS)
    with opened(db) as connection:
        plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(plan) == 1
    assert "COVERING INDEX" in plan[0]


def test_a_deleted_run_takes_its_rows_along(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with writing(db) as connection:
        connection.execute("DELETE FROM runs")
    with opened(db) as connection:
        for table in ("results", "summaries", "samples"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0  # noqa: S608 -- our names


@pytest.mark.parametrize("migrations", range(1, len(schema.MIGRATIONS)))
def test_an_older_history_is_read_and_brought_up_to_date(
    db: Path, migrations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(db, session(), run(), METRICS)
    make_older(db, migrations, monkeypatch)
    with opened(db) as connection:
        assert len(schema.applied(connection, db)) == migrations
    assert read.run_count(db) == 1
    older = read.summaries_of(db, 1)
    assert older == tuple(sorted(run().summaries, key=lambda row: (row.node, row.metric)))
    known = summary(1, LATENCY, p99_low=1690.0)
    assert write_run(db, session(), run(nodes=1, summaries=(known,)), METRICS) == 2
    with opened(db) as connection:
        assert schema.applied(connection, db) == tuple(schema.MIGRATIONS)
        assert connection.execute("SELECT count(*) FROM latest_results").fetchone()[0] == 2
    assert read.summaries_of(db, 1) == older
    assert read.summaries_of(db, 2) == (known,)


def test_changes_of_medians_are_kept_when_others_come(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        write_run(db, session(), run(), METRICS)
    with writing(db) as connection:
        connection.execute(
            """INSERT INTO change_points
               (metric, statistic, environment_id, run_id, before_run_id, effect, p, n, method, created_at)
               VALUES (?, 'p50', ?, 2, 1, 0.1, 0.001, 12, 'rank-CUSUM', '')""",
            (LATENCY, run().environment.id),
        )
    make_older(db, 7, monkeypatch)
    write_run(db, session(), run(), METRICS)
    assert view(db, "SELECT metric, statistic, run_id, effect FROM change_points") == [
        (LATENCY, "p50", 2, 0.1)
    ]
    with opened(db) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_migration_that_fails_leaves_the_history_as_it_was(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(db, session(), run(), METRICS)
    broken = {"0098_a": ("CREATE TABLE extra (x)",), "0099_b": ("CREATE TABLE runs (x)",)}
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS | broken)
        with pytest.raises(HistoryError, match="table runs already exists"):
            write_run(db, session(), run(), METRICS)
    with opened(db) as connection:
        assert (
            connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()[0] == 0
        )
    assert write_run(db, session(), run(), METRICS) == 2


def refusals(db: Path) -> list[str]:
    """What a reader and a writer are told."""
    with pytest.raises(HistoryError) as reader:
        read.good_runs(db, "x")
    with pytest.raises(HistoryError) as writer:
        write_run(db, session(), run(), METRICS)
    assert reader.value.exit_code == writer.value.exit_code == 2
    return [str(reader.value), str(writer.value)]


def test_a_newer_history_is_refused(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    with opened(db) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sistasks', '0099_new', '')"
        )
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('another', '0001', '')"
        )
    problem = f"{db} was written by a newer sistasks: it has '0099_new', which this one does not know"
    assert refusals(db) == [f"{problem}; upgrade sistasks"] * 2


def test_a_text_is_no_history(db: Path) -> None:
    db.write_text("suite,metric\n" * 100)
    assert refusals(db) == [f"{db} is not a database; choose another file with db=…"] * 2
    assert db.read_text() == "suite,metric\n" * 100


def test_another_program_s_database_is_left_alone(db: Path) -> None:
    with opened(db) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    before = db.read_bytes()
    assert refusals(db) == [f"{db} is a database of another program; choose another file with db=…"] * 2
    assert db.read_bytes() == before


def test_a_damaged_history_is_refused(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    data = bytearray(db.read_bytes())
    data[100:4096] = os.urandom(3996)
    db.write_bytes(data)
    for sentence in refusals(db):
        assert sentence.startswith(f"{db} is damaged: ")
        assert sentence.endswith("; restore a copy, or move it away to begin anew")


def test_a_directory_is_no_history(tmp_path: Path) -> None:
    sentence = f"{tmp_path} is a directory, and the history is a file; choose a file with db=…"
    assert refusals(tmp_path) == [sentence] * 2


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    db = tmp_path / "file" / "results.db"
    assert read.good_runs(db, "x") == 0
    with pytest.raises(HistoryError, match=r"cannot be used as the history: (File exists|Not a directory)"):
        write_run(db, session(), run(), METRICS)


def test_an_empty_file_becomes_a_history(db: Path) -> None:
    db.touch()
    assert read.good_runs(db, "x") == 0
    assert read.latest_run(db, "performance") is None
    assert db.read_bytes() == b""
    assert write_run(db, session(), run(), METRICS) == 1
    with opened(db) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_link_to_a_history_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "results.db"
    link.symlink_to(tmp_path / "elsewhere" / "kept.db")
    assert read.good_runs(link, "x") == 0
    write_run(link, session(), run(), METRICS)
    assert link.is_symlink()
    assert read.run_count(tmp_path / "elsewhere" / "kept.db") == 1


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="sistasks-history-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


AS_NOBODY = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import numpy, sqlite_utils  # before rights are given up: they may be where only root can read
from history_records import METRICS, run, session
from sistasks.errors import HistoryError
from sistasks.history import read
from sistasks.history.store import write_run
import tempfile
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(65534)
    os.seteuid(65534)
db = Path(sys.argv[1])
for use in (lambda: read.run_count(db), lambda: write_run(db, session(), run(), METRICS)):
    try:
        print(use())
    except HistoryError as error:
        print(error)
"""


def as_nobody(db: Path) -> list[str]:
    """What somebody without rights reads from the history, and is told when writing to it."""
    command = [sys.executable, "-c", AS_NOBODY, str(db)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "with an empty log"])
def test_a_history_that_may_only_be_read(shared: Path, beside: bool) -> None:
    db = shared / "results.db"
    write_run(db, session(), run(), METRICS)
    if beside:  # what somebody else's reader leaves
        with contextlib.closing(sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True)) as reader:
            assert reader.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert db.with_name("results.db-wal").stat().st_size == 0
    db.chmod(0o444)
    shared.chmod(0o555)
    assert as_nobody(db) == ["1", f"{db} cannot be written; allow it, or choose another file with db=…"]


def test_a_history_that_may_not_be_read(shared: Path) -> None:
    db = shared / "results.db"
    write_run(db, session(), run(), METRICS)
    db.chmod(0)
    assert as_nobody(db) == [f"{db} cannot be opened; allow it, or choose another file with db=…"] * 2


def test_a_folder_that_may_not_be_entered_or_written(shared: Path) -> None:
    shared.chmod(0o555)
    db = shared / "results.db"
    denied = (
        f"{db} cannot be used as the history: Permission denied; allow it, or choose another file with db=…"
    )
    assert as_nobody(db) == ["0", denied]
    shared.chmod(0o700 if os.geteuid() == 0 else 0)
    assert as_nobody(db) == [denied] * 2


def view(db: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()


def test_noise_is_between_equal_boots(db: Path) -> None:
    medians = (90.0, 100.0, 110.0, 100.0)
    for pair in (medians[:2], medians[2:]):
        summaries = tuple(summary(node, LATENCY, p50=value) for node, value in enumerate(pair, 1))
        write_run(db, session(), run(summaries=(*summaries, summary(0, LATENCY, p50=1.0))), METRICS)
    bad = (summary(1, LATENCY, p50=5000.0),)
    write_run(db, session(), run(status="failed", summaries=bad), METRICS)
    write_run(db, session(), run(environment=environment(cpus=2), summaries=bad), METRICS)
    found = view(
        db,
        "SELECT runs, boots, mean_p50, lowest_p50, highest_p50, deviation, spread FROM noise ORDER BY boots DESC",
    )
    assert found == [(2, 4, 100.0, 90.0, 110.0, 0.05, 0.2), (1, 1, 5000.0, 5000.0, 5000.0, 0.0, 0.0)]


def test_noise_is_of_the_newest_boots(db: Path) -> None:
    for p50 in (500.0, 90.0, 110.0):
        write_run(db, session(), run(nodes=1500, summaries=(summary(1, LATENCY, p50=p50),)), METRICS)
    assert view(db, "SELECT runs, boots, mean_p50, deviation FROM noise") == [(2, 2, 100.0, 0.1)]


def test_the_latest_results_are_those_of_each_suite_s_newest_run(db: Path) -> None:
    boot = run(nodes=1, suite="boot", summaries=(), samples=())
    for record in (run(), boot, run(nodes=3, status="failed")):
        write_run(db, session(), record, METRICS)
    found = view(
        db, "SELECT suite, run_id, run_status, count(*) FROM latest_results GROUP BY run_id ORDER BY run_id"
    )
    assert found == [("boot", 2, "ok", 2), ("performance", 3, "failed", 6)]


def test_the_history_of_a_metric_says_what_it_is_of(db: Path) -> None:
    write_run(db, session(), run(), METRICS)
    columns = "run_id, suite, status, kernel, clock, unit, node, p50, target, target_statistic"
    found = view(db, f"SELECT {columns} FROM metric_history WHERE metric = '{LATENCY}'")  # noqa: S608 -- our names
    expected = (1, "performance", "ok", "debian", "virtual", "ns")
    assert found == [(*expected, node, 1480.25, 500.0, "p95") for node in (1, 2)]


def test_the_latest_verdicts_are_the_newest_on_the_newest_judged_run(db: Path) -> None:
    for _ in range(3):
        write_run(db, session(), run(), METRICS)
    with writing(db) as connection:
        connection.executemany(
            "INSERT INTO verdicts (run_id, metric, outcome, method, baseline, created_at) VALUES (?, ?, ?, '', '', '')",
            [
                (1, LATENCY, "better"),
                (2, LATENCY, "unsure"),
                (2, LATENCY, "worse"),
                (2, "throughput.rate", "same"),
            ],
        )
    found = view(db, "SELECT run_id, metric, outcome FROM latest_verdicts ORDER BY metric")
    assert found == [(2, LATENCY, "worse"), (2, "throughput.rate", "same")]


def test_the_records_have_the_columns_of_their_tables() -> None:
    record = run()
    for table, row in (
        ("kernels", record.kernel), ("environments", record.environment), ("metrics", METRICS[0]),
        ("results", record.results[0]), ("summaries", record.summaries[0]), ("sessions", session()),
    ):  # fmt: skip
        fields = {field.name for field in dataclasses.fields(row)}
        columns = set(re.split(", ", TABLES[table]))
        assert columns - fields <= {"run_id", "finished_at"} | ({"id"} if table == "results" else set())
        assert fields <= columns
