"""Findings in the history: kept whole, read in order, and kept from being forgotten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import history_records as records
import pytest
import report_history
from judged import NEITHER, told, write

from sistasks.errors import HistoryError
from sistasks.history import read
from sistasks.history.artifacts import precious_runs
from sistasks.history.connection import open_to_read
from sistasks.history.findings import by_category, by_rule, findings_of
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.history.records import FindingRow


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def write_findings(db: Path, *found: FindingRow, suite: str = "security") -> int:
    run = records.run(suite=suite, findings=found, summaries=(), samples=())
    return write_run(db, records.session(), run, ())


def test_what_was_found_is_what_is_read(db: Path) -> None:
    assert findings_of(db, 1) == ()
    assert not db.exists()
    number = write_findings(db, *report_history.FINDINGS)
    found = findings_of(db, number)
    assert sorted(found, key=str) == sorted(report_history.FINDINGS, key=str)
    stored = read.latest_run(db, "security")
    assert stored is not None
    assert stored.findings == found
    assert findings_of(db, 99) == ()


@pytest.mark.parametrize("changes", [{"severity": "awful"}, {"outcome": "maybe"}])
def test_a_finding_of_no_known_kind_is_refused_with_its_run(db: Path, changes: dict[str, str]) -> None:
    row = report_history.finding("config.a", **{"outcome": "fail", **changes})
    with pytest.raises(HistoryError, match="refuses a row"):
        write_findings(db, row)
    assert read.run_count(db) == 0


def test_a_history_from_before_reasons_has_the_rest(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_findings(db, report_history.finding("config.a", "fail"))
    records.make_older(db, 10, monkeypatch)
    (row,) = findings_of(db, 1)
    assert (row.rule, row.evidence, row.reason) == ("config.a", "what was seen of it", "")


def test_rules_are_in_order_of_weight_and_of_categories() -> None:
    found = [
        report_history.finding("config.b", "pass", severity="critical"),
        report_history.finding("config.a", "fail", severity="low"),
        report_history.finding("image.c", "fail", severity="high"),
        report_history.finding("own.d", "error", severity="critical"),
        report_history.finding("fuzz.e", "skip"),
    ]
    rules = by_rule(found)
    assert [rule.first.rule for rule in rules] == ["image.c", "config.a", "own.d", "fuzz.e", "config.b"]
    assert {name: [rule.first.rule for rule in these] for name, these in by_category(rules).items()} == {
        "fuzz": ["fuzz.e"], "image": ["image.c"], "config": ["config.a", "config.b"], "own": ["own.d"],
    }  # fmt: skip


def test_the_latest_findings_are_those_of_the_newest_run_that_has_some(db: Path) -> None:
    write_findings(db, report_history.finding("config.old", "fail"))
    newest = write_findings(db, report_history.finding("config.new", "fail"))
    other = write_findings(db, report_history.finding("network.a", "pass"), suite="penetration")
    write_findings(db)  # it ended before anything was found out
    report_history.insert(db, "finding_verdicts", {
        "run_id": newest, "rule": "config.new", "severity": "medium", "outcome": "new", "reason": "", "baseline": "",
        "created_at": "",
    })  # fmt: skip
    with closing(sqlite3.connect(db)) as connection:
        rows = connection.execute("SELECT run_id, rule, verdict FROM latest_findings ORDER BY run_id")
        assert rows.fetchall() == [(newest, "config.new", "new"), (other, "network.a", None)]


@pytest.mark.parametrize("now", ["fail", "pass"])
def test_evidence_of_what_findings_were_judged_by_is_precious(db: Path, now: str) -> None:
    before, judged = (
        write(db, NEITHER, kernel, suite="security", findings=(report_history.finding("config.a", outcome),))
        for kernel, outcome in (("old", "pass"), ("new", now))
    )
    assert told(db)[0] == (now == "fail")
    with closing(sqlite3.connect(db)) as connection, connection:
        for number in (before, judged):
            connection.execute(
                """INSERT INTO artifacts (run_id, node, kind, path, size, sha256, created_at)
                    VALUES (?, 1, 'logs', '', 0, '', '')""",
                (number,),
            )
    worse = dict.fromkeys((before, judged), "of an open regression")
    with closing(open_to_read(db)) as connection:
        assert precious_runs(connection) == (worse if now == "fail" else {before: "of a baseline"})
