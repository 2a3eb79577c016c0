"""Every metric: its unit, which direction is better, and the target that it is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sistasks.suites.stress import table


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric; a row of the table `metrics`.

    Attributes:
        name: `test.what`.
        unit: of each sample (units.py); samples are whole numbers, so that a count for each decision is in thousandths.
        better: `lower` or `higher`.
        target: the value that `target_statistic` must not be worse than; None: no target.
        target_statistic: `mean`, `p95` or `p99`.
        industry: what others reach, in words.
        minimum_effect: the smallest change worth a verdict, as a share.
        description: what one sample is.
    """

    name: str
    unit: str
    better: str
    target: float | None = None
    target_statistic: str | None = None
    industry: str = ""
    minimum_effect: float = 0.05
    description: str

    def meets_target(self, value: float) -> bool | None:
        """Whether a value of the target's statistic meets it; None where there is no target."""
        if self.target is None:
            return None
        return value <= self.target if self.better == "lower" else value >= self.target


def _of_load(name: str) -> tuple[Metric, ...]:
    """The metrics of a class of load."""
    test = table.PREFIX + name
    return (
        Metric(
            name=f"{test}.latency", unit="ns", better="lower",
            description="as context_switch.latency, once a millisecond, under this load",
        ),
        Metric(
            name=f"{test}.rest", unit="ns", better="lower",
            description="the same just before the load",
        ),
        Metric(
            name=f"{test}.memory", unit="bytes", better="lower",
            description="most memory of the guest that was not available meanwhile",
        ),
        Metric(
            name=f"{test}.recovery", unit="ns", better="lower",
            description="from the end of the load until processes, memory and latency were back",
        ),
    )  # fmt: skip


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            name="ai_inference.latency", unit="ns", better="lower", target=40_000, target_statistic="p99",
            industry="TensorFlow Lite 50-100 ms, ONNX Runtime 25-80 ms",
            description="one forward pass of an int8 perceptron (64-64-32-10), its output checked",
        ),
        Metric(
            name="context_switch.latency", unit="ns", better="lower", target=500, target_statistic="p95",
            industry="Linux 1-2 us",
            description="from before a write to a pipe until another process on the same processor has read it",
        ),
        Metric(
            name="memory_allocation.latency", unit="ns", better="lower", target=1_000, target_statistic="p99",
            industry="glibc malloc 100-500 ns",
            description="map one page, touch it, unmap it",
        ),
        Metric(
            name="memory_allocation.small", unit="ns", better="lower",
            industry="glibc malloc 100-500 ns",
            description="free one block and allocate another of 16 to 2048 bytes among 64 living ones, first write",
        ),
        Metric(
            name="memory_allocation.fragmentation", unit="ppm", better="lower",
            description="share of free memory outside free blocks of 2 MiB and more (/proc/buddyinfo)",
        ),
        Metric(
            name="throughput.rate", unit="ops/s", better="higher", target=500_000, target_statistic="mean",
            description="rate of a batch of 32 mixed system calls; the largest is the peak",
        ),
        Metric(
            name="throughput.sustained", unit="ops/s", better="higher",
            description="rate over a tenth of the test, without a pause",
        ),
        Metric(
            name="boot.firmware", unit="ns", better="lower",
            description="from power-on to the kernel's message clock: firmware, loader, the kernel's unpacking",
        ),
        Metric(
            name="boot.kernel", unit="ns", better="lower",
            description="from the kernel's message clock to the first instruction of PID 1",
        ),
        Metric(
            name="boot.userspace", unit="ns", better="lower",
            description="from the first instruction of PID 1 until the agent has its plan",
        ),
        Metric(
            name="network.round_trip", unit="ns", better="lower",
            description="from sending a UDP message to a neighbour until its echo is there, all nodes at once",
        ),
        Metric(
            name="network.message_cost", unit="ns", better="lower",
            description="CPU time of the host for one such message: both nodes, their emulators and the switch",
        ),
        Metric(
            name="consensus.latency", unit="ns", better="lower", target=5_000_000, target_statistic="p95",
            industry="Tendermint 5-10 ms",
            description="from a node's submitting a command until its own log has it; each decision is one sample",
        ),
        Metric(
            name="consensus.throughput", unit="decisions/h", better="higher",
            description="rate of decisions over a tenth of the test",
        ),
        Metric(
            name="consensus.messages", unit="thousandths", better="lower",
            description="frames of loyal nodes for each decision, counted by the switch",
        ),
        Metric(
            name="consensus.bytes", unit="bytes", better="lower",
            description="bytes of those frames for each decision",
        ),
        Metric(
            name="consensus.rounds", unit="thousandths", better="lower",
            description="views that each decision took; 1 is the least",
        ),
        Metric(
            name="consensus.bound", unit="ns", better="lower",
            description="CPU time of all nodes and the switch for one decision / processors of the host",
        ),
        Metric(
            name="partition.recovery_time", unit="ns", better="lower", target=500_000_000, target_statistic="p95",
            description="from healing a partition until every log has caught up",
        ),
        Metric(
            name="partition.lost", unit="decisions", better="lower",
            description="decisions that a partition made undone; must be 0",
        ),
        Metric(
            name="election.time", unit="ns", better="lower", target=100_000_000, target_statistic="p95",
            description="from losing a leader until a majority knows the next one",
        ),
        Metric(
            name="election.rounds", unit="terms", better="lower",
            description="terms that it took",
        ),
        Metric(
            name="fuzzing.rate", unit="calls/s", better="higher", minimum_effect=0.2,
            description="system calls of the median episode of fuzzing, with all that they wait for",
        ),
        Metric(
            name="penetration.rest", unit="ns", better="lower",
            description="from a probe of another node (UDP or ICMP echo) to its answer, while nothing else goes on",
        ),
        Metric(
            name="penetration.latency", unit="ns", better="lower",
            description="the same while the other node is flooded",
        ),
        Metric(
            name="penetration.answered", unit="ppm", better="higher",
            description="share of the probes (UDP, ICMP, TCP) sent during a flood that were answered",
        ),
        Metric(
            name="penetration.recovery", unit="ns", better="lower", minimum_effect=0.2,
            description="from a flood's end until an answer came within twice the median time before it",
        ),
        *(metric for name in table.CLASSES for metric in _of_load(name)),
    )
}  # fmt: skip
