"""A project whose guests end or hang as asked: tests/guests/crashers built into it, a suite for each way."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).parent / "guests/crashers/crasher.c"


def build(folder: Path, arch: str = "") -> Path:
    """The crasher as `crasher` in a folder."""
    target = folder / "crasher"
    compiler = find_compiler(ARCHES[arch or host_arch()])
    subprocess.run([*compiler, "-O2", "-static", str(SOURCE), "-o", str(target)], check=True)
    return target


def prepare(folder: Path, ways: Mapping[str, tuple[str, ...]], before: tuple[str, ...] = ()) -> None:
    """Write a project: for each way a program of that name and a suite `crash_NAME` that runs it.

    Args:
        folder: gets the crasher, pyproject.toml and dodo.py.
        ways: name -> arguments of the crasher.
        before: tests of the agent that each suite runs first.
    """
    build(folder)
    table = ""
    suites = ""
    for name, arguments in ways.items():
        words = ", ".join(f'"{word}"' for word in arguments)
        table += f'[tool.sistasks.programs.{name}]\npath = "crasher"\narguments = [{words}]\ntimeout = 20\n'
        suites += f"suite('crash_{name}', tests={[*before, name]})\n"
    (folder / "pyproject.toml").write_text(table)
    (folder / "dodo.py").write_text(
        f"from sistasks.extend import suite\n{suites}from sistasks.tasks import *\n"
    )
