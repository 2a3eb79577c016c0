"""Lines in which guests tell what they saw of rules, and the rows that they become."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.cluster.nodes import NodeReport
from sistasks.guest.frames import Frame, FrameError, FrameType
from sistasks.machine.results import Allowed, GuestResults
from sistasks.protocols.findings import EVIDENCE_MAX, OUTCOMES, Seen, parse
from sistasks.suites.security import assess, rules

RULE = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=80)


@given(RULE, st.sampled_from(OUTCOMES), st.text(max_size=100))
def test_what_is_told_is_read(rule: str, outcome: str, evidence: str) -> None:
    assert parse(f"FINDING {rule} {outcome} {evidence}") == Seen(rule, outcome, evidence.strip())


@given(st.text())
def test_any_other_text_is_refused_or_bounded(text: str) -> None:
    for line in (text, f"FINDING {text}"):
        try:
            seen = parse(line)
        except ValueError:
            continue
        assert seen.outcome in OUTCOMES
        assert len(seen.evidence) <= EVIDENCE_MAX


def _frame(kind: FrameType, payload: bytes) -> Frame:
    return Frame(kind, 0, payload)


def _began(test: str = "hardening") -> GuestResults:
    results = GuestResults(allowed=Allowed(tests=(test,), programs=frozenset()))
    results.take(_frame(FrameType.BEGIN, f"test={test}\n".encode()))
    return results


def test_findings_of_a_guest_are_kept_apart_from_its_lines() -> None:
    results = _began()
    results.take(_frame(FrameType.LINES, b"FINDING runtime.a pass it held\nFINDING runtime.b fail\n"))
    assert results.findings == [Seen("runtime.a", "pass", "it held"), Seen("runtime.b", "fail")]
    assert results.lines == {}


@pytest.mark.parametrize("line", [b"METRIC a=1", b"FINDING ", b"FINDING Rule pass", b"FINDING a maybe"])
def test_what_is_no_finding_is_damage_in_a_test_that_prints_nothing_else(line: bytes) -> None:
    with pytest.raises(FrameError):
        _began().take(_frame(FrameType.LINES, line + b"\n"))


def test_a_guest_cannot_tell_findings_without_end() -> None:
    results = _began()
    payload = b"FINDING runtime.a pass\n" * 1000
    results.take(_frame(FrameType.LINES, payload))
    results.take(_frame(FrameType.LINES, payload))
    with pytest.raises(FrameError, match="more than 2000 findings"):
        results.take(_frame(FrameType.LINES, b"FINDING runtime.a pass\n"))


def _report(number: int, *seen: Seen) -> NodeReport:
    return NodeReport(
        number=number, seed=1, results=GuestResults(findings=list(seen)), error=None, started=0.0, ready=0.0,
        finished=0.0, console=Path("console.log"),
    )  # fmt: skip


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> rules.Rule:
    rule = rules.Rule(
        name="runtime.a",
        category="runtime",
        severity="high",
        title="A holds",
        reason="or else",
        source="page",
    )
    known = {"runtime.a": rule, "runtime.b": replace(rule, name="runtime.b", severity="low")}
    monkeypatch.setattr(assess, "all_rules", lambda: known)
    return rule


def test_nodes_that_agree_are_one_row_and_others_one_each(described: rules.Rule) -> None:
    rows = assess.rows(
        [
            _report(1, Seen("runtime.a", "pass", "one"), Seen("runtime.b", "fail", "seen")),
            _report(2, Seen("runtime.a", "fail", "two"), Seen("runtime.b", "fail", "seen otherwise")),
        ]
    )
    assert [(row.rule, row.node, row.outcome, row.severity, row.evidence) for row in rows] == [
        ("runtime.a", 1, "pass", "high", "one"),
        ("runtime.a", 2, "fail", "high", "two"),
        ("runtime.b", 0, "fail", "low", "seen"),
    ]


def test_of_what_one_node_tells_twice_the_worst_counts(described: rules.Rule) -> None:
    (row,) = assess.rows([_report(1, Seen("runtime.a", "pass"), Seen("runtime.a", "fail", "late"))])
    assert (row.outcome, row.evidence) == ("fail", "late")


def test_a_rule_that_nobody_described_is_an_error_and_not_lost(described: rules.Rule) -> None:
    (row,) = assess.rows([_report(1, Seen("runtime.unheard_of", "pass", "words"))])
    assert (row.outcome, row.evidence, row.title) == ("error", "words", "a rule that is not described")


def test_rules_are_whole() -> None:
    found = rules.all_rules()
    assert sum(len(rules.load(category)) for category in rules.CATEGORIES) == len(found)
    for name, rule in found.items():
        assert name.startswith(f"{rule.category}."), name
        assert rule.severity in rules.SEVERITIES, name
        assert all((rule.title, rule.reason, rule.source)), name
