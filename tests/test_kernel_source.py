"""The distribution's sources, from a package archive of our own on this disk: real apt, no network."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import apt_archive
import pytest
from apt_archive import package
from linux_tree import LinuxTree

from sistasks.errors import FetchError, ToolMissing
from sistasks.kernels import make
from sistasks.kernels.source import DebianSource
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.settings import Settings

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("apt-get", "dpkg-deb", "make", "gcc")),
    reason="needs a Debian-like system, make and gcc",
)


def asked() -> Settings:
    return resolve({"arch": "x86_64"}, environ={}, pyproject=Path("/nonexistent"))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive that apt knows instead of the system's; what is in it, `fill` says."""
    folder = apt_archive.make(tmp_path, monkeypatch)
    # a tree that only looks like Linux needs no more
    monkeypatch.setattr(make, "_PROGRAMS", ("make", "gcc"))
    monkeypatch.setattr(make, "_HEADER", "stdio.h")
    own = tmp_path / "own"
    own.mkdir()
    for name in ("wished", "base", "x86_64"):
        (own / f"{name}.config").write_text("")
    monkeypatch.setattr("sistasks.kernels.tree._OWN", own)
    return folder


def fill(archive: Path, tmp_path: Path, *, broken: bool = False, sources: bool = True) -> None:
    tree = LinuxTree.make(tmp_path / "linux-source-6.9")
    files = tmp_path / "files"
    (files / "usr/src").mkdir(parents=True)
    packed = files / "usr/src/linux-source-6.9.tar.xz"
    if sources:
        with tarfile.open(packed, "w:xz") as tar:
            tar.add(tree.path, tree.path.name)
    if broken:
        packed.write_bytes(packed.read_bytes()[:1000])
    entries = [
        package(archive, "linux-source", "6.9", depends="linux-source-6.9"),
        package(archive, "linux-source-6.9", "6.9.1-2", files),
    ]
    (archive / "Packages").write_text("".join(entries))


def test_from_zero_and_again(archive: Path, tmp_path: Path) -> None:
    fill(archive, tmp_path)
    told: list[str] = []
    source = DebianSource(tmp_path / "no-lists")
    folder = tmp_path / "kernels" / "source-x86_64"
    kernel = source.provide(asked(), folder, told.append)
    assert (kernel.name, kernel.arch, kernel.release, kernel.git_commit) == (
        "source", "x86_64", "6.9.1-x86", "",
    )  # fmt: skip
    assert kernel.image == folder / "kernel/boot/vmlinuz-6.9.1-x86"
    assert "downloading linux-source-6.9" in told
    shelf = tmp_path / "kernels" / "sources"
    tree = shelf / "linux-source-6.9_6.9.1-2_all"
    assert (tree / "Makefile").exists()
    assert [path.name for path in shelf.iterdir() if not path.name.startswith(".")] == [tree.name]
    assert list(shelf.glob(".unpacking-*")) == []

    described = source.describe(asked())
    (shelf / ".unpacking-killed").mkdir()
    told.clear()
    assert source.provide(asked(), folder, told.append) == kernel
    assert told[0] == f"{tree.name} is already here"
    assert "  CC" not in (folder / "build.log").read_text()
    assert not (shelf / ".unpacking-killed").exists()
    assert source.describe(asked()) == described


@pytest.mark.parametrize(
    ("broken", "sources", "says"),
    [
        (True, True, "linux-source-6.9.tar.xz cannot be unpacked: tar ended with exit code 2"),
        (False, False, "package linux-source-6.9 holds no archive of sources"),
    ],
)
def test_package_without_sources(
    archive: Path, tmp_path: Path, broken: bool, sources: bool, says: str
) -> None:
    fill(archive, tmp_path, broken=broken, sources=sources)
    with pytest.raises(FetchError) as caught:
        DebianSource(tmp_path / "no-lists").provide(asked(), tmp_path / "kernels" / "x", print)
    assert caught.value.problem == says
    assert [path.name for path in (tmp_path / "kernels/sources").iterdir() if path.name[0] != "."] == []


def test_archive_without_the_package(archive: Path, tmp_path: Path) -> None:
    (archive / "Packages").write_text("")
    with pytest.raises(FetchError, match="the package linux-source cannot be fetched: ") as caught:
        DebianSource(tmp_path / "no-lists").provide(asked(), tmp_path / "kernels" / "x", print)
    assert "kernel=debian" in caught.value.remedy


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="kernel=source needs apt-get, which is not there; kernel=debian"):
        DebianSource().provide(asked(), tmp_path / "out", print)


def test_stale_when_lists_or_configuration_change(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    source = DebianSource(tmp_path / "lists")
    before = source.describe(asked())
    assert source.describe(asked()) == before
    os.utime(tmp_path / "lists", ns=(1, 1))
    newer = source.describe(asked())
    (tmp_path / "own" / "base.config").write_text("CONFIG_X=y\n")
    assert len({str(before), str(newer), str(source.describe(asked()))}) == 3
