"""Fresh boots of two kernels, pair by pair, for confirming what a screen has flagged on the wall clock."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sistasks.cluster.nodes import Cluster
from sistasks.errors import NodeError, SistasksError
from sistasks.evidence.monitor import ResourceMonitor
from sistasks.guest.plan import Plan
from sistasks.layout import Layout
from sistasks.scratch import scratch_folder
from sistasks.session import SESSION_ID, session_logs
from sistasks.statistics.summary import summarise
from sistasks.suites import registry
from sistasks.suites.execution import Execution
from sistasks.suites.printed import take_printed
from sistasks.suites.ways import run_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport, Observer
    from sistasks.evidence.kernels import KeptKernel
    from sistasks.machine.spec import Machine
    from sistasks.suites.metrics import Metric
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.suites.trial import Boot, Pair, Trial
    from sistasks.terminal import Terminal


def measure_pairs(
    recipe: Recipe, suite: Suite, baseline: KeptKernel, trial: Trial, terminal: Terminal
) -> list[Pair]:
    """Boot both kernels again and again, cold, and measure the suite in each, for as long as a trial wants pairs.

    Returns:
        For each pair (baseline, candidate): (metric, statistic) -> value of that boot.

    Raises:
        SistasksError: more than two pairs failed: then nothing is confirmed. Instead of one that failed another is
            measured.
    """
    layout = Layout(recipe.settings.output)
    before = machine_of(recipe, baseline, layout.kept_kernels(recipe.settings.db))
    nodes = recipe.settings.nodes if together(suite) else 2 * trial.pairs
    with scratch_folder(layout.scratch / SESSION_ID), terminal.nodes(nodes) as lines:
        for pair in itertools.count():
            if not trial.wants():
                break
            started = time.monotonic()
            try:
                found = measure_pair(recipe, suite, before, pair, terminal=terminal, lines=lines)
            except SistasksError as error:
                trial.fail(error, time.monotonic() - started)
            else:
                trial.take(found, time.monotonic() - started)
    return trial.found


def machine_of(recipe: Recipe, baseline: KeptKernel, folder: Path) -> Machine:
    """The recipe's machine with a kernel that was kept in a folder."""
    return replace(
        recipe.machine,
        kernel=folder / baseline.image,
        initramfs=folder / baseline.initramfs,
        arguments=baseline.arguments,
        results_line=baseline.results_line,
    )


def measure_pair(
    recipe: Recipe, suite: Suite, before: Machine, pair: int, *, terminal: Terminal, lines: Observer
) -> Pair:
    """Boot two kernels, cold, and measure the suite in each.

    The two do the same work, and run side by side where the host has room for both, so that whatever disturbs one
    disturbs the other (Bulej et al. 2020, "Duet benchmarking"); else one after the other. Which of them begins
    alternates from pair to pair. Of a suite of clusters a boot is a whole cluster, and no two of them run at once.

    Args:
        recipe: of the candidate.
        suite: what is measured.
        before: the baseline's machine.
        pair: its number, from 0.
        terminal: told of what nodes say.
        lines: told of the nodes' stages.

    Returns:
        (baseline, candidate).

    Raises:
        SistasksError: a boot failed.
    """
    layout = Layout(recipe.settings.output)
    machines = (before, recipe.machine)

    async def boot(machine: Machine, number: int, at_once: asyncio.Semaphore) -> Boot:
        if together(suite):
            async with at_once:
                return await _boot_cluster(replace(recipe, machine=machine), suite, pair, terminal, lines)
        cluster = Cluster(
            machine=machine, template=None, logs=session_logs(layout) / "confirm", scratch=layout.scratch / SESSION_ID,
            session=SESSION_ID, slots=1, timeout=recipe.timeout, tries=1,
        )  # fmt: skip
        plan = Plan(
            node=number, seed=recipe.settings.seed + 1 + pair, tests=tuple(suite.tests),
            iterations=recipe.settings.iterations if suite.iterations is None else suite.iterations,
            aligned=machine.clock == "virtual", programs=suite.programs,
        )  # fmt: skip
        async with at_once:
            (report,) = await cluster.run([plan], lines)
        take_printed(suite, [report.results], _known(suite, recipe))
        return _values(report)

    async def both() -> Pair:
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        at_once = asyncio.Semaphore(1 if together(suite) else min(2, recipe.slots))
        async with asyncio.TaskGroup() as group:
            boots = {
                index: group.create_task(boot(machines[index], 2 * pair + index + 1, at_once))
                for index in order
            }
        return boots[0].result(), boots[1].result()

    failures: list[BaseException] = []
    try:
        return asyncio.run(both())
    except* SistasksError as group:  # a cluster that does not come up is its kernel's failure
        failures += group.exceptions
    raise failures[0]


def _known(suite: Suite, recipe: Recipe) -> Mapping[str, Metric]:
    """Every metric; a suite of somebody's dodo.py may run where nobody has registered it."""
    return {**{metric.name: metric for metric in suite.metrics}, **registry.metrics(recipe.settings)}


def together(suite: Suite) -> bool:
    """Whether a boot is that of all its nodes."""
    return suite.network or suite.act is not None


async def _boot_cluster(recipe: Recipe, suite: Suite, pair: int, terminal: Terminal, lines: Observer) -> Boot:
    """What fresh nodes measure together; of what each node measures itself, the median over nodes."""
    layout = Layout(recipe.settings.output)
    recipe = replace(recipe, settings=replace(recipe.settings, seed=recipe.settings.seed + 1 + pair))
    here = Execution(
        recipe, terminal, layout.scratch / SESSION_ID, ResourceMonitor(0.0, 1), None, tries=1, place="confirm"
    )
    reports = await run_nodes(suite, here, None, lines)
    take_printed(suite, [report.results for report in reports], _known(suite, recipe))
    whole: Boot = {}
    if suite.whole is not None:
        whole = _values(reports[0])
        reports = reports[1:]
    nodes = [_values(report) for report in reports]
    of_nodes = dict.fromkeys(
        metric for values in nodes for metric, _ in values if (metric, "p50") not in whole
    )
    for metric in suite.own_metrics if suite.conducted else of_nodes:
        for statistic in ("p50", "p95", "p99"):
            own = [values[metric, statistic] for values in nodes if (metric, statistic) in values]
            if own:
                whole[metric, statistic] = statistics.median(own)
    return whole


def _values(report: NodeReport) -> Boot:
    if report.error is not None:
        raise NodeError(
            f"a fresh boot failed: {report.error.problem}", report.error.remedy, report.error.detail
        )
    return dict(_statistics(report.results.samples.items()))


def _statistics(samples: Iterable[tuple[str, list[float]]]) -> Iterable[tuple[tuple[str, str], Any]]:
    for metric, values in samples:
        if values:
            summary = summarise(values)
            for statistic in ("p50", "p95", "p99"):
                yield (metric, statistic), getattr(summary, statistic)
