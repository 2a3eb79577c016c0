"""A thousand workers and one process that records: simulated days, with what was measured here.

    python tests/benchmarks/history_scale.py --json history.json
    python tests/benchmarks/fleet_simulation.py history.json [--runs 1e5] [--workers 1000] [--service SECONDS]

history.json tells what recording a run takes at home, how that grows with the history, and what a run weighs on the
wire and the disk. What is assumed are the arguments: how many runs, at what time of the day, in how many environments,
and how long a run takes a worker (without --service as long as keeps 3/4 of the workers at work in the peak). The model
is tests/fleet_queue.py, which a test holds to the theory of queues.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))

from fleet_queue import DAY, Fleet, simulate  # type: ignore[import-not-found,unused-ignore]

# days of runs that the history of the divided ones has
_HELD = 10.0
_KEEP = "kernels to keep, after each new one"
_HEAD = (
    f"{'':34}{'workers':>8}{'writer':>8}{'its hour':>9}{'waits p50':>11}{'p99':>10}{'queue p99':>11}{'most':>11}"
    f"{'memory':>10}"
)


def main() -> None:
    """Simulate and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("figures", type=Path)
    asked.add_argument("--runs", type=float, default=1e5, help="a day")
    asked.add_argument("--workers", type=int, default=1000)
    asked.add_argument("--service", type=float, help="seconds of a run on a worker")
    asked.add_argument("--peak", type=float, default=2.0, help="times the mean, for eight hours a day")
    asked.add_argument(
        "--environments", type=int, default=20, help="of the second, skewed case: the first has half"
    )
    asked.add_argument("--kernel", type=float, default=20, help="runs of a kernel, until the next one")
    asked.add_argument("--samples", type=float, default=1e9, help="to keep")
    asked.add_argument("--days", type=int, default=1)
    asked.add_argument("--seed", type=int, default=1)
    options = asked.parse_args()
    figures = json.loads(options.figures.read_text())
    record, growth = _measured(figures, options.kernel)
    one = figures["run"]["wall"]
    full = 0.75 * options.workers * DAY / options.runs
    fleet = Fleet(
        runs=options.runs, workers=options.workers, service=options.service or full, record=record,
        peak=1.0, hours=8,
    )  # fmt: skip
    print(
        f"recording a run takes {1e3 * record.mean():.1f} ms ({1e3 * np.percentile(record, 99):.1f} ms p99), and "
        f"{1e6 * growth:.3f} µs more for each run that its history has\n"
        f"a run takes a worker {one['worker_seconds']:.1f} s here, with which {options.runs:,.0f} a day are "
        f"{options.runs * one['worker_seconds'] / DAY:.1f} workers; {options.workers} are at work with {full:.0f} s\n"
    )
    _weigh(figures, options.runs, options.samples, options.workers)
    _saturations(replace(fleet, growth=growth), options.peak)
    print(_HEAD)
    peaked = replace(fleet, peak=options.peak, service=options.service or full / options.peak)
    for times in (0.1, 1.0, 3.0, 10.0, 30.0):
        # more runs are more workers: what is asked is what home bears
        more = replace(peaked, runs=options.runs * times, workers=max(1, round(options.workers * times)))
        if more.runs * options.days <= 4e6:
            _line(f"one writer, {more.runs:,.0f} a day", more, one, options)
    grown = replace(peaked, growth=growth)
    for days in (0.1, 1.0, _HELD):
        held = days * options.runs
        _line(f"one writer, {held:,.0f} runs held", replace(grown, held=held), one, options)
    even = (1.0,) * options.environments
    skewed = (float(options.environments - 1), *even[1:])
    for name, shares in (("equal", even), ("half in one", skewed)):
        for writers in (2, 4, 8):
            several = replace(grown, held=_HELD * options.runs, environments=shares, writers=writers)
            _line(f"{writers} writers, {name}, as many", several, one, options)


def _measured(figures: dict[str, Any], kernel: float) -> tuple[Any, float]:
    """Seconds of records, shape (count,), and seconds more for each run that the history has.

    Each new kernel asks the whole history which are to be kept: that is what grows, and is shared by the kernel's runs.
    """
    rows = figures["growth"]
    asked = [*rows, figures["long"]] if figures.get("long") else rows
    sizes = [row["runs"] for row in asked]
    took = [row["asked_ms"][_KEEP] / 1e3 for row in asked]
    growth = max(0.0, float(np.polyfit(sizes, took, 1)[0])) if len(asked) > 1 else took[0] / sizes[0]
    return np.array(rows[-1]["recorded_ms"]) / 1e3, growth / kernel


def _weigh(figures: dict[str, Any], runs: float, samples: float, workers: int) -> None:
    """What a day puts on the wire and on the disk."""
    for clock, one in figures["run"].items():
        disk, packed = one["disk_bytes"] / one["samples"], one["packed_bytes"] / one["samples"]
        print(
            f"clock {clock}: {samples:,.0f} samples are {samples / one['samples']:,.0f} runs and "
            f"{samples * disk / 1e9:.2f} GB, {samples * packed / 1e9:.2f} GB of it samples\n"
            f"  a day: {runs * one['samples'] / 1e9:.1f} thousand million samples, "
            f"{runs * one['disk_bytes'] / 1e9:.1f} GB of history "
            f"({runs * (one['disk_bytes'] - one['packed_bytes']) / 1e9:.1f} GB without samples), "
            f"{runs * (one['wire_bytes'] + one['job_bytes']) / 1e9:.1f} GB on the wire; a kernel for all workers "
            f"{workers * one['file_bytes'] / 1e9:.1f} GB"
        )
    print()


def _saturations(fleet: Fleet, peak: float) -> None:
    """At how many runs a day a writer has no time left."""
    print(f"{'runs in the history':>20}{'a record':>12}{'runs a day':>14}{f'in a peak of {peak:g}':>16}")
    for held in (0.0, 1e5, 1e6, 1e7):
        now = replace(fleet, held=held)
        print(
            f"{held:20,.0f}{1e3 * now.record_now:9.1f} ms{now.saturated:14,.0f}{now.saturated / peak:16,.0f}"
        )
    print()


def _line(name: str, fleet: Fleet, one: dict[str, Any], options: argparse.Namespace) -> None:
    found = simulate(fleet, options.days, options.seed)
    middle, late = np.percentile(found.late, [50, 99])
    most = int(found.queue.max())
    print(
        f"{name:34}{found.workers:8.1%}{found.writer:8.1%}{found.hour:9.1%}{_time(middle):>11}{_time(late):>10}"
        f"{np.percentile(found.queue, 99):11,.0f}{most:11,}{most * one['wire_bytes'] / 1e6:7,.0f} MB"
    )


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
