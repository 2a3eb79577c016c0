"""Findings of runs and the gate's verdicts on them: read from the history, and put in order."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sistasks.history.connection import reading
from sistasks.history.records import FindingRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
CATEGORIES: Final = {
    "runtime": "At run time", "fuzz": "Fuzzing", "network": "From the network",
    "vulnerability": "Known vulnerabilities", "image": "The kernel's image", "config": "The kernel's configuration",
}  # fmt: skip
# of findings: what needs a look first
OUTCOMES: Final = ("fail", "error", "skip", "pass")
OUTCOME_WORDS: Final = {"fail": "failed", "error": "could not be told", "skip": "skipped", "pass": "passed"}
# of verdicts on findings, likewise
VERDICTS: Final = ("worse", "unsure", "new", "better", "same")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingVerdict:
    """How one rule came out compared with the baseline: the columns of `finding_verdicts`.

    Attributes:
        severity: of a failure of the rule.
        outcome: `worse`, `better`, `same`, `unsure` (one of the two runs did not find out) or `new` (it fails, and no
            run of the baseline has this rule).
        was, now: `pass`, `fail`, `skip` or `error`: the worst of any node; None where there is no such finding.
        k, n: on how many of how many nodes it is as `now` says, where they differ; None: all that looked agree.
        reason: what was seen and where, in words.
        baseline: the run that it was compared with, in words.
    """

    rule: str
    severity: str
    outcome: str
    was: str | None = None
    now: str | None = None
    k: int | None = None
    n: int | None = None
    reason: str = ""
    baseline: str = ""

    @property
    def regressed(self) -> bool:
        """Whether it fails the gate. A finding is no figure: that it was seen is its own confirmation."""
        return self.outcome == "worse"


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What one rule came to in a run.

    Attributes:
        rows: its findings: one of node 0, or those of the nodes that told.
    """

    rows: tuple[FindingRow, ...]

    @property
    def outcome(self) -> str:
        """The worst of any node."""
        return min((row.outcome for row in self.rows), key=lambda name: place(OUTCOMES, name))

    @property
    def first(self) -> FindingRow:
        """The first finding that says so; name, category, severity and words are the same in all of them."""
        return next(row for row in self.rows if row.outcome == self.outcome)

    @property
    def told(self) -> tuple[int, ...]:
        """The nodes that told for themselves; none where they agree, or where it is of something as a whole."""
        return tuple(row.node for row in self.rows if row.node > 0)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Those of them on which it is so."""
        return tuple(row.node for row in self.rows if row.node > 0 and row.outcome == self.outcome)

    @property
    def where(self) -> str:
        """`on 2 of 4 nodes (1, 3)`; empty where no node told for itself."""
        if not self.told:
            return ""
        some = ", ".join(map(str, self.nodes[:5])) + (", …" if len(self.nodes) > 5 else "")
        return f"on {len(self.nodes)} of {len(self.told)} node{'s' * (len(self.told) != 1)} ({some})"


_FINDING_FIELDS: Final = tuple(field.name for field in dataclasses.fields(FindingRow))
_VERDICT_FIELDS: Final = tuple(field.name for field in dataclasses.fields(FindingVerdict))


def place(names: tuple[str, ...], name: str) -> int:
    """Where a name stands in an order; one that is not there comes last."""
    return names.index(name) if name in names else len(names)


def by_rule(found: Iterable[FindingRow]) -> list[RuleOutcome]:
    """What each rule came to: failures before the rest, the most severe first, then by name."""
    rows: dict[str, list[FindingRow]] = {}
    for row in found:
        rows.setdefault(row.rule, []).append(row)
    rules = [RuleOutcome(tuple(each)) for each in rows.values()]
    return sorted(
        rules,
        key=lambda one: (place(OUTCOMES, one.outcome), place(SEVERITIES, one.first.severity), one.first.rule),
    )


def by_category(rules: Iterable[RuleOutcome]) -> dict[str, list[RuleOutcome]]:
    """Rules by category, in the order in which people read them; categories that nobody knows come last."""
    found: dict[str, list[RuleOutcome]] = {name: [] for name in CATEGORIES}
    for rule in rules:
        found.setdefault(rule.first.category, []).append(rule)
    return {name: these for name, these in found.items() if these}


def verdicts_by_weight(found: Iterable[FindingVerdict]) -> list[FindingVerdict]:
    """What got worse before the rest, the most severe first, then by rule."""
    return sorted(
        found, key=lambda one: (place(VERDICTS, one.outcome), place(SEVERITIES, one.severity), one.rule)
    )


def rules_words(rules: Sequence[RuleOutcome]) -> str:
    """`120 rules: 14 failed (2 critical, 12 medium), 9 skipped, 97 passed`."""
    counts = Counter(rule.outcome for rule in rules)
    failed = [rule for rule in rules if rule.outcome == "fail"]
    words = [f"{counts[outcome]} {OUTCOME_WORDS[outcome]}" for outcome in OUTCOMES if counts[outcome]]
    if failed:
        words[0] += f" ({severity_words(failed)})"
    return f"{len(rules)} rule{'s' * (len(rules) != 1)}: {', '.join(words)}"


def severity_words(rules: Sequence[RuleOutcome]) -> str:
    """`2 critical, 12 medium`."""
    counts = Counter(rule.first.severity for rule in rules)
    return ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])


def verdict_words(verdicts: Sequence[FindingVerdict]) -> str:
    """`1 worse, 2 better, 118 same`."""
    counts = Counter(one.outcome for one in verdicts)
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in VERDICTS if counts[outcome])


def worth_a_look(verdicts: Iterable[FindingVerdict]) -> list[FindingVerdict]:
    """Verdicts on what differs, and on what fails although nobody knew it before."""
    return [
        verdict
        for verdict in verdicts
        if verdict.outcome in {"worse", "unsure", "better"}
        or (verdict.outcome == "new" and verdict.now == "fail")
    ]


def findings_of(db: Path, run_id: int) -> tuple[FindingRow, ...]:
    """A run's findings by rule and node; empty for an unknown run.

    Raises:
        HistoryError: the history cannot be read.
    """
    with reading(db) as connection:
        return () if connection is None else finding_rows(connection, run_id)


def finding_rows(connection: sqlite3.Connection, run_id: int) -> tuple[FindingRow, ...]:
    """A run's findings by rule and node; a history from before they came has none, or not all of their columns.

    Args:
        connection: to the history.
        run_id: the run.
    """
    rows = _rows(
        connection, "findings", "SELECT * FROM findings WHERE run_id = ? ORDER BY rule, node", run_id
    )
    return tuple(FindingRow(**{name: row[name] for name in _FINDING_FIELDS if name in row}) for row in rows)


def finding_verdict_rows(connection: sqlite3.Connection, run_id: int) -> tuple[FindingVerdict, ...]:
    """The newest verdict on each rule of a run, by weight; empty where it was not judged.

    Args:
        connection: to the history.
        run_id: the run.
    """
    query = """SELECT * FROM finding_verdicts WHERE id IN (
        SELECT max(id) FROM finding_verdicts WHERE run_id = ? GROUP BY rule
    )"""
    rows = _rows(connection, "finding_verdicts", query, run_id)
    return tuple(
        verdicts_by_weight(FindingVerdict(**{name: row[name] for name in _VERDICT_FIELDS}) for row in rows)
    )


def _rows(connection: sqlite3.Connection, table: str, query: str, run_id: int) -> list[dict[str, Any]]:
    """What a query gives, by column; empty where a history from before the table came does not have it."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        return []
    cursor = connection.execute(query, (run_id,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
