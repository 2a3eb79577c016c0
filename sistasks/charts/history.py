"""A metric over time: a point for each run, its spread, its verdict by shape, and where it changed."""

from __future__ import annotations

import math
import re
import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import (
    LEFT,
    RIGHT,
    Scale,
    chart,
    fence,
    figure,
    label,
    nothing,
    spread,
    text,
    usable,
    value_axis,
)
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Sequence

# words of changes stand between the title and the plot
_TOP: Final = 42
_BOTTOM: Final = 190
_HEIGHT: Final = 238
# as many marks as can be told apart, and clicked
_MARKS: Final = 150
_COLUMNS: Final = 195
_OUTCOMES: Final = ("better", "same", "worse", "unsure")
_SAFE_LINK: Final = re.compile(r"(?:https?://|/?[?#.\w-][^:]*$|/$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Point:
    """One run.

    Attributes:
        label: when, or which kernel.
        value: in the chart's unit.
        low: lower end of its spread, or None.
        high: upper end of its spread, or None.
        outcome: `better`, `same`, `worse`, `unsure`, or empty where nothing was judged.
        href: where a click leads: http, https or relative; empty for nowhere.
        note: more words, shown where the pointer rests.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    outcome: str = ""
    href: str = ""
    note: str = ""


def history_chart(points: Sequence[Point], *, unit: str, title: str, changes: Sequence[int] = ()) -> str:
    """Draw a metric's history; the axis does not begin at zero, but never spans less than 4 % of the values.

    More than 150 points are drawn as the lowest and highest of each column, with marks only where something was judged
    better or worse and for the last. Points far from all others are held at the edge, drawn as arrows, and said.

    Args:
        points: oldest first, equally spaced; those whose value is not finite are left out.
        unit: of the values.
        title: shown above.
        changes: indices into `points` of the first run after each change; others are ignored.

    Returns:
        An `<svg>`.
    """
    known = [index for index, point in enumerate(points) if usable([point.value])]
    if not known:
        return nothing(title, "no runs")
    place = {index: position for position, index in enumerate(known)}
    shown = [points[index] for index in known]
    borders = sorted({place[index] for index in changes if place.get(index, 0) > 0})
    values = [point.value for point in shown]
    ends = [end for point in shown for end in _ends(point)]
    up = Scale(*spread(*fence([*values, *ends])), _BOTTOM, _TOP + 4)
    inset = 12 if len(shown) > 1 else (RIGHT - LEFT) / 2
    across = Scale(0, max(len(shown) - 1, 1), LEFT + inset, RIGHT - inset)
    cut = [value for value in values if not up.low <= value <= up.high]
    marked = [
        (position, point)
        for position, point in enumerate(shown)
        if len(shown) <= _MARKS or position == len(shown) - 1 or point.outcome in {"better", "worse"}
    ]
    # when nearly everything is a verdict, only the latest ones
    marked = marked[-_MARKS:]
    parts = [
        value_axis(up, unit),
        _levels(values, borders, across, up),
        *(_spread_line(point, across.at(position), up) for position, point in marked),
        f'<polyline class="l" points="{_path(values, across, up)}"/>',
        *(_mark(point, across.at(position), up, unit) for position, point in marked),
        _when(shown, across),
        _foot(shown, cut, unit),
    ]
    summary = _summary(values, borders, unit)
    return chart(title, summary, _HEIGHT, parts, linked=any(_link(point) for _, point in marked))


def _path(values: Sequence[float], across: Scale, up: Scale) -> str:
    """The line; of very many points the first, lowest, highest and last of each column."""
    width = math.ceil(len(values) / _COLUMNS) if len(values) > 2 * _COLUMNS else 1
    kept: list[int] = []
    for start in range(0, len(values), width):
        column = range(start, min(start + width, len(values)))
        kept += sorted(
            {column[0], min(column, key=values.__getitem__), max(column, key=values.__getitem__), column[-1]}
        )
    return " ".join(f"{across.at(index):.1f},{up.at(values[index]):.1f}" for index in kept)


def _levels(values: Sequence[float], borders: Sequence[int], across: Scale, up: Scale) -> str:
    """A dashed line at each change, and the median between changes."""
    parts = []
    edges = [0, *borders, len(values)]
    for start, end in pairwise(edges):
        if borders:
            y = up.at(statistics.median(values[start:end]))
            x1, x2 = across.at(start - 0.4), across.at(end - 0.6)
            parts.append(
                f'<line class="m" stroke-dasharray="1 3" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
    for number, border in enumerate(borders):
        x = across.at(border - 0.5)
        before = statistics.median(values[edges[number] : border])
        after = statistics.median(values[border : edges[number + 2]])
        words = f"{(after / before - 1) * 100:+.1f} %" if before > 0 else "change"
        parts.append(
            f'<line class="m" stroke-dasharray="5 3" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}"/>'
        )
        if len(borders) <= 5:
            parts.append(label(x, _TOP - 6, words))
    return "".join(parts)


def _ends(point: Point) -> list[float]:
    """Both ends of a point's spread, or nothing."""
    ends = usable(end for end in (point.low, point.high) if end is not None)
    return sorted(ends) if len(ends) == 2 else []


def _spread_line(point: Point, x: float, up: Scale) -> str:
    ends = _ends(point)
    if not ends:
        return ""
    low, high = (up.at(end) for end in ends)
    return f'<line class="w" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'


def _shape(outcome: str, x: float, y: float) -> str:
    """Each outcome has a shape of its own: diamond, disc, cross, open square; a small disc where none is."""
    match outcome:
        case "better":
            return f'<path class="o-better" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>'
        case "worse":
            return f'<path class="o-worse" d="M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0 -9l-9 9"/>'
        case "unsure":
            return f'<rect class="o-unsure" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
        case "same":
            return f'<circle class="o-same" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        case _:
            return f'<circle class="d" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'


def _mark(point: Point, x: float, up: Scale, unit: str) -> str:
    y = up.at(point.value)
    shape = _shape(point.outcome, x, y)
    if point.value > up.high:
        shape += f'<path class="m" fill="none" d="M{x - 4:.1f} {y - 7:.1f}l4 -5l4 5"/>'
    elif point.value < up.low:
        shape += f'<path class="m" fill="none" d="M{x - 4:.1f} {y + 7:.1f}l4 5l4 -5"/>'
    words = f"{text(point.label, 120)}: {figure(point.value, unit)}"
    ends = _ends(point)
    if ends:
        words += f" ({figure(ends[0], unit)} to {figure(ends[1], unit)})"
    words += f", {text(point.outcome, 20)}" if point.outcome else ""
    words += f"; {text(point.note, 200)}" if point.note else ""
    # a larger area that nobody sees, so that a finger hits it
    inside = f'<title>{words}</title>{shape}<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="transparent"/>'
    link = _link(point)
    return f'<a href="{text(link, 2000)}" aria-label="{words}">{inside}</a>' if link else f"<g>{inside}</g>"


def _link(point: Point) -> str:
    """Where a click leads; nowhere for `javascript:` and other schemes."""
    return point.href if _SAFE_LINK.match(point.href) else ""


def _when(points: Sequence[Point], across: Scale) -> str:
    """The first and the last label, and one between them where three have room."""
    room = len(points) > 4 and max(len(point.label) for point in points) <= 11
    positions = sorted({0, len(points) // 2, len(points) - 1} if room else {0, len(points) - 1})
    return "".join(
        label(across.at(index), _BOTTOM + 18, points[index].label, limit=18) for index in positions
    )


def _foot(points: Sequence[Point], cut: Sequence[float], unit: str) -> str:
    """What the shapes mean, or else what the axis leaves out."""
    present = [name for name in _OUTCOMES if any(point.outcome == name for point in points)]
    y = _BOTTOM + 40
    parts = [
        _shape(name, LEFT + 8 + 78 * slot, y - 4)
        + f'<text class="n" x="{LEFT + 18 + 78 * slot}" y="{y}">{name}</text>'
        for slot, name in enumerate(present)
    ]
    if cut and len(present) < 3:
        words = f"{len(cut)} beyond the axis: {show(max(cut, key=abs), unit)}"
        parts.append(f'<text class="n" x="{RIGHT}" y="{y}" text-anchor="end">{text(words, 40)}</text>')
    return "".join(parts)


def _summary(values: Sequence[float], borders: Sequence[int], unit: str) -> str:
    words = f"{len(values)} run{'s' * (len(values) > 1)}, last {show(values[-1], unit)}, "
    words += f"from {show(min(values), unit)} to {show(max(values), unit)}"
    return words + (f", {len(borders)} change{'s' * (len(borders) > 1)}" if borders else "")
