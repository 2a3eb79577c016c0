"""Files that are whole or not there, also when the disk or the folder refuses."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import stat
from typing import TYPE_CHECKING

import pytest

from sistasks.files import sha256_of, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What a full disk looks like to a writer, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("data", [b"", b"\x00\xff bytes", "text, µs\n"])
def test_writes_and_makes_the_folders_above(tmp_path: Path, data: bytes | str) -> None:
    target = tmp_path / "a" / "b" / "file"
    write_atomically(target, data)
    assert target.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names(target.parent) == ["file"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("a much longer text than what follows")
    write_atomically(target, "short")
    assert target.read_text() == "short"


def test_a_reader_keeps_the_old_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")
    with target.open() as reader:
        write_atomically(target, "new")
        assert reader.read() == "old"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")
    with file_size_limit(1000), pytest.raises(OSError, match="File too large"):
        write_atomically(target, b"x" * 100_000)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_target_that_is_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(target, "x")
    assert names(tmp_path) == ["folder"]


def test_a_folder_that_is_a_file_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file" / "below", "x")


def test_sha256(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")
