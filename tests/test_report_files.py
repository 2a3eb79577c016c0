from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import history_records as records
import pytest
import report_history
from report_history import RATE, SWITCH

from sistasks.errors import HistoryError
from sistasks.history.connection import writing
from sistasks.history.records import ResultRow
from sistasks.history.store import write_run
from sistasks.report import collect, junit, markdown_summary, write_report
from sistasks.report.words import plural, size
from sistasks.units import percent

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = (
    ResultRow(node=1, test="context_switch", status="pass", target_met=False, duration=1.5),
    ResultRow(node=1, test="throughput", status="fail", duration=0.5, message="wrong answer"),
    ResultRow(node=2, test="context_switch", status="error", message="the guest ended"),
    ResultRow(node=2, test="throughput", status="skip", message="not enough memory"),
)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def write(db: Path, **changes: Any) -> int:
    return write_run(db, records.session(), records.run(**changes), records.METRICS)


def suites(db: Path) -> list[ET.Element]:
    runs = collect(db)
    text = junit(runs, {run.run.id: run.verdicts for run in runs})
    return list(ET.fromstring(text).iter("testsuite"))  # noqa: S314 - our own document


def test_every_file_is_where_its_readers_look(db: Path, tmp_path: Path) -> None:
    report_history.write_everything(db)
    written = write_report(db, tmp_path / "out")
    assert {str(path.relative_to(tmp_path / "out")) for path in written} == {
        "orchestrator/validation_dashboard.html",
        "orchestrator/industry_validation_report.json",
        "orchestrator/performance_results.json",
        "qemu/results/performance_results.json",
        "qemu/results/test_report.html",
        "junit.xml",
    }
    assert written[0].name == "validation_dashboard.html"
    assert all(path.stat().st_size > 100 for path in written)
    assert not list((tmp_path / "out").rglob(".*"))


def test_ways_of_booting_have_a_file_each(db: Path, tmp_path: Path) -> None:
    for boot in ("direct", "uefi"):
        write(db, suite="boot", environment=records.environment(boot=boot))
    names = {path.name for path in write_report(db, tmp_path)}
    assert {"boot_direct_results.json", "boot_uefi_results.json"} <= names


def test_a_history_that_cannot_be_read_leaves_the_last_report(db: Path, tmp_path: Path) -> None:
    report_history.write_runs(db, 1)
    paths = write_report(db, tmp_path / "out")
    before = [path.read_bytes() for path in paths]
    db.write_bytes(b"gone")
    for name in ("results.db-wal", "results.db-shm"):
        db.with_name(name).unlink(missing_ok=True)
    with pytest.raises(HistoryError, match="not a database"):
        write_report(db, tmp_path / "out")
    assert [path.read_bytes() for path in paths] == before


def test_no_runs_write_no_file(db: Path, tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no runs yet"):
        write_report(db, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_targets_against_what_was_measured(db: Path, tmp_path: Path) -> None:
    report_history.write_runs(db, 1, nodes=3)
    write_report(db, tmp_path)
    report = json.loads((tmp_path / "orchestrator" / "industry_validation_report.json").read_text())
    assert report["summary"] == {"targets": 1, "met": 0, "missed": 1}
    (run,) = collect(db)
    switch, rate = report["metrics"]
    assert switch == {
        "run": 1, "suite": "performance", "metric": SWITCH, "unit": "ns", "better": "lower", "target": 500.0,
        "statistic": "p95", "measured": run.metrics[0].middle("p95"), "met": False, "enforced": False,
        "industry": "Linux 1-2 us", "nodes": 3, "samples": 1200,
    }  # fmt: skip
    assert (rate["metric"], rate["met"], rate["target"], rate["enforced"]) == (RATE, None, None, False)
    assert report["runs"][0]["kernel"]["release"] == "6.1.0"
    assert "one instruction counts as 1 ns" in report["runs"][0]["clock"]
    assert "reported, not enforced" in report["runs"][0]["targets"]


def test_the_results_are_those_that_the_run_wrote(db: Path, tmp_path: Path) -> None:
    report_history.write_runs(db, 1, nodes=2)
    write_report(db, tmp_path)
    one, other = (
        json.loads((tmp_path / folder / "performance_results.json").read_text())
        for folder in ("qemu/results", "orchestrator")
    )
    assert one == other
    assert (one["suite_name"], one["node_count"]) == ("performance_benchmark", 2)
    assert one["results"][0]["metrics"]["p95_latency_us"] > 5


def test_a_figure_that_is_no_number_is_one_sentence(db: Path, tmp_path: Path) -> None:
    report_history.write_runs(db, 1)
    with writing(db) as connection:
        connection.execute("UPDATE summaries SET p95 = 9e999")
    with pytest.raises(HistoryError, match="no number"):
        write_report(db, tmp_path)


def test_junit_tells_failures_errors_and_skipped_apart(db: Path) -> None:
    write(db, results=RESULTS, status="failed", message="node 1, throughput: wrong answer")
    (suite,) = suites(db)
    expected = {
        "name": "performance", "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "55.333",
        "hostname": "bench",
    }  # fmt: skip
    assert {key: suite.attrib[key] for key in expected} == expected
    cases = {(case.attrib["classname"], case.attrib["name"]): case for case in suite.iter("testcase")}
    assert list(cases["performance.node_1", "context_switch"]) == []
    told = {
        key: [(child.tag, child.attrib["message"]) for child in case]
        for key, case in cases.items()
        if len(case)
    }
    assert told == {
        ("performance.node_1", "throughput"): [("failure", "wrong answer")],
        ("performance.node_2", "context_switch"): [("error", "the guest ended")],
        ("performance.node_2", "throughput"): [("skipped", "not enough memory")],
    }
    assert cases["performance.node_1", "context_switch"].attrib["time"] == "1.500"


@pytest.mark.parametrize(("status", "element"), [("error", "error"), ("failed", "failure")])
def test_junit_never_passes_a_broken_run_over(db: Path, status: str, element: str) -> None:
    write(db, results=(), summaries=(), samples=(), status=status, message="QEMU ended")
    (suite,) = suites(db)
    (case,) = suite.iter("testcase")
    assert (case.attrib["name"], case[0].tag, case[0].attrib["message"]) == ("run", element, "QEMU ended")


def test_junit_has_the_verdicts(db: Path) -> None:
    report_history.write_everything(db)
    _, gate = suites(db)
    assert (gate.attrib["name"], gate.attrib["failures"], gate.attrib["skipped"]) == (
        "performance gate",
        "1",
        "1",
    )
    told = {case.attrib["name"]: [child.tag for child in case] for case in gate.iter("testcase")}
    # what fresh boots did not confirm fails nothing
    assert told == {SWITCH: ["failure"], f"{SWITCH} p99": [], RATE: ["skipped"]}
    assert "+12.1 % against run 11 (debian)" in next(gate.iter("failure")).attrib["message"]
    assert "too few boots" in next(gate.iter("skipped")).attrib["message"]


def test_markdown_has_state_metrics_verdicts_and_failures(db: Path) -> None:
    write(db, results=RESULTS, status="failed", message="node 1, throughput: wrong answer")
    report_history.insert(db, "verdicts", report_history.verdict(1))
    text = markdown_summary(collect(db))
    assert "1 run: 1 pass, 1 fail, 1 error, 1 skip" in text
    assert "### performance: ✕ failed" in text
    assert "| context\\_switch.latency | 1.48 µs | 1.60 µs | 1.70 µs | p95 ≤ 500 ns | ✕ missed |" in text
    assert "| context\\_switch.latency | 5.60 µs | 6.28 µs | +12.1 % | ✕ worse | 1.00 % |" in text
    assert "- ✕ node 1, throughput: wrong answer" in text
    assert "- ! node 2, context\\_switch: the guest ended" in text


def test_markdown_ends_a_long_list(db: Path) -> None:
    results = tuple(ResultRow(node=node, test="boot", status="fail", message="no") for node in range(1, 101))
    write(db, results=results, status="failed")
    text = markdown_summary(collect(db))
    assert text.count("- ✕") == 10
    assert "- and 90 more" in text


def test_words() -> None:
    assert [percent(share) for share in (None, 0.031, -0.5, 0.0)] == ["-", "+3.10 %", "-50.0 %", "+0.00 %"]
    assert [size(count) for count in (None, 120 << 20, 16 << 30)] == ["-", "120.0 MiB", "16.0 GiB"]
    assert [plural(count, "node") for count in (0, 1, 2)] == ["0 nodes", "1 node", "2 nodes"]


def test_what_a_person_accepted_is_no_failure_in_the_report(db: Path) -> None:
    run = write(db)
    report_history.insert(db, "verdicts", report_history.verdict(run))
    assert sum(int(suite.get("failures", "0")) for suite in suites(db)) == 1
    accepted = {
        "run_id": run,
        "kind": "accept",
        "text": "meant",
        "author": "a",
        "created_at": "2026-02-01T00:00:00Z",
    }
    report_history.insert(db, "annotations", accepted)
    assert sum(int(suite.get("failures", "0")) for suite in suites(db)) == 0


def test_runs_that_only_their_hosts_tell_apart_have_files_of_their_own(db: Path, tmp_path: Path) -> None:
    for host_cpu in ("one", "another"):
        write(db, environment=records.environment(host_cpu=host_cpu))
    titles = {run.title for run in collect(db)}
    written = write_report(db, tmp_path / "out")
    assert len(titles) == 2
    assert all(title.startswith("performance (environment ") for title in titles)
    assert len(set(written)) == len(written) == 4 + 2 * 2
