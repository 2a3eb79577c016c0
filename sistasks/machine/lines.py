"""The lines between QEMU and us: pipes that QEMU writes to, sockets where one can type, the event loop at our end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
import termios
from typing import IO, TYPE_CHECKING, Final

from sistasks.machine.logs import CappedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# room for a whole boot's console: a guest that waits for its host is no longer repeatable
_PIPE_SIZE: Final = 1 << 18


def open_line(theirs: contextlib.ExitStack) -> tuple[IO[bytes], int]:
    """A pipe: our reading end, and the end that QEMU inherits, which `theirs` closes."""
    ours, end = os.pipe()
    theirs.callback(os.close, end)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: the usual size does
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return os.fdopen(ours, "rb", buffering=0), end


class CappedLog(asyncio.Protocol):
    """Receives what comes over a line, and keeps its beginning.

    Args:
        file: where it goes.
    """

    def __init__(self, file: CappedFile) -> None:
        self.file = file
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Keep it, or drop it."""
        self.file.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """QEMU has closed the line: nothing more will come."""
        if not self.closed.done():
            self.closed.set_result(None)


class Logs:
    """Files that get what QEMU says on lines, each up to a limit."""

    def __init__(self) -> None:
        self._logs: list[tuple[IO[bytes], CappedLog]] = []
        self.closed: list[asyncio.Future[None]] = []

    def open(self, path: Path, who: str, ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> int:
        """Make a file, and a line to it; QEMU inherits the end that is returned.

        Args:
            path: the file.
            who: writes it, in words.
            ours: closes the file and our end.
            theirs: closes QEMU's end.

        Raises:
            OSError: the file cannot be made.
        """
        file = ours.enter_context(path.open("wb", buffering=0))
        line, end = open_line(theirs)
        ours.callback(line.close)
        self._logs.append((line, CappedLog(CappedFile(file, who))))
        return end

    async def receive(self) -> list[asyncio.ReadTransport]:
        """Begin to read; from now on `closed` has a future of each line, which ends with it."""
        transports = [await receive(line, log) for line, log in self._logs]
        self.closed = [log.closed for _, log in self._logs]
        return transports


async def receive(line: IO[bytes], protocol: asyncio.Protocol) -> asyncio.ReadTransport:
    """Let a protocol receive what comes over a line; the transport closes the line."""
    give: Callable[[], asyncio.Protocol] = lambda: protocol  # noqa: E731 - asyncio wants a factory
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(give, line)
    return transport


def open_keyboard(theirs: contextlib.ExitStack) -> tuple[socket.socket, int]:
    """A line of two ways: our end, and the end that QEMU inherits, which `theirs` closes."""
    ours, end = socket.socketpair()
    theirs.enter_context(end)
    # a serial line sends single bytes, and each takes a whole buffer's room
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_SIZE)
    return ours, end.fileno()


async def attend(sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.WriteTransport:
    """Let a protocol receive what comes over a line of two ways; what is written to the transport is typed."""
    sock.setblocking(False)
    give: Callable[[], asyncio.Protocol] = lambda: protocol  # noqa: E731 - asyncio wants a factory
    transport, _ = await asyncio.get_running_loop().create_connection(give, sock=sock)
    return transport


def waiting_bytes(line: IO[bytes] | socket.socket) -> int:
    """How many bytes have come over a line that nobody has read yet; 0 if it is closed."""
    try:
        return int.from_bytes(fcntl.ioctl(line, termios.FIONREAD, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0
