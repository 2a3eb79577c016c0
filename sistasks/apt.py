"""apt as a source of files: what it knows, downloaded and unpacked, never installed.

The system's apt and its lists serve where they can. For another architecture, or where the lists are missing
or older than the mirror, apt works on a private state in a folder of ours: the system is not touched.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sistasks.errors import FetchError, SistasksError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Log = Callable[[str], None]

_Got = TypeVar("_Got")

LISTS: Final = Path("/var/lib/apt/lists")
# lists and caches of one architecture take half of this
_ROOM_LISTS: Final = 128 << 20
# apt can wait for ever for a helper of its own (seen on a full disk)
_APT_SECONDS: Final = 900.0
# `apt-get download --print-uris` and its kin: 'address' file size hash
_URI: Final = re.compile(r"^'[^']+' (?P<file>[^\s/]+\.deb) (?P<what>\d+ \S+)$", re.MULTILINE)
_DEPENDS: Final = re.compile(r"^ [ |]Depends: (?P<name>[a-z0-9][a-z0-9+.-]+)$", re.MULTILINE)


class AptError(Exception):
    """A program of apt failed; the text is its first line of error."""


@dataclass(frozen=True, slots=True)
class Apt:
    """apt on the system's state, or on a private one.

    Attributes:
        options: of each of its programs.
        lists: its package lists.
    """

    options: tuple[str, ...]
    lists: Path = LISTS

    @classmethod
    def system(cls) -> Apt:
        """On the system's own lists, which are only read."""
        return cls(_common())

    @classmethod
    def private(cls, state: Path, architecture: str, release: str = "") -> Apt:
        """Sources and keys are the system's; lists, cache and the table of what is installed are in state.

        Args:
            state: the folder.
            architecture: Debian's name of it.
            release: ask the system's mirrors for this release instead of the system's own.

        Raises:
            AptError: another release is asked for, and no mirror of the distribution is known.
        """
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "Dir::State": state,
            "Dir::State::Lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Acquire::Languages": "none",
            # without it an update that could fetch nothing is no error
            "APT::Update::Error-Mode": "any",
        }
        if release:
            sources = state / "sources.list"
            sources.write_text("".join(f"deb {mirror} {release} main\n" for mirror in _mirrors()))
            options |= {"Dir::Etc::SourceList": sources, "Dir::Etc::SourceParts": "/dev/null"}
        return cls(
            (*_common(), *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))),
            state / "lists",
        )

    def remembering(self, folder: Path) -> Apt:
        """The same for many questions: it reads its lists once, and keeps in the folder what it has read.

        As systems are set up that are made for containers, it would read them for each question anew.
        """
        caches = (f"Dir::Cache::{name}={folder}/{name}.bin" for name in ("pkgcache", "srcpkgcache"))
        return replace(self, options=(*self.options, *(part for one in caches for part in ("-o", one))))

    def run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        """Standard output of one of apt's programs, in English.

        Raises:
            AptError: it failed.
        """
        return run((program, *self.options, *words), cwd)

    def depends(self, name: str) -> list[str]:
        """The packages that the named one depends on.

        Raises:
            AptError: it is not known.
        """
        return [found["name"] for found in _DEPENDS.finditer(self.run("apt-cache", "depends", name))]

    def files(self, packages: Sequence[str]) -> dict[str, str]:
        """File name -> `size hash` of what `download` would get: the version that apt knows."""
        text = self.run("apt-get", "download", "--print-uris", *packages)
        return {found["file"]: found["what"] for found in _URI.finditer(text)}


def _mirrors() -> list[str]:
    """Where the system's own release comes from, as a line of sources begins: options, and the address.

    Raises:
        AptError: nobody knows.
    """
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    form = "$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(SIGNED_BY)"
    text = run(("apt-get", "indextargets", "--format", form, "Created-By: Packages"))
    found = []
    for line in text.splitlines():
        name, component, address, keys = [*line.split("|"), "", "", ""][:4]
        if name == release and component == "main":
            found.append(f"[signed-by={keys}] {address}" if keys.startswith("/") else address)
    if not found:
        raise AptError("no mirror of this system's release is known")
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of apt, and what to do without.

    Attributes:
        package: its name, for the sentences.
        architecture: Debian's name of the architecture that the package is for.
        instead: the remedy where it cannot be had.
        since: the release that first has the architecture; an older system asks its mirrors for that one.
    """

    package: str
    architecture: str
    instead: str
    since: str = ""


def fetch(wanted: Wanted, folder: Path, lists: Path, log: Log, get: Callable[[Apt], _Got]) -> _Got:
    """What `get` makes of an apt that knows the package: the system's if it can, else a private one in folder.

    Raises:
        FetchError: no apt that can be had knows the package, or it cannot be downloaded.
        SistasksError: there is no room for the package lists.
    """
    if system_architecture() == wanted.architecture and any(lists.glob("*_Packages*")):
        try:
            return get(Apt.system())
        except AptError:
            # lists that are older than the mirror name files that are gone
            log(f"apt's own lists give no {wanted.package}; asking the mirror")
    state = folder / f".apt-{wanted.architecture}"
    try:
        return _fetch_privately(Apt.private(state, wanted.architecture), wanted, folder, log, get)
    except FetchError:
        if not wanted.since:
            raise
    log(f"this release has no {wanted.package} for {wanted.architecture}; asking for {wanted.since}")
    state = folder / f".apt-{wanted.architecture}-{wanted.since}"
    try:
        later = Apt.private(state, wanted.architecture, wanted.since)
    except AptError as error:
        raise FetchError(
            f"the package {wanted.package} is not in this release: {error}", wanted.instead
        ) from error
    return _fetch_privately(later, wanted, folder, log, get)


def _fetch_privately(apt: Apt, wanted: Wanted, folder: Path, log: Log, get: Callable[[Apt], _Got]) -> _Got:
    # what is known already is taken without asking the mirror
    if any(apt.lists.glob("*_Packages*")):
        with contextlib.suppress(AptError):
            return get(apt)
    need_room(folder, _ROOM_LISTS)
    log(f"fetching the package lists of {wanted.architecture}")
    update = ""
    try:
        apt.run("apt-get", "update")
    except AptError as error:
        # one source of many that cannot be reached is no reason: the package decides
        update = str(error)
    try:
        return get(apt)
    except AptError as error:
        raise FetchError(
            f"the package {wanted.package} cannot be fetched: {update or error}", wanted.instead
        ) from error


def require_programs(asked: str, instead: str) -> None:
    """Refuse a machine without apt.

    Args:
        asked: what needs it, such as `kernel=debian`.
        instead: what works without.

    Raises:
        ToolMissing: no apt-get, apt-cache or dpkg-deb.
    """
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(program) is None:
            raise ToolMissing(f"{asked} needs {program}, which is not there", instead)


def unpack(package: Path, target: Path) -> None:
    """The package's files in target.

    Raises:
        FetchError: it cannot be unpacked.
    """
    try:
        run(("dpkg-deb", "-x", str(package), str(target)))
    except AptError as error:
        raise FetchError(
            f"{package.name} cannot be unpacked: {error}", "make room or fetch it again"
        ) from error


def need_room(folder: Path, size: int) -> None:
    """Refuse a disk that would run full on the way: apt hangs there, and its error would blame the mirror."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SistasksError(
            f"{folder} has {free >> 20} MiB free, the package needs {size >> 20}",
            "make room there, or set output",
        )


def _common() -> tuple[str, ...]:
    # the default of three retries makes a machine without network wait ten seconds to hear so
    retries = ("-o", "Acquire::Retries=1")
    # as root apt would become another user, who may not write here, and warn of it
    return (*retries, "-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else retries


def system_architecture() -> str:
    """Debian's name of this machine's architecture; empty where there is no dpkg."""
    try:
        return run(("dpkg", "--print-architecture")).strip()
    except AptError:
        return ""


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    """Standard output of a program, in English whatever the person's language.

    Raises:
        AptError: it is not there, or failed, with its first line of error.
    """
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False, timeout=_APT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{command[0]} did not end within {_APT_SECONDS:.0f} s") from error
    except OSError as error:
        raise AptError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"E:|\S+: error", line)] or lines
        raise AptError(errors[0] if errors else f"{command[0]} failed with {done.returncode}")
    return done.stdout
