"""Short-lived programs: their end, their limit, and that nothing of them is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sistasks.programs import Finished, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


linux = pytest.mark.skipif(sys.platform != "linux", reason="pidfds and the parent-death signal are Linux's")


def sh(text: str, limit: float = 30.0, stdin: bytes = b"") -> Finished:
    return run(["/bin/sh", "-c", text], limit=limit, stdin=stdin)


def gone(pid: int) -> bool:
    """Whether a process ends (a signal takes its time to arrive), reaped or not."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 20)[0])
    finally:
        os.close(process)


def test_an_ordinary_end() -> None:
    finished = sh("cat; echo bad >&2; exit 3", stdin=b"hello")
    assert finished == Finished(3, b"hello", b"bad\n", expired=False)
    assert finished.ending == "ended with exit code 3"
    assert finished.tail() == "bad"


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (6, "SIGABRT")])
def test_a_signal_is_named(number: int, name: str) -> None:
    assert sh(f"kill -{number} $$").ending == f"ended by {name}"


def test_a_program_that_does_not_read_what_it_is_handed_is_no_error() -> None:
    assert sh("exit 0", stdin=b"x" * 1_000_000).code == 0


@linux
def test_the_limit_ends_the_whole_group_and_keeps_what_was_said() -> None:
    finished = sh("sleep 600 & echo $!; echo $$; wait", limit=0.5)
    assert finished.expired
    assert finished.code == -signal.SIGKILL
    assert all(gone(int(pid)) for pid in finished.out.split())
    assert len(finished.out.split()) == 2


def test_patience_lets_a_program_finish_what_it_has_in_hand() -> None:
    text = "trap 'echo tidy; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    finished = run(["/bin/sh", "-c", text], limit=0.5, patience=20)
    assert (finished.expired, finished.code, finished.out) == (True, 7, b"ready\ntidy\n")


def test_patience_ends() -> None:
    text = "trap '' INT; while :; do sleep 0.05; done"
    finished = run(["/bin/sh", "-c", text], limit=0.3, patience=0.3)
    assert (finished.expired, finished.code) == (True, -signal.SIGKILL)


@linux
def test_the_death_of_the_parent_ends_the_program() -> None:
    reader, writer = os.pipe()
    command = ["/bin/sh", "-c", "echo $$; exec sleep 600"]
    code = f"from sistasks.programs import run; run({command}, limit=60, log=open({writer}, 'wb'))"
    with subprocess.Popen([sys.executable, "-c", code], pass_fds=[writer]) as parent:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            pid = int(pipe.readline())
            parent.kill()
            # the pipe ends when the last holder of it has ended: no waiting by the clock
            assert pipe.read() == b""
    assert gone(pid)


def test_a_log_takes_everything_as_it_comes(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        finished = run(["/bin/sh", "-c", "echo one; echo two >&2; echo three"], limit=30, log=log)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"
    assert (finished.out, finished.err) == (b"", b"")


def test_the_environment_can_be_set() -> None:
    command: Sequence[str] = ["/bin/sh", "-c", 'echo "$ONLY$HOME"']
    assert run(command, limit=30, environ={"ONLY": "this"}).out == b"this\n"


def test_what_cannot_be_started_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run([tmp_path / "nothing"], limit=1)


def test_an_interrupt_stays_one_though_the_program_has_ended_by_then() -> None:
    """Not the error that its group is gone, which would pass for a program that cannot be run."""
    # in a process of its own: a thread that pytest's plugins may have started would take the signal
    script = (
        "from sistasks.programs import run\n"
        "try:\n"
        "    run(['/bin/sh', '-c', 'kill -INT $PPID'], limit=60)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = run([sys.executable, "-c", script], limit=60)
    assert (done.out, done.err) == (b"interrupted\n", b"")


def test_an_interrupt_while_a_program_is_made_is_not_lost() -> None:
    """Python swallows what is raised in hooks around a fork, such as those of its own logging."""
    script = (
        "import os, signal\n"
        "from sistasks.programs import run\n"
        "os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "try:\n"
        "    run(['/bin/sleep', '60'], limit=60)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = run([sys.executable, "-c", script], limit=30)
    assert (done.out, done.err) == (b"interrupted\n", b"")


def test_a_program_hears_every_signal() -> None:
    """Those that were held back while it was made are not held back in it."""
    script = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    assert run([sys.executable, "-c", script], limit=30).out == b"0\n"
