"""Nodes that begin each of their tests together: one that is early is stopped until the others are there."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sistasks.errors import SistasksError
from sistasks.guest.frames import FrameType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from sistasks.cluster.nodes import Observer
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

    def hear(self, node: Node, frame: Frame) -> None:
        """Take a frame of a node."""
        if frame.type is not FrameType.BEGIN or node.number not in self._begun:
            return
        self._begun[node.number] += 1
        if self._begun[node.number] > min(self._begun.values()):
            self._held[node.number] = node, asyncio.create_task(_quietly(node.pause()))
        self._let_go()

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """A node has reached a stage; nobody waits for one that has ended."""
        self._observer.stage(number, stage, detail)
        if stage in {"done", "failed"}:
            self._begun.pop(number, None)
            self._let_go()

    def started(self, number: int, pid: int) -> None:
        """A node's process runs."""
        self._observer.started(number, pid)

    def _let_go(self) -> None:
        least = min(self._begun.values(), default=0)
        for number, (node, held) in list(self._held.items()):
            if self._begun.get(number, 0) <= least:
                del self._held[number]
                task = asyncio.create_task(_go(node, held))
                self._going.add(task)  # the loop keeps only weak references
                task.add_done_callback(self._going.discard)


async def _quietly(asked: Awaitable[None]) -> None:
    with contextlib.suppress(SistasksError):  # a node that has ended is told of by its own report
        await asked


async def _go(node: Node, held: asyncio.Task[None]) -> None:
    await held
    await _quietly(node.go())
