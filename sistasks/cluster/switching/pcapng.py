"""A capture in pcapng (draft-ietf-opsawg-pcapng): one interface a port, times in nanoseconds since 1970.

Every frame stands once on the interface of the node that sent it. A frame that met a fault stands once more, on the
interface of the node that it was for, as it was then, with a comment that says what happened.
"""

from __future__ import annotations

import struct
from typing import IO, Final

LIMIT: Final = 1 << 30
_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_PACKET: Final = 6
_MAGIC: Final = 0x1A2B3C4D
_ETHERNET: Final = 1
_COMMENT, _NAME, _FLAGS, _RESOLUTION, _APPLICATION = 1, 2, 2, 9, 4
_INBOUND, _OUTBOUND = 1, 2
_NANOSECONDS: Final = 9


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


_END: Final = _option(0, b"")


def section() -> bytes:
    """The block that a file begins with."""
    return _block(
        _SECTION, struct.pack("<IHHq", _MAGIC, 1, 0, -1) + _option(_APPLICATION, b"sistasks") + _END
    )


def interface(name: str) -> bytes:
    """The block that describes an interface."""
    options = _option(_NAME, name.encode()) + _option(_RESOLUTION, bytes([_NANOSECONDS])) + _END
    return _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + options)


def packet(number: int, at: int, frame: bytes, *, outbound: bool = False, comment: str = "") -> bytes:
    """The block of one frame.

    Args:
        number: of its interface: how many interface blocks stand before that interface's own.
        at: nanoseconds since 1970.
        frame: without its check sequence.
        outbound: from the switch to the node; else from the node.
        comment: shown with the packet.
    """
    head = struct.pack("<IIIII", number, at >> 32, at & 0xFFFFFFFF, len(frame), len(frame))
    options = _option(_FLAGS, struct.pack("<I", _OUTBOUND if outbound else _INBOUND))
    if comment:
        options = _option(_COMMENT, comment.encode()) + options
    return _block(_PACKET, head + frame + bytes(-len(frame) % 4) + options + _END)


class Capture:
    """Writes what goes over the switch's ports into a file, until the limit.

    Args:
        file: where to.
        offset: what to add to the switch's clock to get nanoseconds since 1970.
        limit: bytes; later frames are counted in `left_out` and not written.

    Attributes:
        packets: blocks written.
        left_out: frames not written.
        error: why the file takes no more, if so.
    """

    def __init__(self, file: IO[bytes], offset: int, limit: int = LIMIT) -> None:
        self._file = file
        self._offset = offset
        self._room = limit
        self._interfaces: dict[int, int] = {}
        self.packets = self.left_out = 0
        self.error: OSError | None = None
        self._write(section())

    def came(self, port: int, data: bytes, now: int) -> None:
        """Whole frames, each with its 4 bytes of length, came from a node."""
        at = 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            self._put(port, now, data[at + 4 : at + 4 + length], outbound=False, comment="")
            at += 4 + length

    def met(self, port: int, frame: bytes, now: int, words: str) -> None:
        """A frame, with its length, met a fault on its way to a node."""
        self._put(port, now, frame[4:], outbound=True, comment=words)

    def _put(self, port: int, now: int, frame: bytes, *, outbound: bool, comment: str) -> None:
        number = self._interfaces.get(port)
        if number is None:
            number = self._interfaces[port] = len(self._interfaces)
            self._write(interface(f"node {port}"))
        block = packet(number, now + self._offset, frame, outbound=outbound, comment=comment)
        if len(block) > self._room:
            self.left_out += 1
            return
        self._write(block)
        self.packets += 1

    def _write(self, block: bytes) -> None:
        self._room -= len(block)
        try:
            self._file.write(block)
        except OSError as error:  # the disk is full: no reason for frames to stop
            self.error, self._room = error, 0
