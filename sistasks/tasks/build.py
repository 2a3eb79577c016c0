"""Build steps: setup, firmware, kernel, guest, template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sistasks import build_records, steps
from sistasks.tasks.actions import action, fresh
from sistasks.tasks.configuration import SETTINGS
from sistasks.tasks.matrix import for_each_architecture, for_each_of_matrix

if TYPE_CHECKING:
    from sistasks.settings import Settings

NO_CAPTURE = {"capture": False}


def task__kernels() -> dict[str, Any]:
    """Refuse kernels that are not there, where several were asked for."""
    return {"actions": [action(steps.check_kernels)], "io": NO_CAPTURE}


@for_each_architecture
def task_setup(settings: Settings) -> dict[str, Any]:
    """Find or install what is missing, and probe the accelerator by booting."""
    return {
        "actions": [action(steps.set_up, settings)],
        "uptodate": [fresh(steps.is_set_up, settings)],
        "targets": [str(build_records.setup_record(settings))],
        "task_dep": ["_kernels"] if SETTINGS.kernels_asked else [],
        "io": NO_CAPTURE,
    }


@for_each_architecture
def task_firmware(settings: Settings) -> dict[str, Any]:
    """Find, fetch and verify the UEFI firmware."""
    return {
        "actions": [action(steps.find_firmware, settings)],
        "uptodate": [fresh(steps.has_firmware, settings)],
        "task_dep": ["setup"],
        "io": NO_CAPTURE,
    }


@for_each_of_matrix
def task_kernel(settings: Settings) -> dict[str, Any]:
    """Get the kernel under test and identify it."""
    return {
        "actions": [action(steps.provide_kernel, settings)],
        "uptodate": [fresh(steps.has_kernel, settings)],
        "targets": [str(build_records.kernel_record(settings))],
        "task_dep": ["setup"],
        "io": NO_CAPTURE,
    }


@for_each_of_matrix
def task_guest(settings: Settings) -> dict[str, Any]:
    """Compile the agent and pack the initramfs."""
    return {
        "actions": [action(steps.build_guest, settings)],
        "uptodate": [fresh(steps.has_guest, settings)],
        "targets": [str(build_records.guest_record(settings))],
        "task_dep": ["setup", "kernel"],
        "io": NO_CAPTURE,
    }


@for_each_of_matrix
def task_template(settings: Settings) -> dict[str, Any]:
    """Boot a node once and freeze it, for nodes to be cloned from."""
    return {
        "actions": [action(steps.make_template, settings)],
        "uptodate": [fresh(steps.has_template, settings)],
        "task_dep": ["setup", "kernel", "guest", *(["firmware"] if steps.needs_firmware(settings) else [])],
        "io": NO_CAPTURE,
    }
