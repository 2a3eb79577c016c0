"""Whether runs are the same to the bit, who is odd, and where two of them part; without workers and nodes."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from typing import TYPE_CHECKING

import history_records as records
import pytest
from guest_project import DODO, Project
from hypothesis import given
from hypothesis import strategies as st

from sistasks.fleet.same import Sampled, agreement
from sistasks.history.connection import prepare
from sistasks.history.records import SampleSet
from sistasks.history.series import Difference, Series, difference, series_of
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

METRIC, RATE = records.VALUES


def sampled(*given: tuple[str, str]) -> list[Sampled]:
    """Runs 1, 2, … of these workers, each with one series of this digest."""
    return [
        Sampled(number, worker, {(1, METRIC): Series(1, digest)})
        for number, (worker, digest) in enumerate(given, 1)
    ]


@pytest.mark.parametrize(
    ("runs", "majority", "reference", "others", "odd"),
    [
        ("ax", True, 1, [], []),
        ("ax bx", True, 1, [], []),
        ("ax bx cy", True, 1, [3], ["c"]),
        ("cy ax bx", True, 2, [1], ["c"]),
        ("ax by", False, 1, [2], ["a", "b"]),
        ("ax by bx", True, 1, [2], ["b"]),
        ("ax bx cy dy", False, 1, [3, 4], ["a", "b", "c", "d"]),
        ("ax ay", False, 1, [2], ["a"]),
        ("ax ax ay bx bx bx", True, 1, [3], ["a"]),
    ],
)
def test_who_is_odd(runs: str, majority: bool, reference: int, others: list[int], odd: list[str]) -> None:
    found = agreement(sampled(*((word[0], word[1]) for word in runs.split())))
    assert (found.majority, found.reference.run) == (majority, reference)
    assert [run.run for run in found.apart] == others
    assert list(found.odd) == odd


def test_runs_that_gave_the_same_have_the_same_number() -> None:
    found = agreement(sampled(("a", "x"), ("b", "y"), ("a", "y"), ("c", "y")))
    assert found.kinds == {"a": frozenset({0, 1}), "b": frozenset({1}), "c": frozenset({1})}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1, max_size=9))
def test_nobody_is_odd_only_where_all_are_the_same(runs: list[tuple[str, str]]) -> None:
    found = agreement(sampled(*runs))
    assert bool(found.odd) == bool(found.apart) == (len({digest for _, digest in runs}) > 1)
    assert {run.worker for run in found.apart} <= set(found.odd)


def history(folder: Path, *runs: Sequence[tuple[int, str, Sequence[float]]]) -> Path:
    """A history of runs with these samples: node, metric, values."""
    db = folder / "results.db"
    prepare(db)
    for samples in runs:
        sets = tuple(SampleSet(node=node, metric=metric, values=values) for node, metric, values in samples)
        write_run(db, records.session(), records.run(samples=sets), records.METRICS)
    return db


def parted(db: Path) -> Difference | None:
    return difference(db, (1, 2), (series_of(db, 1), series_of(db, 2)))


def test_runs_of_the_same_samples_have_the_same_series(tmp_path: Path) -> None:
    one = [(1, METRIC, (5, 6, 7)), (2, METRIC, (8,)), (1, RATE, (0.5, 1.0))]
    db = history(tmp_path, one, one)
    first, second = series_of(db, 1), series_of(db, 2)
    assert first == second
    assert {key: series.count for key, series in first.items()} == {
        (1, METRIC): 3,
        (2, METRIC): 1,
        (1, RATE): 2,
    }
    assert parted(db) is None


def test_series_that_were_packed_otherwise_are_the_same(tmp_path: Path) -> None:
    one = [(1, METRIC, (5, 6, 7))]
    db = history(tmp_path, one, one)
    with contextlib.closing(sqlite3.connect(db)) as connection, connection:
        (data,) = connection.execute("select data from samples where run_id = 2").fetchone()
        other = zlib.compress(zlib.decompress(data), 0)
        assert other != data
        connection.execute("update samples set data = ? where run_id = 2", (other,))
    assert parted(db) is None


@pytest.mark.parametrize(
    ("one", "other", "node", "place", "values", "series"),
    [
        ([(1, METRIC, (5, 6, 7))], [(1, METRIC, (5, 6, 8))], 1, 3, (7, 8), (1, 1)),
        ([(1, METRIC, (5, 6))], [(1, METRIC, (5, 6, 8))], 1, 3, (None, 8), (1, 1)),
        (
            [(1, METRIC, (5,)), (2, METRIC, (1,))],
            [(1, METRIC, (5,)), (2, METRIC, (2,))],
            2,
            1,
            (1, 2),
            (1, 2),
        ),
        ([(1, METRIC, (5,))], [(2, METRIC, (5,))], 1, 0, (None, None), (2, 2)),
        ([(1, METRIC, (5, 6))], [(1, METRIC, (5.0, 6.0))], 1, 1, (5, 5.0), (1, 1)),
        ([(1, METRIC, (0,))], [(1, METRIC, (0.0,))], 1, 1, (0, 0.0), (1, 1)),
        ([(1, METRIC, (0.0, 0.0))], [(1, METRIC, (0.0, -0.0))], 1, 2, (0.0, -0.0), (1, 1)),
    ],
)
def test_where_runs_part(
    tmp_path: Path,
    one: list[tuple[int, str, Sequence[float]]],
    other: list[tuple[int, str, Sequence[float]]],
    node: int,
    place: int,
    values: tuple[float | None, float | None],
    series: tuple[int, int],
) -> None:
    found = parted(history(tmp_path, one, other))
    assert found is not None
    assert (found.node, found.metric, found.place) == (node, METRIC, place)
    assert repr((found.value, found.other)) == repr(values)
    assert (found.series, found.of) == series


def test_a_fleet_that_does_not_answer_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text(DODO)
    done = Project(tmp_path).doit("selfcheck", "cluster=tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert "no scheduler answers at tcp://127.0.0.1:1; start one" in done.stderr
    assert not list(tmp_path.glob("target/testing/build/setup*"))
