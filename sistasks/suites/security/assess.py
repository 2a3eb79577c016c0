"""What guests and host saw of rules, as rows of the history."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from sistasks.history.records import FindingRow
from sistasks.suites.security.rules import Rule, all_rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.cluster.nodes import NodeReport
    from sistasks.protocols.findings import Seen


def rows(
    reports: Sequence[NodeReport], more: Mapping[str, Rule] = MappingProxyType({})
) -> tuple[FindingRow, ...]:
    """One row for each rule where all that saw it agree, as node 0's; else one for each node.

    A rule that nobody has described is an error of its row, so that what a guest says is never lost.

    Args:
        reports: how the nodes ended, with what they saw.
        more: rules that are not ours.
    """
    seen: dict[str, dict[int, Seen]] = {}
    for report in reports:
        for item in report.results.findings:
            # of a rule that one node tells twice the worst counts
            known = seen.setdefault(item.rule, {}).get(report.number)
            if known is None or _WORST.index(item.outcome) < _WORST.index(known.outcome):
                seen[item.rule][report.number] = item
    rules = {**all_rules(), **more}
    found: list[FindingRow] = []
    for name, nodes in seen.items():
        known_rule = rules.get(name) or (rules.get(_OTHER) if name.startswith(_FLAW) else None)
        rule = known_rule or Rule(
            name=name, category="runtime", severity="info", title="a rule that is not described", reason="",
            source="",
        )  # fmt: skip
        if len({item.outcome for item in nodes.values()}) == 1:
            nodes = {0: next(iter(nodes.values()))}  # noqa: PLW2901 - they agree: one tells it
        for number, item in nodes.items():
            found.append(
                FindingRow(
                    node=number, rule=name, category=rule.category, severity=rule.severity,
                    outcome=item.outcome if known_rule else "error", title=rule.title, evidence=item.evidence,
                    source=rule.source, reason=rule.reason,
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda row: (row.category, row.rule, row.node)))


_WORST = ("fail", "error", "skip", "pass")
# of flaws of processors that a kernel knows and the rules do not yet
_FLAW = "vulnerability."
_OTHER = "vulnerability.other"
