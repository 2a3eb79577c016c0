"""Judging findings: rule by rule against what the rule came to in the baseline.

A finding is no figure. There is nothing to estimate and no chance to account for: that it was seen is its own
confirmation, on whichever clock, and no kernel is booted again for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.history.findings import FindingVerdict, by_rule, verdicts_by_weight
from sistasks.textlines import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.history.findings import RuleOutcome
    from sistasks.history.records import FindingRow
    from sistasks.verdicts.baseline import RunInfo

# outcomes by which something was found out
_DECIDED: Final = frozenset({"pass", "fail"})
_LONGEST: Final = 400
_PAST: Final = {
    "pass": "passed it",
    "fail": "failed it",
    "skip": "skipped it",
    "error": "could not tell",
}


def judge(
    run: RunInfo, runs: Sequence[RunInfo], findings: Mapping[int, Sequence[FindingRow]]
) -> list[FindingVerdict]:
    """A verdict on each rule of the run, and on those that the newest run of its baseline has beside them.

    Each rule is compared with the newest run of the baseline that found it out (`pass` or `fail`). A rule fails if it
    does on any node.

    Args:
        run: the candidate.
        runs: its baseline, the newest first.
        findings: of all of them, by the run's number.

    Returns:
        By weight: what got worse first. A rule that neither has found out and that is new has none.
    """
    by_run = {number: {one.first.rule: one for one in by_rule(rows)} for number, rows in findings.items()}
    now = by_run.get(run.id, {})
    known = [other for other in runs if by_run.get(other.id)]
    if not known:
        return []
    found = []
    for rule in dict.fromkeys([*now, *by_run[known[0].id]]):
        having = [other for other in known if rule in by_run[other.id]]
        decided = (other for other in having if by_run[other.id][rule].outcome in _DECIDED)
        reference = next(decided, having[0] if having else known[0])
        verdict = _judge_one(reference, by_run[reference.id].get(rule), now.get(rule))
        if verdict is not None:
            found.append(verdict)
    return verdicts_by_weight(found)


def _judge_one(
    reference: RunInfo, before: RuleOutcome | None, now: RuleOutcome | None
) -> FindingVerdict | None:
    present = now or before
    was, came_to = (None if one is None else one.outcome for one in (before, now))
    outcome = _compared(was, came_to)
    if present is None or outcome is None:
        return None
    k, n = (len(now.nodes), len(now.told)) if now is not None and now.told else (None, None)
    return FindingVerdict(
        rule=present.first.rule,
        severity=present.first.severity,
        outcome=outcome,
        was=was,
        now=came_to,
        k=k,
        n=n,
        reason=_reason(
            outcome, reference, was, now, "" if n is None else f"on {k} of {n} node{'s' * (n > 1)}"
        ),
        baseline=f"run {reference.id} ({reference.kernel_name})",
    )


def _compared(was: str | None, now: str | None) -> str | None:
    if was in _DECIDED and now in _DECIDED:
        return "same" if was == now else "worse" if now == "fail" else "better"
    if was in _DECIDED:
        return "unsure"
    if now == "fail":
        return "new" if was is None else "unsure"
    if now == "pass":
        return "new"
    return None if was is None else "same"


def _reason(outcome: str, reference: RunInfo, was: str | None, now: RuleOutcome | None, where: str) -> str:
    """What was seen and where; for `unsure`, what is not known."""
    if now is None:
        return f"this run did not look at it; run {reference.id} {_PAST[was or 'error']}"
    told = ": ".join(words for words in (where, shorten(now.first.evidence, _LONGEST)) if words)
    if outcome == "unsure":
        words = f"run {reference.id} {_PAST[was or 'error']}, this run {_PAST[now.outcome]}"
        return f"{words}: {told}" if told else words
    return told
