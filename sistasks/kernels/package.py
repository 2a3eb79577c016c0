"""`kernel=debian`: the distribution's kernel, downloaded as a package and unpacked, never installed.

The system's apt and its lists serve where they can. For another architecture, or where the lists are missing
or older than the mirror, apt works on a private state in the provider's folder: the system is not touched.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import FetchError, SistasksError, ToolMissing
from sistasks.kernels import Kernel, describe_image, sha256, there
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sistasks.kernels import Log
    from sistasks.machine.arch import Arch
    from sistasks.settings import Settings

LISTS: Final = Path("/var/lib/apt/lists")
INSTEAD: Final = "kernel=host or kernel=PATH"
_RECORD: Final = "package.json"
_UNPACKING: Final = ".unpacking-"
# a package unpacks to at most five times its size; lists and caches of one architecture take half of this
_ROOM_FACTOR: Final = 6
_ROOM_LISTS: Final = 128 << 20
# apt can wait for ever for a helper of its own (seen on a full disk)
_APT_SECONDS: Final = 900.0
# `apt-get download --print-uris` and its kin: 'address' file size hash
_URI: Final = re.compile(r"^'[^']+' (?P<file>[^\s/]+\.deb) (?P<what>\d+ \S+)$", re.MULTILINE)
_DEPENDS: Final = re.compile(r"^ [ |]Depends: (?P<name>[a-z0-9][a-z0-9+.-]+)$", re.MULTILINE)


class _AptError(Exception):
    """A program of apt failed; the text is its first line of error."""


@dataclass(frozen=True, slots=True)
class _Apt:
    """apt on the system's state, or on a private one."""

    options: tuple[str, ...]

    @classmethod
    def system(cls) -> _Apt:
        return cls(_common())

    @classmethod
    def private(cls, state: Path, architecture: str) -> _Apt:
        """Sources and keys are the system's; lists, cache and the table of what is installed are in state."""
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
        return cls(
            (*_common(), *(part for key, value in options.items() for part in ("-o", f"{key}={value}")))
        )

    def run(self, program: str, *words: str, cwd: Path | None = None) -> str:
        """Standard output of one of apt's programs, in English.

        Raises:
            _AptError: it failed.
        """
        return _run((program, *self.options, *words), cwd)

    def image_packages(self, meta: str) -> tuple[str, ...]:
        """The packages with the image and its modules that the metapackage stands for today."""
        for name in self._depends(meta):
            if name.startswith("linux-image-") and not name.endswith("-unsigned"):
                # newer distributions keep the image, the modules or both in packages of their own
                parts = [part for part in self._depends(name) if re.match(r"linux-(modules|binary)-", part)]
                return (name, *parts)
        raise _AptError(f"package {meta} names no image")

    def _depends(self, name: str) -> list[str]:
        return [found["name"] for found in _DEPENDS.finditer(self.run("apt-cache", "depends", name))]

    def files(self, packages: Sequence[str]) -> dict[str, str]:
        """File name -> `size hash` of what `download` would get: the version that apt knows."""
        text = self.run("apt-get", "download", "--print-uris", *packages)
        return {found["file"]: found["what"] for found in _URI.finditer(text)}


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """The metapackage of the architecture's record, followed to the image."""

    lists: Path = LISTS

    def describe(self, settings: Settings) -> dict[str, str]:
        """The package, and when apt last learnt of new versions."""
        arch = ARCHES[settings.arch]
        found = {"provider": "debian", "arch": arch.name, "package": arch.debian_kernel}
        if there(self.lists):
            found["lists"] = str(self.lists.stat().st_mtime_ns)
        return found

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """Download and unpack the package, unless the version that apt knows is already here.

        Args:
            settings: `arch` chooses the package.
            folder: holds one tree for each version, and apt's private state.
            log: takes one line of progress each.

        Raises:
            ToolMissing: no apt-get or no dpkg-deb.
            FetchError: the package is not known, not to be had, or cannot be unpacked.
            KernelImageError: the package's image is none.
        """
        arch = ARCHES[settings.arch]
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise ToolMissing(f"kernel=debian needs {program}, which is not there", INSTEAD)
        folder = folder.absolute()
        try:
            with _locked(folder):
                tree = self._tree(arch, folder, log)
                return _kernel(tree, arch)
        except OSError as error:
            raise SistasksError(
                f"the kernel package cannot be kept in {folder}: {error.strerror}",
                "make room there, or set output",
            ) from error

    def _tree(self, arch: Arch, folder: Path, log: Log) -> Path:
        """The complete unpacked tree of the version that apt knows."""
        if _system_architecture() == arch.debian and any(self.lists.glob("*_Packages*")):
            try:
                return _fetched(_Apt.system(), arch, folder, log)
            except _AptError:
                # lists that are older than the mirror name files that are gone
                log(f"apt's own lists give no {arch.debian_kernel}; asking the mirror")
        state = folder / f".apt-{arch.debian}"
        apt = _Apt.private(state, arch.debian)
        # what is known already is taken without asking the mirror
        if any((state / "lists").glob("*_Packages*")):
            with contextlib.suppress(_AptError):
                return _fetched(apt, arch, folder, log)
        _need_room(folder, _ROOM_LISTS)
        log(f"fetching the package lists of {arch.debian}")
        update = ""
        try:
            apt.run("apt-get", "update")
        except _AptError as error:
            # one source of many that cannot be reached is no reason: the package decides
            update = str(error)
        try:
            return _fetched(apt, arch, folder, log)
        except _AptError as error:
            raise FetchError(
                f"the kernel package {arch.debian_kernel} cannot be fetched: {update or error}", INSTEAD
            ) from error


def _fetched(apt: _Apt, arch: Arch, folder: Path, log: Log) -> Path:
    """The tree of the version that this apt knows, downloaded only if it is not here and whole."""
    packages = apt.image_packages(arch.debian_kernel)
    files = apt.files(packages)
    if not files:
        raise _AptError(f"package {packages[0]} has no file to download")
    tree = folder / next(iter(files)).removesuffix(".deb")
    if _complete(tree, files):
        log(f"{tree.name} is already here")
        return tree
    log(f"downloading {', '.join(packages)}")
    _need_room(folder, _ROOM_FACTOR * sum(int(what.split()[0]) for what in files.values()))
    work = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=folder))
    try:
        apt.run("apt-get", "-qq", "download", *packages, cwd=work)
        _unpack(sorted(work.glob("*.deb")), work / "all", work / "tree")
        (work / "tree" / _RECORD).write_text(json.dumps({"files": files, **_measure(work / "tree")}))
        if tree.exists():
            shutil.rmtree(tree)
        (work / "tree").rename(tree)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return tree


def _need_room(folder: Path, size: int) -> None:
    """Refuse a disk that would run full on the way: apt hangs there, and its error would blame the mirror."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SistasksError(
            f"{folder} has {free >> 20} MiB free, the kernel package needs {size >> 20}",
            "make room there, or set output",
        )


def _unpack(packages: Sequence[Path], everything: Path, tree: Path) -> None:
    """Keep boot/ and lib/modules/ of the packages in tree."""
    for package in packages:
        try:
            _run(("dpkg-deb", "-x", str(package), str(everything)))
        except _AptError as error:
            raise FetchError(
                f"{package.name} cannot be unpacked: {error}", "make room or fetch it again"
            ) from error
    tree.mkdir()
    kept = {"boot": ("boot", "usr/lib/boot"), "lib/modules": ("lib/modules", "usr/lib/modules")}
    for target, places in kept.items():
        source = next((everything / place for place in places if (everything / place).is_dir()), None)
        if source:
            (tree / target).parent.mkdir(exist_ok=True)
            source.rename(tree / target)


def _images(tree: Path) -> list[Path]:
    return sorted([*tree.glob("boot/vmlinu[xz]-*"), *tree.glob("lib/modules/*/vmlinuz")])


def _measure(tree: Path) -> dict[str, str | int]:
    """What tells a whole tree from one that lost something: the image's hash, how many files, their bytes."""
    images = _images(tree)
    if not images:
        raise FetchError(f"the package in {tree.name} holds no kernel", INSTEAD)
    sizes = [
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(tree)
        for name in names
        if name != _RECORD
    ]
    return {"image": sha256(images[0]), "count": len(sizes), "bytes": sum(sizes)}


def _complete(tree: Path, files: dict[str, str]) -> bool:
    try:
        record = json.loads((tree / _RECORD).read_text())
        return bool(record == {"files": files, **_measure(tree)})
    except (OSError, ValueError, SistasksError):
        return False


def _kernel(tree: Path, arch: Arch) -> Kernel:
    return describe_image(
        _images(tree)[0],
        name="debian",
        provider="debian",
        arch=arch.name,
        modules=(tree / "lib/modules",),
        beside=tree / "boot",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One session at a time; what a killed one left half unpacked goes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(_UNPACKING + "*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _common() -> tuple[str, ...]:
    # the default of three retries makes a machine without network wait ten seconds to hear so
    retries = ("-o", "Acquire::Retries=1")
    # as root apt would become another user, who may not write here, and warn of it
    return (*retries, "-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else retries


def _system_architecture() -> str:
    try:
        return _run(("dpkg", "--print-architecture")).strip()
    except _AptError:
        return ""


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    """Standard output of a program, in English whatever the person's language.

    Raises:
        _AptError: it is not there, or failed, with its first line of error.
    """
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False, timeout=_APT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _AptError(f"{command[0]} did not end within {_APT_SECONDS:.0f} s") from error
    except OSError as error:
        raise _AptError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"E:|\S+: error", line)] or lines
        raise _AptError(errors[0] if errors else f"{command[0]} failed with {done.returncode}")
    return done.stdout
