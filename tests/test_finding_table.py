from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from sistasks.history.records import FindingRow
from sistasks.layout import Layout
from sistasks.settings import Settings
from sistasks.suites.finding_table import show_findings
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def finding(number: int, outcome: str = "fail", severity: str = "high", **changes: Any) -> FindingRow:
    fields: dict[str, Any] = {
        "node": 0, "rule": f"config.rule_{number}", "category": "config", "title": f"asks for {number}",
        "evidence": f"saw {number}",
    }  # fmt: skip
    return FindingRow(outcome=outcome, severity=severity, **{**fields, **changes})


def told(tmp_path: Path, found: Sequence[FindingRow], **variables: Any) -> str:
    said = io.StringIO()
    with Terminal(Settings(output=tmp_path, **variables), Layout(tmp_path), said) as terminal:
        show_findings("security", found, terminal)
    return said.getvalue()


def test_failures_are_shown_by_severity_and_all_are_counted(tmp_path: Path) -> None:
    found = [
        finding(1, severity="low"),
        finding(2, severity="critical"),
        finding(3, "pass"),
        finding(4, "skip"),
        finding(5, "error"),
        finding(6, severity="medium"),
    ]
    words = told(tmp_path, found)
    assert [words.index(f"config.rule_{number}") for number in (2, 6, 1)] == sorted(
        words.index(f"config.rule_{number}") for number in (2, 6, 1)
    )
    assert not any(f"config.rule_{number}" in words for number in (3, 4, 5))
    assert words.splitlines()[-1] == (
        "security: 6 rules: 3 failed (1 critical, 1 medium, 1 low), 1 could not be told, 1 skipped, 1 passed"
    )
    assert "asks for 2" in words
    assert "saw 2" in words


def test_many_failures_are_counted_beyond_what_a_person_reads(tmp_path: Path) -> None:
    found = [finding(number, severity="high" if number < 10 else "info") for number in range(40)]
    words = told(tmp_path, found)
    assert words.count("config.rule_") == 15
    assert "and 25 more (25 info): verbose=yes shows them" in words
    whole = told(tmp_path, [*found, finding(50, "pass")], verbose=True)
    assert whole.count("config.rule_") == 41
    assert "more" not in whole
    assert "saw 50" in whole


def test_where_nodes_differ_they_are_named(tmp_path: Path) -> None:
    found = [finding(1, "fail" if node != 2 else "pass", node=node) for node in range(1, 9)]
    words = told(tmp_path, found)
    assert "on 7 of 8 nodes (1, 3, 4, 5, 6, …): saw 1" in words
    assert "security: 1 rule: 1 failed (1 high)" in words


def test_without_failures_there_is_one_line_and_without_findings_none(tmp_path: Path) -> None:
    assert told(tmp_path, [finding(1, "pass"), finding(2, "pass")]) == "security: 2 rules: 2 passed\n"
    assert told(tmp_path, []) == ""


@pytest.mark.parametrize("verbose", [False, True])
def test_what_a_guest_says_is_no_markup_and_steers_no_terminal(tmp_path: Path, verbose: bool) -> None:
    words = told(tmp_path, [finding(1, evidence="[red]\x1b[2J[/]", title="[b]")], verbose=verbose)
    assert "\x1b" not in words
    assert "[red]" in words
    assert "[b]" in words


def test_a_narrow_terminal_has_what_was_seen_and_leaves_out_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Terminal, "width", 60)
    words = told(tmp_path, [finding(1)])
    assert "saw 1" in words
    assert "asks for" not in words
    assert max(map(len, words.splitlines())) <= 60
