"""What a bisection searches for, as its steps read it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.files import write_atomically
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One bisection.

    Attributes:
        variables: of the command line: name -> text.
        project: the folder that it was begun in.
        output: where its builds go.
        kernel: the name of the tree's entry.
        work: the worktree.
        suite: that measures.
        good, bad: commits.
        metric: what got worse; empty: a crash is searched.
        crash: the title of the crash.
        good_run: the run of the good commit; 0: there is none yet.
        bad_run: of the bad one.
    """

    variables: dict[str, str]
    project: str
    output: str
    kernel: str
    work: str
    suite: str
    good: str
    bad: str
    metric: str = ""
    crash: str = ""
    good_run: int = 0
    bad_run: int = 0

    def write(self, path: Path) -> None:
        """Keep it.

        Raises:
            OSError: it cannot be written.
        """
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Search | None:
        """The kept one; None: there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def same(self, other: Search) -> bool:
        """Whether the other is the same bisection: what it has found meanwhile does not count."""
        return dataclasses.replace(self, good_run=0, bad_run=0) == dataclasses.replace(
            other, good_run=0, bad_run=0
        )

    def holds(self, db: Path) -> bool:
        """Whether the history still has the runs of both ends: another one may have come into its place.

        Raises:
            HistoryError: it cannot be read.
        """
        from sistasks.history.cases import commit_of_run

        ends = ((self.good_run, self.good), (self.bad_run, self.bad))
        return all(commit_of_run(db, run) == commit for run, commit in ends)

    def settings(self) -> Settings:
        """The settings of each step: the tree is the worktree, builds have a place of their own, and numbers repeat.

        Raises:
            UsageError: a variable cannot be any more.
        """
        asked = resolve(self.variables, pyproject=Path(self.project) / "pyproject.toml")
        entry = asked.kernels[self.kernel]
        values = {**entry.values, "path": Path(self.work)}
        kernels = {**asked.kernels, self.kernel: dataclasses.replace(entry, values=values)}
        return dataclasses.replace(
            asked,
            kernels=kernels,
            output=Path(self.output),
            nodes=asked.nodes if "nodes" in asked.given else 1,
            clock="virtual",
            given=asked.given | {"nodes", "clock"},
        )
