"""Pairs: sign flips against all of them, q values against scipy, confirmations against known answers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sistasks.statistics.paired import LOSS, benjamini_hochberg, confirm, final_level, pairs_needed, sign_flip


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=9))
def test_all_flips_are_counted(differences: list[int]) -> None:
    sums = [
        sum(sign * value for sign, value in zip(signs, differences, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    found = sign_flip(differences)
    assert found.method == "exact"
    assert found.p == sum(item >= sum(differences) for item in sums) / len(sums)


def test_equal_sums_count_whatever_rounding_says() -> None:
    # 0.1 + 0.2 - 0.3 is not 0.0 in binary; every choice that is 0 in decimal counts
    assert sign_flip([0.1, 0.2, -0.3]).p == sign_flip([1, 2, -3]).p


def test_six_losses_of_six() -> None:
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).p == 1 / 64
    assert sign_flip([-0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).p == 2 / 64


def test_more_are_drawn_and_agree_with_the_normal_limit() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, size=40)
    found = sign_flip(differences, seed=3)
    limit = stats.norm.sf(differences.sum() / math.sqrt((differences**2).sum()))
    assert found.method == "drawn"
    assert found.p == pytest.approx(limit, abs=0.01)
    assert sign_flip(differences, seed=3) == found
    assert sign_flip(differences, seed=4).p != found.p
    assert sign_flip(np.ones(40)).p == 1 / 10_000  # never 0


def test_the_largest_exact_agrees_with_the_drawn() -> None:
    differences = np.random.default_rng(5).normal(0.25, 1, size=26)
    exact = sign_flip(differences).p
    signs = np.random.default_rng(6).choice([-1.0, 1.0], size=(200_000, 26))
    assert exact == pytest.approx(float(np.mean(signs @ differences >= differences.sum())), abs=0.003)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_q_values_are_scipys(p: list[float]) -> None:
    theirs = stats.false_discovery_control(p) if p else []
    assert benjamini_hochberg(p).tolist() == pytest.approx(list(theirs), rel=1e-12, abs=1e-300)


def test_pairs_are_enough_for_the_only_true_one_of_many() -> None:
    counts = [
        pairs_needed(flagged, 0.001, math.log(1.1), math.log(1.05)) for flagged in (0, 1, 3, 4, 6, 7, 50)
    ]
    assert counts == [6, 6, 6, 8, 8, 8, 11]
    for flagged in (1, 3, 4, 7, 30):
        m = pairs_needed(flagged, 0.001, math.log(1.1), math.log(1.05))
        noise = [-0.2 + 0.01 * place for place in range(m)]
        rows = [[0.1 + 0.001 * place for place in range(m)]] + [noise] * (flagged - 1)
        found = confirm(rows, [0.05] * flagged)
        assert [item.confirmed for item in found] == [True] + [False] * (flagged - 1)
        assert found[0].enough


def test_what_is_significant_and_small_is_not_confirmed() -> None:
    tiny = confirm([[0.01, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016]], [0.05])[0]
    assert tiny.q < 0.05
    assert not tiny.confirmed
    assert confirm([[0.031] * 6], [0.05])[0].confirmed
    assert not confirm([[0.029] * 6], [0.05])[0].confirmed


def test_too_few_pairs_say_so() -> None:
    found = confirm([[0.5, 0.6, 0.7, 0.8]], [0.05])[0]
    assert (found.confirmed, found.enough, found.pairs, found.p) == (False, False, 4, 1 / 16)


@pytest.mark.parametrize("spread", [0.02, 0.04, 0.06])
def test_false_confirmations_and_power(spread: float) -> None:
    """Of unchanged metrics that were flagged, one in thirty at most stands; of those at +10 %, all but one in fifty."""
    random = np.random.default_rng(9)
    rounds, threshold, effect = 2000, math.log(1.05), math.log(1.1)
    pairs = pairs_needed(1, spread, effect, threshold)
    shares = []
    for shift in (0.0, effect):
        rows = shift + random.normal(0, spread, (rounds, pairs)) - random.normal(0, spread, (rounds, pairs))
        shares.append(sum(confirm([row], [threshold])[0].confirmed for row in rows) / rounds)
    assert shares[0] <= 1 / 30 + 3 * math.sqrt(1 / 30 / rounds)
    assert shares[1] >= 0.98 - 3 * math.sqrt(0.02 * 0.98 / rounds)


def test_pairs_grow_with_the_noise_up_to_a_limit() -> None:
    counts = [pairs_needed(1, spread, math.log(1.1), math.log(1.05)) for spread in (0, 0.02, 0.04, 0.06, 0.3)]
    assert counts[:2] == [6, 6]
    assert counts == sorted(counts)
    assert counts[-1] == 24
    assert pairs_needed(1, 0.06, math.log(1.2), math.log(1.05)) < counts[3]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        sign_flip([])
    with pytest.raises(ValueError, match="within 0 and 1"):
        benjamini_hochberg([0.5, 1.1])
    with pytest.raises(ValueError, match="shorter"):
        confirm([[0.1], [0.2]], [0.05])


@pytest.mark.parametrize(("flagged", "spread"), [(2, 0.03), (5, 0.03), (20, 0.03)], ids=str)
def test_of_several_that_are_flagged_the_only_true_one_is_seldom_missed(flagged: int, spread: float) -> None:
    """Where only the smallest p of so few pairs would do, one pair the other way round loses all."""
    dice = np.random.default_rng(20_261_122)
    effect, least, rounds = math.log(1.1), math.log(1.05), 200
    pairs = pairs_needed(flagged, spread, effect, least)
    found = dice.normal(0, math.sqrt(2) * spread, (rounds, flagged, pairs))
    found[:, 0] += effect
    level = final_level(pairs)
    missed = sum(not confirm(rows, [least] * flagged, level=level)[0].confirmed for rows in found)
    assert missed / rounds <= LOSS + 3 * math.sqrt(LOSS * (1 - LOSS) / rounds)
