"""What the history says: gate, comparison, acceptance, self-check."""

from __future__ import annotations

from typing import Any

from sistasks import compare_steps, gate_steps, selfcheck_steps
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE


def task_gate() -> dict[str, Any]:
    """Judge the latest run of each suite; fail on a confirmed regression."""
    return {"actions": [action(gate_steps.gate)], "io": NO_CAPTURE}


def task_accept() -> dict[str, Any]:
    """Take a run as the new normal: run=N note='why'."""
    return {"actions": [action(gate_steps.accept)], "io": NO_CAPTURE}


def task_compare() -> dict[str, Any]:
    """Show two kernels, runs or sessions side by side: base=X head=Y."""
    return {"actions": [action(compare_steps.compare)], "io": NO_CAPTURE}


def task_selfcheck() -> dict[str, Any]:
    """Measure the kernel against itself through the real gate: false alarms and noise."""
    return {
        "actions": [action(selfcheck_steps.selfcheck)],
        "task_dep": ["setup", "kernel", "guest", "template"],
        "io": NO_CAPTURE,
    }
