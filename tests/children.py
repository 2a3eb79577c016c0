"""Python processes to be watched, and a wait for what they do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# what a child does after it has said that it began
BURN = "end = time.monotonic() + 30\nwhile time.monotonic() < end: pass"
WAIT = "---sys.stdin.read()"


@contextlib.contextmanager
def child(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that says when it has begun, and is killed at the end."""
    program = f"import sys, time\n{code.partition('---')[0]}\nprint(flush=True)\n{code.partition('---')[2]}"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process or thread does; a limit far beyond what it takes."""
    end = time.monotonic() + 60
    waiting = threading.Event()
    while not holds():
        assert time.monotonic() < end
        waiting.wait(0.02)
