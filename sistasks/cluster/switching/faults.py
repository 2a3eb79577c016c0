"""The fault matrix as data: which edge between two nodes suffers what. Pure; both ends of the control line use it.

An edge is directed, (from, to), with node numbers from 1; 0 stands for any node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

ANY: Final = 0
EVERY: Final[frozenset[tuple[int, int]]] = frozenset({(ANY, ANY)})
# shares of frames, then seconds, then bytes a second
SHARES: Final = ("loss", "duplicate", "reorder", "corrupt")
TIMES: Final = ("delay", "jitter")
KINDS: Final = (*SHARES, *TIMES, "rate")
REORDER_BY: Final = 3


def selects(edges: frozenset[tuple[int, int]], source: int, target: int) -> bool:
    """Whether the edge source > target is one of `edges`, wildcards included."""
    return (
        (source, target) in edges
        or (source, ANY) in edges
        or (ANY, target) in edges
        or (ANY, ANY) in edges
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cut:
    """Edges that carry nothing; exactly one of its two fields is given.

    Attributes:
        groups: a partition: nothing passes from one group to another. A group that holds ANY (0) stands for all
            nodes that no other group names; without such a group, unnamed nodes reach everybody.
        edges: one-way cuts.
    """

    groups: tuple[frozenset[int], ...] = ()
    edges: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        if bool(self.groups) == bool(self.edges):
            raise ValueError("a cut is either groups or edges")

    def holds(self, source: int, target: int) -> bool:
        """Whether it cuts the edge source > target."""
        if self.edges:
            return selects(self.edges, source, target)
        first, second = self._group(source), self._group(target)
        return first is not None and second is not None and first != second

    def _group(self, node: int) -> int | None:
        rest = None
        for index, group in enumerate(self.groups):
            if node in group:
                return index
            if ANY in group:
                rest = index
        return rest


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault on some edges.

    Attributes:
        kind: one of KINDS.
        value: loss, duplicate, reorder, corrupt: a share of frames from 0 to 1; delay, jitter: seconds (jitter adds
            between 0 and this much to each frame's delay and keeps their order); rate: bytes a second.
        edges: where it holds; EVERY for all.
        by: reorder: how many later frames of the edge overtake a held one.
    """

    kind: str
    value: float
    edges: frozenset[tuple[int, int]] = EVERY
    by: int = REORDER_BY

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}")
        if not 0 <= self.value <= (1 if self.kind in SHARES else 1e12):
            raise ValueError(f"{self.kind} cannot be {self.value}")
        if (self.kind == "rate" and self.value < 1) or self.by < 1:
            raise ValueError(f"{self.kind} cannot be that small")


class EdgeFaults(NamedTuple):
    """What one edge suffers; the units of Rule. No rate is 0."""

    cut: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    by: int = REORDER_BY


FINE: Final = EdgeFaults()


@dataclass(frozen=True, slots=True)
class Faults:
    """All that is wrong with the network at one time.

    Attributes:
        cuts: an edge is cut if one of them holds there.
        rules: of two rules of one kind that hold on one edge, the later is in force.
        seed: of everything that is left to chance.
    """

    cuts: tuple[Cut, ...] = ()
    rules: tuple[Rule, ...] = ()
    seed: int = 1

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.cuts and not self.rules

    def cut(self, source: int, target: int) -> bool:
        """Whether the edge source > target carries nothing."""
        return any(cut.holds(source, target) for cut in self.cuts)

    def of(self, source: int, target: int) -> EdgeFaults:
        """What the edge source > target suffers."""
        cut = self.cut(source, target)
        found: dict[str, Any] = {}
        for rule in self.rules:
            if selects(rule.edges, source, target):
                found[rule.kind] = rule.value
                if rule.kind == "reorder":
                    found["by"] = rule.by
        return FINE._replace(cut=cut, **found) if cut or found else FINE

    def message(self) -> dict[str, Any]:
        """As JSON; `from_message` is the way back."""
        return {
            "cuts": [
                {"groups": [sorted(group) for group in cut.groups], "edges": sorted(cut.edges)}
                for cut in self.cuts
            ],
            "rules": [[rule.kind, rule.value, sorted(rule.edges), rule.by] for rule in self.rules],
            "seed": self.seed,
        }


def _edges(pairs: list[list[int]]) -> frozenset[tuple[int, int]]:
    return frozenset((source, target) for source, target in pairs)


def from_message(message: dict[str, Any]) -> Faults:
    """What `Faults.message` made."""
    return Faults(
        cuts=tuple(
            Cut(tuple(frozenset(group) for group in cut["groups"]), _edges(cut["edges"]))
            for cut in message["cuts"]
        ),
        rules=tuple(Rule(kind, value, _edges(pairs), by) for kind, value, pairs, by in message["rules"]),
        seed=message["seed"],
    )
