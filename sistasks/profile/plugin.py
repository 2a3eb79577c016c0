"""The plugin that counts instructions, compiled on this machine for its QEMU, and loaded by it for a trial."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import GuestBuildError, ToolMissing
from sistasks.programs import run

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE: Final = Path(__file__).parent.parent / "guest" / "plugin" / "profile.c"
_FLAGS: Final = (
    "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", "-g0",
    # what it needs of a C library QEMU has loaded already, whatever library the compiler would take
    "-nostdlib",
)  # fmt: skip
_LIMIT: Final = 120.0
_TRIAL_LIMIT: Final = 30.0
# what QEMU says of a plugin that it has loaded, and that then wanted a file to write to
_LOADED: Final = b"qemu_plugin_install returned error code"


def interface(version: tuple[int, ...]) -> int:
    """The number of the plugin interface to compile for.

    QEMU, include/qemu/qemu-plugin.h, QEMU_PLUGIN_VERSION: 1 until 8.2, 2 in 9.0, 3 from 9.1 on; later ones still take
    3.

    Args:
        version: QEMU's, as numbers.
    """
    if version < (9, 0):
        return 1
    return 2 if version < (9, 1) else 3


def build(compiler: Sequence[str], version: tuple[int, ...], folder: Path) -> Path:
    """The compiled plugin for a QEMU: the kept one, or one compiled now.

    Args:
        compiler: the command that compiles for this machine.
        version: QEMU's.
        folder: where it is kept.

    Raises:
        GuestBuildError: the compiler cannot be run, or refuses.
    """
    api = interface(version)
    digest = hashlib.sha256(f"{api} {list(compiler)} {_FLAGS}".encode() + SOURCE.read_bytes()).hexdigest()
    target = folder / f"profile-{digest[:16]}.so"
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f".profile-{os.getpid()}.so"
    command = [*compiler, *_FLAGS, f"-DAPI={api}", "-o", str(new.absolute()), SOURCE.name]
    try:
        done = subprocess.run(
            command, cwd=SOURCE.parent, capture_output=True, text=True, timeout=_LIMIT, check=False,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
        if done.returncode != 0:
            lines = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[:8])
            raise GuestBuildError(
                f"{compiler[0]} cannot build the plugin that counts instructions", "profile=no", lines
            )
        new.replace(target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GuestBuildError(
            f"the plugin that counts instructions cannot be built: {error}", "doit setup, or profile=no"
        ) from error
    finally:
        new.unlink(missing_ok=True)
    return target


def try_loading(qemu: Path, built: Path) -> None:
    """Have QEMU load the plugin, without a machine.

    Args:
        qemu: its program.
        built: the compiled plugin.

    Raises:
        ToolMissing: it was built without plugins, or refuses this one.
    """
    command = [
        str(qemu), "-machine", "none", "-nodefaults", "-display", "none", "-accel", "tcg",
        "-plugin", f"file={str(built.absolute()).replace(',', ',,')}",
    ]  # fmt: skip
    instead = "profile=no, or qemu= with another QEMU that has plugins"
    try:
        done = run(command, limit=_TRIAL_LIMIT)
    except OSError as error:
        raise ToolMissing(f"{qemu} cannot be run: {error.strerror}", "doit setup") from error
    if _LOADED in done.err:
        return
    words = f"it did not answer within {_TRIAL_LIMIT:.0f} s" if done.expired else done.tail(1) or done.ending
    raise ToolMissing(f"{qemu} does not take the plugin that counts instructions: {words}", instead)
