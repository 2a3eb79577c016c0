"""Kernels under load: what is measured, and what goes wrong with a kernel, or is planted, is noticed by name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from guest_project import Project, rows

from sistasks.cluster.nodes import Cluster
from sistasks.guest.load import Load
from sistasks.guest.plan import Plan
from sistasks.layout import Layout
from sistasks.machine import template as templates
from sistasks.settings import resolve
from sistasks.suites.recipe import recipes
from sistasks.suites.stress.table import CLASSES, METRICS, STRESSORS
from sistasks.suites.suite import STRESS

if TYPE_CHECKING:
    from pathlib import Path

    from sistasks.cluster.nodes import NodeReport

pytestmark = pytest.mark.guest

WORDS = ("memory=128M", "nodes=2", f"duration={len(CLASSES)}", "db=stress.db")
OWN = {"cpu", "scheduler", "memory", "vm", "filesystem", "timers", "signals"}


class Nobody:
    def stage(self, number: int, stage: str, detail: str = "") -> None:
        pass

    def started(self, number: int, pid: int) -> None:
        pass


@pytest.fixture(scope="module")
def stressed(project: Project) -> Project:
    """The project after a run of everything."""
    done = project.doit("stress", *WORDS, limit=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_every_class_is_measured_on_every_node(stressed: Project) -> None:
    db = stressed.folder / "stress.db"
    found = rows(db, "select node, test, status, message from results")
    assert {(node, test) for node, test, _, _ in found} == {
        (node, f"stress_{name}") for node in (1, 2) for name in CLASSES
    }
    assert {status for _, _, status, _ in found} == {"pass"}, found
    metrics = {name for (name,) in rows(db, "select distinct metric from summaries")}
    assert {f"stress_{name}.{metric}" for name in CLASSES for metric in METRICS} <= metrics
    assert {"stress_network.rate.udp", "stress_network.rate.tcp"} <= metrics
    assert "stress_memory.rate.swap" in metrics, "the distribution's kernel has zram as a module"
    assert not any("swap" in message for *_, message in found), found
    of_stressors = {f"stress_{name}.rate.{one}" for name, own in STRESSORS.items() for one in own}
    assert len(of_stressors & metrics) > len(of_stressors) / 2, "a slow host does not see a round of each"
    better = dict(rows(db, "select name, better from metrics"))
    assert {name: better[name] for name in ("stress_cpu.latency", "stress_cpu.rate.cpu")} == {
        "stress_cpu.latency": "lower", "stress_cpu.rate.cpu": "higher",
    }  # fmt: skip
    assert not any(name.endswith(".rate") for name in metrics), "unlike operations have no sum"
    assert rows(db, "select clock from environments") == [("wall",)]
    counts = rows(db, "select count from summaries where metric = 'stress_cpu.latency'")
    assert min(count for (count,) in counts) > 20, "the probe went on under load"
    assert "up to date" in stressed.doit("stress", *WORDS).stdout


def run(project: Project, folder: Path, *plans: Plan) -> list[NodeReport]:
    """Nodes of the project's stress suite with plans of the test's own; each for itself."""
    variables = {"output": str(project.folder / "target/testing"), "memory": "128M"}
    (recipe,) = recipes(STRESS, resolve(variables, environ={}, pyproject=folder / "none"))
    template = templates.load(Layout(recipe.settings.output).templates, recipe.template_key())
    assert template is not None, "the project has frozen it"
    cluster = Cluster(
        machine=recipe.machine, template=template, logs=folder / "logs", scratch=folder / "scratch",
        session="stress", slots=2, timeout=200,
    )  # fmt: skip
    return asyncio.run(cluster.run(plans, Nobody()))


def plan(node: int, load: Load) -> Plan:
    tests = tuple(f"stress_{name}" for name in load.seconds)
    return Plan(node=node, seed=node, tests=tests, prints=tests, load=load)


def outcomes(report: NodeReport) -> dict[str, tuple[str, str]]:
    assert report.error is None, report.error
    return {test.name.removeprefix("stress_"): (test.status, test.message) for test in report.results.tests}


def test_what_goes_wrong_is_noticed_by_name(stressed: Project, tmp_path: Path) -> None:
    brief = dict.fromkeys(sorted(OWN), 0.2)
    flipped, leaking, greedy, lacking = run(
        stressed,
        tmp_path,
        plan(1, Load(seconds=brief, own=True, plant="flip")),
        plan(2, Load(seconds={"cpu": 0.2}, own=True, plant="leak", settle=1.0)),
        plan(3, Load(seconds={"vm": 2.0, "cpu": 1.0},
                     stressors={"vm": ("bigheap --bigheap 1 --bigheap-growth 4M",), "cpu": ("cpu --cpu 1",)})),
        plan(4, Load(seconds={"cpu": 1.0, "timers": 1.0, "network": 1.0},
                     stressors={"cpu": ("cpu --cpu 1", "warp --warp 1"), "timers": ("warp --warp 1",)},
                     skipped={"network": "one node has no neighbour"})),
    )  # fmt: skip
    for name, (status, message) in outcomes(flipped).items():
        assert (status, message.partition(":")[0]) == ("fail", "corrupted"), (name, message)
    status, message = outcomes(leaking)["cpu"]
    assert (status, message.partition(" s after")[0]) == ("fail", "1 processes left 1")
    assert "init, process " in message
    assert "stress_cpu.recovery" not in leaking.results.samples
    status, message = outcomes(greedy)["vm"]
    assert status == "pass", message
    assert "out of memory: the kernel killed " in message
    assert outcomes(greedy)["cpu"] == ("pass", "")
    assert greedy.crashes == ()
    assert outcomes(lacking) == {
        "cpu": ("pass", "skipped: warp (this stress-ng does not have it)"),
        "timers": ("skip", "skipped: warp (this stress-ng does not have it)"),
        "network": ("skip", "one node has no neighbour"),
    }
