"""A worker's folder does not grow for ever: what is not used for long goes, and beyond a size what is used least."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError
from sistasks.fleet import cache
from sistasks.kinds import RefusedError, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLE: Final = "SIS_FLEET_CACHE_SIZE"
_SIZE: Final = size(1 << 30, 1 << 50, "")
_DEFAULT: Final = "20G"
_DAY: Final = 86400.0
_UNUSED: Final = 30 * _DAY
# what was used within this time may be in use now, also where no lock tells
_GRACE: Final = _DAY


@dataclass(frozen=True, slots=True)
class _Thing:
    """A file, or a folder that goes as a whole.

    Attributes:
        path: where it is.
        used: when it was used last, in seconds of the epoch.
        size: bytes that it takes on the disk.
    """

    path: Path
    used: float
    size: int


def limit() -> int:
    """Bytes that the folder may take.

    Raises:
        FleetError: the variable is no size.
    """
    text = os.environ.get(VARIABLE) or _DEFAULT
    try:
        found: int = _SIZE.parse(text)
    except RefusedError as error:
        raise FleetError(f"{VARIABLE}={text} cannot be", f"it is {_SIZE.range}") from error
    return found


def prune(now: float | None = None) -> None:
    """Remove what is not needed any more; what another process is about to use stays.

    Args:
        now: the time, in seconds of the epoch; None: as it is.

    Raises:
        FleetError: the variable is no size.
    """
    now = time.time() if now is None else now
    most = limit()
    things = sorted(_things(), key=lambda thing: thing.used)
    total = sum(thing.size for thing in things)
    for thing in things:
        unused = now - thing.used
        if unused > _UNUSED or (total > most and unused > _GRACE):
            _remove(thing.path)
            total -= thing.size


def _things() -> Iterator[_Thing]:
    """All that is there, but hands' folders that are in use."""
    for folder in (cache.files(), cache.artifacts()):
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if path.is_file() and not path.is_symlink() and path.name != ".lock":
                    yield _Thing(path, found.st_mtime, found.st_blocks * 512)
    for path in _folders(cache.templates()):
        with contextlib.suppress(OSError):
            yield _Thing(path, path.stat().st_mtime, _taken(path))
    for path in _folders(cache.hands()):
        with contextlib.suppress(OSError), (path / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield _Thing(path, (path / ".lock").stat().st_mtime, _taken(path))


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return []


def _taken(folder: Path) -> int:
    """Bytes that a folder takes."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total


def _remove(path: Path) -> None:
    if not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
    elif path.parent != cache.hands():
        shutil.rmtree(path, ignore_errors=True)
    else:
        # a hand that begins now waits for none: it takes the next number, or makes this one anew
        with contextlib.suppress(OSError), (path / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for inside in path.iterdir():
                if inside.name != ".lock":
                    shutil.rmtree(inside, ignore_errors=True)
