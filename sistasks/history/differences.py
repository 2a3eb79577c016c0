"""What functions execute for each sample, alone and against another run, and how much of the whole that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.history.profiles import Functions, ProfileRecord

LEAST: Final = 0.001
"""Change of what a phase executes that is worth a look, as a share."""


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

    @property
    def changed(self) -> bool:
        """Whether the phase executes more or less that is worth a look."""
        return bool(self.functions) and abs(self.head - self.base) >= LEAST * self.base


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one function executes.

    Attributes:
        function: its name.
        instructions: for each sample.
        calls: for each sample.
        share: of the instructions of its phase.
    """

    function: str
    instructions: float
    calls: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseShares:
    """One phase of a run.

    Attributes:
        test: its test.
        phase: what of it.
        metrics: that are measured in it.
        nodes: that were counted, taken together.
        instructions: for each sample, mean over nodes.
        functions: those that executed any, the most first.
    """

    test: str
    phase: str
    metrics: tuple[str, ...]
    nodes: int
    instructions: float
    functions: tuple[Share, ...]


def shares(profiles: Sequence[ProfileRecord], samples: int) -> list[PhaseShares]:
    """Rank the functions of a run, phase by phase.

    Args:
        profiles: of the run.
        samples: of each test on each node.
    """
    found = []
    for (test, phase), nodes in _by_phase(profiles).items():
        sums = _sums([one.functions for one in nodes.values()], len(nodes) * samples)
        # sums of figures for each sample would be rounded
        whole = sum(one.functions.total("instructions") for one in nodes.values())
        total = whole / (len(nodes) * samples)
        rows = [
            Share(function=name, instructions=value, calls=calls, share=value / total)
            for name, (value, calls) in sums.items()
            if value
        ]
        rows.sort(key=lambda row: (-row.instructions, row.function))
        found.append(
            PhaseShares(
                test=test, phase=phase, metrics=next(iter(nodes.values())).metrics, nodes=len(nodes),
                instructions=total, functions=tuple(rows),
            )
        )  # fmt: skip
    return found


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
