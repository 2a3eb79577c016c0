"""What comes over a node's lines: its bytes are put into the very pipes that its QEMU writes to."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_diagnosis import bare, needs_qemu

from sistasks.errors import NodeError
from sistasks.guest.frames import FilePart, FrameType, encode, encode_part
from sistasks.guest.plan import Plan
from sistasks.machine.foreign import ForeignNode
from sistasks.machine.logs import EmulatorFiles
from sistasks.machine.node import Node, NodeFiles
from sistasks.machine.spec import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = needs_qemu

WHOLE = [
    (FrameType.HELLO, b"protocol=1\n"), (FrameType.READY, b"node=1\n"), (FrameType.DONE, b"problem=\nsamples=0\n"),
]  # fmt: skip


def stream(*frames: tuple[FrameType, bytes]) -> bytes:
    return b"".join(encode(kind, number, payload) for number, (kind, payload) in enumerate(frames))


@asynccontextmanager
async def up(
    folder: Path, plan: Plan, *, name: str = "node_1", console: Path | None = None
) -> AsyncIterator[Node]:
    """A node that runs, in which nothing boots."""
    files = NodeFiles(
        plan=folder / "plan", console=console or folder / f"{name}.log", stderr=folder / "stderr"
    )
    async with Node(1, bare(agent=True), Role.COLD, plan, files, session="t") as node:
        await node.start()
        await node.go()
        yield node


def put(node: Node, line: str, data: bytes) -> None:
    """Put bytes into a line at its QEMU's end."""
    assert node.spec is not None
    with Path(f"/proc/{node.pid}/fd/{getattr(node.spec, line)}").open("wb", buffering=0) as end:
        end.write(data)


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (b"", ""),
        (b"damage" * 10, "its results line is damaged"),
        (encode(FrameType.NOTE, 3, b"text=and another thing\n"), "NOTE came after the last word"),
        (encode(FrameType.EVENT, 7, b""), "its results line is damaged"),
    ],
    ids=["nothing", "damage", "more", "missing"],
)
def test_what_comes_after_the_last_word_is_no_work_in_order(
    tmp_path: Path, rest: bytes, problem: str
) -> None:
    async def run() -> None:
        async with up(tmp_path, Plan(node=1, seed=1)) as node:
            put(node, "results", stream(*WHOLE))
            assert (await node.wait_done(60)).done
            put(node, "results", rest)
            node.kill()
            if not problem:
                await node.wait_power_off()
                return
            with pytest.raises(NodeError, match=problem):
                await node.wait_power_off()

    asyncio.run(run())


def test_files_of_a_second_node_are_beside_those_of_the_first(tmp_path: Path) -> None:
    async def send(name: str) -> Node:
        plan = Plan(node=1, seed=1, tests=("pipe",), trace="events", trace_room=100)
        async with up(tmp_path, plan, name=name) as node:
            part = encode_part(FilePart("pipe", 0, name.encode()))
            put(node, "results", stream(*WHOLE[:2], (FrameType.FILE, part), (FrameType.DONE, WHOLE[2][1])))
            await node.wait_done(60)
            return node

    first, again = (asyncio.run(send(name)) for name in ("node_1", "node_1.again"))
    assert [(one.name, one.path.read_text()) for one in (*first.traces, *again.traces)] == [
        ("node_1.pipe.trace.txt", "node_1"), ("node_1.again.pipe.trace.txt", "node_1.again"),
    ]  # fmt: skip


FULL = Path("/dev/full")
SAID = ["the rest of its console's log is missing: No space left on device"]
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


@needs_full
def test_a_log_that_is_not_whole_is_noted(tmp_path: Path) -> None:
    async def run() -> None:
        async with up(tmp_path, Plan(node=1, seed=1), console=FULL) as node:
            for _ in range(3):
                put(node, "console", b"words\n")
            await node._caught_up()
            put(node, "results", stream(*WHOLE))
            assert (await node.wait_done(60)).notes == SAID

    asyncio.run(run())


@needs_full
def test_so_is_that_of_a_kernel_that_is_not_ours(tmp_path: Path) -> None:
    """Its firmware writes x to the serial line for ever: mov $0x3f8, %dx; mov $'x', %al; out %al, %dx; jmp."""
    code, variables = tmp_path / "code", tmp_path / "vars"
    code.write_bytes(bytes((1 << 20) - 16) + b"\xba\xf8\x03\xb0x\xee\xeb\xfd".ljust(16, b"\0"))
    variables.write_bytes(b"\xff" * (1 << 16))

    async def run() -> list[str]:
        heard = asyncio.Event()
        node = ForeignNode(
            1, bare(firmware=(code, variables)), EmulatorFiles(console=FULL, stderr=tmp_path / "stderr"), session="t",
            on_console=lambda _at, _data: heard.set(),
        )  # fmt: skip
        async with node:
            await node.start()
            await node.go()
            await node.within(heard.wait(), 60, "speak")
        return node.notes

    assert asyncio.run(run()) == SAID


@pytest.mark.filterwarnings("error")
def test_a_start_that_is_given_up_leaves_no_line_open(tmp_path: Path) -> None:
    """As where a neighbour of a cluster fails meanwhile: at whichever await it is."""

    async def give_up(step: int) -> bool:
        """Whether the start was still under way after so many turns of the loop."""
        files = NodeFiles(plan=tmp_path / "plan", console=tmp_path / "log", stderr=tmp_path / "stderr")
        async with Node(1, bare(agent=True), Role.COLD, Plan(node=1, seed=1), files, session="t") as node:
            starting = asyncio.create_task(node.start())
            for _ in range(step):
                await asyncio.sleep(0)
            under_way = not starting.done()
            starting.cancel()
            await asyncio.wait([starting])
        return under_way

    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    for step in range(1, 8):
        assert asyncio.run(give_up(step))
        gc.collect()
    assert {path.name for path in Path("/proc/self/fd").iterdir()} <= before
