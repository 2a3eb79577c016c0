"""Several kernels and architectures in one invocation: each task once for each, and what became of it at the end."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sistasks.combinations import each_architecture, each_of_matrix, label
from sistasks.errors import UsageError
from sistasks.tasks.configuration import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sistasks.errors import SistasksError
    from sistasks.settings import Settings

    Creator = Callable[[Settings], dict[str, Any]]

ALL: Final = each_of_matrix(SETTINGS)
SEVERAL: Final = len(ALL) > 1
_ARCHES: Final = each_architecture(SETTINGS)
# tasks that each combination has one of, and those that only each architecture has one of
EACH: Final[set[str]] = set()
_EACH_ARCH: Final[set[str]] = set()


@dataclass(frozen=True, slots=True)
class _End:
    """Why a combination did not come through: in which task, and whether that is no failure."""

    task: str
    error: SistasksError
    passed_over: bool


@dataclass(slots=True)
class _Ends:
    """What became of combinations.

    Attributes:
        early: those that did not come through.
        seen: something was asked of one of them.
        broken_off: all of it was left in the middle.
    """

    early: dict[str, _End] = field(default_factory=dict)
    seen: bool = False
    broken_off: bool = False


_ENDS: Final = _Ends()


def for_each_of_matrix(creator: Creator) -> Callable[[], Any]:
    """A doit task creator from one that takes settings: a task; of several combinations a group with a task each."""
    return _for_each(creator, EACH, ALL)


def for_each_architecture(creator: Creator) -> Callable[[], Any]:
    """The same for what every kernel of an architecture shares."""
    return _for_each(creator, _EACH_ARCH, _ARCHES)


def _for_each(creator: Creator, known: set[str], settings_of: tuple[Settings, ...]) -> Callable[[], Any]:
    known.add(creator.__name__.removeprefix("task_"))

    def create() -> Any:
        if len(settings_of) > 1:
            return (subtask(creator(settings), settings) for settings in settings_of)
        return subtask(creator(settings_of[0]), settings_of[0])

    return functools.update_wrapper(create, creator)


def subtask(task: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A task of one combination; among several it has its name and depends on that combination's tasks."""
    if not label(settings):
        return task
    needs = [_of(name, settings) for name in task.get("task_dep", ())]
    return {**task, "name": label(settings), "task_dep": needs}


def _of(name: str, settings: Settings) -> str:
    """What a task of one combination depends on, where it names a task of each."""
    if name in EACH:
        return f"{name}:{label(settings)}"
    return f"{name}:{settings.arch}" if name in _EACH_ARCH and settings.matrix else name


def _of_its_architecture(settings: Settings) -> list[Settings]:
    """All combinations that a task is of: one, or those of an architecture."""
    if settings.kernels_asked or not SETTINGS.kernels_asked:
        return [settings]
    return [one for one in ALL if one.arch == settings.arch]


def has_ended(settings: Settings) -> bool:
    """Whether nothing more is to be done for a combination, or for any of an architecture."""
    return all(label(one) in _ENDS.early for one in _of_its_architecture(settings))


def note() -> None:
    """A task of a combination was done, or had nothing to do."""
    _ENDS.seen = True


def break_off() -> None:
    """Everything is left in the middle: of no combination it can be said that it is done."""
    _ENDS.broken_off = True


def end(settings: Settings, task: str, error: SistasksError) -> bool:
    """Take an error for the end of one combination among several, and say it; the others go on.

    Args:
        settings: of the combination; of an architecture alone, all of its kernels end.
        task: that failed.
        error: why.

    Returns:
        Whether it was taken: where there is but one combination, it is told as any error is.
    """
    if not SEVERAL:
        return False
    name = task.partition(":")[0].lstrip("_")
    # what an architecture cannot have is no failure where all were asked for, whatever there is
    cannot = name == "kernel" or (isinstance(error, UsageError) and name != "cluster")
    for one in _of_its_architecture(settings):
        _ENDS.early.setdefault(label(one), _End(name, error, settings.every_arch and cannot))
    sys.stderr.write(f"{': '.join(filter(None, (label(settings), name)))}: {error}\n")
    return True


def conclusion() -> tuple[list[str], int]:
    """A line for each combination, and the exit code that they come to; nothing for a single one."""
    if not SEVERAL or _ENDS.broken_off or not (_ENDS.seen or _ENDS.early):
        return [], 0
    lines = []
    for settings in ALL:
        found = _ENDS.early.get(label(settings))
        if found is None:
            how = "done"
        else:
            how = f"{'passed over' if found.passed_over else 'failed'}: {found.task}: {found.error.problem}"
        lines.append(f"{label(settings)}: {how}")
    ends = _ENDS.early.values()
    # nothing at all was done: then one of the reasons is the reason
    none_left = len(ends) == len(ALL)
    return lines, max((one.error.exit_code for one in ends if none_left or not one.passed_over), default=0)
