"""The gate, acceptance and comparison of runs that have findings."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import history_records as records
import pytest
from judged import NEITHER, accept, baseline, told, write

from sistasks import compare_steps
from sistasks.history.read import recent_kernels
from sistasks.history.records import FindingRow

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"runtime.smep": "pass", "config.slab": "fail", "image.w_xor_x": "pass"}
SEVERITY = {"runtime.smep": "high", "config.slab": "medium", "image.w_xor_x": "critical"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def security(db: Path, outcomes: dict[str, str], kernel: str = "old", **changes: Any) -> int:
    """A run of the security suite whose rules came to this."""
    rows = tuple(
        FindingRow(
            node=0, rule=rule, category=rule.partition(".")[0], severity=SEVERITY.get(rule, "low"),
            outcome=outcome, title=f"{rule} holds", evidence=f"{rule} was seen", source="somebody", reason="safer",
        )
        for rule, outcome in outcomes.items()
    )  # fmt: skip
    return write(db, NEITHER, kernel, suite="security", nodes=2, findings=rows, **changes)


def verdicts(db: Path) -> list[tuple[Any, ...]]:
    query = "SELECT run_id, rule, severity, outcome, was, now, k, n, reason, baseline FROM finding_verdicts ORDER BY id"
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()


def test_a_worse_finding_fails_the_gate_with_severity_and_evidence(db: Path) -> None:
    security(db, GOOD)
    code, words = told(db)
    assert (code, "has no baseline yet" in words) == (0, True)
    security(db, GOOD | {"runtime.smep": "fail", "config.slab": "pass", "image.w_xor_x": "fail"}, "new")
    code, words = told(db)
    assert code == 1
    assert words.endswith(
        "worse: image.w_xor_x fails (critical, image.w_xor_x was seen; run 2), "
        "runtime.smep fails (high, runtime.smep was seen; run 2); "
        "if that is meant: doit accept run=2 note='why'"
    )
    assert "security: findings of run 2 (new) against run 1 (old)" in words
    assert "findings: 2 worse, 1 better" in words
    assert verdicts(db) == [
        (2, "image.w_xor_x", "critical", "worse", "pass", "fail", None, None, "image.w_xor_x was seen", "run 1 (old)"),
        (2, "runtime.smep", "high", "worse", "pass", "fail", None, None, "runtime.smep was seen", "run 1 (old)"),
        (2, "config.slab", "medium", "better", "fail", "pass", None, None, "config.slab was seen", "run 1 (old)"),
    ]  # fmt: skip


def test_what_failed_before_is_the_kernels_way_and_passes(db: Path) -> None:
    security(db, GOOD)
    security(db, GOOD, "new")
    code, words = told(db)
    assert (code, "security: findings of run 2 (new) against run 1 (old): 3 same" in words) == (0, True)
    assert "seen" not in words  # no table where nothing differs


def test_a_regression_goes_on_failing_until_it_is_accepted(db: Path) -> None:
    security(db, GOOD)
    for number in (2, 3):
        assert security(db, GOOD | {"runtime.smep": "fail"}, f"kernel {number}") == number
        code, words = told(db)
        assert (code, "against run 1 (old)" in words) == (1, True), "a kernel that got worse is no baseline"
        assert ("run 3, since run 2)" in words) == (number == 3)
    assert baseline(db, 3) == [1]
    assert accept(db, 3, "meant")[0] == 0
    assert told(db)[0] == 0
    security(db, GOOD | {"runtime.smep": "fail"}, "next")
    code, words = told(db)
    assert (code, "against run 3 (kernel 3)" in words) == (0, True)
    # what was accepted is no regression of its kernel any more, and both are worth keeping
    assert len(recent_kernels(db, 30)) == 3


def test_a_failure_that_nobody_knew_is_told_and_one_that_was_not_found_out_warns(db: Path) -> None:
    security(db, GOOD)
    security(
        db,
        {"runtime.smep": "skip", "config.slab": "fail", "image.w_xor_x": "pass", "config.new": "fail"},
        "new",
    )
    code, words = told(db)
    assert (code, "* new" in words, "gate: passed, but 1 verdict is unsure" in words) == (0, True, True)
    code, words = told(db, strict=True)
    assert (code, "1 verdict is unsure, and strict=yes" in words) == (1, True)


def test_other_environments_and_suites_are_no_baseline(db: Path) -> None:
    security(db, GOOD)
    security(db, GOOD | {"runtime.smep": "fail"}, "new", environment=records.environment(memory_bytes=2**29))
    code, words = told(db)
    assert (code, "run 2 (new) has no baseline yet" in words) == (0, True)
    assert verdicts(db) == []


def test_names_and_evidence_are_no_markup_and_no_escapes(db: Path) -> None:
    hostile = "[red]\x1b[2J]0;x[/]"
    for kernel, outcome in (("old", "pass"), (hostile, "fail")):
        row = FindingRow(
            node=0,
            rule=hostile,
            category="config",
            severity="low",
            outcome=outcome,
            title=hostile,
            evidence=hostile,
        )
        write(db, NEITHER, kernel, suite="security", nodes=1, findings=(row,))
    code, words = told(db)
    assert (code, "\x1b" in words, "[red]" in words) == (1, False, True)


def test_two_kernels_side_by_side_differ_in_findings(db: Path) -> None:
    security(db, GOOD)
    security(db, GOOD | {"runtime.smep": "fail"}, "new")
    code, words = told(db, compare_steps.compare, base="old", head="new")
    assert (code, "! worse" in words, "findings: 1 worse, 2 same" in words) == (0, True, True)
    assert "measured nothing" not in words
    # the other way round it is better
    assert "findings: 1 better, 2 same" in told(db, compare_steps.compare, base="new", head="old")[1]
    security(db, GOOD, "third", environment=records.environment(memory_bytes=2**29))
    words = told(db, compare_steps.compare, base="new", head="third")[1]
    assert "? unsure" in words
    assert "different environments" in words
    assert verdicts(db) == [], "to look is not to judge"
