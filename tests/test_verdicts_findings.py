from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.history.findings import (
    OUTCOMES,
    SEVERITIES,
    VERDICTS,
    FindingVerdict,
    verdict_words,
    worth_a_look,
)
from sistasks.history.records import FindingRow
from sistasks.verdicts import findings
from sistasks.verdicts.baseline import RunInfo
from sistasks.verdicts.finding_table import regression


def run(number: int, nodes: int = 4) -> RunInfo:
    return RunInfo(
        id=number, suite="security", kernel_id=f"k{number}", kernel_name=f"kernel {number}", environment_id="e",
        clock="wall", accel="tcg", status="ok", message="", nodes=nodes, iterations=1, seed=1, session_id="s",
        started_at="",
    )  # fmt: skip


def finding(outcome: str, rule: str = "runtime.smep", **changes: Any) -> FindingRow:
    fields: dict[str, Any] = {
        "node": 0, "category": rule.partition(".")[0], "severity": "high", "title": "SMEP is on", "evidence": "cr4=0",
    }  # fmt: skip
    return FindingRow(rule=rule, outcome=outcome, **{**fields, **changes})


def judged(now: list[FindingRow], *before: list[FindingRow]) -> dict[str, FindingVerdict]:
    """Verdicts by rule on a run, after earlier ones, the oldest first."""
    history = [*before, now]
    runs = [run(number) for number in range(1, len(history) + 1)]
    found = findings.judge(
        runs[-1],
        runs[-2::-1],
        {one.id: tuple(rows) for one, rows in zip(runs, history, strict=True) if rows},
    )
    return {verdict.rule: verdict for verdict in found}


@pytest.mark.parametrize(
    ("was", "now", "outcome"),
    [
        ("pass", "fail", "worse"),
        ("fail", "pass", "better"),
        ("pass", "pass", "same"),
        ("fail", "fail", "same"),
        ("pass", "skip", "unsure"),
        ("pass", "error", "unsure"),
        ("fail", "skip", "unsure"),
        ("skip", "fail", "unsure"),
        ("error", "fail", "unsure"),
        ("skip", "pass", "new"),
        ("skip", "skip", "same"),
        ("skip", "error", "same"),
    ],
)
def test_what_an_outcome_is_compared_with_another(was: str, now: str, outcome: str) -> None:
    verdict = judged([finding(now)], [finding(was)])["runtime.smep"]
    assert (verdict.outcome, verdict.was, verdict.now) == (outcome, was, now)
    assert verdict.regressed == (outcome == "worse")
    assert (verdict.severity, verdict.baseline) == ("high", "run 1 (kernel 1)")


def test_a_rule_that_the_baseline_does_not_know_is_new_and_one_that_is_gone_is_unsure() -> None:
    found = judged([finding("fail", "config.new")], [finding("pass")])
    assert (found["config.new"].outcome, found["config.new"].was) == ("new", None)
    gone = found["runtime.smep"]
    assert (gone.outcome, gone.now, gone.severity) == ("unsure", None, "high")
    assert gone.reason == "this run did not look at it; run 1 passed it"
    # what neither has found out is nothing to talk about
    assert judged([finding("skip", "config.new")], [finding("pass", "config.old")]).keys() == {"config.old"}


def test_each_rule_is_compared_with_the_newest_run_that_found_it_out() -> None:
    found = judged([finding("fail")], [finding("pass")], [finding("skip")], [finding("pass", "config.a")])
    assert (found["runtime.smep"].outcome, found["runtime.smep"].baseline) == ("worse", "run 1 (kernel 1)")
    found = judged([finding("fail")], [finding("pass")], [finding("fail")])
    assert (found["runtime.smep"].outcome, found["runtime.smep"].baseline) == ("same", "run 2 (kernel 2)")
    # what only an old run of the baseline looked at is missed no longer
    assert judged([finding("pass")], [finding("pass", "config.a")], [finding("pass")]).keys() == {
        "runtime.smep"
    }


def test_one_node_that_fails_is_enough_and_is_told() -> None:
    nodes = [finding("pass", node=1), finding("fail", node=2, evidence="cr4=1"), finding("pass", node=3)]
    verdict = judged(nodes, [finding("pass")])["runtime.smep"]
    assert (verdict.outcome, verdict.k, verdict.n, verdict.reason) == (
        "worse",
        1,
        3,
        "on 1 of 3 nodes: cr4=1",
    )
    # where all agree, or it is of the kernel as a whole, there is nothing to count
    verdict = judged([finding("fail")], [finding("pass")])["runtime.smep"]
    assert (verdict.k, verdict.n, verdict.reason) == (None, None, "cr4=0")
    unsure = judged([finding("error")], [finding("pass")])["runtime.smep"]
    assert unsure.reason == "run 1 passed it, this run could not tell: cr4=0"


def test_without_a_baseline_with_findings_there_is_no_verdict() -> None:
    assert judged([finding("fail")]) == {}
    assert judged([finding("fail")], []) == {}
    assert judged([], []) == {}


def test_the_worst_comes_first_and_only_what_differs_is_shown() -> None:
    rules = [
        ("config.a", "pass", "pass", "low"),
        ("config.b", "pass", "fail", "medium"),
        ("config.c", "fail", "pass", "high"),
        ("config.d", "pass", "fail", "critical"),
        ("config.e", "pass", "skip", "info"),
    ]
    before = [finding(was, rule, severity=severity) for rule, was, _, severity in rules]
    now = [finding(outcome, rule, severity=severity) for rule, _, outcome, severity in rules]
    found = list(judged([*now, finding("pass", "config.f")], before).values())
    assert [verdict.rule[-1] for verdict in found] == ["d", "b", "e", "f", "c", "a"]
    assert [verdict.rule[-1] for verdict in worth_a_look(found)] == ["d", "b", "e", "c"]
    assert verdict_words(found) == "2 worse, 1 unsure, 1 new, 1 better, 1 same"
    assert regression(run(7), found[0]) == "config.d fails (critical, cr4=0; run 7)"


def test_words_of_a_guest_steer_no_terminal() -> None:
    verdict = judged([finding("fail", evidence="\x1b[2J" + "x" * 1000)], [finding("pass")])["runtime.smep"]
    assert len(verdict.reason) < 500
    words = regression(run(7), verdict)
    assert words.isprintable()
    assert len(words) < 250


@given(
    now=st.lists(st.sampled_from(OUTCOMES), max_size=4),
    before=st.lists(st.lists(st.sampled_from(OUTCOMES), max_size=4), min_size=1, max_size=3),
)
def test_only_what_a_baseline_passed_and_a_node_fails_is_worse(
    now: list[str], before: list[list[str]]
) -> None:
    def rows(outcomes: list[str]) -> list[FindingRow]:
        return [finding(outcome, node=node) for node, outcome in enumerate(outcomes, 1)]

    found = judged(rows(now), *map(rows, before))
    for verdict in found.values():
        assert verdict.outcome in VERDICTS
        assert verdict.severity in SEVERITIES
        assert verdict.regressed == ("fail" in now and verdict.was == "pass")
    decided = [outcomes for outcomes in reversed(before) if "fail" in outcomes or set(outcomes) == {"pass"}]
    if "fail" in now and decided and "fail" not in decided[0]:
        assert found["runtime.smep"].regressed
