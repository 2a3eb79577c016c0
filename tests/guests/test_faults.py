"""What hosts do to a session: many nodes and a kill, a clock that jumps, places that cannot be written."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from guest_project import SMALL, Project, rows
from running import running
from small_disks import fill, read_only, small_disk

from sistasks.history.connection import reading
from sistasks.kinds import host_arch
from sistasks.machine.arch import ARCHES
from sistasks.machine.confinement import is_users, obstacle
from sistasks.tools import find_compiler

pytestmark = pytest.mark.guest

MANY = 20
HINDERED = obstacle("tcg")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LONG = os.environ.get("FAULTS") == "long"


def are_confined(nodes: list[psutil.Process]) -> None:
    """System calls are filtered, nothing leads to a network, and where we are root each is somebody of its own."""
    users = set()
    for node in nodes:
        lines = (line.split(":") for line in Path(f"/proc/{node.pid}/status").read_text().splitlines())
        told = {name: value.split() for name, value in lines}
        assert (told["Seccomp"], told["NoNewPrivs"]) == (["2"], ["1"])
        assert node.net_connections(kind="inet") == []
        assert {"HOME", "SHELL"} & set(node.environ()) == set()
        users |= set(told["Uid"])
        if os.geteuid() == 0 and not HINDERED:
            assert (told["Groups"], told["CapEff"]) == ([], ["0" * 16])
            assert is_users(int(told["Uid"][0]))
            assert told["Uid"][0] != "0"
    assert len(users) == (1 if HINDERED else len(nodes))


def test_many_nodes_go_at_once(project: Project, tmp_path: Path) -> None:
    """Nodes, the switch, sockets and scratch; the history is sound and the next run clean."""
    db, out = tmp_path / "results.db", project.folder / "target" / "testing"
    whole = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
    assert whole.returncode == 0, whole.stderr
    arguments = ("distributed", f"nodes={MANY}", f"db={db}", "memory=128M", "verbose=yes")
    for number in SIGNALS if LONG else SIGNALS[:2]:
        with running(project, project.command(*arguments)) as doit:
            doit.until(f"node {MANY}: ready")
            assert len(doit.nodes()) == MANY
            are_confined(doit.nodes())
            everything = psutil.Process(doit.process.pid).children(recursive=True)
            assert len(everything) == MANY + 2, "the switch, and what removes the scratch"
            doit.process.send_signal(number)
            assert doit.left_behind(everything) == []
            assert doit.end() == (-number if number == signal.SIGKILL else 130)
        assert list((out / "run").iterdir()) == []
        assert [path for path in out.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)] == []
        assert rows(db, "pragma integrity_check") == [("ok",)]
        assert rows(db, "select suite, status from runs") == [("performance", "ok")]
    after = project.doit("performance", "nodes=2", f"db={db}", *SMALL)
    assert after.returncode == 0, after.stderr
    assert rows(db, "select suite, status from runs") == [("performance", "ok")] * 2


# the host's clock as Python and SQLite read it, set by somebody at the moment when the file appears
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t jump(void)
{
	const char *file = getenv("JUMP_FILE"), *seconds = getenv("JUMP_SECONDS");

	return file && seconds && access(file, F_OK) == 0 ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, now);

	if (result == 0 && clock == CLOCK_REALTIME)
		now->tv_sec += jump();
	return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
	int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
	int result = real(now, zone);

	if (result == 0)
		now->tv_sec += jump();
	return result;
}
"""


@pytest.mark.parametrize("days", [-400, 400], ids=["back", "forward"])
def test_the_clock_is_set_in_the_middle(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """A run's times are in order, its length is true, and the latest run is the one that was written last."""
    source, library, file = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "jump"
    source.write_text(CLOCK)
    compiler = find_compiler(ARCHES[host_arch()])
    made = subprocess.run(
        [*compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"no shared library can be made here: {made.stderr.decode()[:200]}")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("JUMP_FILE", str(file))
    monkeypatch.setenv("JUMP_SECONDS", str(days * 86400))
    db = tmp_path / "results.db"
    arguments = ("performance", "nodes=2", f"db={db}", "verbose=yes")
    with running(project, project.command(*arguments, *SMALL)) as doit:
        doit.until("node 1: ready")
        file.touch()
        assert doit.end() == 0, doit.said
    again = project.doit(*arguments, *SMALL, "seed=2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "run 2 in" in again.stdout
    lasted = "(julianday(finished_at) - julianday(started_at)) * 86400"
    assert rows(db, f"select id, status from runs where {lasted} between 0 and 600") == [(1, "ok"), (2, "ok")]  # noqa: S608 - our own words
    ((apart,),) = rows(db, "select julianday(max(started_at)) - julianday(min(started_at)) from runs")
    assert abs(apart - abs(days)) < 1, "the clock was set"
    report = project.doit("report", f"db={db}")
    assert report.returncode == 0, report.stderr
    assert rows(db, "pragma integrity_check") == [("ok",)]


def read(db: Path, query: str) -> list[tuple[Any, ...]]:
    """What the history answers where SQLite by itself cannot make what it needs beside the file."""
    with reading(db) as connection:
        assert connection is not None
        return [tuple(row) for row in connection.execute(query)]


def test_places_that_can_only_be_read(project: Project, tmp_path: Path) -> None:
    """One sentence, before a node runs; what is there stays as it is."""
    out, shelf = tmp_path / "out", tmp_path / "shelf"
    out.mkdir()
    shelf.mkdir()
    db = shelf / "results.db"
    assert project.doit("performance", "nodes=1", f"db={db}", *SMALL).returncode == 0
    with read_only(out):
        done = project.doit("performance", "nodes=1", f"output={out}", f"db={db}", *SMALL)
        assert done.returncode == 3
        assert done.stderr.startswith(f"ERROR: output={out} cannot be written: ")
        assert done.stderr.count("\n") == 1
    with read_only(shelf):
        done = project.doit("performance", "nodes=1", "seed=2", f"db={db}", *SMALL)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"performance: {db} ")
        assert done.stderr.count("\n") == 1
        assert read(db, "select seed, status from runs") == [(1, "ok")]
        held = project.doit("performance", "nodes=1", f"db={db}", *SMALL)
        assert held.returncode == 0, "what is there already can be seen"
        assert project.doit("report", f"db={db}").returncode == 0
    assert list(out.iterdir()) == []
    assert project.doit("performance", "nodes=1", "seed=2", f"db={db}", *SMALL).returncode == 0


def test_the_disk_fills_while_nodes_run(project: Project, tmp_path: Path) -> None:
    """The work cannot be kept: that is said in one sentence, and what was kept before stays."""
    with small_disk(tmp_path / "disk", "2M") as disk:
        db = disk / "results.db"
        arguments = ("performance", "nodes=2", f"db={db}", "memory=128M", "verbose=yes")
        assert project.doit(*arguments, "iterations=100").returncode == 0
        with running(project, project.command(*arguments, "iterations=3000")) as doit:
            doit.until("node 1: ready")
            fill(disk)
            assert doit.end() == 2
        assert "Traceback" not in doit.said
        assert f"the disk is full: {db} cannot grow" in doit.said.splitlines()[-1]
        assert read(db, "select iterations, status from runs") == [(100, "ok")]
        assert project.doit("report", f"db={db}").returncode == 0
        (disk / "fill").unlink()
        assert rows(db, "pragma integrity_check") == [("ok",)]
        assert project.doit(*arguments, "iterations=101").returncode == 0
        assert rows(db, "select iterations, status from runs") == [(100, "ok"), (101, "ok")]
