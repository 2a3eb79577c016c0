"""A worker's folder: files by their content, shared by all of its hands, and a folder of its own for each hand.

It is `SIS_FLEET_CACHE`, else `sistasks` in the user's cache folder. It may be removed whenever no worker runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import FleetError
from sistasks.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE: Final = "SIS_FLEET_CACHE"


def root() -> Path:
    """The folder."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "sistasks"


def files() -> Path:
    """Where files lie by their SHA-256."""
    return root() / "files"


def artifacts() -> Path:
    """The store of evidence that is too large to be sent unasked."""
    return root() / "artifacts"


def templates() -> Path:
    """The templates of all hands."""
    return root() / "templates"


def hands() -> Path:
    """The folders of the hands."""
    return root() / "hands"


def touch(path: Path) -> None:
    """Note that a file is used now: it is pruned last."""
    with contextlib.suppress(OSError):
        os.utime(path)


def missing(wanted: Iterable[str]) -> list[str]:
    """Those of the files that are not here, or not whole."""
    return [sha256 for sha256 in wanted if not _is_whole(files() / sha256)]


def _is_whole(path: Path) -> bool:
    touch(path)
    with contextlib.suppress(OSError):
        return sha256_of(path) == path.name
    return False


def keep(sha256: str, data: bytes) -> None:
    """Keep a file.

    Raises:
        FleetError: there is no room for it, or it was damaged on its way.
    """
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FleetError(f"the file {sha256[:12]} was damaged on its way")
    try:
        write_atomically(files() / sha256, data)
    except OSError as error:
        raise refused(error) from error


def refused(error: OSError) -> FleetError:
    """The folder cannot be used, as a person is told."""
    return FleetError(f"{root()} cannot be written: {error.strerror}", f"make room there, or set {VARIABLE}")


def own_folder() -> tuple[Path, int]:
    """A folder that no other living process has, and the lock that must be held to have it.

    Raises:
        OSError: none can be made.
    """
    for number in itertools.count():
        folder = hands() / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.utime(lock)
        return folder, lock
    raise AssertionError  # itertools.count has no end
