"""A reproducible initramfs: the same files, in any order, give the same bytes.

Format: cpio "newc" (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). Times, owners and inode
numbers are fixed; names are sorted. It is not compressed: unpacking would cost more than reading under emulation.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_TRAILER: Final = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or device of the initramfs; `name` is relative, without a leading slash."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(name: str) -> Entry:
    """An empty directory."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, data: bytes, *, executable: bool = False) -> Entry:
    """A regular file."""
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), data)


def character_device(name: str, major: int, minor: int) -> Entry:
    """A character device."""
    return Entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))


def _record(entry: Entry, inode: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    numbers = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    record = b"070701" + b"".join(b"%08x" % number for number in numbers) + name
    record += b"\0" * (-len(record) % 4)
    return record + entry.data + b"\0" * (-len(entry.data) % 4)


def pack(entries: Iterable[Entry]) -> bytes:
    """The archive of the entries, with the directories above them where they are not given.

    Raises:
        ValueError: two entries have one name, or a name is absolute, climbs, ends the archive or lies below a file.
    """
    by_name: dict[str, Entry] = {}
    for entry in entries:
        bad_part = any(part in {"", ".", ".."} for part in entry.name.split("/"))
        if entry.name in by_name or bad_part or "\0" in entry.name or entry.name == _TRAILER:
            raise ValueError(f"initramfs entry {entry.name!r} is given twice or is not a plain relative name")
        by_name[entry.name] = entry
    for name in list(by_name):
        while "/" in name:
            name = name.rpartition("/")[0]  # noqa: PLW2901 - climbs to the root
            if not stat.S_ISDIR(by_name.setdefault(name, directory(name)).mode):
                raise ValueError(f"initramfs entry {name!r} is not a directory, and others lie below it")
    ordered = sorted(by_name.values(), key=lambda entry: entry.name)
    body = b"".join(_record(entry, number) for number, entry in enumerate(ordered, 1))
    body += _record(Entry(_TRAILER, 0), 0)
    return body + b"\0" * (-len(body) % 512)
