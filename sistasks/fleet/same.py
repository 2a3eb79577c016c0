"""Whether workers that say that they are one environment measure the same, and which of them are odd."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sistasks.history.series import Key, Series


@dataclass(frozen=True, slots=True)
class Sampled:
    """A run with its series.

    Attributes:
        run: its number.
        worker: the address of the one that it came from.
        series: (node, metric) -> what its samples come to.
    """

    run: int
    worker: str
    series: Mapping[Key, Series]

    @property
    def samples(self) -> int:
        """How many there are in all of its series."""
        return sum(one.count for one in self.series.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What runs of one environment come to.

    Attributes:
        reference: the first of those that most agree with; without a majority the first of all.
        majority: more than half of the runs are the same as the reference, to the bit.
        apart: runs that differ from it.
        odd: workers that must not be believed, in order: those of such runs; without a majority all; none where no
            run differs.
        kinds: worker -> numbers of what its runs gave: runs that gave the same have the same number.
    """

    reference: Sampled
    majority: bool
    apart: tuple[Sampled, ...]
    odd: tuple[str, ...]
    kinds: Mapping[str, frozenset[int]]


def agreement(runs: Sequence[Sampled]) -> Agreement:
    """Find out who differs.

    Args:
        runs: of one environment, as many of each worker; at least one.
    """
    # what runs gave, numbered as it first came
    numbers: dict[frozenset[tuple[Key, Series]], int] = {}
    kinds = [numbers.setdefault(frozenset(run.series.items()), len(numbers)) for run in runs]
    usual, count = Counter(kinds).most_common(1)[0]
    majority = 2 * count > len(runs)
    standard = usual if majority else 0
    apart = tuple(run for run, kind in zip(runs, kinds, strict=True) if kind != standard)
    by_worker: dict[str, set[int]] = {}
    for run, kind in zip(runs, kinds, strict=True):
        by_worker.setdefault(run.worker, set()).add(kind)
    return Agreement(
        reference=runs[kinds.index(standard)],
        majority=majority,
        apart=apart,
        odd=tuple(dict.fromkeys(run.worker for run in (apart if majority else runs))),
        kinds={worker: frozenset(found) for worker, found in by_worker.items()},
    )
