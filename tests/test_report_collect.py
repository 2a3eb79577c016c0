from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import history_records as records
import pytest
import report_history
from report_history import RATE, SWITCH

from sistasks.errors import HistoryError
from sistasks.history.connection import writing
from sistasks.history.records import ResultRow
from sistasks.history.store import write_run
from sistasks.report import collect

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.report.records import RunReport


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def one(db: Path) -> RunReport:
    (report,) = collect(db)
    return report


def test_an_empty_history_is_one_sentence_and_no_file(db: Path) -> None:
    with pytest.raises(HistoryError, match=r"results\.db has no runs yet; measure first: doit test"):
        collect(db)
    assert not db.exists()


def test_what_is_no_history_is_one_sentence_and_untouched(db: Path) -> None:
    db.write_bytes(b"not a database at all" * 100)
    with pytest.raises(HistoryError, match="is not a database"):
        collect(db)
    assert db.read_bytes() == b"not a database at all" * 100


def test_a_newer_history_is_one_sentence(db: Path) -> None:
    report_history.write_runs(db, 1)
    with writing(db) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('sistasks', '9999_future', '')"
        )
    with pytest.raises(HistoryError, match="newer sistasks"):
        collect(db)


def test_the_latest_run_of_each_suite_and_every_way_of_its_session(db: Path) -> None:
    def run(suite: str, boot: str, session: str) -> int:
        record = records.run(suite=suite, environment=records.environment(boot=boot))
        return write_run(db, records.session(session), record, records.METRICS)

    run("boot", "direct", "first")
    run("boot", "uefi", "first")
    run("boot", "direct", "second")
    direct, uefi = run("boot", "direct", "second"), run("boot", "uefi", "second")
    performance = run("performance", "direct", "third")
    reports = collect(db)
    assert [(report.run.id, report.title) for report in reports] == [
        (direct, "boot (direct boot)"),
        (uefi, "boot (uefi boot)"),
        (performance, "performance"),
    ]


def test_the_history_is_of_the_same_suite_and_environment_up_to_this_run(db: Path) -> None:
    first, second = report_history.write_runs(db, 2)
    for changes in ({"suite": "other"}, {"environment": records.environment(memory_bytes=2**29)}):
        write_run(db, records.session(), records.run(**changes), records.METRICS)
    last = write_run(db, records.session("last"), report_history.measured(2, 1, seed=1), records.METRICS)
    (report,) = [report for report in collect(db) if report.run.id == last]
    assert [past.run_id for past in report.metrics[0].history] == [first, second, last]
    assert len(report.metrics[0].history[0].values) == 4
    assert report.metrics[0].history[0].kernel == "debian 6.1.0"


def test_samples_of_all_nodes_and_the_median_over_them(db: Path) -> None:
    report_history.write_runs(db, 1, nodes=3)
    metric = one(db).metrics[0]
    assert metric.definition.name == SWITCH
    assert metric.samples is not None
    assert metric.samples.shape == (1200,)
    assert metric.middle("p95") == sorted(row.p95 for row in metric.summaries)[1]
    assert (metric.problem, metric.one_sample) == ("", False)


@pytest.mark.parametrize(
    ("query", "problem", "kept"),
    [
        ("DELETE FROM samples", "no samples are kept", 0),
        ("UPDATE samples SET data = x'00' WHERE node = 1", "node 1: samples are damaged", 400),
    ],
)
def test_samples_that_cannot_be_had_are_said(db: Path, query: str, problem: str, kept: int) -> None:
    report_history.write_runs(db, 1, nodes=2)
    with writing(db) as connection:
        connection.execute(query)
    metric = one(db).metrics[0]
    assert metric.problem.startswith(problem)
    assert (0 if metric.samples is None else metric.samples.size) == kept


def test_the_newest_verdict_of_each_statistic_counts(db: Path) -> None:
    (run_id,) = report_history.write_runs(db, 1)
    for changes in (
        {"outcome": "worse"},
        {"statistic": "p99", "confirmed": 0},
        {"outcome": "same", "effect": 0.0},
    ):
        report_history.insert(db, "verdicts", report_history.verdict(run_id, **changes))
    report = one(db)
    assert [(row.name, row.outcome, row.regressed) for row in report.verdicts] == [
        (SWITCH, "same", False),
        (f"{SWITCH} p99", "worse", False),
    ]
    assert report.metrics[0].history[-1].outcome == "same"
    assert report.metrics[1].history[-1].outcome == ""


def test_change_points_are_places_in_the_history(db: Path) -> None:
    report_history.write_everything(db)
    switch, rate = one(db).metrics
    assert (switch.definition.name, rate.definition.name) == (SWITCH, RATE)
    assert (switch.changes, rate.changes) == ((8,), ())


def test_peaks_of_what_was_watched(db: Path) -> None:
    report_history.write_everything(db)
    report = one(db)
    first = report.usage[1]
    assert list(report.usage) == [0, 1, 2]
    assert (first.samples, first.peak_cpu_percent, first.avg_cpu_percent, first.peak_rss) == (
        3,
        70,
        60,
        120 << 20,
    )
    assert report.host_cpu == [50.0, 60.0, 70.0]


@pytest.mark.parametrize(
    ("clock", "accel", "missed", "enforced", "words"),
    [
        ("virtual", "tcg", "pass", False, "proves no claim about hardware"),
        ("wall", "tcg", "pass", False, "the machine is emulated"),
        ("wall", "kvm", "pass", False, "reported, not enforced"),
        ("wall", "kvm", "fail", True, "a missed one fails"),
        ("wall", "kvm", None, True, "a missed one fails"),
        ("wall", "tcg", None, False, "the machine is emulated"),
        ("virtual", "tcg", "fail", True, "a missed one fails"),
    ],
)  # fmt: skip
def test_whether_targets_were_enforced(
    db: Path, clock: str, accel: str, missed: str | None, enforced: object, words: str
) -> None:
    result = ResultRow(node=1, test="context_switch", status=missed or "pass", target_met=missed is None)
    record = records.run(environment=records.environment(clock=clock, accel=accel), results=(result,))
    write_run(db, records.session(), record, records.METRICS)
    report = one(db)
    assert report.enforced is enforced
    assert words in report.target_words


def test_a_run_that_measured_nothing(db: Path) -> None:
    record = records.run(status="error", message="QEMU ended", results=(), summaries=(), samples=())
    write_run(db, records.session(), record, records.METRICS)
    report = one(db)
    assert (report.metrics, report.verdicts, report.run.message) == ((), (), "QEMU ended")


def test_one_sample_is_one_sample(db: Path) -> None:
    row = dataclasses.replace(records.summary(1, SWITCH), count=1)
    write_run(db, records.session(), records.run(nodes=1, summaries=(row,), samples=()), records.METRICS)
    assert one(db).metrics[0].one_sample


def test_a_time_that_is_none_is_one_sentence(db: Path) -> None:
    report_history.write_runs(db, 1)
    with writing(db) as connection:
        connection.execute("UPDATE runs SET started_at = 'yesterday'")
    with pytest.raises(HistoryError, match="a time in the history is 'yesterday'"):
        collect(db)


def test_text_that_is_no_utf8_is_still_text(db: Path) -> None:
    report_history.write_runs(db, 1)
    with writing(db) as connection:
        connection.execute("UPDATE kernels SET name = CAST(x'ff41' AS TEXT)")
    assert one(db).kernel_title == "\N{REPLACEMENT CHARACTER}A 6.1.0"


def test_a_history_from_before_verdicts_had_a_statistic(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_id,) = report_history.write_runs(db, 1)
    with writing(db) as connection:
        columns = "run_id, metric, outcome, method, baseline, created_at"
        connection.execute(
            f"INSERT INTO verdicts ({columns}) VALUES (?, ?, 'same', '', '', '')",  # noqa: S608 - our own names
            (run_id, SWITCH),
        )
    records.make_older(db, 4, monkeypatch)
    before = db.read_bytes()
    assert [(row.name, row.outcome) for row in one(db).verdicts] == [(SWITCH, "same")]
    assert db.read_bytes() == before


def test_it_works_while_another_session_writes(db: Path) -> None:
    report_history.write_runs(db, 1)
    with writing(db) as connection:
        connection.execute("DELETE FROM runs")
        assert one(db).run.id == 1
