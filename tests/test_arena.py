"""A node of a cluster that does not speak: the switch's part, QEMU's or its kernel's."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
from test_diagnosis import needs_qemu
from test_late import ours, up

from sistasks.cluster.switch import Switch
from sistasks.consensus.events import Unknown, encode_event
from sistasks.errors import KernelFailure, NodeError, SistasksError
from sistasks.guest.frames import Frame, FrameType
from sistasks.machine import monitor
from sistasks.settings import resolve
from sistasks.suites import talk as module
from sistasks.suites.distributed.arena import Arena
from sistasks.suites.distributed.config import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from sistasks.machine.node import Node

pytestmark = needs_qemu

SHORT = 0.1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stopped answers neither soon nor late."""
    monkeypatch.setattr(monitor, "_ASKED_LIMIT", 1.0)
    monkeypatch.setattr(module, "_ANSWER_LIMIT", SHORT)
    monkeypatch.setattr(module, "_SWITCH_LIMIT", 1.0)


def failure(
    folder: Path,
    work: Callable[[Arena, Node], Awaitable[None]],
    *,
    stuck: bool = False,
    hindrance: Callable[[Switch], None] = lambda _: None,
) -> SistasksError:
    """What work with a cluster of one node fails with, in which nothing boots; the node has failed with it, too."""

    async def run() -> SistasksError:
        async with Switch() as switch:
            arena = Arena(configure(resolve({"nodes": "4"}, {}, folder / "none"), limit=900), switch)
            arena.test = "election"
            node = ours(folder)
            async with up(node, signal.SIGSTOP if stuck else 0):
                arena.admit([node])
                hindrance(switch)
                with pytest.raises(SistasksError) as caught:
                    await work(arena, node)
                if switch.pid and hindrance is stop:
                    os.kill(switch.pid, signal.SIGCONT)
                if node.failed.done():
                    assert node.failed.exception() is caught.value
                assert arena.alive == ([] if node.failed.done() else [1])
            return caught.value

    return asyncio.run(run())


def stop(switch: Switch) -> None:
    os.kill(switch.pid, signal.SIGSTOP)


def end(switch: Switch) -> None:
    os.kill(switch.pid, signal.SIGKILL)


async def get_ready(arena: Arena, _: Node) -> None:
    await arena.get_ready("election", SHORT)


async def tell(arena: Arena, _: Node) -> None:
    await arena.start()


async def finish(arena: Arena, node: Node) -> None:
    heard = Unknown(1, "control", {"number": "1"})
    arena.hear(node, Frame(FrameType.EVENT, 0, encode_event(heard)))
    await arena.finish(SHORT)


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (get_ready, "does not get ready for election"),
        (tell, "does not hear the word to start election"),
        (finish, "does not tell how election ended"),
    ],
)
def test_a_node_that_lives_and_says_nothing_hangs(
    tmp_path: Path, work: Callable[[Arena, Node], Awaitable[None]], problem: str
) -> None:
    error = failure(tmp_path, work)
    assert isinstance(error, KernelFailure)
    assert error.problem.startswith(f"node 1 {problem}: processor 0 is ")
    assert error.kind == "hang"


def test_a_node_whose_qemu_is_stuck_does_not(tmp_path: Path) -> None:
    error = failure(tmp_path, get_ready, stuck=True)
    assert isinstance(error, NodeError)
    assert (error.problem, error.kind) == ("node 1: QEMU does not answer", "emulator")


def test_nor_does_one_to_which_the_switch_brings_nothing(tmp_path: Path) -> None:
    error = failure(tmp_path, tell, hindrance=stop)
    assert isinstance(error, NodeError)
    assert error.problem == "node 1 does not hear the word to start election, and the switch does not answer"


def test_nor_does_one_whose_switch_has_ended(tmp_path: Path) -> None:
    error = failure(tmp_path, get_ready, hindrance=end)
    assert isinstance(error, NodeError)
    assert "switch" in error.problem
