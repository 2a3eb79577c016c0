"""Where boots have put a kernel: read from what guests say, and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.protocols.findings import Seen, parse
from sistasks.suites.security import kaslr
from sistasks.suites.security.kaslr import Place

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
