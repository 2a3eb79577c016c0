"""A switch is gone when its owner is, and is a small process while it is there."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys

from switch_parts import LIMIT

PARENT = """
import asyncio, sys
from sistasks.cluster.switch import Switch
async def run():
    async with Switch() as switch:
        await switch.counters()
        line = switch.port(1)
        print(switch.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(run())
"""


def wait_for_end(pid: int) -> None:
    """Return when the process is over; it is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], LIMIT)[0], "the switch outlived its owner"
    finally:
        os.close(handle)


def test_a_parent_that_is_killed_leaves_no_switch() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for_end(pid)


def test_the_end_of_the_control_line_alone_ends_the_process() -> None:
    """Without the parent's death signal, which not every system has."""
    ours, theirs = socket.socketpair()
    code = "import sys; from sistasks.cluster.switching.process import main; main(int(sys.argv[1]))"
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    ours.close()
    assert process.wait(LIMIT) == 0


def test_the_process_imports_no_heavy_module() -> None:
    code = "import sys; from sistasks.cluster.switching.process import main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "asyncio", "psutil", "scipy", "subprocess", "ctypes", "ssl"}
    assert not heavy & set(done.stdout.split())
