"""Dots by group: what each node measured, side by side."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import (
    LEFT,
    RIGHT,
    TOP,
    Scale,
    chart,
    fence,
    figure,
    nothing,
    spread,
    text,
    usable,
    value_axis,
)
from sistasks.units import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOTTOM: Final = 190
_HEIGHT: Final = 238
# dots of one group, and of all, that can be told apart; of more values, equally spaced quantiles are drawn
_DOTS: Final = 25
_ALL_DOTS: Final = 600
_GROUPS: Final = 200
_LABELS: Final = 12


def dots_chart(groups: Mapping[str, Sequence[float]], *, unit: str, title: str) -> str:
    """A column of dots for each group, and a dashed line at the median of the groups' medians.

    Args:
        groups: name -> values in `unit`, in the order of drawing; what is not finite is left out. Of a group of more
            than 25 values (fewer where there are many groups) equally spaced order statistics are drawn, the smallest
            and the largest among them, and that is said. At most 200 groups are drawn, and that is said.
        unit: of the values.
        title: shown above.

    Returns:
        An `<svg>`.
    """
    filled = {name: sorted(usable(values)) for name, values in groups.items()}
    filled = {name: values for name, values in filled.items() if values}
    if not filled:
        return nothing(title, "no samples")
    shown = dict(list(filled.items())[:_GROUPS])
    middles = [statistics.median(values) for values in shown.values()]
    middle = statistics.median(middles)
    dots = {
        name: _thin(values, min(_DOTS, max(5, _ALL_DOTS // len(shown)))) for name, values in shown.items()
    }
    everything = [value for values in dots.values() for value in values]
    up = Scale(*spread(*fence(everything)), _BOTTOM, TOP)
    cut = [value for value in everything if not up.low <= value <= up.high]
    inset = (RIGHT - LEFT) / (2 * len(dots))
    across = Scale(0, max(len(dots) - 1, 1), LEFT + inset, RIGHT - inset)
    radius = 4 if len(dots) <= 20 else 2.5
    level = up.at(middle)
    parts = [
        value_axis(up, unit),
        f'<line class="m" stroke-dasharray="5 3" x1="{LEFT}" x2="{RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>',
    ]
    every = -(-len(dots) // _LABELS)
    longest = max(map(len, dots))
    for index, (name, values) in enumerate(dots.items()):
        x = across.at(index)
        parts.append(_column(name, values, x, up, unit, radius=radius, middle=middles[index]))
        if index % every == 0:
            parts.append(_name(x, name, max(4, 48 // min(len(dots), _LABELS)) if longest > 4 else 4))
    parts.append(
        f'<text class="n" x="2" y="{_BOTTOM + 40}">{text(_note(filled, middle, cut, unit), 60)}</text>'
    )
    summary = f"{len(filled)} groups, medians from {show(min(middles), unit)} to {show(max(middles), unit)}"
    return chart(title, summary, _HEIGHT, parts)


def _thin(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def _column(
    name: str, values: Sequence[float], x: float, up: Scale, unit: str, *, radius: float, middle: float
) -> str:
    opacity = ' opacity=".6"' if len(values) > 1 else ""
    circles = "".join(f'<circle cx="{x:.1f}" cy="{up.at(value):.1f}" r="{radius}"/>' for value in values)
    words = f"{text(name, 80)}: {figure(middle, unit)}"
    if len(values) > 1:
        words += f" (median of values from {figure(values[0], unit)} to {figure(values[-1], unit)})"
    return f'<g class="d"{opacity}><title>{words}</title>{circles}</g>'


def _name(x: float, name: str, limit: int) -> str:
    return f'<text class="n" x="{x:.1f}" y="{_BOTTOM + 19}" text-anchor="middle">{text(name, limit)}</text>'


def _note(filled: Mapping[str, Sequence[float]], middle: float, cut: Sequence[float], unit: str) -> str:
    words = [f"dashed: median {show(middle, unit)}"]
    if cut:
        words.append(f"{len(cut)} dots beyond the axis: {show(max(cut, key=abs), unit)}")
    if any(len(values) > _DOTS for values in filled.values()):
        words.append("quantiles of each")
    if len(filled) > _GROUPS:
        words.append(f"{_GROUPS} of {len(filled)} shown")
    return "; ".join(words)
