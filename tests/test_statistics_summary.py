from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.statistics.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence


def exact_percentile(ordered: Sequence[Fraction], percent: int) -> Fraction:
    place = Fraction((len(ordered) - 1) * percent, 100)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def exact_std(values: Sequence[Fraction]) -> float:
    if len(values) == 1:
        return 0.0
    mean = sum(values, Fraction(0)) / len(values)
    return math.sqrt(sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1))


@given(st.lists(st.integers(-(2**53), 2**53) | st.integers(0, 20_000), min_size=1, max_size=300))
def test_agrees_with_exact_arithmetic(values: list[int]) -> None:
    exact = sorted(Fraction(value) for value in values)
    scale = max(1.0, *(abs(float(value)) for value in values))
    found = summarise(np.array(values, dtype=np.int64))
    assert found.count == len(values)
    assert (found.min, found.max) == (float(exact[0]), float(exact[-1]))
    assert found.mean == pytest.approx(float(sum(exact) / len(exact)), abs=scale * 1e-12)
    assert found.std == pytest.approx(exact_std(exact), abs=scale * 1e-12)
    for percent, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert value == pytest.approx(float(exact_percentile(exact, percent)), abs=scale * 1e-12)


def test_a_case_done_by_hand() -> None:
    found = summarise([2, 4, 4, 4, 5, 5, 7, 9])
    assert found.mean == 5
    assert found.std == pytest.approx(math.sqrt(32 / 7))
    assert found.p50 == 4.5
    assert found.p95 == pytest.approx(8.3)  # index 6.65: 7 + 0.65 * (9 - 7)
    assert found.p99 == pytest.approx(8.86)


def test_one_sample_has_no_spread() -> None:
    found = summarise([7])
    assert (found.count, found.mean, found.std, found.p50, found.p99) == (1, 7.0, 0.0, 7.0, 7.0)


def test_results_are_plain_numbers() -> None:
    found = summarise(np.array([1, 2, 3]))
    assert type(found.count) is int
    assert {type(getattr(found, name)) for name in ("mean", "std", "min", "p50", "p95", "p99", "max")} == {
        float
    }


@pytest.mark.parametrize(
    "values", [[], [[1, 2], [3, 4]], [1.0, math.nan], [math.inf], [1.7e308, 1.7e308], [-1.7e308, 1.7e308]]
)
def test_refuses_what_has_no_summary(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"finite|shape|too large"):
        summarise(values)
