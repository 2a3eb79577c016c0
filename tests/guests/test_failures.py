"""What fails while nodes are up: kernels and hosts are told apart, runs are kept once, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from guest_project import DODO, SMALL, Project, environment, nodes_of, rows
from running import LIMIT, Running, running
from small_disks import fill, small_disk

from sistasks.cluster.nodes import Cluster
from sistasks.errors import HistoryError, KernelFailure, SistasksError
from sistasks.guest import initramfs
from sistasks.guest.plan import Plan
from sistasks.history.connection import prepare
from sistasks.machine import template
from sistasks.settings import resolve
from sistasks.suites.recipe import Recipe

if TYPE_CHECKING:
    from sistasks.cluster.nodes import NodeReport
    from sistasks.machine.spec import Machine

pytestmark = pytest.mark.guest

INITS = {
    "sleeps": "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n",
    "exits": "int main(void) { return 0; }\n",
    "powers off": "#include <sys/reboot.h>\nint main(void) { return reboot(RB_POWER_OFF); }\n",
}


@dataclass
class Stages:
    """Remembers what nodes went through."""

    seen: list[tuple[int, str, str]] = field(default_factory=list)

    def started(self, number: int, pid: int) -> None:
        pass

    def stage(self, number: int, stage: str, detail: str = "") -> None:
        self.seen.append((number, stage, detail))


def machine(project: Project, folder: Path, init: str, *arguments: str) -> Machine:
    """The project's machine with a guest of ours, whose PID 1 is this program."""
    variables = {
        "output": str(project.folder / "target/testing"),
        "memory": "128M",
        "clock": "wall",
        "cpus": "1",
    }
    recipe = Recipe.load(resolve(variables, environ={}, pyproject=Path("/nonexistent")))
    source, program, guest = folder / "init.c", folder / "init", folder / "guest.cpio"
    source.write_text(INITS[init])
    subprocess.run([*recipe.found.compiler, "-static", "-o", program, source], check=True)
    console = initramfs.character_device("dev/console", 5, 1)
    guest.write_bytes(
        initramfs.pack([initramfs.file("init", program.read_bytes(), executable=True), console])
    )
    return replace(recipe.machine, initramfs=guest, arguments=arguments)


def run_nodes(made: Machine, folder: Path, timeout: float, count: int = 1) -> tuple[list[NodeReport], Stages]:
    """Nodes of that machine, booted cold."""
    stages = Stages()

    async def run() -> list[NodeReport]:
        cluster = Cluster(
            machine=made, template=None, logs=folder / "logs", scratch=folder / "run", session="20240101T000000-1",
            slots=2, timeout=timeout,
        )  # fmt: skip
        return await cluster.run([Plan(node=number, seed=1) for number in range(1, count + 1)], stages)

    return asyncio.run(run()), stages


def only_error(reports: list[NodeReport]) -> SistasksError:
    (report,) = reports
    assert report.error is not None
    return report.error


def nothing_of(folder: Path) -> None:
    """No node of ours names this folder, and no scratch is in it."""
    for process in psutil.process_iter():
        try:
            assert str(folder) not in " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    assert list((folder / "run").iterdir()) == []


def test_a_guest_that_never_gets_ready_is_given_up(project: Project, tmp_path: Path) -> None:
    reports, stages = run_nodes(machine(project, tmp_path, "sleeps"), tmp_path, timeout=3)
    error = only_error(reports)
    assert isinstance(error, KernelFailure)
    assert error.kind == "hang"
    problem, _, doing = error.problem.partition(": ")
    assert problem in {f"node 1 did not {what} within 3 s" for what in ("reach the agent", "say anything")}
    assert doing in {"processor 0 is halted", "processor 0 is busy"}
    assert error.remedy == f"raise timeout=, or see {tmp_path}/logs/node_1.log"
    assert stages.seen[-1] == (1, "failed", reports[0].reason)
    nothing_of(tmp_path)


@pytest.mark.parametrize(
    ("init", "arguments", "says"),
    [
        ("sleeps", ("rdinit=/nonexistent",), "the kernel panicked: Kernel panic - not syncing: VFS: "),
        ("exits", (), "the kernel panicked: Kernel panic - not syncing: Attempted to kill init!"),
        ("powers off", (), "the kernel powered off before it reached the agent"),
    ],
)
def test_a_guest_that_ends_too_soon_is_the_kernels_failure(
    project: Project, tmp_path: Path, init: str, arguments: tuple[str, ...], says: str
) -> None:
    reports, _ = run_nodes(machine(project, tmp_path, init, *arguments), tmp_path, timeout=60)
    error = only_error(reports)
    assert isinstance(error, KernelFailure)
    assert error.problem.startswith(f"node 1: {says}")
    assert f"see {tmp_path}/logs/node_1.log" in error.remedy
    assert error.detail, "the console's last lines"
    assert "memory=" not in error.remedy, "128M is enough"
    nothing_of(tmp_path)


def test_a_template_that_panics_is_not_kept(project: Project, tmp_path: Path) -> None:
    made = machine(project, tmp_path, "exits")
    templates = tmp_path / "templates"

    async def freeze() -> None:
        log = tmp_path / "template.log"
        await template.freeze(made, "key", templates, session="20240101T000000-1", log=log, limit=60)

    with pytest.raises(KernelFailure, match="the template: the kernel panicked"):
        asyncio.run(freeze())
    assert list(templates.iterdir()) == []


def victim(doit: Running) -> psutil.Process:
    """The process of node 1."""
    (found,) = [node for node in doit.nodes() if "-node-1," in " ".join(node.cmdline())]
    return found


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (signal.SIGKILL, "QEMU ended (signal 9)"),
        (signal.SIGSEGV, "QEMU ended (signal 11)"),
        (signal.SIGTERM, "QEMU ended (it was told to)"),
    ],
)
def test_a_node_that_is_ended_from_outside_is_tried_again(
    project: Project, tmp_path: Path, number: signal.Signals, says: str
) -> None:
    """It is no failure of the kernel's; a second node does its work, which is said."""
    db = tmp_path / "results.db"
    with running(
        project,
        project.command(
            "performance", "nodes=2", f"db={db}", "memory=128M", "iterations=3000", "verbose=yes"
        ),
    ) as doit:
        doit.until("node 1: ready")
        victim(doit).send_signal(number)
        assert doit.end() == 0
    assert f"again: {says}" in doit.said
    assert rows(db, "select status, message from runs") == [("ok", "")]
    assert set(rows(db, "select node, status, message from results")) == {
        (1, "pass", f"on a second node, for the first: {says}"),
        (2, "pass", ""),
    }
    # what the first one left is kept with the run
    assert ("post_mortem.json",) in rows(
        db, "select detail ->> '$.name' from artifacts where kind = 'metadata' and node = 1"
    )


def test_a_node_that_is_ended_twice(project: Project, tmp_path: Path) -> None:
    """Then it is an error; the other nodes go on, and the run is kept once."""
    db = tmp_path / "results.db"
    arguments = ("nodes=3", f"db={db}", "memory=128M", "iterations=3000", "verbose=yes")
    says = "QEMU ended (signal 9)"
    with running(project, project.command("performance", *arguments)) as doit:
        for _ in range(2):
            doit.until("node 1: ready")
            doit.said = doit.said.replace("node 1: ready", "")
            victim(doit).kill()
        assert doit.end() == 2
    assert rows(db, "select status, message from runs") == [("error", f"node 1, context_switch: {says}")]
    assert rows(db, "select node, status, count(*) from results group by node, status") == [
        (1, "error", 4),
        (2, "pass", 4),
        (3, "pass", 4),
    ]
    assert doit.said.splitlines()[-1].startswith(f"performance: node 1: {says}; ")
    after = project.doit("performance", *arguments)
    assert after.returncode == 0, "an errored run is not taken for done"
    assert rows(db, "select status from runs") == [("error",), ("ok",)]


def test_a_reader_that_goes_away(project: Project, tmp_path: Path) -> None:
    """`| head -1` ends the talking, not the work."""
    db = tmp_path / "results.db"
    with (
        (tmp_path / "err").open("w+b") as errors,
        running(project, project.command("performance", "nodes=2", f"db={db}", *SMALL), errors) as doit,
    ):
        doit.until("\n")
        assert doit.process.stdout is not None
        doit.process.stdout.close()
        assert doit.process.wait(LIMIT) == 0
    assert (tmp_path / "err").read_bytes() == b""
    assert rows(db, "select status from runs") == [("ok",)]


@pytest.mark.parametrize("arguments", [("list",), ("performance", *SMALL, "nodes=1")])
def test_a_reader_that_was_never_there(project: Project, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "wb") as out:
        done = subprocess.run(
            project.command(*arguments, f"db={tmp_path}/results.db"),
            cwd=project.folder, env=environment(), stdout=out, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
        )  # fmt: skip
    assert done.stderr == b""
    assert done.returncode == (-signal.SIGPIPE if arguments == ("list",) else 0)


def test_a_full_disk_under_the_history(project: Project, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1M") as disk:
        db = disk / "results.db"
        arguments = ("performance", "nodes=1", f"db={db}", *SMALL)
        fill(disk)
        done = project.doit(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), "before a node runs"
        full = f"performance: the disk is full: {db} cannot grow; free some space; the history is as it was\n"
        assert done.stderr == full
        assert [path.name for path in disk.iterdir()] == ["fill"]
        (disk / "fill").unlink()
        assert project.doit(*arguments).returncode == 0
        fill(disk)
        done = project.doit(*arguments, "seed=2")
        assert (done.returncode, done.stderr) == (2, full)
        (disk / "fill").unlink()
        assert rows(db, "select seed, status from runs") == [(1, "ok")]
        assert project.doit(*arguments, "seed=2").returncode == 0
        assert rows(db, "select seed, status from runs") == [(1, "ok"), (2, "ok")]


def copy_with_one_template(project: Project, out: Path) -> None:
    """The project's output, but no kernels that histories keep, and of its templates only that of `performance`.

    Both grow with the tests that came before, and a small disk has no room for all of it.
    """
    assert project.doit("template", *SMALL).returncode == 0  # asked for, it is the one that was used last
    templates = project.folder / "target/testing/templates"
    kept = max(templates.iterdir(), key=lambda path: path.stat().st_mtime).name

    def left_out(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == templates:
            return set(names) - {kept}
        return {"artifacts"} if Path(folder) == templates.parent else set()

    shutil.copytree(project.folder / "target/testing", out, dirs_exist_ok=True, ignore=left_out)


def test_a_full_disk_under_the_output(project: Project, tmp_path: Path) -> None:
    """Fresh it is refused at once; later what needs room says so, and what makes room goes on."""
    db = tmp_path / "results.db"
    with small_disk(tmp_path / "disk", "400M") as disk:
        out = disk / "out"
        arguments = ("performance", "nodes=2", f"output={out}", f"db={db}", *SMALL)
        fill(disk)
        done = project.doit(*arguments)
        says = (
            f"ERROR: output={out} cannot be written: No space left on device; make room there, or set output="
        )
        assert (done.returncode, done.stderr.strip()) == (3, says)
        (disk / "fill").unlink()
        copy_with_one_template(project, out)
        fill(disk)
        done = project.doit(*arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "No space left on device" in done.stderr
        assert not list((out / "run").glob("*"))
        assert [status for (status,) in rows(db, "select status from runs")] in ([], ["error"])
        done = project.doit("template", "memory=132M", f"output={out}")
        assert done.returncode == 2
        assert "has 0 MB free" in done.stderr
        assert not list((out / "templates").glob(".new-*"))
        assert project.doit("cleanup", f"output={out}").returncode == 0
        (disk / "fill").unlink()
        assert project.doit(*arguments).returncode == 0


def test_two_sessions_in_one_project_and_one_history(project: Project, tmp_path: Path) -> None:
    db = tmp_path / "results.db"
    with ExitStack() as stack:
        arguments = ("performance", "nodes=2", f"db={db}", *SMALL)
        doits = [
            stack.enter_context(running(project, project.command(*arguments, f"seed={seed}")))
            for seed in (1, 2, 3)
        ]
        ends = [doit.end() for doit in doits]
        marks = {f"-{doit.process.pid}": doit for doit in doits}
    assert ends == [0, 0, 0], [doit.said for doit in doits]
    assert rows(db, "select seed, status from runs order by seed") == [(1, "ok"), (2, "ok"), (3, "ok")]
    assert rows(db, "select count(*) from samples") == [(3 * 2 * 7,)]
    # who finds another one at work has logs of its own
    logs = project.folder / "target/testing/qemu/logs"
    own = [path for path in logs.iterdir() if any(path.name.endswith(mark) for mark in marks)]
    assert len(own) <= 2
    assert all((folder / f"node_{number}.log").stat().st_size for folder in (logs, *own) for number in (1, 2))


def test_two_sessions_in_a_project_where_nothing_was_done(project: Project, tmp_path: Path) -> None:
    """Both set up, build and freeze at once; neither takes the other's half work for whole."""
    fresh = Project(tmp_path / "fresh")
    fresh.folder.mkdir()
    (fresh.folder / "dodo.py").write_text(DODO)
    fresh.take_kernels(project)
    commands = [fresh.command("performance", "nodes=1", f"seed={seed}", *SMALL) for seed in (1, 2)]
    with running(fresh, commands[0]) as one, running(fresh, commands[1]) as two:
        ends = [one.end(), two.end()]
    assert ends == [0, 0], one.said + two.said
    assert rows(fresh.folder / "results.db", "select seed, status from runs order by seed") == [
        (1, "ok"),
        (2, "ok"),
    ]
    assert not list(fresh.folder.glob("target/testing/templates/.new-*"))
    assert nodes_of(fresh.folder) == []


def test_a_history_that_another_session_holds(project: Project, tmp_path: Path) -> None:
    """It is waited for before a node runs; and given up with a sentence."""
    db = tmp_path / "results.db"
    prepare(db)
    command = project.command("performance", "nodes=1", f"db={db}", *SMALL)
    with closing(sqlite3.connect(db, isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        with pytest.raises(
            HistoryError, match=r"is locked: another session is writing, and did not end within 0\.05 s"
        ):
            prepare(db, timeout=0.05)
        with running(project, command) as doit:
            us = psutil.Process(doit.process.pid)
            # it reads the history before it writes, so the file stays open only once it waits
            while not any(Path(file.path) == db and file.mode != "r" for file in us.open_files()):
                assert doit.process.poll() is None, doit.said
            assert nodes_of(project.folder) == []
            holder.execute("rollback")
            assert doit.end() == 0, doit.said
    assert rows(db, "select status from runs") == [("ok",)]
