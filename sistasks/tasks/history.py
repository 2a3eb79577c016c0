"""What the history says: gate, comparison, acceptance, self-check."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any

from sistasks import (
    bisect_steps,
    compare_steps,
    fleet_check_steps,
    gate_steps,
    merge_steps,
    selfcheck_steps,
    steps,
)
from sistasks.tasks.actions import action
from sistasks.tasks.build import NO_CAPTURE
from sistasks.tasks.configuration import COMMAND_LINE
from sistasks.tasks.matrix import for_each_of_matrix

if TYPE_CHECKING:
    from sistasks.settings import Settings


def task_gate() -> dict[str, Any]:
    """Judge the latest run of each suite; fail on a confirmed regression or a worse finding."""
    return {"actions": [action(gate_steps.gate)], "io": NO_CAPTURE}


def task_accept() -> dict[str, Any]:
    """Take a run as the new normal: run=N note='why'."""
    return {"actions": [action(gate_steps.accept)], "io": NO_CAPTURE}


def task_compare() -> dict[str, Any]:
    """Show two kernels, runs or sessions side by side: base=X head=Y."""
    return {"actions": [action(compare_steps.compare)], "io": NO_CAPTURE}


def task_merge() -> dict[str, Any]:
    """Bring the runs of another history into this one, each once: from=other.db."""
    return {"actions": [action(merge_steps.merge)], "io": NO_CAPTURE}


def task_bisect() -> dict[str, Any]:
    """Find the commit of a tree since which a metric is worse, or a crash comes: good=X bad=Y metric=M or crash=N."""
    step = update_wrapper(partial(bisect_steps.bisect, command_line=COMMAND_LINE), bisect_steps.bisect)
    return {"actions": [action(step)], "io": NO_CAPTURE}


@for_each_of_matrix
def task_selfcheck(settings: Settings) -> dict[str, Any]:
    """Measure the kernel against itself: false alarms and noise; with cluster=, whether all workers give the same."""
    if settings.cluster:  # each worker freezes a template of its own
        needs = ["_fleet", "setup", "kernel", "guest"]
        needs += ["firmware"] if steps.needs_firmware(settings) else []
    else:
        needs = ["setup", "kernel", "guest", "template"]
    step = fleet_check_steps.selfcheck if settings.cluster else selfcheck_steps.selfcheck
    return {"actions": [action(step, settings)], "task_dep": needs, "io": NO_CAPTURE}
