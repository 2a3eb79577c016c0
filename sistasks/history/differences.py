"""Where two profiles of the history differ: functions that execute more or less, and how much of the whole that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.history.profiles import Functions, ProfileRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One function in both profiles.

    Attributes:
        function: its name.
        base: instructions for each sample before.
        head: after.
        calls_base: calls for each sample before.
        calls_head: after.
        share: of the sum of all changes; of functions that changed against it, negative.
    """

    function: str
    base: float
    head: float
    calls_base: float
    calls_head: float
    share: float

    @property
    def change(self) -> float:
        """Instructions for each sample more than before."""
        return self.head - self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseDifference:
    """One phase in two runs.

    Attributes:
        test: of both.
        phase: of both.
        metrics: that are measured in it.
        base: instructions for each sample before, mean over nodes.
        head: after.
        functions: those that differ, the largest change first.
    """

    test: str
    phase: str
    metrics: tuple[str, ...]
    base: float
    head: float
    functions: tuple[Difference, ...]


def differences(
    base: Sequence[ProfileRecord], head: Sequence[ProfileRecord], samples: tuple[int, int]
) -> list[PhaseDifference]:
    """Compare two runs, phase by phase; nodes that both have are taken together.

    Args:
        base: profiles of the one run.
        head: of the other.
        samples: of each test on each node: of base, of head.
    """
    found = []
    before, after = _by_phase(base), _by_phase(head)
    for key, one in before.items():
        other = after.get(key)
        nodes = one.keys() & other.keys() if other is not None else set()
        if other is None or not nodes:
            continue
        scale = (len(nodes) * samples[0], len(nodes) * samples[1])
        old = _sums([one[node].functions for node in nodes], scale[0])
        new = _sums([other[node].functions for node in nodes], scale[1])
        total = sum(new[name][0] for name in new) - sum(old[name][0] for name in old)
        rows = []
        for name in old.keys() | new.keys():
            (was, calls_was), (is_now, calls_now) = old.get(name, (0.0, 0.0)), new.get(name, (0.0, 0.0))
            if was != is_now:
                rows.append(
                    Difference(
                        function=name, base=was, head=is_now, calls_base=calls_was, calls_head=calls_now,
                        share=(is_now - was) / total if total else 0.0,
                    )
                )  # fmt: skip
        rows.sort(key=lambda row: (-abs(row.change), row.function))
        some = next(iter(one.values()))
        found.append(
            PhaseDifference(
                test=key[0], phase=key[1], metrics=some.metrics, base=sum(value for value, _ in old.values()),
                head=sum(value for value, _ in new.values()), functions=tuple(rows),
            )
        )  # fmt: skip
    return found


def _by_phase(profiles: Sequence[ProfileRecord]) -> dict[tuple[str, str], dict[int, ProfileRecord]]:
    found: dict[tuple[str, str], dict[int, ProfileRecord]] = {}
    for profile in profiles:
        found.setdefault((profile.test, profile.phase), {})[profile.node] = profile
    return found


def _sums(some: Sequence[Functions], scale: int) -> dict[str, tuple[float, float]]:
    """Function -> (instructions, calls) for each sample."""
    sums: dict[str, tuple[int, int]] = {}
    for functions in some:
        for name, instructions, calls in zip(
            functions.names, functions.instructions.tolist(), functions.calls.tolist(), strict=True
        ):
            one, two = sums.get(name, (0, 0))
            sums[name] = (one + instructions, two + calls)
    return {name: (one / scale, two / scale) for name, (one, two) in sums.items()}
