"""The gate on real kernels: one boot each on the virtual clock, pairs of fresh boots on the wall clock."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project, rows

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.guest

QUICK, COSTLY = "arguments=init_on_alloc=0", "arguments=init_on_alloc=1"


def measured(
    project: Project, db: Path, *variables: str, limit: float = 120
) -> subprocess.CompletedProcess[str]:
    """One more run of the performance suite."""
    done = project.doit("performance", f"db={db}", *SMALL[:1], *variables, limit=limit)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_one_boot_each_tells_what_an_argument_costs(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    same = QUICK + " nothing.at_all=1"
    # of few samples p99 is whether a timer ticked, and that moves with the length of the command line
    one = ("nodes=1", "iterations=1000", "clock=virtual")
    measured(project, db, *one, QUICK)
    first = project.doit("gate", f"db={db}")
    assert (first.returncode, "no baseline yet" in first.stdout) == (0, True), first.stdout + first.stderr
    measured(project, db, *one, QUICK, "runs=2")
    again = project.doit("gate", f"db={db}")
    assert (again.returncode, again.stderr) == (0, ""), again.stdout + again.stderr
    measured(project, db, *one, same)
    equal = project.doit("gate", f"db={db}", "strict=yes")
    assert (equal.returncode, equal.stderr) == (0, ""), "another kernel that does the same" + equal.stdout
    assert rows(db, "select distinct run_id, outcome from verdicts") == [(3, "same")], equal.stdout
    measured(project, db, *one, COSTLY)
    slower = project.doit("gate", f"db={db}")
    assert slower.returncode == 1, slower.stdout + slower.stderr
    assert "memory_allocation.latency +" in slower.stderr
    assert "ai_inference.latency" not in slower.stderr
    outcomes = dict(rows(db, "select metric, outcome from verdicts where run_id = 4 and statistic = 'p50'"))
    assert outcomes["memory_allocation.latency"] == outcomes["throughput.rate"] == "worse"
    assert outcomes["ai_inference.latency"] == "same"
    assert project.doit("accept", f"db={db}", "run=4", "note=safer").returncode == 0
    assert project.doit("gate", f"db={db}").returncode == 0


def test_the_wall_clock_confirms_on_fresh_boots_of_both(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    wall = ("nodes=4", "iterations=300", "clock=wall", "cpus=1")
    measured(project, db, *wall, QUICK, "runs=2")
    # under emulation every change of page tables forgets all translations
    costly = QUICK + " pti=on"
    measured(project, db, *wall, costly)
    # one metric is looked into, which loses more than that: to be sure of noisy ones too takes twice as many boots
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("update metrics set minimum_effect = iif(name = 'throughput.rate', 2, 1000)")
    blind = project.doit("gate", f"db={db}", *wall, SMALL[0], QUICK)
    assert blind.returncode == 0, blind.stdout + blind.stderr
    assert "the settings are not those of run 3" in blind.stdout
    done = project.doit("gate", f"db={db}", *wall, SMALL[0], costly, limit=240)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pairs of fresh boots of both kernels" in done.stdout
    assert "throughput.rate -" in done.stderr
    newest = rows(
        db,
        """select outcome, confirmed, n, k, q <= 0.05, method from verdicts
           where metric = 'throughput.rate' and statistic = 'p50' order by id desc limit 1""",
    )
    assert newest == [("worse", 1, 8, 4, 1, newest[0][5])]
    assert "sign-flip on pairs" in newest[0][5]
    kept = list((project.folder / "target/testing/artifacts/kernels").glob("*/*.json"))
    assert len(kept) >= 2


def test_the_self_check_counts_no_alarm_where_there_is_none(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    done = project.doit("selfcheck", f"db={db}", "nodes=1", "count=2", "clock=virtual", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "selfcheck: 0 false alarms in 21 verdicts of 2 runs (0.00%)" in done.stdout
    notes = rows(db, "select metric, text from annotations where kind = 'selfcheck' and run_id = 2")
    assert len(notes) == 7
    assert {text.split(":")[0] for _, text in notes} == {"0 false alarms in 3 verdicts; noise of a boot"}
    assert all("p50 0.000%, p95 0.000%, p99 0.000%; virtual clock" in text for _, text in notes)
