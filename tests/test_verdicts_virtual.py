from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from judged import RATE, SWITCH, run_info, write

from sistasks.verdicts import virtual
from sistasks.verdicts.baseline import open_history

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sistasks.verdicts.records import Verdict


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def judged(db: Path, number: int) -> dict[tuple[str, str], Verdict]:
    with open_history(db) as history:
        run = history.run(number)
        runs = history.baseline_runs(run)
        boots = history.boots([run.id, *(other.id for other in runs)])
        found = virtual.judge(run, runs, boots, history.metrics())
    return {(verdict.metric, verdict.statistic): verdict for verdict in found}


def test_of_a_single_sample_one_percentile_is_judged(db: Path) -> None:
    write(db, {SWITCH: [1000.0, 1000.0], RATE: [5.0, 5.0]}, counts={SWITCH: [1, 1], RATE: [1, 2]})
    number = write(db, {SWITCH: [1020.0, 1020.0], RATE: [5.0, 5.0]}, "new", counts={SWITCH: [1, 1]})
    found = judged(db, number)
    assert {statistic for metric, statistic in found if metric == SWITCH} == {"p50"}
    assert found[SWITCH, "p50"].outcome == "worse"
    assert {statistic for metric, statistic in found if metric == RATE} == {"p50", "p95", "p99"}


def compared(db: Path, before: Sequence[float], now: Sequence[float], metric: str = SWITCH) -> Verdict:
    write(db, {metric: before})
    return judged(db, write(db, {metric: now}, "new"))[metric, "p50"]


@pytest.mark.parametrize(
    ("before", "now", "lower", "higher"),
    [
        (1000.0, 1010.0, "worse", "better"),
        (1000.0, 1009.0, "same", "same"),
        (1000.0, 990.0, "better", "worse"),
        (1000.0, 991.0, "same", "same"),
        (1000.0, 1000.0, "same", "same"),
        (3.0, 3.03, "worse", "better"),
        (7.0, 7.07, "worse", "better"),
        (1000.0, 3000.0, "worse", "better"),
    ],
)
def test_a_percent_decides_and_the_direction_is_the_metric_s(
    db: Path, before: float, now: float, lower: str, higher: str
) -> None:
    write(db, {SWITCH: [before], RATE: [before]})
    found = judged(db, write(db, {SWITCH: [now], RATE: [now]}, "new"))
    assert {found[SWITCH, statistic].outcome for statistic in ("p50", "p95", "p99")} == {lower}
    assert {found[RATE, statistic].outcome for statistic in ("p50", "p95", "p99")} == {higher}
    verdict = found[SWITCH, "p50"]
    assert verdict.effect == pytest.approx(now / before - 1)
    assert (verdict.low, verdict.high) == (verdict.effect, verdict.effect)
    assert (verdict.baseline_value, verdict.value, verdict.n, verdict.k) == (before, now, 1, 1)
    assert verdict.baseline == "run 1 (old)"
    assert verdict.mde == max(0.01, 1 / before)
    assert verdict.regressed == (lower == "worse")


def test_nodes_are_compared_each_with_itself(db: Path) -> None:
    """Their medians are the same, and yet each node is slower."""
    verdict = compared(db, [1000.0, 2000.0, 4000.0], [1050.0, 2100.0, 4200.0])
    assert verdict.outcome == "worse"
    assert verdict.effect == pytest.approx(0.05)
    other = compared(db, [1000.0, 2000.0, 4000.0], [2000.0, 4000.0, 1000.0])
    assert other.low == pytest.approx(-0.75)
    assert other.high == pytest.approx(1.0)


def test_a_node_that_says_otherwise_is_named(db: Path) -> None:
    verdict = compared(db, [1000.0] * 5, [1000.0, 1000.0, 1500.0, 1000.0, 1000.0])
    assert (verdict.outcome, verdict.reason) == ("unsure", "1 of 5 nodes says otherwise, node 3 +50.00%")
    better = compared(db, [1000.0] * 5, [1000.0, 1000.0, 500.0, 1000.0, 1000.0])
    assert (better.outcome, better.reason) == ("same", "1 of 5 nodes says otherwise, node 3 -50.00%")
    assert compared(db, [1000.0] * 5, [1001.0] * 5).reason == ""


def test_fewer_nodes_are_compared_as_far_as_they_go(db: Path) -> None:
    verdict = compared(db, [1000.0, 2000.0], [1000.0])
    assert (verdict.outcome, verdict.effect, verdict.n, verdict.k) == ("same", 0.0, 2, 1)


@pytest.mark.parametrize(
    ("before", "now", "outcome", "effect"),
    [
        ([0.0], [0.0], "same", 0.0),
        ([0.0, 0.0, 10.0], [0.0, 0.0, 5.0], "same", 0.0),
        ([0.0], [1.0], "unsure", None),
        ([0.0, 10.0], [5.0, 10.0], "unsure", None),
        ([5.0], [0.0], "better", -1.0),
    ],
)
def test_a_baseline_of_zero(
    db: Path, before: list[float], now: list[float], outcome: str, effect: float | None
) -> None:
    verdict = compared(db, before, now)
    assert (verdict.outcome, verdict.effect) == (outcome, effect)
    if outcome == "unsure":
        assert "a relative change has no meaning" in verdict.reason


def test_a_metric_that_disappeared_is_missed_for_as_long_as_it_is_remembered(db: Path) -> None:
    both = {SWITCH: [1000.0], RATE: [50.0]}
    write(db, both, "a")
    for kernel in ("b", "c"):
        found = judged(db, write(db, {RATE: [50.0]}, kernel))
        assert found[SWITCH, "p50"].outcome == "unsure"
        assert found[SWITCH, "p50"].reason == "this run did not measure it, run 1 did"
        assert (found[SWITCH, "p50"].baseline_value, found[SWITCH, "p50"].value) == (1000.0, None)
        assert found[RATE, "p50"].outcome == "same"
    back = judged(db, write(db, {SWITCH: [1200.0], RATE: [50.0]}, "d"))
    assert (back[SWITCH, "p50"].outcome, back[SWITCH, "p50"].baseline) == ("worse", "run 1 (a)")
    assert back[RATE, "p50"].baseline == "run 3 (c)"


def test_a_new_metric_has_nothing_to_be_judged_by(db: Path) -> None:
    write(db, {RATE: [50.0]})
    found = judged(db, write(db, {SWITCH: [1000.0], RATE: [50.0]}, "new"))
    assert (found[SWITCH, "p99"].outcome, found[SWITCH, "p99"].reason) == (
        "unsure",
        "the baseline has no such metric",
    )


def test_another_seed_is_other_work(db: Path) -> None:
    write(db, {SWITCH: [1000.0]}, seed=1)
    write(db, {SWITCH: [3000.0]}, seed=2)
    assert judged(db, write(db, {SWITCH: [1000.0]}, "new", seed=1))[SWITCH, "p50"].outcome == "same"
    found = judged(db, write(db, {SWITCH: [1000.0]}, "new", seed=3))
    assert {verdict.outcome for verdict in found.values()} == {"unsure"}
    assert "no earlier run has seed=3" in found[SWITCH, "p50"].reason


def test_runs_without_a_node_in_common(db: Path) -> None:
    write(db, {SWITCH: [1000.0]})
    with open_history(db) as history:
        run = run_info(db, 1)
        boots = {(SWITCH, "p50"): {(1, 1): 5.0, (2, 2): 5.0}}
        later = run_info(db, write(db, {SWITCH: [1000.0]}, "new"))
        found = virtual.judge(later, [run], boots, history.metrics())
    assert "no node in common" in found[0].reason
    assert [verdict.outcome for verdict in found] == ["unsure"]
