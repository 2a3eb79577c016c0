"""A process of a worker that runs suites, one at a time: `python -m sistasks.fleet.hand`.

It is a session of its own, as `doit` is one, so that runs of one worker do not get into each other's way, and one that
hangs can be ended. It lives as long as the pipe that it gets its work from.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sistasks.fleet import cache, frames
from sistasks.fleet.records import Parcel, Returned, Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sistasks.fleet.job import Job
    from sistasks.fleet.pairs import PairJob
    from sistasks.settings import Settings
    from sistasks.suites.executed import Executed
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.trial import Pair

# what is larger stays where it is until somebody asks for it
INLINE: Final = 4 << 20
# bytes that must be free to begin: logs, plans, what is being written
ROOM: Final = 16 << 20


def survey(folder: Path, job: Job) -> Survey:
    """Set this machine up for a job, and tell what it is.

    Raises:
        SistasksError: something is missing here; nothing is installed for it.
    """
    from sistasks.history.records import identity
    from sistasks.kinds import host_memory
    from sistasks.suites.recipe import recipes
    from sistasks.suites.shipped import Shipped

    settings = _prepared(job, folder)
    if isinstance(job.suite.act, Shipped):
        job.suite.act.load()
    made = recipes(job.suite, settings)
    found = made[0].found
    return Survey(
        accelerator=found.accelerator.name, qemu_version=found.qemu_version, host_cpu=found.host_cpu,
        host_cores=found.host_cores, memory=host_memory(), clock=made[0].machine.clock,
        inputs=tuple(recipe.inputs_sha256(job.suite) for recipe in made),
        enforces=tuple(recipe.enforces_targets for recipe in made),
        environments=tuple(identity(recipe.environment(job.suite)) for recipe in made),
    )  # fmt: skip


def _prepared(job: Job, folder: Path) -> Settings:
    """The job's settings on this machine, which is set up for them."""
    from sistasks import build_records, setup, tools
    from sistasks.errors import ToolMissing
    from sistasks.fleet.job import unpack
    from sistasks.machine.arch import ARCHES
    from sistasks.suites import registry

    registry.know(job.metrics)
    settings = unpack(job, cache.files(), folder, os.environ.get("SIS_QEMU_PATH") or "auto")
    record = build_records.setup_record(settings)
    try:
        fresh = setup.current(setup.load(record), settings)
    except ToolMissing:
        fresh = False
    if not fresh:
        for part in tools.missing(ARCHES[settings.arch], settings):
            raise part.error
        setup.setup(settings, record, lambda _: None)
    return settings


def run(folder: Path, job: Job, index: int) -> Returned:
    """Run one of a job's recipes.

    Raises:
        SistasksError: nothing could be started.
    """
    import io

    from sistasks.fleet.shared import templates
    from sistasks.layout import Layout
    from sistasks.scratch import scratch_folder
    from sistasks.session import SESSION_ID
    from sistasks.suites.run import execute, verified
    from sistasks.terminal import Terminal

    settings = _prepared(job, folder)
    recipe = verified(job.suite, settings)[index]
    said = io.StringIO()
    layout = Layout(settings.output)
    with (
        Terminal(settings, layout, said) as terminal,
        scratch_folder(layout.scratch / SESSION_ID) as scratch,
    ):
        with templates(recipe) if recipe.clones(job.suite) else contextlib.nullcontext():
            done = execute(job.suite, recipe, terminal, scratch)
        if done.run.status == "error":
            _refuse_full_disk()  # which would be this machine's error, not the run's
        return _returned(done, recipe, said.getvalue())


def _refuse_full_disk() -> None:
    """Do nothing on a disk that would end it in the middle.

    Raises:
        FleetError: there is no room.
    """
    import shutil

    from sistasks.errors import FleetError

    free = shutil.disk_usage(cache.root()).free
    if free < ROOM:
        raise FleetError(
            f"{cache.root()} has {free >> 20} MB free", f"make room there, or set {cache.VARIABLE}"
        )


def pair(folder: Path, job: PairJob, index: int, number: int) -> Pair:
    """Measure one pair of fresh boots of a job's two kernels.

    Args:
        folder: this process's own.
        job: the candidate's, and what it is measured against.
        index: which of its recipes.
        number: the pair's, from 0.

    Raises:
        SistasksError: a boot failed.
    """
    import io

    from sistasks.layout import Layout
    from sistasks.scratch import scratch_folder
    from sistasks.session import SESSION_ID
    from sistasks.suites.confirm import machine_of, measure_pair
    from sistasks.suites.recipe import recipes
    from sistasks.terminal import Terminal

    settings = _prepared(job, folder)
    recipe = recipes(job.suite, settings)[index]
    recipe.verify()
    before = machine_of(recipe, job.baseline, cache.files())
    layout = Layout(settings.output)
    with (
        Terminal(settings, layout, io.StringIO()) as terminal,
        scratch_folder(layout.scratch / SESSION_ID),
        terminal.nodes(2) as lines,
    ):
        return measure_pair(recipe, job.suite, before, number, terminal=terminal, lines=lines)


def _returned(done: Executed, recipe: Recipe, said: str) -> Returned:
    import zstandard

    from sistasks.errors import ArtifactError
    from sistasks.evidence.artifacts import Store

    parcels, staying = [], []
    made = {recipe.machine.kernel, recipe.machine.initramfs}
    for item in done.evidence:
        # a log may go on growing, and vanish; a kernel is at home already
        with contextlib.suppress(OSError, ArtifactError):
            if item.path.stat().st_size <= INLINE and item.path not in made:
                data = zstandard.compress(item.path.read_bytes())
                parcels.append(Parcel(node=item.node, kind=item.kind, name=item.name, data=data))
            elif item.path not in made:
                staying.append(Store(cache.artifacts()).put(item))
    failure = done.failure
    if failure is not None:
        failure.crashes, failure.evidence = (), ()
        if failure.remedy.startswith("see "):  # a file of this machine
            failure.remedy = "`doit artifacts` with the run's number lists its logs"
    return Returned(
        done=replace(done, evidence=()), parcels=tuple(parcels), staying=tuple(staying), said=said
    )


_DOES: Final[Mapping[str, Callable[..., object]]] = {"survey": survey, "run": run, "pair": pair}


def _answer(request: tuple[str, tuple[Any, ...]], folder: Path) -> object:
    """What a request comes to; a failure that a person may see is an answer, too."""
    from sistasks.errors import SistasksError, ToolMissing
    from sistasks.refusals import refusal

    name, arguments = request
    try:
        _refuse_full_disk()
        return _DOES[name](folder, *arguments)
    except SistasksError as failure:
        failure.crashes, failure.evidence = (), ()
        return failure
    except ImportError as error:  # of what a suite's function imports when it is called
        return ToolMissing(f"a module is missing there: {error}", "install it")
    except OSError as error:
        refused = refusal(error, folder)
        if refused is None:
            raise
        refused.remedy = f"make room there, allow it, or set {cache.VARIABLE}"
        return refused


def main() -> None:
    """Answer requests until there are none."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever is printed must not get among the answers
    requests: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                requests.put(frames.receive(0))
            except (EOFError, OSError):
                # the worker has gone: so do we, and nodes with us
                os._exit(0)

    try:
        folder, _ = cache.own_folder()
    except OSError as error:
        frames.receive(0)
        frames.send(answers, cache.refused(error))
        return
    threading.Thread(target=listen, daemon=True).start()
    while True:
        answer = _answer(requests.get(), folder / "output")
        frames.send(answers, answer)


if __name__ == "__main__":
    main()
