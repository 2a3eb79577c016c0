from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sistasks.errors import HistoryError
from sistasks.history.samples import ENCODING, FLOATS, decode, encode

LOW, HIGH = -(2**63), 2**63 - 1


@given(st.lists(st.integers(LOW, HIGH) | st.sampled_from([LOW, HIGH, -1, 0, 1, 1480])))
def test_every_list_comes_back_exactly(values: list[int]) -> None:
    name, data = encode(values)
    back = decode(name, data, len(values))
    assert back.dtype == np.int64
    assert back.tolist() == values


@given(npst.arrays(st.sampled_from(["<i8", ">i8", "<i4", ">u2", "u1"]), st.integers(0, 40)))
def test_every_array_comes_back_exactly(values: Any) -> None:
    name, data = encode(values)
    assert decode(name, data, len(values)).tolist() == values.tolist()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_come_back_exactly(values: list[float]) -> None:
    name, data = encode(values)
    assert name == FLOATS
    back = decode(name, data, len(values))
    assert back.dtype == np.float64
    assert [value.hex() for value in back.tolist()] == [value.hex() for value in values]


def test_a_strided_array_comes_back_exactly() -> None:
    values = np.arange(20, dtype=np.int64)[::-3]
    name, data = encode(values)
    assert decode(name, data, len(values)).tolist() == [19, 16, 13, 10, 7, 4, 1]


def test_decoded_samples_can_be_changed() -> None:
    back = decode(*encode([1, 2]), 2)
    back[0] = 5
    assert back.tolist() == [5, 2]


def test_samples_like_those_of_guests_take_few_bytes() -> None:
    noise = np.random.default_rng(1)
    values = np.exp(noise.normal(7.3, 0.05, 1000)).astype(np.int64)  # about 1480 ns, 5 % noise
    _, data = encode(values)
    assert len(data) < 1.4 * len(values)


@pytest.mark.parametrize(
    "values",
    [
        [1.5, 2],
        [1.5, float("nan")],
        [1.5, float("inf")],
        [2**63],
        [-1, 2**63],
        [2**70],
        ["7"],
        [True],
        [[1, 2], [3, 4]],
        np.array([1], dtype=np.uint64),
    ],
    ids=str,
)
def test_refuses_what_is_no_whole_number_of_64_bits(values: Any) -> None:
    with pytest.raises(HistoryError, match="samples are whole numbers of 64 bits"):
        encode(values)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(HistoryError, match="unknown encoding 'zstd'; upgrade sistasks"):
        decode("zstd", b"", 0)


@given(st.binary(max_size=200), st.integers(-3, 50))
def test_foreign_bytes_are_refused(data: bytes, count: int) -> None:
    with pytest.raises(HistoryError, match="samples are damaged"):
        decode(ENCODING, data, count)


@given(st.lists(st.integers(LOW, HIGH), min_size=1, max_size=30), st.data())
def test_damage_never_gives_other_samples(values: list[int], data: st.DataObject) -> None:
    _, good = encode(values)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(ENCODING, bytes(bad), len(values)).tolist()
    except HistoryError:
        return
    assert found == values


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: data[:-5]]
)
def test_cut_off_or_extended_bytes_are_refused(change: Any) -> None:
    _, data = encode(range(100))
    with pytest.raises(HistoryError, match="not 100 samples"):
        decode(ENCODING, change(data), 100)


@pytest.mark.parametrize("count", [99, 101, 0])
def test_a_wrong_count_is_refused(count: int) -> None:
    _, data = encode(range(100))
    with pytest.raises(HistoryError, match=f"not {count} samples"):
        decode(ENCODING, data, count)


def test_bytes_that_swell_are_not_unpacked() -> None:
    swelling = zlib.compress(bytes(1 << 26), 9)
    with pytest.raises(HistoryError, match="not 3 samples"):
        decode(ENCODING, swelling, 3)
