"""Architectures that are not this machine's own: real kernels, both clocks, equal samples from fresh templates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guest_project import SMALL, Project, rows

from sistasks import tools
from sistasks.history.profiles import profiles_of
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.settings import resolve

if TYPE_CHECKING:
    from sistasks.machine.arch import Arch

pytestmark = pytest.mark.guest

FOREIGN = [arch for arch in ARCHES.values() if arch.name != host_arch()]
# what the kernel step says where the mirror, or the network, has none
NO_KERNEL = ("cannot be fetched", "is not in this release")


def samples(db: Path) -> dict[tuple[int, str], bytes]:
    found = rows(db, "select node, metric, count, encoding, data from samples order by node, metric")
    # those with a slash are of what was counted
    return {
        (node, metric): f"{count} {encoding} ".encode() + data
        for node, metric, count, encoding, data in found
        if "/" not in metric
    }


@pytest.fixture(scope="module", params=FOREIGN, ids=lambda arch: str(arch.name))
def ready(request: pytest.FixtureRequest, apart: Project) -> tuple[Project, Arch]:
    """The project, with a guest for an architecture of which this machine has all that it takes."""
    arch: Arch = request.param
    settings = resolve({"arch": arch.name}, environ={}, pyproject=Path("/nonexistent"))
    for part in tools.missing(arch, settings):
        pytest.skip(part.error.problem)
    done = apart.doit("guest", f"arch={arch.name}", *SMALL, limit=200)
    if done.returncode == 2 and any(words in done.stderr for words in NO_KERNEL):
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stdout + done.stderr
    return apart, arch


def run(project: Project, arch: Arch, db: Path, clock: str, *more: str) -> str:
    """The performance suite on clones; what was said."""
    words = ("performance", "nodes=2", f"arch={arch.name}", f"clock={clock}", f"db={db}", *SMALL, *more)
    done = project.doit(*words, limit=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8 tests passed" in done.stdout
    return done.stdout


def test_virtual_runs_repeat_to_the_bit(ready: tuple[Project, Arch], tmp_path: Path) -> None:
    project, arch = ready
    dbs = [tmp_path / "first.db", tmp_path / "second.db"]
    run(project, arch, dbs[0], "virtual")
    shutil.rmtree(project.folder / "target/testing/templates")
    # counting moves nothing
    assert "template: frozen" in run(project, arch, dbs[1], "virtual", "profile=yes")
    first, second = map(samples, dbs)
    assert len(first) == 2 * 7
    assert first == second
    latency = "ai_inference.latency"
    assert first[1, latency] != first[2, latency], (
        "another plan gives other samples: what is equal is no accident"
    )
    assert rows(dbs[0], "select arch, clock from environments") == [(arch.name, "virtual")]
    counted = {(one.node, one.phase): one.functions for one in profiles_of(dbs[1], 1)}
    assert len(counted) == 2 * 5
    found = counted[1, "context_switch"]
    assert {"pipe_write", "pipe_read", "__schedule", "user:test_context_switch"} <= {*found.names}
    of_nobody = [
        count
        for name, count in zip(found.names, found.instructions.tolist(), strict=True)
        if name.endswith("?")
    ]
    assert sum(of_nobody) < 0.05 * found.total("instructions")


def test_clones_measure_on_the_wall_clock(ready: tuple[Project, Arch], tmp_path: Path) -> None:
    project, arch = ready
    db = tmp_path / "results.db"
    run(project, arch, db, "wall")
    found = rows(db, "select metric, min(min) from summaries group by metric")
    assert len(found) == 7
    assert all(value > 0 for metric, value in found if not metric.endswith("fragmentation"))


def test_stages_of_a_cold_boot(ready: tuple[Project, Arch], tmp_path: Path) -> None:
    project, arch = ready
    if arch.firmware_targets[0]:
        pytest.skip("its boot through firmware takes long, and that of the host's architecture is tested")
    db = tmp_path / "results.db"
    done = project.doit("boot", f"arch={arch.name}", f"db={db}", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    stages = dict(rows(db, "select metric, mean from summaries"))
    assert set(stages) == {"boot.firmware", "boot.kernel", "boot.userspace"}
    assert all(value > 0 for value in stages.values())


def test_each_in_turn_in_one_session(ready: tuple[Project, Arch], tmp_path: Path) -> None:
    project, arch = ready
    # the one before it has all that it takes, and most of it is made already
    other = FOREIGN[FOREIGN.index(arch) - 1]
    settings = resolve({"arch": other.name}, environ={}, pyproject=Path("/nonexistent"))
    if arch is not FOREIGN[1] or tools.missing(other, settings):
        pytest.skip("one pair is enough")
    words = (
        f"arch={other.name},{arch.name}",
        "nodes=2",
        "clock=virtual",
        f"db={tmp_path}/results.db",
        *SMALL,
    )
    done = project.doit("performance", *words, limit=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == [f"{other.name}: done", f"{arch.name}: done"]
    query = "select arch, session_id from runs join environments on environments.id = environment_id order by runs.id"
    found = rows(tmp_path / "results.db", query)
    assert [name for name, _ in found] == [other.name, arch.name]
    assert len({session for _, session in found}) == 1
    again = project.doit("performance", "gate", *words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("up to date") == 2
    assert again.stdout.count("has no baseline yet") == 2
