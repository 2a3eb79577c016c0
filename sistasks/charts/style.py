"""The CSS of the charts: what they need, and nothing that touches the page around them.

Colours follow the page's `color-scheme`: a page that declares `color-scheme: light dark` gets dark charts where the
person prefers dark, and a page that is always light gets light ones. Browsers without `light-dark()` (before 2024) show
the light colours. Every pair of a colour and the paper has a contrast of 4.5 or more (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

from typing import Final

# name -> (on white paper, on dark paper)
COLOURS: Final = {
    "paper": ("#ffffff", "#14171c"),
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#57606a", "#a3adb8"),
    "grid": ("#d8dee4", "#343b44"),
    "series": ("#1f5fa8", "#7ab7ff"),
    "better": ("#116b3a", "#56d38b"),
    "worse": ("#b3261e", "#ff8a80"),
    "unsure": ("#8a5a00", "#f0b84a"),
}


def _variables(which: int) -> str:
    return "".join(f"--sis-{name}:{pair[which]};" for name, pair in COLOURS.items())


STYLE: Final = f"""
:root{{{_variables(0)}}}
@supports (color:light-dark(#000,#fff)){{:root{{{
    "".join(f"--sis-{name}:light-dark({light},{dark});" for name, (light, dark) in COLOURS.items())
}}}}}
@media print{{:root{{color-scheme:light;{_variables(0)}}}}}
.sis-chart{{display:block;width:100%;height:auto;max-width:46rem;break-inside:avoid}}
.sis-chart text{{font:12px system-ui,sans-serif;font-variant-numeric:tabular-nums;fill:var(--sis-ink)}}
.sis-chart .t{{font-weight:600;font-size:13px}}
.sis-chart .n{{fill:var(--sis-muted)}}
.sis-chart .h{{paint-order:stroke;stroke:var(--sis-paper);stroke-width:4px}}
.sis-chart .g{{stroke:var(--sis-grid);stroke-width:1}}
.sis-chart .a{{stroke:var(--sis-muted);stroke-width:1}}
.sis-chart .l{{fill:none;stroke:var(--sis-series);stroke-width:1.5;stroke-linejoin:round}}
.sis-chart .w{{stroke:var(--sis-series);stroke-width:1;opacity:.55}}
.sis-chart .m{{stroke:var(--sis-ink);stroke-width:1.25}}
.sis-chart .b{{fill:var(--sis-series);opacity:.8}}
.sis-chart .more{{fill:var(--sis-worse);opacity:.85}}
.sis-chart .less{{fill:var(--sis-better);opacity:.85}}
.sis-chart .d{{fill:var(--sis-series);stroke:none}}
.sis-chart .o-same{{fill:var(--sis-series);stroke:none}}
.sis-chart .o-better{{fill:var(--sis-better);stroke:none}}
.sis-chart .o-worse{{fill:none;stroke:var(--sis-worse);stroke-width:2.5}}
.sis-chart .o-unsure{{fill:var(--sis-paper);stroke:var(--sis-unsure);stroke-width:1.75}}
.sis-chart a:focus-visible{{outline:2px solid var(--sis-ink)}}
.sis-spark{{width:6em;height:1.3em;vertical-align:middle}}
.sis-spark polyline{{fill:none;stroke:var(--sis-series);stroke-width:1.5;stroke-linejoin:round}}
.sis-spark .d{{fill:var(--sis-series)}}
.sis-spark .m{{stroke:var(--sis-muted);stroke-width:1;stroke-dasharray:2 2}}
@media (max-width:40rem){{.sis-chart text{{font-size:16px}}.sis-chart .t{{font-size:16px}}}}
"""
