"""stress-ng in the guest: the distribution's package, its program unchanged, with the libraries that it needs.

What is in the guest where it could be had (`Packed.archive` is not None), behind the guest's own archive:

- `/stress/stress-ng`: the program. Without it nobody has it: whoever would run it looks whether the file is there.
- the loader and the libraries where that loader looks for them by itself (`/lib64/ld-linux-x86-64.so.2`,
  `/lib/x86_64-linux-gnu/libc.so.6`, ...): `execve` of the program is all, no variable of the environment is needed.
- its other needs are the guest's: `/proc`, `/sys`, `/dev`, and `/tmp` to write to (`--temp-path /tmp`). There is no
  shell and no `/etc`; a stressor that needs more says so, and is skipped by stress-ng itself. One that is killed for
  want of memory is started again, for as long as the run may take: give `--timeout`, and `--oomable` to let it be.

Its parts for graphics, kernel modules and Intel's IPsec library are not there (`LEFT_OUT`): the stressors `gpu`,
`module` and `ipsec-mb` are of no use. Their libraries would be two thirds of the archive, and of a node's memory.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import posixpath
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import apt
from sistasks.errors import FetchError, GuestBuildError, SistasksError
from sistasks.files import locked, sha256_of, write_atomically
from sistasks.guest import initramfs, libraries, stubs
from sistasks.guest.programs import executable
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sistasks.guest.libraries import Found
    from sistasks.machine.arch import Arch

PACKAGE: Final = "stress-ng"
PLACE: Final = "stress/stress-ng"
LEFT_OUT: Final = frozenset({"libEGL", "libGLESv2", "libgbm", "libkmod", "libIPSec_MB"})
# asked for only when a thread is cancelled or a backtrace taken (glibc, misc/unwind-link.c)
_OPENED: Final = ("libgcc_s.so.1",)
_INSTEAD: Final = "stress_ng=PATH of a static one"
_UNPACKING: Final = ".unpacking-"
# raised when the same packages are packed otherwise
_FORM: Final = 1
# packages that bring one another; more rounds than that are a distribution that does not keep its promises
_ROUNDS_MAX: Final = 20
# a package unpacks to at most five times its size
_ROOM_FACTOR: Final = 6
_NAME: Final = re.compile(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What there is of stress-ng for an architecture.

    Attributes:
        arch: our name of it.
        version: of the package; empty where it is not the distribution's.
        archive: for the guest, as `initramfs.pack` makes it; None: there is no stress-ng.
        sha256: of the archive.
        packages: file -> `size hash` of every package that is in it.
        compiler: what made the empty libraries.
        why: why there is none, in one sentence.
    """

    arch: str
    version: str = ""
    archive: Path | None = None
    sha256: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    compiler: tuple[str, ...] = ()
    why: str = ""

    def to_json(self) -> str:
        """The record as JSON text."""
        record = {**asdict(self), "form": _FORM, "archive": str(self.archive) if self.archive else None}
        return json.dumps(record, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Packed:
        """Read a kept record.

        Raises:
            ValueError: the text is not such a record, or one of another form.
        """
        try:
            record = dict(json.loads(text))
            if record.pop("form") != _FORM:
                raise ValueError("another form")
            archive = Path(record["archive"]) if record["archive"] else None
            return cls(**{**record, "archive": archive, "compiler": tuple(record["compiler"])})
        except (TypeError, KeyError) as error:
            raise ValueError("no record of stress-ng") from error

    def is_whole(self) -> bool:
        """Whether the archive is the one that was made."""
        try:
            return self.archive is not None and sha256_of(self.archive) == self.sha256
        except OSError:
            return False


def fetch(name: str, folder: Path, compiler: Sequence[str], log: apt.Log, lists: Path = apt.LISTS) -> Packed:
    """The distribution's stress-ng for an architecture, fetched and packed unless the version that apt knows is here.

    Args:
        name: our name of the architecture.
        folder: holds the archive, its record, and apt's private state; made if missing.
        compiler: the command that compiles for the architecture.
        log: takes one line of progress each.
        lists: the system's own package lists.

    Raises:
        ToolMissing: no apt-get, apt-cache or dpkg-deb.
        FetchError: the package or one of its libraries cannot be had.
        GuestBuildError: it cannot be packed.
        SistasksError: there is no room.
    """
    arch = ARCHES[name]
    apt.require_programs(PACKAGE, _INSTEAD)
    folder = folder.absolute()
    wanted = apt.Wanted(PACKAGE, arch.debian, _INSTEAD, arch.debian_since)
    try:
        with locked(folder):
            for left in folder.glob(_UNPACKING + "*"):
                shutil.rmtree(left, ignore_errors=True)
            return apt.fetch(
                wanted, folder, lists, log, lambda source: _fetched(source, arch, folder, compiler, log)
            )
    except OSError as error:
        raise SistasksError(
            f"{PACKAGE} cannot be kept in {folder}: {error.strerror}", "make room there, or set output"
        ) from error


def own(path: Path, name: str, folder: Path, room: int) -> Packed:
    """A stress-ng of the user's.

    Args:
        path: the program, linked statically.
        name: our name of the architecture.
        folder: gets the archive; made if missing.
        room: bytes that it may have.

    Raises:
        UsageError: it is not there, not executable, no static program for the architecture, or too large.
        GuestBuildError: it cannot be read, or the folder cannot be written.
    """
    data = initramfs.pack([executable(path, PLACE, name, room, (f"stress_ng={path}", "stress_ng="))])
    digest = hashlib.sha256(data).hexdigest()
    archive = folder.absolute() / f"own-{digest[:16]}.cpio"
    try:
        write_atomically(archive, data)
    except OSError as error:
        raise GuestBuildError(
            f"{archive} cannot be made: {error.strerror}", "make room, or set output="
        ) from error
    return Packed(arch=name, archive=archive, sha256=digest)


def _fetched(source: apt.Apt, arch: Arch, folder: Path, compiler: Sequence[str], log: apt.Log) -> Packed:
    """What this apt has of it, packed only if it is not here."""
    record = folder / f"{PACKAGE}.json"
    work = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=folder))
    try:
        source = source.remembering(work)
        offered = source.files([PACKAGE])
        if not offered:
            raise apt.AptError(f"package {PACKAGE} has no file to download")
        kept = _kept(record, source)
        if kept and offered.items() <= kept.packages.items() and kept.compiler == tuple(compiler):
            log(f"{PACKAGE} {kept.version} is already here")
            return kept
        basket = _Basket(source, work)
        found = basket.gather(log)
        data = pack(basket.program(), found, compiler, work)
        files = basket.files()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    digest = hashlib.sha256(data).hexdigest()
    archive = folder / f"{PACKAGE}-{digest[:16]}.cpio"
    write_atomically(archive, data)
    made = Packed(
        arch=arch.name, version=basket.version, archive=archive, sha256=digest, packages=files,
        compiler=tuple(compiler),
    )  # fmt: skip
    write_atomically(record, made.to_json())
    for old in folder.glob(f"{PACKAGE}-*.cpio"):
        if old != archive:
            old.unlink(missing_ok=True)
    return made


def _kept(record: Path, source: apt.Apt) -> Packed | None:
    """What was packed before, if it is whole and of packages that apt would fetch today."""
    try:
        kept = Packed.from_json(record.read_text())
        names = sorted({file.partition("_")[0] for file in kept.packages})
        return kept if kept.is_whole() and source.files(names) == kept.packages else None
    except (OSError, ValueError, apt.AptError):
        return None


class _Basket:
    """Packages that were fetched, unpacked over one another into one tree."""

    def __init__(self, source: apt.Apt, work: Path) -> None:
        self._source = source
        self._work = work
        self._root = work / "root"
        self._known: dict[str, dict[str, str]] = {}
        self._taken: set[str] = set()
        self._root.mkdir()

    @property
    def version(self) -> str:
        """The version of the package."""
        return self._known[PACKAGE]["Version"]

    def files(self) -> dict[str, str]:
        """File -> `size hash` of each package."""
        return self._source.files(sorted(self._taken))

    def program(self) -> bytes:
        """The program.

        Raises:
            GuestBuildError: the package has none.
        """
        path = libraries.find(self._root, f"usr/bin/{PACKAGE}")
        if path is None:
            raise GuestBuildError(f"the package {PACKAGE} holds no program", _INSTEAD)
        return path.read_bytes()

    def gather(self, log: apt.Log) -> Found:
        """Fetch the package, and package by package what its program is linked with.

        A library is in one of the packages that those depend on that ask for it (Debian Policy 8.6), most often in
        the one of its own name.

        Raises:
            AptError: a package cannot be fetched.
            FetchError: a library is in none of them.
        """
        log(f"downloading {PACKAGE} and the libraries that it is linked with")
        self._learn([PACKAGE])
        chosen = [PACKAGE]
        for _ in range(_ROUNDS_MAX):
            self._take(chosen)
            found = libraries.closure(self.program(), self._root, more=_OPENED, without=LEFT_OUT)
            if not found.missing:
                return found
            chosen = choose(found.missing, self._known.keys() - self._taken)
            if not chosen:
                break
        raise FetchError(f"no package of {PACKAGE} brings {found.missing[0]}", _INSTEAD)

    def _take(self, names: Sequence[str]) -> None:
        apt.need_room(self._work, _ROOM_FACTOR * sum(int(self._known[name]["Size"]) for name in names))
        self._source.run("apt-get", "-qq", "download", *names, cwd=self._work)
        for package in sorted(self._work.glob("*.deb")):
            apt.unpack(package, self._root)
            package.unlink()
        self._taken |= set(names)
        depends = (self._known[name].get(key, "") for name in names for key in ("Pre-Depends", "Depends"))
        self._learn({name for one in depends for name in _NAME.findall(one)} - self._known.keys())

    def _learn(self, names: Collection[str]) -> None:
        """Ask what apt knows of packages (deb-control(5)); of names that are only provided by others it is nothing."""
        text = self._source.run("apt-cache", "show", "--no-all-versions", *sorted(names)) if names else ""
        for block in text.split("\n\n"):
            pairs = (line.partition(": ") for line in block.splitlines() if not line.startswith(" "))
            stanza = {key: value for key, _, value in pairs}
            if {"Package", "Version", "Size"} <= stanza.keys():
                self._known[stanza["Package"]] = stanza


def choose(missing: Sequence[str], offered: Collection[str]) -> list[str]:
    """Packages that have libraries, by their names; where no name tells it, those that are most alike.

    Args:
        missing: names that the loader looks for, such as `libfoo.so.1`: its package is called `libfoo1`, or `libfoo-1`
            behind a digit (Debian Policy 8.1), most often.
        offered: the packages to choose from.
    """
    exact: set[str] = set()
    likeliest: set[str] = set()
    for name in missing:
        stem, _, version = name.lower().replace("_", "-").partition(".so")
        version = version.removeprefix(".")
        plain = stem + version
        exact |= {plain, f"{stem}-{version}", f"{plain}t64"} & set(offered)
        alike = {
            one: (one.startswith(stem), difflib.SequenceMatcher(None, one, plain).ratio(), one)
            for one in offered
        }
        likeliest |= {max(alike, key=alike.__getitem__)} if alike else set()
    return sorted(exact or likeliest)


def pack(program: bytes, found: Found, compiler: Sequence[str], work: Path) -> bytes:
    """The archive: the program, its libraries, and an empty one for each that is left out.

    Args:
        program: its bytes.
        found: what `libraries.closure` says of it.
        compiler: the command that compiles for its architecture.
        work: a folder for what is made on the way.

    Raises:
        GuestBuildError: an empty library cannot be made.
    """
    entries = [initramfs.file(PLACE, program, executable=True)]
    entries += [initramfs.file(one.place, one.data, executable=True) for one in found.libraries.values()]
    wanted = stubs.asked_of(program, found.left_out, [one.data for one in found.libraries.values()])
    if wanted:
        # the last is no loader, which has a place of its own
        folder = posixpath.dirname(list(found.libraries.values())[-1].place)
        for name, functions in wanted.items():
            data = stubs.make(name, functions, compiler, work)
            entries.append(initramfs.file(f"{folder}/{name}", data, executable=True))
    return initramfs.pack(entries)
