from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import statistics
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import history_records as records
import pytest
import report_history

from sistasks.history.records import ResultRow
from sistasks.history.store import write_run
from sistasks.report import collect, markdown_summary, write_report
from sistasks.report.pages import dashboard, results_page
from sistasks.resources import data_file
from sistasks.units import show

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE: Final = (
    '<script>alert(1)</script>"\' onload="alert(2)\x00\x1b\ufffe{{ 7 * 7 }}{% raw %}--></style>'
    + "W" * 10_000
)
# a time that is none is refused, and an unknown encoding has no samples: both have tests of their own
_KEPT: Final = {"started_at", "finished_at", "created_at", "at", "keep_until", "encoding"}
_VOID: Final = {"meta", "br"}


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def addresses(self) -> set[str]:
        names = ("href", "src", "action", "xlink:href", "data", "poster", "srcset", "formaction")
        return {attrs[name] or "" for _, attrs in self.elements for name in names if name in attrs}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def make_hostile(db: Path) -> set[str]:
    """Append hostile words to every text, alike where texts refer to each other; the columns that have them."""
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        changed = set()
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
        )
        for (table,) in tables.fetchall():
            for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
                if kind == "TEXT" and column not in _KEPT:
                    try:
                        query = f"UPDATE {table} SET {column} = coalesce({column}, '') || ?"  # noqa: S608 - our own names
                        connection.execute(query, (HOSTILE,))
                    except sqlite3.IntegrityError:
                        continue  # the schema has a list of what may stand there
                    changed.add(f"{table}.{column}")
    connection.close()
    return changed


def test_the_dashboard_has_all_that_the_history_knows(db: Path) -> None:
    report_history.write_everything(db)
    page = Page(dashboard(collect(db)))
    for words in (
        "8 of 8 tests passed", "0 of 1 targets met", "1 confirmed as worse, of 3 verdicts", "1 crash",
        "targets are reported, not enforced", "p95 ≤ 500 ns", "Linux 1-2 us", "+12.1 %", "worse (not confirmed)",
        "too few boots",
        "Kernel panic - not syncing: Attempted to kill init!", "byte 4711 of its console", "120.0 MiB", "70 %",
        "one instruction counts as 1 ns", "console=ttyS0", "doit test nodes=2", "x86_64, q35, qemu64", "4 nodes",
    ):  # fmt: skip
        assert words.casefold() in page.text.casefold(), words
    labels = [attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg"]
    assert len([label for label in labels if label.startswith("Distribution")]) == 2
    assert len([label for label in labels if label.startswith("Median of each node")]) == 2
    assert len([label for label in labels if label.startswith("History") and "12 runs" in label]) == 2
    assert len([label for label in labels if "1 change" in label]) == 1


def test_how_well_a_figure_is_known_is_beside_it_and_what_cannot_be_known_is_said(db: Path) -> None:
    report_history.write_runs(db, 1)
    (metric, rate) = collect(db)[0].metrics
    rows = metric.summaries
    for name, column in (("mean", "ci"), ("p50", "p50"), ("p95", "p95")):
        expected = tuple(
            statistics.median(getattr(row, f"{column}_{end}") for row in rows) for end in ("low", "high")
        )
        assert metric.interval(name) == expected
        low, high = expected
        assert low is not None
        assert high is not None
        assert low < metric.middle(name) < high
    assert metric.interval("p99")[1] is None
    assert metric.interval("max") == (None, None)
    page = Page(dashboard(collect(db)))
    for words in (
        f"{show(metric.interval('p95')[0], 'ns')} … {show(metric.interval('p95')[1], 'ns')}",
        "one node, 99 %",
        "400 samples are too few for the upper end of p99 at 99 %: it needs 528.",
        "100 samples are too few for the upper end of p95 at 99 %: it needs 104.",
    ):
        assert words in page.text, words
    assert "end of p50" not in page.text
    assert (rate.too_few[0][:11], metric.too_few[0][:11]) == ("100 samples", "400 samples")


def test_a_summary_without_intervals_has_none_on_the_page(db: Path) -> None:
    write_run(db, records.session(), records.run(nodes=1), records.METRICS)
    text = Page(dashboard(collect(db))).text
    assert "one node," not in text
    assert "too few for" not in text


def test_nothing_is_fetched_and_nothing_is_run(db: Path) -> None:
    report_history.write_everything(db)
    for text in (dashboard(collect(db)), results_page(collect(db))):
        page = Page(text)
        assert not page.tags() & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
        assert all(address.startswith("#") for address in page.addresses())
        assert not re.search(r"https?:|url\(|@import", text)
        policy = next(
            attrs["content"]
            for _, attrs in page.elements
            if attrs.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_links_within_the_page_have_their_places(db: Path) -> None:
    report_history.write_everything(db)
    page = Page(dashboard(collect(db)))
    places = {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}
    assert page.addresses() == places


def test_a_run_that_measured_nothing_is_an_honest_page(db: Path) -> None:
    record = records.run(status="error", message="node 1: QEMU ended", results=(), summaries=(), samples=())
    write_run(db, records.session(), record, records.METRICS)
    text = Page(dashboard(collect(db))).text
    assert "Nothing was measured in run 1: node 1: QEMU ended." in text
    assert "No metric of these runs has a target." in text
    assert "was not judged: doit gate does that, but only where a run is ok" in text
    assert "No test reported: node 1: QEMU ended." in Page(results_page(collect(db))).text


def test_one_run_without_samples_is_an_honest_page(db: Path) -> None:
    write_run(db, records.session(), records.run(samples=()), records.METRICS)
    text = Page(dashboard(collect(db))).text
    assert "No samples are kept." in text
    assert "not judged yet" in text
    assert "No history yet" in text
    assert "None was recorded." in text
    assert "Nothing was watched in these runs." in text


def test_single_samples_are_a_table_with_their_histories(db: Path) -> None:
    for _ in range(2):
        rows = tuple(
            dataclasses.replace(records.summary(1, metric.name), count=1) for metric in records.METRICS
        )
        write_run(db, records.session(), records.run(nodes=1, summaries=rows, samples=()), records.METRICS)
    page = Page(dashboard(collect(db)))
    assert "One sample of each" in page.text
    labels = [(attrs["aria-label"] or "").split(":")[0] for tag, attrs in page.elements if tag == "svg"]
    assert labels[1:] == [f"{metric.name}, history" for metric in records.METRICS]


def test_the_test_page_has_every_test_on_every_node(db: Path) -> None:
    results = (
        ResultRow(node=0, test="consensus", status="pass"),
        ResultRow(node=1, test="boot", status="fail", message="wrong answer"),
        ResultRow(node=2, test="boot", status="pass", target_met=False),
        ResultRow(node=10, test="boot", status="skip", message="not asked"),
    )
    write_run(
        db, records.session(), records.run(results=results, status="failed", message="no"), records.METRICS
    )
    text = Page(results_page(collect(db))).text
    assert "✓ 2 passed , ✕ 1 failed , ! 0 errors , ○ 1 skipped" in text
    assert (
        "node consensus boot cluster ✓ pass - 1 - ✕ fail 2 - ✓ pass target missed 10 - ○ skip"
        in text.replace("\N{EN DASH}", "-")
    )
    assert "✕ fail boot on node 1: wrong answer" in text
    assert "○ skip boot on node 10: not asked" in text


def test_hostile_text_in_every_column_is_text(db: Path, tmp_path: Path) -> None:
    report_history.write_everything(db)
    changed = make_hostile(db)
    assert {
        "kernels.name",
        "runs.message",
        "crashes.report",
        "verdicts.reason",
        "metrics.unit",
        "runs.suite",
    } <= changed
    paths = {path.name: path for path in write_report(db, tmp_path / "out")}
    for name in ("validation_dashboard.html", "test_report.html"):
        text = paths[name].read_text()
        page = Page(text)
        assert "script" not in page.tags()
        assert not any(key.startswith("on") for _, attrs in page.elements for key in attrs)
        assert "<script>alert(1)</script>" in page.text
        assert "{{ 7 * 7 }}" in page.text
        assert not re.search("[\x00\x1b\ufffe]", text)
        assert all(address.startswith("#") for address in page.addresses())
    root = ET.parse(paths["junit.xml"]).getroot()  # noqa: S314 - our own document
    assert any("<script>alert(1)" in case.attrib["classname"] for case in root.iter("testcase"))
    for path in paths.values():
        if path.suffix == ".json":
            json.loads(path.read_text())
    assert not re.search(r"<[a-z/!]|(?<!\\)[`\[]|\x00", markdown_summary(collect(db)))


def test_file_names_stay_in_their_folders(db: Path, tmp_path: Path) -> None:
    for suite in ("../../escape", "/etc/suite", "a" * 300, "nul\x00", ".."):
        write_run(db, records.session(), records.run(suite=suite), records.METRICS)
    out = tmp_path / "deep" / "er" / "out"
    for path in write_report(db, out):
        assert path.resolve().parent in {out, out / "orchestrator", out / "qemu" / "results"}
        assert path.is_file()
    assert not list(tmp_path.glob("escape*"))


def test_many_nodes_are_a_page_of_reasonable_size(db: Path) -> None:
    report_history.write_runs(db, 2, nodes=100)
    assert len(dashboard(collect(db))) < 400_000


@pytest.mark.parametrize("unit", ["ns", "ops/s", "ppm", "frames"])
def test_units_are_those_of_the_metric(db: Path, unit: str) -> None:
    metrics = [dataclasses.replace(metric, unit=unit) for metric in records.METRICS]
    write_run(db, records.session(), records.run(), metrics)
    from sistasks.units import show

    assert show(1600.0, unit) in Page(dashboard(collect(db))).text


def test_the_wheel_has_the_templates() -> None:
    import tomllib

    root = data_file("templates/report/page.html").parent.parent.parent
    build = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"]["templates"] == "sistasks/data/templates"
