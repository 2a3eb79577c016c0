"""Round trips between guests: over the switch, and over QEMU's own multicast hub (`-netdev socket,mcast=`), in turn.

The same clones, the same agent, the same echoes; only the network behind the card differs. Called by `switch.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import statistics
import sys
from typing import TYPE_CHECKING, Final

from measure import Bench, Silent, folder

from sistasks.cluster.nodes import Cluster
from sistasks.cluster.switch import Switch
from sistasks.session import SESSION_ID
from sistasks.settings import resolve
from sistasks.suites.distributed.arena import Arena
from sistasks.suites.distributed.config import Config, configure
from sistasks.suites.distributed.network import network
from sistasks.suites.recipe import Recipe
from sistasks.suites.run import ensure_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sistasks.guest.plan import Plan
    from sistasks.machine.template import Template

GROUP: Final = ("230.77.0.1", 31077)
LIMIT: Final = 120.0
METRIC: Final = "network.round_trip"
# (guests, bound of the ratio with one pair at a time)
TEN: Final = 10
SIZES: Final = ((2, 1.6), (TEN, 1.0))
# a process in QEMU's place that gives QEMU the hub for its card
WRAPPER: Final = """#!{python} -IS
import os, sys
hub = "socket,id=network,mcast={address}:{port},localaddr=127.0.0.1"
os.execv({qemu!r}, [{qemu!r}, *(hub if word.startswith("stream,id=network,") else word for word in sys.argv[1:])])
"""


class Hub(Switch):
    """QEMU's hub has no switch: what the host says goes to its group."""

    def inject(self, frame: bytes, ports: Sequence[int] | None = None) -> None:  # noqa: ARG002 - all hear it
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            line.sendto(frame, GROUP)


@dataclasses.dataclass(frozen=True)
class Echoes:
    """Nanoseconds of each echo, and seconds of all together."""

    times: list[float]
    seconds: float

    def percentile(self, share: int) -> float:
        return statistics.quantiles(self.times, n=100)[share - 1]


class Guests:
    """One template, and clusters of its clones."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bench = Bench(place, "wall", "128M")
        self.recipe = Recipe.load(self.bench.settings, network=True)
        self.template: Template = ensure_template(self.recipe, self.bench.terminal)
        self.hub = place / "qemu-with-hub"
        self.hub.write_text(
            WRAPPER.format(
                python=sys.executable, qemu=str(self.recipe.machine.qemu), address=GROUP[0], port=GROUP[1]
            )
        )
        self.hub.chmod(0o755)

    def echoes(self, count: int, *, hub: bool, together: bool, pings: int) -> Echoes:
        """Node 1 asks node 2 for echoes, and every other its neighbour too if `together`."""
        return asyncio.run(self._echoes(count, hub=hub, together=together, pings=pings))

    async def _echoes(self, count: int, *, hub: bool, together: bool, pings: int) -> Echoes:
        asked = resolve({"nodes": max(count, 4)}, {}, self.place / "none.toml")
        config = dataclasses.replace(configure(asked, limit=LIMIT), count=count, pings=pings)
        machine = self.recipe.machine
        async with Hub() if hub else Switch() as switch:
            arena = Arena(config, switch)
            cluster = Cluster(
                machine=dataclasses.replace(machine, qemu=self.hub) if hub else machine,
                template=self.template, logs=self.place / "logs", scratch=self.place / "scratch",
                session=SESSION_ID, slots=self.recipe.slots, timeout=LIMIT, port=switch.port, listener=arena.hear,
            )  # fmt: skip
            async with cluster.up(plans(config, together=together), Silent()) as nodes:
                arena.admit(nodes)
                outcome = await network(arena)
                assert not outcome.violations, outcome.message
                await asyncio.wait([node.done for node in nodes], timeout=LIMIT)
                times = [sample for node in nodes for sample in node.results.samples.get(METRIC, ())]
                return Echoes(times, outcome.seconds)


def plans(config: Config, *, together: bool) -> list[Plan]:
    """The nodes' plans for this one test; who is not to ask has no echoes to ask for."""
    made = []
    for plan in config.plans():
        assert plan.replica is not None
        pings = config.pings if together or plan.node == 1 else 0
        replica = dataclasses.replace(plan.replica, decisions={"network": pings})
        made.append(dataclasses.replace(plan, tests=("network",), replica=replica))
    return made


def measure(rounds: int) -> Iterator[tuple[str, float, str, float]]:
    """(what, ours over the hub's, both in words, the bound of the ratio or 0), medians of pairs measured in turn."""
    with folder() as place:
        guests = Guests(place)

        def compare(
            name: str, unit: str, bound: float, pairs: list[list[Echoes]], of: Callable[[Echoes], float]
        ) -> tuple[str, float, str, float]:
            ours, others = ([of(pair[side]) for pair in pairs] for side in (0, 1))
            ratio = statistics.median(a / b for a, b in zip(ours, others, strict=True))
            words = f"{statistics.median(ours):.3g} {unit}, {statistics.median(others):.3g} {unit}"
            return f"{name}, over that of QEMU's hub", ratio, words, bound

        for count, bound in SIZES:
            pairs = [
                [guests.echoes(count, hub=hub, together=False, pings=400) for hub in (False, True)]
                for _ in range(rounds)
            ]
            name = f"p50 round trip of a pair among {count} guests"
            yield compare(name, "ms", bound, pairs, lambda echoes: echoes.percentile(50) / 1e6)
        # each is served in turn by one, and by luck by the other: medians do not compare, the whole does
        pairs = [
            [guests.echoes(TEN, hub=hub, together=True, pings=200) for hub in (False, True)]
            for _ in range(rounds)
        ]
        yield compare(
            "time of 2,000 echoes of ten guests at once", "s", 0.0, pairs, lambda echoes: echoes.seconds
        )
        name = "p99 round trip of ten guests at once"
        yield compare(name, "ms", 0.0, pairs, lambda echoes: echoes.percentile(99) / 1e6)
