"""The payload of a SAMPLES frame."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fuzz.parts import recorded, said
from sistasks.guest.frames import FrameError, FrameType, decode_samples, encode_samples

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """What is taken for samples is 64-bit numbers under a name, and would be sent as it came."""
    try:
        samples = decode_samples(data)
    except FrameError:
        return
    assert all(-(2**63) <= value < 2**63 for value in samples.values)
    assert re.fullmatch(r"[a-z0-9_./-]{1,64}", samples.metric)
    assert len(samples.values) <= len(data)
    assert decode_samples(encode_samples(samples)) == samples


def seeds() -> Iterable[bytes]:
    """Those of real guests."""
    for first, data in recorded():
        yield from (payload for kind, payload in said(first, data) if kind is FrameType.SAMPLES)
