"""The distribution of samples: a histogram that a long tail does not flatten."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import LEFT, RIGHT, Scale, chart, figure, label, nothing, spread, text
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

_TOP: Final = 84
_BOTTOM: Final = 190
_HEIGHT: Final = 238
_BINS: Final = (8, 48)
# from this ratio on between the ends, equal steps would leave all but the tail in one bar
_LOGARITHMIC: Final = 12.0
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")


def distribution_chart(
    samples: Sequence[float] | npt.NDArray[np.int64], *, unit: str, title: str, marks: Mapping[str, float]
) -> str:
    """A histogram of samples with marked percentiles.

    Where samples lie far out, the axis ends half an inner range beyond the 1st and the 99th percentile: how many lie
    further out, and how far, is said below. It is logarithmic, and says so, where its ends are a factor of 12 or more
    apart.

    Args:
        samples: shape (count,), in `unit`; what is not finite is left out, and said.
        unit: of samples and marks.
        title: shown above.
        marks: words such as `p99` -> value; at most 4 are drawn, told apart by their dashes.

    Returns:
        An `<svg>`.
    """
    import numpy as np

    given = np.asarray(samples, dtype=np.float64).reshape(-1)
    values = given[np.isfinite(given) & (np.abs(given) < 1e300)]
    if values.size == 0:
        return nothing(title, "no samples")
    first, last = _ends(values)
    inside = values[(values >= first) & (values <= last)]
    log = first > 0 and last / first >= _LOGARITHMIC
    across = Scale(*((first, last) if log else spread(first, last)), LEFT, RIGHT, log=log)
    bars, tallest = _bars(inside, across, values.size)
    drawn = [(name, value) for name, value in marks.items() if math.isfinite(value)][: len(_DASHES)]
    parts = [
        f'<text class="n" x="{LEFT - 6}" y="{_TOP + 9}" text-anchor="end">{_share(tallest)}</text>',
        f'<line class="g" x1="{LEFT}" x2="{RIGHT}" y1="{_TOP}" y2="{_TOP}"/>',
        bars,
        f'<line class="a" x1="{LEFT}" x2="{RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>',
        *(_tick(tick, across, unit) for tick in across.ticks(3)),
        *(_mark(row, name, value, across, unit) for row, (name, value) in enumerate(drawn)),
        _foot(values, first, last, unit, missing=given.size - values.size, log=log),
    ]
    summary = f"{values.size} samples, from {show(float(values.min()), unit)} to {show(float(values.max()), unit)}; "
    summary += ", ".join(f"{name} {show(value, unit)}" for name, value in drawn)
    return chart(title, summary, _HEIGHT, parts)


def _ends(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """First and last value on the axis: all of them, unless some are far out."""
    import numpy as np

    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    room = max(high - low, 0.02 * max(abs(low), abs(high))) / 2
    smallest, largest = float(values.min()), float(values.max())
    return max(smallest, low - room), min(largest, high + room)


def _bars(inside: npt.NDArray[np.float64], across: Scale, total: int) -> tuple[str, float]:
    """The bars, and the tallest one's share of all samples."""
    import numpy as np

    span = math.log(across.high / across.low) if across.log else across.high - across.low
    scaled = np.log(inside) if across.log else inside
    q1, q3 = np.percentile(scaled, (25, 75))
    # the rule of Freedman and Diaconis (On the histogram as a density estimator, 1981)
    width = 2 * float(q3 - q1) / inside.size ** (1 / 3)
    wanted = span / width if width > 0 else _BINS[1]
    count = int(min(max(wanted, _BINS[0]), _BINS[1]))
    if not across.log and bool(np.all(inside == np.round(inside))) and span < count:
        count = max(1, math.floor(span))  # whole numbers: bars narrower than 1 would leave gaps
    places = [across.start + (across.end - across.start) * index / count for index in range(count + 1)]
    edges = np.linspace(0.0, span, count + 1)
    offset = scaled - (math.log(across.low) if across.log else across.low)
    counts, _ = np.histogram(np.clip(offset, 0.0, span), bins=edges)
    most = int(counts.max())
    parts = []
    for index, number in enumerate(counts):
        if number:
            # one sample among thousands is still seen
            height = max(1.5, (_BOTTOM - _TOP) * int(number) / most)
            parts.append(
                f'<rect class="b" x="{places[index] + 0.4:.1f}" y="{_BOTTOM - height:.1f}" '
                f'width="{places[index + 1] - places[index] - 0.8:.1f}" height="{height:.1f}"/>'
            )
    return "".join(parts), most / total


def _share(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.1f} %"


def _tick(value: float, across: Scale, unit: str) -> str:
    x = across.at(value)
    return f'<line class="a" x1="{x:.1f}" x2="{x:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 4}"/>' + label(
        x, _BOTTOM + 19, show(value, unit), limit=14
    )


def _mark(row: int, name: str, value: float, across: Scale, unit: str) -> str:
    """A line at a mark's value; each has a row of its own for its words, so that near ones don't overlap."""
    x, y = across.at(value), 34 + 17 * row
    beyond = " →" if value > across.high else " ←" if value < across.low else ""
    anchor, shift = ("end", -4) if x > (LEFT + RIGHT) / 2 else ("start", 4)
    dash = f' stroke-dasharray="{_DASHES[row]}"' if _DASHES[row] else ""
    return (
        f'<line class="m"{dash} x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{_BOTTOM}"/>'
        f'<text x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}">'
        f"{text(name, 20)} {figure(value, unit)}{beyond}</text>"
    )


def _foot(
    values: npt.NDArray[np.float64], first: float, last: float, unit: str, *, missing: int, log: bool
) -> str:
    """What the axis leaves out, and that it is logarithmic."""
    above, below = int((values > last).sum()), int((values < first).sum())
    words = []
    if above:
        words.append(f"{above} above {show(last, unit)}, up to {show(float(values.max()), unit)}")
    if below:
        words.append(f"{below} below {show(first, unit)}, down to {show(float(values.min()), unit)}")
    if missing:
        words.append(f"{missing} not numbers")
    lines = ["axis cut: " + "; ".join(words)] if words else []
    lines += ["logarithmic"] if log else []
    return f'<text class="n" x="2" y="{_BOTTOM + 40}">{text(". ".join(lines), 66)}</text>'
