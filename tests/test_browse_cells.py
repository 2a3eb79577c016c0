"""Cells: links, outcomes told without colour, figures; and text that is not ours stays text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.browse import cells


def test_links_lead_to_our_pages() -> None:
    assert cells.cell({}, 7, "run_id") == '<a href="/-/run/7" title="7">7</a>'
    assert (
        cells.cell({}, {"value": 7, "label": "boot"}, "run_id")
        == '<a href="/-/run/7" title="7 boot">7 boot</a>'
    )
    kernel = "ab" * 32
    assert cells.cell({}, {"value": kernel, "label": "debian"}, "kernel_id") == (
        f'<a href="/-/kernel/{kernel}" title="debian abababababab">debian abababababab</a>'
    )
    assert cells.cell({}, "a.b", "metric") == '<a href="/-/metric/a.b" title="a.b">a.b</a>'
    assert cells.cell({}, "s 1", "session_id") == '<a href="/results/sessions/s+1" title="s 1">s 1</a>'
    assert cells.key_link("runs", "7") == '<a href="/-/run/7" title="7">7</a>'
    assert cells.key_link("crashes", "7") == '<a href="/results/crashes/7" title="7">7</a>'


@pytest.mark.parametrize(
    ("value", "column", "row", "words"),
    [
        ("worse", "outcome", {}, "✕ worse"),
        ("error", "run_status", {}, "! error"),
        (0.0312, "mde", {}, "3.1 %"),
        (-0.5, "effect", {"effect": -0.5}, "-50.0 %"),
        (5599.0, "p50", {"unit": "ns"}, "5.60 µs"),
        ("2026-01-31T23:59:59.000125Z", "started_at", {}, "2026-01-31 23:59:59"),
        ("cd" * 32, "config_sha256", {}, "cdcdcdcdcdcd"),
    ],
)
def test_figures_and_words(value: Any, column: str, row: dict[str, Any], words: str) -> None:
    assert f">{words}<" in str(cells.cell(row, value, column))


@pytest.mark.parametrize(
    ("value", "column"), [(None, "run_id"), ("", "metric"), (5599.0, "p50"), ("x", "message"), (b"x", "data")]
)
def test_what_datasette_shows_itself(value: Any, column: str) -> None:
    assert cells.cell({}, value, column) is None


@given(
    st.text(),
    st.sampled_from(["run_id", "metric", "kernel_id", "session_id", "outcome", "status", "created_at"]),
)
def test_no_text_becomes_markup(text: str, column: str) -> None:
    shown = str(cells.cell({}, f"<b>'\"{text}", column))
    assert "<b" not in shown.replace("<badge", "")
    assert shown.count("<") == 2, "one element, and its end"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_name_makes_the_way_through_an_address(text: str) -> None:
    from datasette.utils import tilde_decode

    encoded = cells.encode(text)
    assert tilde_decode(encoded) == text
    assert encoded.isascii()
    assert not set(encoded) & set("/?#%&\"'<> ")
    assert not encoded.endswith(".json")
    assert encoded not in {".", ".."}


def test_long_text_is_cut_and_hashes_are_short() -> None:
    assert cells.short("x" * 81) == "x" * 80 + "…"
    assert cells.short("0" * 40) == "0" * 12
    assert cells.moment("<b>") == "<b>", "escaped by the template"
    assert cells.percent(None) == "-"
    assert cells.percent(0.00123) == "0.12 %"
