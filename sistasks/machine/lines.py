"""The lines between QEMU and us: pipes that QEMU writes to and the event loop reads."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
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
