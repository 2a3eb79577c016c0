"""Upkeep: what a killed session left, and evidence that has had its time."""

from __future__ import annotations

from typing import Any

from sistasks import evidence_steps, upkeep
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_cleanup() -> dict[str, Any]:
    """End nodes that a killed session left, remove its scratch and artifacts beyond their limits."""
    return {"actions": [action(upkeep.cleanup), action(evidence_steps.retain)], "io": NO_CAPTURE}
