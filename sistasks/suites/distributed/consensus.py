"""The consensus test: a number of commands decided by all, with traitors and faults where they were asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from typing import TYPE_CHECKING, Final

from sistasks.cluster.schedule import describe
from sistasks.consensus import measures
from sistasks.consensus.checker import Required, check
from sistasks.suites.distributed.outcome import Outcome, Work, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.consensus.records import Decision, NodeLog
    from sistasks.suites.distributed.arena import Arena

# nodes that decide nothing for so many of their own patiences will not
_STALLED: Final = 20
_STALLED_LEAST: Final = 20.0
# the rate is told for each of so many parts, so that it has a spread
_PARTS: Final = 10
PER: Final = 1000


async def consensus(arena: Arena, *, cores: int) -> Outcome:
    """Decide the commands, check every log, and measure.

    Args:
        arena: the cluster.
        cores: processors that it shares.
    """
    config = arena.config
    outcome = Outcome("consensus")
    await arena.get_ready("consensus", config.limit)
    before = await work(arena)
    await arena.start()
    started = time.monotonic()
    breaking = asyncio.create_task(_break_network(arena, outcome))
    try:
        done = await _decided(arena, config.decisions)
    finally:
        breaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await breaking
    outcome.seconds = time.monotonic() - started
    used = (await work(arena)).since(before)
    await arena.finish(config.limit)
    cut_off = _cut_off(arena)
    logs = [
        arena.log(number, treason=config.treasons.get(number, ""), cut_off=number in cut_off)
        for number in sorted(arena.nodes)
    ]
    required = Required(decisions=config.decisions)
    outcome.violations = check(logs, n=config.count, f=config.faulty, seed=config.seed, required=required)
    if not done:
        outcome.remarks.append(
            f"not all had decided {config.decisions} commands after {outcome.seconds:.0f} s"
        )
    outcome.remarks += used.remarks()
    _measure(arena, outcome, logs, used, cores)
    return outcome


async def _break_network(arena: Arena, outcome: Outcome) -> None:
    """Apply the schedule; what goes wrong with it is told where the task is awaited."""
    started = time.monotonic()
    for at, faults in arena.config.faults.faults(arena.config.seed):
        await asyncio.sleep(max(0.0, started + at - time.monotonic()))
        took = await arena.switch.apply(faults)
        outcome.remarks.append(f"at {at:g} s: {describe(faults)} (in force after {took * 1e3:.1f} ms)")


def _cut_off(arena: Arena) -> set[int]:
    """Nodes that the schedule, where it ends, leaves without a quorum while others have one: they owe nothing."""
    config = arena.config
    states = config.faults.faults(config.seed)
    if not states:
        return set()
    last = states[-1][1]
    everyone = range(1, config.count + 1)

    def heard(node: int) -> int:
        return 1 + sum(other != node and not last.of(other, node).cut for other in everyone)

    apart = {node for node in everyone if heard(node) < config.quorum}
    return apart if len(apart) <= config.faulty else set()


async def _decided(arena: Arena, decisions: int) -> bool:
    """Wait until all loyal nodes have so many decisions, the time is up, or nothing moves any more."""
    config = arena.config
    cut_off = _cut_off(arena)
    end = time.monotonic() + config.limit
    patience = max(_STALLED_LEAST, _STALLED * arena.timeout)
    while (left := end - time.monotonic()) > 0:
        owing = [number for number in arena.loyal if number not in cut_off]
        heights = arena.heights(owing)

        def moved(heights: list[int] = heights, owing: list[int] = owing) -> bool:
            now = arena.heights(owing)
            return now != heights or min(now, default=0) >= decisions

        if min(heights, default=0) >= decisions:
            return True
        if not await arena.wait(moved, min(left, patience)):
            return False
    return False


def _measure(arena: Arena, outcome: Outcome, logs: Sequence[NodeLog], used: Work, cores: int) -> None:
    config = arena.config
    loyal = [log for log in logs if log.loyal and log.node in arena.alive]
    own = [list(_entries(log)) for log in loyal]
    longest = max(own, key=len, default=[])
    if len(longest) < 2:
        return
    decisions = len(longest)
    sent = measures.traffic(used.edges, decisions, config.treasons)
    outcome.samples["consensus.messages"] = [round(sent.loyal_messages * PER)]
    outcome.samples["consensus.bytes"] = [round(sent.loyal_size)]
    outcome.samples["consensus.throughput"] = [*_rates([entry.at_ns for entry in longest])]
    rotating = config.protocol == "hotstuff"
    first = 1 if rotating else 0
    taken = measures.rounds(max(loyal, key=_height), start=first, rotating=rotating)
    if taken:
        outcome.samples["consensus.rounds"] = [round(sum(taken) * PER / len(taken))]
    arena.pace = _pace([entry.at_ns for entry in longest])
    latencies = [
        value
        for number in arena.loyal
        for value in arena.nodes[number].results.samples.get("consensus.latency", [])
    ]
    if latencies:
        # a chain has several decisions under way, each a few rounds long: what the processors bound is their rate
        pace = arena.pace * 1e9 if rotating else statistics.median(latencies)
        bound = measures.cpu_bound(
            guests_s=sum(used.guests.values()), switch_s=used.switch, decisions=decisions, cores=cores,
            latency_ns=pace,
        )  # fmt: skip
        outcome.samples["consensus.bound"] = [round(bound.bound_ns)]
        outcome.remarks.append(bound.words)


def _entries(log: NodeLog) -> list[Decision]:
    return [entry for frame in log.frames for entry in frame.entries]


def _height(log: NodeLog) -> int:
    return len(_entries(log))


def _pace(times: list[int]) -> float:
    """Seconds from one decision to the next, mostly: what a stall or a new leader took is none."""
    return statistics.median(after - before for before, after in itertools.pairwise(times)) / 1e9


def _rates(times: list[int]) -> list[int]:
    """Decisions an hour, over each part of the time in which they were made."""
    size = max(2, -(-len(times) // _PARTS))
    # neighbours share their border, or the gap between two parts would belong to none
    parts = [times[first : first + size + 1] for first in range(0, len(times) - 1, size)]
    return [round(measures.throughput(part) * 3600) for part in parts if len(set(part)) > 1]
