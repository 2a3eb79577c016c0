"""One execution of a suite: template, cluster, history, JSON, table."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.evidence.monitor import ResourceMonitor, rows_of_each
from sistasks.history import read
from sistasks.history.connection import prepare
from sistasks.layout import Layout
from sistasks.machine import template as templates
from sistasks.machine.examination import Examination
from sistasks.scratch import scratch_folder
from sistasks.session import SESSION_ID, now, session_logs
from sistasks.suites import profiling, registry
from sistasks.suites.console.run import run_console
from sistasks.suites.executed import Executed, record
from sistasks.suites.execution import Execution
from sistasks.suites.kept import again_as_a_whole, crash_rows, keep, left_behind, never_up, symbols_of
from sistasks.suites.measured import Measured, measure, measure_cluster
from sistasks.suites.printed import own_metrics, take_printed
from sistasks.suites.recipe import Recipe, recipes
from sistasks.suites.recording import run_record
from sistasks.suites.security import assess, vulnerabilities
from sistasks.suites.showing import say_what
from sistasks.suites.watching import watched
from sistasks.suites.ways import run_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport
    from sistasks.history.profiles import ProfileRecord
    from sistasks.machine.template import Template
    from sistasks.settings import Settings
    from sistasks.suites.metrics import Metric
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


def ensure_template(recipe: Recipe, terminal: Terminal, examination: Examination | None = None) -> Template:
    """The recipe's template: the kept one, or one frozen now.

    Args:
        recipe: what it is made of.
        terminal: where to say so.
        examination: what a boot gets that fails.

    Raises:
        KernelFailure, NodeError: it does not get ready.
    """
    layout = Layout(recipe.settings.output)
    key = recipe.template_key()
    known = templates.load(layout.templates, key)
    if known is not None:
        return known
    machine = recipe.machine
    terminal.say(
        f"template: booting {recipe.kernel_name} {recipe.kernel.release or ''} once ({machine.clock} clock)"
    )
    started = time.monotonic()
    freeze = partial(
        templates.freeze, machine, key, layout.templates, session=SESSION_ID, limit=recipe.timeout,
        examination=examination,
    )  # fmt: skip
    try:
        made = asyncio.run(freeze(log=session_logs(layout) / "template.log"))
    except NodeError as first:
        terminal.say(f"template: again, for {first.problem}")
        try:
            made = asyncio.run(freeze(log=session_logs(layout) / "template.again.log"))
        except SistasksError as second:
            second.take_from(first.crashes, first.evidence)
            raise
    terminal.say(f"template: frozen after {time.monotonic() - started:.1f} s")
    return made


def _run_nodes(suite: Suite, run: Execution) -> list[NodeReport]:
    recipe = run.recipe
    template = ensure_template(recipe, run.terminal, run.examination) if recipe.clones(suite) else None
    with watched(run.terminal, recipe.node_count(suite), run.monitor) as observer:
        return asyncio.run(run_nodes(suite, run, template, observer))


def run_suite(suite_name: str, settings: Settings, terminal: Terminal) -> list[int]:
    """Run a suite until the history has as many good runs as were asked for, but at least once; show each.

    Returns:
        The numbers of the runs.

    Raises:
        KernelFailure: a test failed (the run is kept).
        SistasksError: the tool or the machine failed (the run is kept if a node was started).
    """
    suite = registry.find(suite_name, settings)
    prepare(settings.db)
    numbers = []
    for recipe in verified(suite, settings):
        inputs = recipe.inputs_sha256(suite)
        held = read.good_runs(settings.db, inputs, targets_met=recipe.enforces_targets)
        for _ in range(max(1, settings.runs - held)):
            say_what(suite, recipe, terminal)
            numbers.append(_run_once(suite, recipe, terminal))
    return numbers


def verified(suite: Suite, settings: Settings) -> list[Recipe]:
    """What a suite runs on, with its files as they were made, and with what counts for a profile.

    Raises:
        SistasksError: a file has been changed, or the suite cannot be with these settings.
    """
    made = recipes(suite, settings)
    for recipe in made:
        recipe.verify()
    if settings.profile and profiling.is_marked(suite):
        made = [profiling.with_plugin(suite, recipe) for recipe in made]
    return made


def _run_once(suite: Suite, recipe: Recipe, terminal: Terminal) -> int:
    # the folder above stays: another session may be about to make its own in it
    with scratch_folder(Layout(recipe.settings.output).scratch / SESSION_ID) as scratch:
        done = execute(suite, recipe, terminal, scratch)
        rows = keep(done.evidence, recipe.settings, scratch, terminal)
    return record(done.with_artifacts(rows), recipe, terminal)


def execute(suite: Suite, recipe: Recipe, terminal: Terminal, scratch: Path) -> Executed:
    """Run a suite's nodes to their end; no history is needed for it, and nothing of it is written there.

    Args:
        suite: what is run.
        recipe: what it is made of.
        terminal: told of the nodes' stages.
        scratch: a folder; what is evidence in it must be kept before it goes.

    Raises:
        SistasksError: nothing could be started.
    """
    settings = recipe.settings
    started = now()
    asked = suite
    monitor = ResourceMonitor(settings.monitor, rows_of_each(recipe.node_count(suite)))
    examination = Examination(scratch / "evidence", settings.dumps)
    here = Execution(recipe, terminal, scratch, monitor, examination)
    reports, measured, suite, known, counted = _execute(suite, here)
    if measured.status == "error" and again_as_a_whole(suite, reports):
        terminal.say(f"{suite.name}: again on fresh nodes, for {measured.message}")
        first = {report.number: report for report in reports}
        reports, measured, suite, known, counted = _execute(asked, here.second(), first)
    # what it was made of is what was asked, whatever the kernel then had to say
    run = replace(
        run_record(suite, recipe, measured, started),
        inputs_sha256=recipe.inputs_sha256(asked),
        resources=monitor.rows(),
        crashes=crash_rows(reports, symbols_of(recipe, reports)),
        findings=assess.rows(reports, vulnerabilities.rules(settings.advisories)),
        profiles=counted,
    )
    return Executed(
        suite=suite,
        run=run,
        known=known,
        notes=tuple(
            (report.number, note) for report in reports for note in dict.fromkeys(report.results.notes)
        ),
        evidence=left_behind(recipe, reports),
        failure=_first_failure(reports, measured),
    )


def _execute(
    suite: Suite, run: Execution, first: Mapping[int, NodeReport] = MappingProxyType({})
) -> tuple[list[NodeReport], Measured, Suite, Mapping[str, Metric], tuple[ProfileRecord, ...]]:
    """One execution: how each node ended, what that comes to, and the suite with what the kernel turned out to have.

    At last what its functions executed, where that was asked.

    Args:
        suite: what is run.
        run: what is at hand.
        first: how the nodes of an execution before this one ended, which had the same plans.
    """
    recipe, settings = run.recipe, run.recipe.settings
    # a suite of somebody's dodo.py may run where nobody has registered it
    known: Mapping[str, Metric] = {
        **{metric.name: metric for metric in suite.metrics},
        **registry.metrics(settings),
    }
    began = time.monotonic()
    try:
        # of one without our agent the security suite can look at the files, and asks it nothing
        if recipe.kernel.talks and not suite.of_cluster:
            return (*run_console(suite, run, known, first), ())
        reports = [report.behind(first) for report in _run_nodes(suite, run)]
    except (KernelFailure, NodeError) as failure:
        # nodes that did not even come up: a run like any other, for which the cluster answers
        for report in first.values():
            failure.take_from(report.crashes, report.evidence)
        reports = [never_up(recipe, failure, began)]
        return (
            reports,
            measure(
                replace(suite, own_metrics=()), reports, enforce=False, confidence=settings.confidence,
                metrics=known,
            ),
            suite,
            known,
            (),
        )  # fmt: skip
    counted: tuple[ProfileRecord, ...] = ()
    if recipe.machine.plugin is not None:
        reports = [profiling.checked(suite, report) for report in reports]
        counted = profiling.profiles_or_note(suite, run, reports)
    known = take_printed(suite, [report.results for report in reports], known)
    known |= profiling.take(suite, recipe, reports, counted)
    suite = replace(suite, own_metrics=own_metrics(suite, reports, known))
    judge = measure if suite.whole is None else measure_cluster
    measured = judge(
        suite, reports, enforce=recipe.enforces_targets, confidence=settings.confidence, metrics=known
    )
    return reports, measured, suite, known, counted


def _first_failure(reports: list[NodeReport], measured: Measured) -> SistasksError | None:
    """What made the run fail, with the node's last console lines and where the rest of them is; None: nothing did."""
    if measured.status == "ok":
        return None
    failed = measured.status == "failed"
    for report in reports:
        if report.error is not None and isinstance(report.error, KernelFailure) == failed:
            return report.error
    kind = KernelFailure if failed else NodeError
    status = "fail" if failed else "error"
    number = next((row.node for row in measured.results if row.status == status), 0)
    for report in reports:
        if report.number == number:
            return kind(measured.message, f"see {report.console}", report.tail)
    return kind(measured.message)
