"""What the settings make of a cluster: who betrays it, how patient it is, and each node's plan."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sistasks.cluster.schedule import Schedule, parse
from sistasks.errors import UsageError
from sistasks.guest.plan import REPLICAS_MAX, SECRET_SIZE, Plan, Replica
from sistasks.suites.suite import DISTRIBUTED
from sistasks.suites.talk import NETWORK

if TYPE_CHECKING:
    from sistasks.settings import Settings

TESTS: Final = ("network", "consensus", "partition", "election")
# each in turn where `traitors=mixed`; what a forger can do needs authentication to be off
TREASONS: Final = ("equivocate", "silent", "corrupt", "replay", "late", "false_view", "flood")
# seconds that nodes wait at least before they give up a leader
LEAST: Final = {"network": 1.0, "consensus": 0.5, "partition": 0.3, "election": 0.05}
# decisions for which there must be time, each of 2 n^2 messages; and a timeout holds four heartbeats of 2 n messages,
# which together may take a fifth of what the cluster can do
_DECISIONS: Final = 3
_PACES: Final = 6
# where nothing can be decided every node asks every other how far it is, four times in a timeout: in a large cluster
# that is as much work as a decision
_PACES_LARGE: Final = 16
LARGE: Final = 50
_HEARTBEATS: Final = 40
_PINGS_LEAST: Final = 20
_PINGS_WORK: Final = 5_000
_DECISIONS_LEAST: Final = 10
_DECISIONS_WORK: Final = 20_000


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
        limit: seconds that a test may take.
        faults: what happens to the network during the consensus test.
        tests: what is run, in this order.
    """

    count: int
    seed: int
    protocol: str
    treasons: dict[int, str]
    pings: int
    decisions: int
    limit: float
    faults: Schedule
    tests: tuple[str, ...] = TESTS

    @property
    def pipeline(self) -> int:
        """Decisions under way at once: one, or latency would be that of a queue."""
        return 1

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

    def timeout(self, test: str, *, rate: float, pace: float) -> float:
        """Seconds that nodes wait in a test before they give up a leader.

        They follow what this machine can do, for on a slow one too much haste brings a storm of repeated messages and
        new leaders: in the agreeing tests a few decisions must fit, in an election all heartbeats into a part of it.

        Args:
            test: its name.
            rate: messages a second that the whole cluster got across in the network test.
            pace: seconds between two decisions, where that is known; 0: it is guessed from the rate.
        """
        if test == "election":
            return max(LEAST["election"], _HEARTBEATS * self.count / rate)
        paces = _PACES_LARGE if self.count >= LARGE else _PACES
        return max(LEAST[test], paces * pace if pace else _DECISIONS * 2 * self.count**2 / rate)

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
            network=NETWORK, timeouts=LEAST, report=self.report, protocol=self.protocol, pipeline=self.pipeline,
            decisions={"network": self.pings, "consensus": self.decisions},
            treasons={"consensus": self.treasons[node]} if node in self.treasons else {},
        )  # fmt: skip
        return Plan(node=node, seed=self.seed + node, tests=self.tests, replica=replica)

    def _secret(self, one: int, other: int) -> bytes:
        """What two nodes share, and no third is told: drawn from the seed, so that a run can be played again."""
        low, high = min(one, other), max(one, other)
        return hashlib.sha256(f"sistasks secret {self.seed} {low} {high}".encode()).digest()[:SECRET_SIZE]


def configure(settings: Settings, *, limit: float) -> Config:
    """Make a cluster of what was asked.

    Args:
        settings: what was asked.
        limit: seconds that a test may take.

    Raises:
        UsageError: too few nodes or too many, more traitors than the protocols bear, or faults that cannot be.
    """
    count = settings.nodes
    least = DISTRIBUTED.least_nodes
    if count < least:
        raise UsageError(
            f"nodes={count} cannot agree: it takes {least} to bear one traitor", f"at least nodes={least}"
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
    return Config(
        count=count, seed=settings.seed, protocol=settings.protocol, treasons=_treasons(settings),
        pings=min(settings.iterations, max(_PINGS_LEAST, _PINGS_WORK // count)),
        decisions=min(settings.iterations, max(_DECISIONS_LEAST, _DECISIONS_WORK // count**2)),
        limit=limit, faults=parse(settings.faults, count),
    )  # fmt: skip


def _treasons(settings: Settings) -> dict[int, str]:
    """Who betrays, drawn from the seed, and how."""
    # which nodes are bad is no secret; that it can be drawn again is what matters
    dice = random.Random(settings.seed)  # noqa: S311 - as said
    chosen = dice.sample(range(1, settings.nodes + 1), settings.byzantine)
    kinds = TREASONS if settings.traitors == "mixed" else (settings.traitors,)
    return {node: kinds[place % len(kinds)] for place, node in enumerate(chosen)}
