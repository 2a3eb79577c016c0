"""The host and the nodes of a cluster in a test: its words go over the switch, theirs over their results lines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from sistasks.cluster.attempts import complaint
from sistasks.cluster.nodes import NodeReport
from sistasks.errors import NodeError
from sistasks.suites.distributed.orders import order

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sistasks.cluster.switch import Switch
    from sistasks.consensus.events import Unknown
    from sistasks.errors import SistasksError
    from sistasks.machine.node import Node

NETWORK: Final = (10 << 24) + (77 << 16)
"""10.77.0.0, a network of nobody but the nodes."""
_AGAIN: Final = 0.5
# nodes of a large cluster answer late: their own work comes first
_ANSWER_LIMIT: Final = 60.0
_SWITCH_LIMIT: Final = 10.0
_LAST_WORD: Final = 60.0


class Talk:
    """Nodes that are up and listen.

    Args:
        switch: their network.

    Attributes:
        nodes: by number.
        test: the one that the host is at.
        killed: nodes that were ended on purpose.
        news: set when something has come from anybody.
    """

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.nodes: dict[int, Node] = {}
        self.test = ""
        self.killed: set[int] = set()
        self.news = asyncio.Event()
        self._answered: dict[int, int] = {}
        self._orders = 0

    def admit(self, nodes: Iterable[Node]) -> None:
        """These are its nodes."""
        for node in nodes:
            self.nodes[node.number] = node
            node.failed.add_done_callback(lambda _: self.news.set())

    def hear_answer(self, number: int, event: Unknown) -> None:
        """Take a node's answer to a word.

        Raises:
            ValueError: it names no word.
        """
        self._answered[number] = max(self._answered.get(number, 0), int(event.fields.get("number", "0")))

    @property
    def alive(self) -> list[int]:
        """Nodes that have not failed and were not killed."""
        return [
            number
            for number, node in sorted(self.nodes.items())
            if number not in self.killed and not node.failed.done()
        ]

    async def wait(self, until: Callable[[], bool], limit: float) -> bool:
        """Wait until something holds; it is asked at each news. Whether it does within `limit` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while not until():
                    self.news.clear()
                    await self.news.wait()
                return True
        return until()

    async def command(self, word: str, numbers: Collection[int] | None = None) -> None:
        """Tell nodes something, until each that is alive has answered.

        Args:
            word: what the test under way knows, with what belongs to it.
            numbers: whom; None: all.

        Raises:
            SistasksError: one does not answer.
        """
        self._orders += 1
        number = self._orders

        def waited_for() -> list[int]:
            asked = self.alive if numbers is None else [node for node in self.alive if node in numbers]
            return [node for node in asked if self._answered.get(node, 0) < number]

        end = time.monotonic() + _ANSWER_LIMIT
        while missing := waited_for():
            if time.monotonic() > end:
                words = f"does not hear the word to {word.split(maxsplit=1)[0]} {self.test}"
                raise await self.late(missing[0], words)
            for node in missing:
                self.switch.inject(order(NETWORK, node, number, word), [node])
            await self.wait(lambda: not waited_for(), _AGAIN)

    async def late(self, number: int, what: str) -> SistasksError:
        """Whose part it is that a node is silent: the switch's, QEMU's or its kernel's.

        Args:
            number: of the node.
            what: it did not do, as it goes on after its name.
        """
        try:
            async with asyncio.timeout(_SWITCH_LIMIT):
                await self.switch.counters()
        except TimeoutError:
            return NodeError(
                f"node {number} {what}, and the switch does not answer",
                "fewer nodes=, or a host that is not busy",
            )
        except NodeError as error:
            return error
        return await self.nodes[number].late(f"node {number} {what}")

    async def last_words(self) -> None:
        """Wait until nodes have said that they are done: only then has every sample come."""
        waiting = [self.nodes[number].done for number in self.alive]
        if waiting:
            await asyncio.wait(waiting, timeout=_LAST_WORD)

    async def failed(self, node: Node, *, abandoned: bool) -> SistasksError | None:
        """Why a node's work is not whole; one that was killed for the test has done its part.

        Args:
            node: one of the cluster.
            abandoned: the tests were given up: nobody told the nodes to go on.
        """
        if node.number in self.killed:
            return None
        if node.failure is not None:
            return node.failure
        if node.done.done():
            return complaint(node)
        words = f"{node.name} did not finish its tests"
        if abandoned:
            return NodeError(words, f"see {node.files.console}", node.console_tail())
        return await node.late(words)


def report(node: Node, error: SistasksError | None, started: float, up: float) -> NodeReport:
    """How a node ended.

    Args:
        node: it still runs, or has left what it had to say.
        error: why its work is not whole.
        started: when the cluster was, host's monotonic seconds.
        up: when all of it was ready, likewise.
    """
    ready = up
    with contextlib.suppress(asyncio.InvalidStateError):
        ready = node.ready.result()
    return NodeReport(
        number=node.number, seed=node.plan.seed, results=node.results, error=error, started=started,
        ready=ready, finished=time.monotonic(), console=node.files.console, tail=node.console_tail(),
        crashes=node.crashes, evidence=node.evidence,
    )  # fmt: skip
