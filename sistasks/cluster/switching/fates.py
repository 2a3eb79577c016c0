"""What becomes of each frame on one edge that is not healthy. Pure: time is given, chance is seeded.

In this order: loss, corruption, duplication, reordering, rate, delay and jitter. What is left to chance (all but the
rate) depends on the seed, the edge and the place of the frame in the edge's own sequence since the faults were set,
and on nothing else: not on time, not on other edges.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from sistasks.cluster.switching.ethernet import HEADER

if TYPE_CHECKING:
    from sistasks.cluster.switching.faults import EdgeFaults

_SECOND: Final = 1_000_000_000
# a held frame goes at the latest then: the edge may have fallen silent
HOLD_NS: Final = 50_000_000
# bytes that wait for a limited rate
RATE_QUEUE: Final = 64 << 10
_PREFIX: Final = 4


class Passed(NamedTuple):
    """A frame that is to be delivered at `due` (nanoseconds), or earlier where `held` is taken out of the queue."""

    due: int
    frame: bytes
    held: Held | None = None


class Held:
    """A frame that waits for others to overtake it; `frame` is None once it has gone."""

    __slots__ = ("frame", "left")

    def __init__(self, frame: bytes, left: int) -> None:
        self.frame: bytes | None = frame
        self.left = left


class Tally:
    """What was done on one edge; `under_way` are the frames that wait, delayed or held."""

    __slots__ = ("corrupted", "delayed", "duplicated", "loss", "rate", "reordered", "under_way")

    def __init__(self) -> None:
        self.loss = self.rate = 0
        self.corrupted = self.duplicated = self.reordered = self.delayed = self.under_way = 0


class Fate:
    """The state of one edge's faults.

    Args:
        faults: what it suffers; a cut is not looked at here, for nothing of it is left to chance.
        seed: the run's.
        source, target: the edge; they seed its chance.
        tally: where it is counted.
    """

    __slots__ = ("_delay", "_faults", "_free", "_held", "_jitter", "_last", "_random", "_tally")

    def __init__(self, faults: EdgeFaults, seed: int, source: int, target: int, tally: Tally) -> None:
        self._faults = faults
        self._tally = tally
        self._random = Random(f"{seed} {source} {target}")  # noqa: S311 - it must repeat
        self._held: list[Held] = []
        self._free = 0
        self._last = 0
        self._delay = round(faults.delay * _SECOND)
        self._jitter = round(faults.jitter * _SECOND)

    def meet(self, frame: bytes, now: int) -> tuple[list[Passed], list[str]]:
        """One frame comes.

        Args:
            frame: with its 4 bytes of length.
            now: nanoseconds; never less than before.

        Returns:
            what is to be delivered, in order, and what has happened, in words.
        """
        faults, tally, chance = self._faults, self._tally, self._random.random
        if faults.loss and chance() < faults.loss:
            tally.loss += 1
            return [], ["dropped: loss"]
        words: list[str] = []
        if faults.corrupt and chance() < faults.corrupt:
            frame = self._corrupted(frame, chance())
            words.append("corrupted")
        copies = 1
        if faults.duplicate and chance() < faults.duplicate:
            tally.duplicated += 1
            copies = 2
            words.append("duplicated")
        out: list[Passed] = []
        for _ in range(copies):
            hold = bool(faults.reorder) and chance() < faults.reorder
            wait = self._delay + int(chance() * self._jitter) if self._jitter else self._delay
            if hold:
                tally.reordered += 1
                words.append(f"held until {faults.by} others have passed")
                held = Held(frame, faults.by)
                self._held.append(held)
                out.append(Passed(now + HOLD_NS, frame, held))
            else:
                self._pass(out, words, frame, now, wait)
        return out, words

    def _pass(self, out: list[Passed], words: list[str], frame: bytes, now: int, wait: int) -> None:
        """A frame goes on, and takes those along that have waited long enough."""
        due = self._due(frame, now, wait)
        if due < 0:
            self._tally.rate += 1
            words.append("dropped: rate")
            return
        if due > now:
            self._tally.delayed += 1
            words.append(f"delayed {(due - now) / 1e6:.3f} ms")
        out.append(Passed(due, frame))
        if self._held:
            still = []
            for held in self._held:
                held.left -= 1
                if held.frame is None:
                    continue
                if held.left:
                    still.append(held)
                else:
                    out.append(Passed(due, held.frame))
                    held.frame = None
                    self._tally.under_way -= 1
            self._held = still

    def _due(self, frame: bytes, now: int, wait: int) -> int:
        """When a frame arrives; -1 if the queue of its edge is full."""
        start = now
        if rate := self._faults.rate:
            size = len(frame) - _PREFIX
            start = max(now, self._free)
            if (start - now) * rate / _SECOND + size > max(RATE_QUEUE, size):
                return -1
            self._free = start = start + round(size * _SECOND / rate)
        self._last = max(
            self._last, start + wait
        )  # a frame does not overtake another for its luck with jitter
        return self._last

    def _corrupted(self, frame: bytes, where: float) -> bytes:
        first = (_PREFIX + HEADER) * 8
        bits = len(frame) * 8 - first
        if bits <= 0:  # nothing but a header
            return frame
        self._tally.corrupted += 1
        bit = first + int(where * bits)
        changed = bytearray(frame)
        changed[bit >> 3] ^= 1 << (bit & 7)
        return bytes(changed)
