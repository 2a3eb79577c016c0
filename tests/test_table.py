"""The table of a run: medians over nodes, and whether each target is met."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sistasks.history.records import SummaryRow
from sistasks.suites.metrics import METRICS
from sistasks.suites.table import results_table
from sistasks.units import show


def row(node: int, metric: str, value: float, p95: float | None = None) -> SummaryRow:
    return SummaryRow(
        node=node, metric=metric, count=10, mean=value, std=value / 10, min=value, p50=value + 1,
        p95=value + 2 if p95 is None else p95, p99=value + 3, max=value + 4,
    )  # fmt: skip


def render(rows: list[SummaryRow], width: int = 160) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, highlight=False).print(results_table("title of it", rows, width))
    return [line.strip() for line in text.getvalue().splitlines() if line.strip()]


def test_each_figure_is_the_median_over_nodes() -> None:
    rows = [row(1, "context_switch.latency", 100), row(2, "context_switch.latency", 300)]
    rows.append(row(3, "context_switch.latency", 100_000))
    (line,) = [line for line in render(rows) if "context_switch" in line]
    assert line.split()[:11] == [
        "context_switch.latency", "300", "ns", "301", "ns", "302", "ns", "303", "ns", "30.0", "ns",
    ]  # fmt: skip


def test_targets() -> None:
    lines = render([row(1, "context_switch.latency", 100), row(1, "boot.kernel", 1e9)])
    assert any("p95 < 500 ns met" in line for line in lines)
    (boot,) = [line for line in lines if line.startswith("boot.kernel")]
    assert boot.endswith(" -")
    missed = render([row(1, "context_switch.latency", 100, p95=501), row(1, "throughput.rate", 400_000)])
    assert any("p95 < 500 ns missed" in line for line in missed)
    assert any("mean > 500 k/s missed" in line for line in missed)


@pytest.mark.parametrize("width", [104, 132, 200])
def test_industry_stands_beside_or_below(width: int) -> None:
    lines = render([row(1, "context_switch.latency", 100), row(1, "ai_inference.latency", 100)], width)
    (line,) = [line for line in lines if line.startswith("context_switch.latency ")]
    text = " ".join(lines)
    assert ("Linux 1-2 us" in line) == (width >= 132)
    assert text.count("Linux 1-2 us") == 1
    assert "TensorFlow Lite" in text


def test_rows_come_in_the_order_of_the_metrics_and_only_where_measured() -> None:
    names = ["throughput.rate", "boot.kernel", "context_switch.latency"]
    lines = render([row(1, name, 100) for name in names])
    shown = [line.split()[0] for line in lines if line.split()[0] in METRICS]
    assert shown == [name for name in METRICS if name in names]


@pytest.mark.parametrize("width", [104, 132, 160])
def test_every_metric_fits_the_terminal(width: int) -> None:
    lines = render([row(1, name, 678_900) for name in METRICS], width)
    for name, metric in METRICS.items():
        (line,) = [line for line in lines if line.startswith(name + " ")]
        assert show(678_900, metric.unit) in line
        assert show(67_890, metric.unit) in line
        if metric.target is not None:
            assert show(metric.target, metric.unit) in line
            assert (" met" in line) != (" missed" in line)
    assert max(map(len, lines)) <= width


def test_nothing_measured_is_a_table_with_nothing() -> None:
    assert render([])[0].startswith("title of it")


@pytest.mark.parametrize("width", [60, 72, 80, 88, 96])
def test_no_figure_is_cut_on_a_narrow_terminal(width: int) -> None:
    names = ("memory_allocation.fragmentation", "throughput.sustained", "context_switch.latency")
    lines = render([row(1, name, 678_900) for name in names], width)
    assert "…" not in "".join(lines)
    for name in names:
        (line,) = [line for line in lines if line.startswith(name + " ")]
        assert show(678_901, METRICS[name].unit) in line  # the median is there at any width
    assert ("std" in lines[1]) is (width >= 80)
