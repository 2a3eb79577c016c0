from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from typing import Any

import pytest
from history_records import environment
from hypothesis import given
from hypothesis import strategies as st

from sistasks.history.records import EnvironmentRow, identity, utc_text


def test_identity_is_the_digest_of_canonical_json() -> None:
    text = '{"a":"\\u00e9\\"","b":9007199254740993,"c":null}'
    fields: dict[str, str | int | None] = {"c": None, "b": 2**53 + 1, "a": 'é"'}
    assert identity(fields) == hashlib.sha256(text.encode()).hexdigest()


VALUES = st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8), max_size=6)


@given(VALUES, st.randoms())
def test_identity_does_not_depend_on_the_order(fields: dict[str, str | int | None], order: Any) -> None:
    names = list(fields)
    order.shuffle(names)
    assert identity({name: fields[name] for name in names}) == identity(fields)


@given(VALUES, VALUES)
def test_identity_tells_fields_apart(
    one: dict[str, str | int | None], other: dict[str, str | int | None]
) -> None:
    assert (identity(one) == identity(other)) == (one == other)


@pytest.mark.parametrize("value", [1.0, float("nan"), b"x", ["x"]])
def test_identity_refuses_what_is_measured_or_has_no_one_form(value: Any) -> None:
    with pytest.raises(TypeError, match="cpus="):
        identity({"cpus": value})


def test_an_environment_has_the_identity_of_its_fields() -> None:
    row = environment()
    fields = dataclasses.asdict(row)
    assert fields.pop("id") == identity(fields)
    assert environment(cpus=2).id != row.id
    with pytest.raises(ValueError, match="is not the identity of its fields"):
        EnvironmentRow(id=row.id, **{**fields, "cpus": 2})


def test_times_are_utc_text_of_fixed_width() -> None:
    east = dt.timezone(dt.timedelta(hours=2))
    assert utc_text(dt.datetime(2026, 2, 1, 1, 0, tzinfo=east)) == "2026-01-31T23:00:00.000000Z"
    with pytest.raises(ValueError, match="time zone"):
        utc_text(dt.datetime(2026, 2, 1))  # noqa: DTZ001 -- what is refused


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
def test_text_sorts_as_time(one: dt.datetime, other: dt.datetime) -> None:
    try:
        first, second = one.astimezone(dt.UTC), other.astimezone(dt.UTC)
    except OverflowError:  # the first or last day that there is
        return
    assert (utc_text(one) < utc_text(other)) == (first < second)
    assert dt.datetime.fromisoformat(utc_text(one)) == first
