"""A doit that is running: its words are read as they come, and it can be interrupted as a person would."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import psutil
from guest_project import Project, environment, nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT = 60.0
# what is promised
GONE = 2.0


class Running:
    """One doit with its terminal or its pipe.

    Attributes:
        process: its process, first of a group of its own, as a shell would start it.
        said: all that was read until now, standard error included.
    """

    def __init__(self, project: Project, process: subprocess.Popen[bytes], source: int) -> None:
        self.project = project
        self.process = process
        self.said = ""
        self._source = source

    def until(self, words: str) -> None:
        """Read until these words came."""
        end = time.monotonic() + LIMIT
        while words not in self.said:
            assert self._read(end), f"no {words!r} in {self.said}"

    def nodes(self) -> list[psutil.Process]:
        """Its nodes; there must be some."""
        found = nodes_of(self.project.folder)
        assert found, self.said
        return found

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        end = time.monotonic() + LIMIT
        while self._read(end):
            pass
        return self.process.wait(LIMIT)

    def left_behind(self, started: Sequence[psutil.Process]) -> list[psutil.Process]:
        """Those of the processes that are still there 2 s (GONE) after doit itself has ended, however busy the host."""
        # its words are not read meanwhile: their end comes only when the last that could say something has gone
        self.process.wait(LIMIT)
        _, left = psutil.wait_procs(started, timeout=GONE)
        return list(left)

    def _read(self, end: float) -> bool:
        """Read what is there; false at the end."""
        readable, _, _ = select.select([self._source], [], [], max(0.0, end - time.monotonic()))
        assert readable, f"no word for {LIMIT:g} s: {self.said}"
        try:
            data = os.read(self._source, 1 << 16)
        except OSError:  # a terminal whose other side has ended
            return False
        self.said += data.decode(errors="replace")
        return data != b""


def shell(ignoring: str, command: list[str]) -> list[str]:
    """The command as a shell starts it that ignores a signal (`nohup`, or a job in the background)."""
    return ["sh", "-c", f'trap "" {ignoring}; exec "$@"', "sh", *command]


@contextmanager
def running(project: Project, command: list[str], stderr: IO[bytes] | None = None) -> Iterator[Running]:
    """A doit in a pipe."""
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr or subprocess.STDOUT,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        try:
            yield Running(project, process, process.stdout.fileno())
        finally:
            _put_away(process)


@contextmanager
def on_terminal(project: Project, command: list[str]) -> Iterator[tuple[Running, IO[bytes]]]:
    """A doit on a terminal of its own, and the person's side of it: what is written is typed, closing it hangs up."""
    person, terminal = pty.openpty()
    setsid = shutil.which("setsid")
    assert setsid is not None
    with os.fdopen(person, "r+b", buffering=0) as keyboard:
        try:
            process = subprocess.Popen(
                [setsid, "--ctty", *command],
                cwd=project.folder,
                env=environment() | {"TERM": "xterm", "CI": ""},
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
            )
        finally:
            os.close(terminal)
        with process:
            try:
                yield Running(project, process, person), keyboard
            finally:
                _put_away(process)


def _put_away(process: subprocess.Popen[bytes]) -> None:
    """Whatever a test found: nothing of it goes on."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
