"""A node's console: streamed to its log as it comes, and watched for the kernel's last words."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from sistasks.protocols.lines import plain

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_LIMIT: Final = 16 << 20
_LINE_LIMIT: Final = 4096
_TAIL: Final = 20
# a kernel that talks garbage does so without ends of lines
_SHOWN: Final = 400
# at the start of a line, after the time stamp: a program that merely prints the words stays silent
_PANIC: Final = re.compile(rb"^(?:\[[ 0-9.]+\](?:\[[ TC0-9]+\])? )?(Kernel panic - not syncing.*)")


class Console(asyncio.Protocol):
    """Receives console bytes.

    Args:
        log: where they go, up to LOG_LIMIT bytes; then one line says that the rest was left out.
        on_panic: called with the kernel's own words when it panics.
        on_data: called with all that comes, as it comes, and the host's monotonic time of its coming, ns.
    """

    def __init__(
        self,
        log: IO[bytes],
        on_panic: Callable[[str], None],
        on_data: Callable[[int, bytes], None] = lambda _at, _data: None,
    ) -> None:
        self._log = log
        self._on_panic = on_panic
        self._on_data = on_data
        self._written = 0
        self._line = b""
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self.panic = ""
        self.log_problem = ""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Log and watch."""
        at = time.monotonic_ns()
        self._write(data)
        *lines, self._line = (self._line + data).split(b"\n")
        # the beginning is kept: only there may the kernel's words stand
        self._line = self._line[:_LINE_LIMIT]
        for line in lines:
            self._see(line[:_LINE_LIMIT])
        self._on_data(at, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """QEMU has closed the line: nothing more will come."""
        if self._line:
            self._see(self._line)
            self._line = b""
        if not self.closed.done():
            self.closed.set_result(None)

    def _write(self, data: bytes) -> None:
        room = LOG_LIMIT - self._written
        if room < 0:  # it was said that the rest is left out
            return
        self._written += len(data)
        rest = b""
        if len(data) > room:
            rest = b"\n[sistasks: the console said more than %d bytes; the rest is left out]\n" % LOG_LIMIT
        try:
            self._log.write(data[:room] + rest)
            self._log.flush()
        except OSError as error:  # a full disk takes the log, not the watch on the kernel's last words
            self._written = LOG_LIMIT + 1
            self.log_problem = error.strerror or str(error)

    def _see(self, line: bytes) -> None:
        text = plain(line).rstrip()
        if text:
            self._lines.append(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
        match = _PANIC.match(line)
        if match and not self.panic:
            self.panic = plain(match[1]).rstrip()
            self._on_panic(self.panic)

    def tail(self, lines: int = 10) -> str:
        """The last lines, without control characters."""
        return "\n".join(list(self._lines)[-lines:])
