"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_atomically(target: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write `data` under a temporary name beside `target` and rename it: never a half file, never a lost one.

    Args:
        target: its folder is made.
        data: text goes as UTF-8.
        durable: wait for the disk; what can be made anew need not outlive a power cut.

    Raises:
        OSError: the directory cannot be written or the disk is full; `target` is then as it was.
    """
    raw = data.encode() if isinstance(data, str) else data
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[int]:
    """Wait for the folder, made if missing, and have it alone among sessions.

    Gives the lock's file descriptor: a program that inherits it holds the lock for as long as it lives.

    Args:
        folder: what is locked.
        wait: for another session that has it.

    Raises:
        OSError: it cannot be made or written to; BlockingIOError where another session has it and nobody is to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield lock.fileno()
