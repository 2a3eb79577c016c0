"""A suite of eighty metrics through the screen: how often it is flagged for nothing, and what is still seen.

Boots differ by 3 %, sessions by 2 %; the seed is fixed. Metric by metric one in a hundred is flagged by chance, so that
half of all runs of eighty metrics would be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sistasks.verdicts import wall
from sistasks.verdicts.baseline import RunInfo
from sistasks.verdicts.records import STATISTICS

if TYPE_CHECKING:
    from sistasks.verdicts.records import Verdict

NAMES: Final = [f"load.rate.{number:02}" for number in range(80)]
METRICS: Final = {name: {"unit": "ns", "better": "lower", "minimum_effect": 0.05} for name in NAMES}
SESSIONS, NODES = 6, 4


def run(number: int) -> RunInfo:
    return RunInfo(
        id=number, suite="stress", kernel_id=str(number), kernel_name="k", environment_id="e", clock="wall",
        accel="tcg", status="ok", message="", nodes=NODES, iterations=1, seed=1, session_id=f"s{number}",
        started_at="",
    )  # fmt: skip


def screened(dice: np.random.Generator, slower: int, effect: float = 0.1) -> list[Verdict]:
    """The screen of one run of which the first `slower` metrics are worse by `effect`."""
    levels = dice.normal(0, 0.02, (len(NAMES), SESSIONS + 1, 1)) + dice.normal(
        0, 0.03, (len(NAMES), SESSIONS + 1, NODES)
    )
    levels[:slower, -1] += math.log1p(effect)
    boots = {
        (name, "p50"): {
            (session + 1, node + 1): 1000 * math.exp(value)
            for session, row in enumerate(rows)
            for node, value in enumerate(row)
        }
        for name, rows in zip(NAMES, levels.tolist(), strict=True)
    }
    runs = [run(number) for number in range(1, SESSIONS + 2)]
    return wall.screen(runs[-1], runs[:-1], boots, METRICS)


def by_itself(verdict: Verdict) -> bool:
    """Flagged if it were the only metric."""
    return verdict.p is not None and verdict.p <= 0.01 and (verdict.effect or 0.0) >= 0.05


def test_an_unchanged_kernel_is_seldom_flagged_however_many_metrics_there_are() -> None:
    dice = np.random.default_rng(20_261_122)
    count = 60
    found = [screened(dice, 0) for _ in range(count)]
    flagged = sum(any(one.outcome == "worse" for one in verdicts) for verdicts in found)
    alone = sum(any(by_itself(one) for one in verdicts) for verdicts in found)
    assert flagged / count <= wall.CHANCE + 3 * math.sqrt(wall.CHANCE * (1 - wall.CHANCE) / count)
    assert alone / count >= 0.3, "what it would be"
    left = [one for verdicts in found for one in verdicts if by_itself(one) and one.outcome != "worse"]
    assert left
    assert {one.outcome for one in left} == {"unsure"}
    assert all(one.reason.startswith("seems worse (p = ") and one.q for one in left)
    assert "as one of 80 metrics may by chance" in left[0].reason


@pytest.mark.parametrize(
    ("slower", "effect", "least"), [(1, 0.1, 0.55), (1, 0.15, 0.95), (8, 0.1, 0.83)], ids=str
)
def test_what_is_slower_is_still_seen(slower: int, effect: float, least: float) -> None:
    """A change of a single one of eighty has to be larger; of several the one stands by the other."""
    dice = np.random.default_rng(20_261_123)
    count = 48 // math.isqrt(slower)
    found = [one for _ in range(count) for one in screened(dice, slower, effect)[:slower]]
    seen = sum(one.outcome == "worse" for one in found) / len(found)
    assert seen >= least - 3 * math.sqrt(least * (1 - least) / count)
    assert seen <= sum(map(by_itself, found)) / len(found)


def test_what_is_detectable_is_told_for_a_change_of_a_single_one() -> None:
    dice = np.random.default_rng(20_261_124)
    (promised,) = {verdict.mde for verdict in screened(dice, 0)[:1]}
    assert promised is not None
    seen = sum(screened(dice, 1, promised)[0].outcome == "worse" for _ in range(40)) / 40
    assert 0.6 <= seen <= 0.95


def test_of_ten_metrics_a_percentile_that_shifts_alone_is_one_of_thirty() -> None:
    """Where all percentiles shift, each metric's own level decides, as of one metric alone."""
    dice = np.random.default_rng(20_261_125)
    names = NAMES[:10]
    drawn = dice.normal(0, 0.02, (10, SESSIONS + 1, 1)) + dice.normal(0, 0.03, (10, SESSIONS + 1, NODES))
    runs = [run(number) for number in range(1, SESSIONS + 2)]

    def p99(effect: float, shifted: tuple[str, ...]) -> Verdict:
        boots = {
            (name, statistic): {
                (session + 1, node + 1): math.exp(
                    value
                    + math.log1p(effect) * (session == SESSIONS and name == NAMES[0] and statistic in shifted)
                )
                for (session, node), value in np.ndenumerate(rows)
            }
            for name, rows in zip(names, drawn, strict=True)
            for statistic in STATISTICS
        }
        found = wall.screen(runs[-1], runs[:-1], boots, METRICS)
        return next(one for one in found if one.name == f"{NAMES[0]} p99")

    least = next(step / 400 for step in range(100) if by_itself(p99(step / 400, ("p99",))))
    assert p99(least, ("p99",)).outcome == "unsure"
    assert p99(least, STATISTICS).outcome == "worse"
    assert p99(2 * least, ("p99",)).outcome == "worse"
