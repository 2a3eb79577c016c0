from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from history_records import environment
from judged import RATE, SWITCH, accept, baseline, run_info, told, write

from sistasks.errors import HistoryError, UsageError
from sistasks.verdicts.baseline import MOST_RUNS, by_run, labelled, open_history
from sistasks.verdicts.records import Verdict
from sistasks.verdicts.store import write_verdicts

if TYPE_CHECKING:
    from pathlib import Path

SAME = {SWITCH: [1000.0], RATE: [50.0]}
SLOW = {SWITCH: [1200.0], RATE: [50.0]}


def worse(db: Path, number: int, outcome: str = "worse", **changes: Any) -> None:
    write_verdicts(
        db,
        number,
        [Verdict(metric=SWITCH, statistic="p50", outcome=outcome, method="m", baseline="b", **changes)],
    )


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "results.db"


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": environment(guest_sha256="other")},
        {"suite": "boot"},
        {"iterations": 999},
        {"status": "failed"},
        {"status": "error"},
        {"dirty": True, "kernel": "edited"},
        {"kernel": "new"},
    ],
)
def test_what_is_not_comparable_is_no_baseline(db: Path, changes: dict[str, Any]) -> None:
    write(db, SAME)
    write(db, SAME, **changes)
    write(db, SAME, dirty=False, kernel="clean")
    assert baseline(db, write(db, SAME, "new")) == [3, 1]


def test_its_own_kernel_is_the_baseline_of_a_self_check(db: Path) -> None:
    for kernel in ("old", "new", "new", "new"):
        write(db, SAME, kernel)
    worse(db, 2)
    assert baseline(db, 4) == [1]
    assert baseline(db, 4, same_kernel=True) == [3, 2]


def test_later_runs_are_no_baseline(db: Path) -> None:
    write(db, SAME)
    assert baseline(db, write(db, SAME, "new")) == [1]
    write(db, SAME)
    assert baseline(db, 2) == [1]


def test_at_most_thirty_runs_and_the_newest(db: Path) -> None:
    for _ in range(MOST_RUNS + 3):
        write(db, SAME)
    found = baseline(db, write(db, SAME, "new"))
    assert found == list(range(MOST_RUNS + 3, 3, -1))


def test_a_kernel_that_got_worse_stays_out_until_it_is_accepted(db: Path) -> None:
    write(db, SAME)
    write(db, SLOW, "slow")
    write(db, SLOW, "slow")  # not judged itself
    worse(db, 2)
    assert baseline(db, write(db, SAME, "new")) == [1]
    assert accept(db, 3, "meant") == (0, "run 3 is the new normal: baselines begin with it\n")
    assert baseline(db, 4) == [3]


@pytest.mark.parametrize(
    ("later", "found"),
    [
        ({"outcome": "same"}, [2, 1]),
        ({"outcome": "unsure"}, [2, 1]),
        ({"confirmed": False}, [2, 1]),
        ({}, [1]),
    ],
)
def test_the_newest_verdict_counts(db: Path, later: dict[str, Any], found: list[int]) -> None:
    write(db, SAME)
    write(db, SLOW, "slow")
    worse(db, 2)
    worse(db, 2, **later)
    assert baseline(db, write(db, SAME, "new")) == found


def test_a_regression_counts_in_its_own_environment_alone(db: Path) -> None:
    other = environment(guest_sha256="other")
    write(db, SLOW, "slow", environment=other)
    worse(db, 1)
    write(db, SLOW, "slow")
    assert baseline(db, write(db, SAME, "new")) == [2]


def test_baselines_begin_with_the_accepted_run(db: Path) -> None:
    for kernel in ("a", "b", "c"):
        write(db, SAME, kernel)
    accept(db, 2)
    assert baseline(db, 3) == [2]
    assert baseline(db, 2) == [], "the new normal itself has none"
    assert baseline(db, write(db, SAME, "d")) == [3, 2]
    assert baseline(db, write(db, SAME, "d", environment=environment(guest_sha256="x"))) == []


def test_what_cannot_be_accepted(db: Path) -> None:
    write(db, SAME, status="failed")
    code, words = accept(db, 1)
    assert (code, "run 1 cannot be the new normal: its status is failed" in words) == (3, True)
    code, words = accept(db, 2**53)
    assert (code, f"run {2**53} is not in the history" in words) == (3, True)
    missing = db.with_name("missing.db")
    assert accept(missing, 1)[0] == 2
    assert not missing.exists()


def test_every_boot_counts_as_one_of_its_session(db: Path) -> None:
    nodes = {SWITCH: [1000.0 + node for node in range(10)]}
    numbers = [write(db, nodes, session=f"s{index // 2}") for index in range(4)]
    runs = [run_info(db, number) for number in reversed(numbers)]
    with open_history(db) as history:
        boots = by_run(history.boots(numbers)[SWITCH, "p50"])
    values, sessions = labelled(runs, boots)
    assert sessions == ["s1"] * 20 + ["s0"] * 20
    assert values == nodes[SWITCH] * 4
    assert labelled([], boots) == ([], [])
    assert len(labelled(runs[:1], boots)[0]) == 10


def test_other_levels_are_what_a_baseline_leaves_out(db: Path) -> None:
    for kernel in ("a", "b"):
        write(db, SAME, kernel)
    accept(db, 2)
    write(db, SLOW, "slow")
    worse(db, 3)
    write(db, SLOW, "slow")
    write(db, SAME, "dirty", dirty=True)
    write(db, SAME, "mine")
    write(db, SAME, "broken", status="failed")
    write(db, SAME, "elsewhere", environment=environment(guest_sha256="other"))
    write(db, SAME, "c")
    number = write(db, SAME, "mine")
    write(db, SAME, "later")
    with open_history(db) as history:
        run = history.run(number)
        runs = history.baseline_runs(run)
        found = history.other_levels(run, runs)
    assert [one.id for one in runs] == [9, 2]
    assert [[one.id for one in level] for level in found] == [[6], [5], [4, 3], [1]]


def test_noise_is_read_from_few_boots_of_many_runs(db: Path) -> None:
    for index in range(5):
        write(db, {SWITCH: [1000.0]}, "mine", nodes=1000 if index else 1)
    number = write(db, SAME, "mine")
    with open_history(db) as history:
        (level,) = history.other_levels(history.run(number), [])
    assert [one.id for one in level] == [5, 4, 3]


def test_the_latest_of_each_suite_and_of_each_way_of_booting(db: Path) -> None:
    uefi = environment(boot="uefi")
    write(db, SAME, session="s1")
    write(db, SAME, session="s2", suite="boot")
    write(db, SAME, session="s3", suite="boot")
    write(db, SAME, session="s3", suite="boot", environment=uefi)
    write(db, SAME, session="s3", suite="boot", environment=uefi, status="error")
    with open_history(db) as history:
        assert [found.id for found in history.latest()] == [1, 3, 5]
        assert [found.id for found in history.latest(good=True)] == [1, 3, 4]


def test_the_series_of_a_metric_is_of_comparable_runs(db: Path) -> None:
    for index in range(5):
        write(db, {SWITCH: [1000.0 + index, 1010.0 + index]}, f"k{index}")
    two = {SWITCH: [1000.0, 1000.0]}
    write(db, {SWITCH: [1000.0]})  # of another number of nodes
    write(db, two, seed=2)
    write(db, two, status="failed")
    write(db, two, iterations=5)
    last = write(db, two)
    with open_history(db) as history:
        found = history.series(history.run(last), 3)
    assert found[SWITCH, "p50"] == [(4, 1008.0), (5, 1009.0), (last, 1000.0)]
    assert [value for _, value in found[SWITCH, "p99"]] == pytest.approx([1.2 * 1008.0, 1.2 * 1009.0, 1200.0])


def test_a_history_that_is_not_there(db: Path) -> None:
    with pytest.raises(HistoryError, match="nothing has been measured yet"), open_history(db):
        pass
    code, words = told(db)
    assert (code, "doit test" in words, db.exists()) == (2, True, False)


def test_a_run_that_no_history_can_have(db: Path) -> None:
    write(db, SAME)
    with open_history(db) as history, pytest.raises(UsageError, match="is not in the history"):
        history.run(10**30)
