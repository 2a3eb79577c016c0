"""The payload of a DECISIONS frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import recorded, said
from sistasks.consensus.records import DecisionError, decode_decisions, encode_decisions, is_valid, label
from sistasks.guest.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """Decisions, or an error; what is taken is what was sent."""
    try:
        decisions = decode_decisions(data)
    except DecisionError:
        return
    assert encode_decisions(decisions) == data
    for entry in decisions.entries:
        is_valid(entry.command, seed=1, n=4)
        assert label(entry.command)


def seeds() -> Iterable[bytes]:
    """Those of real guests."""
    for first, data in recorded():
        yield from {payload for kind, payload in said(first, data) if kind is FrameType.DECISIONS}
