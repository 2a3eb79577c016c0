"""What goes wrong on workers: real processes are stopped, ended and left alone, and disks filled."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from fleet_processes import HAND, NODE, fleet, gone
from guest_project import SMALL, Project, rows
from running import running
from small_disks import fill, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fleet_processes import Fleet

pytestmark = pytest.mark.guest
pytest.importorskip("distributed")

# long enough that a run is never over before something is done to it
LONG = ("memory=128M", "iterations=200000")
# and somewhat longer than others
SOME = ("memory=128M", "iterations=2000")
# who waits less long, so that a test does
IMPATIENT = """\
from sistasks.fleet import session

session.SILENT, session.BESIDE = 5.0, 0.0
from sistasks.tasks import *
"""


@pytest.fixture(scope="module")
def fleet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where workers have their caches; they share their templates, or each would freeze its own."""
    folder = tmp_path_factory.mktemp("fleet")
    (folder / "templates").mkdir()
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "templates").symlink_to(folder / "templates")
    return folder


@pytest.fixture(scope="module")
def two(project: Project, fleet_folder: Path) -> Iterator[Fleet]:
    """A worker that every test leaves as it was, with its template; some add another."""
    with fleet(fleet_folder, "one") as made:
        done = project.doit(*asked(made, 4199, 1))
        assert done.returncode == 0, done.stdout + done.stderr
        yield made


@pytest.fixture
def impatient(project: Project) -> str:
    (project.folder / "impatient.py").write_text(IMPATIENT)
    return "impatient.py"


def asked(fleet: Fleet, seed: int, runs: int, *more: str) -> tuple[str, ...]:
    """A command whose runs are of no other test: that is the seed's part."""
    asked = (f"seed={seed}", f"runs={runs}", f"cluster={fleet.address}")
    return ("performance", "nodes=1", *asked, *(more or SMALL))


def recorded(project: Project, seed: int) -> list[str]:
    """Whether the runs of the history were good."""
    query = f"select status from runs where seed = {seed}"  # noqa: S608 - our own number
    return [status for (status,) in rows(project.folder / "results.db", query)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_a_worker_has_begun_ends_with_the_session_that_wanted_it(
    project: Project, two: Fleet, number: signal.Signals
) -> None:
    seed = 4200 + number
    with running(project, project.command(*asked(two, seed, 2, *LONG))) as session:
        nodes = two.children("one", NODE)
        session.process.send_signal(number)
        assert session.end() == (130 if number == signal.SIGINT else -number), session.said
    assert gone(nodes)
    # and the worker takes the next
    done = project.doit(*asked(two, seed, 1))
    assert done.returncode == 0, done.stdout + done.stderr
    assert recorded(project, seed) == ["ok"]


def test_a_run_of_a_worker_that_hangs_is_done_elsewhere_and_its_late_answer_changes_nothing(
    project: Project, two: Fleet, impatient: str
) -> None:
    two.work("two")
    command = project.command("-f", impatient, *asked(two, 4220, 2, *SOME))
    with running(project, command) as session:
        hung = two.workers["two"]
        nodes = two.children("two", NODE)
        for process in (*nodes, hung):
            process.send_signal(signal.SIGSTOP)
        session.until("not on worker two")
        assert session.end() == 0, session.said
    assert "nothing was heard of it for" in session.said
    # what it had begun is there as long as it says nothing, and nobody wants it afterwards
    assert all(node.is_running() for node in nodes)
    hung.send_signal(signal.SIGCONT)
    assert gone(nodes)
    hung.terminate()
    hung.wait()
    assert recorded(project, 4220) == ["ok", "ok"]
    assert "from worker two" not in session.said


def test_a_hand_that_hangs_is_ended_by_its_limit(project: Project, two: Fleet, impatient: str) -> None:
    command = project.command("-f", impatient, *asked(two, 4230, 1, *LONG, "timeout=3"))
    with running(project, command) as session:
        nodes = two.children("one", NODE)
        hands = two.children("one", HAND)
        for hand in hands:
            hand.send_signal(signal.SIGSTOP)
        assert session.end() == 2
    assert "run 1 cannot be had" in session.said
    assert "it did not end within 18 s; raise timeout=" in session.said
    assert gone([*nodes, *hands])


def test_a_worker_that_its_nanny_starts_again_goes_on_and_nothing_outlives_the_nanny(
    project: Project, two: Fleet
) -> None:
    with fleet(two.folder) as made:
        made.work("one", "--nthreads", "2")
        with running(project, project.command(*asked(made, 4240, 2, *LONG))) as session:
            first = made.children("one", NODE, 2)  # two runs at once
            (worker,) = {hand.parent() for hand in made.children("one", HAND, 2)}
            assert worker is not None
            worker.kill()
            assert gone(first)
            made.children("one", NODE)
            below = psutil.Process(made.workers["one"].pid).children(recursive=True)
            made.workers["one"].kill()
            assert gone(below)
            session.process.kill()
            session.end()


def test_nothing_outlives_a_worker_that_is_asked_to_end(project: Project, two: Fleet) -> None:
    with (
        fleet(two.folder, "one") as made,
        running(project, project.command(*asked(made, 4250, 1, *LONG))) as session,
    ):
        made.children("one", NODE)
        below = psutil.Process(made.workers["one"].pid).children(recursive=True)
        made.workers["one"].terminate()
        assert gone(below)
        session.process.kill()
        session.end()


def test_a_disk_that_is_full_before_or_in_the_middle(project: Project, two: Fleet, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "96M") as disk:
        (disk / "cache").mkdir()
        (disk / "cache/templates").symlink_to(two.folder / "templates")
        fill(disk)
        two.work("two", SIS_FLEET_CACHE=str(disk / "cache"))
        done = project.doit(*asked(two, 4260, 2))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "worker two (tcp://127.0.0.1:" in done.stdout
        assert (
            f"is left out: {disk / 'cache'} cannot be written: No space left on device; make room"
            in done.stdout
        )
        assert recorded(project, 4260) == ["ok", "ok"]
        # there is room, and then there is none
        (disk / "fill").unlink()
        with running(project, project.command(*asked(two, 4261, 4, *SOME))) as session:
            two.children("two", NODE)
            fill(disk)
            assert session.end() == 0, session.said
        assert "not on worker two" in session.said
        assert f"{disk / 'cache'} has 0 MB free; make room there, or set SIS_FLEET_CACHE" in session.said
        assert recorded(project, 4261) == ["ok"] * 4
        # and there is room again
        (disk / "fill").unlink()
        done = project.doit(*asked(two, 4262, 2))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "from worker two" in done.stdout
        assert recorded(project, 4262) == ["ok"] * 2
        two.workers["two"].terminate()
        two.workers["two"].wait()
