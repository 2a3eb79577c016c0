"""Whether the kernel lies somewhere else at each boot, as several cold boots tell it."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sistasks.cluster.nodes import Cluster
from sistasks.guest.plan import Plan
from sistasks.protocols.findings import Seen
from sistasks.session import SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.cluster.nodes import NodeReport
    from sistasks.suites.execution import Execution

TEST: Final = "kaslr"
"""The agent's test, and node 0's."""
PLACE: Final = "runtime.kaslr"
AREAS: Final = "runtime.kaslr_areas"
# all the same by chance: once in 200 000 where there are 500 places, as on x86_64
_BOOTS: Final = 3
# Linux cannot move itself there
_FIXED: Final = frozenset({"arm"})
# whose kernels move the areas of their memory, too (Linux, arch/x86/mm/kaslr.c)
_MOVES_AREAS: Final = frozenset({"x86_64"})
_LINE: Final = re.compile(r"text=([0-9a-f]{1,16}) physical=([0-9a-f]{1,16}) areas=([0-9a-f]{1,16})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a boot has put the kernel: addresses of its code, of that in physical memory, and of its first area.

    0 stands for what the kernel did not tell.
    """

    text: int
    physical: int
    areas: int


class _Unseen:
    """Boots that are no nodes of the suite: nobody is told of them."""

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        """Say nothing."""

    def started(self, number: int, pid: int) -> None:
        """Say nothing."""


def place_of(findings: Sequence[Seen]) -> Place | None:
    """What a boot has told (guest/agent/test_kaslr.c); None: nothing that can be read."""
    for seen in findings:
        match = _LINE.fullmatch(seen.evidence) if seen.rule == PLACE else None
        if match is not None:
            return Place(*(int(part, 16) for part in match.groups()))
    return None


def judge(arch: str, places: Sequence[Place]) -> list[Seen]:
    """Compare boots.

    A kernel that moves itself may come to the same place twice by chance, so that only all of them count.

    Args:
        arch: our name of the architecture.
        places: of each boot, two at least.
    """
    found = [_compare(PLACE, "code", [place.text for place in places])]
    physical = {place.physical for place in places}
    if found[0].outcome != "skip" and 0 not in physical:
        where = f"{len(physical)} different places" if len(physical) > 1 else "one place"
        found[0] = replace(found[0], evidence=f"{found[0].evidence}; at {where} of physical memory")
    if arch in _MOVES_AREAS:
        found.append(_compare(AREAS, "first area", [place.areas for place in places]))
    else:
        found.append(Seen(AREAS, "skip", f"kernels of {arch} do not move them"))
    return found


def _compare(rule: str, what: str, addresses: Sequence[int]) -> Seen:
    if 0 in addresses:
        return Seen(rule, "skip", f"the kernel does not tell root where its {what} is")
    told = ", ".join(f"{address:x}" for address in addresses)
    same = len(set(addresses)) == 1
    return Seen(rule, "fail" if same else "pass", f"{len(addresses)} boots had the kernel's {what} at {told}")


async def boot(run: Execution) -> list[NodeReport]:
    """Boot the kernel cold a few times, on the wall clock: the virtual one repeats, and so does where kernels lie.

    QEMU gives each boot other random numbers, as a machine would: a kernel may have its seed from there. They are the
    same ones in each run, as far as the kernel takes no others.

    Args:
        run: what is at hand.

    Returns:
        How each boot ended; none where the architecture's kernels cannot move.
    """
    recipe = run.recipe
    if recipe.machine.arch.name in _FIXED:
        return []
    slots = asyncio.Semaphore(recipe.slots)

    async def one(number: int) -> NodeReport:
        cluster = Cluster(
            machine=replace(recipe.machine, clock="wall", seed=recipe.settings.seed + number), template=None,
            logs=run.logs() / TEST / str(number), scratch=run.scratch / f"{TEST}{number}{'.again' * run.again}",
            session=SESSION_ID, slots=1, timeout=recipe.timeout, examination=run.examination, tries=run.tries,
        )  # fmt: skip
        plan = Plan(node=number, seed=recipe.settings.seed + number, tests=(TEST,), iterations=1)
        async with slots:
            (report,) = await cluster.run([plan], _Unseen())
        return report

    # gather would go on as soon as the first of them is interrupted, while the others are still ending their nodes
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(1, _BOOTS + 1)]
    return [task.result() for task in tasks]
