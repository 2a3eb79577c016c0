"""METRIC lines that programs printed in the guest become samples, by the same rules as those of a kernel's console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sistasks.protocols.metrics import Metrics
from sistasks.protocols.records import Findings
from sistasks.suites.console.naming import full_name, metric_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sistasks.cluster.nodes import NodeReport
    from sistasks.machine.results import GuestResults
    from sistasks.suites.metrics import Metric
    from sistasks.suites.suite import Suite


def take_printed(
    suite: Suite, results: Sequence[GuestResults], metrics: Mapping[str, Metric]
) -> dict[str, Metric]:
    """Put what programs printed among the samples of each guest.

    A line that cannot be taken makes a test that passed an error: a number is missing that was meant to be there.

    Args:
        suite: what was run.
        results: of each node; changed in place.
        metrics: those that are known.

    Returns:
        The known ones, those that were printed and nobody has described, and those that the suite asks for.
    """
    known = dict(metrics)
    for guest in results:
        for test, lines in guest.lines.items():
            _read(guest, test, lines, known, metrics)
        guest.lines.clear()  # they are samples now
    mine: dict[str, tuple[str, ...]] = {}
    if suite.act is not None:
        act = suite.act.__name__
        given = [name for guest in results for name in guest.samples if name.startswith(f"{act}.")]
        mine[act] = (*suite.measures, *given)
    for test, names in {**suite.tests, **mine}.items():
        for name in names:
            known.setdefault(name, metric_of(test, name, "", metrics))
    return known


def samples_of(guest: GuestResults) -> dict[str, list[float]]:
    """Metric -> samples of a guest, those that programs printed among them; nothing is changed."""
    found = dict(guest.samples)
    for test, lines in guest.lines.items():
        printed = Metrics(test, Findings())
        for line in lines:
            printed.line(line)
        found |= {full_name(test, name): [*series.values] for name, series in printed.series().items()}
    return found


def own_metrics(suite: Suite, reports: Iterable[NodeReport], known: Mapping[str, Metric]) -> tuple[str, ...]:
    """What nodes gave that no test owes, beside what the suite says of that, in a fixed order."""
    came = {name for report in reports for name in report.results.samples if name in known}
    asked = {name for names in suite.tests.values() for name in names}
    return tuple(dict.fromkeys([*suite.own_metrics, *suite.measures, *sorted(came - asked)]))


def _read(
    guest: GuestResults, test: str, lines: list[str], known: dict[str, Metric], metrics: Mapping[str, Metric]
) -> None:
    findings = Findings()
    found = Metrics(test, findings)
    for line in lines:
        found.line(line)
    for name, series in found.series().items():
        metric = metric_of(test, name, series.unit, metrics)
        full = full_name(test, name)
        if metric.name != full:
            findings.add(
                f"METRIC {name} came in '{series.unit}', and {full} is described in '{metrics[full].unit}'"
            )
        if min(series.values) < 0:
            findings.add(f"{test}: METRIC {name}={min(series.values):g} is below zero, left out")
        known[metric.name] = metric
        guest.samples[metric.name] = list(series.values)
    said = findings.all()
    for outcome in guest.tests:
        if outcome.name == test and outcome.status == "pass" and said:
            more = f", and {len(said) - 1} more" if len(said) > 1 else ""
            outcome.status, outcome.message = "error", said[0].removeprefix(f"{test}: ") + more
