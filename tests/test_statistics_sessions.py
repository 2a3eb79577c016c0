"""Boots of several sessions: by hand where all is balanced, by simulation where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sistasks.statistics.sessions import DRIFT, DRIFT_SESSIONS, difference

LABELS = [f"s{index}" for index in range(6) for _ in range(4)]


def table(
    seed: int = 1, mood: float = 0.03
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], list[float]]:
    dice = np.random.default_rng(seed)
    values = dice.normal(0, mood, (7, 1)) + dice.normal(0, 0.01, (7, 4))
    return values[:6], values[6].tolist()


def test_balanced_sessions_by_hand() -> None:
    before, after = table()
    found = difference(before.ravel(), LABELS, after, drift_sessions=1e-12)
    # with as many boots on both sides the means of sessions are all that counts: a t-test of one against six
    means = before.mean(axis=1)
    error = float(means.std(ddof=1)) * math.sqrt(1 + 1 / 6)
    assert found.shift == pytest.approx(float(np.mean(after) - means.mean()))
    assert found.error == pytest.approx(error)
    assert found.degrees == pytest.approx(5)
    assert found.sessions == 6


def test_what_is_given_weighs_as_many_sessions() -> None:
    before, after = table()
    own = difference(before.ravel(), LABELS, after, drift_sessions=1e-12).drift
    found = difference(before.ravel(), LABELS, after)
    assert found.drift == pytest.approx(
        math.sqrt((DRIFT_SESSIONS * DRIFT**2 + 5 * own**2) / (DRIFT_SESSIONS + 5))
    )
    assert found.degrees > 15, "what is given has no error"
    # of one session nothing is known but what is given
    one = difference(before[0], ["s"] * 4, after)
    assert one.drift == DRIFT
    assert one.error == pytest.approx(math.sqrt(2 * DRIFT**2 + one.spread**2 / 2))


def test_a_mood_that_is_shared_is_in_no_difference() -> None:
    before, after = table()
    shared = difference(before[0], ["now"] * 4, after, session="now")
    assert shared.error == pytest.approx(shared.spread * math.sqrt(1 / 2))
    assert shared.degrees == pytest.approx(6)
    partly = difference(before.ravel(), LABELS, after, session="s3")
    assert partly.error < difference(before.ravel(), LABELS, after).error


def test_other_levels_tell_of_noise_alone() -> None:
    before, after = table()
    dice = np.random.default_rng(3)
    noisy = dice.normal(5, 0.1, (20, 1)) + dice.normal(0, 0.01, (20, 4))
    others = [(noisy.ravel().tolist(), [f"o{index}" for index in range(20) for _ in range(4)])]
    alone, wise = (difference(before.ravel(), LABELS, after, others=more) for more in ((), others))
    assert wise.drift > 2 * alone.drift
    assert wise.shift == pytest.approx(alone.shift, abs=0.002)
    assert wise.sessions == 6


def test_the_rule_keeps_its_level_where_sessions_are_of_all_sizes() -> None:
    dice = np.random.default_rng(4)
    sizes = [1, 1, 2, 3, 5, 5, 8, 20]
    labels = [index for index, size in enumerate(sizes) for _ in range(size)]
    rounds, alarms, drifts = 3000, 0, 0.0
    for _ in range(rounds):
        before = dice.normal(0, DRIFT, 8)[labels] + dice.normal(0, 0.03, len(labels))
        found = difference(before, labels, dice.normal(0, DRIFT) + dice.normal(0, 0.03, 5))
        alarms += bool(stats.t.sf(found.shift / found.error, found.degrees) <= 0.01)
        drifts += found.drift**2 / rounds
    assert alarms / rounds <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / rounds)
    assert math.sqrt(drifts) == pytest.approx(DRIFT, rel=0.1)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 3)), min_size=2, max_size=12),
    st.lists(st.floats(-1, 1), min_size=1, max_size=4),
    st.sampled_from([None, 0, 9]),
)
def test_any_boots_have_an_error(
    before: list[tuple[float, int]], after: list[float], session: int | None
) -> None:
    found = difference([value for value, _ in before], [label for _, label in before], after, session=session)
    assert math.isfinite(found.error)
    assert found.error > 0 or session is not None
    assert found.degrees > 0
    assert -2 <= found.shift <= 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="2 boots need as many sessions, not 1"):
        difference([1.0, 2.0], ["a"], [1.0])
    with pytest.raises(ValueError, match="finite"):
        difference([1.0], ["a"], [1.0])
    with pytest.raises(ValueError, match="finite"):
        difference([1.0, math.nan], ["a", "a"], [1.0])
