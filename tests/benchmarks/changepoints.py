"""Change points against apache-otava: on the same series, on this machine, in one run.

    python tests/benchmarks/changepoints.py [--otava PYTHON] [--seed N]

PYTHON is an interpreter that has apache-otava (`pip install apache-otava` into an environment of its own); without it
only our own columns are printed. Steps are known, since the series are made here: a hit is a point within five values
of a step, each step and each point counted once; every other point is extra. Otava runs with its defaults.

The shapes "held out" were not looked at while the method was built. Another --seed makes other series of all shapes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from collections.abc import Callable

    Floats = np.ndarray[Any, np.dtype[np.float64]]

TOLERANCE, ROUNDS, SERIES = 5, 5, 4


@dataclass(frozen=True)
class Shape:
    """Series of one kind: noise of a spread, and steps of a size about every `gap` values (0: none)."""

    noise: str
    gap: int
    length: int = 1000
    spread: float = 0.03
    size: float = 0.1
    drift: float = 0.0
    held_out: bool = False

    @property
    def name(self) -> str:
        words = [self.noise, f"{self.length}", f"steps {self.size:.0%}" if self.gap else "no steps"]
        return ", ".join(words + (["drift"] if self.drift else []))


NOISES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda random, n: random.normal(size=n),
    "bimodal": lambda random, n: random.normal(0, 0.5, n) + np.where(random.random(n) < 0.3, 2.0, 0.0),
    "outliers": lambda random, n: (
        random.normal(size=n) + np.where(random.random(n) < 0.04, random.exponential(6, n), 0)
    ),
    "AR(1) .5": lambda random, n: lfilter([0.75**0.5], [1, -0.5], random.normal(size=n)),
    "AR(1) .7": lambda random, n: lfilter([0.51**0.5], [1, -0.7], random.normal(size=n)),
    "rounded": lambda random, n: np.round(random.normal(size=n)),
    "Laplace": lambda random, n: random.laplace(0, 0.7, n),
    "skewed": lambda random, n: random.gamma(2, 0.7, n),
    "uneven spread": lambda random, n: random.normal(size=n) * (1 + 0.6 * np.sin(np.arange(n) / 40)),
    "trimodal": lambda random, n: random.normal(0, 0.3, n) + random.choice([-1.2, 0, 1.2], n, p=[0.2, 0.6, 0.2]),
    "moving average": lambda random, n: np.convolve(random.normal(size=n + 2), [0.5, 0.6, 0.6], mode="valid"),
    "spikes down": lambda random, n: random.normal(size=n) - 8.0 * (random.random(n) < 0.03),
}  # fmt: skip
SHAPES = [
    *(Shape(noise, gap) for noise in list(NOISES)[:6] for gap in (0, 100)),
    *(Shape("normal", gap, drift=0.1) for gap in (0, 100)),
    Shape("normal", 30, length=60),
    Shape("normal", 0, length=60),
    Shape("normal", 100, spread=0.02, size=0.05),
    *(Shape(noise, gap, held_out=True) for noise in list(NOISES)[6:] for gap in (0, 70)),
    Shape("Laplace", 40, length=200, spread=0.02, size=0.06, held_out=True),
    Shape("skewed", 150, length=3000, spread=0.04, size=0.2, drift=0.1, held_out=True),
]  # fmt: skip


def make(shape: Shape, seed: int) -> tuple[Floats, list[int]]:
    """Positive values about 100, and where their levels begin."""
    random = np.random.default_rng((seed, len(shape.name), *shape.name.encode()))
    values = shape.spread * NOISES[shape.noise](random, shape.length)
    steps: list[int] = []
    place = level = 0.0
    while shape.gap:
        place += shape.gap * random.uniform(0.8, 1.6)
        if place > shape.length - max(10, shape.gap // 3):
            break
        step = shape.size * random.choice([-1, 1])
        step = -step if abs(level + step) > 3 * shape.size else step
        level += step
        values[int(place) :] += step
        steps.append(int(place))
    wave = np.arange(shape.length) * 2 * np.pi / shape.length
    return 100 * np.exp(values + shape.drift * np.sin(wave)), steps


def score(found: list[int], steps: list[int]) -> tuple[int, int]:
    """(hits, extra points)."""
    left = sorted(found)
    hits = 0
    for step in steps:
        near = min(left, key=lambda index: abs(index - step), default=None)
        if near is not None and abs(near - step) <= TOLERANCE:
            left.remove(near)
            hits += 1
    return hits, len(left)


def ours(series: list[list[float]], rounds: int) -> list[tuple[list[int], list[int], float]]:
    """Of each series: the points, those of them that are not advisory, and seconds."""
    from sistasks.statistics.changepoints import change_points

    answers = []
    for values in series:
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            points = change_points(np.log(values)).points
            seconds.append(time.perf_counter() - start)
        firm = [point.index for point in points if not point.advisory]
        answers.append(([point.index for point in points], firm, statistics.median(seconds)))
    return answers


def work() -> None:
    """Inside the other interpreter: series from standard input, Otava's answers to standard output."""
    compute_change_points = importlib.import_module("otava.analysis").compute_change_points
    job = json.load(sys.stdin)
    answers = []
    for values in job["series"]:
        seconds = []
        for _ in range(job["rounds"]):
            start = time.perf_counter()
            points, _ = compute_change_points(list(values))
            seconds.append(time.perf_counter() - start)
        answers.append(([int(point.index) for point in points], statistics.median(seconds)))
    json.dump(answers, sys.stdout)


def otava(python: str, series: list[list[float]], rounds: int) -> list[tuple[list[int], float]] | None:
    job = json.dumps({"series": series, "rounds": rounds})
    done = subprocess.run(
        [python, __file__, "--work"], input=job, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return None
    return [(points, seconds) for points, seconds in json.loads(done.stdout)]


def quality(python: str, seed: int) -> None:
    print(
        f"{'hits and extra points':44}{'steps':>6}{'hit':>7}{'otava':>7}{'extra':>7}{'firm':>6}{'otava':>7}"
    )
    for held_out in (False, True):
        sums = np.zeros(6, dtype=int)
        for shape in (item for item in SHAPES if item.held_out is held_out):
            made = [make(shape, seed + number) for number in range(SERIES)]
            series = [values.tolist() for values, _ in made]
            theirs = otava(python, series, 1)
            row = np.zeros(6, dtype=int)
            for number, (points, firm, _) in enumerate(ours(series, 1)):
                steps = made[number][1]
                other = score(theirs[number][0], steps) if theirs else (0, 0)
                mine = score(points, steps)
                row += (len(steps), mine[0], other[0], mine[1], score(firm, steps)[1], other[1])
            print_row(shape.name, row, bool(theirs))
            sums += row
        print_row("= held out" if held_out else "= looked at", sums, bool(theirs))


def print_row(name: str, row: np.ndarray[Any, np.dtype[np.int64]], known: bool) -> None:
    steps, hit, other_hit, extra, firm, other_extra = row.tolist()
    shares = [f"{share / steps:7.3f}" if steps else f"{'-':>7}" for share in (hit, other_hit)]
    print(
        f"{name:44}{steps:6}{shares[0]}{shares[1] if known else '':>7}{extra:7}{firm:6}"
        f"{other_extra if known else '':>7}"
    )


def speed(python: str, seed: int) -> None:
    shapes = [
        Shape("normal", 0, 10_000), Shape("normal", 500, 10_000), Shape("normal", 100, 10_000),
        Shape("AR(1) .5", 500, 10_000), Shape("rounded", 500, 10_000), Shape("bimodal", 500, 10_000),
    ]  # fmt: skip
    made = [make(shape, seed) for shape in shapes]
    series = [values.tolist() for values, _ in made]
    theirs = otava(python, series, ROUNDS)
    print(f"\n{'10,000 points, median of ' + str(ROUNDS):44}{'steps':>6}{'ms':>8}{'otava':>9}{'ratio':>8}")
    for number, (_, _, seconds) in enumerate(ours(series, ROUNDS)):
        line = f"{shapes[number].name:44}{len(made[number][1]):6}{seconds * 1e3:8.2f}"
        if theirs:
            line += f"{theirs[number][1] * 1e3:9.2f}{theirs[number][1] / seconds:8.1f}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--otava", default=sys.executable)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--work", action="store_true")
    options = parser.parse_args()
    if options.work:
        work()
        return
    if otava(options.otava, [[1.0, 2.0] * 10], 1) is None:
        print(f"apache-otava skipped: {options.otava} does not have it (--otava PYTHON)")
    quality(options.otava, options.seed)
    speed(options.otava, options.seed)


if __name__ == "__main__":
    main()
