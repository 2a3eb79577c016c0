"""The distribution's stress-ng in a real node: it starts with the libraries that were packed beside it, and works."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project

from sistasks.cluster.nodes import Cluster
from sistasks.guest import programs
from sistasks.guest.plan import Plan
from sistasks.guest.programs import Program
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe
from sistasks.tools import find_compiler

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs a Debian-like system"),
]

# in the place of the program that is told to it: a dynamic one, which a user's own cannot be
LAUNCHER = r"""
#include <stdio.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    (void)count;
    execv("/stress/stress-ng", arguments);
    perror("/stress/stress-ng");
    return 1;
}
"""
ASKED = {
    "version": ("--version",),
    "work": ("--cpu", "1", "--cpu-method", "int32", "--cpu-ops", "5", "--verify", "--metrics"),
    "threads": ("--pthread", "1", "--pthread-ops", "5", "--verify"),
}


class Nobody:
    def stage(self, number: int, stage: str, detail: str = "") -> None:
        pass

    def started(self, number: int, pid: int) -> None:
        pass


def run(recipe: Recipe, folder: Path, wanted: tuple[Program, ...]) -> NodeReport:
    """One node that is booted for it, with stress-ng and these programs."""
    assert recipe.guest is not None
    archive = programs.archive(wanted, recipe.guest.arch, recipe.machine.memory)
    guest = programs.with_archive(recipe.guest, archive, folder)
    cluster = Cluster(
        machine=dataclasses.replace(recipe.machine, initramfs=guest.initramfs), template=None,
        logs=folder / "logs", scratch=folder / "scratch", session="stress-ng", slots=1, timeout=200,
    )  # fmt: skip
    plan = Plan(node=1, seed=1, tests=tuple(one.name for one in wanted), iterations=1, programs=wanted)
    (report,) = asyncio.run(cluster.run((plan,), Nobody()))
    return report


def test_it_starts_and_works(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = project.doit("_stressors", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.chdir(project.folder)
    words = dict(word.split("=") for word in SMALL) | {"clock": "wall"}
    settings = resolve(words, environ={}, pyproject=tmp_path / "none")
    recipe = Recipe.load(settings).with_stressors()
    recipe.verify()
    launcher = tmp_path / "launcher"
    (tmp_path / "launcher.c").write_text(LAUNCHER)
    compiler = find_compiler(ARCHES[settings.arch])
    subprocess.run([*compiler, "-static", "-o", launcher, f"{launcher}.c"], check=True)
    wanted = tuple(
        Program(name=name, path=os.fspath(launcher), arguments=words) for name, words in ASKED.items()
    )
    report = run(recipe, tmp_path, wanted)
    assert report.error is None
    assert [(one.name, one.status, one.message) for one in report.results.tests] == [
        (name, "pass", "") for name in ASKED
    ]
    said = (tmp_path / "logs/node_1.log").read_text()
    assert "version: stress-ng, version" in said
    assert "work: stress-ng: info:" in said
    assert "successful run completed" in said.partition("threads: stress-ng")[2]
