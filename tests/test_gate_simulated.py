"""Whole gates on made-up boots with a known answer: how often they cry wolf, and how often they see it.

A boot's samples are bimodal; its level moves by 2 to 4 % from boot to boot, and by up to 2 % from session to session.
The seed is fixed, and what is allowed leaves room for chance: three standard deviations of a binomial share.

What no rule can see: with 10 nodes, 10 sessions, boots of 4 % and sessions of 2 %, the shift of an unchanged kernel has
a standard deviation of sqrt(1.1 * 0.02**2 + 0.11 * 0.0414**2) = 2.5 %. Were that known exactly, an alarm in a hundred
would take 2.33 of it, and 93 of 100 slowdowns of 10 % were found. Ten sessions that must tell it themselves find 90,
and 88 after confirmation; 30 earlier ones of another level help. One node sees 10 % only where boots and sessions
differ by no more than 2 % together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
SAMPLES: Final = 101
NULLS, SLOWER = 2000, 800


@dataclass(frozen=True)
class Cell:
    """Boots of a known truth: deviations between boots and between sessions, sessions of the baseline, nodes of each.

    `earlier` sessions are of another level, as before a change that somebody accepted.
    """

    deviation: float
    drift: float
    sessions: int
    nodes: int = 10
    earlier: int = 0

    def __str__(self) -> str:
        words = (
            f"boots {self.deviation:.0%} drift {self.drift:.1%} sessions {self.sessions} nodes {self.nodes}"
        )
        return f"{words} earlier {self.earlier}" if self.earlier else words


def medians(dice: np.random.Generator, levels: Any) -> Any:
    """Each boot's median of bimodal samples, a third of them 30 % higher; `levels` are logarithms."""
    high = dice.random((*levels.shape, SAMPLES), dtype=np.float32) < 0.35
    noise = 0.03 * dice.standard_normal(high.shape, dtype=np.float32)
    middle = np.partition(noise + 0.3 * high, SAMPLES // 2, axis=-1)[..., SAMPLES // 2]
    return np.exp(levels + middle) * 1000


def run(number: int, nodes: int) -> RunInfo:
    return RunInfo(
        id=number, suite="performance", kernel_id=str(number), kernel_name="k", environment_id="e", clock="wall",
        accel="tcg", status="ok", message="", nodes=nodes, iterations=SAMPLES, seed=1, session_id=f"s{number}",
        started_at="",
    )  # fmt: skip


def screens(dice: np.random.Generator, count: int, cell: Cell, effect: float) -> list[Verdict]:
    """The screen's verdicts on `count` candidates that are slower by `effect`."""
    shape = (count, cell.earlier + cell.sessions + 1)
    levels = dice.normal(0, cell.drift, shape)[..., None] + dice.normal(
        0, cell.deviation, (*shape, cell.nodes)
    )
    levels[:, : cell.earlier] += 0.5
    levels[:, -1] += math.log1p(effect)
    runs = [run(number, cell.nodes) for number in range(1, shape[1] + 1)]
    before, others = runs[cell.earlier : -1], runs[: cell.earlier]
    found = []
    for values in (row for some in np.array_split(levels, 1 + count // 50) for row in medians(dice, some)):
        boots: Boots = {
            (i + 1, j + 1): value for i, row in enumerate(values.tolist()) for j, value in enumerate(row)
        }
        verdicts = wall.screen(runs[-1], before, {KEY: boots}, METRICS, [others])
        found.append(next(verdict for verdict in verdicts if verdict.statistic == "p50"))
    return found


def confirmed(dice: np.random.Generator, verdict: Verdict, cell: Cell, effect: float) -> bool:
    """Whether fresh pairs confirm; both of a pair share their session's mood."""
    count = wall.pairs_needed([verdict], METRICS)
    levels = dice.normal(0, cell.drift) + dice.normal(0, cell.deviation, (count, 2))
    levels[:, 1] += math.log1p(effect)
    pairs = [({KEY: float(a)}, {KEY: float(b)}) for a, b in medians(dice, levels)]
    return wall.confirm([verdict], pairs, METRICS, seed=1)[KEY].regressed


def false_alarms(dice: np.random.Generator, cell: Cell) -> tuple[float, float]:
    """Shares of unchanged kernels that are flagged, and that are flagged and confirmed."""
    found = screens(dice, NULLS, cell, 0.0)
    alarms = sum(verdict.outcome == "worse" for verdict in found) / NULLS
    # fresh boots know nothing of the screen, so that the shares multiply
    return alarms, alarms * sum(confirmed(dice, verdict, cell, 0.0) for verdict in found) / NULLS


NOTHING_CHANGED = [
    Cell(0.02, 0.02, 1), Cell(0.03, 0.015, 3), Cell(0.02, 0.02, 5), Cell(0.04, 0.02, 10), Cell(0.02, 0.02, 10),
    Cell(0.03, 0.02, 30), Cell(0.04, 0.0, 10), Cell(0.04, 0.02, 10, nodes=1), Cell(0.04, 0.02, 10, earlier=30),
]  # fmt: skip


@pytest.mark.parametrize("cell", NOTHING_CHANGED, ids=str)
def test_what_has_not_changed_is_seldom_flagged_and_hardly_ever_confirmed(cell: Cell) -> None:
    alarms, confirmed_too = false_alarms(np.random.default_rng(20_260_131), cell)
    assert alarms <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / NULLS)
    assert confirmed_too <= 0.001


SLOWER_BY_TEN = [
    Cell(0.02, 0.02, 3), Cell(0.03, 0.015, 3), Cell(0.02, 0.02, 5), Cell(0.03, 0.02, 10), Cell(0.04, 0.015, 10),
    Cell(0.02, 0.02, 10), Cell(0.02, 0.02, 30), Cell(0.04, 0.02, 30), Cell(0.04, 0.0, 3), Cell(0.02, 0.0, 30, nodes=1),
    Cell(0.04, 0.02, 10, earlier=30),
]  # fmt: skip


@pytest.mark.parametrize("cell", SLOWER_BY_TEN, ids=str)
def test_ten_percent_are_seen_and_confirmed(cell: Cell) -> None:
    dice = np.random.default_rng(20_260_201)
    found = screens(dice, SLOWER, cell, 0.1)
    seen = sum(confirmed(dice, verdict, cell, 0.1) for verdict in found if verdict.outcome == "worse")
    assert seen / SLOWER >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / SLOWER)


@pytest.mark.parametrize(
    "cell",
    [Cell(0.02, 0.02, 1), Cell(0.04, 0.02, 3), Cell(0.04, 0.02, 10), Cell(0.03, 0.0, 30, nodes=1)],
    ids=str,
)
def test_the_smallest_detectable_effect_is_one_that_is_seen_eight_times_in_ten(cell: Cell) -> None:
    dice = np.random.default_rng(20_260_301)
    promised = [verdict.mde for verdict in screens(dice, 100, cell, 0.0) if verdict.mde is not None]
    middle = float(np.median(promised))
    assert 0.06 < middle < 0.12
    seen = sum(verdict.outcome == "worse" for verdict in screens(dice, SLOWER, cell, middle))
    assert 0.7 <= seen / SLOWER <= 0.9


def test_sessions_that_differ_more_than_is_given_are_learned_of() -> None:
    """Twice the drift that a short history is taken to have: more alarms, none of which fresh boots confirm."""
    dice = np.random.default_rng(20_260_401)
    few, many = (false_alarms(dice, Cell(0.02, 0.04, sessions)) for sessions in (1, 30))
    assert few[0] > 0.05
    assert many[0] <= 0.025
    assert max(few[1], many[1]) <= 0.0015
