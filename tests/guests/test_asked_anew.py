"""Which variables make a run of a suite another one, so that `up to date` is not said of what has not been done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sistasks.settings import resolve
from sistasks.suites.recipe import recipes
from sistasks.suites.suite import PENETRATION, SECURITY, STRESS

if TYPE_CHECKING:
    from guest_project import Project

    from sistasks.suites.suite import Suite

pytestmark = pytest.mark.guest


def inputs(project: Project, suite: Suite, **variables: str) -> str:
    given = {"output": str(project.folder / "target/testing"), "nodes": "2", "stress_ng": "none", **variables}
    (recipe,) = recipes(suite, resolve(given, environ={}, pyproject=Path("/nonexistent")))
    return recipe.inputs_sha256(suite)


@pytest.mark.parametrize("suite", [SECURITY, PENETRATION, STRESS], ids=lambda suite: suite.name)
def test_another_seed_and_another_number_of_nodes_are_another_run(project: Project, suite: Suite) -> None:
    if suite is STRESS:
        done = project.doit("_stressors", "stress_ng=none")
        assert done.returncode == 0, done.stdout + done.stderr
    usual = inputs(project, suite)
    assert inputs(project, suite, seed="1") == usual
    assert len({usual, inputs(project, suite, seed="7"), inputs(project, suite, nodes="3")}) == 3
