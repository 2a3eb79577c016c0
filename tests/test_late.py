"""Nodes that do not do something in time: whether that is QEMU's part or the kernel's."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from test_diagnosis import bare, needs_qemu

from sistasks.errors import KernelFailure, NodeError
from sistasks.guest.plan import Plan
from sistasks.machine import monitor
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.logs import EmulatorFiles
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = needs_qemu


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped answers neither soon nor late."""
    monkeypatch.setattr(monitor, "_ASKED_LIMIT", 1.0)


@asynccontextmanager
async def up(node: Node | ForeignNode, number: int = 0) -> AsyncIterator[None]:
    """A node that runs, and whose QEMU has got a signal."""
    async with node:
        await node.start()
        await node.go()
        if number:
            os.kill(node.pid, number)
        yield
        if number == signal.SIGSTOP:
            os.kill(node.pid, signal.SIGCONT)


def ours(folder: Path) -> Node:
    """A node in which nothing boots."""
    files = NodeFiles(plan=folder / "plan", console=folder / "console", stderr=folder / "stderr")
    plan = Plan(node=1, seed=1, tests=("pipe",))
    return Node(1, bare(agent=True), Role.COLD, plan, files, session="t")


def foreign(folder: Path) -> ForeignNode:
    """Likewise."""
    files = EmulatorFiles(console=folder / "console", stderr=folder / "stderr")
    return ForeignNode(1, bare(), files, session="t")


def is_stuck(error: BaseException | None) -> None:
    assert isinstance(error, NodeError)
    assert (error.problem, error.kind) == ("node 1: QEMU does not answer", "emulator")


def test_qemu_that_is_stuck_is_no_failure_of_the_kernel(tmp_path: Path) -> None:
    async def run() -> None:
        node = ours(tmp_path)
        async with up(node, signal.SIGSTOP):
            with pytest.raises(NodeError) as caught:
                await node.wait_ready(0.1)
            is_stuck(caught.value)
            assert node.failed.exception() is caught.value
            assert await node.late("node 1 does not get ready for it") is caught.value, "it fails once"

    asyncio.run(run())


def test_a_foreign_kernel_is_not_blamed_for_it_either(tmp_path: Path) -> None:
    async def run() -> None:
        node = foreign(tmp_path)
        async with up(node, signal.SIGSTOP):
            with pytest.raises(NodeError) as caught:
                await node.within(asyncio.sleep(60), 0.1, "greet")
            is_stuck(caught.value)

    asyncio.run(run())


def test_a_guest_that_is_silent_while_qemu_answers_hangs(tmp_path: Path) -> None:
    async def run() -> None:
        node = ours(tmp_path)
        async with up(node):
            error = await node.late("node 1 does not get ready for election")
            assert isinstance(error, KernelFailure)
            assert error.kind == "hang"
            assert error.problem.startswith("node 1 does not get ready for election: processor 0 is ")
            assert node.failed.exception() is error

    asyncio.run(run())


@pytest.mark.parametrize("make", [ours, foreign])
def test_a_process_that_has_ended_is_not_called_stuck(
    tmp_path: Path, make: Callable[[Path], Node | ForeignNode]
) -> None:
    async def run() -> None:
        node = make(tmp_path)
        async with up(node, signal.SIGKILL):
            error = await node.late("node 1 is late")
            assert isinstance(error, NodeError)
            assert error.problem == "node 1: QEMU ended (signal 9)"

    asyncio.run(run())
