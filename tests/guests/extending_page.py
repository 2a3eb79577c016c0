"""docs/extending.md as tests read it: its files are written, its commands typed, and its answers must come."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guest_project import Project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text()
EXAMPLES: list[tuple[str, str]] = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```\n", PAGE, re.DOTALL)
_FOLDERS = ("mini/", "package/", "board/", "i386/")


def write(folder: Path, below: str = "") -> None:
    """The page's files of one project; blocks of one name are one file."""
    for name, text in EXAMPLES:
        mine = name.startswith(below) if below else not name.startswith(_FOLDERS)
        if mine and not name.endswith("run"):
            path = folder / name.removeprefix(below)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(text + "\n")


def _commands(name: str) -> Iterator[tuple[str, list[str]]]:
    """What the page types, and what it says that comes."""
    for found, text in EXAMPLES:
        if found == name:
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, *answers = part.splitlines()
                yield command, answers


def type_all(project: Project, name: str, *more: str) -> None:
    """Type the commands of one block in a project.

    Args:
        project: where.
        name: the block's.
        more: what is typed after each command of doit.
    """
    typed = 0
    for command, answers in _commands(name):
        words = shlex.split(command)
        if words[0] == "doit":
            done = project.doit(*words[1:], *more, limit=200)
        else:
            done = subprocess.run(
                words, cwd=project.folder, capture_output=True, text=True, check=False, timeout=60
            )
        assert done.returncode == 0, command + done.stdout + done.stderr
        for answer in answers:
            assert answer in done.stdout, done.stdout + done.stderr
        typed += 1
    assert typed
