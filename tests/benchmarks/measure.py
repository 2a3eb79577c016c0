"""The benchmarks: one command, one table, ratios within one run.

    python tests/benchmarks/measure.py [ROUNDS]

Run it with nothing else running. It needs what `doit setup` installs.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bare

from sistasks import steps
from sistasks.cluster.nodes import Cluster
from sistasks.guest.plan import Plan
from sistasks.layout import Layout
from sistasks.session import SESSION_ID
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe
from sistasks.suites.run import ensure_template, run_suite
from sistasks.suites.suite import PERFORMANCE
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sistasks.machine.template import Template
    from sistasks.settings import Settings

TEN, HUNDRED = 10, 100


class Silent:
    """An observer that does not listen."""

    def started(self, number: int, pid: int) -> None:
        pass

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """Nothing."""


@dataclass(frozen=True)
class Row:
    name: str
    ours: str
    other: str
    value: str
    bound: str
    kept: bool


class Bench:
    """One machine, one kernel, one template; everything below a temporary folder."""

    def __init__(self, folder: Path, clock: str, memory: str) -> None:
        self.folder = folder
        self.settings: Settings = resolve(
            {
                "output": folder / "out",
                "db": folder / f"{clock}.db",
                "clock": clock,
                "memory": memory,
                "quiet": "yes",
            },
            {},
            folder / "none.toml",
        )
        self.terminal = Terminal(self.settings, Layout(self.settings.output))
        for ready, make in (
            (steps.is_set_up, steps.set_up),
            (steps.has_kernel, steps.provide_kernel),
            (steps.has_guest, steps.build_guest),
        ):
            if not ready(self.settings):
                make(self.settings, self.terminal)
        self.recipe = Recipe.load(self.settings)
        self.template: Template = ensure_template(self.recipe, self.terminal)

    def cluster(self, *, cold: bool = False, slots: int = 0) -> Cluster:
        return Cluster(
            machine=self.recipe.machine,
            template=None if cold else self.template,
            logs=self.folder / "logs",
            scratch=self.folder / "scratch",
            session=SESSION_ID,
            slots=slots or self.recipe.slots,
            timeout=600,
        )

    def plans(self, count: int, *, tests: bool) -> list[Plan]:
        return [
            Plan(
                node=number,
                seed=number,
                tests=tuple(PERFORMANCE.tests) if tests else (),
                iterations=1000,
                aligned=self.recipe.machine.clock == "virtual",
                hold=not tests,
            )
            for number in range(1, count + 1)
        ]

    def pages(self, count: int, *, tests: bool) -> list[Path]:
        (self.folder / "pages").mkdir(exist_ok=True)
        paths = []
        for plan in self.plans(count, tests=tests):
            paths.append(self.folder / "pages" / f"{plan.node}.plan")
            paths[-1].write_bytes(plan.page())
        return paths

    def seconds_up(self, cluster: Cluster, count: int) -> tuple[float, float]:
        """Seconds until all are ready, and the mean PSS of a node in MB."""

        async def up() -> tuple[float, float]:
            start = time.monotonic()
            async with cluster.up(self.plans(count, tests=False), Silent()) as nodes:
                seconds = time.monotonic() - start
                return seconds, statistics.mean(pss(node.pid) for node in nodes)

        return asyncio.run(up())

    def seconds_run(self, cluster: Cluster, count: int) -> float:
        start = time.monotonic()
        reports = asyncio.run(cluster.run(self.plans(count, tests=True), Silent()))
        assert all(report.error is None for report in reports), [report.error for report in reports]
        return time.monotonic() - start

    def seconds_suite(self) -> float:
        start = time.monotonic()
        run_suite("performance", self.settings, self.terminal)
        return time.monotonic() - start

    def seconds_bare_run(self, count: int) -> float:
        pages = self.pages(count, tests=True)
        start = time.monotonic()
        bare.run_all(self.recipe.machine, self.template, pages, self.recipe.slots)
        return time.monotonic() - start

    def seconds_bare_up(self, count: int, slots: int) -> float:
        pages = self.pages(count, tests=False)
        start = time.monotonic()
        nodes = bare.bring_up(self.recipe.machine, self.template, pages, slots)
        seconds = time.monotonic() - start
        bare.end_all(nodes)
        return seconds


def pss(pid: int) -> float:
    """A process's proportional share of memory, in MB (Linux, Documentation/filesystems/proc.rst)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def paired(rounds: int, ours: Callable[[], float], other: Callable[[], float]) -> tuple[float, float, float]:
    """Medians of both and of their ratio, measured in turn."""
    pairs = [(ours(), other()) for _ in range(rounds)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[0] / pair[1] for pair in pairs),
    )


def ratio_row(
    name: str, rounds: int, bound: float, ours: Callable[[], float], other: Callable[[], float]
) -> Row:
    first, second, ratio = paired(rounds, ours, other)
    return Row(name, f"{first:.2f} s", f"{second:.2f} s", f"{ratio:.3f}", f"<= {bound:.3f}", ratio <= bound)


def cloned_against_cold(bench: Bench, rounds: int) -> Iterator[Row]:
    clock = bench.recipe.machine.clock
    cold = bench.cluster(cold=True, slots=TEN)
    yield ratio_row(
        f"(a) ten ready, {clock} clock: clones / cold boots together",
        rounds,
        1 / 8,
        lambda: bench.seconds_up(bench.cluster(slots=TEN), TEN)[0],
        lambda: bench.seconds_up(cold, TEN)[0],
    )
    yield ratio_row(
        f"(a) performance nodes=10, {clock} clock: suite / cold boots together",
        rounds,
        1 / 3 if clock == "wall" else 1 / 6,
        bench.seconds_suite,
        lambda: bench.seconds_run(cold, TEN),
    )
    yield ratio_row(
        f"(b) ten clones measured, {clock} clock: ours / bare script",
        max(rounds, 5),
        1.10,
        lambda: bench.seconds_run(bench.cluster(), TEN),
        lambda: bench.seconds_bare_run(TEN),
    )


def hundred_up(bench: Bench, rounds: int) -> Iterator[Row]:
    slots = 4 * bench.recipe.slots
    memories: list[float] = []

    def ours() -> float:
        seconds, memory = bench.seconds_up(bench.cluster(slots=slots), HUNDRED)
        memories.append(memory)
        return seconds

    size = bench.recipe.machine.memory >> 20
    first, second, ratio = paired(rounds, ours, lambda: bench.seconds_bare_up(HUNDRED, slots))
    yield Row(
        f"(c) 100 nodes of {size} MB ready: ours / bare script",
        f"{first:.2f} s", f"{second:.2f} s", f"{ratio:.3f}", "<= 10 s or <= 1.200", first <= 10 or ratio <= 1.2,
    )  # fmt: skip
    memory = statistics.median(memories)
    yield Row("(c) PSS of an idle node", f"{memory:.1f} MB", "", "", "<= 25 MB", memory <= 25)


def seconds_of(folder: Path, *arguments: str) -> float:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "doit", *arguments], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return time.monotonic() - start


def start_up(folder: Path, rounds: int) -> Iterator[Row]:
    plain, ours = folder / "plain", folder / "ours"
    for place, text in (
        (plain, "def task_a():\n    return {'actions': ['true'], 'uptodate': [True]}\n"),
        (ours, "from sistasks.tasks import *\n"),
    ):
        place.mkdir()
        (place / "dodo.py").write_text(text)
    seconds_of(plain)
    seconds_of(ours, "test", "nodes=2", "clock=wall")
    for name, bound, arguments in (
        ("(d) doit test, nothing stale: more than bare doit", 0.4, ("test", "nodes=2", "clock=wall")),
        ("(e) doit list: more than bare doit list", 0.3, ("list",)),
    ):
        more, base = [], []
        for _ in range(max(rounds, 7)):
            base.append(seconds_of(plain, *arguments[:1]) if arguments == ("list",) else seconds_of(plain))
            more.append(seconds_of(ours, *arguments))
        difference = statistics.median(a - b for a, b in zip(more, base, strict=True))
        yield Row(
            name, f"{statistics.median(more):.3f} s", f"{statistics.median(base):.3f} s", f"+{difference:.3f} s",
            f"<= +{bound} s", difference <= bound,
        )  # fmt: skip


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sistasks-benchmark-") as name:
        yield Path(name)


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows: list[Row] = []

    def show(row: Row) -> None:
        rows.append(row)
        mark = "kept" if row.kept else "MISSED"
        print(f"| {row.name} | {row.ours} | {row.other} | {row.value} | {row.bound} | {mark} |", flush=True)

    print("| what | ours | other | ratio | bound | |\n|---|---|---|---|---|---|")
    with folder() as place:
        for clock in ("virtual", "wall"):
            bench = Bench(place, clock, "128M")
            for row in cloned_against_cold(bench, rounds):
                show(row)
        for row in hundred_up(bench, rounds):
            show(row)
        for row in start_up(place, rounds):
            show(row)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
