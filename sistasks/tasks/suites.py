"""Suites, and all of them with their summary."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Final

from doit.exceptions import InvalidDodoFile

from sistasks import steps, stressor_steps, suite_steps
from sistasks.errors import SistasksError
from sistasks.tasks import matrix
from sistasks.tasks.actions import action, fresh
from sistasks.tasks.build import NO_CAPTURE
from sistasks.tasks.configuration import SETTINGS
from sistasks.tasks.matrix import for_each_of_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sistasks.settings import Settings


def _plan(settings: Settings, name: str = "") -> suite_steps.Plan:
    try:
        return suite_steps.plan(settings, name)
    except SistasksError as error:  # before anything happens; doit exits 3 on this exception
        raise InvalidDodoFile(str(error)) from error


# those that have a task of their own here
_SUITES: Final = (
    "boot",
    "performance",
    "distributed",
    "stress",
    "security",
    "penetration",
    "programs",
    "ktap",
)
# what a suite needs beside kernel and guest
_NEEDS: Final = {
    "distributed": "_cluster",
    "stress": "_stressors",
    "security": "_advisories",
    "penetration": "_attackers",
}


def _needs(settings: Settings, name: str) -> list[str]:
    return [
        *(["_fleet"] if settings.cluster else []),
        *([_NEEDS[name]] if name in _NEEDS else []),
        "setup",
        "kernel",
        "guest",
        *(["firmware"] if name == "boot" or steps.needs_firmware(settings) else []),
        *(["_programs"] if _plan(settings, name).programs else []),
    ]


def _suite(settings: Settings, name: str) -> dict[str, Any]:
    """A suite; on a fleet it waits for what was begun, of all combinations before the first is waited for.

    It freezes its template itself, where there is none: so a kernel that does not get up is a run of its own.
    """
    step = update_wrapper(partial(suite_steps.run, name), suite_steps.run)
    step.__name__ = name
    return {
        "actions": [action(step, settings)],
        "uptodate": [fresh(partial(suite_steps.is_up_to_date, name), settings)],
        "task_dep": [_begun(name)] if settings.cluster else _needs(settings, name),
        "io": NO_CAPTURE,
    }


def _begun(name: str) -> str:
    return f"__{name}"


def task__begin() -> Iterator[dict[str, Any]]:
    """Have the workers of cluster= begin with suites."""
    if not SETTINGS.cluster:
        return
    for name in (*_SUITES, *_plan(SETTINGS).registered):
        if matrix.SEVERAL:
            yield {"basename": _begun(name), "name": None}
        for settings in matrix.ALL:
            step = update_wrapper(partial(suite_steps.begin, name), suite_steps.begin)
            task = {
                "actions": [action(step, settings)],
                "uptodate": [fresh(partial(suite_steps.is_up_to_date, name), settings)],
                "task_dep": _needs(settings, name),
                "io": NO_CAPTURE,
            }
            yield {**matrix.subtask(task, settings), "basename": _begun(name)}


@for_each_of_matrix
def task_boot(settings: Settings) -> dict[str, Any]:
    """Measure the stages of a cold boot, directly and through UEFI."""
    return _suite(settings, "boot")


@for_each_of_matrix
def task_performance(settings: Settings) -> dict[str, Any]:
    """Measure context switch, memory allocation, inference and throughput on every node."""
    return _suite(settings, "performance")


@for_each_of_matrix
def task_distributed(settings: Settings) -> dict[str, Any]:
    """Let the nodes agree over a network that is broken: consensus, partitions, elections."""
    return _suite(settings, "distributed")


@for_each_of_matrix
def task_stress(settings: Settings) -> dict[str, Any]:
    """Load every part of the kernel, and see that it goes on, errs in nothing and recovers."""
    return _suite(settings, "stress")


@for_each_of_matrix
def task_security(settings: Settings) -> dict[str, Any]:
    """See how the kernel is protected: configuration, image, hardening by trying, fuzzing; penetration, too."""
    task = _suite(settings, "security")
    if suite_steps.has_attackers(settings):
        task["task_dep"] = [*task["task_dep"], "penetration"]
    return task


@for_each_of_matrix
def task_penetration(settings: Settings) -> dict[str, Any]:
    """Let one node send the others what no network should, and see that they stay alive."""
    return _suite(settings, "penetration")


@for_each_of_matrix
def task_programs(settings: Settings) -> dict[str, Any]:
    """Run the programs of [tool.sistasks.programs] in the guest, and keep what they measure."""
    return _suite(settings, "programs")


@for_each_of_matrix
def task_ktap(settings: Settings) -> dict[str, Any]:
    """Boot a kernel without our guest and read the tests that are built into it: KUnit, or another's KTAP."""
    return _suite(settings, "ktap")


@for_each_of_matrix
def task__programs(settings: Settings) -> dict[str, Any]:
    """Pack the programs behind the guest."""
    return {
        "actions": [action(steps.pack_programs, settings)],
        "uptodate": [fresh(steps.has_programs, settings)],
        "task_dep": ["guest"],
        "io": NO_CAPTURE,
    }


@for_each_of_matrix
def task__stressors(settings: Settings) -> dict[str, Any]:
    """Pack stress-ng behind the guest."""
    return {
        "actions": [action(stressor_steps.pack_stressors, settings)],
        "uptodate": [fresh(stressor_steps.has_stressors, settings)],
        "task_dep": ["guest"],
        "io": NO_CAPTURE,
    }


def task__suites() -> Iterator[dict[str, Any]]:
    """Suites of dodo.py and of installed packages."""
    for name, title in _plan(SETTINGS).registered.items():
        if matrix.SEVERAL:
            yield {"basename": name, "name": None, "doc": title}
        matrix.EACH.add(name)
        for settings in matrix.ALL:
            task = matrix.subtask(_suite(settings, name), settings)
            yield {**task, "basename": name, "doc": title}


@for_each_of_matrix
def task__cluster(settings: Settings) -> dict[str, Any]:
    """Refuse what no cluster can be."""
    return {"actions": [action(suite_steps.check_cluster, settings)], "io": NO_CAPTURE}


@for_each_of_matrix
def task__fleet(settings: Settings) -> dict[str, Any]:
    """Refuse a scheduler that does not answer."""
    return {"actions": [action(suite_steps.check_fleet, settings)], "io": NO_CAPTURE}


@for_each_of_matrix
def task__advisories(settings: Settings) -> dict[str, Any]:
    """Refuse a file of advisories that cannot be understood."""
    return {"actions": [action(suite_steps.check_advisories, settings)], "io": NO_CAPTURE}


@for_each_of_matrix
def task__attackers(settings: Settings) -> dict[str, Any]:
    """Refuse what cannot attack itself."""
    return {"actions": [action(suite_steps.check_attackers, settings)], "io": NO_CAPTURE}


@for_each_of_matrix
def task_test(settings: Settings) -> dict[str, Any]:
    """Run all suites, then show the summary."""
    suites = ["boot", *_plan(settings).tested]
    begun = [_begun(name) for name in suites] if settings.cluster else []
    return {
        "actions": [action(suite_steps.summary, settings)],
        "task_dep": [*begun, *suites],
        "io": NO_CAPTURE,
    }
