"""Upkeep: what a killed session left."""

from __future__ import annotations

from typing import Any

from sistasks import upkeep
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_cleanup() -> dict[str, Any]:
    """End nodes that a killed session left, and remove its scratch."""
    return {"actions": [action(upkeep.cleanup)], "io": NO_CAPTURE}
