"""A source tree as it is now: its commit where git knows it, and a digest that changes when a file does."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_GIT_SECONDS: Final = 120.0
_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")

# a hook runs with its own repository in them (git rev-parse --local-env-vars)
_OF_A_HOOK: Final = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source tree at one instant.

    Attributes:
        digest: of what tells a changed file: with git the commit and the state of each file that differs from it,
            else every file's size and time of change.
        commit, parent: hexadecimal; empty without git, or without a parent.
        dirty: a file that git knows differs from the commit.
    """

    digest: str
    commit: str = ""
    parent: str = ""
    dirty: bool = False


def look(tree: Path, known_file: str, apart: Sequence[Path] = ()) -> Checkout:
    """The tree as it is now; nothing in it is written.

    Args:
        tree: the folder; may be a part of a repository.
        known_file: a file that git must know: where a repository around it ignores the tree, git cannot tell.
        apart: what begins with one of these paths does not count, such as what we write into the tree ourselves.

    Raises:
        OSError: the tree cannot be read.
    """
    # as the tree's own files are named: one may be asked for through a link
    prefixes = tuple(os.fspath(path.resolve()) for path in apart)
    tree = tree.resolve()
    return _by_git(tree, known_file, prefixes) or Checkout(_digest(_every_file(tree, prefixes)))


def _by_git(tree: Path, known_file: str, apart: tuple[str, ...]) -> Checkout | None:
    head = _git(tree, "rev-list", "--parents", "-n", "1", "HEAD")
    if head is None or _git(tree, "ls-files", "--error-unmatch", "--", known_file) is None:
        return None
    commit, _, parents = head.decode(errors="replace").strip().partition(" ")
    status = _git(tree, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", ".")
    root = _git(tree, "rev-parse", "--show-cdup")
    if status is None or root is None or not _COMMIT.fullmatch(commit):
        return None
    top = os.path.normpath(tree / os.fsdecode(root.strip()))
    listed = [os.fsdecode(entry) for entry in status.split(b"\0") if entry]
    changes = [entry for entry in listed if not f"{top}/{entry[3:]}".startswith(apart)]
    # `XY path`; what git does not know does not make the tree another than its commit
    dirty = any(not entry.startswith("??") for entry in changes)
    lines = (f"{entry}\0{_state(f'{top}/{entry[3:]}')}" for entry in sorted(changes))
    return Checkout(_digest(iter([commit, *lines])), commit, parents.split(" ")[0], dirty)


def git_environment() -> dict[str, str]:
    """The environment for git in a tree of the user's."""
    environ = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    # a person's own git may be at work in the tree: do not take its lock to refresh the index
    return environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def _git(tree: Path, *words: str) -> bytes | None:
    """Standard output of git; None where it is not there or refuses."""
    from sistasks.programs import run

    try:
        done = run(["git", "-C", tree, *words], limit=_GIT_SECONDS, environ=git_environment())
    except OSError:
        return None
    return done.out if done.code == 0 else None


def _state(path: str) -> str:
    try:
        status = os.lstat(path)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _every_file(tree: Path, apart: tuple[str, ...] = ()) -> Iterator[str]:
    folders = [str(tree)]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.path.startswith(apart):
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name != ".git":
                    folders.append(entry.path)
            else:
                yield f"{entry.path}\0{_state(entry.path)}"


def _digest(lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(os.fsencode(line) + b"\n")
    return digest.hexdigest()
