"""What counting costs: processor time and wall time of a node with the plugin, as multiples of those without.

    python tests/benchmarks/profile.py [PAIRS]

A clone runs the performance suite on the virtual clock, without the plugin and with it, each pair in the other order
than the one before; a ratio is the median of those of the pairs (5 if not said). Both bring the node up from the
template, translate the guest's code and measure. Their samples are compared: counting moves none.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import measure

from sistasks.cluster.nodes import Cluster
from sistasks.guest.plan import Plan
from sistasks.profile import counts
from sistasks.session import SESSION_ID
from sistasks.suites import profiling
from sistasks.suites.suite import PERFORMANCE

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.spec import Machine

ITERATIONS: Final = (1000, 20000)
# of the processor time; most of it is spent once, on translating the guest's code
BOUNDS: Final = {1000: 2.0, 20000: 1.5}


@dataclass(frozen=True)
class Cost:
    """Seconds that one node took, and its samples."""

    cpu: float
    wall: float
    samples: dict[str, list[float]]


def cost(bench: measure.Bench, machine: Machine, iterations: int, scratch: Path) -> Cost:
    """Run one node and have its processes ended."""
    cluster = Cluster(
        machine=machine, template=bench.template, logs=bench.folder / "logs", scratch=scratch, session=SESSION_ID,
        slots=1, timeout=600,
    )  # fmt: skip
    plan = Plan(node=1, seed=1, tests=tuple(PERFORMANCE.tests), iterations=iterations, aligned=True)
    used, began = processor_seconds(), time.monotonic()
    (report,) = asyncio.run(cluster.run([plan], measure.Silent()))
    seconds = time.monotonic() - began
    assert report.error is None, report.error
    if report.profile is not None:
        assert counts.read(report.profile.read_bytes())
    return Cost(processor_seconds() - used, seconds, dict(report.results.samples))


def processor_seconds() -> float:
    """Of all our children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    kept = True
    with measure.folder() as place:
        bench = measure.Bench(place, "virtual", "128M")
        plain = replace(bench.recipe.machine, plugin=None)
        counting = profiling.with_plugin(PERFORMANCE, bench.recipe).machine
        print(f"{'iterations':>10} {'CPU without':>11} {'with':>8} {'ratio':>6} {'wall':>6}  at most")
        for iterations in ITERATIONS:
            found = []
            for number in range(pairs):
                machines = (plain, counting) if number % 2 == 0 else (counting, plain)
                costs = [cost(bench, machine, iterations, place / "scratch") for machine in machines]
                found.append(costs if number % 2 == 0 else costs[::-1])
                assert costs[0].samples == costs[1].samples, "counting moves samples"
            without = statistics.median(one.cpu for one, _ in found)
            counted = statistics.median(other.cpu for _, other in found)
            ratio = statistics.median(other.cpu / one.cpu for one, other in found)
            wall = statistics.median(other.wall / one.wall for one, other in found)
            good = ratio <= BOUNDS[iterations]
            kept &= good
            print(
                f"{iterations:>10} {without:>9.2f} s {counted:>6.2f} s {ratio:>6.2f} {wall:>6.2f}"
                f"  {BOUNDS[iterations]:.1f} {'kept' if good else 'missed'}",
                flush=True,
            )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
