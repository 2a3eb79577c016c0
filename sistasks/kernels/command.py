"""An entry of kind `command`: a kernel that any command builds, and what the build leaves.

    [tool.sistasks.kernels.mine]
    kind = "command"
    path = "../mine"                                     # where the commands run; pyproject.toml's folder if missing
    build = "cargo build --target {machine}-unknown-uefi"  # or a list of commands; none: it is built already
    environment = {RUSTFLAGS = "-C debuginfo=1"}
    inputs = ["src/**/*.rs", "Cargo.toml"]               # none: the commands run each time, and should be quick
    esp = {"EFI/BOOT/{boot}" = "target/{machine}-unknown-uefi/debug/mine.efi"}    # or image = "…"
    machine = {memory = "512M", arm64 = {cpu = "cortex-a72"}}
    profile = "sis"

`{arch}` is our word for the architecture, `{machine}` the usual one (`aarch64`), `{boot}` the loader's name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import KernelFailure, KernelImageError, SistasksError, ToolMissing, UsageError
from sistasks.kernels import Kernel, describe_image, esp, sis, there

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.kernels import Log
    from sistasks.kernels.checkout import Checkout
    from sistasks.kernels.table import Entry
    from sistasks.settings import Settings

_BUILD_SECONDS: Final = 86400.0
# a build tool that is torn off may leave half a file that looks done
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An entry's keys for one architecture, read.

    Attributes:
        name: the kernel's.
        arch: in our words.
        path: where the commands run, and what the other paths are relative to.
        build: the commands, split into words.
        environment: what is added to ours.
        inputs: patterns of files; empty: nothing is known of what the commands read.
        image: what they leave; None: `esp`.
        esp: place in the partition -> file.
        symbols: System.map, if there is one.
        cpu: QEMU's CPU model; empty: as set.
        memory: bytes of a node; 0: as set.
        cpus: processors; 0: as set.
    """

    name: str
    arch: str
    path: Path
    build: tuple[tuple[str, ...], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    image: Path | None = None
    esp: Mapping[str, Path] = field(default_factory=dict)
    symbols: Path | None = None
    cpu: str = ""
    memory: int = 0
    cpus: int = 0

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What the commands are to leave."""
        return tuple(filter(None, (self.image, self.symbols, *self.esp.values())))


def recipe(entry: Entry, arch: str) -> Recipe:
    """The entry's keys for an architecture.

    Raises:
        UsageError: a command that cannot be split, neither image nor esp or both, a value that cannot be.
    """
    values = dict(entry.values)
    path = Path(values.get("path", Path.cwd()))
    if entry.console is not None and entry.console.protocol == "sis" and not {"image", "esp"} & set(values):
        sis.require_tree(path, entry.name)
        values = sis.VALUES | values
    if ("image" in values) == ("esp" in values):
        raise UsageError(
            f"{entry.name} has {'both image and esp' if 'esp' in values else 'neither image nor esp'}",
            "say which file is booted directly (image), or what the EFI partition holds (esp)",
        )
    words = _words(arch)
    files = {
        _fill(place, words): path / _fill(_text(file, f"esp.{place}", entry.name), words)
        for place, file in values.get("esp", {}).items()
    }
    return Recipe(
        name=entry.name,
        arch=arch,
        path=path,
        build=tuple(_split(_fill(command, words), entry.name) for command in values.get("build", ())),
        environment={
            name: _fill(_text(value, f"environment.{name}", entry.name), words)
            for name, value in values.get("environment", {}).items()
        },
        inputs=tuple(values.get("inputs", ())),
        image=path / _fill(str(values["image"]), words) if "image" in values else None,
        esp=esp.wanted(files, arch, entry.name) if files or "esp" in values else {},
        symbols=path / _fill(str(values["symbols"]), words) if "symbols" in values else None,
        **_machine(values.get("machine", {}), arch, entry.name),
    )


def _words(arch: str) -> dict[str, str]:
    from sistasks.machine.arch import ARCHES

    return {
        "{arch}": arch,
        # QEMU calls it as most compilers do
        "{machine}": ARCHES[arch].qemu.removeprefix("qemu-system-"),
        "{boot}": ARCHES[arch].boot_file.rpartition("/")[2],
    }


def _fill(text: str, words: Mapping[str, str]) -> str:
    """Our words in braces; other braces are the command's own."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _text(value: object, key: str, name: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise UsageError(f"{key} = {value!r} of {name} cannot be", f"{key} is a text")
    return value


def _split(command: str, name: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(
            f"build = {command!r} of {name} cannot be split: {error}", "mend the quotes"
        ) from error
    if not words:
        raise UsageError(f"{name} has an empty build command", "each text of build is a whole command")
    return words


def _machine(table: Mapping[str, object], arch: str, name: str) -> dict[str, Any]:
    """What an entry says of nodes: keys for all architectures, and tables for one."""
    from sistasks.kinds import MIB, host_memory, size
    from sistasks.machine.arch import ARCHES
    from sistasks.tables import nearest

    own = table.get(arch, {})
    if not isinstance(own, dict):
        raise UsageError(f"machine.{arch} of {name} is no table", f"write machine.{arch} = {{cpu = '…'}}")
    merged = {key: value for key, value in table.items() if key not in ARCHES} | own
    found: dict[str, Any] = {}
    for key, value in merged.items():
        if key == "cpu":
            found[key] = _text(value, "machine.cpu", name)
        elif key == "memory":
            kind = size(16 * MIB, host_memory())
            try:
                found[key] = kind.parse(str(value))
            except ValueError:
                raise UsageError(
                    f"machine.memory = {value!r} of {name} cannot be", f"machine.memory is {kind.range}"
                ) from None
        elif key == "cpus" and type(value) is int and 1 <= value <= 255:
            found[key] = value
        elif key == "cpus":
            raise UsageError(
                f"machine.cpus = {value!r} of {name} cannot be",
                "machine.cpus is a whole number from 1 to 255",
            )
        else:
            valid = "machine has cpu, memory, cpus, and a table of them for an architecture"
            raise UsageError(
                f"unknown key {key!r} in machine of {name}", nearest(key, ("cpu", "memory", "cpus"), valid)
            )
    return found


@dataclass(frozen=True, slots=True)
class Command:
    """A kernel that a command builds."""

    entry: Entry

    def describe(self, settings: Settings) -> dict[str, str]:
        """The commands, their inputs' state and their outputs'; where no inputs are said, never the same twice.

        Raises:
            UsageError: the entry cannot be, or a pattern of inputs matches nothing.
        """
        made = recipe(self.entry, settings.arch)
        found = {
            "provider": "command",
            "arch": settings.arch,
            "recipe": json.dumps(dataclasses.asdict(made), sort_keys=True, default=str),
            "outputs": _states(made.outputs),
        }
        if made.inputs:
            found["inputs"] = _states(_inputs(made))
        elif made.build:
            found["inputs"] = f"unknown at {time.time_ns()}"
        return found

    def provide(self, settings: Settings, folder: Path, log: Log) -> Kernel:
        """Run the commands and take what they leave.

        Raises:
            KernelFailure: a command fails.
            KernelImageError: an output is missing, or is no kernel for the architecture.
            SistasksError: a command cannot be run, or there is no room.
        """
        from sistasks.files import locked

        made = recipe(self.entry, settings.arch)
        if not made.path.is_dir():
            raise UsageError(f"{made.name}: {made.path} is no folder", "set path to where the commands run")
        try:
            with locked(folder):
                return self._made(made, folder, log)
        except OSError as error:
            raise SistasksError(
                f"{folder} cannot be written: {error.strerror}", "make room, or set output="
            ) from error

    def _made(self, made: Recipe, place: Path, log: Log) -> Kernel:
        build_log = place / "build.log"
        build_log.unlink(missing_ok=True)
        for command in made.build:
            log(f"building {made.name}: {shlex.join(command)}")
            _run(made, command, build_log)
        for path in made.outputs:
            if not there(path):
                raise KernelImageError(
                    f"{made.name}: {'the build left' if made.build else 'there is'} no {path}",
                    "mend image, esp or symbols, or build it",
                )
        kernel = _from_image(made) if made.image is not None else _from_esp(made, place)
        source = _checkout(made.path)
        return dataclasses.replace(
            kernel,
            symbols=made.symbols or kernel.symbols,
            git_commit=source.commit,
            git_parent=source.parent,
            git_dirty=source.dirty,
            cpu=made.cpu,
            memory=made.memory,
            cpus=made.cpus,
        )


def _run(made: Recipe, command: tuple[str, ...], log: Path) -> None:
    from sistasks.kernels.make import first_errors
    from sistasks.programs import run

    environ = {**os.environ, **made.environment}
    with log.open("ab") as out:
        start = out.tell()
        out.write(f"$ {shlex.join(command)}\n".encode())
        out.flush()
        try:
            done = run(
                command, limit=_BUILD_SECONDS, log=out, environ=environ, patience=_PATIENCE, folder=made.path
            )
        except OSError as error:
            raise ToolMissing(
                f"{made.name}: {command[0]} cannot be run: {error.strerror}",
                "install it, or mend build: each text of it is a whole command",
            ) from error
    if done.code == 0:
        return
    with log.open("rb") as out:
        out.seek(start)
        said = out.read().decode(errors="replace").splitlines()[1:]
    raise KernelFailure(
        f"{made.name} does not build: {shlex.join(command)} {done.ending}",
        f"see {log}",
        "\n".join(first_errors("\n".join(said))),
    )


def _from_image(made: Recipe) -> Kernel:
    assert made.image is not None  # noqa: S101 - asked before
    home = made.image.absolute().parent
    return describe_image(
        made.image,
        name=made.name,
        provider="command",
        arch=made.arch,
        modules=(home.parent / "lib/modules", home / "lib/modules"),
    )


def _from_esp(made: Recipe, place: Path) -> Kernel:
    """The partition in one file beside the log, and unpacked in a folder that later builds do not touch."""
    from sistasks.files import write_atomically

    packed = esp.pack(made.esp, made.arch, made.name)
    sha256 = hashlib.sha256(packed).hexdigest()
    image = place / "esp.tar"
    write_atomically(image, packed)
    return Kernel(
        name=made.name,
        arch=made.arch,
        image=image.absolute(),
        sha256=sha256,
        release=None,
        format=esp.FORMAT,
        size=len(packed),
        provider="command",
        esp=esp.unpack(image, sha256, place.absolute() / "esp"),
    )


def _checkout(path: Path) -> Checkout:
    from sistasks.kernels import checkout

    try:
        return checkout.look(path, ".")
    except OSError:  # a folder that somebody is just removing, or that may not be read
        return checkout.Checkout("")


def _inputs(made: Recipe) -> list[Path]:
    found: set[Path] = set()
    for pattern in made.inputs:
        try:
            matched = [path for path in made.path.glob(pattern) if not path.is_dir()]
        except (ValueError, NotImplementedError) as error:
            raise UsageError(
                f"inputs = {pattern!r} of {made.name} cannot be: {error}", "a pattern is like src/**/*.rs"
            ) from error
        if not matched:
            raise UsageError(
                f"inputs = {pattern!r} of {made.name} matches no file in {made.path}", "mend the pattern"
            )
        found.update(matched)
    return sorted(found)


def _states(paths: tuple[Path, ...] | list[Path]) -> str:
    """One value that changes with any file."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(os.fsencode(path) + f"\0{state}\n".encode())
    return digest.hexdigest()
