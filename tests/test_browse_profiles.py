"""What functions executed, in SQL, on a run's page and as JSON: the same figures as the history's own."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import history_records as records
import pytest
import report_history
from browsing import browsing

from sistasks.browse.functions import ProfileFunctions, register
from sistasks.browse.queries import QUERIES
from sistasks.history.differences import differences, shares
from sistasks.history.profiles import profiles_of
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from browsing import Site

BEFORE = {"schedule": 4000, "pipe_write": 900, "memset": 10, "user:main": 5000}
NOW = {"schedule": 3900, "pipe_write": 900, "user:main": 5000, "new": 1111}
ITERATIONS = 20


def _run(number: str, nodes: int, instructions: Mapping[str, int]) -> Any:
    profiles = tuple(
        records.profile(instructions, node, test=test, metrics=(report_history.SWITCH,))
        for node in range(1, nodes + 1)
        for test in ("t", "u")
    )
    run = records.run(profiles=profiles, iterations=ITERATIONS)
    return dataclasses.replace(run, kernel=dataclasses.replace(run.kernel, id=number * 64))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two nodes and one of three, the second one worse, and a run that was not counted."""
    db = tmp_path_factory.mktemp("profiles") / "results.db"
    write_run(db, records.session("a"), _run("1", 2, BEFORE), records.METRICS)
    write_run(db, records.session("b"), _run("2", 3, NOW), records.METRICS)
    write_run(db, records.session("c"), records.run(), records.METRICS)
    report_history.insert(db, "verdicts", report_history.verdict(2, baseline="run 1 (debian)"))
    return db


@pytest.fixture(scope="module")
def site(db: Path) -> Iterator[Site]:
    with browsing(db) as running:
        yield running


def _ask(db: Path, name: str, **parameters: str) -> list[dict[str, Any]]:
    given = {**dict.fromkeys(QUERIES[name].parameters, ""), **parameters}
    with closing(sqlite3.connect(db)) as connection:
        connection.row_factory = sqlite3.Row
        register(connection)
        return [dict(row) for row in connection.execute(QUERIES[name].sql, given)]


def test_a_run_is_expanded_to_its_functions(db: Path) -> None:
    rows = _ask(db, "functions_of_run", run="2", test="u")
    (whole,) = (each for each in shares(profiles_of(db, 2), ITERATIONS) if each.test == "u")
    assert [(row["function"], row["instructions"], row["calls"], row["share"]) for row in rows] == [
        (each.function, each.instructions, each.calls, pytest.approx(each.share)) for each in whole.functions
    ]
    assert (rows[0]["run_id"], rows[0]["phase"], rows[0]["function"], rows[0]["instructions"]) == (
        2, "p", "user:main", 250.0,
    )  # fmt: skip
    assert _ask(db, "functions_of_run") == _ask(db, "functions_of_run", run="2")
    assert len(_ask(db, "functions_of_run", run="2", functions="1")) == 2, "of each of two phases"
    assert _ask(db, "functions_of_run", run="2", node="2", test="t")[0]["instructions"] == 250.0
    for nothing in ({"run": "3"}, {"run": "2", "node": "9"}, {"run": "2", "phase": "x"}):
        assert _ask(db, "functions_of_run", **nothing) == []


def test_two_runs_are_told_apart_as_the_gate_does(db: Path) -> None:
    rows = _ask(db, "functions_that_differ", base="1", head="2", test="t")
    found = differences(profiles_of(db, 1), profiles_of(db, 2), (ITERATIONS, ITERATIONS))
    (expected,) = (each for each in found if each.test == "t")
    assert len(expected.functions) == 3
    assert [
        (row["function"], row["instructions_before"], row["instructions_now"], row["share"], row["calls_now"])
        for row in rows
    ] == [
        (each.function, each.base, each.head, pytest.approx(each.share), each.calls_head)
        for each in expected.functions
    ]
    assert (rows[0]["before_run_id"], rows[0]["run_id"], rows[0]["change"]) == (1, 2, 55.55)
    assert _ask(db, "functions_that_differ") == _ask(db, "functions_that_differ", base="1", head="2")
    assert _ask(db, "functions_that_differ", base="1", head="1") == []
    assert _ask(db, "functions_that_differ", base="1", head="3") == []


def test_a_runs_page_shows_its_functions_and_leads_to_all_of_them(site: Site) -> None:
    status, text = site.get("/-/run/2")
    assert status == 200
    assert text.count('class="more"') == 2
    assert "no flame graph" in text
    for link in (
        "/results/functions_of_run?run=2&amp;node=&amp;test=u&amp;phase=p&amp;functions=4",
        "/results/functions_that_differ?base=1&amp;head=2&amp;test=u&amp;phase=p&amp;functions=20",
        "/results/profiles?run_id=2",
    ):
        assert f'href="{link}"' in text, link
        assert site.get(link.replace("&amp;", "&"))[0] == 200
    profile = site.json("/-/run/2.json")["profile"]
    assert (profile["base"], len(profile["phases"]), profile["phases"][0]["nodes"]) == (1, 2, 3)
    assert profile["phases"][0]["functions"][0] == {
        "function": "user:main", "instructions": 250.0, "calls": 0.05, "share": pytest.approx(5000 / 10911),
    }  # fmt: skip
    # the first run has nothing to be compared with
    _, text = site.get("/-/run/1")
    assert 'class="more"' not in text
    assert text.count("user:main") >= 2
    assert "functions_that_differ?base" not in text
    assert site.json("/-/run/3.json")["profile"] == {}
    assert "<h2>Functions</h2>" not in site.get("/-/run/3")[1]


def test_a_damaged_profile_leaves_the_rest_of_the_page(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results.db"
    with closing(sqlite3.connect(db)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        with target:
            target.execute("UPDATE profiles SET data = x'00' WHERE run_id = 2")
    with browsing(copy) as damaged:
        status, text = damaged.get("/-/run/2")
        assert status == 200
        assert "samples are damaged" in text
        assert "<h2>Tests</h2>" in text
        assert damaged.json("/results/functions_of_run.json?_shape=array&run=2") == []


@pytest.mark.parametrize(
    "given",
    [
        (None, None, None),
        ("transposed-zlib", b"damaged", 3),
        ("x", b"", 0),
        (1, 2, 3),
        ("x", b"", -1),
        ("x", b"", 1 << 40),
    ],
)
def test_what_is_no_profile_is_null(given: tuple[Any, Any, Any]) -> None:
    taken = ProfileFunctions()
    taken.step(*given)
    assert taken.finalize() is None
