"""The switch's real process on real sockets: ports, faults, counters, events, capture, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from switch_parts import BROADCAST, LIMIT, Cable, frame
from test_switch_pcapng import walk

from sistasks.cluster.switch import HOST_MAC, Faults, Switch
from sistasks.cluster.switching.ethernet import LENGTH_MAX
from sistasks.cluster.switching.faults import Cut, Rule
from sistasks.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ALL = frozenset({(0, 0)})


class Rig:
    """A running switch with cables, and what it has told."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.switch = Switch(self.events.put_nowait, lambda port, data: self.frames.put_nowait((port, data)))
        self.cables: dict[int, Cable] = {}

    def plug(self, *numbers: int) -> None:
        for number in numbers:
            self.cables[number] = Cable(self.switch.port(number))

    async def passed(self) -> dict[int, list[bytes]]:
        """What every cable has got; the switch has seen all that was sent before."""
        await self.switch.counters()
        return {number: list(cable.drain()) for number, cable in self.cables.items()}


def with_switch(work: Callable[[Rig], Awaitable[None]], *ports: int) -> None:
    async def run() -> None:
        rig = Rig()
        try:
            async with asyncio.timeout(LIMIT), rig.switch:
                rig.plug(*ports)
                await work(rig)
        finally:
            for cable in rig.cables.values():
                cable.close()

    asyncio.run(run())


def test_frames_go_to_their_node_and_broadcasts_to_all() -> None:
    async def work(rig: Rig) -> None:
        rig.cables[1].send(frame(1, 2), frame(1, BROADCAST))
        assert [rig.cables[2].get(), rig.cables[2].get()] == [frame(1, 2), frame(1, BROADCAST)]
        assert rig.cables[3].get() == frame(1, BROADCAST)
        counters = await rig.switch.counters()
        assert (counters.frames, counters.bytes) == (3, 3 * len(frame(1, 2)))
        assert counters.edges[1, 2].frames == 2
        assert counters.ports[1].received == 2
        assert counters.cpu > 0

    with_switch(work, 1, 2, 3)


def test_a_hundred_ports() -> None:
    async def work(rig: Rig) -> None:
        for number, cable in rig.cables.items():
            cable.send(frame(number, number % 100 + 1), frame(number, BROADCAST))
        for number, cable in rig.cables.items():
            got = [cable.get() for _ in range(100)]
            others = [frame(other, BROADCAST) for other in rig.cables if other != number]
            assert sorted(got) == sorted([*others, frame((number - 2) % 100 + 1, number)])
        counters = await rig.switch.counters()
        assert counters.frames == 100 * 100
        assert len(counters.edges) == 100 * 99

    with_switch(work, *range(1, 101))


def test_a_partition_is_in_force_when_apply_returns_and_healing_ends_it() -> None:
    async def work(rig: Rig) -> None:
        seconds = await rig.switch.apply(Faults(cuts=(Cut(groups=(frozenset({1, 2}), frozenset({3}))),)))
        assert seconds > 0
        rig.cables[1].send(frame(1, BROADCAST))
        assert rig.cables[2].get() == frame(1, BROADCAST)
        assert (await rig.passed())[3] == []
        assert (await rig.switch.counters()).edges[1, 3].partition == 1
        assert await rig.switch.heal() > 0
        rig.cables[1].send(frame(1, 3))
        assert rig.cables[3].get() == frame(1, 3)

    with_switch(work, 1, 2, 3)


def halt(pid: int) -> None:
    """Stop a child, and return when it stands still."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)


def test_the_owner_is_heard_before_frames_however_many_ports_are_busy() -> None:
    async def work(rig: Rig) -> None:
        rig.cables[1].send(frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)  # every port is there, and the owner was not heard last
        halt(rig.switch.pid)
        for number, cable in rig.cables.items():
            cable.send(frame(number, number % 60 + 1))
        applied = asyncio.create_task(rig.switch.apply(Faults(cuts=(Cut(edges=ALL),))))
        await asyncio.sleep(0)  # it has been sent
        os.kill(rig.switch.pid, signal.SIGCONT)
        await applied
        while True:
            counters = await rig.switch.counters()
            if sum(port.received for port in counters.ports.values()) == 61:
                break
        assert counters.frames == 1
        assert sum(edge.partition for edge in counters.edges.values()) == 60

    with_switch(work, *range(1, 61))


def test_one_way() -> None:
    async def work(rig: Rig) -> None:
        await rig.switch.apply(Faults(cuts=(Cut(edges=frozenset({(1, 2)})),)))
        rig.cables[2].send(frame(2, 1))
        assert rig.cables[1].get() == frame(2, 1)
        rig.cables[1].send(frame(1, 2), frame(1, 3))
        assert rig.cables[3].get() == frame(1, 3)
        assert (await rig.passed())[2] == []

    with_switch(work, 1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "value", "came", "counter"),
    [("loss", 1.0, 0, "loss"), ("duplicate", 1.0, 20, "duplicated"), ("corrupt", 1.0, 10, "corrupted"),
     ("rate", 1e9, 10, "delayed"), ("delay", 0.0002, 10, "delayed"), ("reorder", 1.0, 10, "reordered")],
)  # fmt: skip
def test_each_fault_happens_and_is_counted(kind: str, value: float, came: int, counter: str) -> None:
    async def work(rig: Rig) -> None:
        await rig.switch.apply(Faults(rules=(Rule(kind, value, frozenset({(1, 2)})),)))
        sent = [frame(1, 2, bytes([number])) for number in range(10)]
        rig.cables[1].send(*sent, frame(1, 3))
        assert rig.cables[3].get() == frame(1, 3)
        got = [rig.cables[2].get() for _ in range(came)]
        assert (await rig.passed())[2] == []
        edge = (await rig.switch.counters()).edges[1, 2]
        assert (getattr(edge, counter), edge.offered, edge.frames) == (10, 10, came)
        assert (sorted(set(got)) == sent) == (kind not in {"loss", "corrupt"})

    with_switch(work, 1, 2, 3)


def test_delay_lets_time_pass() -> None:
    async def work(rig: Rig) -> None:
        await rig.switch.apply(Faults(rules=(Rule("delay", 0.05, ALL),)))
        start = time.monotonic()
        rig.cables[1].send(frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)
        assert time.monotonic() - start >= 0.05  # never early

    with_switch(work, 1, 2)


def test_a_node_that_goes_in_the_middle_of_a_frame_is_told_and_the_others_go_on() -> None:
    async def work(rig: Rig) -> None:
        rig.cables[1].line.sendall(b"\0\0\0\x40half")
        rig.cables[1].close()
        event = await rig.events.get()
        assert (event["event"], event["port"]) == ("gone", 1)
        rig.cables[2].send(frame(2, 1), frame(2, 3))
        assert rig.cables[3].get() == frame(2, 3)
        counters = await rig.switch.counters()
        assert (counters.ports[1].malformed, counters.ports[1].gone) == (1, True)
        assert counters.edges[2, 1].gone == 1
        rig.plug(1)  # and comes again
        rig.cables[2].send(frame(2, 1))
        assert rig.cables[1].get() == frame(2, 1)

    with_switch(work, 1, 2, 3)


def test_a_port_is_plugged_once() -> None:
    async def work(rig: Rig) -> None:
        with rig.switch.port(1) as second:
            event = await rig.events.get()
            assert (event["event"], event["port"]) == ("refused", 1)
            second.settimeout(LIMIT)
            assert second.recv(1) == b""
        rig.cables[2].send(frame(2, 1))
        assert rig.cables[1].get() == frame(2, 1)

    with_switch(work, 1, 2)


def test_malformed_frames_are_counted_and_an_absurd_length_closes_its_port() -> None:
    async def work(rig: Rig) -> None:
        rig.cables[1].send(b"", b"short", bytes(LENGTH_MAX), frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)
        assert (await rig.switch.counters()).malformed == 3
        rig.cables[1].line.sendall((LENGTH_MAX + 1).to_bytes(4, "big"))
        event = await rig.events.get()
        assert (event["event"], event["port"]) == ("gone", 1)
        assert "cannot be parted" in event["why"]
        assert rig.cables[1].line.recv(1) == b""
        rig.cables[2].send(frame(2, 3))
        assert rig.cables[3].get() == frame(2, 3)

    with_switch(work, 1, 2, 3)


def test_a_node_that_reads_nothing_does_not_stop_the_others() -> None:
    async def work(rig: Rig) -> None:
        big = frame(1, 2, bytes(60000))
        for _ in range(40):
            rig.cables[1].send(big)
        rig.cables[1].send(frame(1, 3))
        assert rig.cables[3].get() == frame(1, 3)
        counters = await rig.switch.counters()
        edge = counters.edges[1, 2]
        assert edge.overflow > 0
        assert edge.overflow == counters.overflow
        assert edge.offered == 40
        got = [rig.cables[2].get() for _ in range(edge.frames)]  # what was accepted arrives
        assert got == [big] * edge.frames
        rig.cables[1].send(frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)

    with_switch(work, 1, 2, 3)


def test_the_host_talks_with_nodes_whatever_the_faults() -> None:
    async def work(rig: Rig) -> None:
        await rig.switch.apply(Faults(cuts=(Cut(edges=ALL),)))
        rig.switch.inject(frame(HOST_MAC, BROADCAST), [2, 3])
        rig.switch.inject(frame(HOST_MAC, BROADCAST, b"to all"))
        rig.switch.inject(frame(HOST_MAC, BROADCAST, b"to nobody"), [])
        assert [rig.cables[2].get(), rig.cables[2].get()] == [
            frame(HOST_MAC, BROADCAST),
            frame(HOST_MAC, BROADCAST, b"to all"),
        ]
        assert rig.cables[1].get() == frame(HOST_MAC, BROADCAST, b"to all")
        rig.cables[3].send(frame(3, HOST_MAC))
        assert await rig.frames.get() == (3, frame(3, HOST_MAC))
        counters = await rig.switch.counters()
        assert (counters.injected, counters.frames) == (5, 0)
        assert counters.edges[3, 0].frames == 1

    with_switch(work, 1, 2, 3)


def test_a_capture_gets_its_name_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "cluster.pcapng"

    async def work(rig: Rig) -> None:
        await rig.switch.capture(path)
        rig.cables[1].send(frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)
        assert not path.exists()
        await rig.switch.capture(None)
        [packet] = walk(path.read_bytes()).packets
        assert (packet.interface, packet.data) == ("node 1", frame(1, 2))
        assert abs(packet.at / 1e9 - time.time()) < LIMIT
        await rig.switch.capture(path)  # anew; ends with the switch
        rig.cables[2].send(frame(2, 1))
        assert rig.cables[1].get() == frame(2, 1)

    with_switch(work, 1, 2)
    [packet] = walk(path.read_bytes()).packets
    assert packet.data == frame(2, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_capture_that_cannot_be_is_said(tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        with pytest.raises(NodeError, match=r"nowhere/c\.pcapng: No such file"):
            await rig.switch.capture(tmp_path / "nowhere" / "c.pcapng")
        rig.cables[1].send(frame(1, 2))
        assert rig.cables[2].get() == frame(1, 2)

    with_switch(work, 1, 2)


def test_a_full_capture_is_said(tmp_path: Path) -> None:
    async def work(rig: Rig) -> None:
        await rig.switch.capture(tmp_path / "c.pcapng", limit=300)
        rig.cables[1].send(*[frame(1, 2)] * 20)
        assert [rig.cables[2].get() for _ in range(20)] == [frame(1, 2)] * 20
        await rig.switch.capture(None)
        event = await rig.events.get()
        assert event["event"] == "capture full"
        assert 0 < event["left_out"] < 20

    with_switch(work, 1, 2)


def test_a_switch_that_is_killed_is_an_error_for_who_asks() -> None:
    async def work(rig: Rig) -> None:
        async def ask_on() -> None:
            while True:
                await rig.switch.counters()

        asking = [asyncio.create_task(rig.switch.counters()) for _ in range(3)]
        os.kill(rig.switch.pid, signal.SIGKILL)
        for done in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(done, NodeError) or done is not None
        with pytest.raises(NodeError, match="the switch is not running"):
            await ask_on()
        with pytest.raises(NodeError, match="the switch is not running"):
            rig.switch.port(2)

    with_switch(work, 1)


def test_before_its_start_and_after_its_end_there_is_no_switch() -> None:
    async def run() -> None:
        switch = Switch()
        with pytest.raises(NodeError, match="the switch is not running"):
            switch.port(1)
        async with switch:
            pid = switch.pid
            await switch.counters()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with pytest.raises(NodeError, match="the switch is not running"):
            await switch.counters()
        await switch.close()

    asyncio.run(run())


@pytest.mark.parametrize("number", [0, -1, 0xFEFE])
def test_no_node_has_that_number(number: int) -> None:
    with pytest.raises(ValueError, match="no address"):
        Switch().port(number)


def test_what_is_no_frame_is_not_injected() -> None:
    with pytest.raises(ValueError, match="13 bytes"):
        Switch().inject(bytes(13))
