"""What an agent brings beside its samples: traces, symbols, and the word that it hangs."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project, rows

from sistasks.cluster.nodes import Cluster, NodeReport
from sistasks.errors import KernelFailure
from sistasks.guest.plan import Plan
from sistasks.layout import Layout
from sistasks.machine import template as templates
from sistasks.machine.symbols import symbols
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.machine.template import Template

pytestmark = pytest.mark.guest


class Nobody:
    def stage(self, number: int, stage: str, detail: str = "") -> None:
        pass

    def started(self, number: int, pid: int) -> None:
        pass


@dataclass(frozen=True)
class Small:
    """The project's machine and its template."""

    recipe: Recipe
    template: Template
    folder: Path

    def run(self, *plans: Plan) -> list[NodeReport]:
        cluster = Cluster(
            machine=self.recipe.machine, template=self.template, logs=self.folder / "logs",
            scratch=self.folder / "scratch", session="traces", slots=2, timeout=100,
        )  # fmt: skip
        return asyncio.run(cluster.run(plans, Nobody()))


@pytest.fixture
def small(project: Project, tmp_path: Path) -> Small:
    output = project.folder / "target/testing"
    variables = {"output": str(output)} | dict(word.split("=") for word in SMALL)
    recipe = Recipe.load(resolve(variables, environ={}, pyproject=tmp_path / "none"))
    template = templates.load(Layout(output).templates, recipe.template_key())
    assert template is not None, "the project has frozen it"
    return Small(recipe, template, tmp_path)


def test_a_trace_repeats_to_the_bit_and_its_names_are_the_kernels(small: Small) -> None:
    asked = Plan(
        node=1, seed=2, tests=("boot", "context_switch"), iterations=20, aligned=True, trace="yes",
        trace_room=1 << 19,
    )  # fmt: skip
    contents = []
    for _ in range(2):
        (report,) = small.run(asked)
        assert report.error is None
        assert report.results.notes == []
        assert {(one.kind, one.name) for one in report.evidence} == {
            ("traces", "node_1.boot.trace.txt"), ("traces", "node_1.context_switch.trace.txt"),
        }  # fmt: skip
        contents.append([one.path.read_text() for one in report.evidence])
    assert contents[0] == contents[1], "time stamps and all"
    trace = contents[0][1]
    assert trace.startswith("# tracer: function\n")
    traced = set(re.findall(r": (\w+) <-\w+$", trace, re.MULTILINE))
    assert {"schedule", "vfs_write"} < traced
    table = asyncio.run(
        symbols(small.template, small.recipe.machine, scratch=small.folder / "symbols", session="traces")
    )
    known = {line.split()[2].partition(".")[0] for line in table.read_text().splitlines()}
    assert traced - known == set()
    assert re.fullmatch(r"0x[0-9a-f]+ [0-9a-f]+\n", table.with_name("vmcoreinfo").read_text())
    assert list((small.folder / "symbols").glob("*")) == []


def test_a_guest_that_hangs_is_told_by_its_test_and_the_others_go_on(small: Small) -> None:
    # the first ends at once; so many switches take a second, and what comes before them a tenth of one
    tests = ("no_such_test", "context_switch")
    plans = [
        Plan(node=1, seed=2, tests=tests, iterations=90_000, aligned=True, beat=0.3),
        Plan(node=2, seed=3, tests=tests, iterations=10, aligned=True, beat=900.0),
    ]
    hanging, fine = small.run(*plans)
    assert isinstance(hanging.error, KernelFailure)
    assert hanging.error.kind == "hang"
    assert hanging.error.problem.startswith("node 1: the agent stopped beating in the test context_switch")
    assert fine.error is None
    assert len(fine.results.samples["context_switch.latency"]) == 10


def test_a_traced_run_is_another_measurement(project: Project) -> None:
    for trace in ("no", "events"):
        words = ("performance", *SMALL, "nodes=1", f"trace={trace}", "db=traces.db")
        done = project.doit(*words, limit=200)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(set(rows(project.folder / "traces.db", "select environment_id from runs"))) == 2
