from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from history_records import environment
from judged import NEITHER, RATE, SWITCH, told, write

from sistasks.compare_steps import compare

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0, 1020.0], RATE: [500.0, 510.0]}
SLOW = {SWITCH: [1120.0, 1142.4], RATE: [500.0, 510.0]}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "results.db"
    write(path, SAME, "old", session="one")
    write(path, SLOW, "new", session="two")
    return path


def test_the_latest_against_the_one_before(db: Path) -> None:
    code, words = told(db, compare)
    assert code == 0, "it shows, and judges nobody"
    assert "performance: run 2 (new) against run 1 (old)" in words
    assert "! worse" in words
    assert "percentile by percentile" not in words


@pytest.mark.parametrize(("base", "head"), [("1", "2"), ("old", "new"), ("one", "two"), ("old", "latest")])
def test_by_any_name_and_in_any_direction(db: Path, base: str, head: str) -> None:
    assert "! worse" in told(db, compare, base=base, head=head)[1]
    if head != "latest":
        assert "+ better" in told(db, compare, base=head, head=base)[1]


def test_percentile_by_percentile(db: Path) -> None:
    code, words = told(db, compare, metric=SWITCH)
    assert code == 0
    table = words[words.index("percentile by percentile") :]
    lines = [line.split() for line in table.splitlines()[1:] if line.strip().startswith("p")]
    assert [line[0] for line in lines] == [f"p{n}" for n in (1, 5, 10, 25, 50, 75, 90, 95, 99)]
    assert lines[4] == ["p50", "1.01", "µs", "1.13", "µs", "+12.0%"]
    code, words = told(db, compare, metric="no.such")
    assert (code, "metric=no.such was not measured there" in words) == (3, True)


def test_one_metric_of_one_of_two_suites(db: Path) -> None:
    write(db, {RATE: [500.0]}, "old", session="one", suite="boot")
    write(db, {RATE: [400.0]}, "new", session="two", suite="boot")
    code, words = told(db, compare, base="one", head="two", metric=SWITCH)
    assert code == 0
    assert words.count("percentile by percentile") == 1
    assert words.count("against run") == 2


def test_what_was_not_measured_alike_is_unsure(db: Path) -> None:
    write(db, SLOW, "new", session="three", environment=environment(guest_sha256="x"))
    write(db, SLOW, "new", session="four", iterations=5)
    for head, why in (
        ("3", "were measured in different environments"),
        ("4", "run 1 has 1000 iterations, run 4 5"),
    ):
        code, words = told(db, compare, base="1", head=head)
        assert (code, why in words, "! worse" in words) == (0, True, False)


def test_other_seeds_are_other_work(db: Path) -> None:
    write(db, SLOW, "new", session="three", seed=9)
    words = told(db, compare, base="1", head="3")[1]
    assert "no earlier run has seed=9" in words
    assert "! worse" not in words


def test_nothing_to_compare(db: Path) -> None:
    write(db, SAME, "old", session="boots", suite="boot")
    code, words = told(db, compare, base="boots", head="2")
    assert (code, "share no suite" in words) == (3, True)
    assert told(db, compare, base="no such")[0] == 3
    write(db, NEITHER, "old", status="failed")
    write(db, NEITHER, "old", status="failed")
    code, words = told(db, compare, base="4", head="5")
    assert (code, "runs 4 and 5 measured nothing" in words) == (0, True)
    assert told(db.with_name("none.db"), compare)[0] == 2


def test_names_with_markup(db: Path) -> None:
    write(db, SLOW, "[/][bold]x", session="three")
    assert "run 3 ([/][bold]x) against" in told(db, compare, metric=RATE)[1]
