"""What makes two runs comparable, two templates the same, and a run the same as another: digests of what counts."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sistasks.settings import Settings
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite

# what a template and a run depend on besides their inputs: raised when the machine's make-up changes
_MACHINE_VERSION: Final = 4


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def environment(recipe: Recipe, suite: Suite) -> dict[str, Any]:
    """What must be equal for two runs to be comparable, as the columns of `environments` without the id.

    Under the virtual clock the host is no part of it: the numbers agree across hosts. Under the wall clock the
    host is, and so is how many nodes shared it.
    """
    at_once = min(recipe.slots, recipe.node_count(suite)) if recipe.machine.clock == "wall" else None
    if suite.network:
        at_once = recipe.node_count(suite)
    asked = recipe.asked(suite.variables) if recipe.guest is not None else None
    return _environment(
        recipe, cloned=recipe.clones(suite), at_once=at_once, cluster=asked, trace=recipe.trace(suite)
    )


def _environment(
    recipe: Recipe,
    *,
    cloned: bool,
    at_once: int | None,
    cluster: dict[str, Any] | None = None,
    trace: str = "no",
) -> dict[str, Any]:
    machine = recipe.machine
    wall = machine.clock == "wall"
    detail: dict[str, Any] = {
        "command_line": machine.base_command_line() if machine.kernel else "",
        "cloned": cloned,
        "results_line": machine.results_line,
        "machine_version": _MACHINE_VERSION,
    }
    if at_once is not None:
        detail["nodes_at_once"] = at_once
    if machine.network:
        detail["network"] = "virtio-net"
    if cluster:
        detail["cluster"] = cluster
    if trace != "no":
        detail["trace"] = trace
    if recipe.kernel.talks:
        detail["console"] = recipe.kernel.profile.to_table()
    return {
        "arch": machine.arch.name,
        "accel": machine.accel,
        "clock": machine.clock,
        "boot": machine.boot,
        "qemu_version": recipe.found.qemu_version,
        "machine": machine.arch.machine,
        "cpu_model": machine.cpu,
        "cpus": machine.cpus,
        "memory_bytes": machine.memory,
        "firmware_sha256": recipe.firmware.sha256 if recipe.firmware else "",
        "guest_sha256": recipe.guest_sha256,
        "host_cpu": recipe.found.host_cpu if wall else "",
        "host_cores": recipe.found.host_cores if wall else 0,
        "detail": json.dumps(detail, sort_keys=True),
    }


def template_key(recipe: Recipe) -> str:
    """The identity of the template: everything that its frozen memory depends on."""
    return digest(
        {
            **_environment(recipe, cloned=True, at_once=None),
            "kernel": recipe.kernel_id,
            "guest": recipe.guest.sha256 if recipe.guest else "",
            "qemu": str(recipe.machine.qemu),
        }
    )


def inputs_sha256(recipe: Recipe, suite: Suite) -> str:
    """What makes one run of a suite the same as another."""
    own: dict[str, Any] = {"iterations": suite.iterations}
    if suite.iterations is None:
        own = {
            "iterations": recipe.settings.iterations,
            "nodes": recipe.settings.nodes,
            "seed": recipe.settings.seed,
        }
    return digest(
        {
            "suite": suite.digest(),
            "kernel": recipe.kernel_id,
            "guest": recipe.guest.sha256 if recipe.guest else recipe.guest_sha256,
            "environment": environment(recipe, suite),
            **own,
            **({"asked": recipe.asked(suite.asked)} if suite.asked else {}),
            **_targets(suite, recipe.settings),
        }
    )


def _targets(suite: Suite, settings: Settings) -> dict[str, Any]:
    """What the user says of the suite's metrics: with another target a run is judged anew."""
    names = {name for needed in suite.tests.values() for name in needed} | {*suite.measures}
    own = {
        name: (metric.unit, metric.better, metric.target, metric.target_statistic)
        for name, metric in settings.metrics.items()
        if name in names
    }
    return {"metrics": own} if own else {}
