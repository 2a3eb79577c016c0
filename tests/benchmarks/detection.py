"""How soon a panic is a verdict, and what looking at the fallen node costs.

    python tests/benchmarks/detection.py [ROUNDS]

A guest of 256 MB boots cold and panics, for its kernel finds no init: once a kernel that ends its machine as it was
told (panic=-1), and once one that stays (panic=0). Time runs from the console's bytes with the panic to the verdict
(`node.failed`), then to the end of the post mortem. It needs what `doit setup` installs; exit 1: a verdict took 2 s.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from measure import Bench

from sistasks.guest.plan import Plan
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role
from sistasks.suites.recipe import Recipe

if TYPE_CHECKING:
    from sistasks.machine.spec import Machine

BOUND: Final = 2.0
LIMIT: Final = 120.0
# `panic=` of the machine comes before that of the kernel's own arguments, and the last one counts
WAYS: Final = {"ends its machine": (), "stays": ("panic=0",)}


class Watched(Node):
    """A node that remembers when its panic came."""

    panic_at = 0.0

    def _panicked(self, words: str) -> None:
        self.panic_at = time.monotonic()
        super()._panicked(words)


class Cost(NamedTuple):
    """Seconds to the verdict and of the post mortem; bytes that the dump has and that it takes."""

    verdict: float
    examined: float
    size: int
    stored: int


async def fall(machine: Machine, folder: Path) -> Cost:
    """Boot a node that panics, and look at it."""
    files = NodeFiles(plan=folder / "plan", console=folder / "console", stderr=folder / "stderr")
    async with Watched(1, machine, Role.COLD, Plan(node=1, seed=1), files, session="bench") as node:
        await node.start()
        await node.go()
        await asyncio.wait([node.failed], timeout=LIMIT)
        verdict = time.monotonic()
        evidence = await node.post_mortem(folder / "seen")
        examined = time.monotonic()
    facts = {one.name: one.path for one in evidence}["post_mortem.json"]
    core = json.loads(facts.read_text())["vmcore"]
    return Cost(verdict - node.panic_at, examined - verdict, core["bytes"], core["stored"])


def main() -> int:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    kept = True
    with tempfile.TemporaryDirectory(prefix="sis-bench-") as name:
        folder = Path(name)
        machine = Recipe.load(Bench(folder, "wall", "256M").settings).machine
        print(f"{'a kernel that':18} {'verdict':>10} {'post mortem':>12} {'dump':>10} {'on disk':>10}")
        for way, arguments in WAYS.items():
            made = replace(machine, arguments=("rdinit=/nonexistent", *arguments))
            for number in range(rounds):
                place = folder / f"{way}-{number}"
                place.mkdir()
                cost = asyncio.run(fall(made, place))
                kept &= cost.verdict < BOUND
                print(
                    f"{way:18} {cost.verdict * 1e3:7.0f} ms {cost.examined * 1e3:9.0f} ms"
                    f" {cost.size >> 20:7} MB {cost.stored >> 20:7} MB",
                    flush=True,
                )
    print("every verdict within 2 s" if kept else "A VERDICT TOOK LONGER THAN 2 s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
