"""What the self-check of a fleet says of runs that workers gave, from histories alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import history_records as records
from judged import SWITCH, told, write

from sistasks.fleet.records import Survey
from sistasks.fleet_check_steps import Member, compare
from sistasks.history.connection import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.settings import Settings
    from sistasks.terminal import Terminal

OLD, NEW = "7.2.22 (Debian 1)", "10.0.2"


def member(name: str, qemu: str = OLD) -> Member:
    survey = Survey(
        accelerator="tcg", qemu_version=qemu, host_cpu="a CPU", host_cores=2, memory=1 << 30, clock="virtual",
        inputs=("i",), environments=("e",), enforces=(False,),
    )  # fmt: skip
    return Member(name, f"{name} (tcp://{name}:1)", survey)


def history(folder: Path, *runs: tuple[str, float, dict[str, Any]]) -> tuple[Path, list[tuple[int, str]]]:
    """A history, and which of its runs came from whom: worker, what it measured, and its environment."""
    db = folder / "results.db"
    prepare(db)
    came = []
    for worker, value, environment in runs:
        number = write(db, {SWITCH: [value]}, environment=records.environment(**environment))
        came.append((number, worker))
    return db, came


def checked(db: Path, came: list[tuple[int, str]], *members: Member) -> tuple[int, str]:
    """Exit code, and what was said."""

    def step(settings: Settings, terminal: Terminal) -> None:
        wrong = compare(came, {one.short: one for one in members}, settings, terminal)
        if wrong is not None:
            raise wrong

    return told(db, step)


def test_without_a_majority_all_are_named(tmp_path: Path) -> None:
    db, came = history(tmp_path, ("a", 100.0, {}), ("b", 200.0, {}))
    code, said = checked(db, came, member("a"), member("b"))
    assert code == 2
    assert "sample 1: 200 ns, and there 100 ns" in said
    name = records.environment().id[:12]
    assert said.endswith(
        f"workers a (tcp://a:1), b (tcp://b:1) of environment {name} contradict each other, and most do not agree on "
        "anything; compare runs 1-2 with no others, and see what QEMU is there"
    )


def test_a_worker_that_does_not_repeat_its_own_runs_is_named(tmp_path: Path) -> None:
    db, came = history(tmp_path, ("a", 100.0, {}), ("a", 200.0, {}))
    code, said = checked(db, came, member("a"))
    assert code == 2
    assert "not even identical to each other" in said
    assert said.endswith(
        "worker a (tcp://a:1) does not repeat its own runs to the bit; compare runs 1-2 with no others, and see what "
        "QEMU is there"
    )


def test_other_environments_are_not_compared_and_who_gave_nothing_is_in_the_table(tmp_path: Path) -> None:
    db, came = history(
        tmp_path, ("a", 100.0, {}), ("b", 100.0, {}), ("c", 900.0, {"qemu_version": NEW}),
    )  # fmt: skip
    code, said = checked(db, came, member("a"), member("b"), member("c", NEW), member("d"))
    assert code == 0, said
    other = records.environment(qemu_version=NEW).id[:12]
    assert (
        f"environment {other}: worker c (tcp://c:1) alone has it: run 3 is compared with none\n"
        "runs of different environments are never compared\n" in said
    )
    assert "2 runs on 2 workers are identical to the bit, virtual clock: 2 series, 4 samples compared" in said
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert lines["a"].endswith("identical to b")
    assert " 10.0.2 " in lines["c"]
    assert " 7.2.22 " in lines["a"]
    assert lines["d"].endswith("no good run came from it")


def test_on_the_wall_clock_runs_of_one_environment_are_judged(tmp_path: Path) -> None:
    wall = {"clock": "wall", "host_cpu": "a CPU", "host_cores": 2}
    other = wall | {"host_cpu": "another CPU"}
    db, came = history(
        tmp_path, ("a", 100.0, wall), ("b", 101.0, wall), ("a", 102.0, wall), ("c", 500.0, other), ("c", 501.0, other),
    )  # fmt: skip
    code, said = checked(db, came, member("a"), member("b"), member("c"))
    assert code == 0, said
    ours, theirs = (records.environment(**one).id[:12] for one in (wall, other))
    assert (
        f"\nenvironment {ours}: {SWITCH}: 0 false alarms in 6 verdicts; noise of a boot: p50 0.990%" in said
    )
    assert f"selfcheck: environment {ours}: 0 false alarms in 6 verdicts of 3 runs (0.00%)" in said
    assert f"selfcheck: environment {theirs}: 0 false alarms in 3 verdicts of 2 runs (0.00%)" in said
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert lines["a"].endswith("judged with b")
    assert lines["c"].endswith("judged with each other")
