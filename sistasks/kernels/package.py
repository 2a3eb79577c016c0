"""`kernel=debian`, or an entry of kind `package`: a distribution's kernel, downloaded and unpacked, never installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import apt
from sistasks.errors import FetchError, SistasksError
from sistasks.files import locked
from sistasks.kernels import Kernel, describe_image, sha256, there
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sistasks.kernels import Log
    from sistasks.machine.arch import Arch
    from sistasks.settings import Settings

INSTEAD: Final = "kernel=host or kernel=PATH"
# of another architecture, where the host's own kernel is no help
_INSTEAD_FOREIGN: Final = "kernel=PATH or kernel=source"
_RECORD: Final = "package.json"
_UNPACKING: Final = ".unpacking-"
# a package unpacks to at most five times its size
_ROOM_FACTOR: Final = 6


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of the distribution, followed to the image where it only points to it.

    Attributes:
        lists: the system's own package lists.
        package: its name, `{arch}` stands for the distribution's name of the architecture; empty: the one of the
            architecture's record.
    """

    lists: Path = apt.LISTS
    package: str = ""

    def _name(self, arch: Arch) -> str:
        return self.package.replace("{arch}", arch.debian) or arch.debian_kernel

    def describe(self, settings: Settings) -> dict[str, str]:
        """The package, and when apt last learnt of new versions."""
        arch = ARCHES[settings.arch]
        found = {"provider": "debian", "arch": arch.name, "package": self._name(arch)}
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
        apt.require_programs(f"kernel={settings.kernel}", INSTEAD)
        folder = folder.absolute()
        instead = INSTEAD if arch.name == host_arch() else _INSTEAD_FOREIGN
        if not self._name(arch):
            raise FetchError(f"no kernel package for {arch.name} is known", instead)
        wanted = apt.Wanted(self._name(arch), arch.debian, instead, arch.debian_since)
        try:
            with locked(folder):
                for left in folder.glob(_UNPACKING + "*"):
                    shutil.rmtree(left, ignore_errors=True)
                tree = apt.fetch(
                    wanted,
                    folder,
                    self.lists,
                    log,
                    lambda source: _fetched(source, wanted.package, folder, log),
                )
                return _kernel(tree, arch)
        except OSError as error:
            raise SistasksError(
                f"the kernel package cannot be kept in {folder}: {error.strerror}",
                "make room there, or set output",
            ) from error


def _fetched(source: apt.Apt, package: str, folder: Path, log: Log) -> Path:
    """The tree of the version that this apt knows, downloaded only if it is not here and whole."""
    packages = _image_packages(source, package)
    files = source.files(packages)
    if not files:
        raise apt.AptError(f"package {packages[0]} has no file to download")
    tree = folder / next(iter(files)).removesuffix(".deb")
    if _complete(tree, files):
        log(f"{tree.name} is already here")
        return tree
    log(f"downloading {', '.join(packages)}")
    apt.need_room(folder, _ROOM_FACTOR * sum(int(what.split()[0]) for what in files.values()))
    work = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=folder))
    try:
        source.run("apt-get", "-qq", "download", *packages, cwd=work)
        _unpack(sorted(work.glob("*.deb")), work / "all", work / "tree")
        if not _images(work / "tree"):
            raise FetchError(f"package {packages[0]} holds no kernel", INSTEAD)
        (work / "tree" / _RECORD).write_text(json.dumps({"files": files, **_measure(work / "tree")}))
        if tree.exists():
            shutil.rmtree(tree)
        (work / "tree").rename(tree)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return tree


def _image_packages(source: apt.Apt, meta: str) -> tuple[str, ...]:
    """The packages with the image and its modules that the metapackage stands for today.

    A package that names no other image is taken for the one with the image.

    Raises:
        apt.AptError: it is not known.
    """
    names = source.depends(meta)
    for name in names:
        if name.startswith("linux-image-") and not name.endswith("-unsigned"):
            return (name, *_parts(source.depends(name)))
    return (meta, *_parts(names))


def _parts(names: Iterable[str]) -> list[str]:
    """Newer distributions keep the image, the modules or both in packages of their own."""
    return [name for name in names if re.match(r"linux-(modules|binary)-", name)]


def _unpack(packages: Sequence[Path], everything: Path, tree: Path) -> None:
    """Keep boot/ and lib/modules/ of the packages in tree."""
    for package in packages:
        apt.unpack(package, everything)
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
        raise FetchError(f"{tree} holds no kernel", INSTEAD)
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
