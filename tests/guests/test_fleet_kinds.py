"""What a worker needs more for than an image and a guest: modules, a partition, somebody's function, a package."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from fleet_processes import fleet
from guest_project import DODO, SMALL, Project, rows
from test_console_suites import ALONE
from test_console_suites import make as make_mini

from sistasks import build_records
from sistasks.kernels import Kernel
from sistasks.settings import resolve
from sistasks.suites.security import static

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_processes import Fleet

    from sistasks.suites.recipe import Recipe

pytestmark = pytest.mark.guest
pytest.importorskip("distributed")

ACTING = """
import helping

from sistasks.extend import Metric, suite


async def outage(nodes):
    nodes.kill(helping.FIRST)
    return helping.count([await nodes.done(number) for number in nodes.numbers])


suite("outage", tests=["context_switch"], act=outage)
survivors = Metric(name="outage.survivors", unit="nodes", better="higher", description="nodes that go on")
suite("another", tests=["throughput"], metrics=[survivors])
"""
HELPING = """
FIRST = 1

def count(survivors):
    return {"survivors": [len(survivors)]}
"""
STEADY = """
from sistasks.extend import suite


async def held(nodes):
    return {"nodes": nodes.numbers}


made = suite("steady", tests=["context_switch"], act=held)
"""


class Acting(Project):
    """A project whose dodo.py is called otherwise, so that it lies beside another one."""

    def command(self, *arguments: str) -> list[str]:
        return super().command("-f", "acting.py", *arguments)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of one worker, which knows no project's folder."""
    with fleet(tmp_path_factory.mktemp("fleet"), "one") as made:
        yield made


def worked(project: Project, fleet: Fleet, suite: str, *asked: str) -> int:
    """Have a worker run a suite; to here that is the very run that would be done here.

    Returns:
        The run's number.
    """
    done = project.doit(suite, *asked, f"cluster={fleet.address}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{suite} run 1: from worker one" in done.stdout
    query = f"select id from runs where suite = '{suite}' order by id"  # noqa: S608 - our own name
    runs = rows(project.folder / "results.db", query)
    # kernel, guest, environment and suite are the same ones, so that nothing is left to do
    here = project.doit(suite, *asked)
    assert here.returncode == 0, here.stdout + here.stderr
    assert rows(project.folder / "results.db", query) == runs
    number: int = runs[-1][0]
    return number


def test_security_of_a_kernel_with_modules(project: Project, one: Fleet) -> None:
    run = worked(project, one, "security", "memory=128M", "nodes=1", "episodes=2", "seed=4301")
    settings = resolve({"output": str(project.folder / "target/testing")}, {}, project.folder / "none.toml")
    kernel = Kernel.from_json(build_records.kernel_record(settings).read_text())
    assert kernel.modules is not None
    recipe = cast("Recipe", SimpleNamespace(kernel=kernel, settings=settings))
    here = {seen.rule: seen.evidence for found in static.assess(recipe).values() for seen in found}
    assert "were looked at" in here["image.modules_signed"]
    # to the letter, although their files lie only here
    query = f"select rule, evidence from findings where run_id = {run}"  # noqa: S608 - our own number
    there = dict(rows(project.folder / "results.db", query))
    assert {rule: there[rule] for rule in here} == here


def test_a_kernel_that_boots_from_a_partition(one: Fleet, tmp_path: Path) -> None:
    worked(make_mini(tmp_path), one, "performance", *ALONE, "arch=x86_64")


def test_a_function_that_acts_on_nodes(project: Project, one: Fleet) -> None:
    (project.folder / "acting.py").write_text(DODO + ACTING)
    (project.folder / "helping.py").write_text(HELPING)
    mine = Acting(project.folder)
    run = worked(mine, one, "outage", *SMALL, "nodes=2")
    query = f"select mean from summaries where metric = 'outage.survivors' and run_id = {run}"  # noqa: S608 - our own number
    db = project.folder / "results.db"
    assert rows(db, query) == [(1.0,)]
    # as another suite describes it, which that worker has not heard of
    assert rows(db, "select unit from metrics where name = 'outage.survivors'") == [("nodes",)]


def test_a_worker_without_an_installed_package_is_left_out(
    project: Project, one: Fleet, tmp_path: Path
) -> None:
    installed = tmp_path / "lib/site-packages"
    info = installed / "steady-1.0.dist-info"
    info.mkdir(parents=True)
    (installed / "steady.py").write_text(STEADY)
    (info / "METADATA").write_text("Name: steady\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sistasks.suites]\nsteady = steady:made\n")
    path = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    done = project.doit("steady", *SMALL, "nodes=1", f"cluster={one.address}", PYTHONPATH=path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "is left out: held cannot be had here: No module named 'steady'" in done.stdout
    assert f"no worker of {one.address} can run the suite steady" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
