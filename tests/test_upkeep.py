"""Cleanup: real processes that carry a node's mark are ended where their session is gone, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from sistasks import upkeep
from sistasks.layout import Layout
from sistasks.machine.spec import MARK
from sistasks.session import SESSION_ID
from sistasks.settings import resolve
from sistasks.terminal import Terminal
from sistasks.upkeep import leftovers, owner_lives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., subprocess.Popen[bytes]]

PLAIN = resolve({}, environ={}, pyproject=Path("/nonexistent"))
TIME = "20240101T000000"
WAITS = "import sys; print(flush=True); sys.stdin.read()"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts harmless processes with the arguments that are given; they end with the test."""
    with ExitStack() as stack:

        def begin(*arguments: str, code: str = WAITS) -> subprocess.Popen[bytes]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            return process

        yield begin


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended and been reaped."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def name(owner: int, node: int = 1, more: str = ",debug-threads=off") -> str:
    return f"{MARK}-{TIME}-{owner}-node-{node}{more}"


def found(*processes: subprocess.Popen[bytes]) -> list[bool]:
    pids = {process.pid for process in leftovers()}
    return [process.pid in pids for process in processes]


def test_a_node_whose_owner_is_dead_is_found(start: Start, dead: int) -> None:
    nodes = [
        start("-name", name(dead)),
        start("-nodefaults", "-name", name(dead, 1000, ""), "-S"),
        start("-name", name(dead, 0)),
    ]
    assert found(*nodes) == [True, True, True]


def test_a_node_whose_owner_lives_is_left_alone(start: Start) -> None:
    assert found(start("-name", name(os.getpid()))) == [False]


def test_an_owner_that_lives_and_is_not_its_parent_is_another_process(start: Start) -> None:
    other = start()
    assert found(start("-name", name(other.pid))) == [True]


def test_an_owner_that_is_a_zombie_is_dead(start: Start) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as owner:
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.Process(owner.pid).status() == psutil.STATUS_ZOMBIE
        assert not owner_lives(owner.pid)
        assert found(start("-name", name(owner.pid))) == [True]


def test_processes_of_similar_names_are_left_alone(start: Start, dead: int) -> None:
    mark = name(dead, more="")
    others = [
        (mark,),
        ("-nam", mark),
        ("--name", mark),
        ("-name", "x" + mark),
        ("-name", mark + "0x"),
        ("-name", mark.replace(MARK, MARK.upper())),
        ("-name", mark.replace(MARK, MARK + "s")),
        ("-name", f"{MARK}-{dead}-node-1"),
        ("-name", f"{MARK}-{TIME}-{dead}-node-"),
        ("-name", f"{MARK}-{TIME}-{dead}-nodes-1"),
        ("-name", f"guest={mark}"),
        ("-name", "-name"),
        ("-name",),
        ("qemu-system-x86_64 -name " + mark,),
    ]
    assert found(*(start(*arguments) for arguments in others)) == [False] * len(others)


def test_the_mark_is_that_of_a_session(start: Start, dead: int) -> None:
    ours = f"{MARK}-{SESSION_ID}-node-1"
    assert found(start("-name", ours)) == [False]
    theirs = f"{MARK}-{SESSION_ID.rpartition('-')[0]}-{dead}-node-1"
    assert found(start("-name", theirs)) == [True]


def test_owners() -> None:
    assert owner_lives(os.getpid())
    assert not owner_lives(os.getpid(), os.getpid())


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Cleanup may end these alone: real leftovers on this machine are none of a test's business."""
    mine: list[subprocess.Popen[bytes]] = []
    real = upkeep.leftovers

    def limited() -> Iterator[psutil.Process]:
        pids = {process.pid for process in mine}
        return (process for process in real() if process.pid in pids)

    monkeypatch.setattr(upkeep, "leftovers", limited)
    return mine


def cleanup(folder: Path) -> list[str]:
    layout = Layout(folder)
    settings = replace(PLAIN, output=folder, quiet=True)
    with Terminal(settings, layout) as terminal:
        upkeep.cleanup(settings, terminal)
    return [line.partition(" ")[2] for line in layout.orchestrator_log.read_text().splitlines()]


def test_cleanup_ends_what_it_finds(
    tmp_path: Path, start: Start, dead: int, only: list[subprocess.Popen[bytes]]
) -> None:
    gone, kept = start("-name", name(dead)), start("-name", name(os.getpid()))
    only += [gone, kept]
    assert cleanup(tmp_path) == [
        f"cleanup: ending node process {gone.pid}",
        "cleanup: 1 node processes ended, 0 scratch folders removed",
    ]
    assert gone.poll() is not None or gone.wait() == -signal.SIGTERM
    assert kept.poll() is None


def test_cleanup_kills_what_does_not_listen(
    tmp_path: Path,
    start: Start,
    dead: int,
    only: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "_GRACE", 0.2)
    deaf = start("-name", name(dead), code=IGNORES)
    only.append(deaf)
    cleanup(tmp_path)
    assert not psutil.pid_exists(deaf.pid)


def test_a_leftover_that_ends_by_itself_is_no_error(
    tmp_path: Path, start: Start, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start("-name", name(dead))

    def vanish() -> Iterator[psutil.Process]:
        process = psutil.Process(node.pid)
        node.kill()
        node.wait()
        yield process

    monkeypatch.setattr(upkeep, "leftovers", vanish)
    assert cleanup(tmp_path)[-1] == "cleanup: 1 node processes ended, 0 scratch folders removed"


def test_scratch_of_dead_sessions_is_removed_and_nothing_else(
    tmp_path: Path, dead: int, only: list[subprocess.Popen[bytes]]
) -> None:
    layout = Layout(tmp_path)
    alive = os.getpid()
    gone = [
        layout.scratch / f"{TIME}-{dead}",
        layout.templates / f".new-{TIME}-{dead}",
    ]
    kept = [
        layout.scratch / f"{TIME}-{alive}",
        layout.scratch / "somebody-elses",
        layout.templates / f".new-{TIME}-{alive}",
        layout.templates / f"{TIME}-{dead}",
        layout.templates / "0a1b2c",
        layout.logs / f"{TIME}-{dead}",
        layout.build,
    ]
    for folder in (*gone, *kept):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (tmp_path / "results.db").write_text("history")
    assert cleanup(tmp_path)[-1] == "cleanup: 0 node processes ended, 2 scratch folders removed"
    assert [folder for folder in gone if folder.exists()] == []
    assert [folder for folder in kept if not (folder / "file").exists()] == []
    assert (tmp_path / "results.db").read_text() == "history"


def test_a_link_in_scratch_leads_nowhere(
    tmp_path: Path, dead: int, only: list[subprocess.Popen[bytes]]
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    out = tmp_path / "out"
    Layout(out).scratch.mkdir(parents=True)
    (Layout(out).scratch / f"{TIME}-{dead}").symlink_to(precious)
    assert cleanup(out)[-1] == "cleanup: 0 node processes ended, 0 scratch folders removed"
    assert (precious / "file").exists()


def test_nothing_to_do_is_said(tmp_path: Path, only: list[subprocess.Popen[bytes]]) -> None:
    assert cleanup(tmp_path / "never") == ["cleanup: 0 node processes ended, 0 scratch folders removed"]
