from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest
from history_records import METRICS, run, session, summary

from sistasks.history import read
from sistasks.history.exports import results_name, suite_json
from sistasks.history.records import FindingRow, MetricRow, ResultRow
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from pathlib import Path

RESULTS = (
    ResultRow(node=1, test="context_switch", status="pass", target_met=True, duration=2.0),
    ResultRow(node=2, test="context_switch", status="fail", message="too slow"),
    ResultRow(node=1, test="throughput", status="error", message="the guest did not report this test"),
    ResultRow(node=2, test="throughput", status="skip", message="not asked"),
)


def test_files_are_named_by_suite_and_way_of_booting() -> None:
    assert results_name("performance") == "performance_results.json"
    assert results_name("boot", "uefi") == "boot_uefi_results.json"
    names = {results_name(suite) for suite in ("../a", "a", ".a", "a/b", "a" * 90, "a" * 91, "")}
    assert len(names) == 7
    assert not any("/" in name or name.startswith(".") for name in names)


def test_the_form_that_other_programs_read() -> None:
    found = suite_json(run(results=RESULTS), METRICS, "performance_benchmark")
    results = found.pop("results")
    assert found == {
        "suite_name": "performance_benchmark",
        "start_time": 1769903999.000125,
        "end_time": 1769904054.333125,
        "duration": 55.333,
        "node_count": 2,
        "timestamp": "2026-01-31T23:59:59.000125Z",
        "status": "ok",
        "message": "",
        "skipped": [{"test_name": "throughput", "node_id": 2, "message": "not asked"}],
        "summary": {
            "total_tests": 3,
            "passed_tests": 1,
            "failed_tests": 2,
            "skipped_tests": 1,
            "overall_success_rate": 1 / 3,
        },
        "findings": [],
        "resources": {},
    }
    assert [(item["test_name"], item["node_id"], item["success"]) for item in results] == [
        ("context_switch", 1, True),
        ("context_switch", 2, False),
        ("throughput", 1, False),
    ]


def test_latencies_are_there_in_both_units() -> None:
    rows = (summary(1, "context_switch.latency", p50=1480.0), summary(2, "context_switch.latency", p50=7.0))
    metrics = suite_json(run(results=RESULTS[:1], summaries=rows), METRICS)["results"][0]["metrics"]
    expected = {"mean": 1500.5, "min": 1400.0, "p50": 1480.0, "p95": 1600.0, "p99": 1700.0, "max": 9000.0}
    for statistic, value in expected.items():
        assert metrics[f"{statistic}_latency_ns"] == value
        assert metrics[f"{statistic}_latency_us"] == value / 1000
    assert (metrics["std_dev_us"], metrics["std_dev_ns"]) == (0.01275, 12.75)
    assert metrics["latency_samples"] == 6
    assert not any("operations" in name for name in metrics)


def test_rates_and_shares_carry_their_unit() -> None:
    definitions = [
        *METRICS,
        MetricRow(name="throughput.sustained", unit="ops/s", better="higher"),
        MetricRow(name="throughput.idle", unit="ppm", better="lower"),
    ]
    rows = (
        summary(1, "throughput.rate", mean=723_839.5),
        summary(1, "throughput.sustained", mean=700_478.5),
        summary(1, "throughput.idle", mean=12.0),
    )
    record = run(results=RESULTS[2:3], summaries=rows)
    metrics = suite_json(record, definitions)["results"][0]["metrics"]
    assert metrics["operations_per_second"] == metrics["mean_rate_ops_per_s"] == 723_839.5
    assert metrics["sustained_operations_per_second"] == metrics["mean_sustained_ops_per_s"] == 700_478.5
    assert metrics["mean_idle_ppm"] == 12.0
    assert metrics["std_dev_idle_ppm"] == 12.75


def test_nothing_judged_is_no_success() -> None:
    assert suite_json(run(results=()), METRICS)["summary"]["overall_success_rate"] == 0.0


def test_a_metric_without_a_definition_has_no_unit() -> None:
    with pytest.raises(KeyError, match=r"throughput\.rate"):
        suite_json(run(), METRICS[:1])


def test_a_stored_run_gives_the_same(tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    record = run(results=RESULTS)
    write_run(db, session(), record, METRICS)
    stored = read.latest_run(db, "performance")
    assert stored is not None
    by_node = dataclasses.replace(record, results=tuple(sorted(RESULTS, key=lambda row: row.node)))
    assert suite_json(stored, read.metrics_of(db)) == suite_json(by_node, METRICS)
    json.dumps(suite_json(stored, METRICS), allow_nan=False)


def test_findings_are_a_list_for_programs(tmp_path: Path) -> None:
    row = FindingRow(
        node=2, rule="runtime.smep", category="runtime", severity="high", outcome="fail", title="SMEP is on",
        evidence="cr4=0", source="Intel", reason="a pointer that was redirected leads nowhere",
    )  # fmt: skip
    record = run(findings=(row,))
    expected = {
        "rule": "runtime.smep", "category": "runtime", "node_id": 2, "severity": "high", "outcome": "fail",
        "title": "SMEP is on", "evidence": "cr4=0", "reason": "a pointer that was redirected leads nowhere",
        "source": "Intel",
    }  # fmt: skip
    assert suite_json(record, METRICS)["findings"] == [expected]
    # of what was written, too
    write_run(tmp_path / "results.db", session(), record, METRICS)
    stored = read.latest_run(tmp_path / "results.db", record.suite)
    assert stored is not None
    assert suite_json(stored, METRICS)["findings"] == [expected]
