"""The programs that the work needs: what is missing, and how each distribution installs it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import ToolMissing
from sistasks.kinds import host_arch
from sistasks.machine import qemu
from sistasks.programs import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sistasks.machine.arch import Arch
    from sistasks.settings import Settings

# zig builds its libraries at the first use for a target
_COMPILE_SECONDS: Final = 600.0
_APT_SECONDS: Final = 1800.0
# dpkg finishes the package in hand; killed in the middle it leaves a system to repair
_APT_PATIENCE: Final = 120.0
_ASK_SECONDS: Final = 30.0
# a package manager of our own waits for one that the machine runs at the same time
_APT_LOCK: Final = ("-o", "DPkg::Lock::Timeout=120")
_APT_INSTALL: Final = ("install", "-y", "--no-install-recommends")
# what a person types
COMMANDS: Final = {
    "apt": ("sudo", "apt-get", *_APT_INSTALL),
    "dnf": ("sudo", "dnf", "install", "-y"),
    "pacman": ("sudo", "pacman", "-S", "--needed", "--noconfirm"),
    "brew": ("brew", "install"),
}
_PROGRAMS: Final = {"apt": "apt-get", "dnf": "dnf", "pacman": "pacman", "brew": "brew"}
_FIRMWARE_WORDS: Final = ("ovmf", "edk2", "efi")
_TRIAL: Final = b"""#include <stdio.h>
#include <stdlib.h>
int main(void) {
    return printf("%d", abs(-1)) != 1;
}
"""


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that is not there or not usable.

    Attributes:
        part: `emulator` or `compiler`.
        error: what is wrong with it, as it is shown if nothing can be done.
        packages: per package manager, what brings it; empty: no package helps.
    """

    part: str
    error: ToolMissing
    packages: Mapping[str, tuple[str, ...]]


def packages(arch: Arch, part: str) -> dict[str, tuple[str, ...]]:
    """Per package manager, the packages of one part: `emulator`, `firmware` or `compiler`."""
    return {
        manager: tuple(name for position, name in enumerate(names) if _part(name, position) == part)
        for manager, names in arch.packages.items()
    }


def _part(package: str, position: int) -> str:
    if position == 0:
        return "emulator"
    return "firmware" if any(word in package for word in _FIRMWARE_WORDS) else "compiler"


def missing(arch: Arch, settings: Settings) -> list[Missing]:
    """What an architecture needs and this machine does not have, by trying each part.

    Args:
        arch: of the nodes.
        settings: a QEMU that was named explicitly is not something that a package can bring.
    """
    found = []
    try:
        qemu.find(arch, settings)
    except ToolMissing as error:
        found.append(
            Missing("emulator", error, packages(arch, "emulator") if settings.qemu == "auto" else {})
        )
    try:
        find_compiler(arch)
    except ToolMissing as error:
        found.append(Missing("compiler", error, packages(arch, "compiler")))
    return found


def find_compiler(arch: Arch) -> tuple[str, ...]:
    """A C compiler that really links static programs for the architecture.

    The environment's CC comes first if it can; then the architecture's own compilers, and on the
    architecture itself the host's; at last zig, which brings all that it takes for any of them.

    Returns:
        The command: an absolute path, and what CC had after the program's name.

    Raises:
        ToolMissing: none can; the detail has the first lines of each one that tried.
    """
    native = ("gcc", "cc", "clang") if arch.name == host_arch() else ()
    zig = zig_program()
    names = [os.environ.get("CC", ""), *arch.compiler, *native]
    names += [shlex.join([*zig, "cc", "-target", arch.zig])] if zig else []
    faults = []
    for name in dict.fromkeys(name for name in names if name.strip()):
        command, fault = _command(name)
        fault = fault or _trial_fault(arch, command)
        if not fault:
            return command
        faults.append(f"{name}: {fault}")
    raise ToolMissing(
        f"no C compiler here builds static programs for {arch.name}",
        "run `doit setup`, set CC to one that does, or pip install 'sistasks[zig]'",
        "\n".join(faults),
    )


def zig_program() -> tuple[str, ...]:
    """The command of zig: the wheel `ziglang` beside this package, else one in PATH; nothing if there is none."""
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang")
    found = shutil.which("zig")
    return (found,) if found else ()


def _command(text: str) -> tuple[tuple[str, ...], str]:
    """(command, what is wrong with it) of a compiler's name with its arguments."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return (), str(error)
    program = shutil.which(words[0]) if words else None
    if program is None:
        return (), "not found"
    return (str(Path(program).absolute()), *words[1:]), ""


def _trial_fault(arch: Arch, command: tuple[str, ...]) -> str:
    """Why a compiler cannot build a static program for the architecture; empty if it can."""
    with tempfile.TemporaryDirectory(prefix="sis-") as folder:
        source, program = Path(folder) / "trial.c", Path(folder) / "trial"
        source.write_bytes(_TRIAL)
        try:
            finished = run([*command, "-static", "-o", program, source], limit=_COMPILE_SECONDS)
        except OSError as error:
            return error.strerror or "cannot be run"
        if finished.expired:
            return f"no end in {_COMPILE_SECONDS:.0f} s"
        if finished.code != 0:
            lines = finished.err.decode(errors="replace").replace(str(source), source.name).splitlines()
            return "\n".join(lines[:4]) or finished.ending
        header = program.read_bytes()[:20] if program.is_file() else b""
    if header[:4] != b"\x7fELF" or int.from_bytes(header[18:20], "little") != arch.elf_machine:
        return "builds for another architecture"
    return ""


def package_manager() -> str:
    """The package manager of this machine: `apt`, `dnf`, `pacman`, `brew`, or nothing."""
    return next((name for name, program in _PROGRAMS.items() if shutil.which(program)), "")


def install_commands(wanted: Mapping[str, Iterable[str]]) -> str:
    """The exact command of each package manager, one a line, for a person to type."""
    lines = []
    for manager, command in COMMANDS.items():
        if names := list(wanted.get(manager, ())):
            lines.append(f"{manager + ':':8}{shlex.join([*command, *names])}")
    return "\n".join(lines)


def install(wanted: Mapping[str, tuple[str, ...]], log: Path) -> None:
    """Install packages without asking anybody anything: on a Debian-like system, as root or by sudo.

    Args:
        wanted: per package manager, the packages.
        log: takes all that the package manager says; its folder is made.

    Raises:
        ToolMissing: it cannot be done without asking, or it failed; the detail has the exact command
            of every package manager, or the end of the log.
    """
    prefix = _privilege() if shutil.which("apt-get") and wanted.get("apt") else None
    if prefix is None:
        raise ToolMissing(
            f"{_some(wanted)} cannot be installed without asking you",
            "type the line of your package manager",
            install_commands(wanted),
        )
    names = wanted["apt"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:

        def apt(*command: str) -> bool:
            out.write(f"$ {shlex.join(command)}\n".encode())
            out.flush()
            # sudo clears the environment, so the variable is set behind it
            whole = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", *command]
            return run(whole, limit=_APT_SECONDS, log=out, patience=_APT_PATIENCE).code == 0

        # on a fresh system the lists are empty; a simulation needs neither root nor the lock
        known = run(["apt-get", "-s", *_APT_INSTALL, *names], limit=_ASK_SECONDS).code == 0
        if not known:
            apt("apt-get", *_APT_LOCK, "update")
        done = apt("apt-get", *_APT_LOCK, *_APT_INSTALL, *names)
        if not done and known:
            # lists older than the archive name files that it no longer has
            apt("apt-get", *_APT_LOCK, "update")
            done = apt("apt-get", *_APT_LOCK, *_APT_INSTALL, *names)
    if not done:
        tail = log.read_text(errors="replace").splitlines()[-6:]
        raise ToolMissing(f"apt-get could not install {' '.join(names)}", f"see {log}", "\n".join(tail))


def _some(wanted: Mapping[str, tuple[str, ...]]) -> str:
    return " ".join(wanted.get(package_manager() or "apt", ())) or "what is missing"


def _privilege() -> list[str] | None:
    """What goes before a command that needs root; None if that would ask for a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and run([sudo, "-n", "true"], limit=_ASK_SECONDS).code == 0:
        return [sudo, "-n"]
    return None
