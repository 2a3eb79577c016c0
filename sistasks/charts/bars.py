"""Ranked bars: amounts by name, the largest first, to both sides of zero where some are negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.charts.svg import WIDTH, Scale, chart, nothing, text, usable

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST: Final = 64
_ROW: Final = 30
_THICK: Final = 8
_EDGE: Final = 2
# what stays visible of the smallest
_LEAST: Final = 1.0
# letters of a name beside its figures, on a narrow screen, too
_NAME: Final = 34


@dataclass(frozen=True, slots=True)
class Bar:
    """One row.

    Attributes:
        name: what it is of.
        value: how long it is, in any unit that all have.
        words: the figures beside it.
        note: more of it, told where a person points at it.
        rest: it stands for all that have no row of their own, and is told in words alone.
    """

    name: str
    value: float
    words: str
    note: str = ""
    rest: bool = False


def ranked_chart(bars: Sequence[Bar], *, title: str, subtitle: str, signed: bool = False) -> str:
    """A row for each bar: its name, its figures, and below them the bar from zero.

    Args:
        bars: in the order of drawing; those whose value is not finite are left out.
        title: shown above, of which 52 letters.
        subtitle: below it.
        signed: whether values are changes: more is then drawn in another colour than less.

    Returns:
        An `<svg>`.
    """
    drawn = [bar for bar in bars if usable([bar.value])]
    if not drawn:
        return nothing(title, "no instructions")
    # all others together may be more than any one, and would press them flat
    lengths = [0.0, *(bar.value for bar in drawn if not bar.rest)]
    low, high = min(lengths), max(lengths)
    across = Scale(low, high if high > low else low + 1.0, _EDGE, WIDTH - _EDGE)
    parts = [f'<text class="n" x="2" y="34">{text(subtitle, 60)}</text>']
    for index, bar in enumerate(drawn):
        parts.append(_row(bar, _FIRST + _ROW * index, across, signed=signed))
    first = drawn[0]
    return chart(
        title, f"{subtitle}; first {first.name[:80]}, {first.words}", _FIRST + _ROW * len(drawn) - 8, parts
    )


def _row(bar: Bar, y: float, across: Scale, *, signed: bool) -> str:
    zero, end = across.at(0.0), across.at(bar.value)
    width = max(abs(end - zero), _LEAST)
    start = min(zero, end, WIDTH - _EDGE - width)
    kind = ("more" if bar.value > 0 else "less") if signed else "b"
    drawn = (
        f'<rect class="{kind}" x="{start:.1f}" y="{y + 5}" width="{width:.1f}" height="{_THICK}"/>'
        f'<line class="a" x1="{zero:.1f}" x2="{zero:.1f}" y1="{y + 3}" y2="{y + 7 + _THICK}"/>'
    )
    muted = ' class="n"' if bar.rest else ""
    told = f"{text(bar.name, 200)}: {text(bar.note or bar.words, 200)}"
    return (
        f"<g><title>{told}</title>"
        f'<text{muted} x="{_EDGE + 4}" y="{y}">{text(bar.name, _NAME)}</text>'
        f'<text class="n" x="{WIDTH - _EDGE}" y="{y}" text-anchor="end">{text(bar.words, 26)}</text>'
        f"{'' if bar.rest else drawn}</g>"
    )
