"""A crash of fuzzing played again: the same kernel and guest, frozen and cloned, and the episode in which it came."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from sistasks.cluster.nodes import Cluster, NodeReport
from sistasks.errors import ArtifactError, KernelFailure, SistasksError, UsageError
from sistasks.evidence import kernels
from sistasks.evidence.artifacts import Store
from sistasks.guest.plan import Fuzz
from sistasks.history.artifacts import artifacts_of
from sistasks.history.records import EnvironmentRow, identity
from sistasks.layout import Layout
from sistasks.scratch import scratch_folder
from sistasks.session import SESSION_ID, session_logs
from sistasks.suites.acted import plans
from sistasks.suites.kept import crash_rows
from sistasks.suites.run import ensure_template
from sistasks.suites.security.fuzzing import TEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sistasks.guest.plan import Plan
    from sistasks.history.crashes import StoredCrash
    from sistasks.history.records import CrashRow
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.security.fuzzing import Reproducer
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal

# what is kept of a kernel that fails: its image, then its guest (suites/kept.py)
_KEPT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What playing a crash again came to.

    Attributes:
        came: the same crash came.
        alone: already in its episode alone, without those before it.
        others: titles of crashes that came instead.
        logs: the folder of the consoles.
    """

    came: bool
    alone: bool
    others: tuple[str, ...]
    logs: Path


def as_it_was(crash: StoredCrash, suite: Suite, recipe: Recipe, folder: Path) -> Recipe:
    """A recipe for the kernel and the guest of a crash, which may not be those that are built now.

    Args:
        crash: it.
        suite: of its run.
        recipe: of the suite, as the settings have it now.
        folder: gets the files that were kept.

    Raises:
        UsageError: the settings make another environment than that of the run.
        ArtifactError: what was kept of the kernel is gone.
    """
    if recipe.guest is None:
        raise UsageError(
            f"kernel={recipe.settings.kernel} talks on its console, and the crash's did not",
            f"give the variables of run {crash.run_id}",
        )
    now = {**recipe.environment(suite), "guest_sha256": crash.environment.guest_sha256}
    if identity(now) != crash.environment.id:
        raise UsageError(
            f"the settings are not those of run {crash.run_id}: {_difference(now, crash.environment)}",
            "give the variables that it had",
        )
    arguments = _arguments(crash.command_line, recipe)
    settings = replace(recipe.settings, arguments=" ".join(arguments))
    kernel = replace(recipe.kernel, command_line="")
    made = replace(
        recipe, settings=settings, kernel=kernel, machine=replace(recipe.machine, arguments=arguments)
    )
    if made.kernel_id == crash.kernel_id and made.guest_sha256 == crash.environment.guest_sha256:
        made.verify()
        return made
    image, initramfs = _kept(crash, recipe, folder)
    kernel = replace(kernel, image=image.path, sha256=image.sha256, name=crash.kernel_name.partition(" ")[0])
    made = replace(
        made,
        kernel=kernel,
        guest=replace(
            recipe.guest, initramfs=initramfs.path, sha256=initramfs.sha256,
            bare_sha256=crash.environment.guest_sha256,
        ),
        machine=replace(made.machine, kernel=image.path, initramfs=initramfs.path),
    )  # fmt: skip
    if made.kernel_id != crash.kernel_id:
        raise ArtifactError(
            f"what was kept of run {crash.run_id} is not the kernel that crashed", "build that kernel again"
        )
    return made


def _arguments(command_line: str, recipe: Recipe) -> tuple[str, ...]:
    """A kernel's own arguments in a whole command line, which may be that of its first run, on the other clock."""
    for clock in ("virtual", "wall"):  # what the first adds stands at the end
        base = replace(recipe.machine, clock=clock).base_command_line()
        if command_line == base or command_line.startswith(f"{base} "):
            return tuple(command_line.removeprefix(base).split())
    return tuple(command_line.split())


def _difference(now: dict[str, object], then: EnvironmentRow) -> str:
    """Which columns of an environment differ, the first of them in full."""
    differing = [
        field.name
        for field in fields(then)
        if field.name != "id" and now[field.name] != getattr(then, field.name)
    ]
    if not differing:
        return "its environment"
    first = differing[0]
    if first == "detail":
        return "how its nodes are started"
    more = f" (and {', '.join(differing[1:])})" if differing[1:] else ""
    return f"{first} was {getattr(then, first)!r} and is {now[first]!r}{more}"


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    sha256: str


def _kept(crash: StoredCrash, recipe: Recipe, folder: Path) -> tuple[_File, _File]:
    """Image and guest of the run, from the store, or from what is kept for baselines.

    Raises:
        ArtifactError: they are gone, or were never kept.
    """
    layout = Layout(recipe.settings.output)
    store = Store(layout.artifacts)
    rows = [
        stored.row
        for stored in artifacts_of(recipe.settings.db, crash.run_id)
        if stored.row.kind == "kernels"
    ]
    if len(rows) == _KEPT:
        files = []
        for name, row in zip(("kernel", "initramfs"), rows, strict=True):
            path = folder / name
            with store.open(row) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
            files.append(_File(path, row.sha256))
        return files[0], files[1]
    place = layout.kept_kernels(recipe.settings.db)
    known = kernels.find(place, crash.kernel_id, crash.environment.guest_sha256)
    if known is None:
        raise ArtifactError(
            f"the kernel and the guest of run {crash.run_id} are no longer at hand",
            f"build {crash.kernel_name} as it was, with the sistasks of that run",
        )
    return _File(place / known.image, known.image), _File(place / known.initramfs, known.initramfs)


def play(
    crash: StoredCrash, suite: Suite, recipe: Recipe, reproducer: Reproducer, terminal: Terminal
) -> Replay:
    """Play a crash again on fresh clones: its episode alone, then with all that its node had done before.

    Args:
        crash: it.
        suite: of its run.
        recipe: of the suite, as the settings have it now.
        reproducer: the crash's.
        terminal: told what happens.

    Raises:
        UsageError: the settings are not those of the run.
        ArtifactError: its kernel is gone.
        NodeError: a node failed for reasons of ours or of the host.
    """
    layout = Layout(recipe.settings.output)
    logs = session_logs(layout) / "reproduce"
    others: dict[str, None] = {}
    with scratch_folder(layout.scratch / SESSION_ID) as scratch:
        made = as_it_was(crash, suite, recipe, scratch)
        template = ensure_template(made, terminal) if made.clones(suite) else None
        for alone, plan in _plans(crash, suite, made, reproducer):
            terminal.say(_words(alone, reproducer))
            cluster = Cluster(
                machine=made.machine, template=template, logs=logs / ("alone" if alone else "whole"),
                scratch=scratch / "nodes", session=SESSION_ID, slots=1, timeout=made.timeout, tries=1,
            )  # fmt: skip
            with terminal.nodes(1) as lines:
                (report,) = asyncio.run(cluster.run([plan], lines))
            found = _crashes(report)
            if any(row.title == crash.row.title for row in found):
                return Replay(came=True, alone=alone, others=(), logs=cluster.logs)
            others |= dict.fromkeys(row.title for row in found)
    return Replay(came=False, alone=False, others=tuple(others), logs=logs)


def _plans(
    crash: StoredCrash, suite: Suite, recipe: Recipe, reproducer: Reproducer
) -> Iterator[tuple[bool, Plan]]:
    """(alone, plan): of the episode alone, then of the node as it was until it fell."""
    usual, *_ = plans(suite, recipe)
    mine = replace(usual, node=crash.row.node, seed=reproducer.seed, tests=(TEST,))
    calls, episode, first = reproducer.calls, reproducer.episode, reproducer.first
    yield True, replace(mine, fuzz=Fuzz(first=episode, episodes=1, calls=calls))
    before = usual.tests[: usual.tests.index(TEST)] if TEST in usual.tests else ()
    if before or episode > first:
        fuzz = Fuzz(first=first, episodes=episode - first + 1, calls=calls)
        yield False, replace(mine, tests=(*before, TEST), fuzz=fuzz)


def _words(alone: bool, reproducer: Reproducer) -> str:
    which = f"episode {reproducer.episode}"
    if not alone and reproducer.episode > reproducer.first:
        which = f"episodes {reproducer.first} to {reproducer.episode}"
    return f"reproduce: {which} of seed {reproducer.seed}" + (" alone" if alone else ", and what came before")


def _crashes(report: NodeReport) -> tuple[CrashRow, ...]:
    """What a node came to.

    Raises:
        SistasksError: it failed for reasons of ours or of the host.
    """
    error: SistasksError | None = report.error
    if error is not None and not isinstance(error, KernelFailure):
        raise error
    return crash_rows([report], None)
