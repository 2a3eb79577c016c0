"""What the rules of a run came to, for the terminal: failures by severity, and how many came out how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.history.findings import by_rule, rules_words, severity_words
from sistasks.textlines import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sistasks.history.findings import RuleOutcome
    from sistasks.history.records import FindingRow
    from sistasks.terminal import Terminal

# failures that a person sees without asking for all
_MOST: Final = 15
_EVIDENCE: Final = 90
_STYLES: Final = {"critical": "bold red", "high": "red", "medium": "yellow"}
# below so many columns a title takes the room that what was seen needs
_WIDE: Final = 100


def show_findings(title: str, found: Sequence[FindingRow], terminal: Terminal) -> None:
    """Show what a run's rules came to; of a run without findings nothing.

    Args:
        title: of the run.
        found: its findings.
        terminal: `verbose` shows every rule with all that was seen.
    """
    rules = by_rule(found)
    if not rules:
        return
    failed = [rule for rule in rules if rule.outcome == "fail"]
    if terminal.verbose:
        terminal.table(_table(f"{title}: findings", rules, terminal.width, whole=True))
    elif failed:
        terminal.table(_table(f"{title}: failed findings", failed[:_MOST], terminal.width))
        if len(failed) > _MOST:
            more = failed[_MOST:]
            terminal.result(f"and {len(more)} more ({severity_words(more)}): verbose=yes shows them")
    terminal.result(f"{title}: {rules_words(rules)}")


def _table(title: str, rules: Sequence[RuleOutcome], width: int, *, whole: bool = False) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    wide = width >= _WIDE
    table = Table(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("severity", no_wrap=True)
    if whole:
        table.add_column("outcome", no_wrap=True)
    table.add_column("rule", overflow="fold", max_width=40)
    if wide:
        table.add_column("asked for", overflow="fold", ratio=1)
    table.add_column("seen", overflow="fold", ratio=1)
    for rule in rules:
        row = rule.first
        style = _STYLES.get(row.severity, "") if rule.outcome == "fail" else ""
        seen = row.evidence if whole else visible(row.evidence, _EVIDENCE)
        seen = ": ".join(words for words in (rule.where, seen) if words)
        # guests and files of rules name what stands here: it is neither markup nor steers a terminal
        cells = [Text(row.severity, style), *([Text(rule.outcome)] if whole else []), Text(visible(row.rule))]
        cells += [Text(visible(row.title, 200))] if wide else []
        table.add_row(*cells, Text(visible(seen, 2000)))
    return table
