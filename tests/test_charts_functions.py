"""Ranked bars of functions: whatever the figures and the names, a drawing that says the same as they do."""

from __future__ import annotations

from itertools import pairwise

import history_records as records
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_charts import HOSTILE, NUMBERS, WORDS, inside, parsed, texts, titles

from sistasks.charts.bars import Bar, ranked_chart
from sistasks.charts.functions import SHOWN, changed_chart, shares_chart
from sistasks.history.differences import differences, shares
from sistasks.units import portion

BARS = st.builds(Bar, WORDS, NUMBERS, WORDS, WORDS, st.booleans())


@given(st.lists(BARS, max_size=15), WORDS, st.booleans())
def test_any_bars_are_a_drawing_within_its_frame(bars: list[Bar], title: str, signed: bool) -> None:
    svg = ranked_chart(bars, title=title, subtitle=title, signed=signed)
    assert inside(svg)
    for rect in parsed(svg).iter("rect"):
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= 480.05


def test_lengths_are_as_the_values_and_to_both_sides_of_zero() -> None:
    bars = [Bar("most", 30.0, "+30"), Bar("less", -10.0, "-10"), Bar("rest", 900.0, "+900", rest=True)]
    svg = ranked_chart(bars, title="t", subtitle="s", signed=True)
    more, less = parsed(svg).iter("rect")
    assert (more.attrib["class"], less.attrib["class"]) == ("more", "less")
    assert float(more.attrib["width"]) == pytest.approx(3 * float(less.attrib["width"]), abs=0.2)
    # those that stand for all others do not press them flat
    assert float(more.attrib["width"]) + float(less.attrib["width"]) == pytest.approx(476, abs=0.2)
    zero = {line.attrib["x1"] for line in parsed(svg).iter("line")}
    assert zero == {more.attrib["x"]}
    assert float(less.attrib["x"]) + float(less.attrib["width"]) == pytest.approx(
        float(more.attrib["x"]), abs=0.2
    )
    assert texts(svg)[2:] == ["most", "+30", "less", "-10", "rest", "+900"]


def test_nothing_to_draw_says_so_and_hostile_names_are_text() -> None:
    assert "no instructions" in texts(ranked_chart([], title="t", subtitle="s"))
    svg = shares_chart(shares([records.profile({HOSTILE: 5})], 1)[0])
    assert "<script" not in svg
    assert any("<script>" in words for words in titles(svg))


def test_functions_are_ranked_and_the_others_are_summed() -> None:
    before = {f"f{number:02}": 1000 for number in range(20)}
    after = {name: 1000 + 100 * (number + 1) for number, name in enumerate(before)} | {"f00": 500}
    (one,) = differences([records.profile(before)], [records.profile(after)], (10, 10))
    named = texts(changed_chart(one))[2::2]
    # the largest change first, whichever way it went
    assert named[:2] == ["f19", "f18"]
    assert named[-1] == f"{21 - 1 - SHOWN} others together"
    (whole,) = shares([records.profile(after)], 10)
    values = [each.instructions for each in whole.functions]
    assert all(one >= two for one, two in pairwise(values))
    assert sum(values) == pytest.approx(whole.instructions)
    assert sum(each.share for each in whole.functions) == pytest.approx(1)
    assert len(list(parsed(shares_chart(whole)).iter("rect"))) == SHOWN


def test_changes_that_could_not_be_seen_have_no_bar() -> None:
    (one,) = differences(
        [records.profile({"a": 10, "b": 10})], [records.profile({"a": 100_010, "b": 11})], (1, 1)
    )
    assert texts(changed_chart(one))[2:] == ["a", "+100 k (100.0 %)", "1 others together", "+1 (0.0 %)"]


@pytest.mark.parametrize(("share", "words"), [(0.0312, "3.1 %"), (-0.0001, "0.0 %"), (-1.5, "-150.0 %")])
def test_a_portion_in_words(share: float, words: str) -> None:
    assert portion(share) == words
