"""Figures and states as words and signs, the same in every page."""

from __future__ import annotations

from typing import Final

# a sign beside each word: colour is never the only one to tell
SIGNS: Final = {
    "pass": "✓", "fail": "✕", "error": "!", "skip": "○", "ok": "✓", "failed": "✕",
    "better": "◆", "same": "●", "worse": "✕", "unsure": "□", "new": "▷",
    "critical": "▲▲", "high": "▲", "medium": "△", "low": "▽", "info": "·",
}  # fmt: skip
_MIB: Final = 1 << 20


def size(count: float | None) -> str:
    """Bytes as MiB, or as GiB from ten on."""
    if count is None:
        return "-"
    return f"{count / _MIB:.1f} MiB" if count < 10 * _MIB * 1024 else f"{count / _MIB / 1024:.1f} GiB"


def plural(count: int, word: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def percentage(value: float | None) -> str:
    """`42 %`; a dash where it is not known."""
    return "-" if value is None else f"{value:.0f} %"
