"""Nodes begin each test together: whoever is early stands still, and nobody stands still for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import KernelFailure, NodeError
from sistasks.guest.frames import Frame, FrameType
from sistasks.machine.results import GuestResults
from sistasks.suites.stress.together import Together

TESTS = 3


class Nobody:
    def stage(self, number: int, stage: str, detail: str = "") -> None:
        pass

    def started(self, number: int, pid: int) -> None:
        pass


@dataclass
class Guest:
    """A node as far as it is stopped and let go of."""

    number: int
    stands: bool = False
    begun: int = 0
    stops: list[int] = field(default_factory=list)

    async def pause(self) -> None:
        await asyncio.sleep(0)
        self.stands = True
        self.stops.append(self.begun)

    async def go(self) -> None:
        self.stands = False


BEGIN = Frame(FrameType.BEGIN, 0, b"test=stress_cpu\n")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def play(order: list[int], ending: dict[int, int]) -> list[Guest]:
    """Nodes get on in this order, as far as they do not stand; some end after so many tests."""
    guests = [Guest(number) for number in (1, 2, 3)]
    together = Together([1, 2, 3], Nobody())
    ended: set[int] = set()

    async def step(guest: Guest) -> None:
        if guest.number in ended or guest.stands:
            return
        if guest.begun == ending.get(guest.number, TESTS):
            ended.add(guest.number)
            together.stage(guest.number, "failed" if guest.begun < TESTS else "done")
        else:
            guest.begun += 1
            together.hear(cast("Any", guest), BEGIN)
        await settle()
        alive = [one.begun for one in guests if one.number not in ended]
        assert max(alive, default=0) - min(alive, default=0) <= 1, "nobody is two tests ahead"
        running = [one for one in guests if one.number not in ended and not one.stands]
        assert running or not alive, "somebody goes on"

    for number in order:
        await step(guests[number - 1])
    for _ in range(3 * (TESTS + 2)):
        for guest in guests:
            await step(guest)
    assert ended == {1, 2, 3}
    return guests


@given(
    st.lists(st.sampled_from([1, 2, 3]), max_size=20),
    st.dictionaries(st.sampled_from([1, 2, 3]), st.integers(0, TESTS), max_size=2),
)
def test_all_come_to_their_end_whatever_the_order(order: list[int], ending: dict[int, int]) -> None:
    asyncio.run(play(order, ending))


def test_who_is_early_stands_until_the_last_is_there() -> None:
    guests = asyncio.run(play([1, 2, 3] * TESTS, {}))
    assert [guest.stops for guest in guests] == [[1, 2, 3], [1, 2, 3], []]


def hung(number: int) -> NodeReport:
    error = KernelFailure(f"node {number} did not finish its tests within 9 s", kind="hang")
    return NodeReport(
        number=number, seed=1, results=GuestResults(), error=error, started=0.0, ready=1.0, finished=10.0,
        console=Path("log"),
    )  # fmt: skip


@pytest.mark.parametrize("first", [1, 2])
def test_who_only_waited_did_not_hang(first: int) -> None:
    async def both() -> list[NodeReport]:
        together = Together([1, 2], Nobody())
        together.hear(cast("Any", Guest(2)), BEGIN)
        await settle()
        for number in (first, 3 - first):  # the limit is the same: either may be told of first
            together.stage(number, "failed")
            await settle()
        return [together.excused(hung(number)) for number in (1, 2)]

    one, two = asyncio.run(both())
    assert isinstance(one.error, KernelFailure)
    assert isinstance(two.error, NodeError)
    assert two.error.problem == "node 2 waited at stress_cpu for node 1 until its time was over"
    assert two.error.kind == ""


def test_who_was_let_go_or_crashed_has_no_excuse() -> None:
    async def both() -> list[NodeReport]:
        together = Together([1, 2], Nobody())
        together.hear(cast("Any", Guest(2)), BEGIN)
        together.hear(cast("Any", Guest(1)), BEGIN)
        await settle()
        return [together.excused(hung(number)) for number in (1, 2)]

    assert all(isinstance(report.error, KernelFailure) for report in asyncio.run(both()))
