"""What a kernel calls its metrics, and what the history calls them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.suites.metrics import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

# where nobody has said it: a rate is better when it is higher, and nearly all else when it is lower
_HIGHER: Final = re.compile(
    r"(?:^|[_.\-/])(?:rate|throughput|ops|iops|bandwidth|score|per_s|per_sec)(?:$|[_.\-/])"
)


def full_name(test: str, name: str) -> str:
    """`latency` of the test `context_switch` is `context_switch.latency`; a name that says its test stays."""
    return name if name.startswith(f"{test}.") or not test else f"{test}.{name}"


def metric_of(test: str, name: str, unit: str, own: Mapping[str, Metric]) -> Metric:
    """The record of a metric that a console printed.

    Args:
        test: in which it was printed.
        name: as the kernel has it.
        unit: as the kernel has it; empty: it did not say.
        own: metrics that the user has described, by full name.

    Returns:
        The user's, else ours of that name where the unit is the same or was not said, else one made of what is known.
    """
    full = full_name(test, name)
    known = own.get(full) or METRICS.get(full)
    if known is not None and unit in {"", known.unit}:
        return known
    if known is not None:  # the same word for something else: the numbers may not meet
        full = f"{full}.{re.sub('[^a-z0-9]+', '_', unit.lower()).strip('_') or 'other'}"
        if full in own:
            return replace(own[full], unit=unit)
    rate = unit.endswith(("/s", "/h", "ps")) or _HIGHER.search(name) is not None
    return Metric(
        name=full, unit=unit, better="higher" if rate else "lower",
        description=f"METRIC {name} of {test or 'the kernel'}, as the kernel prints it",
    )  # fmt: skip


def mark_metric(mark: str, text: str) -> Metric:
    """The record of a stage of booting that the console tells."""
    return Metric(
        name=f"boot.{mark}", unit="ns", better="lower",
        description=f"from power-on until the console says {text!r}, by the host's clock",
    )  # fmt: skip
