"""What the modules share: real bytes, inputs cut into pieces, and what nobody's text may hold."""

from __future__ import annotations

import atexit
import functools
import random
import shutil
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.guest.frames import FrameParser, FrameType, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS: Final = Path(__file__).parent.parent
SEEDS: Final = Path(__file__).parent / "seeds"
_RECORD: Final = struct.Struct("<BH")
_DAMAGED: Final = 0x80


def pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """An input's first byte says how the rest is cut: the rest, whole and in pieces."""
    if not data:
        return b"", []
    chance, rest = random.Random(data[0]), data[1:]  # noqa: S311 - the same cuts each time
    cut, at = [], 0
    while at < len(rest):
        size = 1 if data[0] == 0 else chance.choice((1, 2, 7, 64, 1000))
        cut.append(rest[at : at + size])
        at += size
    return rest, cut


def recorded() -> Iterator[tuple[int, bytes]]:
    """What real guests sent: the number of the first frame, and the bytes."""
    for path in sorted(SEEDS.glob("*.frames")):
        yield (0 if path.stem.startswith("boot") else 1), path.read_bytes()


def said(first: int, data: bytes) -> list[tuple[FrameType, bytes]]:
    """The frames of a recording."""
    parser = FrameParser()
    parser.resume_at(first)
    return [(frame.type, frame.payload) for frame in parser.feed(data)]


def records(frames: list[tuple[FrameType, bytes]]) -> bytes:
    """Frames as an input that a fuzzer can change: it cannot guess checksums."""
    return b"".join(_RECORD.pack(kind, len(payload)) + payload for kind, payload in frames)


def framed(data: bytes, first: int = 0) -> bytes:
    """Such an input as the frames that it stands for; a record whose highest bit is set is damaged on its way."""
    out, at, number = bytearray(), 0, first
    kinds = tuple(FrameType)
    while len(data) - at >= _RECORD.size:
        kind, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        payload = data[at : at + length]
        at += length
        known = kinds[(kind & ~_DAMAGED) % (len(kinds) + 1) - 1]
        frame = bytearray(encode(known, number, payload))
        if kind & _DAMAGED:
            frame[length % len(frame)] ^= 1
        out += frame
        number += 1
    return bytes(out)


def is_shown(text: str) -> bool:
    """Whether a text may reach a terminal as it is."""
    return not any((ord(letter) < 32 and letter != "\t") or 0x7F <= ord(letter) <= 0x9F for letter in text)


def logs() -> list[bytes]:
    """Consoles of real kernels."""
    return [path.read_bytes()[:20_000] for path in sorted((TESTS / "protocols").glob("*.log"))]


@functools.cache
def scratch() -> Path:
    """A folder for what a parser writes; libFuzzer ends its process without a word, and then it goes with `TMPDIR`."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
