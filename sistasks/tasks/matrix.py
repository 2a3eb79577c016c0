"""Several architectures in one invocation: each task once for each of them; what became of each is told at the end."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sistasks.errors import UsageError
from sistasks.settings import each_architecture
from sistasks.tasks.configuration import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.errors import SistasksError
    from sistasks.settings import Settings

    Creator = Callable[[Settings], dict[str, Any]]

ALL: Final = each_architecture(SETTINGS)
_SEVERAL: Final = len(ALL) > 1
# tasks that each architecture has one of
EACH: Final[set[str]] = set()


@dataclass(frozen=True, slots=True)
class _End:
    """Why an architecture did not come through: in which task, and whether that is no failure."""

    task: str
    error: SistasksError
    passed_over: bool


@dataclass(slots=True)
class _Ends:
    """What became of architectures: those that did not come through, and those of which anything was asked."""

    early: dict[str, _End] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


_ENDS: Final = _Ends()


def for_each_architecture(creator: Creator) -> Callable[[], Any]:
    """A doit task creator from one that takes settings: a task; of several architectures a group with a task each."""
    EACH.add(creator.__name__.removeprefix("task_"))

    def create() -> Any:
        if _SEVERAL:
            return (subtask(creator(settings), settings) for settings in ALL)
        return creator(SETTINGS)

    return functools.update_wrapper(create, creator)


def subtask(task: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A task of one architecture; among several it has its name and depends on that architecture's tasks."""
    if not _SEVERAL:
        return task
    needs = [f"{name}:{settings.arch}" if name in EACH else name for name in task.get("task_dep", ())]
    return {**task, "name": settings.arch, "task_dep": needs}


def has_ended(settings: Settings) -> bool:
    """Whether nothing more is to be done for an architecture."""
    return settings.arch in _ENDS.early


def note(settings: Settings) -> None:
    """A task of this architecture was done, or had nothing to do."""
    _ENDS.seen.add(settings.arch)


def end(settings: Settings, task: str, error: SistasksError) -> bool:
    """Take an error for the end of one architecture among several, and say it; the others go on.

    Returns:
        Whether it was taken: of a single architecture, it is told as any error is.
    """
    if not _SEVERAL:
        return False
    name = task.partition(":")[0].lstrip("_")
    # what the architecture cannot have is no failure where all were asked for, whatever there is
    cannot = name == "kernel" or (isinstance(error, UsageError) and name != "cluster")
    _ENDS.early[settings.arch] = _End(name, error, settings.every_arch and cannot)
    sys.stderr.write(f"{settings.arch}: {name}: {error}\n")
    return True


def conclusion() -> tuple[list[str], int]:
    """A line for each architecture, and the exit code that they come to; nothing for a single one."""
    if not _SEVERAL or not (_ENDS.seen or _ENDS.early):
        return [], 0
    lines = []
    for settings in ALL:
        found = _ENDS.early.get(settings.arch)
        if found is None:
            how = "done"
        else:
            how = f"{'passed over' if found.passed_over else 'failed'}: {found.task}: {found.error.problem}"
        lines.append(f"{settings.arch}: {how}")
    ends = _ENDS.early.values()
    # nothing at all was done: then one of the reasons is the reason
    none_left = len(ends) == len(ALL)
    return lines, max((one.error.exit_code for one in ends if none_left or not one.passed_over), default=0)
