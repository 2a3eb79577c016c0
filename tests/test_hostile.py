"""From a hostile guest's bytes to every place where people read: nothing of it is interpreted, and nothing raised."""

from __future__ import annotations

import asyncio
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import history_records as records
from browsing import browsing
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import NodeError, SistasksError
from sistasks.guest.frames import FrameType, encode
from sistasks.history.store import write_run
from sistasks.layout import Layout
from sistasks.machine.results import Allowed, ResultsChannel
from sistasks.protocols.profile import PROFILES
from sistasks.protocols.reader import reader_for
from sistasks.report import collect, junit, markdown_summary, write_report
from sistasks.settings import resolve
from sistasks.suites.console.outcome import heard
from sistasks.suites.measured import measure
from sistasks.suites.metrics import METRICS
from sistasks.suites.printed import own_metrics, take_printed
from sistasks.suites.recording import metric_rows
from sistasks.suites.suite import Suite
from sistasks.suites.table import results_table
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from sistasks.machine.results import GuestResults
    from sistasks.suites.console.outcome import Heard
    from sistasks.suites.metrics import Metric

NASTY: Final = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "[red]red[/red]",
    "[/nothing]", "[link=http://evil]x[/link]", "=1+1", "@SUM(A1)", "'; DROP TABLE runs; --", '" onclick="x', "]]>",
    "&amp;&#0;", "{{7*7}}{% raw %}", "javascript:alert(1)", "![x](http://evil) | `a` | <b>",
    "\u202e\u2028\ufffe\x00\x0b", "x" * 60_000, "%s%n{0}", "../../etc/passwd", "METRIC a=1", "# SKIP",
    "NaN", "-1", "1e400",
)  # fmt: skip
TEXT: Final = st.sampled_from(NASTY) | st.text(max_size=60)
SUITE: Final = Suite(
    name="hostile", title="hostile", tests={"context_switch": ("context_switch.latency",), "bench": ()}
)


def told(texts: Sequence[str]) -> GuestResults:
    """An agent whose every word is one of these."""
    errors: list[str] = []
    bench = "\n".join(f"METRIC {text}\nMETRIC latency={text}\nMETRIC {text}=5 {text}" for text in texts)
    said = [
        (FrameType.HELLO, "".join(f"release={text}\n{text}=x\n" for text in texts)),
        (FrameType.READY, ""),
        *((FrameType.NOTE, f"text={text}\n") for text in texts),
        (FrameType.BEGIN, "test=context_switch\n"),
        (FrameType.END, f"test=context_switch\nstatus=fail\nduration_ns=5\nmessage={' '.join(texts)}\n"),
        (FrameType.BEGIN, "test=bench\n"),
        (FrameType.LINES, bench[:60_000]),
        (FrameType.END, "test=bench\nstatus=pass\nduration_ns=5\nmessage=\n"),
        (FrameType.DONE, f"problem={texts[0]}\nsamples=0\n"),
    ]

    async def feed() -> GuestResults:
        allowed = Allowed(tuple(SUITE.tests), frozenset({"bench"}))
        channel = ResultsChannel(0, lambda _: None, errors.append, allowed)
        for number, (kind, text) in enumerate(said):
            channel.data_received(encode(kind, number, text.encode()[:65_536]))
        return channel.results

    results = asyncio.run(feed())
    assert not errors or "payload" in errors[0]
    return results


def ktap(texts: Sequence[str]) -> bytes:
    """A kernel that says them in KTAP, as names, reasons and metrics."""
    lines = ["KTAP version 1", "1..9"]
    for number, text in enumerate(texts, 1):
        lines += [
            f"# {text}",
            f"METRIC {text}=1",
            "METRIC t=1 us",
            f"{'not ' * (number % 2)}ok {number} {text} # {text}",
        ]
    return "\n".join(lines).encode()


def of_kernel(texts: Sequence[str]) -> Heard:
    """What such a kernel comes to."""
    reader = reader_for(PROFILES["ktap"])
    reader.feed(1, ktap(texts) + b"\n")
    return heard(reader.result("it ended"), PROFILES["ktap"], boot=False, started=0, own=METRICS)


def suite_of(found: Heard) -> Suite:
    """The suite with the tests that it has."""
    tests = {test.name: found.needed.get(test.name, ()) for test in found.results.tests}
    return replace(SUITE, tests=tests, own_metrics=tuple(found.metrics))


def kept(
    db: Path, suite: Suite, results: GuestResults, error: SistasksError | None, known: Mapping[str, Metric]
) -> str:
    """Measure, write, and what a terminal shows of it."""
    report = NodeReport(
        number=1,
        seed=1,
        results=results,
        error=error,
        started=0,
        ready=0,
        finished=1,
        console=Path("node_1.log"),
    )
    suite = replace(suite, own_metrics=own_metrics(suite, [report], known))
    found = measure(suite, [report], enforce=True, metrics=known)
    rows = metric_rows(suite, known)
    run = records.run(
        nodes=1, status=found.status, message=found.message, results=found.results, summaries=found.summaries,
        samples=found.samples,
    )  # fmt: skip
    write_run(db, records.session(), run, rows)
    out = io.StringIO()
    variables = {"output": str(db.parent / "out")}
    with Terminal(
        resolve(variables, environ={}, pyproject=Path("/nonexistent")), Layout(db.parent / "out"), out
    ) as terminal:
        terminal.table(results_table("hostile", found.summaries, 132, known))
        terminal.result(found.message)
        with terminal.nodes(1) as nodes:
            nodes.stage(1, "failed", report.reason)
    return out.getvalue()


def no_number(name: str) -> None:
    """JSON has no NaN."""
    raise AssertionError(name)


def shown_safely(db: Path, terminal: str) -> None:
    """All that people read of it."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", terminal), "a terminal would obey"
    written = {path.name: path for path in write_report(db, db.parent / "out")}
    runs = collect(db)
    ET.fromstring(junit(runs, {}))  # noqa: S314 - our own document
    ET.parse(written["junit.xml"])  # noqa: S314 - our own document
    pages = [path.read_text() for path in written.values() if path.suffix == ".html"]
    assert len(pages) == 2
    for page in [*pages, markdown_summary(runs)]:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert ' onclick="x' not in page
        assert "\x1b" not in page
        assert "49{% raw" not in page
    assert "[x](http://evil)" not in markdown_summary(runs)
    for path in written.values():
        if path.suffix == ".json":
            json.loads(path.read_text(), parse_constant=no_number)


TEXTS = st.lists(TEXT, min_size=1, max_size=6)
HYPOTHESIS = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@HYPOTHESIS
@example([*NASTY[:9]])
@example([*NASTY[9:]])
@given(TEXTS)
def test_words_of_an_agent(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    db = fresh(tmp_path_factory)
    results = told(texts)
    known = take_printed(SUITE, [results], METRICS)
    error = NodeError(f"node 1: the agent gave up: {results.problem}") if results.problem else None
    shown_safely(db, kept(db, SUITE, results, error, known))


@HYPOTHESIS
@example([*NASTY[:9]])
@example([*NASTY[9:]])
@given(TEXTS)
def test_words_of_a_kernel(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    db = fresh(tmp_path_factory)
    found = of_kernel(texts)
    shown_safely(db, kept(db, suite_of(found), found.results, None, found.metrics))


def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of this example alone."""
    return tmp_path_factory.mktemp("hostile") / "results.db"


def test_the_name_of_a_test_is_no_markup_of_the_terminal(tmp_path_factory: pytest.TempPathFactory) -> None:
    db = fresh(tmp_path_factory)
    found = of_kernel(["[red]loud"])
    assert "[red]loud.t" in kept(db, suite_of(found), found.results, None, found.metrics)


def test_pages_of_datasette(tmp_path_factory: pytest.TempPathFactory) -> None:
    db = fresh(tmp_path_factory)
    found = of_kernel([text for text in NASTY if len(text) < 100])
    kept(db, suite_of(found), found.results, None, found.metrics)
    results = told(NASTY)
    kept(db, SUITE, results, None, take_printed(SUITE, [results], METRICS))
    with browsing(db) as site:
        for path in (
            "/",
            "/results",
            "/results/results",
            "/results/runs",
            "/results/metrics",
            "/results/latest_results",
        ):
            status, page = site.get(path)
            assert status == 200, path
            assert "<script>alert" not in page, path
            assert "<img src=x" not in page, path
        assert site.sql("select count(*) as n from runs") == (200, [{"n": 2}])
        status, table = site.get("/results/results.csv")
        assert status == 200
        assert "alert(1)" in table
