"""Files of anybody on their way into the store, and what is in it on its way out: read once, digested as they pass."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from sistasks.errors import ArtifactError
from sistasks.evidence.compression import CHUNK, compressing, decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sistasks.evidence.places import Place


def require_file(descriptor: int, name: str) -> None:
    """Refuse what is open and no file.

    Raises:
        ArtifactError: it is a pipe, a device or a folder.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ArtifactError(f"{name} is no file", "only files are evidence")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file of the host, open to be read; a link is not followed, and a pipe not waited for.

    Raises:
        ArtifactError: it is no file.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        require_file(descriptor, str(path))
        yield file


def linked(path: Path, source: BinaryIO, folder: int, scratch: str) -> bool:
    """Whether the file could be linked into the folder, and what was linked is the file that is open.

    What belongs to another user, such as a confined QEMU's, is not linked: its owner could still write to it.
    """
    if os.fstat(source.fileno()).st_uid != os.geteuid():
        return False
    try:
        os.link(path, scratch, dst_dir_fd=folder, follow_symlinks=False)
    except (
        OSError,
        NotImplementedError,
    ):  # another file system, or one without links; a system without this call
        return False
    if os.path.samestat(os.fstat(source.fileno()), os.stat(scratch, dir_fd=folder, follow_symlinks=False)):
        os.chmod(scratch, 0o644, dir_fd=folder)
        return True
    os.unlink(scratch, dir_fd=folder)
    return False


def digest_of(source: BinaryIO) -> tuple[str, int]:
    """SHA-256 and size of what is left in a file."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def copy(source: BinaryIO, folder: int, scratch: str, *, packed: bool, level: int = 3) -> tuple[str, int]:
    """Copy what is there now, and no more, into a new file; SHA-256 and size of the content.

    Args:
        source: open to be read.
        folder: where the new file goes; in it nothing has its name.
        scratch: its name.
        packed: compress it.
        level: of compression.

    Raises:
        OSError: there is no room, or the source cannot be read.
        zstandard.ZstdError: the source became shorter meanwhile, and a frame was to tell its size.
    """
    digest, left = hashlib.sha256(), os.fstat(source.fileno()).st_size
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
    size = 0
    with contextlib.ExitStack() as stack:
        target: BinaryIO = stack.enter_context(os.fdopen(descriptor, "wb"))
        if packed:
            target = stack.enter_context(compressing(target, level=level, size=left))
        while left and (chunk := source.read(min(left, CHUNK))):
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def sync(folder: int, name: str) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def problem(file: BinaryIO, place: Place, size: int) -> str:
    """What is wrong with a file's content, in words; empty: nothing."""
    import zstandard

    digest, left = hashlib.sha256(), size
    try:
        content = decompressed(file) if place.compressed else file
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            left -= len(chunk)
            if left < 0:
                return f"it is longer than {size} bytes"
    except zstandard.ZstdError as error:
        return str(error)
    except OSError as error:
        return f"{error.strerror}"
    if left:
        return f"it is {left} bytes shorter than {size}"
    return "" if digest.hexdigest() == place.sha256 else "its SHA-256 is another one"
