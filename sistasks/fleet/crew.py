"""The hands of a worker: processes that run suites, started when there is work and kept for the next."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import Any, Final

from sistasks.errors import FleetError
from sistasks.fleet import frames


class _Hand:
    """One process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "sistasks.fleet.hand"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdin is not None  # noqa: S101 - they are pipes
        assert self._process.stdout is not None  # noqa: S101 - they are pipes
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def ask(self, request: object, limit: float) -> Any:
        """Send a request and wait for the answer."""
        frames.send(self._stdin.fileno(), request)
        return frames.receive(self._stdout.fileno(), limit)

    def end(self) -> int:
        """End it at once, and its nodes with it.

        Returns:
            How it ended, as `subprocess` tells it.
        """
        with contextlib.suppress(OSError):
            self._process.kill()
        self._stdin.close()
        self._stdout.close()
        return self._process.wait()


_idle: Final[list[_Hand]] = []
_lock: Final = threading.Lock()


def ask(name: str, *arguments: object, limit: float) -> Any:
    """Have a hand do something.

    Args:
        name: `survey` or `run`.
        arguments: what it needs.
        limit: seconds that it may take.

    Returns:
        What it gave; a SistasksError where it could not.
    """
    with _lock:
        hand = _idle.pop() if _idle else None
    try:
        hand = hand or _Hand()
    except OSError as error:
        return FleetError(f"no process can be started: {error.strerror}", "make room for it")
    try:
        answer = hand.ask((name, arguments), limit)
    except TimeoutError:
        hand.end()
        return FleetError(f"it did not end within {limit:.0f} s", "raise timeout=")
    except (EOFError, OSError):
        return FleetError(
            f"its process ended with {hand.end()} in the middle", "the worker's own log says more"
        )
    except BaseException:
        hand.end()
        raise
    with _lock:
        _idle.append(hand)
    return answer
