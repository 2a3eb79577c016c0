"""A cluster under attack, as the host hears it: who has been struck with what, and whose probes were answered."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.ethernet import HEADER, mac_of
from sistasks.consensus.clocks import offset
from sistasks.consensus.events import Unknown, decode_event
from sistasks.errors import KernelFailure, NodeError
from sistasks.guest.frames import Frame, FrameType
from sistasks.suites.distributed.orders import datagram
from sistasks.suites.penetration.scenarios import ATTACKER
from sistasks.suites.penetration.told import Ended, Probe, State, ended, probes, state
from sistasks.suites.talk import Talk
from sistasks.textlines import shorten

if TYPE_CHECKING:
    from sistasks.cluster.switch import Switch
    from sistasks.errors import SistasksError
    from sistasks.machine.node import Node

# of one scenario and node: a probe each 5 ms is a few hundred
_PROBES_MAX: Final = 50_000
_ANSWER_LIMIT: Final = 60.0
RELAY_PORT: Final = 7703
_KINDS: Final = frozenset({"placed", "hushed", "counted", "struck"})


class Ground(Talk):
    """The nodes of a penetration test.

    Args:
        switch: their network.

    Attributes:
        scenario: the rule that is tried now; empty between two.
        probes: what each node has found out in this scenario.
        relayed: node -> frames that it was brought by way of the host.
    """

    def __init__(self, switch: Switch) -> None:
        super().__init__(switch)
        self.test = "penetration"
        self.scenario = ""
        self.probes: dict[int, list[Probe]] = {}
        self.relayed: Counter[int] = Counter()
        self._last: dict[tuple[int, str], Unknown] = {}
        self._offsets: dict[int, int] = {}

    def hear(self, node: Node, frame: Frame) -> None:
        """Take a frame of a node.

        Raises:
            ValueError: it is no event that this test has, or there are more than were asked for.
        """
        if frame.type is not FrameType.EVENT:
            return
        event = decode_event(frame.payload)
        if not isinstance(event, Unknown):
            raise ValueError("an event of another test came")  # noqa: TRY004 - what came is wrong, not our types
        late = offset([(event.at_ns, time.monotonic_ns())])
        self._offsets[node.number] = min(self._offsets.get(node.number, late), late)
        if event.kind == "control":
            self.hear_answer(node.number, event)
        elif event.kind == "probed":
            known = self.probes.setdefault(node.number, [])
            known += probes(event.fields.get("probes", ""))
            if len(known) > _PROBES_MAX:
                raise ValueError("it tells of more probes than it can have sent")
        elif event.kind in _KINDS:
            self._last[node.number, event.kind] = event
        else:
            raise ValueError(f"an event that no test has came: {shorten(event.kind)}")
        self.news.set()

    def relay(self, number: int, frame: bytes) -> None:
        """Put a frame on the switch that the attacker has sent in a datagram (guest/agent/penetration/strike.c).

        Args:
            number: of the node that it came from.
            frame: the one that the datagram came in.
        """
        inner = datagram(frame, RELAY_PORT)
        if number != ATTACKER or len(inner) < HEADER:
            return
        others = [node for node in self.nodes if node != number]
        to = others if inner[0] & 1 else [node for node in others if mac_of(node) == inner[:6]]
        self.switch.inject(inner, to)
        self.relayed.update(to)

    def host_time(self, number: int, at_ns: int) -> int:
        """A node's time by the host's clock, ns; what has been heard soonest tells how far they are apart."""
        return at_ns + self._offsets[number]

    def last(self, number: int, kind: str) -> Unknown | None:
        """A node's last event of a kind."""
        return self._last.get((number, kind))

    async def told(self, number: int, kind: str, what: str) -> Unknown:
        """Wait for an event of a node, and take it.

        Args:
            number: of the node.
            kind: of the event.
            what: it did not do if none comes, as it goes on after its name.

        Raises:
            SistasksError: the node has failed, or is late.
        """
        key = (number, kind)
        await self.wait(lambda: key in self._last or number not in self.alive, _ANSWER_LIMIT)
        if key in self._last:
            return self._last.pop(key)
        raise self.fallen() or await self.late(number, what)

    async def ask(self, number: int, word: str, kind: str) -> Unknown:
        """Tell a node something, and wait for the event that it answers with.

        Raises:
            SistasksError: the node has failed, or does not.
        """
        self._last.pop((number, kind), None)
        await self.command(word, [number])
        return await self.told(number, kind, f"does not {word.split(maxsplit=1)[0]}")

    async def state(self, number: int, word: str = "count") -> State:
        """What a victim tells of itself.

        Args:
            number: of the node.
            word: `count`; `renew`: it listens anew before.

        Raises:
            SistasksError: the node has failed, or does not.
        """
        event = await self.ask(number, word, "counted")
        try:
            return state(event.fields)
        except ValueError as error:
            raise NodeError(f"node {number}: {error}") from None

    async def struck(self, number: int, what: str) -> tuple[Ended, int]:
        """Wait until a strike has ended: how, and when by the node's clock (ns).

        Args:
            number: of the attacker.
            what: it did not do if it does not end, as it goes on after its name.

        Raises:
            SistasksError: the node has failed, or is late.
        """
        event = await self.told(number, "struck", what)
        try:
            return ended(event.fields), event.at_ns
        except ValueError as error:
            raise NodeError(f"node {number}: {error}") from None

    def fallen(self) -> SistasksError | None:
        """The first node that has failed, as the failure of the scenario under way."""
        for number, node in sorted(self.nodes.items()):
            failure = node.failure
            if failure is not None and number not in self.killed:
                kind = KernelFailure if isinstance(failure, KernelFailure) else NodeError
                where = f" in {self.scenario}" if self.scenario else ""
                return kind(f"node {number} fell{where}: {self._bare(number, failure)}", failure.remedy)
        return None

    @staticmethod
    def _bare(number: int, failure: SistasksError) -> str:
        return failure.problem.removeprefix(f"node {number}").lstrip(": ")
