"""Pieces of the agent's C, compiled for this machine: what the guest runs, beside the Python that must agree with it.

A harness includes the agent's source file itself, so that its static functions are tested too, and defines what that
file needs of others.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.guest.build import AGENT
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{AGENT}")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@functools.cache
def _compiler() -> tuple[str, ...]:
    """The compiler that also builds the agent, with sanitizers where their libraries are there."""
    compiler = find_compiler(ARCHES[host_arch()])
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / "trial.c"
        trial.write_text("int main(void) { return 0; }\n")
        command = [*compiler, *_SANITIZERS, str(trial), "-o", str(trial.with_suffix(""))]
        linked = subprocess.run(command, capture_output=True, check=False).returncode == 0
        runs = linked and subprocess.run([trial.with_suffix("")], check=False).returncode == 0
    return (*compiler, *(_SANITIZERS if runs else ()))


def compile_harness(folder: Path, source: str) -> Path:
    """Compile one C file that includes the agent's sources by name."""
    path = folder / "harness.c"
    path.write_text(source)
    program = path.with_suffix("")
    command = [*_compiler(), *_FLAGS, str(path), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def compile_program(program: Path, files: Sequence[Path]) -> Path:
    """Compile and link whole files of the agent, and others, to one program."""
    command = [*_compiler(), *_FLAGS, *map(str, files), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def run_harness(program: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What the program writes; a report of a sanitizer fails the test."""
    done = subprocess.run(
        [str(program), *arguments], input=stdin, capture_output=True, check=False, timeout=60,
        env={"ASAN_OPTIONS": "detect_leaks=0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
