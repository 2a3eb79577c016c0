"""Logs and counters turned into metrics; pure functions, no statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sistasks.consensus.records import NodeLog


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent for one decision.

    Attributes:
        messages: frames of all nodes.
        size: their bytes.
        loyal_messages: frames of loyal nodes alone; the rest are the traitors'.
        loyal_size: their bytes.
    """

    messages: float
    size: float
    loyal_messages: float
    loyal_size: float


@dataclass(frozen=True, slots=True)
class Growth:
    """A power law: y grows as n ** exponent.

    Attributes:
        exponent: the slope on logarithms.
        worst: largest ratio between a point and the law, either way round; 1 is a perfect fit.
    """

    exponent: float
    worst: float


@dataclass(frozen=True, slots=True)
class Bound:
    """What this machine's processors need for one decision, whatever the protocol waits for.

    Attributes:
        bound_ns: CPU time of all guests and the switch for a decision / cores.
        ratio: measured latency / bound.
        switch_share: of that CPU time, 0 to 1; the rest is the guests'.
        words: the same for a reader.
    """

    bound_ns: float
    ratio: float
    switch_share: float
    words: str


def traffic(
    edges: Mapping[tuple[int, int], tuple[int, int]], decisions: int, traitors: Collection[int] = ()
) -> Traffic:
    """Messages and bytes for each decision.

    Args:
        edges: (from, to) -> (frames, bytes), counted by the switch while the decisions were made.
        decisions: how many were made, at least 1.
        traitors: nodes whose messages are not the protocol's cost.

    Raises:
        ValueError: no decisions.
    """
    _some(decisions)
    whole = [(frames, size, sender not in traitors) for (sender, _), (frames, size) in edges.items()]
    return Traffic(
        sum(frames for frames, _, _ in whole) / decisions,
        sum(size for _, size, _ in whole) / decisions,
        sum(frames for frames, _, loyal in whole if loyal) / decisions,
        sum(size for _, size, loyal in whole if loyal) / decisions,
    )


def growth(points: Iterable[tuple[int, float]]) -> Growth:
    """The power law that fits best: least squares on logarithms.

    Args:
        points: (n, messages for each decision), all positive, of two different n at least.

    Raises:
        ValueError: fewer than two n, or a value that has no logarithm.
    """
    found = list(points)
    if len({n for n, _ in found}) < 2:
        raise ValueError("an exponent takes two sizes of cluster at least")
    if any(n <= 0 or not 0 < y < math.inf for n, y in found):
        raise ValueError("an exponent takes positive values")
    logs = [(math.log(n), math.log(y)) for n, y in found]
    x0 = math.fsum(x for x, _ in logs) / len(logs)
    y0 = math.fsum(y for _, y in logs) / len(logs)
    exponent = math.fsum((x - x0) * (y - y0) for x, y in logs) / math.fsum((x - x0) ** 2 for x, _ in logs)
    # The law's value at n = 1 is not told: for neighbouring n it can lie outside a float's range.
    worst = max(abs(y - y0 - exponent * (x - x0)) for x, y in logs)
    return Growth(exponent, math.exp(worst))


def throughput(times_ns: Sequence[int]) -> float:
    """Decisions per second, from the first to the last.

    Args:
        times_ns: when each was made, by one clock, in any order.

    Raises:
        ValueError: fewer than two, or all at one moment.
    """
    if len(times_ns) < 2:
        raise ValueError(f"throughput of {len(times_ns)} decisions")
    span = max(times_ns) - min(times_ns)
    if span == 0:
        raise ValueError(f"throughput of {len(times_ns)} decisions at one moment")
    return (len(times_ns) - 1) / span * 1e9


def rounds(log: NodeLog, *, start: int, rotating: bool) -> list[int]:
    """Rounds that each decision took which the node made itself, right after the one before.

    Args:
        log: of one node.
        start: the view or term in which the test began.
        rotating: each round has a leader of its own (HotStuff), so that a decision without trouble uses one up;
            else a leader stays (PBFT, Raft), and only trouble makes another round.
    """
    taken = []
    before, follows = (start - 1 if rotating else start), True
    for frame in log.frames:
        for entry in frame.entries:
            if follows and not entry.taken:
                step = entry.round - before
                taken.append(max(step, 1) if rotating else 1 + max(step, 0))
            before, follows = entry.round, not entry.taken
    return taken


def cpu_bound(*, guests_s: float, switch_s: float, decisions: int, cores: int, latency_ns: float) -> Bound:
    """What the processors need for one decision, beside what it took.

    It is a bound of latency where one decision is under way at a time; with more, of the time between decisions.

    Args:
        guests_s: CPU seconds of all QEMU processes while the decisions were made.
        switch_s: CPU seconds of the switch in the same time.
        decisions: how many were made, at least 1.
        cores: of the host, that these could run on.
        latency_ns: what a decision took (its median).

    Raises:
        ValueError: no decisions, no cores, or no CPU time.
    """
    _some(decisions)
    total = guests_s + switch_s
    if cores < 1 or min(guests_s, switch_s) < 0 or total == 0:
        raise ValueError(f"a bound of {guests_s} s + {switch_s} s of CPU time on {cores} cores")
    bound = total / decisions / cores * 1e9
    share = switch_s / total
    words = (
        f"a decision took {latency_ns / bound:.2f} times what the {cores} cores need for it: "
        f"{1 - share:.1%} of that in the guests, {share:.1%} in the switch"
    )
    return Bound(bound, latency_ns / bound, share, words)


def _some(decisions: int) -> None:
    if decisions < 1:
        raise ValueError("no decisions to divide by")
