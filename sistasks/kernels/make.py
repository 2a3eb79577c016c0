"""The kernel's own make, with the compiler of an architecture and nothing of a person's surroundings."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks import tools
from sistasks.errors import KernelFailure, SistasksError, ToolMissing
from sistasks.kinds import host_arch, host_cpus
from sistasks.programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.kernels import Log
    from sistasks.machine.arch import Arch

# a distribution's whole configuration takes hours on two processors
_BUILD_SECONDS: Final = 86400.0
# make removes what it was writing and ends; killed at once, it would leave half an object file that looks done
_PATIENCE: Final = 60.0
_PROGRAMS: Final = ("make", "gcc", "flex", "bison", "bc")
_PACKAGES: Final = {
    "apt": ("make", "gcc", "libc6-dev", "flex", "bison", "bc", "libelf-dev", "libssl-dev"),
    "dnf": ("make", "gcc", "flex", "bison", "bc", "elfutils-libelf-devel", "openssl-devel", "perl", "diffutils"),
    "pacman": ("make", "gcc", "flex", "bison", "bc", "libelf", "openssl", "perl", "diffutils"),
}  # fmt: skip
# x86's objtool is linked with it
_HEADER: Final = "gelf.h"
# the same sources give the same image: Linux Documentation/kbuild/reproducible-builds.rst
_FIXED: Final = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "sistasks",
    "KBUILD_BUILD_HOST": "sistasks",
    "KBUILD_BUILD_VERSION": "1",
    # set, though empty: without it the release would end in `+` for every commit that has no tag
    "LOCALVERSION": "",
    # the kernel's make takes LC_ALL back
    "LC_ALL": "C",
    "LANG": "C",
}
# of the surroundings: what would change the build without our knowing
_FOREIGN: Final = re.compile(
    r"(MAKE.*|MFLAGS|K?BUILD_.*|KCONFIG_.*|K(C|A|CPP)FLAGS|ARCH|SUBARCH|CROSS_COMPILE.*|INSTALL_.*|V|O|C|W|LC_.*|LANGUAGE)"
)
_ERROR: Final = re.compile(
    r"\berror\b:?|\bundefined reference\b|\bmultiple definition\b|No rule to make target|^\*\*\* |: not found|"
    r"Assembler messages|No space left on device",
    re.IGNORECASE,
)
# progress, and make's own account of who called whom
_NOISE: Final = re.compile(r"\s{2}[A-Z]{2,9}(?: \[M\])?\s|make(?:\[\d+\])?: ")
_SHOWN: Final = 8
_NO_ROOM: Final = "No space left on device"


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """How one kernel tree is made for one architecture.

    Attributes:
        name: the kernel's, for the sentences.
        tree: the sources; not written to.
        out: where everything goes (make's `O=`).
        log: the file that takes what make says.
        words: `ARCH=`, `CROSS_COMPILE=` and what a person added.
        lock: the file descriptor that make inherits, so that the folder stays locked if it outlives us.
    """

    name: str
    tree: Path
    out: Path
    log: Path
    words: tuple[str, ...]
    lock: int

    def __call__(self, *targets: str) -> None:
        """Make the targets.

        Raises:
            KernelFailure: make fails; with the first lines of error, and where the others are.
            SistasksError: the disk is full, or make cannot be run.
        """
        command = ["make", "-C", str(self.tree), f"O={self.out}", f"-j{host_cpus()}", *self.words, *targets]
        with self.log.open("ab") as log:
            start = log.tell()
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            try:
                done = run(
                    command, limit=_BUILD_SECONDS, log=log, environ=_environment(), patience=_PATIENCE,
                    pass_fds=(self.lock,),
                )  # fmt: skip
            except OSError as error:
                raise ToolMissing(f"make cannot be run: {error.strerror}", "doit kernel") from error
        if done.code == 0:
            return
        with self.log.open("rb") as log:
            log.seek(start)
            lines = first_errors(log.read().decode(errors="replace"))
        if any(_NO_ROOM in line for line in lines):
            raise SistasksError(f"{self.out} is full", "make room there, or set output", "\n".join(lines))
        raise KernelFailure(
            f"{self.name} does not build: make {' '.join(targets)} {done.ending}",
            f"see {self.log}",
            "\n".join(lines),
        )


def first_errors(text: str) -> list[str]:
    """The lines in which a build first failed, without make's own and what went well; the last ones if none says so."""
    lines = [line.rstrip() for line in text.splitlines()]
    wanted = [line for line in lines if line.strip() and not _NOISE.match(line)]
    for position, line in enumerate(wanted):
        if _ERROR.search(line):
            # `In function 'x':` and `In file included from` belong to what they announce
            while position and wanted[position - 1].endswith((":", ",")):
                position -= 1  # noqa: PLW2901 - where the message begins
            return wanted[position : position + _SHOWN]
    # nobody but make says what is wrong: no rule, a missing file
    own = [line for line in lines if "***" in line]
    return (own or [line for line in lines if line.strip()])[:_SHOWN]


def compiler(arch: Arch) -> str:
    """The cross compiler's name up to `gcc`; empty: the host's own.

    Raises:
        ToolMissing: none is here.
    """
    native = arch.name == host_arch()
    names = [name for name in arch.compiler if name.endswith("gcc") and (native or "-" in name)]
    for name in [*names, *(["gcc"] if native else [])]:
        if shutil.which(name):
            return name.removesuffix("gcc")
    raise ToolMissing(
        f"no gcc here builds kernels for {arch.name}",
        "type the line of your package manager",
        tools.install_commands(tools.packages(arch, "compiler")),
    )


def words(arch: Arch, added: tuple[str, ...]) -> tuple[str, ...]:
    """`ARCH=`, `CROSS_COMPILE=` and what a person added, which wins.

    Raises:
        ToolMissing: see compiler; not where a person names a compiler.
    """
    chosen = any(word.startswith(("LLVM=", "CC=", "CROSS_COMPILE=")) for word in added)
    prefix = "" if chosen else compiler(arch)
    return (f"ARCH={arch.linux}", *([f"CROSS_COMPILE={prefix}"] if prefix else []), *added)


def require(arch: Arch, added: tuple[str, ...], log: Path, say: Log) -> None:
    """Install what a kernel's build needs and this machine lacks.

    Args:
        arch: of the kernel.
        added: what a person adds to make's command line.
        log: takes what the package manager says.
        say: takes a line where something is installed.

    Raises:
        ToolMissing: it cannot be installed without asking.
    """
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    wanted = dict(_PACKAGES) if absent else {}
    if not absent and not _has_header():
        wanted, absent = dict(_PACKAGES), [_HEADER]
    try:
        words(arch, added)
    except ToolMissing:
        absent.append(f"a compiler for {arch.name}")
        own = tools.packages(arch, "compiler")
        wanted = {manager: (*wanted.get(manager, ()), *own.get(manager, ())) for manager in _PACKAGES}
    if absent:
        say(f"a kernel's build needs {', '.join(absent)}: installing")
        tools.install(wanted, log)


def _has_header() -> bool:
    asked = f"#include <{_HEADER}>\n".encode()
    return run(["gcc", "-E", "-o", os.devnull, "-x", "c", "-"], limit=60, stdin=asked).code == 0


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    return own | _FIXED
