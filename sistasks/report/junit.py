"""The session as JUnit XML, which CI systems read.

The form: the schema of Jenkins' xUnit plugin (junit-10.xsd), as GitLab and GitHub actions read it: `testsuites`,
`testsuite`, `testcase` with `failure`, `error` or `skipped`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import text
from sistasks.units import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sistasks.history.findings import FindingVerdict, RuleOutcome
    from sistasks.report.records import RunReport, VerdictRow

_ELEMENTS: Final = {"fail": "failure", "error": "error", "skip": "skipped"}
_COUNTED: Final = (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
_MESSAGE: Final = 2000


def junit(runs: Sequence[RunReport], verdicts: Mapping[int, Sequence[VerdictRow]]) -> str:
    """The session as XML.

    One `testsuite` for each run with a `testcase` for each node and test, and one for the verdicts on it, if there are
    any. A confirmed regression is a failure; what could not be decided is skipped, with the reason. A run that failed
    without the result of any test is a `testcase` of its own, so that it is never passed over in silence.

    Findings are a `testsuite` of their own with a `testcase` for each rule. A failed one says how the kernel is, and
    fails no run: it is a failure only where it is worse than in the baseline. It is not passed either, and so it is
    skipped, with what was seen.

    Args:
        runs: as `collect` gives them.
        verdicts: a run's id -> verdicts on it.

    Returns:
        A whole document, in UTF-8 when it is encoded so.
    """
    suites = []
    totals = dict.fromkeys(("tests", *(name for name, _ in _COUNTED)), 0)
    for run in runs:
        for name, cases in _suites(run, verdicts.get(run.run.id, ())):
            counts = {"tests": len(cases)}
            counts |= {key: sum(f"<{element}" in case for case in cases) for key, element in _COUNTED}
            for key, value in counts.items():
                totals[key] += value
            suites.append(_suite(run, name, counts, cases))
    head = "".join(f' {name}="{value}"' for name, value in totals.items())
    body = "\n".join(suites)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="sistasks"{head}>\n{body}\n</testsuites>\n'
    )


def _suites(run: RunReport, verdicts: Sequence[VerdictRow]) -> Iterable[tuple[str, list[str]]]:
    cases = [
        _case(
            f"{run.title}.node_{result.node}" if result.node else f"{run.title}.cluster",
            result.test,
            result.duration,
            _ELEMENTS.get(result.status, ""),
            result.message or result.status,
        )
        for result in run.run.results
    ]
    if run.run.status != "ok" and not any(result.status in {"fail", "error"} for result in run.run.results):
        element = "failure" if run.run.status == "failed" else "error"
        cases.append(_case(run.title, "run", 0, element, run.run.message or run.run.status))
    yield run.title, cases
    if verdicts and not run.accepted:
        yield f"{run.title} gate", [_verdict(run, verdict) for verdict in verdicts]
    if run.rules:
        changed = {} if run.accepted else {one.rule: one for one in run.finding_verdicts}
        yield (
            f"{run.title} findings",
            [_finding(run, rule, changed.get(rule.first.rule)) for rule in run.rules],
        )


def _suite(run: RunReport, name: str, counts: Mapping[str, int], cases: Sequence[str]) -> str:
    head = "".join(f' {key}="{value}"' for key, value in counts.items())
    seconds = 0.0 if name != run.title else (run.run.finished_at - run.run.started_at).total_seconds()
    started = run.run.started_at.replace(tzinfo=None).isoformat(timespec="seconds")
    properties = {
        "run": str(run.run.id), "kernel": run.kernel_title, "kernel_sha256": run.run.kernel_id,
        "clock": run.environment["clock"], "accel": run.environment["accel"],
    }  # fmt: skip
    listed = "".join(
        f'<property name="{text(key)}" value="{text(str(value))}"/>' for key, value in properties.items()
    )
    lines = "\n".join(f"    {case}" for case in cases)
    return (
        f'  <testsuite name="{text(name)}"{head} time="{seconds:.3f}" timestamp="{started}" '
        f'hostname="{text(run.host)}">\n    <properties>{listed}</properties>\n{lines}\n  </testsuite>'
    )


def _case(group: str, name: str, seconds: float, element: str, message: str) -> str:
    head = f'<testcase classname="{text(group)}" name="{text(name)}" time="{seconds:.3f}"'
    if not element:
        return f"{head}/>"
    kind = "" if element == "skipped" else f' type="{element}"'
    return f'{head}><{element}{kind} message="{text(message, _MESSAGE)}"/></testcase>'


def _finding(run: RunReport, rule: RuleOutcome, verdict: FindingVerdict | None) -> str:
    row = rule.first
    group = f"{run.title}.findings.{row.category}"
    if rule.outcome == "pass":
        return _case(group, row.rule, 0, "", "")
    words = [f"{rule.outcome}, severity {row.severity}: {row.title}"]
    words += [": ".join(part for part in (rule.where, row.evidence) if part)]
    if verdict is not None:
        words += [f"{verdict.outcome} against {verdict.baseline}"]
    element = "failure" if verdict is not None and verdict.regressed else "skipped"
    return _case(group, row.rule, 0, element, "; ".join(filter(None, words)))


def _verdict(run: RunReport, verdict: VerdictRow) -> str:
    element = "failure" if verdict.regressed else "skipped" if verdict.outcome == "unsure" else ""
    words = f"{verdict.outcome}: {percent(verdict.effect)} against {verdict.baseline}"
    if verdict.reason:
        words += f"; {verdict.reason}"
    return _case(f"{run.title}.gate", verdict.name, 0, element, words)
