"""What the agent tells of a running kernel, and what the rules say of it, are the same rules."""

from __future__ import annotations

import re
from pathlib import Path

from sistasks.cluster.nodes import NodeReport
from sistasks.guest.build import AGENT
from sistasks.machine.results import GuestResults
from sistasks.protocols.findings import Seen
from sistasks.suites.registry import AGENT_TESTS
from sistasks.suites.security import assess, kaslr
from sistasks.suites.security.rules import all_rules, load
from sistasks.suites.suite import SECURITY

_RULE = re.compile(r'"(runtime\.[a-z0-9_]+)"')


def test_every_rule_is_told_and_every_finding_is_described() -> None:
    sources = [*(AGENT / "hardening").glob("*.c"), AGENT / "test_kaslr.c"]
    told = {name for source in sources for name in _RULE.findall(source.read_text())}
    described = {name for name in load("runtime") if name.startswith("runtime.")}
    assert len(told) > 60
    assert told | {kaslr.AREAS} == described


def test_flaws_of_processors_are_rules_of_their_own_category() -> None:
    flaws = {rule.name for rule in load("runtime").values() if rule.category == "vulnerability"}
    assert {"vulnerability.meltdown", "vulnerability.spectre_v2", "vulnerability.vmscape"} <= flaws
    assert flaws <= set(all_rules())


def test_the_agent_has_the_tests_of_the_suite() -> None:
    main = (AGENT / "main.c").read_text()
    for test in (*SECURITY.tests, kaslr.TEST):
        assert f'{{"{test}", test_{test}}}' in main
        assert test in AGENT_TESTS, "a program of the user's must not have its name"
    assert kaslr.TEST in SECURITY.of_cluster


def test_a_flaw_that_is_newer_than_the_rules_is_judged_like_the_others() -> None:
    results = GuestResults(findings=[Seen("vulnerability.of_tomorrow", "fail", "Vulnerable")])
    report = NodeReport(
        number=1, seed=1, results=results, error=None, started=0.0, ready=0.0, finished=0.0, console=Path("log")
    )  # fmt: skip
    (row,) = assess.rows([report])
    assert (row.rule, row.category, row.outcome, row.severity) == (
        "vulnerability.of_tomorrow", "vulnerability", "fail", "medium",
    )  # fmt: skip
