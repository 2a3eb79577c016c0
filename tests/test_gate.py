from __future__ import annotations

import io
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from typing import TYPE_CHECKING, Any

import history_records as records
import pytest
from judged import METRICS, RATE, SWITCH, accept, told, write
from rich.console import Console

from sistasks.history.connection import prepare
from sistasks.history.records import MetricRow
from sistasks.verdicts.baseline import RunInfo
from sistasks.verdicts.changes import LEAST_RUNS
from sistasks.verdicts.records import Verdict
from sistasks.verdicts.table import verdict_table

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0, 1020.0], RATE: [500.0, 510.0]}
SLOW = {SWITCH: [1120.0, 1142.4], RATE: [500.0, 510.0]}
DODO = "from sistasks.tasks import *\n"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()


def doit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As a person types it: exit codes are part of the contract."""
    (folder / "dodo.py").write_text(DODO)
    command = [sys.executable, "-m", "doit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_exit_codes_as_a_person_meets_them(db: Path) -> None:
    folder = db.parent
    write(db, SAME)
    first = doit(folder, "gate")
    assert (first.returncode, first.stderr) == (0, "")
    assert "performance: run 1 (old) has no baseline yet" in first.stdout
    write(db, SLOW, "new")
    slower = doit(folder, "gate")
    assert slower.returncode == 1
    assert slower.stderr == (
        "gate: worse: context_switch.latency +12.0% (p95 +12.0%, p99 +12.0%, run 2); "
        "if that is meant: doit accept run=2 note='why'\n"
    )
    assert "! worse" in slower.stdout
    unknown = doit(folder, "accept", "run=9")
    assert (unknown.returncode, "run 9 is not in the history" in unknown.stderr) == (3, True)
    assert doit(folder, "accept").returncode == 3
    assert doit(folder, "accept", "run=2", "note=it is safer so").returncode == 0
    after = doit(folder, "gate")
    assert (after.returncode, "run 2 (new) was accepted as the new normal" in after.stdout) == (0, True)
    assert rows(db, "select run_id, kind, text from annotations") == [(2, "accept", "it is safer so")]
    write(db, SAME, "third", status="error", message="QEMU went away")
    broken = doit(folder, "gate")
    assert broken.returncode == 2
    assert (
        "run 3 (performance, third) has nothing to judge, it ended in an error: QEMU went away"
        in broken.stderr
    )
    missing = doit(folder, "gate", "db=none.db")
    assert (missing.returncode, (folder / "none.db").exists()) == (2, False)


def test_what_is_no_history_is_left_alone(db: Path) -> None:
    text = db.with_name("text.db")
    text.write_text("this is no database, whatever its name says\n" * 100)
    newer = db.with_name("newer.db")
    prepare(newer)
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values ('sistasks', '0099_new', '')"
        )
    nothing = db.with_name("nothing.db")
    nothing.touch()
    empty = db.with_name("empty.db")
    prepare(empty)
    cases = {
        text: "is not a database",
        newer: "was written by a newer sistasks",
        nothing: "nothing has been measured yet",
        empty: "has no runs yet",
        db.parent: "is a directory",
    }
    for path, says in cases.items():
        before = path.read_bytes() if path.is_file() else b""
        code, words = told(path)
        assert (code, says in words) == (2, True), words
        assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_regression_is_named_and_stored_whole(db: Path) -> None:
    write(db, SAME)
    write(db, SLOW, "new")
    code, words = told(db)
    assert code == 1
    table = next(line for line in words.splitlines() if line.strip().startswith("context_switch.latency  "))
    assert table.split() == [
        "context_switch.latency", "1.01", "µs", "1.13", "µs", "+12.0%", "+12.0%", "…", "+12.0%", "!", "worse", "1.00%",
    ]  # fmt: skip
    stored = rows(
        db,
        """select run_id, metric, statistic, outcome, reason, baseline_value, value, round(effect, 6), round(low, 6),
           round(high, 6), p, q, n, k, mde, method, baseline, confirmed, seed from verdicts
           where metric = 'context_switch.latency' and statistic = 'p50'""",
    )
    assert stored == [
        (2, SWITCH, "p50", "worse", "", 1010.0, 1131.2, 0.12, 0.12, 0.12, None, None, 2, 2, 0.01, "node by node, exact",
         "run 1 (old)", None, None)
    ]  # fmt: skip
    assert rows(db, "select count(*) from verdicts") == [(6,)]
    assert told(db)[0] == 1
    assert rows(db, "select count(*) from verdicts") == [(12,)], "earlier verdicts stay"


def test_an_accepted_change_is_the_normal_of_what_comes_after(db: Path) -> None:
    write(db, SAME)
    write(db, SLOW, "new")
    assert told(db)[0] == 1
    assert accept(db, 2, "meant")[0] == 0
    assert told(db)[0] == 0
    write(db, SLOW, "next")
    code, words = told(db)
    assert (code, "against run 2 (new)" in words) == (0, True)
    write(db, {SWITCH: [1300.0, 1330.0], RATE: [500.0, 510.0]}, "slower still")
    assert told(db)[0] == 1


def test_a_regression_that_nobody_accepted_goes_on_failing(db: Path) -> None:
    write(db, SAME)
    for kernel in ("b", "b", "c"):
        write(db, SLOW, kernel)
        code, words = told(db)
        assert (code, "against run 1 (old)" in words) == (1, True)


def test_a_metric_that_disappeared_is_a_warning_and_strict_fails(db: Path) -> None:
    write(db, SAME)
    write(db, {RATE: SAME[RATE]}, "new")
    code, words = told(db, quiet=True)
    assert code == 0
    assert "this run did not measure it, run 1 did" in words
    assert "gate: passed, but 3 verdicts are unsure" in words
    code, words = told(db, strict=True)
    assert (code, "3 verdicts are unsure, and strict=yes" in words) == (1, True)
    stored = rows(db, "select outcome, reason, value from verdicts where metric = 'context_switch.latency'")
    assert set(stored) == {("unsure", "this run did not measure it, run 1 did", None)}


def test_strict_passes_where_there_is_nothing_to_judge_by(db: Path) -> None:
    write(db, SAME)
    assert told(db, strict=True)[0] == 0


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(("failed", "error"), 1), (("error", "failed"), 1), (("ok", "error"), 2), (("ok",), 0)],
)
def test_a_run_that_did_not_end_well(db: Path, statuses: tuple[str, ...], code: int) -> None:
    for suite, status in zip(("boot", "performance"), statuses, strict=False):
        write(db, SAME, suite=suite, status=status, message="because")
    found, words = told(db)
    assert found == code
    assert words.count("because") >= len([status for status in statuses if status != "ok"])


def test_the_wall_clock_without_a_kept_kernel_is_unsure_in_words(db: Path) -> None:
    for index in range(3):
        values = {SWITCH: [1000.0 + node + index for node in range(6)], RATE: [500.0] * 6}
        write(db, values, clock="wall", session=f"s{index}")
    write(
        db,
        {SWITCH: [1300.0 + node for node in range(6)], RATE: [500.0] * 6},
        "new",
        clock="wall",
        session="x",
    )
    code, words = told(db, kernel="/nonexistent")
    assert code == 0
    assert "flagged, but not confirmed: the kernel of run 4 is not at hand" in words
    stored = rows(
        db, "select outcome, confirmed from verdicts where metric like 'context%' and statistic = 'p50'"
    )
    assert stored == [("unsure", None)]
    assert told(db, kernel="/nonexistent", strict=True)[0] == 1


HOSTILE = (
    "<script>alert(1)</script>", "[bold]x[/bold]", "[/]", "a\\", "it's \"quoted\"", "nul\0byte", "\x1b[2J\x07",
    "x" * 10_000, "two\nlines", "§ü漢\u202e",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_and_obeyed_by_nobody(db: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = db.with_name("page.md")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    metrics = (MetricRow(name=name, unit=name, better="lower"), *METRICS)
    write(db, {name: [1000.0], **SAME}, name, metrics=metrics)
    write(db, {name: [2000.0], **SAME}, name + "2", metrics=metrics)
    code, words = told(db)
    assert code == 1
    assert {char for char in words if not char.isprintable()} <= {"\n"}
    assert max(map(len, words.splitlines())) < 1000
    if len(name) < 40 and name.isprintable():
        assert f"{name} +100.0% (p95 +100.0%, p99 +100.0%, run 2)" in words
        assert f"against run 1 ({name})" in words
    ET.fromstring(db.parent.joinpath("out", "junit.xml").read_bytes())  # noqa: S314 - our own file
    assert "<script>" not in page.read_text()
    write(db, {name: [1000.0]}, "third", metrics=metrics, status="failed", message=name)
    assert told(db)[0] == 1


def test_ci_reads_the_same_outcome(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = db.with_name("page.md")
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    write(db, SAME)
    write(db, SLOW, "new")
    assert told(db)[0] == 1
    junit = db.parent / "out" / "junit.xml"
    found = ET.parse(junit).getroot()  # noqa: S314 - our own file
    assert found.get("failures") == "3"
    assert page.read_text().startswith("before\n## sistasks")
    assert "worse" in page.read_text()
    accept(db, 2)
    assert told(db)[0] == 0
    assert ET.parse(junit).getroot().get("failures") == "0"  # noqa: S314 - our own file
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(db.parent / "no" / "page.md"))
    code, words = told(db)
    assert (code, "cannot be written: No such file or directory" in words) == (0, True)


def test_since_when(db: Path) -> None:
    write(db, {SWITCH: [1000.0], RATE: [500.0]}, "base")
    for index in range(1, LEAST_RUNS + 4):
        scale = 1.0 if index < 7 else 1.2
        write(db, {SWITCH: [scale * (1000.0 + index % 3)], RATE: [500.0 + index % 2]}, "dev")
        code, words = told(db)
        assert code == (0 if index < 7 else 1)
    assert "context_switch.latency +20.1% (p95 +20.1%, p99 +20.1%, run 14, since run 8)" in words
    assert "throughput.rate" not in words.split("worse: ")[-1]
    points = rows(
        db,
        """select metric, statistic, run_id, before_run_id, round(effect, 2), n, advisory, method, seed
           from change_points order by 2""",
    )
    assert points == [(SWITCH, one, 8, 7, 0.2, 14, 0, "rank-CUSUM", 1) for one in ("p50", "p95", "p99")]


def test_change_points_of_runs_that_were_not_looked_at_stay(db: Path) -> None:
    for index in range(16):
        write(db, {SWITCH: [1000.0 if index < 8 else 1100.0]}, f"k{index}")
    environment = records.environment().id
    other = records.environment(guest_sha256="x")
    write(db, SAME, environment=other, suite="boot")
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.executemany(
            "insert into change_points (metric, statistic, environment_id, run_id, before_run_id, effect, p, n, method,"
            " created_at) values (?, 'p50', ?, ?, 1, 9, 0, 1, 'old', '')",
            [(SWITCH, environment, 3), (SWITCH, other.id, 3), (RATE, environment, 3)],
        )
    told(db)
    points = rows(
        db,
        "select metric, environment_id, run_id, method from change_points where statistic = 'p50' order by 1, 3, 4",
    )
    assert points == [
        (SWITCH, other.id, 3, "old"),
        (SWITCH, environment, 9, "rank-CUSUM"),
        (RATE, environment, 3, "old"),
    ]


def test_an_older_history_is_brought_up_to_date(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(db, SAME)
    write(db, SLOW, "new")
    records.make_older(db, 4, monkeypatch)
    assert told(db)[0] == 1
    assert rows(db, "select count(*) from verdicts where statistic = 'p99'") == [(2,)]


def test_no_figure_is_cut_on_a_narrow_terminal() -> None:
    name = "memory_allocation.fragmentation"
    verdicts = [
        Verdict(
            metric=name,
            unit="ns",
            baseline_value=22_512.0,
            value=174_000.0,
            effect=6.76,
            mde=0.2417,
            low=-0.5,
            high=7.0,
            statistic=statistic,
            outcome="unsure",
            baseline="runs 1-2",
        )
        for statistic in ("p50", "p95", "p99")
    ]
    run = RunInfo(
        id=3, suite="performance", kernel_id="k", kernel_name="debian", environment_id="e", clock="wall", accel="tcg",
        status="ok", message="", nodes=1, iterations=1, seed=1, session_id="s", started_at="",
    )  # fmt: skip
    shown = {}
    for width in (60, 80, 132):
        out = io.StringIO()
        Console(file=out, width=width).print(verdict_table(run, verdicts, width))
        shown[width] = out.getvalue()
        for figure in ("22.5 µs", "174 µs", "+676.0%", "? unsure", "24.17%"):
            assert shown[width].count(figure) == 3, shown[width]
    assert shown[80].count(name) == 1
    assert shown[132].count(name) == 3
    assert "-50.0% … +700.0%" in shown[132]
