"""Whole gates on made-up boots with a known answer: how often they cry wolf, and how often they see it.

A boot's samples are bimodal; its level moves by 2 to 4 % from boot to boot, and with its session. The seed is fixed,
and what is allowed leaves room for chance: three standard deviations of a binomial share. Session drift of 2 % costs
power, because the screen is told of it: 83 to 87 of 100 slowdowns of 10 % are then seen; with 1.5 %, more than 90.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from sistasks.verdicts import wall
from sistasks.verdicts.baseline import RunInfo

if TYPE_CHECKING:
    from sistasks.verdicts.baseline import Boots
    from sistasks.verdicts.records import Verdict

METRIC: Final = "context_switch.latency"
KEY: Final = (METRIC, "p50")
METRICS: Final = {METRIC: {"unit": "ns", "better": "lower", "minimum_effect": 0.05}}
SESSIONS, NODES, SAMPLES = 10, 10, 101
NULLS, SLOWER = 2000, 500


def medians(dice: np.random.Generator, levels: Any) -> Any:
    """Each boot's median of bimodal samples, a third of them 30 % higher; `levels` are logarithms."""
    high = dice.random((*levels.shape, SAMPLES)) < 0.35
    noise = dice.normal(0, 0.03, high.shape)
    return np.median(np.exp(levels[..., None] + 0.3 * high + noise), axis=-1) * 1000


def run(number: int) -> RunInfo:
    return RunInfo(
        id=number, suite="performance", kernel_id=str(number), kernel_name="k", environment_id="e", clock="wall",
        accel="tcg", status="ok", message="", nodes=NODES, iterations=SAMPLES, seed=1, session_id=f"s{number}",
        started_at="",
    )  # fmt: skip


RUNS: Final = [run(number) for number in range(SESSIONS, 0, -1)]
CANDIDATE: Final = run(SESSIONS + 1)


def screens(
    dice: np.random.Generator, count: int, deviation: float, drift: float, effect: float
) -> list[Verdict]:
    """The screen's verdicts on `count` candidates that are slower by `effect`."""
    shape = (count, SESSIONS + 1)
    levels = dice.normal(0, drift, shape)[..., None] + dice.normal(0, deviation, (*shape, NODES))
    levels[:, -1] += math.log1p(effect)
    return [screened(values, RUNS) for values in medians(dice, levels)]


def screened(values: Any, runs: list[RunInfo]) -> Verdict:
    """The verdict on medians of shape (runs, nodes), the candidate's last."""
    boots: Boots = {(i + 1, j + 1): float(values[i, j]) for i in range(SESSIONS + 1) for j in range(NODES)}
    found = wall.screen(CANDIDATE, runs, {KEY: boots}, METRICS)
    return next(verdict for verdict in found if verdict.statistic == "p50")


def confirmed(
    dice: np.random.Generator, verdict: Verdict, deviation: float, drift: float, effect: float
) -> bool:
    """Whether fresh pairs confirm; both of a pair share their session's mood."""
    count = wall.pairs_needed([verdict])
    levels = dice.normal(0, drift) + dice.normal(0, deviation, (count, 2))
    levels[:, 1] += math.log1p(effect)
    pairs = [({KEY: float(a)}, {KEY: float(b)}) for a, b in medians(dice, levels)]
    return wall.confirm([verdict], pairs, METRICS, seed=1)[KEY].regressed


@pytest.mark.parametrize(("deviation", "drift"), [(0.02, 0.02), (0.03, 0.01), (0.04, 0.01)])
def test_what_has_not_changed_is_seldom_flagged_and_hardly_ever_confirmed(
    deviation: float, drift: float
) -> None:
    dice = np.random.default_rng(20_260_131)
    found = screens(dice, NULLS, deviation, drift, 0.0)
    alarms = sum(verdict.outcome == "worse" for verdict in found)
    assert alarms <= 0.01 * NULLS + 3 * math.sqrt(NULLS * 0.01 * 0.99)
    # fresh boots know nothing of the screen, so that the shares multiply
    again = sum(confirmed(dice, found[0], deviation, drift, 0.0) for _ in range(NULLS))
    assert alarms / NULLS * again / NULLS <= 0.001


@pytest.mark.parametrize(("deviation", "drift"), [(0.02, 0.01), (0.03, 0.015), (0.04, 0.01)])
def test_ten_percent_are_seen_and_confirmed(deviation: float, drift: float) -> None:
    dice = np.random.default_rng(20_260_201)
    found = screens(dice, SLOWER, deviation, drift, 0.1)
    seen = sum(
        confirmed(dice, verdict, deviation, drift, 0.1) for verdict in found if verdict.outcome == "worse"
    )
    assert seen / SLOWER >= 0.9


def test_the_smallest_detectable_effect_is_one_that_is_seen_eight_times_in_ten() -> None:
    dice = np.random.default_rng(20_260_301)
    promised = float(np.median([verdict.mde for verdict in screens(dice, 100, 0.04, 0.0, 0.0)]))
    assert 0.02 < promised < 0.1
    seen = sum(verdict.outcome == "worse" for verdict in screens(dice, SLOWER, 0.04, 0.0, promised))
    assert 0.7 <= seen / SLOWER <= 0.95


def test_what_sessions_do_is_told_by_sessions_alone() -> None:
    """Where all boots count as of one session, drift is taken for a change: what the labels are for."""
    dice = np.random.default_rng(20_260_401)
    levels = dice.normal(0, 0.04, (400, SESSIONS + 1))[..., None]
    values = medians(dice, levels + dice.normal(0, 0.02, (400, SESSIONS + 1, NODES)))
    alarms = {}
    for sessions in ("told", "hidden"):
        runs = [run(one.id) if sessions == "told" else replace(run(one.id), session_id="s") for one in RUNS]
        alarms[sessions] = sum(screened(row, runs).outcome == "worse" for row in values)
    assert alarms["told"] <= 10
    assert alarms["hidden"] > 3 * alarms["told"]
