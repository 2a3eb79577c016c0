"""A node's logs: where they are, and how much of them is kept, for a guest decides how much it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOG_LIMIT: Final = 16 << 20
"""Bytes of each log."""


class CappedFile:
    """A file that takes bytes up to a limit; then one line says that the rest is left out.

    Args:
        file: where they go, unbuffered.
        who: says them, for that line.
        limit: bytes; 0: LOG_LIMIT.
        on_problem: called with the system's word when the file cannot be written.

    Attributes:
        problem: that word; empty: there was none.
    """

    def __init__(
        self,
        file: IO[bytes],
        who: str,
        limit: int = 0,
        on_problem: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._file = file
        self._who = who
        self._limit = self._room = limit or LOG_LIMIT
        self._on_problem = on_problem
        self.problem = ""

    def write(self, data: bytes) -> None:
        """Keep it, or drop it."""
        if self._room < 0:  # it was said that the rest is left out
            return
        kept = data[: self._room]
        self._room -= len(data)
        if self._room < 0:
            words = f"\n[sistasks: {self._who} said more than {self._limit} bytes; the rest is left out]\n"
            kept += words.encode()
        left = memoryview(kept)
        try:
            while left:  # a disk that has room for some of it takes that without a word
                left = left[self._file.write(left) :]
        except OSError as error:  # a full disk takes the log, not the watch on what is said
            self._room = -1
            self.problem = error.strerror or str(error)
            self._on_problem(self.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorFiles:
    """Where one node's files are.

    Attributes:
        console: what it says on its serial line.
        stderr: what QEMU says.
        firmware_log: what its firmware says for its makers, where there is a device for it.
    """

    console: Path
    stderr: Path
    firmware_log: Path | None = None

    def written(self) -> list[tuple[Path, str]]:
        """(file, what a person calls it) of those in which something is."""
        logs = {"console.log": self.console, "qemu.log": self.stderr, "firmware.log": self.firmware_log}
        return [(path, name) for name, path in logs.items() if path and _size(path)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
