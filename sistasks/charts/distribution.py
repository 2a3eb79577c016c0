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
# of so few samples none is far out
_FEW: Final = 20
_MARK_ROOM: Final = 112
_DASHES: Final = ("", "6 3", "2 3", "8 3 2 3")


def distribution_chart(
    samples: Sequence[float] | npt.NDArray[np.int64] | npt.NDArray[np.float64],
    *,
    unit: str,
    title: str,
    marks: Mapping[str, float],
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
    first, last, log = _ends(values)
    inside = values[(values >= first) & (values <= last)]
    low, high, count = _bins(inside, log=log)
    across = Scale(low, high, LEFT, RIGHT, log=log)
    bars, tallest = _bars(inside, across, count, values.size, unit)
    drawn = [(name, value) for name, value in marks.items() if math.isfinite(value)][: len(_DASHES)]
    parts = [
        f'<text class="n" x="{LEFT - 6}" y="{_TOP + 5}" text-anchor="end">{_share(tallest)}</text>',
        f'<text class="n" x="{LEFT - 6}" y="{_TOP + 22}" text-anchor="end">samples</text>',
        f'<line class="g" x1="{LEFT}" x2="{RIGHT}" y1="{_TOP}" y2="{_TOP}"/>',
        bars,
        f'<line class="a" x1="{LEFT}" x2="{RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>',
        *_ticks(across, unit),
        *(_mark_line(row, across.at(value)) for row, (_, value) in enumerate(drawn)),
        *(_mark_words(row, name, value, across, unit) for row, (name, value) in enumerate(drawn)),
        _foot(values, first, last, unit, missing=given.size - values.size, log=log),
    ]
    summary = f"{values.size} samples, from {show(float(values.min()), unit)} to {show(float(values.max()), unit)}; "
    summary += ", ".join(f"{name} {show(value, unit)}" for name, value in drawn)
    return chart(title, summary, _HEIGHT, parts)


def _ends(values: npt.NDArray[np.float64]) -> tuple[float, float, bool]:
    """First and last value on the axis, and whether it is logarithmic.

    They are those of all values, unless there are enough of them and some are far out.
    """
    import numpy as np

    smallest, largest = float(values.min()), float(values.max())
    if values.size < _FEW:
        return smallest, largest, smallest > 0 and largest / smallest >= _LOGARITHMIC
    # towards the middle, so that one value of twenty can be far out
    low = float(np.percentile(values, 1, method="higher"))
    high = float(np.percentile(values, 99, method="lower"))
    if smallest > 0 and high / low >= _LOGARITHMIC:
        factor = math.sqrt(high / low)
        return max(smallest, low / factor), min(largest, high * factor), True
    room = max(high - low, 0.02 * max(abs(low), abs(high))) / 2
    return max(smallest, low - room), min(largest, high + room), False


def _bins(inside: npt.NDArray[np.float64], *, log: bool) -> tuple[float, float, int]:
    """The ends of the axis, and how many bars stand between them."""
    import numpy as np

    first, last = float(inside.min()), float(inside.max())
    low, high = (first, last) if log else spread(first, last)
    if not log and high - low < _BINS[1] - 4 and bool(np.all(inside == np.round(inside))):
        # a bar for each whole number, which stands in its middle: narrower ones would leave gaps
        room = max(0.0, (4 - (last - first)) // 2) + 0.5
        return first - room, last + room, int(last - first + 2 * room)
    span = math.log(high) - math.log(low) if log else high - low
    # the rule of Freedman and Diaconis (On the histogram as a density estimator, 1981)
    q1, q3 = (float(value) for value in np.percentile(np.log(inside) if log else inside, (25, 75)))
    width = 2 * (q3 - q1) / inside.size ** (1 / 3)
    wanted = span / width if width > span / _BINS[1] else _BINS[1]
    return low, high, int(max(wanted, _BINS[0]))


def _bars(
    inside: npt.NDArray[np.float64], across: Scale, count: int, total: int, unit: str
) -> tuple[str, float]:
    """The bars, and the tallest one's share of all samples."""
    import numpy as np

    make = np.geomspace if across.log else np.linspace
    edges = make(across.low, across.high, count + 1)
    # rounding may put the last edge before the last sample
    edges[-1] = max(edges[-1], float(inside.max()))
    counts, _ = np.histogram(inside, bins=edges)
    most = int(counts.max())
    wide = (across.end - across.start) / count
    parts = []
    for index in np.flatnonzero(counts):
        # one sample among thousands is still seen
        height = max(1.5, (_BOTTOM - _TOP) * int(counts[index]) / most)
        low, high = show(float(edges[index]), unit), show(float(edges[index + 1]), unit)
        parts.append(
            f'<rect class="b" x="{across.start + wide * index + 0.4:.1f}" y="{_BOTTOM - height:.1f}" '
            f'width="{wide - 0.8:.1f}" height="{height:.1f}">'
            f"<title>{text(f'{low} to {high}: {counts[index]} samples', 80)}</title></rect>"
        )
    return "".join(parts), most / total


def _share(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.1f} %"


def _ticks(across: Scale, unit: str) -> list[str]:
    # where rounding makes two alike, the first one stands for both
    words = {show(tick, unit): tick for tick in reversed(across.ticks(4))}
    return [
        f'<line class="a" x1="{x:.1f}" x2="{x:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 4}"/>'
        + label(x, _BOTTOM + 19, name, limit=14)
        for name, x in ((name, across.at(tick)) for name, tick in words.items())
    ]


def _mark_line(row: int, x: float) -> str:
    dash = f' stroke-dasharray="{_DASHES[row]}"' if _DASHES[row] else ""
    return f'<line class="m"{dash} x1="{x:.1f}" x2="{x:.1f}" y1="{_row(row) - 9}" y2="{_BOTTOM}"/>'


def _mark_words(row: int, name: str, value: float, across: Scale, unit: str) -> str:
    """A mark's words; each has a row of its own, so that near ones don't overlap."""
    x = across.at(value)
    beyond = " →" if value > across.high else " ←" if value < across.low else ""
    # to the right, where lines of higher marks begin below the words, unless there is no room
    anchor, shift = ("end", -4) if x > RIGHT - _MARK_ROOM else ("start", 4)
    return (
        f'<text class="h" x="{x + shift:.1f}" y="{_row(row)}" text-anchor="{anchor}">'
        f"{text(name, 20)} {figure(value, unit)}{beyond}</text>"
    )


def _row(row: int) -> int:
    return 34 + 17 * row


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
