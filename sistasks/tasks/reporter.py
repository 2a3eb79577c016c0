"""What doit itself says: little, because the steps speak for themselves."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskFailed
from doit.globals import Globals
from doit.reporter import ConsoleReporter

from sistasks.terminal import silence_output

if TYPE_CHECKING:
    from collections.abc import Callable


def _forgiving(work: Callable[..., None]) -> Callable[..., None]:
    """Doit's own notes of what it did: on a full disk, or behind another session's lock, they are not worth a word."""

    def run(*arguments: Any) -> None:
        with contextlib.suppress(sqlite3.OperationalError):
            work(*arguments)

    return run


class Reporter(ConsoleReporter):  # type: ignore[misc] # doit is untyped
    """Names the tasks that were asked for and are up to date, and prints failures as sentences."""

    desc = "sentences"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream or sys.stdout, options)
        self._asked: set[str] = set()
        self._code = 0

    def initialize(self, tasks: dict[str, Any], selected_tasks: list[str]) -> None:  # noqa: ARG002 - doit's signature
        """Remember what the person asked for, and let no failure to note it hide what happened."""
        self._asked = set(selected_tasks)
        notes = Globals.dep_manager
        notes.remove, notes.close = _forgiving(notes.remove), _forgiving(notes.close)

    def write(self, text: str) -> None:
        """Write, and go on without a reader."""
        try:
            self.outstream.write(text)
            self.outstream.flush()
        except BrokenPipeError:
            silence_output()

    def execute_task(self, task: Any) -> None:
        """Nothing: a step says what it does."""

    def skip_uptodate(self, task: Any) -> None:
        """A task that was asked for and has nothing to do."""
        if not self._asked.isdisjoint((task.name, task.name.partition(":")[0])):
            self.write(f"{task.name}: up to date (doit -a {task.name} does it again)\n")

    def add_failure(self, task: Any, fail: Any) -> None:
        """A failure as its sentence; what is not an error of ours comes with its trace."""
        self._code = max(self._code, 1 if isinstance(fail, TaskFailed) else 2)
        if fail.report:
            # a step that only serves another one has a name that doit list does not show
            sys.stderr.write(f"{task.name.lstrip('_')}: {fail.get_msg().rstrip()}\n")

    def complete_run(self) -> None:
        """What doit itself could not do, and what became of each of several combinations."""
        from sistasks.tasks import matrix  # which needs the configuration, and that the reporter

        for message in self.runtime_errors:
            sys.stderr.write(f"{message}\n")
        lines, code = matrix.conclusion()
        for line in lines:
            self.write(f"{line}\n")
        if code > 0:  # doit would leave with what it knows of
            sys.exit(max(code, self._code))
