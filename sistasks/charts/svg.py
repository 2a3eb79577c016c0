"""What every chart is made of: escaped text, numbers, scales, ticks and the frame around the plot."""

from __future__ import annotations

import html
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH: Final = 480
LEFT: Final = 78
RIGHT: Final = 468
TOP: Final = 30
# a range below this share of its values is widened, so that what is nearly equal looks nearly equal
_LEAST_RANGE: Final = 0.04
# a value is far out where it would press all others into a smaller share of the axis than one of so many
_PRESSED: Final = 25
# beyond this, differences of two values overflow
_LARGEST: Final = 1e300
# what XML 1.0 forbids, and surrogates, which no encoding of a file can hold
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def clean(words: str, limit: int = 300) -> str:
    """Words of anybody without what XML forbids, at most `limit` characters; not escaped."""
    kept = words if len(words) <= limit else words[: limit - 1] + "…"
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", kept)


def text(words: str, limit: int = 300) -> str:
    """Words of anybody as XML text or attribute: cleaned and escaped."""
    return html.escape(clean(words, limit), quote=True)


def figure(value: float, unit: str) -> str:
    """A value in its unit as escaped text, short enough for an axis."""
    return text(show(value, unit), 14)


def usable(values: Iterable[float]) -> list[float]:
    """The values that can be drawn: finite, and not beyond 1e300."""
    return [float(value) for value in values if math.isfinite(value) and abs(value) < _LARGEST]


@dataclass(frozen=True, slots=True)
class Scale:
    """From values between `low` and `high` to coordinates between `start` and `end`; others are held at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        held = min(max(value, self.low), self.high)
        if self.log:
            # quotients of the ends may be too large for a float
            base = math.log(self.low)
            share = (math.log(held) - base) / (math.log(self.high) - base)
        else:
            share = (held - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values within the scale, as many as fit into `most`: 1, 2 and 5 times powers of ten."""
        if self.log:
            return _log_ticks(self.low, self.high, most)
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / most))
        steps = (factor * power for factor in (1, 2, 5, 10, 20))
        spans = ((step, math.ceil(self.low / step), math.floor(self.high / step)) for step in steps)
        step, first, last = next(span for span in spans if span[2] - span[1] < most)
        return [number * step for number in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [
            factor * 10.0**power
            for power in range(first, last + 1)
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def spread(low: float, high: float) -> tuple[float, float]:
    """A range with room on both sides, wide enough that rounding is not drawn as change; never below 0 without need."""
    least = max(abs(low), abs(high)) * _LEAST_RANGE or 1.0
    room = max((least - (high - low)) / 2, 0.06 * (high - low))
    wider = low - room
    return (max(wider, 0.0) if low >= 0 else wider), high + room


def fence(values: Sequence[float]) -> tuple[float, float]:
    """The range that an axis shows: all values, but for those so far out that they would press the others flat."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    room = _PRESSED * max(high - low, _LEAST_RANGE * max(abs(low), abs(high)))
    return max(ordered[0], low - room), min(ordered[-1], high + room)


def value_axis(scale: Scale, unit: str) -> str:
    """Horizontal grid lines with their values, from the left of the plot to its right."""
    parts = []
    shown = set()
    for tick in scale.ticks():
        words = figure(tick, unit)
        if words not in shown:
            shown.add(words)
            y = scale.at(tick)
            parts.append(f'<line class="g" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="n" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    return "".join(parts)


def label(x: float, y: float, words: str, *, limit: int = 60, kind: str = "n") -> str:
    """Words centred at x, but never over the edge of the chart, which browsers would cut."""
    anchor = "start" if x < LEFT + 30 else "end" if x > RIGHT - 30 else "middle"
    held = {"start": min(x, LEFT), "end": max(x, RIGHT), "middle": x}[anchor]
    return (
        f'<text class="{kind}" x="{held:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words, limit)}</text>'
    )


def chart(title: str, summary: str, height: int, parts: Sequence[str], *, linked: bool = False) -> str:
    """The whole drawing.

    Args:
        title: shown above, and read aloud.
        summary: read aloud after the title: what a person sees at a glance.
        height: in units, of which the width has 480.
        parts: what is in it.
        linked: it has links, which a reader must reach: it is then a group and not one image.
    """
    words = text(f"{title}: {summary}", 600)
    role = "group" if linked else "img"
    return (
        f'<svg class="sis-chart" viewBox="0 0 {WIDTH} {height}" role="{role}" aria-label="{words}">'
        f"<title>{words}</title>"
        f'<text class="t" x="2" y="15">{text(title, 52)}</text>{"".join(parts)}</svg>'
    )


def nothing(title: str, words: str) -> str:
    """A chart of nothing, which says so."""
    return chart(title, words, 60, [f'<text class="n" x="2" y="40">{text(words, 60)}</text>'])
