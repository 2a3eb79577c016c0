"""This invocation of doit: when it began, the mark that its processes and files carry, and where its logs go."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.layout import Layout

SESSION_STARTED: Final = dt.datetime.now(dt.UTC)
# counts on while the machine sleeps, where there is such a clock
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_STEADY_START: Final = time.clock_gettime(_STEADY)
# it ends in the id of this process, by which leftovers are told from nodes that still have an owner
SESSION_ID: Final = f"{SESSION_STARTED:%Y%m%dT%H%M%S}-{os.getpid()}"
_A_SESSION: Final = re.compile(r"\d{8}T\d{6}-\d+")
# of sessions that were not alone
_KEEP: Final = 20
# what this session was given, and the locks that it holds until it ends
_given: Final[dict[Path, Path]] = {}
_locks: Final[list[int]] = []


def now() -> dt.datetime:
    """The time, UTC, as it goes on since this session began: somebody may set the host's clock meanwhile."""
    return SESSION_STARTED + dt.timedelta(seconds=time.clock_gettime(_STEADY) - _STEADY_START)


def session_logs(layout: Layout) -> Path:
    """The folder of this session's console logs.

    It is the layout's, except while another session is writing there: then it is one of our own below it, or the two
    would write into the same files.
    """
    folder = layout.logs.absolute()
    if folder not in _given:
        _given[folder] = layout.logs
        with contextlib.suppress(
            OSError
        ):  # what cannot be locked cannot be written either, and that will be told
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _locks.append(lock)
            except BlockingIOError:
                os.close(lock)
                _given[folder] = layout.logs / SESSION_ID
                _prune(folder)
    return _given[folder]


def release_logs() -> None:
    """Another session may write there now: a script lives longer than its runs."""
    _given.clear()
    while _locks:
        os.close(_locks.pop())


def _prune(logs: Path) -> None:
    """Remove all but the latest folders of sessions that were not alone."""
    found = sorted(path for path in logs.iterdir() if _A_SESSION.fullmatch(path.name))
    for path in found[: -_KEEP or None]:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
