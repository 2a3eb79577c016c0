"""More machines than the host has processors: everything comes late, and still comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL

from sistasks.cluster.nodes import Cluster
from sistasks.guest.plan import Plan
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from guest_project import Project

pytestmark = pytest.mark.guest
NODES = 8


class Silent:
    def started(self, number: int, pid: int) -> None:
        pass

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        pass


def test_many_cold_boots_at_once_all_get_their_results_line(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy host the virtio port comes long after its driver: the agent waits for it."""
    monkeypatch.chdir(project.folder)  # its records name files from there
    variables = dict(item.split("=") for item in SMALL)
    settings = resolve(
        {**variables, "clock": "wall", "output": project.folder / "target/testing"}, {}, tmp_path / "none"
    )
    recipe = Recipe.load(settings)
    assert recipe.machine.results_line == "virtio"
    cluster = Cluster(
        machine=recipe.machine,
        template=None,
        logs=tmp_path / "logs",
        scratch=tmp_path / "scratch",
        session="20260101T000000-1",
        slots=NODES,
        timeout=120,
    )
    plans = [Plan(node=number, seed=number) for number in range(1, NODES + 1)]
    reports = asyncio.run(cluster.run(plans, Silent()))
    assert [report.error for report in reports] == [None] * NODES
    assert {report.results.hello["channel"].rstrip("0123456789p") for report in reports} == {"/dev/vport"}
