"""Ctrl-C, signals and kills in the middle: every node goes at once, whole runs stay, half ones never were."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from guest_project import SMALL, Project, nodes_of, rows
from running import on_terminal, running, shell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest

# long enough for the slowest interrupt, and never waited for
LONG = ("memory=128M", "iterations=200000", "verbose=yes")
SAYS = "interrupted: every node has ended; {db} keeps the runs that were complete, logs are in target/testing"


def scratch(project: Project) -> list[str]:
    found = [
        *project.folder.glob("target/testing/run/*"),
        *project.folder.glob("target/testing/templates/.new-*"),
    ]
    return sorted(path.name for path in found)


def runs(db: Path) -> int:
    return int(rows(db, "select count(*) from runs")[0][0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_node_and_keeps_whole_runs(
    project: Project, tmp_path: Path, number: signal.Signals
) -> None:
    db = tmp_path / "results.db"
    whole = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
    assert whole.returncode == 0, whole.stderr
    with running(project, project.command("performance", "nodes=4", f"db={db}", *LONG)) as doit:
        doit.until("node 1: ready")
        nodes = doit.nodes()
        doit.process.send_signal(number)
        assert doit.end() == 130
    assert not any(node.is_running() for node in nodes), "they were reaped before doit ended"
    assert SAYS.format(db=db) in doit.said
    assert "Traceback" not in doit.said
    assert scratch(project) == []
    assert rows(db, "select nodes, status from runs") == [(1, "ok")]


def test_control_c_typed_on_a_terminal(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with on_terminal(project, project.command("performance", "nodes=4", f"db={db}", *LONG)) as (
        doit,
        keyboard,
    ):
        doit.until("ready")
        nodes = doit.nodes()
        keyboard.write(b"\x03")
        assert doit.end() == 130
    assert not any(node.is_running() for node in nodes)
    assert "\x1b[?25h" in doit.said, "the cursor is back"
    assert SAYS.format(db=db) in " ".join(doit.said.replace("\r\n", " ").split())
    assert runs(db) == 0


def test_a_terminal_that_hangs_up(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with on_terminal(project, project.command("performance", "nodes=2", f"db={db}", *LONG)) as (
        doit,
        keyboard,
    ):
        doit.until("ready")
        nodes = doit.nodes()
        keyboard.close()
        assert doit.process.wait(30) == 130
    assert not any(node.is_running() for node in nodes)
    log = (project.folder / "target/testing/orchestrator/orchestrator.log").read_text()
    assert log.splitlines()[-1].endswith(SAYS.format(db=db))
    assert runs(db) == 0


def test_killed_outright_takes_its_nodes_along(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with running(project, project.command("performance", "nodes=4", f"db={db}", *LONG)) as doit:
        doit.until("node 1: ready")
        nodes = doit.nodes()
        everything = psutil.Process(doit.process.pid).children(recursive=True)
        assert {node.pid for node in nodes} < {process.pid for process in everything}
        doit.process.kill()
        assert doit.left_behind(everything) == []
        assert doit.end() == -signal.SIGKILL
    assert scratch(project) == [], "the last of them has removed it"
    assert runs(db) == 0
    after = project.doit("performance", "nodes=2", f"db={db}", *SMALL)
    assert after.returncode == 0, after.stderr
    assert runs(db) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_in_the_middle_of_a_template(project: Project, number: signal.Signals) -> None:
    templates = project.folder / "target/testing/templates"
    before = {path.name for path in templates.iterdir()}
    with running(project, project.command("template", "memory=130M")) as doit:
        doit.until("template: booting")
        while not (nodes := nodes_of(project.folder)):
            assert doit.process.poll() is None, doit.said
        everything = [*nodes, *psutil.Process(doit.process.pid).children(recursive=True)]
        doit.process.send_signal(number)
        assert doit.left_behind(everything) == []
        assert doit.end() == (130 if number == signal.SIGTERM else -number)
    assert scratch(project) == []
    assert {path.name for path in templates.iterdir()} == before


def test_a_background_job_still_ends_when_it_is_told_to(project: Project, tmp_path: Path) -> None:
    """A shell starts it with SIGINT ignored; SIGTERM must reach it all the same."""
    db = tmp_path / "results.db"
    command = shell("INT", project.command("performance", "nodes=4", f"db={db}", *LONG))
    with running(project, command) as doit:
        doit.until("node 1: ready")
        nodes = doit.nodes()
        doit.process.send_signal(signal.SIGINT)
        doit.process.send_signal(signal.SIGTERM)
        assert doit.end() == 130
    assert not any(node.is_running() for node in nodes)
    assert SAYS.format(db=db) in doit.said
    assert scratch(project) == []


def test_nohup_outlives_the_terminal(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    command = project.command(
        "performance", "nodes=2", f"db={db}", "memory=128M", "iterations=2000", "verbose=yes"
    )
    with running(project, shell("HUP", command)) as doit:
        doit.until("node 1: ready")
        doit.process.send_signal(signal.SIGHUP)
        assert doit.end() == 0, doit.said
    assert runs(db) == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_between_two_steps(tmp_path: Path, name: str) -> None:
    """While doit looks at what is stale nothing runs, and no trace is shown."""
    (tmp_path / "dodo.py").write_text(
        "import signal\n"
        "from sistasks.tasks import *\n"
        "def task_own():\n"
        f"    return {{'actions': ['true'], 'uptodate': [lambda: signal.raise_signal(signal.{name})]}}\n"
    )
    done = Project(tmp_path).doit("own")
    assert (done.returncode, done.stderr) == (
        130,
        "interrupted: nothing was running, everything is as it was\n",
    )
