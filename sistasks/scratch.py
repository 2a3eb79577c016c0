"""Folders that live no longer than we do: removed when they are left, and by another process if we are killed.

The other process waits for the end of a pipe that only we hold. The system closes it however we end, SIGKILL included.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# in a session of its own, deaf to what ends ours; it must not keep the folder that we were started in busy either
_REAPER: Final = 'trap "" HUP INT TERM; cd /; while read -r _; do :; done; exec rm -rf -- "$1"'
_REAPER_LIMIT: Final = 10.0


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """An empty folder that only we may look into, whatever the umask; what lay there before is removed.

    Leaving removes it, if it still has its name; so does our end, however it comes.

    Raises:
        OSError: it cannot be made.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _reaper(path):
        try:
            path.mkdir()
            path.chmod(0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _reaper(path: Path) -> Iterator[None]:
    """A shell that removes the folder when we have ended."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", _REAPER, "sistasks-reaper", path.absolute()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAPER_LIMIT)
