"""The hands of a worker: processes that run suites, started when there is work and kept for the next."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import FleetError
from sistasks.fleet import frames

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Hand:
    """One process.

    Attributes:
        unwanted: nobody wants what it does.
    """

    unwanted = False

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

    @property
    def lives(self) -> bool:
        """Whether its process is there."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """Want nothing more of it: who waits for its answer learns that it has gone."""
        self.unwanted = True
        with contextlib.suppress(OSError):
            self._process.kill()

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
# whose hand is at work on what; None: nobody wanted the task before a hand had it
_at_work: Final[dict[object, _Hand | None]] = {}
_lock: Final = threading.Lock()


def ask(name: str, *arguments: object, limit: float, task: str = "") -> Any:
    """Have a hand do something.

    Args:
        name: `survey` or `run`.
        arguments: what it needs.
        limit: seconds that it may take.
        task: what `end` calls it; empty: nobody ends it.

    Returns:
        What it gave; a SistasksError where it could not.
    """
    try:
        hand = _from_idle() or _Hand()
    except OSError as error:
        return FleetError(f"no process can be started: {error.strerror}", "make room for it")
    with _at_work_on(task or object(), hand):
        try:
            answer = hand.ask((name, arguments), limit)
        except TimeoutError:
            hand.end()
            return FleetError(f"it did not end within {limit:.0f} s", "raise timeout=")
        except (EOFError, OSError):
            code = hand.end()
            if hand.unwanted:
                return FleetError("nobody wants it any more")
            return FleetError(
                f"its process ended with {code} in the middle", "the worker's own log says more"
            )
        except BaseException:
            hand.end()
            raise
    with _lock:
        if hand.unwanted:  # it was told so when it had just answered
            hand.end()
        else:
            _idle.append(hand)
    return answer


def _from_idle() -> _Hand | None:
    """A hand that has nothing to do, if there is one that lives."""
    with _lock:
        while _idle:
            hand = _idle.pop()
            if hand.lives:
                return hand
            hand.end()
    return None


@contextlib.contextmanager
def _at_work_on(task: object, hand: _Hand) -> Iterator[None]:
    """While a hand works, `end` finds it."""
    with _lock:
        if task in _at_work:
            hand.dismiss()
        _at_work[task] = hand
    try:
        yield
    finally:
        with _lock:
            del _at_work[task]


def end(task: str) -> None:
    """Nobody wants a task any more: its hand is ended, and its nodes with it."""
    with _lock:
        hand = _at_work.setdefault(task, None)
        if hand is not None:
            hand.dismiss()


def end_all() -> None:
    """End all hands."""
    with _lock:
        while _idle:
            _idle.pop().end()
        for hand in _at_work.values():
            if hand is not None:
                hand.dismiss()
