"""All that this invocation has on a fleet: sessions that were begun, and one place where their runs are waited for."""

from __future__ import annotations

import contextlib
import queue
import time
from typing import TYPE_CHECKING, Final

from sistasks.errors import HistoryError, SistasksError
from sistasks.fleet import fleet as fleets
from sistasks.fleet.progress import RunLines
from sistasks.fleet.session import SILENT, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from distributed import Future

    from sistasks.fleet.fleet import Fleet
    from sistasks.fleet.job import Job
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal

# seconds between looks at who is there; of many workers a look takes long, and then there are fewer: a look takes one
# part of so many of our time, for we must record runs meanwhile. But often enough to notice who is silent
_LOOK: Final = 2.0
_PART: Final = 20.0
_SELDOM: Final = SILENT / 3


class Board:
    """The sessions on one fleet. Their runs go on at the same time, whichever of them is waited for.

    Args:
        fleet: where they run.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._sessions: list[Session] = []
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        # worker -> when it was last heard of by the scheduler's clock, and by ours
        self._heard: dict[str, tuple[float, float]] = {}

    def session(self, job: Job, paths: Mapping[str, Path], made: list[Recipe]) -> Session:
        """A session of a job, which its caller begins."""
        made_session = Session(self.fleet, job, paths, made, self._ended)
        self._sessions.append(made_session)
        return made_session

    def wait(self, session: Session, terminal: Terminal) -> list[int]:
        """Until a session has ended; if it failed, until all have, for nobody may come and wait for them then.

        Returns:
            The numbers of its runs.

        Raises:
            KernelFailure: a test failed (the runs are kept).
            SistasksError: the fleet, a worker or the history failed (runs that had ended are kept).
        """
        self._until(lambda: not session.under_way, terminal)
        try:
            return session.conclude()
        except SistasksError:
            self.drain(terminal)
            raise

    def drain(self, terminal: Terminal) -> None:
        """Until every session has ended."""
        self._until(lambda: not any(session.under_way for session in self._sessions), terminal)

    def _until(self, reached: Callable[[], bool], terminal: Terminal) -> None:
        if reached():
            return
        total = sum(session.total - len(session.came) for session in self._sessions if session.under_way)
        look = time.monotonic()
        try:
            with RunLines(terminal, total) as lines:
                self._each(lambda session: session.start())
                while not reached():
                    with contextlib.suppress(queue.Empty):
                        self._take(self._ended.get(timeout=max(0.0, look - time.monotonic())), lines)
                    began = time.monotonic()
                    if began >= look:
                        self._look(lines)
                        look = time.monotonic() + pause(time.monotonic() - began)
        except BaseException:
            for session in self._sessions:
                session.cancel()
            raise

    def _take(self, future: Future, lines: RunLines) -> None:
        self._each(lambda session: session.take(future, lines))

    def _look(self, lines: RunLines) -> None:
        """See who is there, and where each run is."""
        if self.fleet.lost:
            self._end_all(self.fleet.gone())
            return
        try:
            there, at_work = self.fleet.workers(), self.fleet.processing()
        except SistasksError as error:
            self._end_all(error)
            return
        now = time.monotonic()
        for address, known in there.items():
            seen = float(known["last_seen"])
            if self._heard.get(address, (0.0, 0.0))[0] != seen:
                self._heard[address] = seen, now
        for address, keys in at_work.items():
            silent = now - self._heard.get(address, (0.0, now))[1]
            for key in keys:
                self._each(lambda session, key=key, at=address, s=silent: session.follow(key, at, s, lines))  # type: ignore[misc]
        # last, for then they know what has a place
        self._each(lambda session: session.look(there, lines))

    def _each(self, work: Callable[[Session], None]) -> None:
        """Do something with each session that goes on; what one cannot bear ends it, and all where it concerns all."""
        for session in self._sessions:
            if not session.under_way:
                continue
            try:
                work(session)
            except SistasksError as error:
                session.end(error)
                if isinstance(error, HistoryError) or self.fleet.lost:
                    self._end_all(error)

    def end(self) -> None:
        """Its fleet is lost, also where another one is at that address now: nothing more comes."""
        self._end_all(self.fleet.gone())

    def _end_all(self, error: SistasksError) -> None:
        for session in self._sessions:
            if session.under_way:
                session.end(error)


def pause(taken: float) -> float:
    """Seconds until the next look, after one that took so many."""
    return min(max(_LOOK, _PART * taken), _SELDOM)


_boards: Final[dict[str, Board]] = {}


def board(address: str) -> Board:
    """The board of a scheduler; one for all suites of this invocation.

    Raises:
        ToolMissing: `distributed` is not installed.
        FleetError: the scheduler cannot be reached.
    """
    fleet = fleets.connect(address)
    known = _boards.get(address)
    if known is None or known.fleet is not fleet:
        if known is not None:
            known.end()
        known = _boards[address] = Board(fleet)
    return known
