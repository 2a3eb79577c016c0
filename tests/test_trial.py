"""How many pairs a trial wants: a plan, a look at half of them, a time, and boots that fail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sistasks.errors import NodeError
from sistasks.statistics import paired
from sistasks.suites.trial import Trial, duration
from sistasks.verdicts import wall
from sistasks.verdicts.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sistasks.suites.trial import Pair

KEY = ("a.latency", "p50")
METRICS = {"a.latency": {"minimum_effect": 0.05}}
SUSPICION = Verdict(metric="a.latency", statistic="p50", outcome="worse", method="screen")
PAIR: Pair = ({KEY: 1.0}, {KEY: 1.0})


def measured(trial: Trial, most: int = 100, seconds: float = 1.0) -> int:
    """Pairs until the trial wants no more."""
    for count in range(most):
        if not trial.wants():
            return count
        trial.take(PAIR, seconds)
    return most


def test_without_a_reason_to_stop_all_that_are_planned_are_measured() -> None:
    asked: list[int] = []

    def never(pairs: Sequence[Pair]) -> bool:
        asked.append(len(pairs))
        return False

    trial = Trial(11, settled=never)
    assert (measured(trial), trial.short, trial.over) == (11, "", True)
    assert asked == [6], "one look, for each costs"
    assert measured(Trial(6, settled=never)) == 6
    assert asked == [6], "half of six decide nothing"


def test_half_of_the_pairs_may_be_enough() -> None:
    trial = Trial(20, settled=lambda _: True)
    assert (measured(trial), trial.short) == (10, "")


def test_no_pair_is_begun_for_which_there_is_no_time() -> None:
    none = Trial(8, budget=0)
    assert (measured(none), none.short) == (0, "it takes 8 pairs, and confirm=0 allows none")
    assert Trial(11, budget=600).wants(), "what a pair takes is known when there is one"
    hopeless = Trial(11, budget=150, expected=84)
    assert not hopeless.wants(), "not even if a pair took half as long"
    assert hopeless.short == "it takes 11 pairs, about 15 min: confirm=960"
    assert Trial(11, budget=180, expected=84).wants(), "it may"
    few = Trial(11, budget=600)
    few.take(PAIR, 200.0)
    assert not few.wants(), "four of 200 s confirm nothing, whatever they show"
    assert few.short == "it takes 11 pairs, about 37 min: confirm=2220"
    few = Trial(11, budget=600, at_once=2)
    few.take(PAIR, 200.0)
    assert few.wants(under_way=1), "two at once are seven"
    assert few.short == "it takes 11 pairs, about 20 min: confirm=1200"


def test_what_is_under_way_counts() -> None:
    trial = Trial(6, at_once=6)
    assert trial.wants(under_way=5)
    assert not trial.wants(under_way=6)
    trial.take(PAIR, 1.0)
    assert not trial.wants(under_way=5)


def test_two_pairs_may_fail() -> None:
    trial = Trial(6)
    for _ in range(2):
        trial.fail(NodeError("a"), 1.0)
        assert trial.wants()
    with pytest.raises(NodeError, match="one too many"):
        trial.fail(NodeError("one too many"), 1.0)


def test_boots_that_failed_take_time_too() -> None:
    trial = Trial(6, budget=600)
    for _ in range(5):
        trial.take(PAIR, 95.0)
    assert trial.short.endswith("confirm=600")
    for _ in range(2):
        trial.fail(NodeError("a"), 95.0)
    assert trial.short == "it takes 6 pairs, about 13 min: confirm=780", "600 was not enough"


def test_a_time_that_is_foreseen() -> None:
    assert [duration(seconds) for seconds in (0.2, 40, 100, 824)] == [
        "about 1 s",
        "about 40 s",
        "about 2 min",
        "about 14 min",
    ]


def verdict_of(differences: Sequence[float], planned: int = 0, short: str = "") -> Verdict:
    pairs = [({KEY: 1.0}, {KEY: math.exp(one)}) for one in differences]
    return wall.confirm([SUSPICION], pairs, METRICS, seed=1, planned=planned, short=short)[KEY]


def test_what_too_few_pairs_cannot_decide_is_unsure_with_the_reason() -> None:
    why = "it takes 11 pairs, about 14 min: confirm=840"
    found = verdict_of([0.2] * 4, 11, why)
    assert (found.outcome, found.confirmed, found.regressed) == ("unsure", False, False)
    assert found.reason == f"flagged, not decided by 4 pairs of fresh boots: +22.1%; {why}"
    none = verdict_of([], 11, why)
    assert (none.outcome, none.confirmed, none.reason) == (
        "unsure",
        None,
        f"flagged, but not confirmed: {why}",
    )
    # a median of nothing is a sign of nothing where the others are far apart
    assert verdict_of([0.0, 0.3, -0.3, 0.2, -0.2], 11, why).outcome == "unsure"
    assert verdict_of([0.0, 0.3, -0.3, 0.2, -0.2, 0.0]).outcome == "same"


def test_fewer_pairs_decide_what_they_show_beyond_doubt() -> None:
    assert verdict_of([0.2] * 5, 11, "late").outcome == "worse", "1 in 32, and nobody has looked before"
    less = verdict_of([0.01] * 5, 11, "late")
    assert (less.outcome, less.reason) == ("same", "flagged, not confirmed by 5 pairs of fresh boots: +1.0%")
    assert verdict_of([0.01] * 3, 11, "late").outcome == "unsure", "1 in 8"
    assert verdict_of([0.15, -0.05] * 3, 11, "late").outcome == "unsure"


def test_two_looks_promise_what_one_does() -> None:
    """False confirmations within the level, 10 % as seldom missed as planned, and many trials end at half."""
    dice = np.random.default_rng(20_261_122)
    spread, effect = 0.055, math.log(1.1)
    planned = paired.pairs_needed(1, spread, effect, math.log(1.05))
    assert paired.first_look(planned) == math.ceil(planned / 2) > 6
    rounds, stopped, confirmed = 600, {0.0: 0, effect: 0}, {0.0: 0, effect: 0}
    for shift in confirmed:
        for row in shift + dice.normal(0, math.sqrt(2) * spread, (rounds, planned)):
            pairs = [({KEY: 1.0}, {KEY: math.exp(one)}) for one in row]
            half = pairs[: paired.first_look(planned)]
            if wall.settled([SUSPICION], half, METRICS, seed=1):
                stopped[shift] += 1
                pairs = half
            found = wall.confirm([SUSPICION], pairs, METRICS, seed=1, planned=planned)[KEY]
            assert found.outcome != "unsure" or len(pairs) == planned
            confirmed[shift] += found.regressed
    assert confirmed[0.0] / rounds <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert confirmed[effect] / rounds >= 0.98 - 3 * math.sqrt(0.98 * 0.02 / rounds)
    assert stopped[0.0] > 0.5 * rounds
    assert stopped[effect] > 0.5 * rounds
