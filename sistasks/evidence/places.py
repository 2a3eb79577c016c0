"""Where things lie in the store, and folders that no link leads out of.

    <kind>/<first 2 digits>/<sha256><suffix>          a file as it was collected
    <kind>/<first 2 digits>/<sha256><suffix>.zst      the same, compressed
    metadata/artifacts/<first 2 digits>/<sha256>.<kind>.<digest>.json    what it is called
    metadata/histories/<digest>.json                  a history whose artifacts are here

`kernels/<digest of 12 digits>/` are the kept kernels of `evidence.kernels`, and `captures/*.pcapng` may lie beside the
store's own files: neither has the form of a place, so that the store does not see them.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from sistasks.evidence.compression import SUFFIX
from sistasks.evidence.records import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH: Final = re.compile(
    rf"({'|'.join(KINDS)})/([0-9a-f]{{2}})/(\2[0-9a-f]{{62}})(\.(?!zst\b)[a-z0-9]{{1,8}})?(\.zst)?", re.ASCII
)
_SHELF: Final = re.compile(r"[0-9a-f]{2}", re.ASCII)
_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a content lies.

    Attributes:
        kind: the folder.
        sha256: of the content as it was collected.
        suffix: `.log`, or empty.
        compressed: it is kept as zstd.
    """

    kind: str
    sha256: str
    suffix: str = ""
    compressed: bool = False

    @classmethod
    def read(cls, path: str) -> Self | None:
        """The place that a path of the history, or of the folder, names; None where it names none."""
        match = _PATH.fullmatch(path)
        return None if match is None else cls(match[1], match[3], match[4] or "", match[5] is not None)

    @property
    def shelf(self) -> str:
        """The folder below that of the kind."""
        return self.sha256[:2]

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.sha256}{self.suffix}{SUFFIX if self.compressed else ''}"

    @property
    def path(self) -> str:
        """The path within the store, as the history has it."""
        return f"{self.kind}/{self.shelf}/{self.name}"

    @property
    def plain(self) -> Self:
        """The same content, not compressed: what is named once, in whichever form it lies there."""
        return replace(self, compressed=False)

    @property
    def packed(self) -> Self:
        """The same content, compressed."""
        return replace(self, compressed=True)


def suffix_of(name: str) -> str:
    """What of a name, which may be anybody's, becomes part of a file's: a short plain suffix, or nothing."""
    dot = name.rfind(".")
    found = name[dot:].lower() if dot > 0 else ""
    return found if _SUFFIX.fullmatch(found) and found != SUFFIX else ""


@contextlib.contextmanager
def folder(root: Path, *parts: str, create: bool = False) -> Iterator[int]:
    """A descriptor of a folder below `root`, reached without following a link.

    Args:
        root: it may itself be reached over links.
        parts: names of folders, one below the other.
        create: make those that are missing.

    Raises:
        OSError: there is none (FileNotFoundError), or something else is in its place.
    """
    if create:
        root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, _DIRECTORY)
    try:
        for part in parts:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
            deeper = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def walk(root: Path) -> Iterator[tuple[Place, os.stat_result]]:
    """Every file of the store in order; what is none of ours, or a link, is passed over."""
    for kind in KINDS:
        for shelf in _names(root, kind):
            if not _SHELF.fullmatch(shelf):
                continue
            for name in _names(root, kind, shelf):
                place = Place.read(f"{kind}/{shelf}/{name}")
                if place is None:
                    continue
                with contextlib.suppress(OSError), folder(root, kind, shelf) as descriptor:
                    yield place, os.stat(name, dir_fd=descriptor, follow_symlinks=False)


def _names(root: Path, *parts: str) -> list[str]:
    try:
        with folder(root, *parts) as descriptor, os.scandir(descriptor) as entries:
            return sorted(entry.name for entry in entries)
    except OSError:
        return []
