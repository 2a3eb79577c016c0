"""A suite is a frozen record: which tests of the agent it runs, and which metrics each must give."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sistasks.suites.shipped import source_of
from sistasks.suites.stress.table import CLASSES, METRICS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.guest.programs import Program
    from sistasks.suites.acted import Act
    from sistasks.suites.metrics import Metric

# what came after suites had runs in histories: left out of the identity where a suite has nothing of it
_LATER: Final = (
    "programs", "metrics", "act", "measures", "conducted", "of_cluster", "variables", "asked",
    "guarded", "rules",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite.

    Attributes:
        name: as a person types it.
        title: the name in JSON files, which other programs read.
        tests: test -> the metrics that it must give; one that is missing is an error.
        cold: measured on nodes that boot, not on clones.
        network: its nodes are one cluster on a switch, all up at once.
        conducted: the cluster (node 0) must give the metrics of the tests, which its nodes only take part in.
        of_cluster: tests that node 0 answers for, beside those of the nodes; as `tests`.
        variables: settings with which its numbers are others: part of its environment.
        asked: settings with which it looks at more or less: runs with others are other runs, but comparable.
        guarded: its nodes have a processor with protections that a kernel may use (`Arch.guarded_cpu`).
        own_metrics: what single nodes of a cluster may give beside.
        least_nodes: with fewer it makes no sense.
        iterations: samples of each test; None: what the settings say.
        console: the kernel is listened to in this protocol, with our agent left out; empty: the agent runs it.
        programs: those of the user's among the tests.
        metrics: that the suite brings with it.
        act: what is done with its nodes while they are up and run the tests.
        measures: the metrics that `act` must give.
        rules: digest of what its findings are judged by.
        version: raised when the meaning of a number changes, so that old runs are no longer compared.
    """

    name: str
    title: str
    tests: dict[str, tuple[str, ...]]
    cold: bool = False
    network: bool = False
    conducted: bool = False
    of_cluster: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    variables: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    guarded: bool = False
    own_metrics: tuple[str, ...] = ()
    least_nodes: int = 1
    iterations: int | None = None
    console: str = ""
    programs: tuple[Program, ...] = ()
    metrics: tuple[Metric, ...] = ()
    act: Act | None = None
    measures: tuple[str, ...] = ()
    rules: str = ""
    version: int = 1

    @property
    def whole(self) -> dict[str, tuple[str, ...]] | None:
        """What node 0 answers for: test -> the metrics that it must give; None: there are only the nodes."""
        if self.act is not None:
            return {self.act.__name__: self.measures}
        if self.conducted:
            return self.tests
        return dict(self.of_cluster) or None

    def digest(self) -> str:
        """What must be equal for two runs to be of the same suite."""
        fields: dict[str, Any] = asdict(self)
        # their files are part of the guest's identity
        fields["programs"] = [(one.name, one.arguments, one.timeout) for one in self.programs]
        fields["act"] = source_of(self.act) if self.act is not None else ""
        for name in _LATER:
            if not fields[name]:
                del fields[name]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


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
    asked=("profile",),
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
    conducted=True,
    variables=("protocol", "byzantine", "traitors", "faults"),
    least_nodes=4,
    own_metrics=("network.round_trip", "consensus.latency"),
)

STRESS: Final = Suite(
    name="stress",
    title="stress",
    tests={PREFIX + name: tuple(f"{PREFIX}{name}.{metric}" for metric in METRICS) for name in CLASSES},
    network=True,
    iterations=1,
    variables=("duration", "stressors"),
    asked=("seed",),
)

SECURITY: Final = Suite(
    name="security",
    title="security_validation",
    # the one that may end a node comes last
    tests={"hardening": (), "fuzzing": ("fuzzing.rate",)},
    of_cluster={"configuration": (), "image": (), "vulnerabilities": (), "kaslr": ()},
    guarded=True,
    iterations=1,
    # other nodes fuzz with other seeds
    asked=("episodes", "advisories", "nodes", "seed"),
)

PENETRATION: Final = Suite(
    name="penetration",
    title="security_penetration",
    tests={
        "penetration": (
            "penetration.rest",
            "penetration.latency",
            "penetration.answered",
            "penetration.recovery",
        )
    },
    network=True,
    conducted=True,
    least_nodes=2,
    iterations=1,
    asked=("seed",),
)

KTAP: Final = Suite(name="ktap", title="ktap", tests={}, console="ktap", iterations=1)

SUITES: Final = {
    suite.name: suite for suite in (BOOT, PERFORMANCE, DISTRIBUTED, STRESS, SECURITY, PENETRATION, KTAP)
}
