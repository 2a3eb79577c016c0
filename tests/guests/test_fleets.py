"""Suites on workers of Dask: real schedulers, real workers, real nodes; some of them are killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fleet_processes import fleet
from guest_project import SMALL, Project, environment, rows
from running import running

import sistasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fleet_processes import Fleet

pytestmark = pytest.mark.guest
pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def fleet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What workers of the same name keep from test to test, as they would from day to day."""
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture
def two(fleet_folder: Path) -> Iterator[Fleet]:
    with fleet(fleet_folder, "one", "two") as made:
        yield made


def asked(fleet: Fleet, seed: int, runs: int) -> tuple[str, ...]:
    """A command whose runs are of no other test: that is the seed's part."""
    return ("performance", *SMALL, "nodes=1", f"seed={seed}", f"runs={runs}", f"cluster={fleet.address}")


def of_seed(project: Project, seed: int, columns: str) -> list[tuple[Any, ...]]:
    query = f"select {columns} from runs where seed = {seed} and status = 'ok' order by id"  # noqa: S608 - our own numbers and names
    return rows(project.folder / "results.db", query)


def samples(project: Project, run: int) -> list[tuple[Any, ...]]:
    query = f"select node, metric, count, encoding, data from samples where run_id = {run} order by 1, 2"  # noqa: S608 - our own number
    return rows(project.folder / "results.db", query)


def test_runs_of_workers_are_those_of_here_and_are_not_done_again(project: Project, two: Fleet) -> None:
    done = project.doit(*asked(two, 4101, 2))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "performance: 2 runs on 2 workers of" in done.stdout
    found = [run for (run,) in of_seed(project, 4101, "id")]
    assert len(found) == 2
    where = f"SELECT text FROM annotations WHERE kind = 'worker' AND run_id IN ({found[0]}, {found[1]})"  # noqa: S608 - our own numbers
    assert {text.split()[0] for (text,) in rows(project.folder / "results.db", where)} <= {"one", "two"}
    assert len(rows(project.folder / "results.db", where)) == 2
    # whoever looks for it has the log of each run
    logs = rows(project.folder / "results.db", "select run_id, path from artifacts where kind = 'logs'")
    for run in found:
        for path in [path for run_id, path in logs if run_id == run]:
            assert (project.folder / "target/testing/artifacts" / path).stat().st_size > 0
    again = project.doit(*asked(two, 4101, 2))
    assert again.returncode == 0
    assert [run for (run,) in of_seed(project, 4101, "id")] == found
    # and here, where the same inputs give the same samples to the bit
    here = project.doit("performance", *SMALL, "nodes=1", "seed=4101", "runs=3")
    assert here.returncode == 0, here.stdout + here.stderr
    inputs = of_seed(project, 4101, "id, inputs_sha256, environment_id, kernel_id")
    assert len(inputs) == 3
    assert len({row[1:] for row in inputs}) == 1
    first, *others = [samples(project, row[0]) for row in inputs]
    assert first
    assert others == [first, first]


def test_runs_of_a_worker_that_is_killed_are_done_elsewhere_and_recorded_once(
    project: Project, two: Fleet
) -> None:
    with running(project, project.command(*asked(two, 4102, 6))) as session:
        session.until("run 1: from worker")
        two.workers["one"].kill()
        assert session.end() == 0, session.said
    assert session.said.count("from worker one") < 6
    runs = of_seed(project, 4102, "started_at, message")
    assert len(runs) == 6, session.said
    assert len(set(runs)) == 6


def test_a_session_whose_scheduler_is_lost_says_so_and_the_next_one_goes_on(
    project: Project, fleet_folder: Path
) -> None:
    with fleet(fleet_folder, "one") as first:
        with running(project, project.command(*asked(first, 4103, 5))) as session:
            session.until("from worker one")
            first.scheduler.kill()
            assert session.end() == 2, session.said
        assert f"the scheduler {first.address} is lost; runs that had ended are kept" in session.said
        assert "Traceback" not in session.said
    kept = len(of_seed(project, 4103, "id"))
    assert 1 <= kept < 5
    with fleet(fleet_folder, "one") as second:
        done = project.doit(*asked(second, 4103, 5))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{5 - kept} run" in done.stdout
    assert len(of_seed(project, 4103, "id")) == 5


def test_workers_that_cannot_are_left_out_by_name(
    project: Project, fleet_folder: Path, tmp_path: Path
) -> None:
    home = Path(sistasks.__file__).parent
    shutil.copytree(home, tmp_path / "sistasks", ignore=shutil.ignore_patterns("__pycache__"))
    init = tmp_path / "sistasks/__init__.py"
    init.write_text(init.read_text().replace(sistasks.__version__, "0.0.9"))
    for part in ("firmware", "templates"):
        shutil.copytree(home.parent / part, tmp_path / part)
    with fleet(fleet_folder) as made:
        made.work("older", PYTHONPATH=str(tmp_path))
        made.work("bare", SIS_QEMU_PATH="/nowhere/qemu")
        (tmp_path / "full").write_text("a file where a folder should be")
        made.work("full", SIS_FLEET_CACHE=str(tmp_path / "full"))
        nobody = project.doit(*asked(made, 4104, 1))
        assert nobody.returncode == 2
        assert "worker older (tcp://127.0.0.1:" in nobody.stdout
        assert "is left out: it has sistasks 0.0.9 (" in nobody.stdout
        assert "worker bare (tcp://127.0.0.1:" in nobody.stdout
        assert "QEMU '/nowhere/qemu' does not exist" in nobody.stdout
        assert f"{tmp_path / 'full'} cannot be written: Not a directory" in nobody.stdout
        assert f"no worker of {made.address} can run the suite performance; " in nobody.stderr
        assert "Traceback" not in nobody.stdout + nobody.stderr
        made.work("one")
        done = project.doit(*asked(made, 4104, 1))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "from worker one" in done.stdout


SCRIPT = """
import io

from sistasks.api import Environment, QemuTestRunner, TestCase
from sistasks.bisection.search import Search
from sistasks.bisection.step import test
from sistasks.layout import Layout
from sistasks.terminal import Terminal

environment = Environment(cluster={address!r}, nodes=1, memory="128M", iterations=100)
with QemuTestRunner(environment) as runner:
    for seed in (4105, 4106):
        result = runner.execute(TestCase(id="far", suite="performance", variables=dict(seed=seed)))
        print(result.status, len(result.runs), len(result.artifacts) > 0)

settings = environment.settings
search = Search(
    variables=dict(), project=".", output="", kernel="debian", work="", suite="performance", good="a", bad="b",
    metric="throughput.rate",
)
with Terminal(settings, Layout(settings.output), io.StringIO()) as terminal:
    tested = test(search, settings, terminal)
print(tested.run - result.runs[0].id, tested.problem)
"""


def test_scripts_and_steps_of_bisections_have_workers_run_their_suites(project: Project, two: Fleet) -> None:
    script = SCRIPT.format(address=two.address)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project.folder, env=environment(), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["ok 1 True", "ok 1 True", "1 "]
    said = (project.folder / "target/testing/orchestrator/orchestrator.log").read_text()
    assert said.count("from worker") >= 3
