"""What a person sees of a run: what is about to be done, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.combinations import titled
from sistasks.evidence.score import assess
from sistasks.evidence.usage import summarise
from sistasks.history.clusters import cluster_sizes
from sistasks.history.crashes import playable
from sistasks.layout import Layout
from sistasks.suites.distributed.scaling import scaling_table
from sistasks.suites.finding_table import show_findings
from sistasks.suites.table import results_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sistasks.history.records import RunRecord
    from sistasks.settings import Settings
    from sistasks.suites.metrics import Metric
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite
    from sistasks.terminal import Terminal


# crashes that a person is told the numbers of
_PLAYABLE: Final = 3


def say_what(suite: Suite, recipe: Recipe, terminal: Terminal) -> None:
    """Say what is about to be run."""
    machine = recipe.machine
    if machine.clock == "virtual" and "cpus" in recipe.settings.given and recipe.settings.cpus > machine.cpus:
        terminal.say(
            f"cpus={recipe.settings.cpus} was asked; the virtual clock means 1: only so do runs repeat"
        )
    if machine.memory != recipe.settings.memory:
        terminal.say(f"this node has {machine.memory >> 20}M: its firmware needs more than was asked")
    count = recipe.node_count(suite)
    how = "cloned" if recipe.clones(suite) else "cold"
    terminal.say(
        f"{suite.name}: {count} {'node' if count == 1 else 'nodes'} {how}, {recipe.kernel_name} "
        f"{recipe.kernel.release or recipe.kernel.sha256[:12]} {machine.arch.name}, {machine.boot} boot, "
        f"{machine.accel}, {machine.clock} clock"
    )
    terminal.detail(f"{machine.accel}: {recipe.found.accelerator.reason}")


def say_notes(notes: Iterable[tuple[int, str]], terminal: Terminal) -> None:
    """Say what the guests remarked, (node, remark): each remark once, with the nodes that made it."""
    who: dict[str, list[int]] = {}
    for number, note in notes:
        who.setdefault(note, []).append(number)
    for note, numbers in who.items():
        name = f"node {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} nodes"
        terminal.say(f"{name}: {note}")


def show(
    suite: Suite,
    recipe: Recipe,
    run: RunRecord,
    run_id: int,
    *,
    known: Mapping[str, Metric],
    terminal: Terminal,
) -> None:
    """Show what came of a run."""
    passed = sum(row.status == "pass" for row in run.results)
    seconds = (run.finished_at - run.started_at).total_seconds()
    title = titled(suite.name, recipe.settings) + (f" ({recipe.machine.boot} boot)" if suite.cold else "")
    heading = f"{title}: median over {run.nodes} node{'s' * (run.nodes > 1)}"
    if run.summaries:
        terminal.table(results_table(heading, run.summaries, terminal.width, known))
    if suite.name == "distributed" and run.status == "ok":
        _show_scaling(suite, recipe, terminal)
    if run.summaries and not recipe.enforces_targets and not suite.cold:
        terminal.say(f"targets are reported, not enforced: {_why_reported(recipe)}")
    show_findings(title, run.findings, terminal)
    for line in _left(run, run_id, recipe.settings):
        terminal.say(line)
    _say_served(recipe, run, terminal)
    terminal.result(
        f"{title}: {run.status}, {passed} of {len(run.results)} tests passed in {seconds:.1f} s; "
        f"run {run_id} in {recipe.settings.db}"
    )


def _left(run: RunRecord, run_id: int, settings: Settings) -> Iterator[str]:
    """What kernels complained of, each once, and what is kept of a run that is not content."""
    complaints: dict[str, list[int]] = {}
    for crash in run.crashes:
        complaints.setdefault(crash.title, []).append(crash.node)
    for name, nodes in complaints.items():
        who = ", ".join(str(node) for node in sorted(set(nodes)))
        yield f"node{'s' * (len(set(nodes)) > 1)} {who}: {name}"
    if any(crash.reproducer for crash in run.crashes):
        for number in playable(settings.db, run_id)[:_PLAYABLE]:
            yield f"doit reproduce crash={number} plays it again"
    for artifact in run.artifacts:
        if artifact.kind == "captures":
            yield f"the network was captured in {Layout(settings.output).artifacts / artifact.path}"
    if run.artifacts and (run.status != "ok" or run.crashes):
        size = sum(artifact.size for artifact in run.artifacts)
        yield f"evidence: {len(run.artifacts)} files, {size / 1e6:.1f} MB; doit artifacts run={run_id} lists them"


def _say_served(recipe: Recipe, run: RunRecord, terminal: Terminal) -> None:
    """Say how the host served the nodes; to everybody only where that spoilt the figures: on the wall clock."""
    served = assess(summarise(run.resources))
    if served is None:
        return
    if served.bottleneck == "host" and recipe.machine.clock == "wall":
        terminal.say(f"{served.words}: that is in the figures of this run")
    else:
        terminal.detail(f"{served.words}; performance score {served.score:.0f} of 100")


def _show_scaling(suite: Suite, recipe: Recipe, terminal: Terminal) -> None:
    """Clusters of this kernel that were asked the same, by size."""
    cluster = recipe.asked(suite.variables)
    sizes = cluster_sizes(recipe.settings.db, recipe.kernel_id, cluster)
    if len(sizes) > 1:
        asked = ", ".join(f"{name}={value}" for name, value in cluster.items() if value)
        terminal.table(scaling_table(f"by size: {asked}", sizes))


def _why_reported(recipe: Recipe) -> str:
    if recipe.settings.targets == "report":
        return "so it was asked"
    if recipe.machine.clock == "virtual":
        return "1 instruction counts as 1 ns here"
    return "the machine is emulated"
