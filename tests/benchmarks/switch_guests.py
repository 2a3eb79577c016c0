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
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sistasks.guest.plan import Plan
    from sistasks.machine.template import Template

GROUP: Final = ("230.77.0.1", 31077)
LIMIT: Final = 120.0
METRIC: Final = "network.round_trip"
# (guests, bound of the ratio with one pair at a time)
SIZES: Final = ((2, 1.6), (10, 1.0))
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

    def echoes(self, count: int, *, hub: bool, together: bool, pings: int = 400) -> list[int]:
        """Nanoseconds of each echo: node 1 asks node 2, and every other its neighbour too if `together`."""
        return asyncio.run(self._echoes(count, hub=hub, together=together, pings=pings))

    async def _echoes(self, count: int, *, hub: bool, together: bool, pings: int) -> list[int]:
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
                return [sample for node in nodes for sample in node.results.samples.get(METRIC, ())]


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
    """(what, the ratio, both figures in words, its bound or 0), medians of pairs measured in turn."""
    with folder() as place:
        guests = Guests(place)
        for together in (False, True):
            for count, bound in SIZES:
                pairs = [
                    [
                        guests.echoes(count, hub=hub, together=together, pings=100 if together else 400)
                        for hub in (False, True)
                    ]
                    for _ in range(rounds)
                ]
                who = "all at once" if together else "one pair"
                for name, of in (("p50", statistics.median), ("mean", statistics.fmean)):
                    ours, others = ([of(pair[side]) / 1e3 for pair in pairs] for side in (0, 1))
                    ratio = statistics.median(a / b for a, b in zip(ours, others, strict=True))
                    yield (
                        f"{name} round trip of {who} of {count} guests, over that of QEMU's hub", ratio,
                        f"{statistics.median(ours):.0f} µs, {statistics.median(others):.0f} µs",
                        bound if name == "p50" and not together else 0.0,
                    )  # fmt: skip
