"""A summary in Markdown, for the page that a CI system shows of a job."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import clean
from sistasks.history.findings import rules_words, severity_words, verdict_words
from sistasks.report.records import all_of
from sistasks.report.words import SIGNS, percentage, plural, size
from sistasks.units import percent, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sistasks.report.records import MetricReport, RunReport, VerdictRow

# what Markdown would take for markup; HTML is escaped before
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+!|~@])")
_MESSAGES: Final = 10
_FINDINGS: Final = 15
# of the host and the first nodes
_NODES: Final = 11


def markdown_summary(runs: Sequence[RunReport]) -> str:
    """The session in GitHub's Markdown: state, metrics, verdicts and findings of each run, and what failed.

    Text of the history is shown as text, whatever markup it holds.
    """
    counts = ", ".join(f"{all_of(runs, status)} {status}" for status in ("pass", "fail", "error", "skip"))
    lines = ["## sistasks", "", f"{plural(len(runs), 'run')}: {counts} (tests on nodes)"]
    for run in runs:
        lines += ["", *_run(run)]
    return "\n".join(lines) + "\n"


def _run(run: RunReport) -> Iterable[str]:
    state = f"{SIGNS[run.run.status]} {run.run.status}"
    yield f"### {_plain(run.title)}: {state}"
    yield ""
    yield (
        f"run {run.run.id}, {plural(run.run.nodes, 'node')}, kernel {_plain(run.kernel_title)}, {run.clock_words}; "
        f"{run.target_words}"
    )
    if run.run.message:
        yield f"\n> {_plain(run.run.message, 1000)}"
    if run.metrics:
        yield "\n| metric | p50 | p95 | p99 | target | met |\n|---|--:|--:|--:|---|---|"
        for metric in run.metrics:
            yield _metric(metric)
    if run.verdicts:
        yield "\n| verdict on | baseline | now | effect | verdict | seen from |\n|---|--:|--:|--:|---|--:|"
        units = {metric.definition.name: metric.definition.unit for metric in run.metrics}
        for verdict in run.verdicts:
            yield _verdict(verdict, units.get(verdict.metric, ""))
    yield from _functions(run)
    yield from _findings(run)
    yield from _resources(run)
    bad = [result for result in run.run.results if result.status in {"fail", "error"}]
    if bad:
        yield ""
        for result in bad[:_MESSAGES]:
            yield (
                f"- {SIGNS[result.status]} node {result.node}, {_plain(result.test)}: {_plain(result.message, 500)}"
            )
        if len(bad) > _MESSAGES:
            yield f"- and {len(bad) - _MESSAGES} more"


def _functions(run: RunReport) -> Iterable[str]:
    """A line for each metric that got worse: the functions that it got worse in."""
    lines = [
        f"- {SIGNS['worse']} {_plain(metric)} is worse in {_plain(one.first, 400)}, against run {one.base}"
        for one in run.profile.explained
        for metric, outcome in one.outcomes.items()
        if outcome == "worse" and one.difference.changed
    ]
    if lines:
        yield ""
        yield from lines


def _findings(run: RunReport) -> Iterable[str]:
    if run.rules:
        yield f"\nfindings: {rules_words(run.rules)}"
    failed = [rule for rule in run.rules if rule.outcome == "fail"]
    if failed:
        yield "\n| severity | failed finding | seen |\n|---|---|---|"
        for rule in failed[:_FINDINGS]:
            row = rule.first
            seen = ": ".join(words for words in (rule.where, row.evidence) if words)
            name = f"{_plain(row.title)} ({_plain(row.rule)})"
            yield f"| {SIGNS[row.severity]} {row.severity} | {name} | {_plain(seen, 300)} |"
        if len(failed) > _FINDINGS:
            yield f"\nand {len(failed) - _FINDINGS} more ({severity_words(failed[_FINDINGS:])})"
    if run.finding_verdicts:
        yield f"\nverdicts on findings: {verdict_words(run.finding_verdicts)}"
    if run.differing:
        yield "\n| verdict on | severity | baseline | now | verdict |\n|---|---|---|---|---|"
        for verdict in run.differing:
            word = f"{SIGNS[verdict.outcome]} {verdict.outcome}"
            word += f": {_plain(verdict.reason, 300)}" if verdict.reason else ""
            cells = [_plain(verdict.rule), verdict.severity, verdict.was or "-", verdict.now or "-", word]
            yield f"| {' | '.join(cells)} |"


def _resources(run: RunReport) -> Iterable[str]:
    served = run.served
    if served is None:
        return
    warned = "**⚠ on the wall clock that is in the figures above**: " if run.spoilt else ""
    yield f"\n{warned}{_plain(served.words, 300)}; performance score {served.score:.0f} of 100"
    yield "\n| resources | CPU mean | peak | waited | memory peak | read | written |\n|---|--:|--:|--:|--:|--:|--:|"
    for node, used in list(run.usage.items())[:_NODES]:
        shares = (used.avg_cpu_percent, used.peak_cpu_percent, used.wait_percent)
        cells = ["host" if node == 0 else f"node {node}", *map(percentage, shares)]
        cells += [size(each) for each in (used.peak_rss, used.disk_read_bytes, used.disk_write_bytes)]
        yield f"| {' | '.join(cells)} |"
    if len(run.usage) > _NODES:
        yield f"\nand {plural(len(run.usage) - _NODES, 'more node')}"


def _metric(metric: MetricReport) -> str:
    definition = metric.definition
    figures = [_plain(show(metric.middle(name), definition.unit)) for name in ("p50", "p95", "p99")]
    target, met = "", ""
    if metric.met is not None:
        sign = "≤" if definition.better == "lower" else "≥"
        target = f"{metric.statistic} {sign} {_plain(show(definition.target, definition.unit))}"
        met = f"{SIGNS['pass']} met" if metric.met else f"{SIGNS['fail']} missed"
    return f"| {_plain(definition.name)} | {' | '.join(figures)} | {target} | {met} |"


def _verdict(verdict: VerdictRow, unit: str) -> str:
    word = f"{SIGNS[verdict.outcome]} {verdict.outcome}"
    if verdict.outcome == "worse" and verdict.confirmed is False:
        word += " (not confirmed)"
    if verdict.reason:
        word += f": {_plain(verdict.reason, 200)}"
    cells = [
        _plain(verdict.name),
        _plain(show(verdict.baseline_value, unit)),
        _plain(show(verdict.value, unit)),
        percent(verdict.effect),
        word,
        percent(verdict.mde).removeprefix("+"),
    ]
    return f"| {' | '.join(cells)} |"


def _plain(words: str, limit: int = 120) -> str:
    """Text that Markdown shows as it is, on one line."""
    return html.escape(_MARKUP.sub(r"\\\1", clean(" ".join(words.split()), limit)))
