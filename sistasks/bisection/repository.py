"""The user's repository, as a bisection uses it: a worktree of its own beside the checkout, which is left alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.errors import SistasksError, ToolMissing, UsageError
from sistasks.kernels.checkout import git_environment
from sistasks.programs import run, start

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.programs import Finished

_SECONDS: Final = 300.0
_PATIENCE: Final = 30.0
_FIRST: Final = re.compile(r"^# first bad commit: \[([0-9a-f]{40,64})\]", re.MULTILINE)
_POSSIBLE: Final = re.compile(r"^# possible first bad commit: \[([0-9a-f]{40,64})\]", re.MULTILINE)
SKIP: Final = 125
"""What a step ends with whose commit cannot be tested (git-bisect(1), "Bisect run")."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a bisection came to.

    Attributes:
        commits: the first bad one; several where those between them could not be tested; none: it is not over.
    """

    commits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and the worktree in which it is searched.

    Attributes:
        tree: the user's checkout, or a folder in it.
        work: the worktree.
    """

    tree: Path
    work: Path

    def commit(self, name: str) -> str:
        """The commit of a name.

        Raises:
            UsageError: the tree is in no repository, or there is no such commit.
        """
        if self._git(self.tree, "rev-parse", "--git-dir").code != 0:
            raise UsageError(f"{self.tree} is in no git repository", "bisect a tree that git knows")
        found = self._git(self.tree, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.code != 0:
            raise UsageError(f"there is no commit {name!r} in {self.tree}", "good= and bad= name commits")
        return found.out.decode().strip()

    def folder(self) -> Path:
        """What the tree is in the worktree: the whole, or a folder in it."""
        prefix = self._git(self.tree, "rev-parse", "--show-prefix")
        return self.work / prefix.out.decode().removesuffix("\n")

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit is in the history of another."""
        return self._git(self.tree, "merge-base", "--is-ancestor", older, newer).code == 0

    def parent(self, commit: str) -> str:
        """A commit's first parent; empty: it has none."""
        found = self._git(self.tree, "rev-parse", "--verify", "--quiet", f"{commit}^")
        return found.out.decode().strip() if found.code == 0 else ""

    def title(self, commit: str) -> str:
        """`abbreviated subject (author, date)`."""
        words = ("--no-patch", "--date=short", "--format=%h %s (%an, %ad)", commit)
        return self._git(self.tree, "show", *words).out.decode(errors="replace").strip()

    def check_out(self, commit: str) -> None:
        """Make the worktree if it is not there, and bring it to a commit.

        Raises:
            SistasksError: git refuses.
        """
        if not (self.work / ".git").exists():
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.parent.mkdir(parents=True, exist_ok=True)
            self._must(self.tree, "worktree", "prune")
            self._must(self.tree, "worktree", "add", "--quiet", "--detach", str(self.work.absolute()), commit)
        else:
            self._must(self.work, "checkout", "--quiet", "--force", "--detach", commit)

    @property
    def under_way(self) -> bool:
        """Whether a bisection has begun in the worktree."""
        return (self.work / ".git").exists() and self._git(self.work, "bisect", "log").code == 0

    def begin(self, good: str, bad: str) -> None:
        """Begin a bisection.

        Raises:
            SistasksError: git refuses.
        """
        self._must(self.work, "bisect", "start", bad, good)

    def search(self, step: Sequence[str]) -> Found:
        """`git bisect run`, until the first bad commit is found; words of git and of the steps go to standard output.

        Args:
            step: the command that tests the worktree; it ends with 0 (good), 1 (bad) or SKIP.

        Raises:
            SistasksError: a step ended otherwise, so that nothing was found.
        """
        sys.stdout.flush()
        process = start(
            ["git", "-C", self.work, "bisect", "run", *step], env=git_environment(), stdin=subprocess.DEVNULL,
            stdout=sys.stdout.fileno(), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            process.wait()
        except BaseException:
            _end(process)
            raise
        return self.found()

    def found(self) -> Found:
        """What the bisection has come to so far."""
        log = self._git(self.work, "bisect", "log").out.decode(errors="replace")
        if match := _FIRST.search(log):
            return Found((match[1],))
        return Found(tuple(_POSSIBLE.findall(log)))

    def remove(self) -> None:
        """Take the worktree away; what cannot be removed stays."""
        self._git(self.tree, "worktree", "remove", "--force", str(self.work.absolute()))
        shutil.rmtree(self.work, ignore_errors=True)
        self._git(self.tree, "worktree", "prune")

    def _must(self, where: Path, *words: str) -> bytes:
        done = self._git(where, *words)
        if done.code != 0:
            raise SistasksError(
                f"git {words[0]} in {where} {done.ending}", "what it says stands below", done.tail()
            )
        return done.out

    @staticmethod
    def _git(where: Path, *words: str) -> Finished:
        try:
            return run(["git", "-C", where, *words], limit=_SECONDS, environ=git_environment())
        except OSError as error:
            raise ToolMissing("git cannot be started", "install git") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and the step under way: with SIGINT, as a person would, and at last by force."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        break
