"""The screen: by hand, against scipy, and by simulation of boots whose truth is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from sistasks.statistics.compare import (
    Screen,
    detectable_effect,
    screen,
    screen_sessions,
    spread,
    threshold,
)
from sistasks.statistics.ranks import hodges_lehmann, mann_whitney

if TYPE_CHECKING:
    Floats = np.ndarray[Any, np.dtype[np.float64]]

TEN, TWENTY = math.log(1.1), math.log(1.2)


def boots(random: np.random.Generator, count: int, deviation: float, kind: str = "normal") -> Floats:
    """Logarithms of boots' medians; `bimodal`: three in ten boots land in a slower mode."""
    if kind == "normal":
        return random.normal(0, deviation, count)
    return random.normal(0, deviation / 2, count) + 1.9 * deviation * (random.random(count) < 0.3)


def test_the_spread_is_the_largest_of_three() -> None:
    values = [0.0, 0.01, 0.02, 0.05, 0.3]
    assert spread(values) == pytest.approx(float(np.std(values, ddof=1)))
    # half the boots in another mode: the MAD is larger
    modes = [0.0, 0.0, 0.1, 0.1, 0.1, 0.2, 0.2]
    assert spread(modes) == pytest.approx(float(stats.median_abs_deviation(modes, scale="normal")), rel=1e-4)
    assert spread([1.0, 1.0, 1.0]) == 0.005
    assert spread([1.0, 1.0, 1.0], floor=0.02) == 0.02
    assert spread([1.0]) == math.inf


def test_the_threshold_is_the_largest_of_three() -> None:
    assert threshold() == math.log1p(0.05)
    assert threshold(0.01) == math.log1p(0.05)
    assert threshold(0.2) == pytest.approx(math.log(1.2))
    assert threshold(0.05, noise=0.04) == 0.08


def test_the_t_rule_by_hand() -> None:
    baseline, candidate = [0.0, 0.02, 0.04, 0.06], [0.13, 0.15]
    deviation = float(np.std(baseline, ddof=1))
    mad = 1.4826 * 0.02
    used = max(deviation, mad)
    t = (0.14 - 0.03) / (used * math.sqrt(1 / 2 + 1 / 4))
    found = screen(baseline, candidate)
    assert (found.method, found.n, found.k, found.degrees) == ("t", 4, 2, 3)
    assert found.p == pytest.approx(stats.t.sf(t, 3), rel=1e-9)
    assert found.p_better == pytest.approx(stats.t.cdf(t, 3), rel=1e-9)
    assert found.shift == pytest.approx(0.11)
    half = stats.t.ppf(0.995, 3) * used * math.sqrt(0.75)
    assert [found.low, found.high] == pytest.approx([0.11 - half, 0.11 + half])


def test_ranks_where_they_are_fine_enough() -> None:
    random = np.random.default_rng(1)
    baseline, candidate = random.normal(0, 0.02, 30), random.normal(0.06, 0.02, 3)
    found = screen(baseline, candidate)
    assert found.method == "rank"
    assert found.p == mann_whitney(baseline, candidate).p
    interval = hodges_lehmann(baseline, candidate)
    assert (found.shift, found.low, found.high) == (interval.shift, interval.low, interval.high)
    assert screen(baseline, candidate[:2]).method == "t"  # C(32, 2) = 496


def test_the_detectable_effect_is_found_with_its_power() -> None:
    random = np.random.default_rng(2)
    rounds, deviation = 4000, 0.03
    for n, k in ((30, 1), (10, 2), (6, 3)):
        error = deviation * math.sqrt(1 / k + 1 / n)
        effect = detectable_effect(error, n - 1)
        quantiles = stats.t.ppf([0.99, 0.8], n - 1)
        assert effect == pytest.approx(float(quantiles.sum()) * error)
        before = random.normal(0, deviation, (rounds, n))
        after = random.normal(effect, deviation, (rounds, k))
        t = (after.mean(axis=1) - before.mean(axis=1)) / (
            before.std(axis=1, ddof=1) * math.sqrt(1 / k + 1 / n)
        )
        assert 0.76 < float(np.mean(t >= quantiles[0])) < 0.84
    assert detectable_effect(0.01, 0) == math.inf


def rate(rounds: int, seed: int, effect: float, **how: Any) -> float:
    """Share of candidates that are flagged; how: n, k, deviation, kind, drift (between sessions of k boots), tell."""
    random = np.random.default_rng(seed)
    n, k = how.get("n", 30), how.get("k", 10)
    drift, tell = how.get("drift", 0.0), how.get("tell")
    labels = np.arange(n) // k
    flagged = 0
    for _ in range(rounds):
        moods = random.normal(0, drift, labels.max() + 2) if drift else np.zeros(labels.max() + 2)
        baseline = boots(random, n, how.get("deviation", 0.03), how.get("kind", "normal")) + moods[labels]
        candidate = (
            boots(random, k, how.get("deviation", 0.03), how.get("kind", "normal")) + moods[-1] + effect
        )
        noise = (
            math.hypot(drift, how.get("deviation", 0.03) * math.sqrt(1 / k + 1 / n))
            if tell == "noise"
            else 0.0
        )
        if tell == "sessions":
            flagged += screen_sessions(baseline, labels.tolist(), candidate).flagged
        else:
            flagged += screen(baseline, candidate, noise=noise).flagged
    return flagged / rounds


@pytest.mark.parametrize("deviation", [0.02, 0.04])
@pytest.mark.parametrize("kind", ["normal", "bimodal"])
@pytest.mark.parametrize(("n", "k"), [(30, 1), (30, 10), (6, 6)])
def test_unchanged_kernels_are_rarely_flagged(n: int, k: int, kind: str, deviation: float) -> None:
    # one in a hundred; three standard deviations of a thousand rounds more
    assert rate(1000, n + k, 0.0, n=n, k=k, kind=kind, deviation=deviation) <= 0.0195


@pytest.mark.parametrize("kind", ["normal", "bimodal"])
def test_slower_kernels_are_flagged(kind: str) -> None:
    assert rate(300, 5, TEN, k=10, kind=kind, deviation=0.04) > 0.95
    assert rate(300, 5, TEN, k=1, kind=kind, deviation=0.02) > 0.9
    assert rate(300, 6, TWENTY, k=1, kind=kind, deviation=0.04) > 0.85


def test_drift_between_sessions_is_answered_where_it_is_told() -> None:
    drift = {"k": 5, "deviation": 0.02, "drift": 0.025}
    untold = rate(600, 7, 0.0, **drift)
    assert untold > 0.025
    assert rate(600, 7, 0.0, tell="noise", **drift) <= 0.0225
    assert rate(600, 7, 0.0, tell="sessions", **drift) <= 0.0265
    assert rate(300, 8, TWENTY, tell="noise", **drift) > 0.9
    assert rate(300, 8, TWENTY, tell="sessions", **drift) > 0.9


def judged(candidate: float, *, better: Any = "lower", deviation: float = 0.01) -> Screen:
    steady = deviation * np.tile([-1.0, 1.0], 15)
    return screen(steady, [candidate] * 3, better=better)


def test_directions_mirror_each_other() -> None:
    for candidate, lower, higher in (
        (0.2, "worse", "better"),
        (-0.2, "better", "worse"),
        (0.001, "same", "same"),
    ):
        assert judged(candidate).outcome == lower
        assert judged(candidate, better="higher").outcome == higher
    assert judged(0.2).p == judged(0.2, better="higher").p_better
    assert judged(0.2).flagged
    assert not judged(-0.2).flagged


def test_a_significant_change_that_is_small_is_the_same() -> None:
    found = judged(0.04)
    assert found.p <= 0.01
    assert found.shift < found.threshold
    assert found.outcome == "same"
    assert judged(-0.04).p_better <= 0.01
    assert judged(-0.04).outcome == "same"


def test_what_cannot_be_seen_is_unsure() -> None:
    found = judged(0.01, deviation=0.06)
    assert found.outcome == "unsure"
    assert [doubt.code for doubt in found.doubts] == ["detectable"]
    assert found.doubts[0].words.endswith("larger than the 5.0% that matter: the baseline has 30 boots")
    assert found.detectable > found.threshold
    # what was seen all the same is no longer in doubt
    assert judged(0.5, deviation=0.06).outcome == "worse"


def test_one_boot_tells_no_spread() -> None:
    found = screen([0.0], [0.5])
    assert (found.outcome, found.p, found.detectable) == ("unsure", 1.0, math.inf)
    assert [doubt.code for doubt in found.doubts] == ["baseline"]
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_sessions_of_one_boot_each_are_all_that_is_known() -> None:
    random = np.random.default_rng(4)
    before, after = random.normal(0, 0.02, 9), random.normal(0.1, 0.02, 1)
    found = screen_sessions(before, range(9), after)
    assert (found.method, found.n, found.k) == ("sessions", 9, 1)
    assert found.degrees == pytest.approx(8)
    error = float(before.std(ddof=1)) * math.sqrt(1 + 1 / 9)
    assert found.error == pytest.approx(error)
    assert found.p == pytest.approx(float(stats.t.sf((after[0] - before.mean()) / error, 8)))
    half = float(stats.t.ppf(0.995, 8)) * error
    assert [found.low, found.high] == pytest.approx([found.shift - half, found.shift + half])
    assert found.doubts[0].words.endswith("that matter: the baseline has 9 boots of 9 sessions")


def test_a_few_boots_far_off_are_no_shift_of_sessions_either() -> None:
    candidate = np.array([0.0] * 7 + [2.0] * 3)
    found = screen_sessions(np.tile([-0.001, 0.001], 150), np.repeat(range(30), 10).tolist(), candidate)
    assert found.p <= 0.01
    assert not found.flagged
    one = screen_sessions([0.0], ["a"], [0.5])
    assert (one.outcome, one.p, one.detectable) == ("unsure", 1.0, math.inf)


def test_better_by_more_than_half_is_implausible() -> None:
    assert judged(math.log(0.51)).outcome == "better"
    found = judged(math.log(0.45))
    assert found.outcome == "unsure"
    assert [doubt.code for doubt in found.doubts] == ["implausible"]
    assert judged(math.log(2.2), better="higher").outcome == "unsure"
    assert judged(math.log(2.2)).outcome == "worse"


def test_one_candidate_boot_is_noted() -> None:
    found = screen(np.linspace(0, 0.01, 30), [0.2])
    assert found.flagged
    assert found.notes == (
        "1 against 30 boots cannot fail a rank test: its smallest p is 0.032; judged by the t-rule",
    )
    assert not screen(np.linspace(0, 0.01, 30), [0.2] * 3).notes


def test_a_constant_baseline_does_not_flag_a_hair() -> None:
    assert screen([1.0] * 30, [1.0001]).outcome == "same"
    assert screen([1.0] * 30, [1.1]).outcome == "worse"
    assert screen([1.0] * 30, [1.1], floor=0.0).p == 0.0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        screen([], [1.0])
    with pytest.raises(ValueError, match="finite"):
        screen([1.0], [float("nan")])
