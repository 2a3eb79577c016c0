"""Packages of a small distribution: a program that is called stress-ng, and what it is linked with."""

from __future__ import annotations

import shutil
from pathlib import Path

import apt_archive
from elf_parts import GCC, compiled, library, system_library

from sistasks.guest.libraries import needs
from sistasks.guest.stress_ng import Packed, fetch
from sistasks.kinds import host_arch

ARCH = host_arch()
MAIN = "int own(void); int window(void); int main(void) { return own() + window(); }"
FOLDER = "usr/lib/own-linux-gnu"


class Archive:
    """Packages of a distribution: the program, its library, the C library, and what is left out."""

    def __init__(self, tmp_path: Path, folder: Path) -> None:
        self.folder = folder
        self.lists = tmp_path / "no-lists"
        self.out = tmp_path / "out"
        self._work = tmp_path / "work"
        window = library(self._work / "libEGL.so.1", "int window(void) { return 1; }")
        owned = self.owned(0)
        linked = [str(one) for one in (owned, window)]
        self.program = compiled(self._work / "stress-ng", MAIN, *linked, "-Wl,-z,now").read_bytes()

    def owned(self, value: int) -> Path:
        return library(self._work / "libOwn_thing.so.1", f"int own(void) {{ return {value}; }}")

    def fill(self, *, program: bytes = b"", without: str = "", mended: int = 0) -> None:
        """The archive with version 1 of everything; of the program's own library, if it is mended, another one."""
        loader = Path(needs(self.program).loader).name
        files = {
            "stress-ng": {"usr/bin/stress-ng": program or self.program},
            "libownthing1debian": {f"{FOLDER}/libOwn_thing.so.1.2": self.owned(mended).read_bytes()},
            "libc6": {
                f"{FOLDER}/{name}": system_library(name).read_bytes() for name in ("libc.so.6", loader)
            },
            "libgcc-s1": {f"{FOLDER}/libgcc_s.so.1": system_library("libgcc_s.so.1").read_bytes()},
            "libegl1": {},
        }
        depends = {
            "stress-ng": "libc6 (>= 2), libownthing1debian | nothing, libegl1, provided-only",
            "libc6": "libgcc-s1",
            "libgcc-s1": "provided-only-too",
        }
        entries = []
        for name, contents in files.items():
            if name == without:
                continue
            version = f"1.{mended}" if name == "libownthing1debian" and mended else "1"
            root = self._work / f"{name}-{version}"
            shutil.rmtree(root, ignore_errors=True)
            for place, data in contents.items():
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                (root / place).write_bytes(data)
            if name == "libownthing1debian":
                (root / FOLDER / "libOwn_thing.so.1").symlink_to("libOwn_thing.so.1.2")
            root.mkdir(exist_ok=True)
            entries.append(apt_archive.package(self.folder, name, version, root, depends.get(name, "")))
        (self.folder / "Packages").write_text("".join(entries))

    def fetch(self, told: list[str] | None = None) -> Packed:
        return fetch(ARCH, self.out, (GCC,), (told if told is not None else []).append, self.lists)

    def forget(self) -> None:
        """The mirror is asked again only where what it said before cannot be had."""
        for state in self.out.glob(".apt-*"):
            shutil.rmtree(state)


def names(data: bytes) -> dict[str, bytes]:
    """File -> bytes of an archive of ours."""
    found: dict[str, bytes] = {}
    at = 0
    while True:
        size, length = (int(data[at + begin : at + begin + 8], 16) for begin in (54, 94))
        name = data[at + 110 : at + 110 + length - 1].decode()
        if name == "TRAILER!!!":
            return found
        begin = at + 110 + length + -(110 + length) % 4
        if size:
            found[name] = data[begin : begin + size]
        at = begin + size + -size % 4
