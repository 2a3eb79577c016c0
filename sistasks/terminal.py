"""What a person sees: live lines on a terminal, plain timestamped lines in a pipe; all of it in orchestrator.log.

A reader that goes away (`| head`) ends the talking, not the work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import io
import os
import shutil
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.live import Live
    from rich.table import Table

    from sistasks.layout import Layout
    from sistasks.settings import Settings

_PIPE_WIDTH: Final = 132
_STYLES: Final = {"done": "green", "failed": "bold red", "waiting": "dim"}
# in a pipe only the ends of nodes are worth a line; verbose shows every stage
_SPOKEN: Final = frozenset({"done", "failed"})

# a pipe's other end was closed; a terminal hung up
_READER_GONE: Final = frozenset({errno.EPIPE, errno.EIO})


def silence_output(out: IO[str] | None = None) -> None:
    """The reader is gone: from here on, `out` (standard output) leads nowhere, and its end raises nothing."""
    out = sys.__stdout__ if out is None else out
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, out.fileno() if out is not None else 1)
    os.close(null)


class Terminal:
    """Says things to the person and to the log.

    Args:
        settings: quiet, verbose.
        layout: where the log is.
        out: where to write; standard output if None.
    """

    def __init__(self, settings: Settings, layout: Layout, out: IO[str] | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self.quiet = settings.quiet
        self.verbose = settings.verbose
        self.live = self._out.isatty() and not os.environ.get("CI") and not self.quiet
        # a path may hold bytes, and a terminal may lack letters: what cannot be written is spelled out
        if isinstance(self._out, io.TextIOWrapper):
            self._out.reconfigure(errors="backslashreplace")
        layout.orchestrator_log.parent.mkdir(parents=True, exist_ok=True)
        self._log = layout.orchestrator_log.open("a", encoding="utf-8", errors="backslashreplace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # it may hold lines that found no room
            self._log.close()

    def log(self, text: str) -> None:
        """Write to orchestrator.log alone."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        with contextlib.suppress(OSError):  # a full disk takes the log's lines, not the run
            for line in text.splitlines():
                self._log.write(f"{now} {line}\n")
            self._log.flush()

    def say(self, text: str, *, always: bool = False) -> None:
        """Say one thing; `always` also when quiet."""
        self.log(text)
        if always or not self.quiet:
            self._print(text if self.live else f"{time.strftime('%H:%M:%S')} {text}")

    def detail(self, text: str) -> None:
        """Say what only `verbose` wants to know."""
        if self.verbose:
            self.say(text)
        else:
            self.log(text)

    def result(self, text: str) -> None:
        """Say a result: without a time stamp, also when quiet."""
        self.log(text)
        self._print(text)

    @property
    def width(self) -> int:
        """Columns of the terminal, or of a page in a pipe."""
        return shutil.get_terminal_size().columns if self._out.isatty() else _PIPE_WIDTH

    def table(self, table: Table) -> None:
        """Show a table as wide as the terminal, or as a page in a pipe."""
        from rich.console import Console

        self.log(_plain(table))
        # above the table, not in it: a title in a narrow table would be folded
        heading, table.title = table.title, None
        console = Console(file=self._out, width=self.width, highlight=False, soft_wrap=False)
        with console.capture() as captured:
            if heading:
                console.print(heading, markup=False)
            console.print(table)
        self._print("\n".join(line.rstrip() for line in captured.get().rstrip().splitlines()))

    def _print(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            silence_output(self._out)
            if error.errno not in _READER_GONE:
                self.log(f"the output cannot be written: {error.strerror}")
                sys.stderr.write(f"the output cannot be written: {error.strerror}; the work goes on\n")

    def lines(self, render: Callable[[], Any]) -> Live:
        """Lines that are drawn anew until they are stopped; only for a terminal that is `live`.

        Args:
            render: gives what rich is to draw.
        """
        from rich.console import Console
        from rich.live import Live

        console = Console(file=cast("IO[str]", _Bearing(self)))
        live = Live(get_renderable=render, console=console, refresh_per_second=8, transient=True)
        live.start()
        return live

    def nodes(self, total: int) -> NodeLines:
        """A view on `total` nodes, an observer of the cluster; use as a context manager."""
        return NodeLines(self, total)


def _plain(table: Table) -> str:
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=_PIPE_WIDTH, highlight=False).print(table)
    return text.getvalue()


class _Bearing:
    """The terminal's stream for rich, whose thread would show a trace when the terminal hangs up."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal._write(text)  # noqa: SLF001 - two halves of one thing
        return len(text)

    def flush(self) -> None:
        """Each write has done it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal._out, name)  # noqa: SLF001 - two halves of one thing


class NodeLines:
    """One line a node while they run, as many as the terminal has room for."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._terminal = terminal
        self._states = dict.fromkeys(range(1, total + 1), ("waiting", "", 0.0))
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._terminal.live:
            self._live = self._terminal.lines(self._render)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def started(self, number: int, pid: int) -> None:
        """A node's process runs; its stages say all that a person wants to know."""

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """A node has reached a stage."""
        known = self._states.get(number)
        began = time.monotonic() if stage == "starting" or known is None else known[2]
        took = time.monotonic() - began
        self._states[number] = (stage, detail, began)
        text = f"node {number}: {stage}" + (f" {detail}" if detail else "")
        if stage in _SPOKEN:
            text += f" after {took:.2f} s"
        self._terminal.log(text)
        if self._live is None and not self._terminal.quiet and (stage in _SPOKEN or self._terminal.verbose):
            self._terminal._print(f"{time.strftime('%H:%M:%S')} {text}")  # noqa: SLF001

    def _render(self) -> Any:
        from rich.text import Text

        room = max(3, (self._live.console.height if self._live is not None else 24) - 4)
        order = {"failed": 0, "testing": 1, "ready": 1, "running": 1, "starting": 1, "waiting": 2, "done": 3}
        rows = sorted(self._states.items(), key=lambda item: (order.get(item[1][0], 1), item[0]))
        shown = sorted(rows[:room])
        text = Text()
        for number, (stage, detail, _) in shown:
            text.append(f"  node {number:>4}  ", style="dim")
            text.append(f"{stage} {detail}".rstrip()[:100] + "\n", style=_STYLES.get(stage, "cyan"))
        ended = sum(stage in _SPOKEN for stage, _, _ in self._states.values())
        text.append(f"  {ended} of {len(self._states)} nodes ended", style="bold")
        return text
