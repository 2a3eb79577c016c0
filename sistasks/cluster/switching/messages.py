"""What the switch's process and its owner say to each other, over a stream socket pair.

A message is its length (4 bytes, big endian, without them), a kind (1 byte) and a body. `J`: a JSON object. `F`: an
Ethernet frame: from the owner `count u32, count times port u32, frame` (inject; no ports: all), to the owner
`port u32, frame`. A descriptor travels with the first byte of the message that tells of it.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JSON: Final = b"J"
FRAME: Final = b"F"
MESSAGE_MAX: Final = 256 << 20
_HEAD: Final = struct.Struct(">Ic")
_U32: Final = struct.Struct(">I")


def encode(kind: bytes, body: bytes) -> bytes:
    """A message."""
    return _HEAD.pack(len(body) + 1, kind) + body


def encode_json(message: dict[str, Any]) -> bytes:
    """A message of kind `J`."""
    return encode(JSON, json.dumps(message, separators=(",", ":")).encode())


def encode_inject(frame: bytes, ports: Sequence[int]) -> bytes:
    """A frame that the owner puts into ports."""
    return encode(FRAME, struct.pack(f">I{len(ports)}I", len(ports), *ports) + frame)


def decode_inject(body: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The frame and its ports."""
    (count,) = _U32.unpack_from(body)
    return body[4 + 4 * count :], struct.unpack_from(f">{count}I", body, 4)


def encode_received(port: int, frame: bytes) -> bytes:
    """A frame that is addressed to the owner."""
    return encode(FRAME, _U32.pack(port) + frame)


def decode_received(body: bytes) -> tuple[int, bytes]:
    """The port that it came from, and the frame."""
    return _U32.unpack_from(body)[0], body[4:]


class Messages:
    """Parts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages, (kind, body), that are whole now.

        Raises:
            ValueError: the other side does not speak this language.
        """
        self._rest += data
        while len(self._rest) >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._rest)
            if not 1 <= length <= MESSAGE_MAX:
                raise ValueError(f"a message of {length} bytes")
            if len(self._rest) < 4 + length:
                return
            body = bytes(self._rest[_HEAD.size : 4 + length])
            del self._rest[: 4 + length]
            yield kind, body
