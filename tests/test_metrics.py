"""Every metric of every suite is known, and a target has a statistic, a value and a direction."""

from __future__ import annotations

import pytest

from sistasks.suites.metrics import METRICS, Metric
from sistasks.suites.suite import SUITES
from sistasks.units import UNITS, show


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_whole(metric: Metric) -> None:
    assert METRICS[metric.name] is metric
    assert metric.better in {"lower", "higher"}
    assert metric.unit in UNITS
    assert not show(1.0, metric.unit).endswith(" " + metric.unit) or metric.unit == "ns"
    assert (metric.target is None) == (metric.target_statistic is None)
    assert metric.target_statistic in {None, "mean", "p50", "p95", "p99", "max"}
    assert 0 < metric.minimum_effect < 1
    assert metric.description


def test_a_metric_is_named_after_a_test_of_one_suite() -> None:
    asked = [name for suite in SUITES.values() for metrics in suite.tests.values() for name in metrics]
    asked += [name for suite in SUITES.values() for name in suite.own_metrics]
    assert sorted(asked) == sorted(METRICS)
    for suite in SUITES.values():
        for test, metrics in suite.tests.items():
            assert all(name.startswith(test + ".") for name in metrics)


def test_the_targets_of_the_contract() -> None:
    targets = {
        name: (metric.target_statistic, metric.better, metric.target)
        for name, metric in METRICS.items()
        if metric.target is not None
    }
    assert targets == {
        "ai_inference.latency": ("p99", "lower", 40_000),
        "context_switch.latency": ("p95", "lower", 500),
        "consensus.latency": ("p95", "lower", 5_000_000),
        "election.time": ("p95", "lower", 100_000_000),
        "memory_allocation.latency": ("p99", "lower", 1_000),
        "partition.recovery_time": ("p95", "lower", 500_000_000),
        "throughput.rate": ("mean", "higher", 500_000),
    }


def test_meeting_a_target() -> None:
    latency, rate = METRICS["context_switch.latency"], METRICS["throughput.rate"]
    assert [latency.meets_target(value) for value in (499, 500, 500.1)] == [True, True, False]
    assert [rate.meets_target(value) for value in (499_999, 500_000, 1e6)] == [False, True, True]
    assert METRICS["boot.kernel"].meets_target(1) is None
