"""Many nodes of one machine: brought up a few at a time, each measured and ended, the others going on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sistasks.cluster.attempts import complaint, host_failed, worth_another
from sistasks.errors import SistasksError
from sistasks.machine import symbols
from sistasks.machine.examination import examine
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.results import GuestResults
from sistasks.machine.spec import Machine, Role

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from sistasks.evidence.crashes import Crash
    from sistasks.evidence.records import Evidence
    from sistasks.guest.frames import Frame
    from sistasks.guest.plan import Plan
    from sistasks.machine.examination import Examination
    from sistasks.machine.template import Template


class Observer(Protocol):
    """Who wants to know how nodes get on."""

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """A node has reached a stage: `starting`, `running`, `ready`, `testing`, `done`, `failed`."""

    def started(self, number: int, pid: int) -> None:
        """A node's process runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """How one node ended; exactly one of results and error tells.

    Attributes:
        number: the node's number.
        seed: its plan's seed.
        results: all that came from the guest, also before an error.
        error: why its work is not whole.
        started, ready, finished: seconds of the host's monotonic clock; ready is 0 where it never was.
        console: its log.
        tail: the console's last lines.
        crashes: what its kernel complained of.
        evidence: files that tell more of how it ended.
        at: the test in which it failed; empty where that is not known.
        retried: why a node before this one, which had the same plan, was given up; empty: there was none.
    """

    number: int
    seed: int
    results: GuestResults
    error: SistasksError | None
    started: float
    ready: float
    finished: float
    console: Path
    tail: str = ""
    crashes: tuple[Crash, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    at: str = ""
    retried: str = ""
    profile: Path | None = None

    @property
    def reason(self) -> str:
        """Why its work is not whole, for where the node is named already; empty if it is."""
        if self.error is None:
            return ""
        return self.error.problem.removeprefix(f"node {self.number}").lstrip(": ")

    def behind(self, given_up: Mapping[int, NodeReport]) -> NodeReport:
        """This report; after another of the same number, if one was given up."""
        first = given_up.get(self.number)
        return self if first is None else self.after(first)

    def emptied(self) -> NodeReport:
        """This report without what the guest sent, which may be much, and another one may send it again."""
        error = None if self.error is None else self.error.with_traceback(None)  # its frames know the node
        return replace(self, results=GuestResults(), error=error)

    def after(self, first: NodeReport) -> NodeReport:
        """This report, of a node that came after another with the same plan."""
        return replace(
            self,
            retried=first.reason,
            crashes=(*first.crashes, *self.crashes),
            evidence=(*first.evidence, *self.evidence),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """N nodes of one machine.

    Attributes:
        machine: what each node is made of.
        template: what they are cloned from; None boots each one.
        logs: the folder of console logs.
        scratch: the folder of what lives only while they run.
        session: the mark of this session.
        slots: nodes that run at once.
        timeout: seconds that a node may take from its start.
        port: gives QEMU's end of a node's port of the switch, for machines with a network.
        listener: told of each frame of each node.
        examination: what a node gets that fails; None: it is just ended.
        tries: 2 where a node that the host or we failed is tried again, else 1.
        given_up: of nodes that were brought up again, how the first ones ended.
    """

    machine: Machine
    template: Template | None
    logs: Path
    scratch: Path
    session: str
    slots: int
    timeout: float
    port: Callable[[int], socket.socket] | None = None
    listener: Callable[[Node, Frame], None] | None = None
    examination: Examination | None = None
    tries: int = 2
    given_up: dict[int, NodeReport] = field(default_factory=dict)

    def node(self, plan: Plan, observer: Observer, *, again: bool = False) -> Node:
        """One node, not started; `again`: a second one with this plan, with logs of its own."""
        name = f"node_{plan.node}" + ".again" * again
        files = NodeFiles(
            plan=self.scratch / f"{name}.plan",
            console=self.logs / f"{name}.log",
            stderr=self.logs / f"{name}.qemu.log",
            firmware_log=self.logs / f"{name}.firmware.log" if self.machine.firmware else None,
            profile=self.scratch / f"{name}.profile" if self.machine.plugin else None,
        )

        def on_frame(node: Node, frame: Frame) -> None:
            if self.listener is not None:
                self.listener(node, frame)
            if frame.type.name == "BEGIN":
                observer.stage(node.number, "testing", frame.fields().get("test", ""))
            elif frame.type.name == "READY":
                observer.stage(node.number, "ready")

        template = self.template
        if template is None:
            return Node(
                plan.node, self.machine, Role.COLD, plan, files, session=self.session, port=self.port,
                on_frame=on_frame,
            )  # fmt: skip
        clone = Node(
            plan.node, self.machine, Role.CLONE, plan, files, session=self.session, ram=template.ram,
            state=template.state, first_frame=template.first_frame, port=self.port, on_frame=on_frame,
        )  # fmt: skip
        if not self.machine.network:  # the clone that would tell has no port
            clone.find_symbols = partial(
                symbols.table, template, self.machine, scratch=self.scratch, session=self.session
            )
        return clone

    async def run(self, plans: Sequence[Plan], observer: Observer) -> list[NodeReport]:
        """Run every plan on a node of its own, `slots` at a time; one node's failure does not end the others."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir(parents=True, exist_ok=True)
        slots = asyncio.Semaphore(self.slots)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run_one(plan, slots, observer)) for plan in plans]
        return [task.result() for task in tasks]

    @contextlib.asynccontextmanager
    async def up(self, plans: Sequence[Plan], observer: Observer) -> AsyncIterator[list[Node]]:
        """All nodes at once, each ready; `slots` of them come up at a time. Leaving ends them all.

        Under the virtual clock a ready node is paused: time without work would run away, and take the host with it.

        The plans should `hold`, or nodes go as soon as they have done their tests.

        Raises:
            SistasksError: a node did not get ready.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir(parents=True, exist_ok=True)
        slots = asyncio.Semaphore(self.slots)

        async def bring_up(node: Node) -> None:
            observer.stage(node.number, "starting")
            await node.start()
            observer.started(node.number, node.pid)
            await node.go()
            await node.wait_ready(self.timeout)
            if self.machine.clock == "virtual":
                await node.pause()

        async def attempt(index: int) -> NodeReport | None:
            """Bring a node up; its report if that failed."""
            node, started = nodes[index], time.monotonic()
            try:
                await bring_up(node)
            except SistasksError as failure:
                return await self._report(node, failure, started, 0.0)
            except OSError as failure:
                return await self._report(node, host_failed(node.name, failure, self.logs), started, 0.0)
            return None

        async def one(index: int) -> None:
            async with slots:
                report = await attempt(index)
                if report is not None and self.tries > 1 and worth_another(report, observer):
                    self.given_up[report.number] = report
                    await nodes[index].close()
                    nodes[index] = self.node(plans[index], observer, again=True)
                    report = await attempt(index)
                if report is not None and report.error is not None:
                    observer.stage(report.number, "failed", report.reason)
                    if (first := self.given_up.get(report.number)) is not None:
                        report.error.take_from(first.crashes, first.evidence)
                    raise report.error

        nodes = [self.node(plan, observer) for plan in plans]
        try:
            tasks = [asyncio.create_task(one(index)) for index in range(len(nodes))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            yield nodes
        finally:
            await asyncio.gather(*(node.close() for node in nodes))

    async def _run_one(self, plan: Plan, slots: asyncio.Semaphore, observer: Observer) -> NodeReport:
        """One plan's node; where the host or we failed it, once more on a fresh one."""
        async with slots:
            report = await self._attempt(plan, observer)
            if self.tries < 2 or not worth_another(report, observer):
                return report
            report = report.emptied()
            return (await self._attempt(plan, observer, again=True)).after(report)

    async def _attempt(self, plan: Plan, observer: Observer, *, again: bool = False) -> NodeReport:
        started = time.monotonic()
        error: SistasksError | None = None
        ready = 0.0
        async with self.node(plan, observer, again=again) as node:
            observer.stage(plan.node, "starting")
            try:
                await node.start()
                observer.started(plan.node, node.pid)
                await node.go()
                observer.stage(plan.node, "running")
                ready = await node.wait_ready(self.timeout)
                await node.wait_done(self.timeout, started)
                await node.wait_power_off()
                error = complaint(node)
            except SistasksError as failure:
                error = failure
            except OSError as failure:
                error = host_failed(node.name, failure, self.logs)
            report = await self._report(node, error, started, ready)
            observer.stage(plan.node, "failed" if error else "done", report.reason)
            return report

    async def _report(
        self, node: Node, error: SistasksError | None, started: float, ready: float
    ) -> NodeReport:
        """How a node ended, which is examined if it failed."""
        at = ""
        if error is not None:
            at = await node.under_way() if ready else ""
            await examine(self.examination, node, error)
        return NodeReport(
            number=node.number, seed=node.plan.seed, results=node.results, error=error, started=started,
            ready=ready, finished=time.monotonic(), console=node.files.console, tail=node.console_tail(),
            crashes=node.crashes, evidence=(*node.evidence, *node.traces), at=at, profile=node.files.profile,
        )  # fmt: skip
