"""From what a console said to what the suites keep: tests, samples, and the records of the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.suites.console.naming import full_name, mark_metric, metric_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.protocols.records import ConsoleResult, Reading
    from sistasks.suites.metrics import Metric

# a test that was to come and did not, or in which the kernel fell, is the kernel's failure
_STATUS: Final = {"pass": "pass", "fail": "fail", "skip": "skip", "crash": "fail"}
_BOOT: Final = "boot"
METRICS_MAX: Final = 1000
"""Metrics of one console: the history and the pages that show it have a row for each."""


@dataclass(slots=True)
class Heard:
    """What one node's console came to.

    Attributes:
        results: tests and samples, as if an agent had sent them.
        metrics: full name -> record, of all that was measured.
        needed: test -> full names of the metrics that it had to give.
        remarks: what was wrong with what it said, in sentences.
        left_out: how often a metric came for which there was no room.
    """

    results: GuestResults = field(default_factory=GuestResults)
    metrics: dict[str, Metric] = field(default_factory=dict)
    needed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    left_out: int = 0


def heard(
    reading: Reading,
    profile: ConsoleProfile,
    *,
    boot: bool,
    started: int,
    own: Mapping[str, Metric],
    ours: bool = False,
) -> Heard:
    """Put a reading into the form of an agent's results.

    Args:
        reading: what the console said.
        profile: what was expected of it.
        boot: the suite asks for the stages of booting, and for nothing else.
        started: when the node was started, in the ns of the reading.
        own: metrics that the user has described.
        ours: we or the host ended it: what did not come is no failure of the kernel's.
    """
    found = Heard(remarks=reading.findings)
    for result in reading.results:
        if (result.name == _BOOT) != boot:
            continue
        remarks = [
            finding.removeprefix(f"{result.name}: ")
            for finding in reading.findings
            if finding.startswith(f"{result.name}: ") or boot
        ]
        _take(found, result, remarks, own)
        if ours and result.status == "crash":
            found.results.tests[-1].status = "error"
        required = profile.tests[result.name].metrics if result.name in profile.tests else ()
        found.needed[result.name] = tuple(full_name(result.name, name) for name in required)
        for name in required:  # one that did not come has a record, too: it is missed by its name
            metric = metric_of(result.name, name, "", own)
            found.metrics.setdefault(full_name(result.name, name), metric)
    found.results.samples = {name: _exact(values) for name, values in found.results.samples.items()}
    if found.left_out:
        found.remarks += (f"more than {METRICS_MAX} metrics came, {found.left_out} are left out",)
    if boot:
        _take_marks(found, reading, profile, started)
    found.results.done = reading.complete
    return found


def _take(found: Heard, result: ConsoleResult, remarks: list[str], own: Mapping[str, Metric]) -> None:
    ended = result.finished is not None and result.started is not None
    duration = result.finished - result.started if ended else 0  # type: ignore[operator]
    message = "; ".join(filter(None, [result.message, *remarks]))
    found.results.tests.append(TestOutcome(result.name, _STATUS[result.status], message, duration))
    test = "" if "/" in result.name else result.name
    for name, series in result.metrics.items():
        metric = metric_of(test, name, series.unit, own)
        if metric.name not in found.metrics and len(found.metrics) >= METRICS_MAX:
            found.left_out += 1
            continue
        found.metrics[metric.name] = metric
        found.results.samples.setdefault(metric.name, []).extend(series.values)


def _exact(values: list[float]) -> list[float]:
    """Whole numbers as such, where all of them are and fit: so they are kept smallest."""
    if all(float(value).is_integer() and abs(value) < 2**53 for value in values):
        return [int(value) for value in values]
    return [float(value) for value in values]


def _take_marks(found: Heard, reading: Reading, profile: ConsoleProfile, started: int) -> None:
    """Each stage from power-on; what the profile promises must have come."""
    stages = dict(profile.marks) | ({"ready": profile.ready} if profile.ready else {})
    times = dict(reading.marks)
    if reading.ready is not None:
        times["ready"] = reading.ready
    for stage, text in stages.items():
        metric = mark_metric(stage, text)
        found.needed[_BOOT] = (*found.needed.get(_BOOT, ()), metric.name)
        found.metrics[metric.name] = metric
        if stage in times:
            found.results.samples[metric.name] = [times[stage] - started]
