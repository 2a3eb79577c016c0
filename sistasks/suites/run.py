"""One execution of a suite: template, cluster, history, JSON, table."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sistasks.cluster.nodes import Cluster, NodeReport
from sistasks.errors import KernelFailure, NodeError
from sistasks.evidence import kernels
from sistasks.evidence.monitor import ResourceMonitor, rows_of_each
from sistasks.history import read
from sistasks.history.connection import prepare
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.machine import template as templates
from sistasks.scratch import scratch_folder
from sistasks.session import SESSION_ID, now, session_logs
from sistasks.suites import registry
from sistasks.suites.acted import plans, run_acted
from sistasks.suites.console.run import run_console
from sistasks.suites.distributed.config import configure
from sistasks.suites.distributed.execute import execute
from sistasks.suites.measured import Measured, measure, measure_acted, measure_cluster
from sistasks.suites.printed import own_metrics, take_printed
from sistasks.suites.recipe import Recipe, recipes
from sistasks.suites.recording import metric_rows, run_record, this_session, write_json
from sistasks.suites.showing import say_what, show
from sistasks.suites.watching import watched

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.template import Template
    from sistasks.settings import Settings
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


# of each suite in each environment: as many as a verdict may look back
_BASELINE_RUNS = 31


def ensure_template(recipe: Recipe, terminal: Terminal) -> Template:
    """The recipe's template: the kept one, or one frozen now."""
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
    made = asyncio.run(
        templates.freeze(
            machine,
            key,
            layout.templates,
            session=SESSION_ID,
            log=session_logs(layout) / "template.log",
            limit=recipe.timeout,
        )
    )
    terminal.say(f"template: frozen after {time.monotonic() - started:.1f} s")
    return made


def _run_nodes(
    suite: Suite, recipe: Recipe, terminal: Terminal, monitor: ResourceMonitor
) -> list[NodeReport]:
    settings = recipe.settings
    layout = Layout(settings.output)
    template = ensure_template(recipe, terminal) if recipe.clones(suite) else None
    if suite.network:
        return _run_cluster(recipe, template, terminal, monitor)
    count = recipe.node_count(suite)
    logs = session_logs(layout)
    if suite.cold:
        logs /= f"boot-{recipe.machine.boot}"
    # the folder above stays: another session may be about to make its own in it
    with (
        scratch_folder(layout.scratch / SESSION_ID) as scratch,
        watched(terminal, count, monitor) as observer,
    ):
        cluster = Cluster(
            machine=recipe.machine, template=template, logs=logs, scratch=scratch, session=SESSION_ID,
            slots=recipe.slots, timeout=recipe.timeout,
        )  # fmt: skip
        if suite.act is not None:
            return asyncio.run(run_acted(suite, suite.act, cluster, plans(suite, recipe), observer))
        return asyncio.run(cluster.run(plans(suite, recipe), observer))


def _run_cluster(
    recipe: Recipe, template: Template | None, terminal: Terminal, monitor: ResourceMonitor
) -> list[NodeReport]:
    config = configure(recipe.settings, limit=recipe.timeout)
    layout = Layout(recipe.settings.output)
    with (
        scratch_folder(layout.scratch / SESSION_ID) as scratch,
        watched(terminal, config.count, monitor) as observer,
    ):
        return asyncio.run(
            execute(
                config, machine=recipe.machine, template=template, logs=session_logs(layout) / "distributed",
                scratch=scratch, session=SESSION_ID, slots=recipe.slots, cores=recipe.found.host_cores,
                observer=observer, capture=_capture(recipe, terminal),
            )
        )  # fmt: skip


def _capture(recipe: Recipe, terminal: Terminal) -> Path | None:
    """Where the capture goes that was asked for."""
    if not recipe.settings.capture:
        return None
    folder = Layout(recipe.settings.output).captures
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SESSION_ID}.pcapng"
    terminal.say(f"the network is captured in {path}")
    return path


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
    made = recipes(suite, settings)
    for recipe in made:
        recipe.verify()
    numbers = []
    for recipe in made:
        inputs = recipe.inputs_sha256(suite)
        held = read.good_runs(settings.db, inputs, targets_met=recipe.enforces_targets)
        for _ in range(max(1, settings.runs - held)):
            say_what(suite, recipe, terminal)
            numbers.append(_run_once(suite, recipe, terminal))
    return numbers


def _run_once(suite: Suite, recipe: Recipe, terminal: Terminal) -> int:
    settings = recipe.settings
    started = now()
    asked = suite
    known = registry.metrics(settings)
    monitor = ResourceMonitor(settings.monitor, rows_of_each(recipe.node_count(suite)))
    if recipe.kernel.talks:
        reports, measured, suite, known = run_console(suite, recipe, terminal, known, monitor)
    else:
        reports = _run_nodes(suite, recipe, terminal, monitor)
        known = take_printed(suite, [report.results for report in reports], known)
        suite = replace(suite, own_metrics=own_metrics(suite, reports, known))
        judge = measure_acted if suite.act is not None else measure_cluster if suite.network else measure
        measured = judge(
            suite, reports, enforce=recipe.enforces_targets, confidence=settings.confidence, metrics=known
        )
    # what it was made of is what was asked, whatever the kernel then had to say
    run = replace(run_record(suite, recipe, measured, started), inputs_sha256=recipe.inputs_sha256(asked))
    run = replace(run, resources=monitor.rows())
    metrics = metric_rows(suite, known)
    run_id = write_run(settings.db, this_session(), run, metrics)
    show(suite, recipe, run, run_id, known=known, terminal=terminal)
    if measured.status == "ok":
        _keep_kernel(recipe)
    write_json(suite, recipe, run, metrics)
    _raise_first(reports, measured)
    return run_id


def _keep_kernel(recipe: Recipe) -> None:
    """Keep what it takes to boot this kernel again, for as long as a baseline may name it."""
    if recipe.guest is None or recipe.machine.kernel is None:
        return
    folder = Layout(recipe.settings.output).kept_kernels(recipe.settings.db)
    kernel = kernels.KeptKernel(
        id=recipe.kernel_id, image=recipe.kernel.sha256, initramfs=recipe.guest.sha256, guest=recipe.guest.bare_sha256,
        arguments=recipe.machine.arguments, results_line=recipe.machine.results_line,
    )  # fmt: skip
    kernels.keep(folder, kernel, recipe.kernel.image, recipe.guest.initramfs)
    kernels.prune(folder, read.recent_kernels(recipe.settings.db, _BASELINE_RUNS))


def _raise_first(reports: list[NodeReport], measured: Measured) -> None:
    """Raise what made the run fail, with the node's last console lines and where the rest of them is."""
    if measured.status == "ok":
        return
    failed = measured.status == "failed"
    for report in reports:
        if report.error is not None and isinstance(report.error, KernelFailure) == failed:
            raise report.error
    kind = KernelFailure if failed else NodeError
    status = "fail" if failed else "error"
    number = next((row.node for row in measured.results if row.status == status), 0)
    for report in reports:
        if report.number == number:
            raise kind(measured.message, f"see {report.console}", report.tail)
    raise kind(measured.message)
