"""A run comes home: what it gave and left is kept as if it had been run here."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sistasks.evidence.records import Evidence
from sistasks.suites.executed import record
from sistasks.suites.kept import keep

if TYPE_CHECKING:
    from sistasks.fleet.records import Returned
    from sistasks.suites.recipe import Recipe
    from sistasks.terminal import Terminal


def take_in(came: Returned, recipe: Recipe, worker: str, scheduler: str, terminal: Terminal) -> int:
    """Write what came into store and history.

    Args:
        came: what the worker gave.
        recipe: what it was made of, as it is here.
        worker: what a person calls the worker.
        scheduler: the address of whom to ask for evidence that stayed there.
        terminal: told of the run.

    Returns:
        The run's number.

    Raises:
        SistasksError: what made the run fail (it is kept), or the history cannot be written.
    """
    import zstandard

    run = came.done.run
    there = run.environment
    recipe = replace(recipe, machine=replace(recipe.machine, accel=there.accel, clock=there.clock))
    terminal.log(came.said)
    with tempfile.TemporaryDirectory(prefix="sistasks-") as name:
        evidence = []
        for number, parcel in enumerate(came.parcels):
            path = Path(name) / str(number)
            path.write_bytes(zstandard.decompress(parcel.data))
            evidence.append(Evidence(node=parcel.node, kind=parcel.kind, path=path, name=parcel.name))
        rows = (*keep(evidence, recipe.settings, Path(name), terminal), *came.staying)
    if came.staying:
        size = sum(row.size for row in came.staying) / 1e6
        terminal.say(
            f"{len(came.staying)} files of {size:.1f} MB stay on that worker until `doit artifacts` asks for them, "
            f"with the run's number and cluster={scheduler}"
        )
    run = replace(
        run,
        kernel=replace(run.kernel, path=str(recipe.kernel.image)),
        remarks=(*run.remarks, ("worker", worker)),
    )
    return record(replace(came.done, run=run).with_artifacts(rows), recipe, terminal)
