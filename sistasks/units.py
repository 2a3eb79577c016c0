"""Numbers as people read them; one place for every unit."""

from __future__ import annotations

import math

UNITS = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")),
    "ops/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
    "calls/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
    "ppm": ((1e4, "%"),),
    "Hz": ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")),
    "bytes": ((1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "decisions/h": ((3600.0, "/s"), (60.0, "/min"), (1.0, "/h")),
    # of something that is counted: its name says of what
    "thousandths": ((1e3, ""),),
    "decisions": ((1.0, ""),),
    "terms": ((1.0, ""),),
}


def show(value: float | None, unit: str) -> str:
    """A value in its unit with three or four digits that mean something: 5599 ns -> `5.60 µs`."""
    if value is None or not math.isfinite(value):
        return "-"
    steps = UNITS.get(unit)
    if steps is None:
        return f"{value:.4g} {unit}"
    factor, name = next((step for step in steps if abs(value) >= step[0]), steps[-1])
    scaled = value / factor
    decimals = 0 if abs(scaled) >= 100 or scaled == 0 else 1 if abs(scaled) >= 10 else 2
    return f"{scaled:.{decimals}f} {name}".rstrip()


def percent(share: float | None, gap: str = " ") -> str:
    """A share as a signed percentage: 0.031 -> `+3.10 %`; where room is dear, without the gap."""
    if share is None:
        return "-"
    return f"{share * 100:+.{2 if abs(share) < 0.1 else 1}f}{gap}%"


def amount(value: float, sign: str = "") -> str:
    """Instructions or calls for each sample: `5.60 k`, `+12.3`."""
    for factor, word in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:{sign}.3g}{word}"
    return f"{value:{sign}.3g}"


def portion(share: float) -> str:
    """A part of a whole: 0.031 -> `3.1 %`."""
    # without the sign of a zero
    return f"{round(share * 100, 1) + 0.0:.1f} %"
