"""`kernel=source`: the distribution's kernel sources, downloaded as a package and built from zero.

Nothing but apt and a compiler is needed for it: the way to try what a kernel tree can do, anywhere.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import apt
from sistasks.errors import FetchError, SistasksError
from sistasks.files import locked
from sistasks.kernels import Kernel, there
from sistasks.kernels.checkout import Checkout
from sistasks.kernels.tree import Tree
from sistasks.machine.arch import ARCHES
from sistasks.programs import run

if TYPE_CHECKING:
    from sistasks.kernels import Log
    from sistasks.settings import Settings

PACKAGE: Final = "linux-source"
INSTEAD: Final = "kernel=debian, kernel=PATH, or a tree of yours in [tool.sistasks.kernels]"
_UNPACKING: Final = ".unpacking-"
# 140 MB of package unpack to 1.5 GB
_ROOM_FACTOR: Final = 14
_UNPACK_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class DebianSource:
    """The distribution's package of kernel sources.

    Attributes:
        lists: the system's own package lists.
        package: points to the package with the sources.
    """

    lists: Path = apt.LISTS
    package: str = PACKAGE

    def describe(self, settings: Settings) -> dict[str, str]:
        """What it is configured with, the compiler, and when apt last learnt of new versions."""
        found = Tree(name="source", path=Path(self.package)).recipe(ARCHES[settings.arch])
        if there(self.lists):
            found["lists"] = str(self.lists.stat().st_mtime_ns)
        return found

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """Download and unpack the sources, unless the version that apt knows is here; then build them.

        Raises:
            ToolMissing: no apt, or nothing to build with.
            FetchError: the package is not known, not to be had, or cannot be unpacked.
            KernelFailure: it does not build.
            SistasksError: there is no room.
        """
        apt.require_programs("kernel=source", INSTEAD)
        # sources are the same for all architectures
        shelf = folder.absolute().parent / "sources"
        try:
            with locked(shelf):
                for left in shelf.glob(_UNPACKING + "*"):
                    shutil.rmtree(left, ignore_errors=True)
                wanted = apt.Wanted(self.package, apt.system_architecture(), INSTEAD)
                path = apt.fetch(
                    wanted, shelf, self.lists, log, lambda known: self._unpacked(known, shelf, log)
                )
        except OSError as error:
            raise SistasksError(
                f"the kernel sources cannot be kept in {shelf}: {error.strerror}",
                "make room there, or set output",
            ) from error
        # nobody edits what lies here: its version says all, where looking at every file would take its time
        tree = Tree(name="source", path=path, known=Checkout(path.name))
        return tree.provide(settings, folder, log)

    def _unpacked(self, known: apt.Apt, shelf: Path, log: Log) -> Path:
        package = next(
            (name for name in known.depends(self.package) if name.startswith("linux-source-")), self.package
        )
        files = known.files([package])
        if not files:
            raise apt.AptError(f"package {package} has no file to download")
        name, what = next(iter(files.items()))
        target = shelf / name.removesuffix(".deb")
        if target.is_dir():
            log(f"{target.name} is already here")
            return target
        log(f"downloading {package}")
        apt.need_room(shelf, _ROOM_FACTOR * int(what.split()[0]))
        work = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=shelf))
        try:
            known.run("apt-get", "-qq", "download", package, cwd=work)
            apt.unpack(next(work.glob("*.deb")), work / "package")
            log(f"unpacking {package}")
            _untar(next((work / "package").glob("usr/src/*.tar.*"), None), work / "tree", package)
            for old in shelf.glob("linux-source-*"):
                shutil.rmtree(old, ignore_errors=True)
            (work / "tree").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target


def _untar(archive: Path | None, target: Path, package: str) -> None:
    if archive is None:
        raise FetchError(f"package {package} holds no archive of sources", INSTEAD)
    target.mkdir()
    done = run(["tar", "-xf", archive, "-C", target, "--strip-components=1"], limit=_UNPACK_SECONDS)
    if done.code:
        raise FetchError(
            f"{archive.name} cannot be unpacked: tar {done.ending}", "make room there", done.tail()
        )
