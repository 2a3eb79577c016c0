from __future__ import annotations

import math
import random
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sistasks.charts import STYLE, Point, distribution_chart, dots_chart, history_chart, sparkline
from sistasks.charts.style import COLOURS
from sistasks.charts.svg import Scale, clean, spread

HOSTILE = "</svg><script>alert('x')</script>\"onload=\"\x00\ud800" + "ж" * 10_000
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**63), 2**63 - 1).map(float)
WORDS = st.text(st.characters(), max_size=40)


def parsed(svg: str) -> ET.Element:
    """The drawing; well-formed, or the test fails."""
    svg.encode()  # no lone surrogates: a file can hold it
    return ET.fromstring(svg)  # noqa: S314 - our own drawing


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter("text")]


def titles(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter("title")]


def inside(svg: str) -> bool:
    """Whether every coordinate is within the drawing."""
    root = parsed(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for names, end in ((("x", "x1", "x2", "cx"), width), (("y", "y1", "y2", "cy"), height)):
            for name in names:
                if not 0 <= float(element.attrib.get(name, 0)) <= end:
                    return False
        for x, y in (pair.split(",") for pair in element.attrib.get("points", "").split()):
            if not (0 <= float(x) <= width and 0 <= float(y) <= height):
                return False
    return True


def discs(svg: str) -> list[ET.Element]:
    """The marks of runs that were not judged."""
    return [mark for mark in parsed(svg).iter("circle") if mark.attrib.get("class") == "d"]


def points(values: list[float], **changes: Any) -> list[Point]:
    return [Point(f"run {index}", value, **changes) for index, value in enumerate(values)]


@given(st.lists(NUMBERS, max_size=60), WORDS)
def test_any_numbers_and_words_make_a_drawing(values: list[float], words: str) -> None:
    for svg in (
        sparkline(values, better="lower"),
        history_chart([Point(words, value, value, 1.0, words, words) for value in values], unit=words, title=words),
        distribution_chart(values, unit=words, title=words, marks={words: values[0] if values else 0.0}),
        dots_chart({words: values, "b": values[:3]}, unit="ns", title=words),
    ):  # fmt: skip
        assert inside(svg)


@pytest.mark.parametrize(
    "svg",
    [
        history_chart(
            [Point(HOSTILE, 1, 0, 2, HOSTILE, HOSTILE, HOSTILE), Point(HOSTILE, 2)],
            unit=HOSTILE,
            title=HOSTILE,
        ),
        distribution_chart([1, 2], unit=HOSTILE, title=HOSTILE, marks={HOSTILE: 1}),
        dots_chart({HOSTILE: [1]}, unit=HOSTILE, title=HOSTILE),
        sparkline([1], better=HOSTILE),
    ],
)
def test_hostile_words_are_words(svg: str) -> None:
    root = parsed(svg)
    assert not list(root.iter("script"))
    assert not any("onload" in element.attrib for element in root.iter())
    assert "\x00" not in svg
    assert len(svg) < 20_000


@pytest.mark.parametrize(
    ("href", "kept"),
    [
        ("javascript:alert(1)", False), (" javascript:alert(1)", False), ("JAVASCRIPT:x", False),
        ("data:text/html,x", False),
        ("java\tscript:x", False), ("//elsewhere.example/x", False), ("/results/runs/3", True), ("#r3", True),
        ("", False),
        ("https://example.org/a:b", True), ("run?x=1", True),
    ],
)  # fmt: skip
def test_links_lead_to_pages_only(href: str, kept: bool) -> None:
    links = list(parsed(history_chart(points([1.0], href=href), unit="ns", title="t")).iter("a"))
    assert [link.attrib["href"] for link in links] == ([href] if kept else [])


def test_a_linked_chart_is_no_single_image() -> None:
    def role(href: str) -> str:
        return parsed(history_chart(points([1.0], href=href), unit="ns", title="t")).attrib["role"]

    assert (role("/x"), role("")) == ("group", "img")


def test_each_outcome_has_a_shape_and_a_word() -> None:
    outcomes = ("better", "same", "worse", "unsure")
    svg = history_chart([Point(name, 5.0, outcome=name) for name in outcomes], unit="ns", title="t")
    marks = [mark for mark in parsed(svg).iter() if mark.attrib.get("class", "").startswith("o-")]
    # once in the chart, once where it is explained
    kinds = {mark.attrib["class"]: (mark.tag, mark.attrib.get("d", "")[-1:] == "z") for mark in marks}
    assert kinds == {
        "o-better": ("path", True), "o-same": ("circle", False), "o-worse": ("path", False),
        "o-unsure": ("rect", False),
    }  # fmt: skip
    assert len(marks) == 8
    assert set(outcomes) <= set(texts(svg))


def test_a_change_is_marked_where_it_begins_with_its_size() -> None:
    svg = history_chart(points([100.0] * 10 + [112.0] * 10), unit="ns", title="t", changes=[10, 99, 0])
    lines = [line for line in parsed(svg).iter("line") if line.attrib.get("stroke-dasharray") == "5 3"]
    marks = [float(mark.attrib["cx"]) for mark in discs(svg)]
    assert len(lines) == 1
    assert marks[9] < float(lines[0].attrib["x1"]) < marks[10]
    assert "+12.0 %" in texts(svg)


def test_a_later_point_is_further_right_and_a_larger_one_higher() -> None:
    marks = discs(history_chart(points([5.0, 9.0, 7.0]), unit="ns", title="t"))
    assert [mark.attrib["cx"] for mark in marks] == sorted((mark.attrib["cx"] for mark in marks), key=float)
    low, high, middle = (float(mark.attrib["cy"]) for mark in marks)
    assert high < middle < low


def test_what_is_nearly_equal_looks_nearly_equal() -> None:
    marks = discs(history_chart(points([1000.0, 1001.0]), unit="ns", title="t"))
    assert abs(float(marks[0].attrib["cy"]) - float(marks[1].attrib["cy"])) < 5


def test_one_far_out_run_does_not_press_the_others_flat() -> None:
    values = [100.0 + index for index in range(20)]
    values[7] = 1e9
    svg = history_chart(points(values), unit="ns", title="t")
    marks = [float(mark.attrib["cy"]) for mark in discs(svg)]
    assert any("1 beyond the axis: 1.00 s" in words for words in texts(svg))
    assert max(marks) - sorted(marks)[1] > 5


def test_a_doubled_last_run_is_on_the_axis() -> None:
    svg = history_chart(points([100.0] * 29 + [199.0]), unit="ns", title="t")
    assert not any("beyond" in words for words in texts(svg))


def test_ten_thousand_runs_are_a_small_drawing_with_their_extremes() -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable on purpose
    values = [1000 + chance.gauss(0, 20) for _ in range(10_000)]
    values[5000] = 1300.0
    many = points(values)
    many[42] = Point("bad", values[42], outcome="worse")
    svg = history_chart(many, unit="ns", title="t")
    assert len(svg) < 60_000
    assert "bad: " in " ".join(titles(svg))
    line = next(parsed(svg).iter("polyline")).attrib["points"].split()
    heights = [float(pair.split(",")[1]) for pair in line]
    assert min(heights) < sorted(heights)[1]


def test_no_runs_and_no_samples_are_said() -> None:
    assert "no runs" in texts(history_chart([], unit="ns", title="t"))
    assert "no runs" in texts(history_chart(points([math.nan]), unit="ns", title="t"))
    assert "no samples" in texts(distribution_chart([], unit="ns", title="t", marks={"p50": 1}))
    assert "no samples" in texts(dots_chart({"1": []}, unit="ns", title="t"))
    assert titles(sparkline([], better="lower")) == ["no values"]


def bars(svg: str) -> list[int]:
    """Samples of each bar, by its title."""
    found = (re.search(r": (\d+) samples", words) for words in titles(svg)[1:])
    return [int(match[1]) for match in found if match]


def test_a_tail_is_cut_and_said() -> None:
    values = [1000 + index % 100 for index in range(995)] + [50_000, 60_000, 70_000, 80_000, 900_000]
    svg = distribution_chart(values, unit="ns", title="t", marks={"p50": 1050, "p99": 1099})
    assert sum(bars(svg)) == 995
    assert len(bars(svg)) > 5
    assert any(
        words.startswith("axis cut: 5 above") and words.endswith("up to 900 µs") for words in texts(svg)
    )


def test_both_tails_are_cut() -> None:
    values = [1000 + index % 100 for index in range(1000)] + [1, 9000]
    svg = distribution_chart(values, unit="ns", title="t", marks={})
    assert sum(bars(svg)) == 1000
    assert any("1 above" in words and "1 below" in words for words in texts(svg))


def test_without_a_tail_every_sample_is_in_a_bar() -> None:
    values = [float(index) * 10 for index in range(100, 400)]
    svg = distribution_chart(values, unit="ns", title="t", marks={})
    assert sum(bars(svg)) == 300
    assert not any("cut" in words for words in texts(svg))


def test_bars_are_as_high_as_their_samples() -> None:
    svg = distribution_chart([1] * 10 + [2] * 20 + [3] * 5, unit="ns", title="t", marks={})
    heights = [float(bar.attrib["height"]) for bar in parsed(svg).iter("rect")]
    assert bars(svg) == [10, 20, 5]
    assert heights[0] / heights[1] == pytest.approx(0.5, abs=0.01)
    assert heights[2] / heights[1] == pytest.approx(0.25, abs=0.01)


def test_a_few_low_samples_make_no_axis_logarithmic() -> None:
    values = [3000.0, 9000.0] + [600_000.0 + 300 * index for index in range(1000)]
    svg = distribution_chart(values, unit="ops/s", title="t", marks={})
    assert "logarithmic" not in " ".join(texts(svg))


def test_orders_of_magnitude_are_drawn_on_a_logarithmic_axis_that_says_so() -> None:
    svg = distribution_chart([10.0 ** (index / 200) for index in range(1200)], unit="ns", title="t", marks={})
    assert "logarithmic" in texts(svg)
    assert sum(bars(svg)) == 1200
    assert max(bars(svg)) < 1.5 * min(bars(svg))


def test_marks_stand_in_rows_of_their_own_at_their_values() -> None:
    values = list(range(1000, 2000))
    svg = distribution_chart(values, unit="ns", title="t", marks={"p50": 1500, "p95": 1501, "p99": 1990})
    words = [element for element in parsed(svg).iter("text") if (element.text or "").startswith("p")]
    assert [element.text for element in words] == ["p50 1.50 µs", "p95 1.50 µs", "p99 1.99 µs"]
    assert len({element.attrib["y"] for element in words}) == 3
    lines = [line for line in parsed(svg).iter("line") if line.attrib["class"] == "m"]
    assert len({line.attrib.get("stroke-dasharray") for line in lines}) == 3
    assert float(lines[0].attrib["x1"]) < float(lines[2].attrib["x1"])


def test_a_mark_beyond_the_axis_points_there() -> None:
    svg = distribution_chart([100, 101, 102], unit="ns", title="t", marks={"p99": 5000})
    assert "p99 5.00 µs →" in texts(svg)


def test_not_a_number_is_no_sample_and_is_said() -> None:
    svg = distribution_chart([1.0, math.nan, math.inf, 2.0], unit="ns", title="t", marks={})
    assert sum(bars(svg)) == 2
    assert any("2 not numbers" in words for words in texts(svg))


def test_every_value_of_every_group_has_a_dot() -> None:
    groups = {"1": [100.0, 110.0], "2": [105.0], "3": [95.0, 99.0, 130.0]}
    svg = dots_chart(groups, unit="ns", title="t")
    columns = [len(list(group.iter("circle"))) for group in parsed(svg).iter("g")]
    assert columns == [2, 1, 3]
    assert {"1", "2", "3"} <= set(texts(svg))
    assert any("median 105 ns" in words for words in texts(svg))


def test_many_values_and_groups_are_thinned_and_said() -> None:
    svg = dots_chart({str(node): list(range(1000)) for node in range(300)}, unit="ns", title="t")
    assert len(list(parsed(svg).iter("circle"))) <= 1000
    assert any("quantiles" in words and "200 of 300" in words for words in texts(svg))


def test_a_sparkline_says_its_values() -> None:
    assert titles(sparkline([5.0, 7.0, 6.0], better="lower")) == [
        "3 values, last 6, median 6, from 5 to 7; lower is better"
    ]


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_ticks_are_within_the_scale(low: float, span: float) -> None:
    first, last = spread(low, low + span)
    ticks = Scale(first, last, 0, 100).ticks()
    room = (last - first) * 1e-6
    assert 2 <= len(ticks) <= 6
    assert all(first - room <= tick <= last + room for tick in ticks)


def test_clean_keeps_words_and_their_length() -> None:
    assert clean("naïve ≤ 5 µs\n") == "naïve ≤ 5 µs\n"
    assert clean("a\x00b\ufffe") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert len(clean("x" * 1000, 50)) == 50


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("name", ["ink", "muted", "series", "better", "worse", "unsure"])
def test_colours_can_be_read_on_their_paper(name: str, scheme: int) -> None:
    one, other = luminance(COLOURS[name][scheme]), luminance(COLOURS["paper"][scheme])
    assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


def test_the_style_needs_nothing_else() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert STYLE.count("{") == STYLE.count("}")
