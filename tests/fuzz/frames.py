"""Raw bytes on the results line: frames come out, or it is damaged; never a wrong frame, never more than was fed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.parts import framed, pieces, recorded
from sistasks.guest.frames import HEADER, PAYLOAD_MAX, Frame, FrameError, FrameParser, encode

if TYPE_CHECKING:
    from collections.abc import Iterable


def fuzz(data: bytes) -> None:
    """Half of the inputs are raw bytes, half of them frames with sound checksums between them."""
    rest, cut = pieces(data)
    if data and data[0] & 1:
        rest = framed(rest)
        cut = [rest[at : at + 1 + data[0]] for at in range(0, len(rest), 1 + data[0])]
    for first in (0, 1):
        whole, broken = _parse([rest], first)
        assert (whole, broken) == _parse(cut, first), "how the bytes are cut makes a difference"
        sent = b"".join(encode(frame.type, frame.sequence, frame.payload) for frame in whole)
        assert sent in rest, "a frame that was not sent"
        assert [frame.sequence for frame in whole] == list(range(first, first + len(whole)))


def _parse(chunks: list[bytes], first: int) -> tuple[list[Frame], bool]:
    parser, frames = FrameParser(), []
    parser.resume_at(first)
    for chunk in chunks:
        try:
            for frame in parser.feed(chunk):
                frames.append(frame)  # noqa: PERF402 - those before a damage count
        except FrameError:
            return frames, True
        assert parser.pending <= HEADER.size + PAYLOAD_MAX + 4
    return frames, False


def seeds() -> Iterable[bytes]:
    """What real guests sent."""
    for first, data in recorded():
        yield bytes([2 * first]) + data[:4000]
    yield b"\x02BdsDxe: starting\r\nSIS SISF"
