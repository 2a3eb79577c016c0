"""`[tool.sistasks.programs.NAME]` in pyproject.toml: programs of the user's, packed into the guest and run as tests.

They lie in an archive of their own behind the guest's: the kernel unpacks one after the other (Linux,
Documentation/driver-api/early-userspace/buffer-format.rst), so that a suite without programs has a guest without them.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import tables
from sistasks.errors import GuestBuildError, UsageError
from sistasks.files import write_atomically
from sistasks.guest import initramfs
from sistasks.kinds import show_size
from sistasks.machine.arch import ARCHES
from sistasks.tables import Key, WrongValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sistasks.guest.build import Guest
    from sistasks.machine.arch import Arch

NAME_MAX: Final = 48
ARGUMENTS_MAX: Final = 64
_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{NAME_MAX - 1}}}")
# of the plan's page, which all programs of a suite share
_ARGUMENTS_ROOM: Final = 4096
_INTERPRETER: Final = 3
_TYPES: Final = frozenset({2, 3})


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program.

    Attributes:
        name: of its test, and of its file in the guest.
        path: the executable; `{arch}` stands for the architecture.
        arguments: its own.
        metrics: what it must measure, by the names that it prints.
        timeout: seconds of the guest that it may take.
        suite: whose test it is.
    """

    name: str
    path: str
    arguments: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    timeout: float = 60.0
    suite: str = "programs"

    def file(self, arch: str) -> Path:
        """The executable for an architecture."""
        return Path(self.path.replace("{arch}", arch))

    def lines(self) -> str:
        """Its part of a plan's page."""
        prefix = f"program_{self.name}"
        arguments = "".join(f"{prefix}_argument_{n}={text}\n" for n, text in enumerate(self.arguments))
        return f"{prefix}_limit_ms={max(1, round(self.timeout * 1000))}\n{arguments}"


def _path(value: object) -> str:
    path = tables.text(value)
    if "{" in path.replace("{arch}", "") or "}" in path.replace("{arch}", ""):
        raise WrongValueError("a path; {arch} is the only word that it may have in braces")
    return path


def _arguments(value: object) -> tuple[str, ...]:
    arguments = tables.texts(value)
    if len(arguments) > ARGUMENTS_MAX or sum(len(one.encode()) + 1 for one in arguments) > _ARGUMENTS_ROOM:
        raise WrongValueError(f"at most {ARGUMENTS_MAX} texts, together {_ARGUMENTS_ROOM} bytes")
    return arguments


def _metrics(value: object) -> tuple[str, ...]:
    names = tables.texts(value)
    if not all(re.fullmatch(r"[a-z0-9_./-]{1,100}", name) for name in names):
        raise WrongValueError("a list of names of a-z, 0-9, '_', '.', '/' and '-'")
    return names


_KEYS: Final = {
    "path": Key(_path, required=True),
    "arguments": Key(_arguments),
    "metrics": Key(_metrics),
    "timeout": Key(tables.number(0, 86400)),
    "suite": Key(tables.text),
}


def programs(table: object, pyproject: Path) -> dict[str, Program]:
    """The programs of `[tool.sistasks.programs]`, by name.

    Args:
        table: its value, as TOML gives it.
        pyproject: the file; relative paths in it are relative to its folder.

    Raises:
        UsageError: a name that cannot be, an unknown key, no path, or a value that cannot be.
    """
    if not isinstance(table, dict):
        raise UsageError(f"programs in {pyproject} is no table", "write [tool.sistasks.programs.NAME]")
    found = {}
    for name, value in table.items():
        where = f"programs.{name if name.isprintable() else repr(name)[1:-1]} in {pyproject}"
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{where}: no program can have this name",
                f"a name is of at most {NAME_MAX} of a-z, 0-9, '_' and '-'",
            )
        values = tables.entry(value, _KEYS, where)
        try:
            values["path"] = str(pyproject.absolute().parent / Path(values["path"]).expanduser())
        except RuntimeError:  # ~somebody, and this machine knows nobody of that name
            raise UsageError(
                f"path = {tables.shown(values['path'])} of {where} cannot be", "a path"
            ) from None
        found[name] = Program(name=name, **values)
    return found


def read(program: Program, arch: str, room: int) -> initramfs.Entry:
    """A program's entry of the archive, its mode as the file has it.

    Args:
        program: the program.
        arch: our name of the architecture that it must be for.
        room: bytes that it may have.

    Raises:
        UsageError: it is not there, not executable, no static program for the architecture, or too large.
        GuestBuildError: it cannot be read.
    """
    path = program.file(arch)
    where = f"path in programs.{program.name}"
    return executable(
        path, f"programs/{program.name}", arch, room, (f"program {program.name}: {path}", where)
    )


def executable(path: Path, place: str, arch: str, room: int, words: tuple[str, str]) -> initramfs.Entry:
    """The entry of a static program of the user's, its mode as the file has it.

    Args:
        path: the file.
        place: its name in the guest.
        arch: our name of the architecture that it must be for.
        room: bytes that it may have.
        words: what it is, and where it was named, for the sentences.

    Raises:
        UsageError: it is not there, not executable, no static program for the architecture, or too large.
        GuestBuildError: it cannot be read.
    """
    what, where = words
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{what} is no file", f"{where} is an executable's")
        if found.st_size > room:
            size = f"{found.st_size / (1 << 20):.1f} MiB"
            raise UsageError(
                f"{what} is too large for its node: {size}, {show_size(room >> 20 << 20)} are left",
                "strip it, or raise memory=",
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{what}: no such file", f"build it, or mend {where}") from None
    except OSError as error:
        raise GuestBuildError(f"{what} cannot be read: {error.strerror}", "make it readable") from error
    problem = elf_problem(data, ARCHES[arch])
    if problem:
        raise UsageError(f"{what} {problem[0]}", problem[1])
    if not found.st_mode & stat.S_IXUSR:
        raise UsageError(f"{what} is not executable", f"chmod +x {path}")
    return initramfs.Entry(place, stat.S_IFREG | stat.S_IMODE(found.st_mode), data)


def elf_problem(data: bytes, arch: Arch) -> tuple[str, str] | None:
    """Why a file is no program for the guest, and what to do; None if it is one.

    Only its header and its program headers are looked at (System V ABI, "ELF Header", "Program Header").

    Args:
        data: the file's bytes.
        arch: what it must be for.
    """
    build = f"build it for {arch.name}, with -static"
    if data[:4] != b"\x7fELF" or len(data) < 52 or data[4] not in {1, 2} or data[5] not in {1, 2}:
        return "is no program (no ELF file)", build
    order = "<" if data[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", data, 16)
    if machine != arch.elf_machine or data[5] != 1:
        other = next(
            (one.name for one in ARCHES.values() if one.elf_machine == machine), f"machine {machine}"
        )
        return f"is for another architecture ({other}, not {arch.name})", build
    wide = data[4] == 2
    layout = ("<Q", 32, 54) if wide else ("<I", 28, 42)
    try:
        (at,) = struct.unpack_from(layout[0], data, layout[1])
        size, count = struct.unpack_from("<HH", data, layout[2])
        kinds = [struct.unpack_from("<I", data, at + number * size)[0] for number in range(count)]
    except (struct.error, OverflowError):
        return "is a program that is cut off", build
    if kind not in _TYPES or not kinds:
        return "is an ELF file, but no program", "path names the linked executable"
    if _INTERPRETER in kinds:
        return "is linked dynamically, and the guest has no libraries", "link it with -static"
    return None


def archive(wanted: Iterable[Program], arch: str, memory: int) -> bytes:
    """All programs as one archive, the same bytes for the same files.

    Args:
        wanted: the programs.
        arch: our name of the architecture.
        memory: bytes of a node: a quarter may be programs.

    Raises:
        UsageError, GuestBuildError: one cannot be packed.
    """
    entries = []
    room = memory // 4
    for program in wanted:
        entries.append(read(program, arch, room))
        room -= len(entries[-1].data)
    return initramfs.pack(entries)


def behind(guest: Guest, archive: bytes, folder: Path) -> Guest:
    """The guest with an archive behind it, which is no other guest for that (`bare_sha256`).

    Args:
        guest: as it is built.
        archive: what the kernel unpacks after it; the guest stays as it is if it is empty.
        folder: gets `initramfs.cpio`; made if missing.

    Raises:
        GuestBuildError: the folder cannot be written.
    """
    if not archive:
        return guest
    target = folder / "initramfs.cpio"
    try:
        data = guest.initramfs.read_bytes() + archive
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    except OSError as error:
        raise GuestBuildError(
            f"{target} cannot be made: {error.strerror}", "make room, or set output="
        ) from error
    return replace(guest, initramfs=target, sha256=hashlib.sha256(data).hexdigest())


def with_archive(guest: Guest, programs: bytes, folder: Path) -> Guest:
    """The same where what is in the archive makes it another guest.

    Raises:
        GuestBuildError: the folder cannot be written.
    """
    whole = hashlib.sha256(programs).hexdigest()
    both = hashlib.sha256(f"{guest.bare_sha256} {whole}".encode()).hexdigest()
    return replace(behind(guest, programs, folder), bare_sha256=both)
