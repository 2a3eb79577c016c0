"""What the settings make of a cluster: who betrays it, how patient it is, and each node's plan."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.cluster.schedule import Schedule, parse
from sistasks.errors import UsageError
from sistasks.guest.plan import REPLICAS_MAX, SECRET_SIZE, Plan, Replica

if TYPE_CHECKING:
    from sistasks.settings import Settings

TESTS: Final = ("network", "consensus", "partition", "election")
LEAST_NODES: Final = 4
# 10.77.0.0, a network of nobody but the nodes
NETWORK: Final = (10 << 24) + (77 << 16)
# each in turn where `traitors=mixed`; what a forger can do needs authentication to be off
TREASONS: Final = ("equivocate", "silent", "corrupt", "replay", "late", "false_view", "flood")
# processor time of one message with all that belongs to it, as seen under emulation: only for choosing how patient
# nodes are, never a result
_MESSAGE: Final = 100e-6
_PINGS_LEAST: Final = 20
_PINGS_WORK: Final = 5_000
_DECISIONS_LEAST: Final = 10
_DECISIONS_WORK: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A cluster and what is asked of it.

    Attributes:
        count: nodes, n.
        seed: the run's.
        protocol: `pbft` or `hotstuff`.
        treasons: traitor -> what it does in the consensus test.
        pings: echoes that each node asks for in the network test.
        decisions: commands that the consensus test decides.
        timeouts: test -> seconds that nodes wait before they give up a leader.
        limit: seconds that a test may take.
        faults: what happens to the network during the consensus test.
    """

    count: int
    seed: int
    protocol: str
    treasons: dict[int, str]
    pings: int
    decisions: int
    timeouts: dict[str, float]
    limit: float
    faults: Schedule

    @property
    def faulty(self) -> int:
        """Traitors that the protocols bear, f."""
        return (self.count - 1) // 3

    @property
    def quorum(self) -> int:
        """Nodes that it takes to decide: any two quorums share a loyal node."""
        return self.count - self.faulty

    @property
    def majority(self) -> int:
        """Nodes that it takes to elect a leader."""
        return self.count // 2 + 1

    @property
    def report(self) -> float:
        """Seconds between two words of a node on its progress: all nodes' together stay a small part of the work."""
        return max(0.02, 0.002 * self.count)

    def plans(self) -> list[Plan]:
        """Each node's plan."""
        return [self._plan(node) for node in range(1, self.count + 1)]

    def _plan(self, node: int) -> Plan:
        replica = Replica(
            count=self.count, cluster_seed=self.seed,
            secrets=tuple(self._secret(node, other) for other in range(1, self.count + 1)),
            network=NETWORK, timeouts=self.timeouts, report=self.report, protocol=self.protocol,
            decisions={"network": self.pings, "consensus": self.decisions},
            treasons={"consensus": self.treasons[node]} if node in self.treasons else {},
        )  # fmt: skip
        return Plan(node=node, seed=self.seed + node, tests=TESTS, replica=replica)

    def _secret(self, one: int, other: int) -> bytes:
        """What two nodes share, and no third is told: drawn from the seed, so that a run can be played again."""
        low, high = min(one, other), max(one, other)
        return hashlib.sha256(f"sistasks secret {self.seed} {low} {high}".encode()).digest()[:SECRET_SIZE]


def configure(settings: Settings, *, cores: int, limit: float) -> Config:
    """Make a cluster of what was asked.

    Args:
        settings: what was asked.
        cores: processors that all nodes share.
        limit: seconds that a test may take.

    Raises:
        UsageError: too few nodes or too many, more traitors than the protocols bear, or faults that cannot be.
    """
    count = settings.nodes
    if count < LEAST_NODES:
        raise UsageError(
            f"nodes={count} cannot agree: it takes {LEAST_NODES} to bear one traitor", f"nodes={LEAST_NODES}"
        )
    if count > REPLICAS_MAX:
        raise UsageError(f"nodes={count} are too many for one cluster", f"at most nodes={REPLICAS_MAX}")
    faulty = (count - 1) // 3
    if settings.byzantine > count:
        raise UsageError(f"byzantine={settings.byzantine} is more than there are nodes", f"nodes={count}")
    if settings.byzantine > faulty and not settings.force:
        raise UsageError(
            f"byzantine={settings.byzantine} is more than {count} nodes can bear, which is {faulty}",
            "force=yes shows how agreement is lost",
        )
    work = 2 * count * count * _MESSAGE / cores
    timeouts = {
        "consensus": max(0.5, 8 * work),
        "partition": max(0.3, 5 * work),
        "election": 0.05 + 120 * count * _MESSAGE / cores,
        "network": 1.0,
    }
    return Config(
        count=count, seed=settings.seed, protocol=settings.protocol, treasons=_treasons(settings),
        pings=min(settings.iterations, max(_PINGS_LEAST, _PINGS_WORK // count)),
        decisions=min(settings.iterations, max(_DECISIONS_LEAST, _DECISIONS_WORK // count**2)),
        timeouts=timeouts, limit=limit, faults=parse(settings.faults, count),
    )  # fmt: skip


def _treasons(settings: Settings) -> dict[int, str]:
    """Who betrays, drawn from the seed, and how."""
    # which nodes are bad is no secret; that it can be drawn again is what matters
    dice = random.Random(settings.seed)  # noqa: S311 - as said
    chosen = dice.sample(range(1, settings.nodes + 1), settings.byzantine)
    kinds = TREASONS if settings.traitors == "mixed" else (settings.traitors,)
    return {node: kinds[place % len(kinds)] for place, node in enumerate(chosen)}
