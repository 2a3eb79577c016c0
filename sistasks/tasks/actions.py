"""From a step to a doit action: errors become sentences and exit codes, signals end nodes before us."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from doit.exceptions import TaskError, TaskFailed

from sistasks.errors import SistasksError
from sistasks.tasks.configuration import LAYOUT, SETTINGS
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.settings import Settings

    Step = Callable[[Settings, Terminal], None]

_INTERRUPTED = 130


def _interrupt(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def action(step: Step) -> Callable[[], Any]:
    """A doit action that runs a step.

    Exit codes: an error's own; doit knows 1 (failed) and 2 (error), wrong usage and an interrupt leave at once.
    """

    def run() -> Any:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        with Terminal(SETTINGS, LAYOUT) as terminal:
            try:
                step(SETTINGS, terminal)
            except SistasksError as error:
                terminal.log(str(error))
                return _failure(step, error)
            except KeyboardInterrupt:
                terminal.result(
                    f"interrupted: every node has ended; {SETTINGS.db} keeps the runs that were complete, "
                    f"logs are in {LAYOUT.output}"
                )
                sys.exit(_INTERRUPTED)
        return True

    run.__name__ = step.__name__
    return run


def _failure(step: Step, error: SistasksError) -> TaskFailed | TaskError:
    if error.exit_code == 1:
        return TaskFailed(str(error))
    if error.exit_code == 2:
        return TaskError(str(error))
    sys.stderr.write(f"{step.__name__}: {error}\n")
    sys.exit(error.exit_code)


def fresh(check: Callable[[Settings], bool]) -> Callable[[], bool]:
    """An `uptodate` for doit from a check of ours."""

    def is_fresh() -> bool:
        return check(SETTINGS)

    return is_fresh
