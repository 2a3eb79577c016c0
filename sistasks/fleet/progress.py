"""Who does what, on a terminal: a line for each run that is under way, and how many have ended."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.live import Live

    from sistasks.terminal import Terminal

# workers that are named where their runs are counted
_NAMED: Final = 4


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
        # run -> worker and since when; None: it waits there
        self._where: dict[str, tuple[str, float | None]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def runs(self, run: str, worker: str, since: float | None) -> None:
        """A worker has a run.

        Args:
            run: what it is called.
            worker: what that is called.
            since: when the worker began with it, by time.monotonic(); None: it waits there.
        """
        self._where[run] = worker, since

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
        begun = [(run, worker, since) for run, (worker, since) in self._where.items() if since is not None]
        for run, worker, since in begun[:room]:
            text.append(f"  {run}  ", style="dim")
            text.append(f"{worker[:60]}, {now - since:.0f} s\n", style="cyan")
        ended = sum(self._ended.values())
        parts = [f"{ended} of {self._total} runs ended"]
        if self._ended:
            each = sorted(self._ended.items())
            words = [f"{worker[:30]}: {count}" for worker, count in each[:_NAMED]]
            words += [f"{len(each) - _NAMED} more workers"] if len(each) > _NAMED else []
            parts[0] += f" ({', '.join(words)})"
        parts.append(f"{len(begun)} under way")
        if self._total > ended + len(begun):
            parts.append(f"{self._total - ended - len(begun)} waiting")
        text.append("  " + ", ".join(parts), style="bold")
        return text
