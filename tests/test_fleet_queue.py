"""The simulated fleet against what theory knows of queues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fleet_queue import DAY, Fleet, arrivals, served, simulate

COUNT = 100_000


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(20_260_131)


def poisson(dice: np.random.Generator, rate: float) -> np.ndarray:
    return np.cumsum(dice.exponential(1 / rate, COUNT))


def erlang_c(servers: int, load: float) -> float:
    """The chance that somebody has to wait, of `servers` and an offered load in servers (Erlang, 1917)."""
    term, total = 1.0, 1.0
    for number in range(1, servers):
        term *= load / number
        total += term
    last = term * load / servers * servers / (servers - load)
    return last / (total + last)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_server_of_random_work_waits_as_theory_says(dice: np.random.Generator, load: float) -> None:
    came, taken = poisson(dice, load), dice.exponential(1, COUNT)
    waited = served(came, taken, 1) - taken - came
    assert waited.mean() == pytest.approx(load / (1 - load), rel=0.06)  # M/M/1


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_server_of_equal_work_waits_half_as_long(dice: np.random.Generator, load: float) -> None:
    came, taken = poisson(dice, load), np.ones(COUNT)
    waited = served(came, taken, 1) - taken - came
    assert waited.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.03)  # M/D/1


def test_many_servers_wait_as_theory_says(dice: np.random.Generator) -> None:
    servers, load = 10, 8.0
    came, taken = poisson(dice, load), dice.exponential(1, COUNT)
    waited = served(came, taken, servers) - taken - came
    assert (waited > 1e-9).mean() == pytest.approx(erlang_c(servers, load), rel=0.03)
    assert waited.mean() == pytest.approx(erlang_c(servers, load) / (servers - load), rel=0.05)  # M/M/c


def test_a_day_has_its_runs_and_its_peak(dice: np.random.Generator) -> None:
    came = arrivals(dice, 100_000, 2, peak=2.0, hours=8)
    assert len(came) == pytest.approx(200_000, rel=0.01)
    hour = (came % DAY) // 3600
    assert ((hour >= 8) & (hour < 16)).mean() == pytest.approx(2 * 8 / 24, rel=0.01)


def test_records_of_a_fleet_wait_as_theory_says() -> None:
    # no peak: what ends at many workers comes at random, and a record takes always the same
    fleet = Fleet(runs=0.8 * DAY, workers=1000, service=600, record=np.ones(1), peak=1.0)
    outcome = simulate(fleet, 2, seed=1)
    late = outcome.late[len(outcome.late) // 4 :]
    assert late.mean() - 1 == pytest.approx(2.0, rel=0.05)  # M/D/1 at a load of 0.8
    assert outcome.writer == pytest.approx(0.8, rel=0.01)
    # Little: as many wait or are recorded as come while one does
    queue = outcome.queue[len(outcome.queue) // 4 :]
    assert queue.mean() == pytest.approx(0.8 * late.mean(), rel=0.05)


def test_a_writer_that_is_saturated_falls_behind_and_two_do_not() -> None:
    fleet = Fleet(
        runs=DAY, workers=2000, service=600, record=np.full(1, 1.2), peak=1.0, environments=(1.0,) * 10
    )
    assert fleet.saturated == pytest.approx(DAY / 1.2)
    one, two = simulate(fleet, 1, seed=1), simulate(replace(fleet, writers=2), 1, seed=1)
    assert one.late[-1] == pytest.approx(0.2 * (DAY - 600), rel=0.1)
    assert one.queue[-1] > 10_000
    assert np.percentile(two.late, 99) < 10
    # one environment cannot be divided
    uneven = replace(fleet, environments=(0.75, *(0.025,) * 10), writers=4)
    assert max(uneven.shares) == pytest.approx(0.75)
    assert uneven.saturated == pytest.approx(DAY / 1.2 / 0.75)


def test_a_history_that_grows_slows_its_writer_down() -> None:
    fleet = Fleet(runs=10_000, workers=100, service=60, record=np.full(1, 0.01), growth=1e-6, peak=1.0)
    outcome = simulate(fleet, 1, seed=1)
    assert outcome.writer == pytest.approx(10_000 * (0.01 + 1e-6 * 5000) / DAY, rel=0.05)
    assert replace(fleet, held=1e6).saturated == pytest.approx(DAY / 1.01, rel=0.01)
