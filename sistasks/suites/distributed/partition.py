"""The partition test: the network falls apart in several ways, is healed, and all logs are the same again.

While it lasts, who has a quorum goes on, and nobody else decides.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.faults import Cut, Faults
from sistasks.consensus import checker
from sistasks.suites.distributed.config import LARGE
from sistasks.suites.distributed.outcome import Outcome, stuck

if TYPE_CHECKING:
    from sistasks.consensus.findings import Violation
    from sistasks.consensus.records import Claim
    from sistasks.suites.distributed.arena import Arena
    from sistasks.suites.distributed.config import Config

_WARM_UP: Final = 3
_MORE: Final = 2
# patiences of a node that a partition lasts at least: a side that would decide without a quorum has time to do it
_WATCH: Final = 2.0
_WATCH_LARGE: Final = 1.0
_FLAPS: Final = 4
_PATIENCE: Final = 40
_PATIENCE_LEAST: Final = 20.0
# how far apart two nodes' clocks may seem here: each is known by the word of it that came fastest
_CLOCKS: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which a network falls apart.

    Attributes:
        name: in words.
        cuts: what is cut.
        cut_off: nodes that cannot hear a quorum while it lasts.
        going_on: nodes that still are a quorum; empty: nobody is.
        flaps: times that it comes and goes before it stays.
    """

    name: str
    cuts: tuple[Cut, ...]
    cut_off: frozenset[int]
    going_on: frozenset[int]
    flaps: int = 0

    @property
    def sides(self) -> list[frozenset[int]]:
        """The sides that have no quorum."""
        if self.going_on:
            return [self.cut_off]
        return [group for cut in self.cuts for group in cut.groups]


def scenarios(config: Config) -> list[Scenario]:
    """All of them for a cluster, the first leader on the losing side of one."""
    everyone = frozenset(range(1, config.count + 1))
    last = frozenset(range(config.count - config.faulty + 1, config.count + 1))
    # with the first leader, but not with all that would follow it: in a large cluster these would be given up in turn
    first = last - {min(last)} | {1}
    half = frozenset(range(1, config.count // 2 + 1))
    deaf = min(last)
    found = [
        Scenario("minority", (Cut(groups=(last, everyone - last)),), last, everyone - last),
        Scenario("leader's minority", (Cut(groups=(first, everyone - first)),), first, everyone - first),
        Scenario("halves", (Cut(groups=(half, everyone - half)),), everyone, frozenset()),
    ]
    if config.count >= LARGE:
        return found[1:]
    one_way = Cut(edges=frozenset((other, deaf) for other in everyone if other != deaf))
    return [
        *found,
        Scenario("one-way", (one_way,), frozenset({deaf}), everyone - {deaf}),
        Scenario("flapping", (Cut(groups=(last, everyone - last)),), last, everyone - last, flaps=_FLAPS),
    ]


@dataclass(frozen=True, slots=True)
class _Passed:
    """What one scenario left to be judged when the logs are there; times by the host's clock."""

    scenario: Scenario
    cut_at: int
    healed_at: int
    highest: int
    goal: int
    before: dict[int, Claim]


async def partition(arena: Arena) -> Outcome:
    """Let the network fall apart, watch, heal it, and check every log."""
    config = arena.config
    outcome = Outcome("partition", samples={"partition.recovery_time": []})
    await arena.begin("partition", config.limit)
    limit = min(config.limit, max(_PATIENCE_LEAST, _PATIENCE * arena.timeout))
    started = time.monotonic()
    passed = []
    if not await arena.wait(lambda: min(arena.heights(arena.alive)) >= _WARM_UP, limit):
        outcome.violations.append(_late(arena, _WARM_UP, f"within {limit:.0f} s of the start"))
    else:
        for scenario in scenarios(config):
            if not _possible(arena, scenario):
                outcome.remarks.append(f"{scenario.name}: left out, too many nodes have died")
                continue
            passed.append(await _one(arena, scenario, outcome, limit))
            if outcome.violations:
                break
    outcome.seconds = time.monotonic() - started
    await arena.finish(config.limit)
    _judge(arena, outcome, passed)
    return outcome


def _late(arena: Arena, goal: int, when: str) -> Violation:
    late = [number for number in arena.alive if arena.ear(number).height < goal]
    return stuck(late, goal, f"fewer than {goal} decisions {when}")


def _possible(arena: Arena, scenario: Scenario) -> bool:
    """Whether those who are to go on are still a quorum, and somebody is cut off."""
    alive = set(arena.alive)
    enough = len(scenario.going_on & alive) >= arena.config.quorum or not scenario.going_on
    return enough and bool(scenario.cut_off & alive)


async def _one(arena: Arena, scenario: Scenario, outcome: Outcome, limit: float) -> _Passed:
    config = arena.config
    faults = Faults(cuts=scenario.cuts, seed=config.seed)
    for _ in range(scenario.flaps):
        await arena.switch.apply(faults)
        await asyncio.sleep(arena.timeout / 4)
        await arena.switch.heal()
        await asyncio.sleep(arena.timeout / 4)
    before = {number: claim for number in arena.alive if (claim := arena.claim(number))}
    asked = time.monotonic_ns()
    took = await arena.switch.apply(faults)
    cut_at = asked + round(took * 1e9)
    highest = max(arena.heights(arena.alive))
    await asyncio.sleep((_WATCH if config.count < LARGE else _WATCH_LARGE) * arena.timeout)
    going_on = scenario.going_on & set(arena.alive)
    if going_on and not await arena.wait(lambda: max(arena.heights(going_on)) >= highest + _MORE, limit):
        words = f"a quorum, and nothing more is decided ({scenario.name})"
        outcome.violations.append(stuck(going_on, highest, words))
    # where nobody could go on, recovery is that something is decided again
    goal = max(arena.heights(arena.alive)) + (0 if scenario.going_on else 1)
    healed_at = time.monotonic_ns()
    await arena.switch.heal()
    if not await arena.wait(lambda: min(arena.heights(arena.alive)) >= goal, limit):
        outcome.violations.append(_late(arena, goal, f"{limit:.0f} s after healing ({scenario.name})"))
    return _Passed(scenario, cut_at, healed_at, highest, goal, before)


def _side(arena: Arena, one: _Passed, side: frozenset[int], times: dict[int, list[int]]) -> checker.Cut:
    """A side without a quorum, for the checker."""
    spans = {
        node: (arena.on_node(node, one.cut_at), arena.on_node(node, one.healed_at))
        for node in side
        if node in arena.alive
    }
    # what was under way at the cut had its quorum, or may have had
    known = max(sum(at <= one.cut_at + _CLOCKS for at in own) for own in times.values())
    return checker.Cut(spans, certified=known + arena.config.pipeline)


def _judge(arena: Arena, outcome: Outcome, passed: list[_Passed]) -> None:
    """Check the logs, and read from them when each node had caught up."""
    config = arena.config
    logs = [arena.log(number) for number in sorted(arena.nodes)]
    times = {
        log.node: [arena.on_host(log.node, entry.at_ns) for frame in log.frames for entry in frame.entries]
        for log in logs
    }
    cuts = [_side(arena, one, side, times) for one in passed for side in one.scenario.sides]
    found = []
    for one in passed:
        found += checker.check(
            logs, n=config.count, f=config.faulty, seed=config.seed,
            required=checker.Required(decisions=one.goal, before=one.before),
        )  # fmt: skip
    found += checker.check(
        logs, n=config.count, f=config.faulty, seed=config.seed, required=checker.Required(cuts=cuts)
    )
    outcome.violations += list(dict.fromkeys(found))
    lost = sum(len(violation.nodes) for violation in found if violation.kind == "lost")
    outcome.samples["partition.lost"] = [lost]
    for one in passed:
        behind = [node for node in arena.alive if not one.scenario.going_on or node in one.scenario.cut_off]
        if behind and all(len(times[node]) >= one.goal for node in behind):
            caught_up = max(times[node][one.goal - 1] for node in behind)
            if caught_up <= one.healed_at:  # nobody had anything to catch up with
                continue
            outcome.samples["partition.recovery_time"].append(caught_up - one.healed_at)
            seconds = (caught_up - one.healed_at) / 1e9
            outcome.remarks.append(f"{one.scenario.name}: all logs the same {seconds:.3f} s after healing")
