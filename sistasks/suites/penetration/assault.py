"""One scenario after the other: strike, watch, and see whether the victim is as it was."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sistasks.protocols.findings import Seen
from sistasks.suites.penetration.judge import Struck, Timed, answered, seen, times
from sistasks.suites.penetration.scenarios import ATTACKER, Cast, cast
from sistasks.suites.penetration.told import KINDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sistasks.machine.results import GuestResults
    from sistasks.suites.penetration.ground import Ground
    from sistasks.suites.penetration.scenarios import Scenario
    from sistasks.suites.penetration.told import Probe

# a probe each 5 ms, UDP and ICMP in turn, and TCP connections one after the other beside
_GAP_US: Final = 5000
_REST_PROBES: Final = 40
_REST_LIMIT: Final = 30.0
# seconds in which a victim must answer each kind of probe again
_BACK_LIMIT: Final = 20.0
# and be as quick as before, where it answers
_QUICK_LIMIT: Final = 5.0
# fragments are given up after 1 s in these guests; a kernel looks less often
_MEMORY_LIMIT: Final = 10.0
_MEMORY_STEP: Final = 0.1
_A = TypeVar("_A")
_B = TypeVar("_B")


class Assault:
    """The scenarios, and what they give.

    Args:
        ground: the nodes, all placed.
        count: how many.
        whole: gets what was seen, and samples.
    """

    def __init__(self, ground: Ground, count: int, whole: GuestResults) -> None:
        self.ground = ground
        self.count = count
        self.whole = whole
        self._way = ""
        self._rest: dict[tuple[int, int], list[Probe]] = {}

    async def run(self, scenarios: Sequence[Scenario]) -> None:
        """Run them all.

        Raises:
            KernelFailure: a node fell, or answers no longer: by the scenario's name.
            SistasksError: a node or the switch failed for other reasons.
        """
        armed, ipv6 = await self._placed()
        for place, scenario in enumerate(scenarios):
            if armed:
                self.whole.findings.append(Seen(scenario.rule, "skip", armed))
            elif scenario.ipv6 and not ipv6:
                self.whole.findings.append(Seen(scenario.rule, "skip", "this kernel has no IPv6"))
            else:
                await self._one(scenario, cast(place, self.count))

    @property
    def message(self) -> str:
        """What was done, in words."""
        return f"{sum(item.outcome in {'pass', 'fail'} for item in self.whole.findings)} scenarios borne{self._way}"

    async def _placed(self) -> tuple[str, bool]:
        """Wait until every node listens; why the attacker cannot strike (empty: it can), and whether all have IPv6."""
        unarmed, ipv6 = "", True
        for number in self.ground.alive:
            placed = (await self.ground.told(number, "placed", "does not get ready for penetration")).fields
            ipv6 = ipv6 and placed.get("ipv6") == "1"
            if number == ATTACKER and placed.get("armed") != "1":
                unarmed = placed.get("unarmed", "") or "the attacker cannot send frames"
            if number == ATTACKER and placed.get("relayed") == "1":
                self._way = ", by way of the host: the attacker's kernel has no packet sockets"
        return unarmed, ipv6

    async def _one(self, scenario: Scenario, who: Cast) -> None:
        ground = self.ground
        if (who.victim, who.prober) not in self._rest:
            await self._quiet(who)
        ground.scenario = scenario.rule
        struck = await self._strike(scenario, who)
        self.whole.findings.append(seen(scenario, struck))
        if scenario.flood:
            self._measure(struck.timed)
        ground.scenario = ""

    def _measure(self, timed: Timed) -> None:
        samples: dict[str, list[float]] = {"penetration.latency": [*times(timed.meanwhile)]}
        share = answered(timed.meanwhile)
        samples["penetration.answered"] = [] if share is None else [share]
        recovery = timed.recovery()
        samples["penetration.recovery"] = [_QUICK_LIMIT * 1e9 if recovery is None else recovery]
        for metric, values in samples.items():
            self.whole.samples.setdefault(metric, []).extend(values)

    async def _quiet(self, who: Cast) -> None:
        """Measure what an answer takes while nothing else goes on."""
        await self._probe(who)
        found = self.ground.probes[who.prober]

        def enough() -> bool:
            kinds = {probe.kind for probe in found if probe.took}
            return len(found) >= _REST_PROBES and len(kinds) == len(KINDS)

        if not await self._until(enough, _REST_LIMIT):
            raise await self.ground.late(who.victim, "does not answer in quiet")
        await self.ground.ask(who.prober, "hush", "hushed")
        self._rest[who.victim, who.prober] = list(found)
        self.whole.samples.setdefault("penetration.rest", []).extend(times(found))

    async def _probe(self, who: Cast) -> None:
        self.ground.probes[who.prober] = []
        await self.ground.command(f"probe {who.victim} {_GAP_US}", [who.prober])

    async def _strike(self, scenario: Scenario, who: Cast) -> Struck:
        ground = self.ground
        delivered = await self._delivered(who.victim)
        before, _ = await _both(ground.state(who.victim, "renew"), self._probe(who))
        order = f"strike {scenario.name} {who.victim} {scenario.frames} {scenario.milliseconds}"
        await ground.command(order, [ATTACKER])
        ended, at_ns = await ground.struck(ATTACKER, f"does not end {scenario.rule}")
        end = ground.host_time(ATTACKER, at_ns)
        rest = self._rest[who.victim, who.prober]
        watch = _Watch(ground, who, Timed(before=rest, begin=end - ended.took_ns, end=end))
        renewed = await self._back(scenario, watch)
        lingering = await self._memory(who.victim) if scenario.memory else 0
        after, _ = await _both(ground.state(who.victim), ground.ask(who.prober, "hush", "hushed"))
        delivered = await self._delivered(who.victim) - delivered
        pings = sum(probe.kind == "p" for probe in ground.probes[who.prober])
        return Struck(
            victim=who.victim, sent=ended.sent, refused=ended.refused, delivered=delivered, pings=pings,
            before=before, after=after, timed=watch.timed(), renewed=renewed, lingering=lingering,
        )  # fmt: skip

    async def _delivered(self, victim: int) -> int:
        edge = (await self.ground.switch.counters()).edges.get((ATTACKER, victim))
        return (edge.frames if edge is not None else 0) + self.ground.relayed[victim]

    async def _back(self, scenario: Scenario, watch: _Watch) -> bool:
        """Wait until the victim answers again; whether it had to listen anew for that.

        Raises:
            SistasksError: it does not.
        """
        victim, renewed = watch.who.victim, False
        if not await self._until(lambda: not watch.silent(), _BACK_LIMIT):
            renewed = watch.silent() == ["t"]
            if renewed:
                await self.ground.state(victim, "renew")
            if not renewed or not await self._until(lambda: not watch.silent(), _BACK_LIMIT):
                words = ", ".join(WORDS[kind] for kind in watch.silent())
                raise await self.ground.late(
                    victim, f"does not answer any more after {scenario.rule} ({words})"
                )
        if scenario.flood:
            await self._until(lambda: watch.timed().recovery() is not None, _QUICK_LIMIT)
        return renewed

    async def _until(self, holds: Callable[[], bool], limit: float) -> bool:
        """Wait until something holds; whether it does within `limit` seconds.

        Raises:
            SistasksError: a node has failed meanwhile.
        """
        ground = self.ground
        done = await ground.wait(lambda: holds() or len(ground.alive) < self.count, limit)
        if (fallen := ground.fallen()) is not None:
            raise fallen
        return done

    async def _memory(self, victim: int) -> int:
        """Wait until fragments hold nothing any more; what they still hold when that takes too long, in bytes."""
        end = time.monotonic() + _MEMORY_LIMIT
        while (state := await self.ground.state(victim)).fragments and time.monotonic() < end:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(_MEMORY_STEP)
        return state.fragments


async def _both(first: Coroutine[Any, Any, _A], second: Coroutine[Any, Any, _B]) -> tuple[_A, _B]:
    """Two things at once: each is a way over the switch and back."""
    tasks = (asyncio.create_task(first), asyncio.create_task(second))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@dataclass(slots=True)
class _Watch:
    """What has been heard of a scenario's probes, by the host's clock; asked often, so that each is looked at once."""

    ground: Ground
    who: Cast
    strike: Timed
    _moved: list[Probe] = field(default_factory=list)
    _back: set[str] = field(default_factory=set)

    def timed(self) -> Timed:
        """The strike, and the probes until now."""
        told, moved = self.ground.probes[self.who.prober], self._moved
        for probe in told[len(moved) :]:
            one = replace(probe, sent=self.ground.host_time(self.who.prober, probe.sent))
            moved.append(one)
            if one.took and one.sent > self.strike.end:
                self._back.add(one.kind)
        return replace(self.strike, probes=moved)

    def silent(self) -> list[str]:
        """Kinds of probes of which none that was sent after the strike has been answered."""
        self.timed()
        return [kind for kind in KINDS if kind not in self._back]
