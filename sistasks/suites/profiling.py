"""A suite's run with its profile: the plugin before, the functions after."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import NodeError, SistasksError, UsageError
from sistasks.evidence.monitor import ResourceMonitor
from sistasks.evidence.symbols import Symbols, from_vmlinux
from sistasks.guest.build import compile_agent, flags, sources
from sistasks.history.profiles import ProfileRecord
from sistasks.layout import Layout
from sistasks.machine import symbols
from sistasks.machine import template as templates
from sistasks.profile import counts, plugin
from sistasks.profile.functions import by_function
from sistasks.scratch import scratch_folder
from sistasks.session import SESSION_ID
from sistasks.suites.acted import plans
from sistasks.suites.execution import Execution
from sistasks.suites.metrics import Metric
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal

_STRIP: Final = "-Wl,-s"
# what is told of each phase as metrics of its test, in thousandths for each sample
_TOLD: Final = {
    "instructions": "instructions",
    "accesses": "loads from memory and stores to it",
}


def is_marked(suite: Suite) -> bool:
    """Whether there is anything in a suite's tests that the agent marks for counting."""
    marked = {metric for phase in counts.phases().values() for metric in phase.metrics}
    return bool(suite.programs) or any(not marked.isdisjoint(metrics) for metrics in suite.tests.values())


def can_be(suite: Suite, recipe: Recipe) -> str:
    """Why a suite's run cannot be profiled, though its tests are marked; empty where it can."""
    if recipe.guest is None:
        return "the kernel has no agent that marks what is to be counted"
    if suite.act is not None or recipe.machine.clock != "virtual":
        return "counting needs the virtual clock"
    if not recipe.clones(suite):
        return "counting needs clones of a template"
    return ""


def with_plugin(suite: Suite, recipe: Recipe) -> Recipe:
    """The recipe whose machine counts instructions.

    Raises:
        UsageError: this suite's run cannot be profiled.
        GuestBuildError: the plugin, or the agent with its names, cannot be built.
        ToolMissing: there is no compiler, or QEMU takes no plugin.
    """
    from sistasks.kinds import host_arch
    from sistasks.machine.arch import ARCHES

    why = can_be(suite, recipe)
    if why:
        raise UsageError(f"profile=yes cannot be with the suite {suite.name} here: {why}", "profile=no")
    folder = Layout(recipe.settings.output).profiles
    compiler = find_compiler(ARCHES[host_arch()])
    version = tuple(map(int, re.findall(r"\d+", recipe.found.qemu_version)[:2]))
    built = plugin.build(compiler, version, folder)
    plugin.try_loading(recipe.machine.qemu, built)
    _agent_file(recipe)  # what cannot be built is told before anything runs
    return replace(recipe, machine=replace(recipe.machine, plugin=built))


def checked(suite: Suite, report: NodeReport) -> NodeReport:
    """The report of a node that was counted; with an error where its counts are not whole."""
    if report.error is not None or report.profile is None:
        return report
    try:
        _parts(suite, report.profile)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        problem = f"node {report.number}: the counts of what it executed cannot be used: {words}"
        return replace(
            report, error=NodeError(problem, f"make room in {report.profile.parent}, or profile=no")
        )
    return report


def _parts(suite: Suite, file: Path) -> list[counts.Part]:
    """What a node's plugin wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is cut off, or a program of the node's has made marks that no agent makes.
    """
    parts = counts.read(file.read_bytes())
    if any(not 1 <= part.test <= len(suite.tests) or part.phase not in counts.phases() for part in parts):
        raise ValueError("it counts what no test has")
    return parts


def profiles(suite: Suite, run: Execution, reports: Sequence[NodeReport]) -> tuple[ProfileRecord, ...]:
    """What the functions of nodes executed whose reports are `checked`.

    Raises:
        NodeError, KernelFailure: no clone tells the kernel's symbols.
    """
    recipe = run.recipe
    template = templates.load(Layout(recipe.settings.output).templates, recipe.template_key())
    if template is None:
        return ()
    kernel = asyncio.run(
        symbols.table(template, replace(recipe.machine, plugin=None), scratch=run.scratch, session=SESSION_ID)
    )
    agent = _agent(recipe)
    programs = {program.name: program for program in suite.programs}
    of_programs = {
        name: _of_file(program.file(recipe.machine.arch.name)) for name, program in programs.items()
    }
    known = counts.phases()
    tests = tuple(suite.tests)
    found = []
    for report in reports:
        if report.error is not None or report.profile is None:
            continue
        for part in _parts(suite, report.profile):
            test = tests[part.test - 1]
            phase = known[part.phase]
            found.append(
                ProfileRecord(
                    node=report.number, test=test, phase=phase.name,
                    metrics=phase.metrics or suite.tests[test],
                    functions=by_function(part, kernel, of_programs.get(test, agent)),
                )
            )  # fmt: skip
    return tuple(found)


def profiles_or_note(
    suite: Suite, run: Execution, reports: Sequence[NodeReport]
) -> tuple[ProfileRecord, ...]:
    """As `profiles`; none where they cannot be had, and a note of each node that was counted: its samples stand."""
    try:
        return profiles(suite, run, reports)
    except (SistasksError, OSError) as error:
        why = error.problem if isinstance(error, SistasksError) else f"{error.strerror}: {error.filename}"
        for report in reports:
            if report.profile is not None:
                report.results.notes.append(f"measured, and no profile is kept: {why}")
        return ()


def play(
    suite: Suite, recipe: Recipe, node: int, terminal: Terminal
) -> tuple[NodeReport, tuple[ProfileRecord, ...]]:
    """Run one node of a suite as it was run in a run of that recipe, and count what it executes.

    Raises:
        NodeError: the host or we failed it.
        KernelFailure: its kernel failed, or does not get ready.
        UsageError, GuestBuildError, ToolMissing: as `with_plugin`.
    """
    from sistasks.suites.run import ensure_template

    recipe = with_plugin(suite, recipe)
    layout = Layout(recipe.settings.output)
    with scratch_folder(layout.scratch / SESSION_ID) as scratch:
        run = Execution(recipe, terminal, scratch, ResourceMonitor(0.0, 1), None, place="profile")
        template = ensure_template(recipe, terminal)
        cluster = run.cluster(template)
        (plan,) = [plan for plan in plans(suite, recipe) if plan.node == node]
        with terminal.nodes(1) as lines:
            (report,) = asyncio.run(cluster.run([plan], lines))
        report = checked(suite, report)
        if report.error is not None:
            raise report.error
        return report, profiles(suite, run, [report])


def take(
    suite: Suite, recipe: Recipe, reports: Sequence[NodeReport], found: Sequence[ProfileRecord]
) -> dict[str, Metric]:
    """Put what was counted among the samples of each node, one of each phase in thousandths for each sample.

    Returns:
        What these metrics are.
    """
    by_node = {report.number: report.results.samples for report in reports}
    samples = recipe.settings.iterations if suite.iterations is None else suite.iterations
    metrics = {}
    for profile in found:
        for column, words in _TOLD.items():
            name = f"{profile.test}.{profile.phase}/{column}"
            metrics[name] = Metric(
                name=name, unit="thousandths", better="lower", description=f"{words} for each sample, counted"
            )
            by_node[profile.node][name] = [1000 * profile.functions.total(column) // samples]
    return metrics


def _of_file(path: Path) -> Symbols | None:
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        return from_vmlinux(file)
    return None


def _agent(recipe: Recipe) -> Symbols | None:
    """The agent's functions."""
    return _of_file(_agent_file(recipe))


def _agent_file(recipe: Recipe) -> Path:
    """The agent's program with its names, which the guest has not.

    Raises:
        GuestBuildError: it cannot be built.
    """
    sha256 = hashlib.sha256()
    for source in sources():
        sha256.update(source.read_bytes())
    told_to = tuple(flag for flag in flags(recipe.machine.arch.name) if flag != _STRIP)
    sha256.update(repr((recipe.found.compiler, told_to)).encode())
    folder = Layout(recipe.settings.output).profiles
    target = folder / f"agent-{sha256.hexdigest()[:16]}"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".agent-{os.getpid()}"
        try:
            compile_agent(recipe.found.compiler, new, told_to)
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    return target
