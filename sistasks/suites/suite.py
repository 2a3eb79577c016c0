"""A suite is a frozen record: which tests of the agent it runs, and which metrics each must give."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite.

    Attributes:
        name: as a person types it.
        title: the name in JSON files, which other programs read.
        tests: test -> the metrics that it must give; one that is missing is an error. Of a cluster it is the cluster
            (node 0) that must give them.
        cold: measured on nodes that boot, not on clones.
        network: its nodes are one cluster on a switch, all up at once.
        own_metrics: what single nodes of a cluster may give beside.
        least_nodes: with fewer it makes no sense.
        iterations: samples of each test; None: what the settings say.
        version: raised when the meaning of a number changes, so that old runs are no longer compared.
    """

    name: str
    title: str
    tests: dict[str, tuple[str, ...]]
    cold: bool = False
    network: bool = False
    own_metrics: tuple[str, ...] = ()
    least_nodes: int = 1
    iterations: int | None = None
    version: int = 1

    def digest(self) -> str:
        """What must be equal for two runs to be of the same suite."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


PERFORMANCE: Final = Suite(
    name="performance",
    title="performance_benchmark",
    tests={
        "context_switch": ("context_switch.latency",),
        "memory_allocation": (
            "memory_allocation.latency",
            "memory_allocation.small",
            "memory_allocation.fragmentation",
        ),
        "ai_inference": ("ai_inference.latency",),
        "throughput": ("throughput.rate", "throughput.sustained"),
    },
)

BOOT: Final = Suite(
    name="boot",
    title="boot_benchmark",
    tests={"boot": ("boot.firmware", "boot.kernel", "boot.userspace")},
    cold=True,
    iterations=1,
)

DISTRIBUTED: Final = Suite(
    name="distributed",
    title="distributed_consensus",
    tests={
        "network": ("network.message_cost",),
        "consensus": (
            "consensus.throughput",
            "consensus.messages",
            "consensus.bytes",
            "consensus.rounds",
            "consensus.bound",
        ),
        "partition": ("partition.recovery_time", "partition.lost"),
        "election": ("election.time", "election.rounds"),
    },
    network=True,
    least_nodes=4,
    own_metrics=("network.round_trip", "consensus.latency"),
)

SUITES: Final = {suite.name: suite for suite in (BOOT, PERFORMANCE, DISTRIBUTED)}
