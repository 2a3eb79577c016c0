"""The guest: the agent compiled and packed with the kernel modules that it needs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks import programs
from sistasks.errors import GuestBuildError
from sistasks.files import write_atomically
from sistasks.guest import initramfs
from sistasks.machine.arch import ARCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

AGENT: Final = Path(__file__).parent / "agent"
# zig builds its libraries at the first use for a target: on a busy host of two processors that took 110 s
COMPILE_LIMIT: Final = 600.0
# -O2 as distributions build; everything that could carry a path, a time or an id of the build is off
FLAGS: Final = (
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-static",
    "-g0",
    "-fno-ident",
    "-Wl,--build-id=none",
    "-Wl,-s",
)


@dataclass(frozen=True, slots=True)
class Guest:
    """A built guest.

    Attributes:
        arch: our name of the architecture.
        initramfs: the archive.
        sha256: of the archive.
        bare_sha256: of the same without modules: equal for different kernels, so that they can be compared.
        compiler: what built the agent.
        modules: names of the kernel modules in it, in load order.
        results_line: what the results take: `virtio` or `serial`.
        network: the kernel has virtio-net, built in or as the last of the modules.
    """

    arch: str
    initramfs: Path
    sha256: str
    bare_sha256: str
    compiler: str
    modules: tuple[str, ...] = ()
    results_line: str = "serial"
    network: bool = True

    def to_json(self) -> str:
        """The record as the build step keeps it."""
        return json.dumps({**asdict(self), "initramfs": str(self.initramfs)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Guest:
        """Read a kept record."""
        fields = json.loads(text)
        return cls(**{**fields, "initramfs": Path(fields["initramfs"]), "modules": tuple(fields["modules"])})


def sources() -> list[Path]:
    """The agent's sources: what the guest depends on."""
    return sorted([*AGENT.rglob("*.c"), *AGENT.rglob("*.h")])


def flags(arch: str) -> tuple[str, ...]:
    """What the compiler of an architecture's agent is told."""
    cycles = ARCHES[arch].cycles
    return (*FLAGS, f"-DCYCLES={cycles}") if cycles else FLAGS


def compile_agent(compiler: Sequence[str], target: Path, told: Sequence[str] = FLAGS) -> None:
    """Compile the agent, static, to `target`.

    Args:
        compiler: the command.
        target: the program to make.
        told: the compiler's flags, from `flags`.

    Raises:
        GuestBuildError: the compiler cannot be run or refuses; with its first lines.
    """
    # names relative to the sources' directory: the build directory leaves no trace in the program
    names = [str(path.relative_to(AGENT)) for path in sources() if path.suffix == ".c"]
    compile_in(AGENT, [*compiler, *told, "-o", str(target.resolve()), *names], "the agent")
    if not target.is_file():
        raise GuestBuildError(f"{compiler[0]} says that it built the agent, and did not", "doit setup")


def compile_in(folder: Path, command: Sequence[str], what: str) -> None:
    """Run a compiler in a folder.

    Args:
        folder: where the sources are.
        command: the compiler and all that it is told.
        what: is built, for the sentences.

    Raises:
        GuestBuildError: the compiler cannot be run or refuses; with its first lines.
    """
    try:
        done = programs.run(command, limit=COMPILE_LIMIT, folder=folder)
    except OSError as error:
        raise GuestBuildError(f"the compiler of {what} cannot be run: {error}", "doit setup") from error
    if done.expired:
        raise GuestBuildError(
            f"{command[0]} did not build {what} within {COMPILE_LIMIT:g} s",
            "try again when the host is less busy, or set CC to another compiler",
        )
    if done.code != 0:
        text = (done.err.strip() or done.out.strip()).decode(errors="replace")
        lines = "\n".join(text.splitlines()[:8])
        raise GuestBuildError(f"{command[0]} cannot build {what} (exit {done.code})", "doit setup", lines)


def build(
    arch: str,
    compiler: Sequence[str],
    folder: Path,
    modules: Sequence[tuple[str, bytes]] = (),
    *,
    results_line: str = "serial",
    network: Sequence[tuple[str, bytes]] | None = (),
) -> Guest:
    """Compile the agent and pack the initramfs into `folder`.

    Args:
        arch: our name of the architecture.
        compiler: the command that compiles for it.
        folder: gets `initramfs.cpio`; made if missing.
        modules: (file name, bytes) of kernel modules, in load order.
        results_line: what the results take: `virtio` or `serial`.
        network: likewise the modules that are loaded only where there is a virtio-net; None: the kernel has none.

    Raises:
        GuestBuildError: the compiler refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / "agent.new"
    try:
        compile_agent(compiler, scratch, flags(arch))
        agent = scratch.read_bytes()
    finally:
        scratch.unlink(missing_ok=True)
    entries = [
        initramfs.file("init", agent, executable=True),
        initramfs.character_device("dev/console", 5, 1),
        *(initramfs.directory(name) for name in ("proc", "sys", "tmp")),
    ]
    bare = hashlib.sha256(initramfs.pack(entries)).hexdigest()
    more = [one for one in network or () if one not in modules]
    for which, some in (("list", modules), ("network", more)):
        if some:
            entries.append(
                initramfs.file(f"modules/{which}", "".join(f"{name}\n" for name, _ in some).encode())
            )
            entries += [initramfs.file(f"modules/{name}", data) for name, data in some]
    archive = initramfs.pack(entries)
    target = folder / "initramfs.cpio"
    write_atomically(target, archive)
    names = tuple(name for name, _ in [*modules, *more])
    whole = hashlib.sha256(archive).hexdigest()
    return Guest(arch, target, whole, bare, compiler[0], names, results_line, network is not None)
