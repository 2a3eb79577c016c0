"""One run of the security suite: its clones, the boots that are compared, and what can be told without any."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.guest.plan import Fuzz
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.protocols.findings import Seen
from sistasks.suites.acted import plans
from sistasks.suites.security import fuzzing, kaslr, static

if TYPE_CHECKING:
    from sistasks.cluster.nodes import Observer
    from sistasks.evidence.crashes import Crash
    from sistasks.evidence.records import Evidence
    from sistasks.guest.plan import Plan
    from sistasks.machine.template import Template
    from sistasks.suites.execution import Execution
    from sistasks.suites.suite import Suite


@dataclass(slots=True)
class _Whole:
    """What node 0 comes to, test by test."""

    results: GuestResults = field(default_factory=lambda: GuestResults(done=True))
    error: SistasksError | None = None
    at: str = ""
    tail: str = ""
    crashes: tuple[Crash, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    def take(self, test: str, seen: list[Seen], began: float, error: SistasksError | None = None) -> None:
        """A test has come to its end, or to an error."""
        status, message = "pass", ""
        if error is not None:
            status = "fail" if isinstance(error, KernelFailure) else "error"
            message = error.problem
            self.error, self.at = (self.error, self.at) if self.error is not None else (error, test)
        elif seen and all(item.outcome == "skip" for item in seen):
            status, message = "skip", seen[0].evidence
        self.results.findings += seen
        self.results.tests.append(TestOutcome(test, status, message, round((time.monotonic() - began) * 1e9)))


async def execute(
    suite: Suite, run: Execution, template: Template | None, observer: Observer
) -> list[NodeReport]:
    """Run the suite's tests on its nodes, and those that node 0 answers for.

    Args:
        suite: what is run.
        run: what is at hand.
        template: what nodes are cloned from; None boots each one.
        observer: told of the nodes' stages.

    Returns:
        A report of what the host has seen as node 0, then one of each node.
    """
    recipe = run.recipe
    started = time.monotonic()
    cluster = run.cluster(template)
    whole = _Whole()
    await _assess(suite, run, whole)
    # a kernel that runs no agent of ours is looked at from outside, and no more
    nodes = [] if recipe.guest is None else await cluster.run(_plans(suite, run), observer)
    whole.results.findings += fuzzing.seen(nodes)
    if kaslr.TEST in suite.of_cluster:
        if any(report.ready for report in nodes):
            await _boots(run, whole)
        else:  # three more that do not come up would tell nothing new
            why = "no node came up" if nodes else "this kernel does not run our agent"
            whole.results.tests.append(TestOutcome(kaslr.TEST, "skip", why))
    report = NodeReport(
        number=0, seed=recipe.settings.seed, results=whole.results, error=whole.error, started=started,
        ready=started, finished=time.monotonic(), console=cluster.logs, tail=whole.tail, crashes=whole.crashes,
        evidence=whole.evidence, at=whole.at,
    )  # fmt: skip
    return [report, *nodes]


def _plans(suite: Suite, run: Execution) -> list[Plan]:
    made = plans(suite, run.recipe)
    if fuzzing.TEST not in suite.tests:
        return made
    return [replace(plan, fuzz=Fuzz(episodes=run.recipe.settings.episodes)) for plan in made]


async def _assess(suite: Suite, run: Execution, whole: _Whole) -> None:
    """Look at configuration, image and version; it is work of the processor's, so that no node is up meanwhile."""
    if not set(static.TESTS) & set(suite.of_cluster):
        return
    began = time.monotonic()
    found = await asyncio.to_thread(static.assess, run.recipe)
    for test, seen in found.items():
        if test in suite.of_cluster:
            whole.take(test, seen, began)
            began = time.monotonic()


async def _boots(run: Execution, whole: _Whole) -> None:
    """Boot a few times and compare; a boot that fails is node 0's."""
    began = time.monotonic()
    arch = run.recipe.machine.arch.name
    reports = await kaslr.boot(run)
    for report in reports:
        whole.crashes += report.crashes
        whole.evidence += report.evidence
    failed = next((report for report in reports if report.error is not None), None)
    if failed is not None:
        whole.tail = failed.tail
        whole.take(kaslr.TEST, [], began, failed.error)
        return
    if not reports:
        why = f"kernels of {arch} cannot lie anywhere else"
        whole.take(kaslr.TEST, [Seen(rule, "skip", why) for rule in (kaslr.PLACE, kaslr.AREAS)], began)
        return
    places = [place for report in reports if (place := kaslr.place_of(report.results.findings)) is not None]
    if len(places) < len(reports):
        error = NodeError("a boot did not tell where its kernel is", f"see {reports[0].console}")
        whole.take(kaslr.TEST, [], began, error)
        return
    whole.take(kaslr.TEST, kaslr.judge(arch, places), began)
