from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from judged import METRICS, RATE, SWITCH, accept, write

from sistasks.history.records import MetricRow
from sistasks.verdicts import wall
from sistasks.verdicts.baseline import open_history
from sistasks.verdicts.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DEFINED = {metric.name: {"minimum_effect": metric.minimum_effect} for metric in METRICS}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


def boots(middle: float, count: int = 10, deviation: float = 0.005, seed: int = 1) -> list[float]:
    dice = np.random.default_rng(seed)
    return [float(value) for value in middle * np.exp(dice.normal(0, deviation, count))]


def screened(
    db: Path,
    now: Mapping[str, Sequence[float]],
    *before: Mapping[str, Sequence[float]],
    metrics: Sequence[MetricRow] = METRICS,
) -> dict[tuple[str, str], Verdict]:
    """Runs of `before`, each a session of its own, and the screen's verdicts on `now`."""
    for index, values in enumerate(before):
        write(db, values, clock="wall", session=f"s{index}", metrics=metrics)
    number = write(db, now, "new", clock="wall", session="now", metrics=metrics)
    with open_history(db) as history:
        run = history.run(number)
        runs = history.baseline_runs(run)
        found = wall.screen(
            run, runs, history.boots([number, *(other.id for other in runs)]), history.metrics()
        )
    return {(verdict.metric, verdict.statistic): verdict for verdict in found}


def steady(**middles: float) -> list[dict[str, list[float]]]:
    """Twelve sessions of ten boots each, as quiet as can be asked for."""
    names = {"switch": SWITCH, "rate": RATE}
    return [
        {names[name]: boots(middle, seed=20 + index) for name, middle in middles.items()}
        for index in range(12)
    ]


def test_a_change_is_flagged_and_nothing_else(db: Path) -> None:
    before = steady(switch=1000, rate=500)
    found = screened(db, {SWITCH: boots(1200, seed=2), RATE: boots(500, seed=3)}, *before)
    slow, rate = found[SWITCH, "p50"], found[RATE, "p50"]
    assert (slow.outcome, rate.outcome) == ("worse", "same")
    assert slow.effect == pytest.approx(0.2, abs=0.02)
    assert slow.low is not None
    assert slow.high is not None
    assert slow.low < 0.2 < slow.high
    assert slow.p is not None
    assert slow.p <= 0.01
    assert slow.confirmed is None
    assert (slow.n, slow.k, slow.baseline) == (120, 10, "runs 1-12")
    assert slow.mde is not None
    assert 0.05 < slow.mde < 0.07
    assert slow.method == "screen, t-rule over sessions"
    assert slow.spread == pytest.approx(0.005, rel=0.2)


def test_few_sessions_tell_little_of_how_sessions_differ(db: Path) -> None:
    """What matters could not be seen, and the verdict says so; what is far beyond is seen all the same."""
    found = screened(
        db, {SWITCH: boots(1200, seed=2), RATE: boots(500, seed=3)}, *steady(switch=1000, rate=500)[:1]
    )
    slow, rate = found[SWITCH, "p50"], found[RATE, "p50"]
    assert (slow.outcome, rate.outcome) == ("worse", "unsure")
    assert rate.reason == (
        "the smallest detectable change is larger than the 5.0% that matter: the baseline has 10 boots of 1 session"
    )
    assert rate.mde is not None
    assert 0.07 < rate.mde < 0.11


def test_a_mood_that_both_sides_share_is_in_no_difference(db: Path) -> None:
    for _ in range(2):
        number = write(db, {SWITCH: boots(1000)}, "old", clock="wall", session="now")
    number = write(db, {SWITCH: boots(1001, seed=2)}, "new", clock="wall", session="now")
    with open_history(db) as history:
        run = history.run(number)
        runs = history.baseline_runs(run)
        (found, *_) = wall.screen(run, runs, history.boots([1, 2, 3]), history.metrics())
    assert (found.outcome, found.n) == ("same", 20)


def test_runs_of_other_levels_tell_of_noise_and_of_no_level(db: Path) -> None:
    dice = np.random.default_rng(5)
    for index in range(30):
        mood = 0.5 * float(np.exp(dice.normal(0, 0.05)))
        write(db, {SWITCH: boots(1000 * mood, seed=index)}, f"k{index}", clock="wall", session=f"e{index}")
    accept(db, 30)
    for index in range(2):
        write(db, {SWITCH: boots(1000, seed=40 + index)}, f"n{index}", clock="wall", session=f"s{index}")
    write(db, {SWITCH: boots(3000, seed=50)}, "new", clock="wall", session="t0")
    number = write(db, {SWITCH: boots(1000, seed=60)}, "new", clock="wall", session="now")
    with open_history(db) as history:
        run = history.run(number)
        runs = [one for one in history.baseline_runs(run) if one.id > 30]
        others = history.other_levels(run, runs)
        values = history.boots([number, *(one.id for level in [runs, *others] for one in level)])
        (alone, *_) = wall.screen(run, runs, values, history.metrics())
        (wise, *_) = wall.screen(run, runs, values, history.metrics(), others)
    assert [[one.id for one in level] for level in others] == [[33], [30], list(range(29, 0, -1))]
    assert (alone.baseline_value, alone.n) == (wise.baseline_value, wise.n)
    assert alone.mde is not None
    assert wise.mde is not None
    assert wise.mde > 1.4 * alone.mde, "sessions differed by 5 %, as the runs before tell"


@pytest.mark.parametrize(
    ("factor", "lower", "higher"),
    [(1.2, "worse", "better"), (0.8, "better", "worse"), (1.03, "same", "same")],
)
def test_the_direction_is_the_metric_s(db: Path, factor: float, lower: str, higher: str) -> None:
    now = boots(1000 * factor, seed=2)
    found = screened(db, {SWITCH: now, RATE: now}, *steady(switch=1000, rate=1000))
    assert (found[SWITCH, "p50"].outcome, found[RATE, "p50"].outcome) == (lower, higher)


def test_a_metric_may_want_a_larger_effect(db: Path) -> None:
    own = (MetricRow(name=SWITCH, unit="ns", better="lower", minimum_effect=0.3),)
    found = screened(db, {SWITCH: boots(1200, seed=2)}, {SWITCH: boots(1000)}, metrics=own)
    assert found[SWITCH, "p50"].outcome == "same"


def test_what_cannot_be_decided_says_why(db: Path) -> None:
    found = screened(db, {SWITCH: boots(1050, 2, 0.1)}, {SWITCH: boots(1000, 3, 0.1)})
    verdict = found[SWITCH, "p50"]
    assert (verdict.outcome, "smallest detectable change" in verdict.reason) == ("unsure", True)
    assert verdict.mde is not None
    assert verdict.mde > 0.05


def test_a_baseline_of_one_boot_tells_no_spread(db: Path) -> None:
    verdict = screened(db, {SWITCH: [2000.0]}, {SWITCH: [1000.0]})[SWITCH, "p50"]
    assert (verdict.outcome, verdict.mde, verdict.low, verdict.high) == ("unsure", None, None, None)
    assert "one boot" in verdict.reason


def test_metrics_that_came_or_went(db: Path) -> None:
    found = screened(db, {SWITCH: boots(1000)}, {RATE: boots(50)}, {RATE: boots(50)})
    assert (found[SWITCH, "p95"].outcome, found[SWITCH, "p95"].reason) == (
        "unsure",
        "the baseline has no such metric",
    )
    gone = found[RATE, "p50"]
    assert (gone.outcome, gone.reason) == ("unsure", "this run did not measure it, its baseline did")
    assert gone.baseline == "runs 1-2"


def test_a_zero_has_no_logarithm(db: Path) -> None:
    verdict = screened(db, {SWITCH: [0.0, 1.0]}, {SWITCH: boots(1000)})[SWITCH, "p50"]
    assert (verdict.outcome, "a value is 0" in verdict.reason) == ("unsure", True)


def test_runs_are_named_shortly(db: Path) -> None:
    write(db, {RATE: [1.0]}, clock="wall")
    for _ in range(3):
        write(db, {SWITCH: boots(1000)}, clock="wall")
    write(db, {SWITCH: [1.0]}, "mine", clock="wall", status="failed")
    found = screened(db, {SWITCH: boots(1000)}, {SWITCH: boots(1000)})
    assert found[SWITCH, "p50"].baseline == "runs 1-4, 6"


def flagged(count: int = 1, better: str = "lower") -> list[Verdict]:
    names = [SWITCH, RATE][:count]
    return [
        Verdict(
            metric=name, statistic="p50", outcome="worse", better=better, method="screen, t-rule", effect=0.2
        )
        for name in names
    ]


def pairs(effects: Sequence[float], metric: str = SWITCH) -> list[tuple[wall.Boot, wall.Boot]]:
    return [({(metric, "p50"): 100.0}, {(metric, "p50"): 100.0 * (1 + effect)}) for effect in effects]


STEADY = [0.1, 0.12, 0.09, 0.11, 0.1, 0.13]


def test_fresh_boots_confirm() -> None:
    (found,) = wall.confirm(flagged(), pairs(STEADY), DEFINED, seed=7).values()
    assert (found.outcome, found.confirmed, found.regressed, found.seed) == ("worse", True, True, 7)
    assert (found.p, found.q) == (2**-6, 2**-6)
    assert found.reason == "confirmed by 6 pairs of fresh boots: +10.5%"
    assert found.method == "screen, t-rule, sign-flip on pairs"


def test_a_rate_is_confirmed_by_its_fall() -> None:
    (fell,) = wall.confirm(flagged(better="higher"), pairs([-0.1] * 6), DEFINED, seed=1).values()
    assert (fell.outcome, fell.reason) == ("worse", "confirmed by 6 pairs of fresh boots: -10.0%")
    (rose,) = wall.confirm(flagged(better="higher"), pairs([0.1] * 6), DEFINED, seed=1).values()
    assert (rose.outcome, rose.confirmed) == ("same", False)


def test_what_fresh_boots_do_not_show_is_no_regression() -> None:
    (found,) = wall.confirm(flagged(), pairs([0.01, -0.01, 0.02, 0.0, 0.01, -0.02]), DEFINED, seed=1).values()
    assert (found.outcome, found.confirmed, found.regressed) == ("same", False, False)
    assert "flagged, not confirmed by 6 pairs" in found.reason


def test_an_effect_below_what_counts_is_not_confirmed_however_steady() -> None:
    (found,) = wall.confirm(flagged(), pairs([0.02] * 6), DEFINED, seed=1).values()
    assert (found.outcome, found.q) == ("same", 2**-6)
    own = {SWITCH: {"minimum_effect": 0.5}}
    (small,) = wall.confirm(flagged(), pairs(STEADY), own, seed=1).values()
    assert small.outcome == "same"


def test_a_shift_that_chance_makes_too_is_undecided() -> None:
    (found,) = wall.confirm(flagged(), pairs([0.3, -0.2, 0.25, 0.2, -0.3, 0.1]), DEFINED, seed=1).values()
    assert (found.outcome, found.confirmed) == ("unsure", False)
    assert found.q is not None
    assert found.q > 0.05


def test_several_flagged_are_accounted_for() -> None:
    both = [
        ({**one, **two}, {**three, **four})
        for (one, three), (two, four) in zip(pairs(STEADY), pairs([0.0] * 6, RATE), strict=True)
    ]
    found = wall.confirm(flagged(2), both, DEFINED, seed=1)
    assert found[SWITCH, "p50"].q == 2 * 2**-6
    assert found[SWITCH, "p50"].outcome == "worse"
    assert found[RATE, "p50"].outcome == "same"
    assert wall.pairs_needed(flagged(2), DEFINED) == 6
    assert wall.pairs_needed(flagged(2) * 10, DEFINED) == math.ceil(math.log2(20 / 0.03))


def test_pairs_are_as_many_as_the_noisiest_needs() -> None:
    quiet, noisy = (replace(one, spread=spread) for one, spread in zip(flagged(2), (0.01, 0.05), strict=True))
    assert wall.pairs_needed([quiet], DEFINED) == 6
    alone = wall.pairs_needed([noisy], DEFINED)
    assert 8 < alone < wall.pairs_needed([quiet, noisy], DEFINED) <= 24
    blind = replace(noisy, mde=0.3)
    assert wall.pairs_needed([blind], DEFINED) < alone, "10 % of it are not seen anyway"
    coarse = {RATE: {"minimum_effect": 0.3}, SWITCH: {"minimum_effect": 0.3}}
    assert wall.pairs_needed([noisy], coarse) == 6, "10 % of it do not matter"


@pytest.mark.parametrize("broken", [{}, {(SWITCH, "p50"): 0.0}])
def test_a_boot_that_did_not_measure_it_confirms_nothing(broken: wall.Boot) -> None:
    made = pairs(STEADY)
    made[3] = (made[3][0], broken)
    both = [({**a, (RATE, "p50"): 100.0}, {**b, (RATE, "p50"): 110.0}) for a, b in made]
    found = wall.confirm(flagged(2), both, DEFINED, seed=1)
    assert found[SWITCH, "p50"].outcome == "unsure"
    assert "not every fresh boot measured it" in found[SWITCH, "p50"].reason
    assert found[RATE, "p50"].outcome == "worse"
    assert found[RATE, "p50"].q == 2**-6, "only what was tested counts"


def test_nothing_to_look_at() -> None:
    (found,) = wall.confirm(flagged(), [], DEFINED, seed=1).values()
    assert found.outcome == "unsure"
    assert wall.confirm([], pairs(STEADY), DEFINED, seed=1) == {}


def test_of_one_sample_a_boot_one_percentile_is_judged(db: Path) -> None:
    single = {SWITCH: [1] * 10}
    for index, values in enumerate(steady(switch=1000, rate=500)):
        write(db, values, clock="wall", session=f"s{index}", counts=single)
    number = write(
        db, {SWITCH: boots(1200), RATE: boots(500)}, "new", clock="wall", session="now", counts=single
    )
    with open_history(db) as history:
        run = history.run(number)
        runs = history.baseline_runs(run)
        judged = history.boots([number, *(other.id for other in runs)])
        found = wall.screen(run, runs, judged, history.metrics())
        told = history.series(run, 100)
    kept = [(verdict.metric, verdict.statistic, verdict.outcome) for verdict in found]
    assert kept[0] == (SWITCH, "p50", "worse")
    assert [key[:2] for key in kept[1:]] == [(RATE, "p50"), (RATE, "p95"), (RATE, "p99")]
    assert told.keys() == {key[:2] for key in kept}
