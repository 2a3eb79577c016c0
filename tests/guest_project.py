"""A project in a folder, and doit run in it as a person would."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from pathlib import Path

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
