"""A suite that acts on its nodes from outside while they are up: what its function gets, and what it gives."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from sistasks.errors import KernelFailure, NodeError, SistasksError, UsageError
from sistasks.machine.examination import examine
from sistasks.suites.console.naming import full_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

    from sistasks.cluster.nodes import Cluster, NodeReport, Observer
    from sistasks.guest.plan import Plan
    from sistasks.machine.node import Node
    from sistasks.machine.results import GuestResults
    from sistasks.suites.recipe import Recipe
    from sistasks.suites.suite import Suite


# bytes of text that the trace of a test may have, and the part of a node's memory, which keeps it until the end
_TRACE_ROOM: Final = 8 << 20
_TRACE_SHARE: Final = 32


@dataclass(slots=True)
class Nodes:
    """The nodes of a suite that acts on them; all are up and run its tests, on the wall clock.

    Attributes:
        numbers: of all nodes, from 1.
        iterations: samples of each test, as the settings have it.
        seed: of the run.
        limit: seconds that a node may take.
    """

    _nodes: dict[int, Node]
    iterations: int
    seed: int
    limit: float
    killed: set[int] = field(default_factory=set)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the nodes that have not been killed."""
        return [number for number in self._nodes if number not in self.killed]

    def kill(self, number: int) -> None:
        """End a node at once, as a power cut would; its tests pass as they are."""
        node = self._node(number)
        self.killed.add(number)
        node.kill()

    async def pause(self, number: int) -> None:
        """Stop a node where it is until `go`."""
        await self._node(number).pause()

    async def go(self, number: int) -> None:
        """Let a paused node go on."""
        await self._node(number).go()

    async def done(self, number: int) -> Mapping[str, Sequence[float]]:
        """Wait until a node has done its tests.

        Returns:
            Metric -> its samples.

        Raises:
            NodeError, KernelFailure: it failed, or took longer than `limit`.
        """
        from sistasks.suites.printed import samples_of

        return samples_of(await self._node(number).wait_done(self.limit))

    def _node(self, number: int) -> Node:
        if number not in self._nodes or number in self.killed:
            raise UsageError(f"there is no node {number} to act on", f"nodes are {self.numbers}")
        return self._nodes[number]


class Act(Protocol):
    """What a suite does with its nodes: gives metric -> samples; raises KernelFailure where the kernel failed."""

    __name__: str

    @property
    def __code__(self) -> CodeType:
        """Where it comes from."""
        ...

    async def __call__(self, nodes: Nodes, /) -> Mapping[str, Sequence[float]] | None:
        """Act."""


def plans(suite: Suite, recipe: Recipe) -> list[Plan]:
    """A plan for each of a suite's nodes."""
    from sistasks.guest.plan import Plan

    settings = recipe.settings
    virtual = recipe.machine.clock == "virtual"
    return [
        Plan(
            node=number, seed=settings.seed + number, tests=tuple(suite.tests),
            iterations=settings.iterations if suite.iterations is None else suite.iterations,
            aligned=virtual, hold=suite.act is not None, programs=suite.programs, trace=recipe.trace(suite),
            trace_room=min(_TRACE_ROOM, recipe.machine.memory // _TRACE_SHARE),
            # on the wall clock a test may be long because the host is busy, which is no hang
            beat=recipe.timeout if virtual else 0.0,
        )
        for number in range(1, recipe.node_count(suite) + 1)
    ]  # fmt: skip


async def run_acted(
    suite: Suite, act: Act, cluster: Cluster, plans: Sequence[Plan], observer: Observer
) -> list[NodeReport]:
    """Bring the nodes up, act on them, and wait for what their tests give.

    Args:
        suite: what is run.
        act: its function.
        cluster: what nodes are made of.
        plans: a node each; they hold.
        observer: told of the nodes' stages.

    Returns:
        A report of what was done as node 0, then one of each node.

    Raises:
        SistasksError: the nodes did not come up.
        UsageError: the function gave what are no samples.
    """
    from sistasks.cluster.nodes import NodeReport

    started = time.monotonic()
    async with cluster.up(plans, observer) as nodes:
        up = time.monotonic()
        stage = Nodes(
            {node.number: node for node in nodes}, iterations=plans[0].iterations, seed=plans[0].seed - plans[0].node,
            limit=cluster.timeout,
        )  # fmt: skip
        whole, error = await _act(suite, act, stage)
        reports = [await _report(node, stage, cluster, started) for node in nodes]
        reports = [report.behind(cluster.given_up) for report in reports]
        for report in reports:
            observer.stage(report.number, "failed" if report.error else "done", report.reason)
    first = NodeReport(
        number=0, seed=plans[0].seed - plans[0].node, results=whole, error=error, started=started, ready=up,
        finished=time.monotonic(), console=cluster.logs,
    )  # fmt: skip
    return [first, *reports]


async def _act(suite: Suite, act: Act, stage: Nodes) -> tuple[GuestResults, SistasksError | None]:
    import asyncio

    from sistasks.machine.results import GuestResults, TestOutcome

    results = GuestResults(done=True)
    outcome = TestOutcome(act.__name__, "pass", "")
    begun = time.monotonic()
    error: SistasksError | None = None
    try:
        async with asyncio.timeout(stage.limit):
            given = await act(stage)
        results.samples = _checked(suite, act, given or {})
    except TimeoutError:
        words = f"{act.__name__} of the suite {suite.name} took longer than {stage.limit:g} s"
        error = NodeError(words, "raise timeout=")
    except UsageError:
        raise
    except SistasksError as failure:
        error = failure
    if error is not None:
        outcome.status = "fail" if isinstance(error, KernelFailure) else "error"
        outcome.message = error.problem
    outcome.duration_ns = round((time.monotonic() - begun) * 1e9)
    results.tests.append(outcome)
    return results, error


def _checked(suite: Suite, act: Act, given: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """The samples under their full names."""
    where = f"{act.__name__} of the suite {suite.name}"
    if not hasattr(given, "items"):
        raise UsageError(f"{where} gave {type(given).__name__}", "it gives metric -> samples, or None")
    samples = {}
    for name, values in given.items():
        series = list(values)
        for value in series:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"{where} gave {value!r} for {name}", "samples are finite numbers")
        whole = all(isinstance(value, int) for value in series)
        samples[full_name(act.__name__, str(name))] = series if whole else [float(value) for value in series]
    return samples


async def _report(node: Node, stage: Nodes, cluster: Cluster, started: float) -> NodeReport:
    from sistasks.cluster.attempts import complaint
    from sistasks.cluster.nodes import NodeReport
    from sistasks.machine.results import TestOutcome

    error: SistasksError | None = None
    if node.number not in stage.killed:
        try:
            await node.wait_done(cluster.timeout, started)
            error = complaint(node)
        except SistasksError as failure:
            error = failure
            await examine(cluster.examination, node, error)
    results = node.results
    if node.number in stage.killed:
        ended = {test.name for test in results.tests if test.status != "error"}
        results.tests = [test for test in results.tests if test.name in ended] + [
            TestOutcome(name, "skip", "the suite killed its node")
            for name in node.plan.tests
            if name not in ended
        ]
    return NodeReport(
        number=node.number, seed=node.plan.seed, results=results, error=error, started=started,
        ready=node.ready.result(), finished=time.monotonic(), console=node.files.console, tail=node.console_tail(),
        crashes=node.crashes, evidence=(*node.evidence, *node.traces),
    )  # fmt: skip
