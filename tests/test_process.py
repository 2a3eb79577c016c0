"""A node's process: real children that end by themselves, when asked, only when killed, and with their parent."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import pytest

from sistasks.errors import NodeError
from sistasks.machine.process import Process, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# says that it runs, and then waits for a signal
WAITS = "import signal, sys; {prepare}; sys.stderr.write('up\\n'); sys.stderr.flush(); signal.pause()"
IGNORES = WAITS.format(prepare="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
OBEYS = WAITS.format(prepare="signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))")
LIMIT = 30.0


@pytest.fixture
def stderr() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Our reading end, and the end that the child writes to."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        yield reader, writer


Pipe = tuple[IO[bytes], IO[bytes]]


def start(code: str, stderr: Pipe) -> Process:
    process = spawn([sys.executable, "-c", code], pass_fds=(), stderr=stderr[1])
    if "up" in code:
        assert stderr[0].readline() == b"up\n"
    return process


def is_gone(pid: int) -> bool:
    """Not even a zombie is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("code", [0, 1, 42])
def test_the_exit_code_is_a_future(stderr: Pipe, code: int) -> None:
    async def run() -> None:
        process = start(f"import sys; sys.exit({code})", stderr)
        assert await asyncio.wait_for(process.exited, LIMIT) == code
        assert not process.running
        assert is_gone(process.pid)
        process.kill()
        await process.stop(LIMIT)

    asyncio.run(run())


def test_a_signal_is_a_negative_exit_code(stderr: Pipe) -> None:
    async def run() -> None:
        process = start("import os; os.abort()", stderr)
        assert await asyncio.wait_for(process.exited, LIMIT) == -signal.SIGABRT

    asyncio.run(run())


def test_stop_asks_first(stderr: Pipe) -> None:
    async def run() -> None:
        process = start(OBEYS, stderr)
        assert process.running
        await process.stop(LIMIT)
        assert process.exited.result() == 7
        assert is_gone(process.pid)

    asyncio.run(run())


def test_stop_kills_a_child_that_ignores_it(stderr: Pipe) -> None:
    async def run() -> None:
        process = start(IGNORES, stderr)
        await process.stop(0.1)
        assert process.exited.result() == -signal.SIGKILL
        assert is_gone(process.pid)

    asyncio.run(run())


def test_kill_is_at_once_and_may_be_repeated(stderr: Pipe) -> None:
    async def run() -> None:
        process = start(IGNORES, stderr)
        process.kill()
        process.kill()
        assert await asyncio.wait_for(process.exited, LIMIT) == -signal.SIGKILL

    asyncio.run(run())


def test_a_stopped_child_can_be_ended(stderr: Pipe) -> None:
    async def run() -> None:
        process = start(OBEYS, stderr)
        os.kill(process.pid, signal.SIGSTOP)
        await process.stop(0.1)
        assert process.exited.result() == -signal.SIGKILL

    asyncio.run(run())


def test_many_are_waited_for_at_once(stderr: Pipe) -> None:
    async def run() -> None:
        codes = [start(f"import sys; sys.exit({code})", stderr).exited for code in range(8)]
        assert await asyncio.wait_for(asyncio.gather(*codes), LIMIT) == list(range(8))

    asyncio.run(run())


def test_no_descriptor_is_left_behind(stderr: Pipe) -> None:
    async def run() -> None:
        await asyncio.wait_for(start("pass", stderr).exited, LIMIT)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names that are no paths
        for _ in range(3):
            await asyncio.wait_for(start("pass", stderr).exited, LIMIT)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

    asyncio.run(run())


def test_the_child_has_what_it_is_given_and_nothing_else(stderr: Pipe) -> None:
    code = (
        "import os, sys\n"
        "fds = sorted(int(name) for name in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{name}'))\n"
        "print(fds, os.getsid(0) == os.getpid(), os.read(0, 1), file=sys.stderr)\n"
    )

    async def run() -> int:
        given, other = os.pipe()
        try:
            process = spawn([sys.executable, "-c", code], pass_fds=[given], stderr=stderr[1])
            assert await asyncio.wait_for(process.exited, LIMIT) == 0
        finally:
            os.close(given)
            os.close(other)
        return given

    given = asyncio.run(run())
    assert stderr[0].readline().decode() == f"{[0, 1, 2, given]} True b''\n"


@pytest.mark.parametrize("kind", ["none", "folder", "text"])
def test_what_cannot_be_started_is_named(tmp_path: Path, stderr: Pipe, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no program")

    async def run() -> None:
        spawn([str(tmp_path / kind)], pass_fds=(), stderr=stderr[1])

    with pytest.raises(NodeError, match=f"{tmp_path / kind} cannot be started: ") as caught:
        asyncio.run(run())
    assert caught.value.remedy


PARENT = """
import asyncio, sys
from sistasks.machine.process import spawn

async def run():
    child = spawn([sys.executable, "-c", sys.argv[1]], pass_fds=(), stderr=sys.stderr)
    print(child.pid, flush=True)
    await child.exited

asyncio.run(run())
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system has no pidfds")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, IGNORES], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert parent.stderr.readline() == b"up\n"
            assert select.select([child], [], [], 0)[0] == []
            parent.send_signal(number)
            assert parent.wait(LIMIT) == -number
            assert select.select([child], [], [], LIMIT)[0] == [child]
        finally:
            os.close(child)
            parent.kill()
