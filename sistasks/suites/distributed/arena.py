"""The nodes of one cluster as the host hears them: their events, their logs, their fates."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sistasks.consensus.clocks import offset
from sistasks.consensus.events import Ended, Event, Progress, Unknown, Waiting, decode_event
from sistasks.consensus.records import Claim, Decisions, Fate, NodeLog, decode_decisions
from sistasks.guest.frames import Frame, FrameType
from sistasks.suites.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Collection

    from sistasks.cluster.switch import Switch
    from sistasks.machine.node import Node
    from sistasks.suites.distributed.config import Config

# what nodes tell is kept until the end: of a cluster so many bytes, estimated, and of each node its share of them
_KEPT_MAX: Final = 256 << 20
_KEPT_LEAST: Final = 16 << 20
# of a frame of its own, and of each byte, once it is a Python object
_FRAME_COST: Final = 200
_BYTE_COST: Final = 4


@dataclass(slots=True)
class Ear:
    """What one node has told of one test.

    Attributes:
        events: in the order in which they came.
        frames: its log, at the end.
        progress: the last word on its progress.
        ended: its last word on its log.
    """

    events: list[Event] = field(default_factory=list)
    frames: list[Decisions] = field(default_factory=list)
    progress: Progress | None = None
    ended: Ended | None = None

    @property
    def height(self) -> int:
        """The height that it has told last."""
        return self.progress.height if self.progress else 0

    def take(self, event: Event) -> None:
        """Take an event."""
        self.events.append(event)
        if isinstance(event, Progress):
            self.progress = event
        elif isinstance(event, Ended):
            self.ended = event


class Arena(Talk):
    """A cluster that is up, and its switch.

    Args:
        config: what is asked of it.
        switch: its network.
    """

    def __init__(self, config: Config, switch: Switch) -> None:
        super().__init__(switch)
        self.config = config
        # a node goes on to its next test before the host has looked at the last one
        self._ears: dict[tuple[str, int], Ear] = {}
        self._tests: dict[int, str] = {}
        self._kept: dict[int, int] = {}
        # messages a second; the network test measures it
        self.rate = 1000.0
        # seconds from one decision to the next; the consensus test measures it
        self.pace = 0.0
        self._offsets: dict[int, int] = {}
        self._switch_events: list[dict[str, Any]] = []

    def hear(self, node: Node, frame: Frame) -> None:
        """Take a frame of a node.

        Raises:
            ValueError: it is none, or the node has told more than can be kept.
        """
        if frame.type in {FrameType.EVENT, FrameType.DECISIONS}:
            self._keep(node.number, len(frame.payload))
        if frame.type is FrameType.EVENT:
            self._hear_event(node.number, frame.payload)
        elif frame.type is FrameType.DECISIONS:
            self._now(node.number).frames.append(decode_decisions(frame.payload))
        elif frame.type is FrameType.BEGIN:
            self._tests[node.number] = frame.fields().get("test", "")
        self.news.set()

    def _keep(self, number: int, size: int) -> None:
        kept = self._kept.get(number, 0) + _FRAME_COST + _BYTE_COST * size
        if kept > max(_KEPT_LEAST, _KEPT_MAX // max(1, len(self.nodes))):
            raise ValueError("it tells of more events and decisions than can be kept")
        self._kept[number] = kept

    def hear_switch(self, event: dict[str, Any]) -> None:
        """Take an event of the switch; that the port of a node is gone is told by the node's own end."""
        self._switch_events.append(event)
        self.news.set()

    def said_by_switch(self) -> list[str]:
        """What the switch has told since this was asked last, of nodes that should still be there."""
        alive = [number for number in self.alive if not self.nodes[number].done.done()]
        told = [
            f"the switch: node {event.get('port', '')}: {event['event']}, {event.get('why', '')}"
            for event in self._switch_events
            if event.get("port") in alive or "port" not in event
        ]
        self._switch_events.clear()
        return told

    def _hear_event(self, number: int, payload: bytes) -> None:
        event = decode_event(payload)
        now = time.monotonic_ns()
        if isinstance(event, Unknown) and event.kind == "control":
            self.hear_answer(number, event)
            return
        self._now(number).take(event)
        late = offset([(event.at_ns, now)])
        self._offsets[number] = min(self._offsets.get(number, late), late)

    def _now(self, number: int) -> Ear:
        """Where what a node tells belongs."""
        return self._ears.setdefault((self._tests.get(number, ""), number), Ear())

    def ear(self, number: int) -> Ear:
        """What a node has told of the test that the host is at."""
        return self._ears.setdefault((self.test, number), Ear())

    def on_host(self, number: int, at_ns: int) -> int:
        """A node's time by the host's clock."""
        return at_ns + self._offsets[number]

    def on_node(self, number: int, host_ns: int) -> int:
        """A time of the host by a node's clock."""
        return max(0, host_ns - self._offsets[number])

    @property
    def loyal(self) -> list[int]:
        """Those of them that betray nobody in the consensus test."""
        return [number for number in self.alive if number not in self.config.treasons]

    def heights(self, numbers: Collection[int]) -> list[int]:
        """What these nodes have told of their heights last."""
        return [self.ear(number).height for number in numbers]

    @property
    def timeout(self) -> float:
        """Seconds that nodes wait in this test before they give up a leader."""
        return self.config.timeout(self.test, rate=self.rate, pace=self.pace)

    async def begin(self, test: str, limit: float) -> None:
        """Wait until all nodes alive are ready for a test, and let them begin.

        Raises:
            SistasksError: one does not get ready, or does not hear it.
        """
        await self.get_ready(test, limit)
        await self.start()

    async def get_ready(self, test: str, limit: float) -> None:
        """Wait until all nodes alive are ready for a test: what is counted from here on is the test's.

        Raises:
            KernelFailure: one does not get ready.
            NodeError: that is not its kernel's part.
        """
        self.test = test

        def ready(number: int) -> bool:
            return any(isinstance(event, Waiting) for event in self.ear(number).events)

        if not await self.wait(lambda: all(map(ready, self.alive)), limit):
            late = next(number for number in self.alive if not ready(number))
            raise await self.late(late, f"does not get ready for {test}")

    async def start(self) -> None:
        """Let the nodes begin.

        Raises:
            SistasksError: one does not hear it.
        """
        await self.command(f"start {round(self.timeout * 1000)}")

    async def finish(self, limit: float) -> None:
        """Stop the test and wait for the last word of each node alive.

        Raises:
            SistasksError: one does not send it.
        """
        await self.command("stop")
        if not await self.wait(lambda: all(self.ear(n).ended for n in self.alive), limit):
            late = next(number for number in self.alive if not self.ear(number).ended)
            raise await self.late(late, f"does not tell how {self.test} ended")

    def claim(self, number: int) -> Claim | None:
        """What a node has told of its log last."""
        told = self.ear(number).progress
        return Claim(told.height, told.head) if told else None

    def log(self, number: int, *, treason: str = "", cut_off: bool = False) -> NodeLog:
        """All that a node has told of the test."""
        ear = self.ear(number)
        alive = number in self.alive
        claims = tuple(Claim(e.height, e.head) for e in ear.events if isinstance(e, Progress))
        return NodeLog(
            node=number, frames=tuple(ear.frames), claims=claims,
            ended=Claim(ear.ended.height, ear.ended.head) if ear.ended else None,
            submitted=ear.ended.submitted if ear.ended else None, treason=treason,
            fate=Fate.KILLED if not alive else Fate.CUT_OFF if cut_off else Fate.ALIVE,
        )  # fmt: skip

    async def kill(self, number: int) -> int:
        """End a node as a power cut would; when, by the host's clock in ns."""
        self.killed.add(number)
        self.nodes[number].kill()
        now = time.monotonic_ns()
        await asyncio.wait([self.nodes[number].failed])
        return now
