"""An entry of kind `tree`: a Linux source tree, configured and built out of tree, incrementally.

The tree itself is never written to. Beside the build lies what was published from it: an image, its symbols,
configuration and modules that stay whole while the next build is under way.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import KernelFailure, SistasksError, ToolMissing, UsageError
from sistasks.files import locked, write_atomically
from sistasks.kernels import Kernel, describe_image, kconfig, make, sha256, there
from sistasks.kernels.checkout import Checkout, look
from sistasks.kinds import host_cpus
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from sistasks.kernels import Log
    from sistasks.kernels.make import Make
    from sistasks.kernels.table import Entry
    from sistasks.machine.arch import Arch
    from sistasks.settings import Settings

_OWN: Final = Path(__file__).parent / "config"
_SMALL: Final = "tinyconfig"
# what a build of a few hundred files takes; how much more a large configuration does, nobody knows before
_ROOM: Final = 512 << 20
_NEW: Final = ".new-"


@dataclass(frozen=True)
class Tree:
    """A Linux source tree.

    Attributes:
        name: the kernel's.
        path: the tree.
        fragments: files of a configuration, put on top of each other; the last counts.
        base: what they are put on: a target of make (`tinyconfig`, `defconfig`), or the path of a whole configuration.
        added: more words for make's command line, such as `LLVM=1`.
        known: the tree's state, where that is known without a look.
        apart: paths that are no part of the sources, though they may lie among them: what we write ourselves.
    """

    name: str
    path: Path
    fragments: tuple[Path, ...] = ()
    base: str | Path = _SMALL
    added: tuple[str, ...] = ()
    known: Checkout | None = None
    apart: tuple[Path, ...] = ()

    @classmethod
    def from_entry(cls, entry: Entry, apart: tuple[Path, ...] = ()) -> Tree:
        """What an entry asks for."""
        values = entry.values
        return cls(
            name=entry.name,
            path=values["path"].resolve(),
            fragments=values.get("config", ()),
            base=values.get("base", _SMALL),
            added=values.get("make", ()),
            apart=apart,
        )

    @cached_property
    def checkout(self) -> Checkout:
        """The tree as this object first saw it: what changes while it is built is seen by the next session.

        Raises:
            UsageError: it is no Linux tree, or cannot be read.
        """
        self._require_linux()
        if self.known is not None:
            return self.known
        try:
            return look(self.path, "Makefile", self.apart)
        except OSError as error:
            raise UsageError(
                f"the kernel tree {self.path} cannot be read: {error.strerror}", "make it readable"
            ) from error

    def describe(self, settings: Settings) -> dict[str, str]:
        """The tree's state, what it is configured with, and the compiler."""
        return {**self.recipe(ARCHES[settings.arch]), "state": self.checkout.digest}

    def recipe(self, arch: Arch) -> dict[str, str]:
        """All that goes into the build but the sources."""
        files = {str(path): _content(path) for path in (*self._own(arch), *self.fragments)}
        if isinstance(self.base, Path):
            files["base"] = _content(self.base)
        return {
            "provider": "tree",
            "name": self.name,
            "arch": arch.name,
            "path": str(self.path),
            "base": str(self.base),
            "config": hashlib.sha256(json.dumps(files).encode()).hexdigest(),
            "make": " ".join(self.added),
            "compiler": _compiler(arch, self.added),
        }

    @staticmethod
    def _own(arch: Arch) -> tuple[Path, Path, Path]:
        """Our fragments: what is taken where a tree has it, and what is needed."""
        return (
            _OWN / "wished.config",
            _OWN / "base.config",
            _OWN / (arch.linux_config or f"{arch.name}.config"),
        )

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """Configure and build what changed, and publish it.

        Raises:
            UsageError: it is no Linux tree, has no such architecture, was built in place, or its configuration is not
                what the fragments ask for.
            KernelFailure: it does not build.
            ToolMissing: make, the compiler or what they need is not there and cannot be installed.
            SistasksError: there is no room, or the folder cannot be written.
        """
        arch = ARCHES[settings.arch]
        checkout = self.checkout
        self._require_buildable(arch)
        folder = folder.absolute()
        _require_plain(folder)
        try:
            with locked(folder) as lock:
                _require_room(folder)
                build_log = folder / "build.log"
                build_log.unlink(missing_ok=True)
                make.require(arch, self.added, build_log, log)
                run = make.Make(
                    name=self.name, tree=self.path, out=folder / "out", log=build_log,
                    words=make.words(arch, self.added), lock=lock,
                )  # fmt: skip
                started = time.monotonic()
                self._configure(run, arch)
                cpus = f"{host_cpus()} processor{'s' * (host_cpus() > 1)}"
                log(f"building {self.name} for {arch.name} on {cpus}: {build_log}")
                with_modules = _modules_enabled(run.out)
                run(Path(arch.linux_image).name, *(["modules"] if with_modules else []))
                kernel = _publish(run, arch, folder, with_modules=with_modules)
        except OSError as error:
            raise SistasksError(
                f"{self.name} cannot be built in {folder}: {error.strerror}", "make room there, or set output"
            ) from error
        log(f"built in {time.monotonic() - started:.0f} s")
        return dataclasses.replace(
            kernel, git_commit=checkout.commit, git_parent=checkout.parent, git_dirty=checkout.dirty
        )

    def _require_linux(self) -> None:
        makefile = self.path / "Makefile"
        try:
            text = makefile.read_text(errors="replace") if makefile.is_file() else ""
        except OSError:
            text = ""
        found = re.search(r"^VERSION\s*=\s*\d+", text, re.MULTILINE) and "KERNELRELEASE" in text
        if not (found and (self.path / "Kconfig").is_file() and (self.path / "arch").is_dir()):
            what = "is no Linux source tree" if there(self.path) else "is not there"
            raise UsageError(
                f"path = '{self.path}' of kernels.{self.name} {what}",
                "give the folder that has Linux's Makefile, Kconfig and arch/",
            )

    def _require_buildable(self, arch: Arch) -> None:
        _require_plain(self.path)
        source = Path(arch.linux_image).parts[1]
        if not (self.path / "arch" / source).is_dir():
            raise UsageError(
                f"the tree {self.path} has no architecture {arch.name}: no arch/{source}",
                "give another arch=",
            )
        # the kernel's own make refuses to build elsewhere then (Makefile, outputmakefile)
        traces = (".config", "include/config", f"arch/{source}/include/generated")
        if any(there(self.path / trace) for trace in traces):
            raise UsageError(
                f"the tree {self.path} was built in place",
                f"`make ARCH={arch.linux} mrproper` there removes that build and its .config; or give a "
                "checkout of its own, as `git worktree add` makes it",
            )
        own = self._own(arch)[-1]
        if not own.is_file():
            raise UsageError(
                f"no configuration for {arch.name} machines: {own} is no file",
                "linux_config of the architecture's record names it",
            )
        for path in (*self.fragments, *([self.base] if isinstance(self.base, Path) else [])):
            if not path.is_file():
                raise UsageError(f"{path} of kernels.{self.name} is no file", "give a configuration's path")

    def _configure(self, run: Make, arch: Arch) -> None:
        """Write the configuration where it is not the one that these inputs gave, and see that all of it held.

        Raises:
            UsageError: a symbol that a fragment asks for is not as asked.
            KernelFailure: the tree's own configuration fails.
        """
        record = run.out.with_name("configured.json")
        config = run.out / ".config"
        inputs = {**self.recipe(arch), "words": list(run.words)}
        asked = self._asked(arch)
        if not config.is_file() or _read(record) != inputs:
            run.out.mkdir(exist_ok=True)
            record.unlink(missing_ok=True)
            if isinstance(self.base, Path):
                shutil.copyfile(self.base, config)
            else:
                run(self.base)
            wished = kconfig.parse((_OWN / "wished.config").read_text(), "wished.config")
            wanted = wished | {name: wish.value for name, wish in asked.items()}
            base = kconfig.parse(config.read_text(errors="replace"), str(self.base))
            config.write_text(kconfig.merge(base, wanted))
        # also where nothing of ours changed: new symbols of the tree would make its make ask a person
        run("olddefconfig")
        lost = kconfig.lost(asked, kconfig.parse(config.read_text(errors="replace"), str(config)))
        if lost:
            config.unlink()
            raise self._refusal(lost)
        write_atomically(record, json.dumps(inputs))

    def _asked(self, arch: Arch) -> dict[str, kconfig.Asked]:
        """Every symbol that must hold; the last fragment that names it counts."""
        asked: dict[str, kconfig.Asked] = {}
        for path in (*self._own(arch)[1:], *self.fragments):
            origin = f"sistasks' {path.name}" if path.parent == _OWN else path.name
            for name, value in kconfig.parse(path.read_text(errors="replace"), origin).items():
                asked.pop(name, None)
                asked[name] = kconfig.Asked(value, origin)
        return asked

    def _refusal(self, lost: list[kconfig.Lost]) -> UsageError:
        told = kconfig.definitions(self.path, [one.symbol for one in lost])
        first = ", ".join(f"CONFIG_{one.symbol}" for one in lost[:3])
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        return UsageError(
            f"the configuration of {self.name} did not keep {first}{more}",
            "ask for what they depend on, or for something else",
            "\n".join(f"{one}; {told[one.symbol]}" for one in lost),
        )


def _publish(run: Make, arch: Arch, folder: Path, *, with_modules: bool) -> Kernel:
    """Copy out what a node needs of a build, and take it for the kernel all at once."""
    for left in folder.glob(f"{_NEW}*"):
        shutil.rmtree(left, ignore_errors=True)
    image = run.out / arch.linux_image
    release = run.out / "include/config/kernel.release"
    if not image.is_file() or not release.is_file():
        raise KernelFailure(f"{run.name} was made, but there is no {image}", f"see {run.log}")
    name = release.read_text().strip()
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder))
    modules = new / "lib/modules" / name
    (new / "boot").mkdir()
    modules.mkdir(parents=True)
    shutil.copyfile(image, new / "boot" / f"vmlinuz-{name}")
    shutil.copyfile(run.out / ".config", new / "boot" / f"config-{name}")
    for source, target in (
        ("System.map", new / "boot" / f"System.map-{name}"),
        ("modules.builtin", modules / "modules.builtin"),
    ):
        if (run.out / source).is_file():
            shutil.copyfile(run.out / source, target)
    if with_modules:
        # what loads them reads their own dependencies, no table of depmod's
        run("modules_install", f"INSTALL_MOD_PATH={new}", "INSTALL_MOD_STRIP=1", "DEPMOD=true")
        for link in (modules / "build", modules / "source"):
            link.unlink(missing_ok=True)
    new.chmod(0o755)
    target = folder / "kernel"
    if target.exists():
        target.rename(folder / f"{_NEW}old")
    new.rename(target)
    shutil.rmtree(folder / f"{_NEW}old", ignore_errors=True)
    modules = target / "lib/modules"
    kernel = describe_image(
        target / "boot" / f"vmlinuz-{name}", name=run.name, provider="tree", arch=arch.name,
        modules=(modules,), beside=target / "boot",
    )  # fmt: skip
    return dataclasses.replace(kernel, modules_sha256=_tree_sha256(modules))


def _modules_enabled(out: Path) -> bool:
    return "\nCONFIG_MODULES=y\n" in (out / ".config").read_text(errors="replace")


def _tree_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0{sha256(path)}\n".encode())
    return digest.hexdigest()


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "missing"


def _compiler(arch: Arch, added: tuple[str, ...]) -> str:
    """Which compiler, without starting it."""
    try:
        words = make.words(arch, added)
        program = shutil.which(f"{make.compiler(arch)}gcc") or ""
        status = Path(program).stat()
    except (ToolMissing, OSError):
        return "missing"
    return f"{' '.join(words)} {program} {status.st_size} {status.st_mtime_ns}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _require_plain(path: Path) -> None:
    """Refuse a path that the kernel's make cannot have (Makefile: "cannot contain spaces or colons")."""
    if re.search(r"[\s:]", os.fspath(path)):
        raise UsageError(
            f"the kernel's make takes no path with spaces or colons: '{path}'", "move it, or set output"
        )


def _require_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM and not there(folder / "out"):
        raise SistasksError(
            f"{folder} has {free >> 20} MiB free, a kernel's build needs {_ROOM >> 20} at least",
            "make room there, or set output",
        )
