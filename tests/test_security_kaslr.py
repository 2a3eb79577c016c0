"""Where boots have put a kernel: read from what guests say, and compared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.protocols.findings import Seen, parse
from sistasks.suites.security import kaslr
from sistasks.suites.security.kaslr import Place

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.guest.plan import Plan
    from sistasks.suites.execution import Execution

addresses = st.integers(1, (1 << 64) - 1)
places = st.builds(Place, addresses, addresses, addresses)


def told(place: Place) -> Seen:
    """As guest/agent/test_kaslr.c writes it."""
    return parse(
        f"FINDING runtime.kaslr skip text={place.text:x} physical={place.physical:x} areas={place.areas:x}"
    )


@given(places)
def test_a_place_is_read_as_it_was_told(place: Place) -> None:
    others = [Seen("runtime.other", "skip", told(Place(1, 1, 1)).evidence)]
    assert kaslr.place_of([*others, told(place)]) == place


@given(st.text())
def test_what_is_no_place_is_none(text: str) -> None:
    for evidence in (text, f"{text}text=1 physical=2", f"text=1 physical=2 areas=3x{text}"):
        assert kaslr.place_of([Seen("runtime.kaslr", "skip", evidence)]) is None


@given(st.lists(places, min_size=2, max_size=5))
def test_a_kernel_moves_if_any_two_boots_differ(boots: list[Place]) -> None:
    code, areas = kaslr.judge("x86_64", boots)
    assert code.rule == "runtime.kaslr"
    assert code.outcome == ("fail" if len({boot.text for boot in boots}) == 1 else "pass")
    assert areas.rule == "runtime.kaslr_areas"
    assert areas.outcome == ("fail" if len({boot.areas for boot in boots}) == 1 else "pass")
    assert all(f"{boot.text:x}" in code.evidence for boot in boots)


def test_one_place_for_all_boots_is_a_failure_whatever_differs_beside() -> None:
    boots = [Place(0xFFFFFFFF81000000, number, number) for number in (1, 2, 3)]
    code, areas = kaslr.judge("x86_64", boots)
    assert (code.outcome, areas.outcome) == ("fail", "pass")
    assert code.evidence.endswith("; at 3 different places of physical memory")
    code, _ = kaslr.judge("x86_64", boots[:1] * 3)
    assert code.evidence.endswith("; at one place of physical memory")


@pytest.mark.parametrize("silent", [0, 1])
def test_a_kernel_that_does_not_tell_is_not_judged(silent: int) -> None:
    boots = [Place(0, 0, 0) if number == silent else Place(number + 5, 5, 5) for number in range(2)]
    assert [seen.outcome for seen in kaslr.judge("x86_64", boots)] == ["skip", "skip"]


def test_areas_are_compared_where_kernels_move_them() -> None:
    boots = [Place(number, number, 7) for number in (1, 2)]
    assert [seen.outcome for seen in kaslr.judge("arm64", boots)] == ["pass", "skip"]


def test_boots_that_are_interrupted_end_all_their_nodes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is ended sooner than the others, as on any host."""
    begun: list[int] = []
    ended: list[int] = []
    all_begun = asyncio.Event()

    class Slow:
        def __init__(self, **_: object) -> None:
            pass

        async def run(self, plans: list[Plan], _: object) -> None:
            number = plans[0].node
            begun.append(number)
            if len(begun) == 3:
                all_begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                for _turn in range(10 * number):
                    await asyncio.sleep(0)
                ended.append(number)

    async def interrupted() -> None:
        task = asyncio.create_task(kaslr.boot(cast("Execution", run)))
        await all_begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1, 2, 3]

    @dataclass
    class OfBoot:
        arch: SimpleNamespace
        clock: str = "wall"
        seed: int = 1

    recipe = SimpleNamespace(
        machine=OfBoot(SimpleNamespace(name="x86_64")), slots=3, timeout=1.0, settings=SimpleNamespace(seed=1)
    )
    run = SimpleNamespace(
        recipe=recipe, logs=lambda: tmp_path, scratch=tmp_path, again=False, examination=None, tries=1
    )
    monkeypatch.setattr(kaslr, "Cluster", Slow)
    asyncio.run(interrupted())
