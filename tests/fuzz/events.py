"""The payload of an EVENT frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import recorded, said
from sistasks.consensus.events import EventError, decode_event, encode_event
from sistasks.guest.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """An event, or an error; what is taken would be sent as it was read."""
    try:
        event = decode_event(data)
    except EventError:
        return
    assert 0 <= event.at_ns < 1 << 64
    assert decode_event(encode_event(event)) == event


def seeds() -> Iterable[bytes]:
    """Those of real guests."""
    for first, data in recorded():
        yield from {payload for kind, payload in said(first, data) if kind is FrameType.EVENT}
