"""What our page of a run says of its findings, as data."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from sistasks.history.findings import (
    CATEGORIES,
    by_category,
    by_rule,
    finding_rows,
    finding_verdict_rows,
    rules_words,
    verdict_words,
    worth_a_look,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from sistasks.browse.series import Row
    from sistasks.history.findings import RuleOutcome


def findings_of_run(connection: sqlite3.Connection, run_id: int) -> Row:
    """What each rule of a run came to, and the verdicts on that; empty where no rule was looked at.

    Returns:
        `words`, `categories` (in the order in which people read them), `rules` (the most severe failures first; `nodes`
        are those on which it is so, where they differ), `verdicts` (all, what got worse first), `verdict_words`,
        `differing` (those that a person must see).
    """
    rules = by_rule(finding_rows(connection, run_id))
    verdicts = finding_verdict_rows(connection, run_id)
    if not rules and not verdicts:
        return {}
    outcomes = {one.rule: one.outcome for one in verdicts}
    return {
        "words": rules_words(rules),
        "categories": [
            {"name": name, "title": CATEGORIES.get(name, name), "words": rules_words(these)}
            for name, these in by_category(rules).items()
        ],
        "rules": [{**_rule(rule), "verdict": outcomes.get(rule.first.rule, "")} for rule in rules],
        "verdicts": [dataclasses.asdict(one) for one in verdicts],
        "verdict_words": verdict_words(verdicts),
        "differing": [dataclasses.asdict(one) for one in worth_a_look(verdicts)],
    }


def _rule(rule: RuleOutcome) -> Row:
    row = rule.first
    return {
        "rule": row.rule, "category": row.category, "severity": row.severity, "outcome": rule.outcome,
        "title": row.title, "evidence": row.evidence, "reason": row.reason, "source": row.source,
        "where": rule.where, "nodes": list(rule.nodes),
    }  # fmt: skip


def verdict_counts(connection: sqlite3.Connection, run_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Run -> how many of the newest verdicts on its findings came out how."""
    query = """SELECT run_id, outcome, count(*) FROM finding_verdicts WHERE id IN (
            SELECT max(id) FROM finding_verdicts WHERE run_id IN (SELECT value FROM json_each(?))
            GROUP BY run_id, rule
        ) GROUP BY run_id, outcome"""
    found: dict[int, dict[str, int]] = {}
    for run_id, outcome, count in connection.execute(query, (json.dumps(list(run_ids)),)):
        found.setdefault(run_id, {})[outcome] = count
    return found
