"""METRIC lines: a sample each, or a finding in words; nothing raises and nothing is passed over."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sistasks.protocols.metrics import NAMES_LIMIT, SAMPLES_LIMIT, Metrics, is_metric
from sistasks.protocols.records import FINDINGS_LIMIT, Findings, Series


def read(*lines: str) -> tuple[dict[str, Series], tuple[str, ...]]:
    findings = Findings()
    metrics = Metrics("disk", findings)
    for line in lines:
        metrics.line(line)
    return metrics.series(), findings.all()


def test_a_name_again_is_a_further_sample() -> None:
    series, findings = read("METRIC a.b=1", "METRIC c/d=-2.5e1", "METRIC a.b=3")
    assert series == {"a.b": Series("", (1.0, 3.0)), "c/d": Series("", (-25.0,))}
    assert findings == ()


@pytest.mark.parametrize(
    ("line", "unit", "value"),
    [
        ("METRIC latency=5 ns", "ns", 5.0),
        ("METRIC latency=2.5 us", "ns", 2500.0),
        ("METRIC latency=2.5 µs", "ns", 2500.0),
        ("METRIC boot=3 ms", "ns", 3e6),
        ("METRIC boot=1 s", "ns", 1e9),
        ("METRIC ctx_switch_ns=1008", "ns", 1008.0),
        ("METRIC ai_inference_us=40", "ns", 40000.0),
        ("METRIC cntfrq_hz=62500000", "Hz", 62500000.0),
        ("METRIC done_per_ms=4", "", 4.0),
        ("METRIC ms=4", "", 4.0),
        ("METRIC rate=5 ops/s", "ops/s", 5.0),
        ("METRIC temperature=-5 C", "C", -5.0),
        ("[    1.234567] METRIC a=1", "", 1.0),
        ("  [PERF] METRIC a=1  ", "", 1.0),
        ("# METRIC a=1", "", 1.0),
        ("METRIC\ta=+.5", "", 0.5),
    ],
)
def test_units_of_time_become_nanoseconds(line: str, unit: str, value: float) -> None:
    series, findings = read(line)
    assert list(series.values()) == [Series(unit, (value,))]
    assert findings == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("METRIC", "METRIC '' is no name=value"),
        ("METRIC hello", "METRIC 'hello' is no name=value"),
        ("METRIC a=", "METRIC 'a=' is no name=value"),
        ("METRIC a =1", "METRIC 'a =1' is no name=value"),
        ("METRIC =1", "METRIC '=1' has no name"),
        ("METRIC a=1 2 3", "METRIC 'a=1 2 3' has more than a value and a unit"),
        ("METRIC a=1 b=2", "METRIC 'a=1 b=2' has a unit that is none"),
        ("METRIC Big=1", "METRIC 'Big=1' has a name with other letters than a-z, 0-9 and _.-/"),
        ("METRIC é=1", "METRIC 'é=1' has a name with other letters than a-z, 0-9 and _.-/"),
        ("METRIC a=x", "METRIC 'a=x' is no number"),
        ("METRIC a=1,5", "METRIC 'a=1,5' is no number"),
        ("METRIC a=1_000", "METRIC 'a=1_000' is no number"),
        ("METRIC a=٣", "METRIC 'a=٣' is no number"),
        ("METRIC a=NaN", "METRIC 'a=NaN' is not a number (NaN)"),
        ("METRIC a=-inf", "METRIC 'a=-inf' is infinite"),
        ("METRIC a=Infinity", "METRIC 'a=Infinity' is infinite"),
        ("METRIC a=0xff", "METRIC 'a=0xff' is hexadecimal; numbers are decimal"),
        ("METRIC a=1e999", "METRIC 'a=1e999' is too large for a number"),
        ("METRIC a=1e308 s", "METRIC 'a=1e308' is too large for a number"),
        ("METRIC a=-1 ms", "METRIC 'a=-1' is a time below zero"),
        ("METRIC a_ns=-1", "METRIC 'a_ns=-1' is a time below zero"),
        ("METRIC disk.latency=-1", "METRIC 'disk.latency=-1' is a time below zero"),
        ("METRIC " + "n" * 101 + "=1", f"METRIC '{'n' * 79}…' has a name of 101 letters, at most 100 can be"),
        (
            "METRIC " + "n" * 4089 + " […cut: the line had 10250 bytes]",
            f"METRIC '{'n' * 79}…' has a name of more than 100 letters",
        ),
        (
            "METRIC " + "n" * 10240 + "=1",
            f"METRIC '{'n' * 79}…' has a name of 10240 letters, at most 100 can be",
        ),
    ],
)
def test_what_cannot_be_taken_is_a_finding(line: str, why: str) -> None:
    assert read(line) == ({}, (f"disk: {why}, left out",))


def test_a_second_unit_is_refused() -> None:
    series, findings = read("METRIC a=1 kB", "METRIC a=2 MB", "METRIC a=3 kB")
    assert series == {"a": Series("kB", (1.0, 3.0))}
    assert findings == ("disk: METRIC 'a=2 MB' was said in 'kB' before, left out",)


def test_a_thousand_metrics_are_a_hundred() -> None:
    series, findings = read(*(f"METRIC m{number}={number}" for number in range(1000)))
    assert list(series) == [f"m{number}" for number in range(NAMES_LIMIT)]
    assert findings == ("disk: more than 100 metrics, the rest is left out (900 times)",)
    assert read(*["METRIC a=1"] * 3)[0]["a"].values == (1.0,) * 3


def test_samples_are_bounded() -> None:
    findings = Findings()
    metrics = Metrics("disk", findings)
    for _ in range(SAMPLES_LIMIT + 5):
        metrics.take("a", "1")
    assert len(metrics.series()["a"].values) == SAMPLES_LIMIT
    assert findings.all() == ("disk: more than 100000 samples, the rest is left out (5 times)",)


def test_findings_are_bounded() -> None:
    _, findings = read(
        *(f"METRIC {'A' * number}=1" for number in range(1, 60)), *(f"METRIC a={n}x" for n in range(90))
    )
    assert len(findings) == FINDINGS_LIMIT + 1
    assert findings[-1] == "and 49 more findings"


@pytest.mark.parametrize(
    "line", ["METRICS: COMPLETE", "a METRIC b=1", "sis> METRIC a=1", "metric a=1", "METRIC_A=1", ""]
)
def test_other_lines_are_none(line: str) -> None:
    assert not is_metric(line)
    assert read(line) == ({}, ())


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.from_regex(r"[a-z_.]{1,8}=[-+0-9.eExinfa]{1,8}( [a-zA-Z/]{1,4})?", fullmatch=True)
)
def test_every_metric_line_is_a_sample_or_a_finding(rest: str) -> None:
    series, findings = read("METRIC " + rest)
    values = [value for each in series.values() for value in each.values]
    assert len(values) + len(findings) == 1
    assert all(math.isfinite(value) for value in values)
    assert all(value >= 0 for each in series.values() if each.unit == "ns" for value in each.values)


@given(st.floats(-1e100, 1e100))
def test_numbers_are_taken_exactly(value: float) -> None:
    assert read(f"METRIC a={value!r}")[0]["a"].values == (value,)
