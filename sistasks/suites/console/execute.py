"""Nodes of a kernel that talks on its console: booted cold, each spoken to until all is said."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sistasks.cluster.attempts import complaint, host_failed, worth_another
from sistasks.cluster.nodes import NodeReport
from sistasks.cluster.switch import Switch
from sistasks.errors import KernelFailure, NodeError, PoweredOff, SistasksError
from sistasks.machine.examination import examine
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.logs import EmulatorFiles
from sistasks.protocols.reader import reader_for
from sistasks.suites.console.outcome import Heard, heard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sistasks.cluster.nodes import Observer
    from sistasks.machine.examination import Examination
    from sistasks.machine.spec import Machine
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.protocols.reader import Reader
    from sistasks.suites.metrics import Metric

# a kernel that falls says more after its last words
_LAST_WORDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of the nodes.

    Attributes:
        profile: how the kernel talks, its limits those of this machine.
        tests: which of the profile's tests, in this order.
        boot: the stages of booting are asked for, and nothing else.
        together: all nodes at once, for they talk to each other; else as many as there are slots.
        own: metrics that the user has described.
    """

    profile: ConsoleProfile
    tests: tuple[str, ...]
    boot: bool = False
    together: bool = False
    own: Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One node's part: its report as of any node, and what its console came to."""

    report: NodeReport
    heard: Heard


async def execute(
    asked: Asked,
    *,
    machine: Machine,
    count: int,
    logs: Path,
    session: str,
    slots: int,
    seed: int,
    observer: Observer,
    examination: Examination | None,
) -> list[Spoken]:
    """Boot the nodes and speak to each; one node's failure does not end the others.

    Args:
        asked: what is asked of them.
        machine: what each node is made of.
        count: how many.
        logs: the folder of console logs.
        session: the mark of this session.
        slots: nodes that run at once.
        seed: of the run, for the record.
        observer: told of the nodes' stages.
        examination: what a node gets that fails.
    """
    logs.mkdir(parents=True, exist_ok=True)
    at_once = asyncio.Semaphore(count if asked.together else slots)
    async with contextlib.AsyncExitStack() as stack:
        switch = await stack.enter_async_context(Switch()) if machine.network else None

        async def attempt(number: int, *, again: bool = False) -> Spoken:
            name = f"node_{number}" + ".again" * again
            files = EmulatorFiles(
                console=logs / f"{name}.log",
                stderr=logs / f"{name}.qemu.log",
                firmware_log=logs / f"{name}.firmware.log" if machine.firmware else None,
            )
            port = switch.port if switch else None
            node = ForeignNode(number, machine, files, session=session, port=port)
            return await _Conversation(asked, node, count, observer, examination).hold(seed + number)

        async def one(number: int) -> Spoken:
            async with at_once:
                spoken = await attempt(number)
                # of nodes that talk to each other none comes late: they are tried again together
                if asked.together or not worth_another(spoken.report, observer):
                    return spoken
                first = spoken.report.emptied()
                del spoken
                again = await attempt(number, again=True)
                return replace(again, report=again.report.after(first))

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(1, count + 1)]
        return [task.result() for task in tasks]


class _Conversation:
    """With one node."""

    def __init__(
        self, asked: Asked, node: ForeignNode, count: int, observer: Observer, examination: Examination | None
    ) -> None:
        self._examination = examination
        self._asked = asked
        self._node = node
        self._count = count
        self._observer = observer
        self._news = asyncio.Event()
        self._reader: Reader | None = None
        node.on_console = self._came

    async def hold(self, seed: int) -> Spoken:
        """Boot, listen, type, until all is said or something ended it."""
        node, number = self._node, self._node.number
        started = time.monotonic()
        error: SistasksError | None = None
        why = ""
        began = time.monotonic_ns()
        async with node:
            self._observer.stage(number, "starting")
            try:
                await node.start()
                self._observer.started(number, node.pid)
                node.failed.add_done_callback(lambda _: self._news.set())
                began = time.monotonic_ns()
                self._reader = reader_for(
                    self._asked.profile,
                    tests=self._asked.tests,
                    node=number,
                    nodes=self._count,
                    started=began,
                )
                await node.go()
                self._observer.stage(number, "running")
                why, error = await self._listen(self._reader)
            except SistasksError as failure:
                why, error = failure.problem, failure
            except OSError as failure:
                error = host_failed(node.name, failure, node.log.parent)
            reader = self._reader or reader_for(self._asked.profile, tests=self._asked.tests, started=began)
            reading = reader.result(why)
            found = heard(
                reading, self._asked.profile, boot=self._asked.boot, started=began, own=self._asked.own,
                ours=isinstance(error, NodeError) and not reading.panic,
            )  # fmt: skip
            found.results.notes.extend(node.notes)
            if reading.panic:
                error = KernelFailure(
                    f"{node.name}: {reading.panic}", f"see {node.files.console}", reading.report, kind="panic"
                )
            elif reading.complete and isinstance(error, KernelFailure):
                error = None  # it had said all, and went
            error = error or complaint(node)
            if error is not None:
                await examine(self._examination, node, error)
            tail = node.console_tail()
        report = NodeReport(
            number=number, seed=seed, results=found.results, error=error, started=started,
            ready=(reading.ready or began) / 1e9, finished=time.monotonic(), console=node.files.console, tail=tail,
            crashes=node.crashes, evidence=node.evidence if error else (),
        )  # fmt: skip
        self._observer.stage(number, "failed" if error else "done", report.reason)
        return Spoken(report=report, heard=found)

    def _came(self, at: int, data: bytes) -> None:
        if self._reader is not None and (typed := self._reader.feed(at, data)):
            self._observer.stage(self._node.number, "testing", typed.strip())
            self._node.type(typed)
        self._news.set()

    async def _listen(self, reader: Reader) -> tuple[str, SistasksError | None]:
        """Until all is said; else what ended it, in words and as an error."""
        node = self._node
        while not reader.finished(time.monotonic_ns()):
            if node.failed.done():
                failure = node.failure or NodeError(f"{node.name}: QEMU ended")
                if isinstance(failure, PoweredOff) and not self._asked.profile.prompt:
                    return "", None  # nobody tells such a kernel when it is done
                return failure.problem.removeprefix(f"{node.name}: "), failure
            if why := reader.overdue(time.monotonic_ns()):
                return why, await node.late(f"{node.name}: {why}")
            await self._wait((reader.deadline() - time.monotonic_ns()) / 1e9)
        if reader.panic:
            await asyncio.sleep(_LAST_WORDS)
        return "", None

    async def _wait(self, limit: float) -> None:
        """Until something comes, at most so many seconds."""
        self._news.clear()
        try:
            async with asyncio.timeout(max(0.0, limit)):
                await self._news.wait()
        except TimeoutError:
            return


def metrics_of(spoken: Sequence[Spoken]) -> dict[str, Metric]:
    """Every metric that any node gave, by full name."""
    found: dict[str, Metric] = {}
    for one in spoken:
        found |= one.heard.metrics
    return found


def tests_of(spoken: Sequence[Spoken]) -> dict[str, tuple[str, ...]]:
    """Every test that any node reported, in order, and the metrics that it had to give."""
    found: dict[str, tuple[str, ...]] = {}
    for one in spoken:
        found |= one.heard.needed
    return found
