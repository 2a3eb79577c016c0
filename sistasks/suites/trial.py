"""A suspicion on trial: how many pairs of fresh boots are to be measured, and when there are enough of them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from sistasks.statistics.paired import fewest, first_look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sistasks.errors import SistasksError

Boot = dict[tuple[str, str], float]
Pair = tuple[Boot, Boot]
# boots of some pairs that may fail before nothing is confirmed: some kernels do not get up every time
_FAILURES: Final = 2


class Trial:
    """Pairs, wherever they are measured. Its time begins when it is first asked for one.

    Args:
        pairs: how many are planned.
        budget: seconds after which no other pair is begun.
        settled: whether these pairs decide all; asked once, after half of those that are planned.
        at_once: pairs that are measured at the same time.
        expected: seconds that a pair is thought to take; 0: nobody knows.

    Attributes:
        found: for each pair (baseline, candidate).
    """

    def __init__(
        self,
        pairs: int,
        budget: float = math.inf,
        settled: Callable[[Sequence[Pair]], bool] | None = None,
        at_once: int = 1,
        *,
        expected: float = 0.0,
    ) -> None:
        self.pairs, self.budget, self.at_once, self.expected = pairs, budget, at_once, expected
        self.found: list[Pair] = []
        self._settled = settled
        self._look = first_look(pairs) if settled is not None else 0
        self._done = False
        self._failures = 0
        self._seconds: list[float] = []
        self._began: float | None = None

    @property
    def over(self) -> bool:
        """Whether what there is decides, so that nothing more is wanted of pairs that are under way."""
        return self._done or len(self.found) >= self.pairs

    def wants(self, under_way: int = 0) -> bool:
        """Whether another pair is to be begun.

        None is where the time that is left is too short for as many as can confirm anything.

        Args:
            under_way: pairs that have begun and not ended.
        """
        coming = len(self.found) + under_way
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        left = self.budget - (now - self._began)
        if self.over or coming >= self.pairs or left <= 0:
            return False
        return coming + self._room(left) >= min(self.pairs, fewest())

    def _room(self, left: float) -> float:
        """Pairs that can be begun in so many seconds; before one is known, twice what is thought."""
        each = self.seconds or self.expected / 2
        return math.ceil(left / each) * self.at_once if each and left < math.inf else math.inf

    @property
    def seconds(self) -> float:
        """What a pair takes, as far as is known; 0.0: nothing is."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else 0.0

    def take(self, pair: Pair, seconds: float) -> None:
        """A pair was measured, which took so long."""
        self._seconds.append(seconds)
        self.found.append(pair)
        if len(self.found) == self._look and self._settled is not None:
            self._done = self._settled(self.found)

    def fail(self, error: SistasksError, seconds: float) -> None:
        """A boot of a pair failed: another pair is measured in its place.

        Raises:
            SistasksError: that error, where it is one too many.
        """
        self._seconds.append(seconds)
        self._failures += 1
        if self._failures > _FAILURES:
            raise error

    @property
    def short(self) -> str:
        """Why there are fewer pairs than were planned and nothing is settled; empty where it is not so."""
        if self.over:
            return ""
        words = f"it takes {self.pairs} pairs"
        each = self.seconds or self.expected
        if not each or not self.budget:
            return f"{words}, and confirm={self.budget:g} allows none"
        needed = each * math.ceil((self.pairs + self._failures) / self.at_once)
        return f"{words}, {duration(needed)}: confirm={math.ceil(needed / 60) * 60}"


def duration(seconds: float) -> str:
    """A time that is foreseen: `about 40 s`, `about 4 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
