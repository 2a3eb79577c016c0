"""Suites, and all of them with their summary."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any

from doit.exceptions import InvalidDodoFile

from sistasks import steps, suite_steps
from sistasks.errors import SistasksError
from sistasks.tasks.actions import action, fresh
from sistasks.tasks.build import NO_CAPTURE
from sistasks.tasks.configuration import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator


def _plan(name: str = "") -> suite_steps.Plan:
    try:
        return suite_steps.plan(SETTINGS, name)
    except SistasksError as error:  # before anything happens; doit exits 3 on this exception
        raise InvalidDodoFile(str(error)) from error


def _suite(name: str, *needs: str) -> dict[str, Any]:
    step = update_wrapper(partial(suite_steps.run, name), suite_steps.run)
    step.__name__ = name
    return {
        "actions": [action(step)],
        "uptodate": [fresh(partial(suite_steps.is_up_to_date, name))],
        "task_dep": ["setup", "kernel", "guest", *needs, *(["_programs"] if _plan(name).programs else [])],
        "io": NO_CAPTURE,
    }


def task_boot() -> dict[str, Any]:
    """Measure the stages of a cold boot, directly and through UEFI."""
    return _suite("boot", "firmware")


def task_performance() -> dict[str, Any]:
    """Measure context switch, memory allocation, inference and throughput on every node."""
    firmware = ["firmware"] if steps.needs_firmware(SETTINGS) else []
    return _suite("performance", *firmware, *(["template"] if SETTINGS.clone else []))


def task_distributed() -> dict[str, Any]:
    """Let the nodes agree over a network that is broken: consensus, partitions, elections."""
    firmware = ["firmware"] if steps.needs_firmware(SETTINGS) else []
    task = _suite("distributed", *firmware)
    task["task_dep"] = ["_cluster", *task["task_dep"]]
    return task


def task_programs() -> dict[str, Any]:
    """Run the programs of [tool.sistasks.programs] in the guest, and keep what they measure."""
    return _suite("programs", *(["firmware"] if steps.needs_firmware(SETTINGS) else []))


def task__programs() -> dict[str, Any]:
    """Pack the programs behind the guest."""
    return {
        "actions": [action(steps.pack_programs)],
        "uptodate": [fresh(steps.has_programs)],
        "task_dep": ["guest"],
        "io": NO_CAPTURE,
    }


def task__suites() -> Iterator[dict[str, Any]]:
    """Suites of dodo.py and of installed packages."""
    for name, title in _plan().registered.items():
        firmware = ["firmware"] if steps.needs_firmware(SETTINGS) else []
        yield {**_suite(name, *firmware), "basename": name, "doc": title}


def task__cluster() -> dict[str, Any]:
    """Refuse what no cluster can be."""
    return {"actions": [action(suite_steps.check_cluster)], "io": NO_CAPTURE}


def task_ktap() -> dict[str, Any]:
    """Boot a kernel without our guest and read the tests that are built into it: KUnit, or another's KTAP."""
    return _suite("ktap", *(["firmware"] if steps.needs_firmware(SETTINGS) else []))


def task_test() -> dict[str, Any]:
    """Run all suites, then show the summary."""
    return {
        "actions": [action(suite_steps.summary)],
        "task_dep": [
            *("boot", "performance"),
            *(["distributed"] if suite_steps.has_cluster(SETTINGS) else []),
            *(["programs"] if _plan("programs").programs else []),
            *_plan().registered,
        ],
        "io": NO_CAPTURE,
    }
