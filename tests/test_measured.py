"""From what guests said to rows: what was not measured is an error, never a guess, and statuses have an order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sistasks.cluster.nodes import NodeReport
from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.machine.results import GuestResults, TestOutcome
from sistasks.suites.measured import Measured, measure
from sistasks.suites.suite import Suite

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITE = Suite(
    name="short",
    title="short_benchmark",
    tests={
        "context_switch": ("context_switch.latency",),
        "memory_allocation": ("memory_allocation.latency", "memory_allocation.small"),
        "boot": ("boot.kernel",),
    },
)
GOOD: dict[str, list[float]] = {
    "context_switch.latency": [400, 300, 500, 200, 100],
    "memory_allocation.latency": [900] * 10,
    "memory_allocation.small": [90_000] * 10,
    "boot.kernel": [10**9],
}


def report(number: int = 1, error: SistasksError | None = None, **samples: Sequence[float]) -> NodeReport:
    values: dict[str, list[float]] = {
        **GOOD,
        **{name.replace("__", "."): [*value] for name, value in samples.items()},
    }
    results = GuestResults(
        tests=[TestOutcome(test, "pass", "", 2_500_000_000) for test in SUITE.tests],
        samples=values,
        done=True,
    )
    return NodeReport(
        number=number, seed=number, results=results, error=error, started=0, ready=1, finished=2, console=Path("log")
    )  # fmt: skip


def outcome(one: NodeReport, test: str, status: str, message: str = "") -> NodeReport:
    tests = [TestOutcome(test, status, message) if item.name == test else item for item in one.results.tests]
    return replace(one, results=replace(one.results, tests=tests))


def judge(*reports: NodeReport, enforce: bool = False) -> Measured:
    return measure(SUITE, reports, enforce=enforce)


def statuses(measured: Measured) -> list[str]:
    return [row.status for row in measured.results]


def test_a_good_run() -> None:
    measured = judge(report(1), report(2))
    assert (measured.status, measured.message) == ("ok", "")
    assert [(row.node, row.test) for row in measured.results] == [
        (node, test) for node in (1, 2) for test in SUITE.tests
    ]
    assert set(statuses(measured)) == {"pass"}
    assert {row.duration for row in measured.results} == {2.5}


def test_every_sample_is_kept_in_its_order() -> None:
    measured = judge(report(1), report(2, context_switch__latency=[7, 9, 8]))
    kept = {(item.node, item.metric): tuple(item.values) for item in measured.samples}
    assert kept[1, "context_switch.latency"] == (400, 300, 500, 200, 100)
    assert kept[2, "context_switch.latency"] == (7, 9, 8)
    assert len(kept) == len(measured.summaries) == 8


def test_a_summary_is_of_one_node_alone() -> None:
    measured = judge(report(1), report(2, context_switch__latency=[1000]))
    one, two = (row for row in measured.summaries if row.metric == "context_switch.latency")
    assert (one.node, one.count, one.mean, one.p50, one.min, one.max) == (1, 5, 300, 300, 100, 500)
    assert (two.node, two.count, two.mean, two.std) == (2, 1, 1000, 0)


def test_samples_of_unknown_metrics_are_left_out() -> None:
    measured = judge(report(1, some__thing=[1]))
    assert "some.thing" not in {row.metric for row in measured.summaries}
    assert measured.status == "ok"


def test_a_test_that_did_not_report_is_an_error() -> None:
    one = report()
    silent = replace(one, results=replace(one.results, tests=one.results.tests[:1]))
    measured = judge(silent)
    assert statuses(measured) == ["pass", "error", "error"]
    assert measured.status == "error"
    assert measured.message == "node 1, memory_allocation: the guest did not report this test"


@pytest.mark.parametrize("values", [None, []])
def test_a_metric_that_is_missing_is_an_error(values: list[int] | None) -> None:
    one = report(memory_allocation__small=values or [])
    if values is None:
        del one.results.samples["memory_allocation.small"]
    measured = judge(one)
    assert statuses(measured) == ["pass", "error", "pass"]
    assert measured.message == "node 1, memory_allocation: not measured: memory_allocation.small"


def test_a_test_that_failed_in_the_guest_is_a_failure() -> None:
    measured = judge(outcome(report(), "context_switch", "fail", "the other process is gone"))
    assert statuses(measured) == ["fail", "pass", "pass"]
    assert measured.status == "failed"
    assert measured.message == "node 1, context_switch: the other process is gone"


@pytest.mark.parametrize(
    ("error", "status", "run"),
    [(KernelFailure("the kernel panicked"), "fail", "failed"), (NodeError("QEMU ended"), "error", "error")],
)
def test_whose_fault_an_unfinished_test_is(error: SistasksError, status: str, run: str) -> None:
    one = report(error=error)
    unfinished = replace(
        one, results=replace(one.results, tests=[one.results.tests[0], TestOutcome("memory_allocation")])
    )
    measured = judge(unfinished)
    assert statuses(measured) == ["pass", status, status]
    assert {row.message for row in measured.results[1:]} == {error.problem}
    assert measured.status == run


@pytest.mark.parametrize(
    ("error", "run"), [(KernelFailure("the kernel panicked"), "failed"), (NodeError("QEMU ended"), "error")]
)
def test_a_node_that_falls_after_its_work_is_no_good_run(error: SistasksError, run: str) -> None:
    measured = judge(report(1), report(2, error))
    assert set(statuses(measured)) == {"pass"}
    assert (measured.status, measured.message) == (run, error.problem)


def test_what_a_guest_said_before_its_end_outweighs_the_end() -> None:
    measured = judge(outcome(report(error=NodeError("QEMU ended")), "boot", "fail", "wrong answer"))
    assert measured.results[2].message == "wrong answer"


def test_the_kernels_failure_outweighs_ours() -> None:
    ours = replace(report(1, NodeError("QEMU ended")), results=GuestResults())
    theirs = outcome(report(2), "boot", "fail", "wrong answer")
    assert judge(ours, theirs).status == "failed"
    assert judge(ours, report(2)).status == "error"


def test_targets_are_reported() -> None:
    measured = judge(report(context_switch__latency=[600] * 9))
    assert [row.target_met for row in measured.results] == [False, True, None]
    assert set(statuses(measured)) == {"pass"}
    assert measured.status == "ok"


def test_targets_are_enforced() -> None:
    measured = judge(report(context_switch__latency=[600] * 9), enforce=True)
    assert statuses(measured) == ["fail", "pass", "pass"]
    assert measured.status == "failed"
    assert measured.message == ("node 1, context_switch: context_switch.latency p95 is 600 ns, target 500")


def test_a_target_is_about_its_own_statistic() -> None:
    # one sample in a hundred beyond the target moves p99 and the mean, not p95
    measured = judge(report(context_switch__latency=[100] * 99 + [10**6]), enforce=True)
    assert measured.results[0].target_met is True


def test_a_target_that_nothing_was_measured_for_is_neither_met_nor_missed() -> None:
    one = report()
    del one.results.samples["context_switch.latency"]
    measured = judge(one, enforce=True)
    assert (measured.results[0].status, measured.results[0].target_met) == ("error", None)


def test_a_failed_test_is_not_called_a_missed_target() -> None:
    slow = report(context_switch__latency=[600] * 9)
    measured = judge(outcome(slow, "context_switch", "error", "cut short"), enforce=True)
    assert (measured.results[0].status, measured.results[0].message) == ("error", "cut short")


def test_a_time_below_nothing_is_an_error_by_name() -> None:
    measured = judge(report(context_switch__latency=[5, -3, 4]))
    row = measured.results[0]
    assert (row.status, measured.status) == ("error", "error")
    assert row.message == "not measured: context_switch.latency (sample 1 is -3 ns)"
    assert "context_switch.latency" not in {item.metric for item in measured.samples}


def test_intervals_of_the_mean_and_the_percentiles() -> None:
    values = [100 + (7 * place) % 1000 for place in range(1000)]
    measured = judge(report(context_switch__latency=values))
    rows = {row.metric: row for row in measured.summaries}
    many, few, alone = (
        rows[name] for name in ("context_switch.latency", "memory_allocation.latency", "boot.kernel")
    )
    for low, value, high in (
        (many.ci_low, many.mean, many.ci_high),
        (many.p50_low, many.p50, many.p50_high),
        (many.p95_low, many.p95, many.p95_high),
        (many.p99_low, many.p99, many.p99_high),
    ):
        assert low is not None
        assert high is not None
        assert low < value < high
        assert low in values or low == many.ci_low
    assert (few.count, few.confidence, few.p50_low, few.p95_low, few.p95_high) == (10, 0.99, 900, 900, None)
    assert (alone.confidence, alone.ci_low, alone.p50_low) == (None, None, None)
