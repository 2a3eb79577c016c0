"""Findings in the browser: the page of a run, queries, cells."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import history_records as records
import pytest
import report_history
from browsing import browsing

from sistasks.browse import cells
from sistasks.browse.pages import run_page, start_page
from sistasks.browse.queries import QUERIES
from sistasks.history.store import write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from browsing import Site


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the security suite, of which the second was judged."""
    path = tmp_path_factory.mktemp("findings") / "results.db"
    rows = (
        report_history.finding("runtime.smep", "pass", severity="critical"),
        report_history.finding("config.slab", "fail"),
    )
    run = records.run(suite="security", findings=rows, summaries=(), samples=())
    write_run(path, records.session("before"), run, ())
    report_history.write_security(path)
    return path


@pytest.fixture(scope="module")
def site(db: Path) -> Iterator[Site]:
    with browsing(db) as running:
        yield running


@pytest.fixture
def history(db: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(db)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def ask(history: sqlite3.Connection, name: str, **parameters: str) -> list[dict[str, Any]]:
    given = {**dict.fromkeys(QUERIES[name].parameters, ""), **parameters}
    return [dict(row) for row in history.execute(QUERIES[name].sql, given)]


def test_failing_findings_of_the_newest_run_the_most_severe_first(history: sqlite3.Connection) -> None:
    rows = ask(history, "failing_findings")
    assert [(row["run_id"], row["rule"], row["node"], row["verdict"]) for row in rows] == [
        (2, "runtime.smep", 1, "worse"),
        (2, "config.slab", 0, "same"),
    ]
    assert [row["rule"] for row in ask(history, "failing_findings", severity="critical")] == ["runtime.smep"]
    assert [row["rule"] for row in ask(history, "failing_findings", category="config")] == ["config.slab"]
    assert ask(history, "failing_findings", severity="no such") == []


def test_the_history_of_a_rule_is_the_newest_first(history: sqlite3.Connection) -> None:
    rows = ask(history, "history_of_rule", rule="runtime.smep")
    assert [(row["run_id"], row["node"], row["outcome"], row["verdict"]) for row in rows] == [
        (2, 1, "fail", "worse"),
        (2, 2, "pass", "worse"),
        (1, 0, "pass", None),
    ]
    assert len(ask(history, "history_of_rule", rule="runtime.smep", runs="1")) == 1
    # left empty: something that fails
    assert {row["rule"] for row in ask(history, "history_of_rule")} == {"config.slab"}
    assert ask(history, "history_of_rule", rule="no such") == []


def test_findings_that_differ_the_worst_first(history: sqlite3.Connection) -> None:
    rows = ask(history, "differing_findings")
    assert [(row["rule"], row["outcome"], row["was"], row["now"]) for row in rows] == [
        ("runtime.smep", "worse", "pass", "fail"),
        ("image.w_xor_x", "unsure", "pass", "error"),
        ("config.kexec", "better", "fail", "pass"),
    ]
    assert [row["rule"] for row in ask(history, "differing_findings", outcome="better")] == ["config.kexec"]


def test_what_a_page_says_of_a_run(history: sqlite3.Connection) -> None:
    page = run_page(history, 2)
    assert page is not None
    found = page["findings"]
    assert (
        found["words"] == "6 rules: 2 failed (1 critical, 1 high), 1 could not be told, 1 skipped, 2 passed"
    )
    assert [category["name"] for category in found["categories"]] == ["runtime", "image", "config", "own"]
    smep = found["rules"][0]
    assert (smep["rule"], smep["where"], smep["nodes"], smep["verdict"]) == (
        "runtime.smep", "on 1 of 2 nodes (1)", [1], "worse",
    )  # fmt: skip
    assert [one["rule"] for one in found["differing"]] == ["runtime.smep", "image.w_xor_x", "config.kexec"]
    (newest, _) = start_page(history)["runs"]
    assert newest["outcomes"] == {"worse": 1, "same": 1, "better": 1, "unsure": 1}


def test_a_run_without_findings_has_none(tmp_path: Path) -> None:
    report_history.write_runs(tmp_path / "results.db", 1)
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection:
        connection.row_factory = sqlite3.Row
        page = run_page(connection, 1)
    assert page is not None
    assert page["findings"] == {}


def test_cells_of_findings() -> None:
    assert 'href="/results/history_of_rule?rule=a.b+c%26d"' in str(cells.cell({}, "a.b c&d", "rule"))
    assert ">▲▲ critical<" in str(cells.cell({}, "critical", "severity"))
    assert "▲▲" not in str(cells.cell({"outcome": "pass"}, "critical", "severity"))
    assert "▲▲" in str(cells.cell({"outcome": "fail"}, "critical", "severity"))
    assert ">▷ new<" in str(cells.cell({}, "new", "verdict"))
    shown = str(cells.cell({}, "<b>" + "x" * 5000, "evidence"))
    assert shown.startswith('<span class="sis-sentence">&lt;b&gt;x')
    assert len(shown) < 1100


def test_the_pages_of_the_real_server(site: Site) -> None:
    status, text = site.get("/-/run/2")
    assert status == 200
    for words in (
        "Findings: 1 worse, 1 unsure, 1 better, 1 same, against run 12 (debian).",
        'href="/results/history_of_rule?rule=runtime.smep"',
        "on 1 of 2 nodes (1): what was seen of it",
        "why it asks",
        "KSPP",
        "1 passed, 1 skipped",
        'href="/results/findings?run_id=2"',
    ):
        assert words in text, words
    for name in (
        "failing_findings",
        "history_of_rule?rule=runtime.smep",
        "differing_findings",
        "findings",
        "latest_findings",
    ):
        status, text = site.get(f"/results/{name}")
        assert (status, "▲▲ critical" in text) == (200, True), name
    (row,) = site.json("/results/findings.json?_shape=array&run_id=2&outcome=error")
    assert row["rule"] == "image.w_xor_x"
    assert site.json("/-/run/2.json")["findings"]["verdicts"][0]["rule"] == "runtime.smep"
