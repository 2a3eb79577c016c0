"""From a guest's frames to the rows of a run: whatever came, what is kept is finite, and nothing is raised."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fuzz.parts import framed, is_shown, recorded, records, said
from sistasks.cluster.nodes import NodeReport
from sistasks.errors import NodeError
from sistasks.guest.frames import FrameError, FrameParser
from sistasks.history.samples import decode, encode
from sistasks.machine.results import Allowed, GuestResults
from sistasks.suites.measured import measure
from sistasks.suites.metrics import METRICS
from sistasks.suites.printed import own_metrics, samples_of, take_printed
from sistasks.suites.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

_SUITE: Final = Suite(
    name="hostile",
    title="hostile",
    tests={"context_switch": ("context_switch.latency",), "bench": ("bench.latency",)},
)


def fuzz(data: bytes) -> None:
    """Frames with sound checksums, to rows as the history takes them."""
    parser, guest, error = FrameParser(), GuestResults(allowed=Allowed(tests=tuple(_SUITE.tests))), None
    try:
        for frame in parser.feed(framed(data)):
            guest.take(frame)
    except FrameError as failure:
        error = NodeError(f"node 1: its results line is damaged: {failure}")
    samples_of(guest)
    known = take_printed(_SUITE, [guest], METRICS)
    report = NodeReport(
        number=1, seed=1, results=guest, error=error, started=0, ready=0, finished=1, console=Path("console")
    )
    suite = replace(_SUITE, own_metrics=own_metrics(_SUITE, [report], known))
    measured = measure(suite, [report], enforce=True, metrics=known)
    assert [row.test for row in measured.results] == [*suite.tests], "each test has its result, and no other"
    for summary in measured.summaries:
        values = [value for value in asdict(summary).values() if isinstance(value, float)]
        assert all(map(math.isfinite, values)), summary
    for series in measured.samples:
        encoding, packed = encode(series.values)
        assert [*decode(encoding, packed, len(series.values))] == [*series.values]
        assert is_shown(series.metric)
        assert is_shown(known[series.metric].unit)
    assert is_shown(measured.message)
    json.dumps([asdict(row) for row in measured.results], allow_nan=False)


def seeds() -> Iterable[bytes]:
    """What real guests sent, of which some was measured in vain."""
    for first, data in recorded():
        yield records(said(first, data))
    for value in (
        "1e308 us",
        "-4 C",
        "1e400",
        "nan",
        "0x10",
        "1e308\nMETRIC latency=1e308",
    ):
        lines = f"METRIC latency={value}\nMETRIC latency=2 ms\n".encode()
        yield b"\x03\x0b\0test=bench\n" + b"\x0a" + len(lines).to_bytes(2, "little") + lines
