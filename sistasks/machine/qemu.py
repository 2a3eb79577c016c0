"""The emulator's program: found, and proven to be the QEMU that is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import ToolMissing
from sistasks.programs import run

if TYPE_CHECKING:
    from sistasks.machine.arch import Arch
    from sistasks.programs import Finished
    from sistasks.settings import Settings

# clones need the migration capability x-ignore-shared, the switch needs stream netdevs (QEMU 7.2)
MINIMUM: Final = (7, 2, 0)
USUAL_FOLDERS: Final = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", "/opt/local/bin")
_ANSWER_SECONDS: Final = 10.0
_REMEDY: Final = "run `doit setup`, or set SIS_QEMU_PATH to the program"
_NAMED: Final = "set SIS_QEMU_PATH or qemu= to QEMU's program, or leave it out and QEMU is looked for in PATH"
_ASK_TARGET: Final = b'{"execute": "qmp_capabilities"}\n{"execute": "query-target"}\n{"execute": "quit"}\n'


@dataclass(frozen=True, slots=True)
class Qemu:
    """A QEMU that answered.

    Attributes:
        path: the program, absolute, links resolved.
        version: as numbers, to compare.
        version_text: as the program says it, with the distribution's suffix.
        size: bytes of the program's file.
        mtime_ns: its time of change; with path, size and version its identity.
    """

    path: Path
    version: tuple[int, int, int]
    version_text: str
    size: int
    mtime_ns: int

    @property
    def identity(self) -> list[str | int]:
        """What is equal as long as it is the same program, in a form that JSON keeps."""
        return [str(self.path), self.size, self.mtime_ns, _dotted(self.version)]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def locate(arch: Arch, asked: str) -> Path:
    """The program's file, by name only; nothing is run.

    Args:
        arch: whose emulator.
        asked: `auto`, a path, or a program's name that PATH knows.

    Raises:
        ToolMissing: there is no such file, or it is a directory or not executable.
    """
    if asked == "auto":
        found = shutil.which(arch.qemu) or shutil.which(arch.qemu, path=os.pathsep.join(USUAL_FOLDERS))
        if found is None:
            raise ToolMissing(f"{arch.qemu} is not in PATH", _REMEDY)
        return Path(found).resolve()
    if "/" not in asked:
        found = shutil.which(asked)
        if found is None:
            raise ToolMissing(f"QEMU '{asked}' is not in PATH", _NAMED)
        return Path(found).resolve()
    path = Path(asked).expanduser()
    if not path.exists():
        raise ToolMissing(f"QEMU '{asked}' does not exist", _NAMED)
    if path.is_dir():
        raise ToolMissing(f"QEMU '{asked}' is a directory", f"name the program, such as {path / arch.qemu}")
    if not os.access(path, os.X_OK):
        raise ToolMissing(f"QEMU '{asked}' is not executable", _NAMED)
    return path.resolve()


def find(arch: Arch, settings: Settings) -> Qemu:
    """The QEMU to use: `settings.qemu`, else PATH, else the usual folders.

    Raises:
        ToolMissing: it is missing, no QEMU, too old, silent, or for another architecture.
    """
    path = locate(arch, settings.qemu)
    answer = _ask(path, ["--version"])
    match = re.match(rb"QEMU emulator version ((\d+)\.(\d+)(?:\.(\d+))?[^\n]*)", answer.out)
    if answer.code != 0 or match is None:
        raise ToolMissing(
            f"{path} is not QEMU: --version did not say so ({answer.ending})", _REMEDY, answer.tail(3)
        )
    version = (int(match[2]), int(match[3]), int(match[4] or 0))
    if version < MINIMUM:
        raise ToolMissing(
            f"{path} is QEMU {_dotted(version)}, needed is {_dotted(MINIMUM[:2])} or later",
            "install a newer one and set SIS_QEMU_PATH to it",
        )
    target = _target(path)
    wanted = arch.qemu.removeprefix("qemu-system-")
    if target != wanted:
        raise ToolMissing(f"{path} emulates {target}, not {wanted} (arch={arch.name})", _REMEDY)
    status = path.stat()
    text = match[1].decode(errors="replace").strip()
    return Qemu(path, version, text, status.st_size, status.st_mtime_ns)


def _ask(path: Path, arguments: list[str], stdin: bytes = b"") -> Finished:
    try:
        answer = run([path, *arguments], limit=_ANSWER_SECONDS, stdin=stdin)
    except OSError as error:
        raise ToolMissing(f"{path} cannot be run: {error.strerror}", _REMEDY) from error
    if answer.expired:
        raise ToolMissing(f"{path} {arguments[0]} gave no answer in {_ANSWER_SECONDS:g} s", _REMEDY)
    return answer


def _target(path: Path) -> str:
    """QEMU's own word for what it emulates; a program's name may lie."""
    answer = _ask(path, ["-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"], _ASK_TARGET)
    for line in answer.out.splitlines():
        try:
            reply = json.loads(line)
        except ValueError:
            continue
        if isinstance(reply, dict) and isinstance(value := reply.get("return"), dict) and "arch" in value:
            return str(value["arch"])
    raise ToolMissing(f"{path} does not answer over QMP ({answer.ending})", _REMEDY, answer.tail(3))
