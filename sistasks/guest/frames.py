"""What the agent sends: frames, numbered and checksummed (written by guest/agent/channel.c).

A frame is, little endian: magic `SISF`, type u16, 0 u16, sequence u32, length u32, payload, CRC-32 of all before.
Text payloads are `key=value` lines; DECISIONS are read by sistasks/consensus, LINES are a program's own. A SAMPLES
payload is the metric's name, NUL, first index u32, count u32, then each sample as LEB128 of the zigzag of its
difference to the one before (0 before the first).
"""

from __future__ import annotations

import enum
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.textlines import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC: Final = b"SISF"
HEADER: Final = struct.Struct("<4sHHII")
PAYLOAD_MAX: Final = 1 << 16
NOISE_MAX: Final = 1 << 20
_INT64: Final = 1 << 63
_METRIC: Final = re.compile(rb"[a-z0-9_./-]+")


class FrameType(enum.IntEnum):
    """What a frame says."""

    HELLO = 1
    READY = 2
    BEGIN = 3
    SAMPLES = 4
    END = 5
    NOTE = 6
    DONE = 7
    EVENT = 8
    DECISIONS = 9
    LINES = 10
    FILE = 11
    FILL = 12


class FrameError(ValueError):
    """The bytes are not what the agent sends: damaged, lost or out of order."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole, verified frame."""

    type: FrameType
    sequence: int
    payload: bytes

    def fields(self) -> dict[str, str]:
        """The `key=value` lines of a text payload, without control characters: people's terminals will show them."""
        lines = map(plain, self.payload.split(b"\n"))
        return dict(line.split("=", 1) for line in lines if "=" in line)


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples of one metric; `values[i]` is sample number `first + i`."""

    metric: str
    first: int
    values: list[int]


def encode(frame_type: FrameType, sequence: int, payload: bytes) -> bytes:
    """The bytes of one frame: the oracle for the agent's C, used by tests."""
    head = HEADER.pack(MAGIC, frame_type, 0, sequence, len(payload)) + payload
    return head + struct.pack("<I", zlib.crc32(head))


def encode_samples(samples: Samples) -> bytes:
    """The payload of a SAMPLES frame."""
    out = bytearray(samples.metric.encode() + b"\0" + struct.pack("<II", samples.first, len(samples.values)))
    before = 0
    for value in samples.values:
        difference = (value - before + _INT64) % (2 * _INT64) - _INT64
        before = value
        zigzag = (difference << 1) ^ (difference >> 63)
        while zigzag >= 0x80:
            out.append(zigzag & 0x7F | 0x80)
            zigzag >>= 7
        out.append(zigzag)
    return bytes(out)


def decode_samples(payload: bytes) -> Samples:
    """Read the payload of a SAMPLES frame.

    Raises:
        FrameError: the payload is cut off, has bytes left over, a number longer than 64 bits or no metric's name.
    """
    end = payload.find(b"\0")
    if not 0 < end <= 64 or len(payload) < end + 9:
        raise FrameError("samples without a metric")
    first, count = struct.unpack_from("<II", payload, end + 1)
    values: list[int] = []
    before = number = shift = 0
    for byte in payload[end + 9 :]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63 and (byte & 0x80 or number >> 64):
            raise FrameError("a sample longer than 64 bits")
        if byte & 0x80:
            continue
        difference = (number >> 1) ^ -(number & 1)
        before = (before + difference + _INT64) % (2 * _INT64) - _INT64
        values.append(before)
        number = shift = 0
    if shift or len(values) != count:
        raise FrameError(f"{count} samples announced, {len(values)} came")
    if not _METRIC.fullmatch(payload, 0, end):
        raise FrameError("a metric's name has other letters than a-z, 0-9 and _.-/")
    return Samples(payload[:end].decode("ascii"), first, values)


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of a file; `data` is what it has from byte `offset` on."""

    name: str
    offset: int
    data: bytes


def encode_part(part: FilePart) -> bytes:
    """The payload of a FILE frame."""
    return part.name.encode() + b"\0" + struct.pack("<I", part.offset) + part.data


def decode_part(payload: bytes) -> FilePart:
    """Read the payload of a FILE frame: name, NUL, offset u32, bytes. Which names may come is for the caller to say.

    Raises:
        FrameError: it has no name, or is cut off.
    """
    end = payload.find(b"\0", 0, 64)
    if end <= 0 or len(payload) < end + 5:
        raise FrameError("a part of a file without its name or its place")
    (offset,) = struct.unpack_from("<I", payload, end + 1)
    return FilePart(payload[:end].decode("utf-8", "replace"), offset, payload[end + 5 :])


class FrameParser:
    """Bytes in any pieces in, whole frames out; anything else is an error, never a guess.

    Before a booting guest's first frame, firmware may use the line as a console of its own: that is passed over. After
    it, and from the first byte of a clone, the line is the agent's alone.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._sequence = 0
        self._begun = False
        self._passed_over = 0

    @property
    def pending(self) -> int:
        """Bytes of a frame that has begun and not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and give the frames that they complete, those before a damage too.

        Raises:
            FrameError: wrong magic, type, length, checksum or sequence number. The parser is then of no further use.
        """
        self._buffer += data
        return iter(self._next, None)

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if not self._begun:
            self._pass_over()
        if not MAGIC.startswith(buffer[:4]):
            raise FrameError(f"expected a frame, found {bytes(buffer[:8])!r}")
        if len(buffer) < HEADER.size:
            return None
        _, kind, zero, sequence, length = HEADER.unpack_from(buffer)
        if zero or length > PAYLOAD_MAX or kind not in FrameType.__members__.values():
            raise FrameError(f"a frame of type {kind} with {length} bytes")
        end = HEADER.size + length
        if len(buffer) < end + 4:
            return None
        (crc,) = struct.unpack_from("<I", buffer, end)
        if crc != zlib.crc32(buffer[:end]):
            raise FrameError(f"frame {sequence} is damaged")
        if sequence != self._sequence:
            raise FrameError(f"frame {self._sequence} is lost: {sequence} came")
        payload = bytes(buffer[HEADER.size : end])
        del buffer[: end + 4]
        self._sequence += 1
        self._begun = True
        return Frame(FrameType(kind), sequence, payload)

    def resume_at(self, sequence: int) -> None:
        """A clone goes on numbering where its template was frozen."""
        self._sequence = sequence
        self._begun = sequence > 0

    def _pass_over(self) -> None:
        """Drop what is not the beginning of a frame."""
        buffer = self._buffer
        at = buffer.find(MAGIC)
        if at < 0:  # its first bytes may have come
            at = next((len(buffer) - n for n in (3, 2, 1) if buffer.endswith(MAGIC[:n])), len(buffer))
        self._passed_over += at
        if self._passed_over > NOISE_MAX:
            raise FrameError(f"{self._passed_over} bytes came, and no frame among them")
        del buffer[:at]
