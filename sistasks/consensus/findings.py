"""What a checker finds: violations, each told once for all the nodes that it is the same for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal[
    "agreement",
    "validity",
    "duplicate",
    "order",
    "chain",
    "liveness",
    "lost",
    "minority",
    "two leaders",
    "double vote",
    "votes",
    "term",
]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept.

    Attributes:
        kind: which promise.
        nodes: whom it was seen at, in order.
        index: the first place in the log where it was seen (or the height, for `chain`, `liveness` and `lost`; the
            term, for elections).
        words: what a person reads; names nodes, places and commands.
    """

    kind: Kind
    nodes: tuple[int, ...]
    index: int
    words: str


def names(nodes: Iterable[int]) -> str:
    """Nodes in words: `node 4`, `nodes 1-3, 7`."""
    ordered = sorted(set(nodes))
    runs: list[list[int]] = []
    for node in ordered:
        if runs and node == runs[-1][1] + 1:
            runs[-1][1] = node
        else:
            runs.append([node, node])
    parts = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}" for a, b in runs]
    return f"{'node' if len(ordered) == 1 else 'nodes'} {', '.join(parts)}"


def gathered(kind: Kind, found: Mapping[int, list[tuple[int, str]]]) -> list[Violation]:
    """One violation for each set of nodes at which the same was found.

    Args:
        kind: of them all.
        found: node -> (index, words without the node), in the order of the log; may be empty.
    """
    nodes_of: dict[tuple[tuple[int, str], ...], list[int]] = {}
    for node, things in sorted(found.items()):
        if things:
            nodes_of.setdefault(tuple(things), []).append(node)
    violations = []
    for same, nodes in nodes_of.items():
        index, words = same[0]
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        violations.append(Violation(kind, tuple(nodes), index, f"{names(nodes)}: {words}{more}"))
    return violations
