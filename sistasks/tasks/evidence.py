"""What was kept as evidence: listed, bundled, tidied."""

from __future__ import annotations

from typing import Any

from sistasks import evidence_steps
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_artifacts() -> dict[str, Any]:
    """Show what is kept as evidence, and what it takes; of one run: run=N."""
    return {"actions": [action(evidence_steps.artifacts)], "io": NO_CAPTURE}


def task_archive() -> dict[str, Any]:
    """Bundle a run and its artifacts in one file: run=N; or verify one: verify=FILE."""
    return {"actions": [action(evidence_steps.archive)], "io": NO_CAPTURE}
