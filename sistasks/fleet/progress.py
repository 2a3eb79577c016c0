"""Who does what, on a terminal: a line for each run that is under way, and how many have ended."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.live import Live

    from sistasks.terminal import Terminal


class RunLines:
    """One line a run while it is under way, as many as the terminal has room for; in a pipe nothing.

    Args:
        terminal: where to show them.
        total: runs that are waited for, also those that have not begun.
    """

    def __init__(self, terminal: Terminal, total: int) -> None:
        self.terminal = terminal
        self._total = total
        self._ended: dict[str, int] = {}
        # run -> worker and since when
        self._where: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def runs(self, run: str, worker: str) -> None:
        """A run is on this worker now."""
        self._where[run] = worker, time.monotonic()

    def ended(self, run: str, worker: str) -> None:
        """A run came from this worker."""
        self._where.pop(run, None)
        self._ended[worker] = self._ended.get(worker, 0) + 1

    def say(self, text: str) -> None:
        """Say one thing for good, also when quiet."""
        with self.aside():
            self.terminal.say(text, always=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for what is said for good."""
        shown = self._live is not None
        self._stop()
        try:
            yield
        finally:
            if shown:
                self._start()

    def _start(self) -> None:
        if self.terminal.live:
            self._live = self.terminal.lines(self._render)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> Any:
        from rich.text import Text

        room = max(3, (self._live.console.height if self._live is not None else 24) - 4)
        text = Text()
        now = time.monotonic()
        for run, (worker, since) in list(self._where.items())[:room]:
            text.append(f"  {run}  ", style="dim")
            text.append(f"{worker[:80]}, {now - since:.0f} s\n", style="cyan")
        done = ", ".join(f"{worker[:40]}: {count}" for worker, count in sorted(self._ended.items())[:4])
        text.append(
            f"  {sum(self._ended.values())} of {self._total} runs ended{f' ({done})' if done else ''}",
            style="bold",
        )
        return text
