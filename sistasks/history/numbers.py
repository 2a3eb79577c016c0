"""Numbers of runs when two histories become one: which runs both have, and in which order all of them stand.

A run has no name that is the same everywhere: its number is that of its history. It is known again by what no two runs
share: the invocation of doit that it belongs to (by host and by its beginning, to the microsecond), its own beginning,
and what was run on what. Runs that agree in all of that, which takes a frozen clock, are told apart by their order.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Identity: TypeAlias = tuple[str | int, ...]

# how the gate's words name runs: `run 7`, `runs 1-3, 7`
_NAMED: Final = re.compile(
    r"\b(runs?) (\d{1,18}(?:-\d{1,18})?(?:, \d{1,18}(?:-\d{1,18})?)*)(?![\w-])", re.ASCII
)
# a session that was renamed (`another_name`) keeps what it was called before it
RENAMED: Final = "~"


@dataclass(frozen=True, slots=True)
class Run:
    """What of a run decides who it is and where it stands.

    Attributes:
        id: its number in its history.
        identity: what no other run has, except one that is told apart by its order.
        finished_at: as the history writes it, so that text sorts as time.
    """

    id: int
    identity: Identity
    finished_at: str


@dataclass(frozen=True, slots=True)
class Numbering:
    """The numbers of all runs in the history that two become.

    Attributes:
        ours: old number -> new one, of all runs that were there; a run never gets a lower one.
        theirs: number in the other history -> new one, of all of its runs.
        known: those of the other history's numbers whose runs were there already.
    """

    ours: Mapping[int, int]
    theirs: Mapping[int, int]
    known: frozenset[int]

    @property
    def moved(self) -> dict[int, int]:
        """Old number -> new one, of the runs that were there and get another one."""
        return {old: new for old, new in self.ours.items() if old != new}

    @property
    def new(self) -> list[int]:
        """Numbers in the other history of the runs that come, in order."""
        return [number for number in self.theirs if number not in self.known]


def original(session: str) -> str:
    """What a session called itself, before a merge had to call it something else."""
    return session.partition(RENAMED)[0]


def told_apart(runs: Iterable[Run]) -> list[Run]:
    """The same runs with an identity each: of those that agree in it, the first is 1, the next 2.

    Args:
        runs: of one history, by number.
    """
    seen: Counter[Identity] = Counter()
    found = []
    for run in runs:
        seen[run.identity] += 1
        found.append(Run(run.id, (*run.identity, seen[run.identity]), run.finished_at))
    return found


def number(ours: Sequence[Run], theirs: Sequence[Run]) -> Numbering:
    """Numbers for all runs of two histories, so that a later run has a higher one.

    The gate takes the run of the highest number for the newest, and an accepted one for the beginning of what is
    normal: so runs that come from elsewhere stand where their time puts them. Each history keeps its own order,
    whatever its clock said. A run that was there keeps its number unless an earlier one comes.

    Args:
        ours: by number, told apart.
        theirs: the same of the other history.
    """
    place = {run.identity: index for index, run in enumerate(ours)}
    merged: list[tuple[bool, Run]] = []
    known: set[int] = set()
    passed = 0

    def take(end: int) -> None:
        nonlocal passed
        merged.extend((True, run) for run in ours[passed:end])
        passed = max(passed, end)

    for run in theirs:
        index = place.get(run.identity)
        if index is not None:
            known.add(run.id)
            take(index + 1)
            continue
        end = passed
        while end < len(ours) and ours[end].finished_at <= run.finished_at:
            end += 1
        take(end)
        merged.append((False, run))
    take(len(ours))
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})
    last = 0
    for own, run in merged:
        # a history that was empty becomes a copy of the other
        last = max(last + 1, run.id if own or not ours else 0)
        numbers[own][run.id] = last
    theirs_now, ours_now = numbers
    of_identity = {run.identity: ours_now[run.id] for run in ours}
    all_theirs = {
        run.id: of_identity[run.identity] if run.id in known else theirs_now[run.id] for run in theirs
    }
    return Numbering(ours=ours_now, theirs=all_theirs, known=frozenset(known))


def retold(words: str, numbers: Mapping[int, int], most: int = 0) -> str:
    """Words of the gate's with the new numbers of the runs that they name; where none is known they stay.

    Args:
        words: `run 7 (debian)`, `runs 1-3, 7`, `this run did not measure it, run 1 did`.
        numbers: old -> new.
        most: how often runs are named; what follows may be a kernel's name. 0: as often as it looks so.
    """
    known = sorted(numbers)

    def again(match: re.Match[str]) -> str:
        found: set[int] = set()
        for part in match[2].split(", "):
            low, _, high = part.partition("-")
            ends = bisect.bisect_left(known, int(low)), bisect.bisect_right(known, int(high or low))
            found.update(numbers[old] for old in known[slice(*ends)])
        return f"{match[1]} {spans(found)}" if found else match[0]

    return _NAMED.sub(again, words, count=most)


def spans(numbers: Iterable[int]) -> str:
    """Numbers as a person reads them: `1-3, 7`."""
    found: list[list[int]] = []
    for one in sorted(numbers):
        if found and found[-1][-1] == one - 1:
            found[-1][1:] = [one]
        else:
            found.append([one])
    return ", ".join("-".join(map(str, span)) for span in found)
