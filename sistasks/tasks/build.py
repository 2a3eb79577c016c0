"""Build steps: setup, firmware, kernel, guest, template."""

from __future__ import annotations

from typing import Any

from sistasks import steps
from sistasks.suites import recipe
from sistasks.tasks.actions import action, fresh
from sistasks.tasks.configuration import SETTINGS

NO_CAPTURE = {"capture": False}


def task_setup() -> dict[str, Any]:
    """Find or install what is missing, and probe the accelerator by booting."""
    return {
        "actions": [action(steps.set_up)],
        "uptodate": [fresh(steps.is_set_up)],
        "targets": [str(recipe.setup_record(SETTINGS))],
        "io": NO_CAPTURE,
    }


def task_firmware() -> dict[str, Any]:
    """Find, fetch and verify the UEFI firmware."""
    return {
        "actions": [action(steps.find_firmware)],
        "uptodate": [fresh(steps.has_firmware)],
        "task_dep": ["setup"],
        "io": NO_CAPTURE,
    }


def task_kernel() -> dict[str, Any]:
    """Get the kernel under test and identify it."""
    return {
        "actions": [action(steps.provide_kernel)],
        "uptodate": [fresh(steps.has_kernel)],
        "targets": [str(recipe.kernel_record(SETTINGS))],
        "task_dep": ["setup"],
        "io": NO_CAPTURE,
    }


def task_guest() -> dict[str, Any]:
    """Compile the agent and pack the initramfs."""
    return {
        "actions": [action(steps.build_guest)],
        "uptodate": [fresh(steps.has_guest)],
        "targets": [str(recipe.guest_record(SETTINGS))],
        "task_dep": ["setup", "kernel"],
        "io": NO_CAPTURE,
    }


def task_template() -> dict[str, Any]:
    """Boot a node once and freeze it, for nodes to be cloned from."""
    return {
        "actions": [action(steps.make_template)],
        "uptodate": [fresh(steps.has_template)],
        "task_dep": ["setup", "kernel", "guest", *(["firmware"] if steps.needs_firmware(SETTINGS) else [])],
        "io": NO_CAPTURE,
    }
