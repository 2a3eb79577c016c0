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

if TYPE_CHECKING:
    from collections.abc import Callable

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
