"""A node's console: streamed to its log as it comes, and watched for the kernel's last words."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from sistasks.evidence.crashes import Recogniser
from sistasks.machine.logs import CappedFile
from sistasks.textlines import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.evidence.crashes import Crash

_LINE_LIMIT: Final = 4096
_TAIL: Final = 20
# a kernel that talks garbage does so without ends of lines
_SHOWN: Final = 400


class Console(asyncio.Protocol):
    """Receives console bytes.

    Args:
        log: where they go, up to LOG_LIMIT bytes; then one line says that the rest was left out.
        on_panic: called with the kernel's own words when it panics, and when firmware says that it does not go on.
        on_data: called with all that comes, as it comes, and the host's monotonic time of its coming, ns.
        on_log_problem: called with one sentence, for a person, when the log cannot be written.
    """

    def __init__(
        self,
        log: IO[bytes],
        on_panic: Callable[[str], None],
        on_data: Callable[[int, bytes], None] = lambda _at, _data: None,
        on_log_problem: Callable[[str], None] = lambda _words: None,
    ) -> None:
        tell = "the rest of its console's log is missing: "
        self._log = CappedFile(log, "the console", on_problem=lambda why: on_log_problem(tell + why))
        self._on_panic = on_panic
        self._on_data = on_data
        self._line = b""
        self._lines: deque[str] = deque(maxlen=_TAIL)
        self._recogniser = Recogniser()
        self.panic = ""
        self.dead_firmware = ""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Log and watch."""
        at = time.monotonic_ns()
        self._log.write(data)
        self._watch(data, at)
        *lines, self._line = (self._line + data).split(b"\n")
        # the beginning is what kernels say; garbage goes on for ever
        self._line = self._line[:_LINE_LIMIT]
        self._remember(lines)
        self._on_data(at, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """QEMU has closed the line: nothing more will come."""
        self._remember([self._line])
        self._line = b""
        self._recogniser.finish()
        self._fall()
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """What the kernel, or what starts it, complained of so far."""
        return self._recogniser.crashes

    @property
    def fatal(self) -> Crash | None:
        """The first crash that ended the kernel."""
        return self._recogniser.fatal

    def _watch(self, data: bytes, at: int) -> None:
        self._recogniser.feed(data, at)
        self._fall()

    def _fall(self) -> None:
        if self._recogniser.panic and not self.panic:
            self.panic = self._recogniser.panic
            self._on_panic(self.panic)
        fatal = None if self.panic or self.dead_firmware else self._recogniser.fatal
        if fatal is not None and fatal.kind == "firmware":
            self.dead_firmware = fatal.title
            self._on_panic(fatal.title)

    @property
    def log_problem(self) -> str:
        """Why the log is not whole; empty: it is, or was cut with a line that says so."""
        return self._log.problem

    def _remember(self, lines: list[bytes]) -> None:
        """The last lines that say something; a flood has many more."""
        last: list[str] = []
        for line in reversed(lines):
            text = plain(line[:_LINE_LIMIT]).rstrip()
            if text:
                last.append(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
            if len(last) == _TAIL:
                break
        self._lines.extend(reversed(last))

    def tail(self, lines: int = 10) -> str:
        """The last lines, without control characters."""
        return "\n".join(list(self._lines)[-lines:])
