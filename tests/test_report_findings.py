"""Findings in every form of the report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import history_records as records
import pytest
import report_history
from test_report_pages import Page, make_hostile

from sistasks.history.store import write_run
from sistasks.report import collect, junit, markdown_summary
from sistasks.report.pages import dashboard, results_page

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.report.records import RunReport


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def one(db: Path) -> RunReport:
    (report,) = collect(db)
    return report


def cases(db: Path) -> dict[str, tuple[str, str]]:
    """Of each rule the element below its test case, and what that says."""
    suites = ET.fromstring(junit(collect(db), {})).iter("testsuite")  # noqa: S314 - our own document
    (suite,) = [each for each in suites if each.attrib["name"] == "security findings"]
    return {
        case.attrib["name"]: (case[0].tag, case[0].attrib["message"]) if len(case) else ("", "")
        for case in suite.iter("testcase")
    }


def test_rules_are_gathered_over_nodes_the_worst_first(db: Path) -> None:
    report_history.write_security(db)
    report = one(db)
    assert [(rule.first.rule, rule.outcome, rule.where) for rule in report.rules] == [
        ("runtime.smep", "fail", "on 1 of 2 nodes (1)"),
        ("config.slab", "fail", ""),
        ("image.w_xor_x", "error", ""),
        ("config.bpf", "skip", ""),
        ("config.kexec", "pass", ""),
        ("own.rule", "pass", ""),
    ]
    assert list(report.rules_by_category) == ["runtime", "image", "config", "own"]
    assert report.changed == {"runtime.smep": "worse", "image.w_xor_x": "unsure"}


def test_the_newest_verdict_on_a_rule_counts(db: Path) -> None:
    number = report_history.write_security(db)
    row = {"run_id": number, "rule": "runtime.smep", "severity": "critical", "outcome": "same", "reason": ""}
    report_history.insert(db, "finding_verdicts", {**row, "baseline": "run 1 (a)", "created_at": "later"})
    assert {one.rule: one.outcome for one in one(db).finding_verdicts}["runtime.smep"] == "same"


def test_the_dashboard_tells_failures_in_full(db: Path) -> None:
    report_history.write_security(db)
    page = Page(dashboard(collect(db)))
    for words in (
        "2 of 6 findings failed: 1 critical, 1 high",
        "1 confirmed as worse, of 4 verdicts",
        "▲▲ critical what runtime.smep asks for runtime.smep ✕ worse on 1 of 2 nodes (1): what was seen of it",
        "why it asks Source: KSPP",
        "The kernel's configuration 3 rules: 1 failed (1 high), 1 skipped, 1 passed",
        "own 1 rule: 1 passed",
        "Findings: 1 worse, 1 unsure, 1 better, 1 same. Against run 12 (debian).",
        "config.kexec △ medium ✕ fail ✓ pass ◆ better",
        "image.w_xor_x · info ✓ pass ! error □ unsure run 12 passed it, this run could not tell",
    ):
        assert words in page.text, words
    assert "Nothing was measured" not in page.text
    assert "was not judged" not in page.text
    # what needs a look is open, and the rest is a click away
    opened = [attrs for tag, attrs in page.elements if tag == "details" and "open" in attrs]
    assert len(opened) == 3


def test_a_report_without_findings_says_who_would_look(db: Path) -> None:
    report_history.write_runs(db, 1)
    text = Page(dashboard(collect(db))).text
    assert "No rule was looked at: doit security does that." in text
    assert "findings failed" not in text


def test_the_test_page_has_what_failed(db: Path) -> None:
    report_history.write_security(db)
    text = Page(results_page(collect(db))).text
    assert "6 rules: 2 failed (1 critical, 1 high), 1 could not be told, 1 skipped, 2 passed." in text
    assert "▲ high what config.slab asks for config.slab : what was seen of it" in text
    assert "config.kexec" not in text


def test_junit_fails_what_got_worse_and_passes_over_no_failure(db: Path) -> None:
    report_history.write_security(db)
    found = cases(db)
    assert {rule: element for rule, (element, _) in found.items()} == {
        "runtime.smep": "failure", "config.slab": "skipped", "image.w_xor_x": "skipped", "config.bpf": "skipped",
        "config.kexec": "", "own.rule": "",
    }  # fmt: skip
    assert found["runtime.smep"][1] == (
        "fail, severity critical: what runtime.smep asks for; on 1 of 2 nodes (1): what was seen of it; "
        "worse against run 12 (debian)"
    )
    assert found["config.slab"][1].endswith("same against run 12 (debian)")


def test_junit_fails_no_finding_that_nobody_judged_or_that_is_accepted(db: Path) -> None:
    report_history.write_security(db, judged=False)
    assert {element for element, _ in cases(db).values()} == {"skipped", ""}
    number = report_history.write_security(db)
    report_history.insert(
        db, "annotations", {"run_id": number, "kind": "accept", "text": "", "author": "a", "created_at": ""}
    )
    assert {element for element, _ in cases(db).values()} == {"skipped", ""}


def test_markdown_has_failures_and_what_differs(db: Path) -> None:
    report_history.write_security(db)
    text = markdown_summary(collect(db))
    assert "findings: 6 rules: 2 failed (1 critical, 1 high)" in text
    assert (
        "| ▲▲ critical | what runtime.smep asks for (runtime.smep) | "
        "on 1 of 2 nodes \\(1\\): what was seen of it |" in text
    )
    assert "verdicts on findings: 1 worse, 1 unsure, 1 better, 1 same" in text
    assert "| runtime.smep | critical | pass | fail | ✕ worse: on 1 of 2 nodes: seen |" in text
    assert "| config.kexec | medium | fail | pass | ◆ better |" in text


def test_markdown_ends_a_long_list(db: Path) -> None:
    rows = tuple(report_history.finding(f"config.rule{number}", "fail") for number in range(40))
    run = records.run(suite="security", findings=rows, summaries=(), samples=())
    write_run(db, records.session(), run, ())
    text = markdown_summary(collect(db))
    assert text.count("| △ medium |") == 15
    assert "and 25 more (25 medium)" in text


def test_hostile_words_are_words(db: Path) -> None:
    report_history.write_security(db)
    assert {
        "findings.evidence",
        "findings.rule",
        "findings.category",
        "finding_verdicts.reason",
    } <= make_hostile(db)
    for text in (dashboard(collect(db)), results_page(collect(db))):
        page = Page(text)
        assert "script" not in page.tags()
        assert "<script>alert(1)</script>" in page.text
    assert not re.search(r"<[a-z/!]|(?<!\\)[`\[]|\x00", markdown_summary(collect(db)))
    suites = ET.fromstring(junit(collect(db), {})).iter("testsuite")  # noqa: S314 - our own document
    assert any(
        "<script>alert(1)" in case.attrib["name"] for suite in suites for case in suite.iter("testcase")
    )


def test_a_history_from_before_findings_has_none(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_history.write_runs(db, 1)
    records.make_older(db, 9, monkeypatch)
    assert (one(db).rules, one(db).finding_verdicts) == ([], ())
