"""From a step to a doit action: errors become sentences and exit codes, signals end nodes before us."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskError, TaskFailed

from sistasks.errors import SistasksError
from sistasks.refusals import refusal
from sistasks.tasks import matrix
from sistasks.tasks.configuration import LAYOUT, SETTINGS
from sistasks.tasks.interrupts import INTERRUPTED
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.settings import Settings

    Step = Callable[[Settings, Terminal], object]


def action(step: Step, settings: Settings | None = None) -> Callable[[Any], Any]:
    """A doit action that runs a step.

    Exit codes: an error's own; doit knows 1 (failed) and 2 (error), wrong usage and an interrupt leave at once. Of
    several kernels or architectures an error ends only its own combination.

    Args:
        step: what to run.
        settings: of a combination; None: the step is the same for all.
    """

    def failure(task: Any, error: SistasksError) -> Any:
        return (settings is not None and matrix.end(settings, task.name, error)) or _failure(task.name, error)

    def run(task: Any) -> Any:
        if settings is not None:
            if matrix.has_ended(settings):
                return True
            matrix.note()
        try:
            _run(step, settings or SETTINGS)
        except SistasksError as error:
            return failure(task, error)
        except OSError as error:
            refused = refusal(error, LAYOUT.output)
            if refused is None:
                raise
            return failure(task, refused)
        return True

    run.__name__ = step.__name__
    return run


def _run(step: Step, settings: Settings) -> None:
    with Terminal(settings, LAYOUT) as terminal:
        try:
            step(settings, terminal)
        except (SistasksError, OSError) as error:
            terminal.log(str(error))
            raise
        except KeyboardInterrupt:
            terminal.result(
                f"interrupted: every node has ended; {SETTINGS.db} keeps the runs that were complete, "
                f"logs are in {LAYOUT.output}"
            )
            matrix.break_off()
            sys.exit(INTERRUPTED)


def _failure(task: str, error: SistasksError) -> TaskFailed | TaskError:
    if error.exit_code == 1:
        return TaskFailed(str(error))
    if error.exit_code == 2:
        return TaskError(str(error))
    # a step that only serves another one has a name that doit list does not show
    sys.stderr.write(f"{task.lstrip('_')}: {error}\n")
    matrix.break_off()
    sys.exit(error.exit_code)


def fresh(check: Callable[[Settings], bool], settings: Settings) -> Callable[[], bool]:
    """An `uptodate` for doit from a check of ours."""

    def is_fresh() -> bool:
        found = not matrix.has_ended(settings) and check(settings)
        if found:
            matrix.note()
        return found

    return is_fresh
