"""Frames and ends of cables for tests of the switch."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.ethernet import framed, mac_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

LIMIT: Final = 30.0
BROADCAST: Final = b"\xff" * 6


def frame(source: int | bytes, target: int | bytes, payload: bytes = b"payload") -> bytes:
    """An Ethernet frame; nodes stand for their addresses."""
    first, second = (mac_of(one) if isinstance(one, int) else one for one in (target, source))
    return first + second + b"\x88\xb5" + payload


def parted(data: bytes) -> list[bytes]:
    """The frames of a whole stream."""
    frames = []
    while data:
        length = int.from_bytes(data[:4], "big")
        assert len(data) >= 4 + length, "cut off"
        frames.append(data[4 : 4 + length])
        data = data[4 + length :]
    return frames


class Cable:
    """A node's end of its port, in place of QEMU."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        line.settimeout(LIMIT)
        self._rest = b""

    def send(self, *frames: bytes) -> None:
        self.line.sendall(b"".join(map(framed, frames)))

    def get(self) -> bytes:
        """The next frame; waits for it."""
        while len(self._rest) < 4 or len(self._rest) < 4 + int.from_bytes(self._rest[:4], "big"):
            data = self.line.recv(1 << 16)
            assert data, "closed"
            self._rest += data
        end = 4 + int.from_bytes(self._rest[:4], "big")
        got, self._rest = self._rest[4:end], self._rest[end:]
        return got

    def drain(self) -> Iterator[bytes]:
        """What is there already."""
        while self._rest or select.select([self.line], [], [], 0)[0]:
            yield self.get()

    def close(self) -> None:
        self.line.close()
