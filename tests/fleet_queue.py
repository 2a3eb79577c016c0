"""A fleet as queues: runs come over the day, wait for a worker, are run, and wait at home for who records them.

Every queue is served in the order of arrival, so it is enough to know when each server will be free next: a heap. What
a server takes comes as an array, whose mean and spread are the caller's to measure; nothing here is typed in as truth.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Numbers = np.ndarray[Any, np.dtype[np.int64]]

DAY: Final = 86400.0
_HOUR: Final = 3600.0


def arrivals(dice: np.random.Generator, runs: float, days: int, peak: float, hours: int) -> Floats:
    """When runs are asked for: a Poisson process whose rate is `peak` times its mean for `hours` of each day.

    Args:
        dice: of chance.
        runs: a day, in the mean.
        days: how many.
        peak: at most 24 / hours.
        hours: of the peak; they are the middle of the day.

    Returns:
        Shape (count,), seconds, sorted.
    """
    quiet = (24 - peak * hours) / (24 - hours) if hours < 24 else 1.0
    weights = np.full(24, quiet)
    weights[12 - hours // 2 : 12 - hours // 2 + hours] = peak
    counts = dice.poisson(np.tile(weights, days) * runs / 24)
    times = np.repeat(np.arange(24 * days) * _HOUR, counts) + dice.uniform(0, _HOUR, counts.sum())
    return np.sort(times)


def served(came: Floats, taken: Floats, servers: int) -> Floats:
    """When each of those who came was done with.

    Args:
        came: shape (count,), seconds, sorted.
        taken: shape (count,), seconds that a server takes for each.
        servers: how many there are.

    Returns:
        Shape (count,), seconds, in the order of coming.
    """
    free = [0.0] * servers
    done = np.empty(len(came))
    for index, (moment, seconds) in enumerate(zip(came.tolist(), taken.tolist(), strict=True)):
        done[index] = max(moment, free[0]) + seconds
        heapq.heapreplace(free, done[index])
    return done


@dataclass(frozen=True)
class Fleet:
    """What a fleet is.

    Attributes:
        runs: asked for a day.
        peak, hours: of `arrivals`.
        workers: how many.
        service: seconds of a run on a worker, in the mean; they are distributed log-normally.
        spread: of these, as a share of the mean.
        record: seconds that recording a run took; one of them is drawn for each run.
        growth: seconds that a record takes longer for each run that its writer's history has.
        held: runs that the history has at first.
        environments: share of each environment in the runs.
        writers: an environment belongs to one of so many, each with a history of its own.
    """

    runs: float
    workers: int
    service: float
    record: Floats
    peak: float = 2.0
    hours: int = 8
    spread: float = 0.5
    growth: float = 0.0
    held: float = 0.0
    environments: tuple[float, ...] = (1.0,)
    writers: int = 1

    @property
    def shares(self) -> list[float]:
        """What part of the runs each writer has: environments go, the largest first, to who has least."""
        shares = [0.0] * self.writers
        for which, share in zip(self.assigned, self.environments, strict=True):
            shares[which] += share / sum(self.environments)
        return shares

    @property
    def assigned(self) -> list[int]:
        """The writer of each environment."""
        load = [(0.0, number) for number in range(self.writers)]
        found = [0] * len(self.environments)
        for share, environment in sorted(((s, e) for e, s in enumerate(self.environments)), reverse=True):
            least, number = heapq.heappop(load)
            found[environment] = number
            heapq.heappush(load, (least + share, number))
        return found

    @property
    def saturated(self) -> float:
        """Runs a day at which the busiest writer has no time left; it has none in the peak at so many by `peak`."""
        return DAY / (max(self.shares) * self.record_now)

    @property
    def record_now(self) -> float:
        """Seconds of a record with the history as it is at first, in the mean."""
        return float(self.record.mean() + self.growth * self.held * max(self.shares))


@dataclass(frozen=True)
class Outcome:
    """What came of a fleet in some days.

    Attributes:
        workers: share of their time in which they were at work.
        writer: likewise, of the busiest writer.
        hour: likewise, in its busiest hour.
        waited: seconds from a run's being asked for to its beginning on a worker, shape (count,).
        late: seconds from a run's end to its being recorded, shape (count,).
        queue: runs that had ended and were not recorded when another one ended, shape (count,).
    """

    workers: float
    writer: float
    hour: float
    waited: Floats
    late: Floats
    queue: Numbers


def simulate(fleet: Fleet, days: int, seed: int) -> Outcome:
    """Some days of a fleet."""
    dice = np.random.default_rng(seed)
    asked = arrivals(dice, fleet.runs, days, fleet.peak, fleet.hours)
    count = len(asked)
    wide = np.log(1 + fleet.spread**2)
    service = dice.lognormal(np.log(fleet.service) - wide / 2, np.sqrt(wide), count)
    ended = served(asked, service, fleet.workers)
    shares = np.array(fleet.environments) / sum(fleet.environments)
    writer = np.array(fleet.assigned)[dice.choice(len(shares), count, p=shares)]
    taken = dice.choice(fleet.record, count)
    order = np.argsort(ended, kind="stable")
    came, writer = ended[order], writer[order]
    late, queue, busy, hours = np.empty(count), np.empty(count, dtype=np.int64), [0.0], [0.0]
    for number in range(fleet.writers):
        mine = np.flatnonzero(writer == number)
        held = fleet.held * fleet.shares[number] + np.arange(len(mine))
        seconds = taken[mine] + fleet.growth * held
        done = served(came[mine], seconds, 1)
        late[mine] = done - came[mine]
        queue[mine] = np.arange(len(mine)) - np.searchsorted(done, came[mine], side="right")
        busy.append(seconds.sum() / (days * DAY))
        hours.append(np.bincount((came[mine] // _HOUR).astype(int), weights=seconds).max(initial=0) / _HOUR)
    return Outcome(
        workers=service.sum() / (days * DAY * fleet.workers), writer=max(busy), hour=max(hours),
        waited=ended - service - asked, late=late, queue=_all_together(came, late, queue, fleet.writers),
    )  # fmt: skip


def _all_together(came: Floats, late: Floats, queue: Numbers, writers: int) -> Numbers:
    """Waiting at all writers, whenever another run ends."""
    if writers == 1:
        return queue
    found: Numbers = np.arange(len(came)) - np.searchsorted(np.sort(came + late), came, side="right")
    return found
