"""Small real programs and libraries, compiled for this machine."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GCC = shutil.which("gcc") or ""
needs_gcc = pytest.mark.skipif(not GCC, reason="needs gcc")


def compiled(target: Path, source: str, *flags: str) -> Path:
    """The source compiled to the target; the flags come behind it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [GCC, "-x", "c", "-o", target, "-", "-x", "none", *flags],
        input=source,
        text=True,
        check=True,
        capture_output=True,
    )
    return target


def library(target: Path, source: str, *flags: str) -> Path:
    """A shared library without a C library, whose name is the target's."""
    return compiled(target, source, "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{target.name}", *flags)


def system_library(name: str) -> Path:
    """The file of a library of this system, by the name that the loader looks for."""
    found = subprocess.run([GCC, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    from pathlib import Path

    return Path(found.stdout.strip()).resolve(strict=True)
