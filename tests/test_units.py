"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.units import percent, show


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (5599, "ns", "5.60 µs"),
        (0, "ns", "0 ns"),
        (0.5, "ns", "0.50 ns"),
        (42, "ns", "42.0 ns"),
        (999, "ns", "999 ns"),
        (1000, "ns", "1.00 µs"),
        (40_000, "ns", "40.0 µs"),
        (1_234_567, "ns", "1.23 ms"),
        (2_500_000_000, "ns", "2.50 s"),
        (-5599, "ns", "-5.60 µs"),
        (512_345, "ops/s", "512 k/s"),
        (1_500_000, "ops/s", "1.50 M/s"),
        (12, "ops/s", "12.0 /s"),
        (1234, "ppm", "0.12 %"),
        (1_000_000, "ppm", "100 %"),
        (3.14159, "apples", "3.142 apples"),
        (None, "ns", "-"),
        (math.nan, "ns", "-"),
        (math.inf, "ops/s", "-"),
    ],
)
def test_examples(value: float | None, unit: str, shown: str) -> None:
    assert show(value, unit) == shown


SCALE = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}


@given(st.floats(-1e15, 1e15))
def test_a_shown_time_is_the_time_to_its_last_digit(value: float) -> None:
    figure, unit = show(value, "ns").split()
    error = abs(float(figure) * SCALE[unit] - value)
    decimals = len(figure.partition(".")[2])
    assert error <= 0.5000001 * 10**-decimals * SCALE[unit]


def test_shares_as_percentages() -> None:
    shares = (None, 0.031, -0.5, 0.0, 0.0999, 0.1)
    assert [percent(share) for share in shares] == [
        "-",
        "+3.10 %",
        "-50.0 %",
        "+0.00 %",
        "+9.99 %",
        "+10.0 %",
    ]
    assert percent(0.031, "") == "+3.10%"
