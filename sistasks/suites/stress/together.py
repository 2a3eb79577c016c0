"""Nodes that begin each of their tests together: one that is early is stopped until the others are there."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.guest.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from sistasks.cluster.nodes import NodeReport, Observer
    from sistasks.guest.frames import Frame
    from sistasks.machine.node import Node


class Together:
    """Hears what nodes send and how they get on, and stops and lets go of them.

    A node that is stopped uses nothing of the host, and its clock stands still: what the others measure is the load of
    one class on all nodes, never of two.

    Args:
        numbers: of the nodes.
        observer: told of what is told to this.
    """

    def __init__(self, numbers: Iterable[int], observer: Observer) -> None:
        self._observer = observer
        self._begun = dict.fromkeys(numbers, 0)
        self._held: dict[int, tuple[Node, asyncio.Task[None]]] = {}
        self._going: set[asyncio.Task[None]] = set()
        # nodes that were not heard of since they were stopped, and what they wait for
        self._waiting: dict[int, str] = {}

    def hear(self, node: Node, frame: Frame) -> None:
        """Take a frame of a node."""
        self._waiting.pop(node.number, None)
        if frame.type is not FrameType.BEGIN or node.number not in self._begun:
            return
        self._begun[node.number] += 1
        own = self._begun[node.number]
        if behind := [str(number) for number, begun in sorted(self._begun.items()) if begun < own]:
            self._held[node.number] = node, asyncio.create_task(_quietly(node.pause()))
            which = f"{'node' if len(behind) == 1 else 'nodes'} {', '.join(behind)}"
            self._waiting[node.number] = f"at {frame.fields().get('test', 'a test')} for {which}"
        for number in self._let_go():
            self._waiting.pop(number, None)

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """A node has reached a stage; nobody waits for one that has ended."""
        self._observer.stage(number, stage, detail)
        if stage in {"done", "failed"}:
            self._begun.pop(number, None)
            self._let_go()

    def started(self, number: int, pid: int) -> None:
        """A node's process runs."""
        self._observer.started(number, pid)

    def excused(self, report: NodeReport) -> NodeReport:
        """The report; where its node was only stopped until its time was over, its kernel is not to be blamed."""
        waited = self._waiting.get(report.number)
        if waited is None or not isinstance(report.error, KernelFailure) or report.error.kind != "hang":
            return report
        error = NodeError(f"node {report.number} waited {waited} until its time was over")
        return replace(report, error=error)

    def _let_go(self) -> list[int]:
        """Let those go on that nobody is behind any more; their numbers."""
        gone = []
        least = min(self._begun.values(), default=0)
        for number, (node, held) in list(self._held.items()):
            if self._begun.get(number, 0) <= least:
                del self._held[number]
                gone.append(number)
                task = asyncio.create_task(_go(node, held))
                self._going.add(task)  # the loop keeps only weak references
                task.add_done_callback(self._going.discard)
        return gone


async def _quietly(asked: Awaitable[None]) -> None:
    with contextlib.suppress(SistasksError):  # a node that has ended is told of by its own report
        await asked


async def _go(node: Node, held: asyncio.Task[None]) -> None:
    await held
    await _quietly(node.go())
