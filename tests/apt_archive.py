"""A package archive of our own on this disk: real packages and the real apt, no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NEEDED = ("apt-get", "apt-cache", "dpkg-deb")


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty archive that apt knows instead of the system's; its list is its file `Packages`."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    config = tmp_path / "apt.conf"
    config.write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources.list";\nDir::Etc::SourceParts "/dev/null";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    return folder


def package(archive: Path, name: str, version: str, files: Path | None = None, depends: str = "") -> str:
    """A package in the archive; its entry in the archive's list."""
    root = archive / f"{name}.root"
    (root / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n"
    )
    control += f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN/control").write_text(control + "Description: for a test\n")
    if files:
        shutil.copytree(files, root, dirs_exist_ok=True, symlinks=True)
    file = archive / f"{name}_{version}_all.deb"
    # the same files are the same package, whenever it is made
    subprocess.run(
        ["dpkg-deb", "-Znone", "--build", "--root-owner-group", root, file],
        env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
        check=True,
        capture_output=True,
    )
    shutil.rmtree(root)
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return (
        f"{control}Filename: ./{file.name}\nSize: {len(data)}\nSHA256: {digest}\nDescription: for a test\n\n"
    )


def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt is told to go through a proxy where nothing listens: the discard port."""
    config = tmp_path / "apt.conf"
    config.write_text(
        "".join(f'Acquire::{kind}::Proxy "http://127.0.0.1:9";\n' for kind in ("http", "https"))
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
