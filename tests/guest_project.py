"""A project in a folder, and doit run in it as a person would."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

DODO = "from sistasks.tasks import *\n"
# small and quick: what is tested here is not a measurement
SMALL = ("memory=128M", "iterations=100")


def environment() -> dict[str, str]:
    """The environment without variables that would set ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SIS_")}


@dataclass(frozen=True)
class Project:
    """A folder with a dodo.py, and doit run in it as a person would."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "doit", *arguments]

    def doit(self, *arguments: str, limit: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=environment() | variables,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def share_output(self, other: Project) -> None:
        """Work in another project's output by the same relative path: what it has built is not built again here."""
        (self.folder / "target").symlink_to(other.folder / "target")

    def take_build(self, other: Project) -> None:
        """Have all that another project has built, and none of its templates."""
        shutil.copytree(other.folder / "target/testing/build", self.folder / "target/testing/build")

    def take_kernels(self, other: Project) -> None:
        """Have the kernels that another project has fetched: they are checked, and not fetched again."""
        place = Path("target/testing/build/kernels")
        shutil.copytree(other.folder / place, self.folder / place)


def nodes_of(folder: Path) -> list[psutil.Process]:
    """QEMU processes whose command line names this project."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(part.startswith("sistasks-") for part in command) and process.cwd() == str(folder):
            found.append(process)
    return found


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    """What the history answers."""
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query).fetchall()
