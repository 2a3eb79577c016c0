"""What was flagged of clusters is measured again on fresh clusters of both kernels."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from guest_project import Project, nodes_of

from sistasks.evidence import kernels
from sistasks.layout import Layout
from sistasks.settings import resolve
from sistasks.suites.confirm import measure_pairs
from sistasks.suites.recipe import recipes
from sistasks.suites.suite import SUITES
from sistasks.suites.trial import Trial
from sistasks.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest


def test_a_pair_is_two_fresh_clusters(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tmp_path / "results.db"
    asked = {"db": str(db), "nodes": "4", "memory": "128M", "iterations": "10"}
    known = [f"{name}={value}" for name, value in asked.items()]
    done = project.doit("distributed", *known, limit=180)
    assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(db)) as connection:
        ((kernel_id,),) = connection.execute("select kernel_id from runs")

    monkeypatch.chdir(project.folder)
    suite = SUITES["distributed"]
    # another kernel under test by its arguments; the same guest
    settings = resolve(asked | {"arguments": "nothing.at_all=1"}, {})
    (recipe,) = recipes(suite, settings)
    layout = Layout(settings.output)
    kept = kernels.find(layout.kept_kernels(settings.db), kernel_id, recipe.guest_sha256)
    assert kept is not None
    assert recipe.kernel_id != kernel_id
    with Terminal(settings, layout, io.StringIO()) as terminal:
        ((before, after),) = measure_pairs(recipe, suite, kept, Trial(1), terminal)
    assert before.keys() == after.keys()
    for values in (before, after):
        # the cluster's own, and the median over nodes of what each node measures itself
        assert values["consensus.messages", "p50"] >= 24_000
        assert 0 < values["consensus.latency", "p50"] <= values["consensus.latency", "p99"] < 60e9
        assert values["election.time", "p50"] > 0
    assert before["consensus.latency", "p50"] != after["consensus.latency", "p50"]
    assert nodes_of(project.folder) == []
    for number in range(1, 5):
        console = (layout.logs / "confirm" / f"node_{number}.log").read_text(errors="replace")
        assert "nothing.at_all=1" in console
