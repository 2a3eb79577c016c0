"""The action's steps, run as GitHub's runner runs them: a first job, and one that finds its history."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from actions import Runner
from guest_project import DODO, rows

if TYPE_CHECKING:
    from pathlib import Path

    from guest_project import Project

pytestmark = pytest.mark.guest

INSTALLED = ("actions/setup-python@v5", "Install sistasks")
SMALL = "memory=128M iterations=10 accel=tcg"
# what a kernel's repository has; -a makes all anew, and what the project of these tests has made may serve here
DOIT = """#!/bin/sh
[ "$1" = -a ] && shift
exec {python} -m doit "$@"
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "doit").write_text(DOIT.format(python=sys.executable))
    (programs / "doit").chmod(0o755)
    return Runner(tmp_path, programs)


def workspace(project: Project, place: Path) -> Path:
    """A fresh clone of a kernel's repository, on a machine that has fetched and frozen what it needs."""
    place.mkdir()
    (place / "dodo.py").write_text(DODO)
    for name in ("build", "templates"):
        shutil.copytree(project.folder / "target/testing" / name, place / "target/testing" / name)
    return place


def test_a_job_measures_and_the_next_one_knows_of_it(
    project: Project, runner: Runner, tmp_path: Path
) -> None:
    first = workspace(project, tmp_path / "first")
    code = runner.job(first, 1, INSTALLED, suites="\nperformance nodes=1\n", variables=SMALL)
    assert code == 0, runner.said
    assert "no history yet" in runner.said["Merge the history"]
    assert "has no baseline yet" in runner.said["Gate"]
    assert "## sistasks" in (tmp_path / "temp-1/summary.md").read_text()
    assert runner.uploaded == [
        "results.db", "target/testing/junit.xml", "target/testing/orchestrator/", "target/testing/qemu/logs/",
        "target/testing/qemu/results/",
    ]  # fmt: skip
    # somebody takes the run as the new normal; the kernel is as it was, and not measured again
    second = workspace(project, tmp_path / "second")
    code = runner.job(second, 2, INSTALLED, suites="", variables=SMALL, accept="1", note="it's safer $so")
    assert code == 0, runner.said
    assert "1 run came from" in runner.said["Merge the history"]
    assert "was accepted as the new normal" in runner.said["Gate"]
    assert "1 was there already" in runner.said["Put this run into the history"]
    saved = runner.cache["sistasks-history-2-1"]
    assert rows(saved / "results.db", "select id, suite, status from runs") == [(1, "performance", "ok")]
    assert rows(saved / "results.db", "select text from annotations where kind = 'accept'") == [
        ("it's safer $so",)
    ]
    assert list((saved / "artifacts/kernels").glob("*/*.json"))
    # what cannot be is told with its exit code; the gate has its say on what was there, and the history stays whole
    bad = workspace(project, tmp_path / "third")
    assert (
        runner.job(bad, 3, INSTALLED, suites="performance nodes=0\nperformance nodes=-1", variables=SMALL)
        == 3
    )
    assert "nodes=0" in runner.said["Run the suites"]
    assert "nodes=-1" in runner.said["Run the suites"]
    assert rows(runner.cache["sistasks-history-3-1"] / "results.db", "select count(*) from runs") == [(1,)]
