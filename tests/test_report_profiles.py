"""Which functions a verdict comes from: in the report, from a history in which both runs were counted."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import TYPE_CHECKING

import history_records as records
import pytest
import report_history
from report_history import RATE, SWITCH
from test_report_pages import Page

from sistasks.history.connection import prepare, reading
from sistasks.history.profiles import profiled_baseline
from sistasks.history.store import write_run
from sistasks.report import collect, markdown_summary
from sistasks.report.pages import dashboard, results_page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sistasks.history.profiles import ProfileRecord

# of three nodes in each run; the third one was not counted in the other run
BEFORE = {"schedule": 4000, "pipe_write": 900, "memset": 10, "same": 5000}
NOW = {"schedule": 3900, "pipe_write": 900, "memset": 1110, "same": 5000}


def _switch(node: int, instructions: Mapping[str, int]) -> ProfileRecord:
    return records.profile(instructions, node, test="context_switch", phase="switching", metrics=(SWITCH,))


def _rate(node: int, instructions: Mapping[str, int]) -> ProfileRecord:
    return records.profile(instructions, node, test="throughput", phase="whole", metrics=(RATE,))


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def _write(
    db: Path, *profiles: ProfileRecord, kernel: str = "ab", status: str = "ok", iterations: int = 10
) -> int:
    run = records.run(profiles=profiles, status=status, iterations=iterations)
    run = dataclasses.replace(run, kernel=dataclasses.replace(run.kernel, id=kernel * 32))
    return write_run(db, records.session(f"{kernel}-{len(profiles)}"), run, records.METRICS)


def _two(db: Path) -> tuple[int, int]:
    """Two runs that were counted, of two kernels, the second one worse."""
    before = _write(
        db,
        _switch(1, BEFORE),
        _switch(2, BEFORE),
        _switch(3, {"lone": 1}),
        _rate(1, {"read": 700}),
        kernel="0b",
    )
    now = _write(db, _switch(1, NOW), _switch(2, NOW), _rate(1, {"read": 700}))
    report_history.insert(db, "verdicts", report_history.verdict(now, baseline=f"run {before} (debian)"))
    return before, now


def test_functions_that_a_verdict_comes_from_are_ranked_with_their_share(db: Path) -> None:
    before, _ = _two(db)
    (run,) = collect(db)
    (one,) = run.profile.explained
    assert (one.base, one.outcomes, one.difference.phase) == (before, {SWITCH: "worse"}, "switching")
    assert [(row.function, row.change, row.share) for row in one.difference.functions] == [
        ("memset", 110.0, 1.1), ("schedule", -10.0, -0.1),
    ]  # fmt: skip
    page = Page(dashboard(collect(db)))
    (label,) = [
        attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg" and "a sample" in str(attrs)
    ]
    assert label == f"{SWITCH}: 991 → 1.09 k instructions a sample (+10.1 %); first memset, +110 (110.0 %)"
    for words in ("✕ worse context_switch.latency against run 1", "no flame graph", "-10 (-10.0 %)"):
        assert words in page.text, words
    assert [attrs["class"] for tag, attrs in page.elements if tag == "rect" and attrs["class"] in {"more", "less"}] == [
        "more", "less",
    ]  # fmt: skip
    line = r"- ✕ context\_switch.latency is worse in memset \(110.0 %\), schedule \(-10.0 %\), against run 1"
    assert line in markdown_summary(collect(db)).splitlines()


def test_what_got_better_has_a_picture_and_no_line(db: Path) -> None:
    _, now = _two(db)
    report_history.insert(
        db, "verdicts", report_history.verdict(now, outcome="better", baseline="run 1 (debian)")
    )
    assert "◆ better context_switch.latency against run 1" in Page(dashboard(collect(db))).text
    assert "is worse in" not in markdown_summary(collect(db))


def test_a_change_that_is_in_no_function_is_said_so(db: Path) -> None:
    _, now = _two(db)
    report_history.insert(db, "verdicts", report_history.verdict(now, metric=RATE, baseline="run 1 (debian)"))
    text = Page(dashboard(collect(db))).text
    assert "throughput.rate: as many instructions as in run 1, so the change is in no function." in text
    assert "throughput.rate is worse" not in markdown_summary(collect(db)).replace("\\", "")


def test_every_phase_that_was_counted_is_on_the_page_of_tests(db: Path) -> None:
    many = {f"f{number}": 100 - number for number in range(20)}
    _write(db, _switch(1, NOW), _switch(2, {**NOW, "schedule": 4100}), _rate(1, many))
    page = Page(results_page(collect(db)))
    labels = [attrs["aria-label"] or "" for tag, attrs in page.elements if tag == "svg"]
    assert labels == [
        f"{SWITCH}: 1.1 k instructions a sample; first same, 500 (45.4 %)",
        f"{RATE}: 181 instructions a sample; first f0, 10 (5.5 %)",
    ]
    assert "2 nodes counted" in page.text
    assert "8 others together" in page.text
    # twelve have bars, and of what is left only words
    assert len([tag for tag, _ in page.elements if tag == "rect"]) == 4 + 12
    assert "flame" not in Page(dashboard(collect(db))).text


def test_runs_that_were_not_counted_have_no_such_part(db: Path) -> None:
    _write(db, kernel="0b")
    now = _write(db)
    report_history.insert(db, "verdicts", report_history.verdict(now, baseline="run 1 (debian)"))
    (run,) = collect(db)
    assert (run.profile.phases, run.profile.explained, run.profile.problem) == ((), (), "")
    assert "Functions" not in results_page(collect(db))


def test_a_damaged_profile_is_told_and_the_rest_is_there(db: Path) -> None:
    _two(db)
    with sqlite3.connect(db) as connection:
        connection.execute("UPDATE profiles SET data = x'00' WHERE run_id = 2")
    connection.close()
    text = Page(results_page(collect(db))).text
    assert "Samples are damaged" in text
    assert "2 passed" in text or "4 passed" in text


def test_the_run_to_compare_with_is_the_verdicts_or_the_newest_of_the_baseline(db: Path) -> None:
    first = _write(db, _switch(1, BEFORE), kernel="01")
    second = _write(db, _switch(1, BEFORE), kernel="02")
    for other in (
        _write(db, kernel="03"),  # was not counted
        _write(db, _switch(1, BEFORE), kernel="04", status="failed"),
        _write(db, _switch(1, BEFORE), kernel="05", iterations=20),
        _write(db, _switch(1, BEFORE), kernel="ab"),  # is the same kernel
    ):
        assert other > second
    now = _write(db, _switch(1, NOW), kernel="ab")
    later = _write(db, _switch(1, NOW), kernel="07")
    with reading(db) as connection:
        assert connection is not None
        assert profiled_baseline(connection, now) == second
        assert profiled_baseline(connection, now, f"run {first} (debian)") == first
        for against in (f"run {later} (debian)", "run 3 (debian)", "30 boots", f"run {2**59} ("):
            assert profiled_baseline(connection, now, against) == second, against
        assert profiled_baseline(connection, first) is None
        assert profiled_baseline(connection, 99) is None
    report_history.insert(
        db,
        "annotations",
        {
            "run_id": second + 1,
            "kind": "accept",
            "text": "",
            "author": "me",
            "created_at": "2026-02-01T00:00:00Z",
        },
    )
    with reading(db) as connection:
        assert connection is not None
        assert profiled_baseline(connection, now) is None, "what was before the new normal is no baseline"


def test_a_history_from_before_profiles_has_none(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(db)
    records.make_older(db, 12, monkeypatch)
    assert collect(db)[0].profile.phases == ()
    with reading(db) as connection:
        assert connection is not None
        assert profiled_baseline(connection, 1) is None
    prepare(db)
    assert collect(db)[0].profile.problem == ""
