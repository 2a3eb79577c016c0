"""A crash that fuzzing has found, once more."""

from __future__ import annotations

from typing import Any

from sistasks import reproduce_steps
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_reproduce() -> dict[str, Any]:
    """Play a crash of fuzzing again on a fresh clone: crash=N."""
    return {
        "actions": [action(reproduce_steps.reproduce)],
        "task_dep": ["_crash", "setup", "kernel", "guest"],
        "io": NO_CAPTURE,
    }


def task__crash() -> dict[str, Any]:
    """Refuse what cannot be played again."""
    return {"actions": [action(reproduce_steps.check)], "io": NO_CAPTURE}
