"""The plugin that counts instructions, compiled on this machine for its QEMU."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sistasks.errors import GuestBuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE: Final = Path(__file__).parent.parent / "guest" / "plugin" / "profile.c"
_FLAGS: Final = (
    "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden", "-g0",
)  # fmt: skip
_LIMIT: Final = 120.0


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
