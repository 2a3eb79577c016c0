"""Captures, read back block by block as the format's specification says (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switch_parts import BROADCAST, frame

from sistasks.cluster.switching.ethernet import framed
from sistasks.cluster.switching.faults import Cut, Faults, Rule
from sistasks.cluster.switching.forwarding import Switch
from sistasks.cluster.switching.pcapng import Capture
from sistasks.cluster.switching.ports import Port

OFFSET = 1_700_000_000_123_456_789


@dataclass
class Packet:
    interface: str
    at: int
    data: bytes
    outbound: bool
    comment: str


@dataclass
class Walked:
    """What a file says."""

    interfaces: list[str] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        if code == 0:
            assert size == 0
            assert len(data) == 4
            return found
        found[code] = data[4 : 4 + size]
        assert not any(data[4 + size : 4 + (size + 3) // 4 * 4])
        data = data[4 + (size + 3) // 4 * 4 :]
    raise AssertionError("no end of options")


def walk(data: bytes) -> Walked:
    """Check every block and read it."""
    walked = Walked()
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        body = data[at + 8 : at + size - 4]
        if at == 0:
            assert kind == 0x0A0D0D0A
        if kind == 0x0A0D0D0A:
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            assert options(body[16:])[4] == b"sistasks"
        elif kind == 1:
            link, reserved, snap = struct.unpack_from("<HHI", body)
            assert (link, reserved, snap) == (1, 0, 0)
            found = options(body[8:])
            assert found[9] == b"\x09"
            walked.interfaces.append(found[2].decode())
        else:
            assert kind == 6
            interface, high, low, captured, original = struct.unpack_from("<5I", body)
            assert captured == original
            end = 20 + (captured + 3) // 4 * 4
            found = options(body[end:])
            walked.packets.append(
                Packet(
                    walked.interfaces[interface], high << 32 | low, body[20 : 20 + captured],
                    struct.unpack("<I", found[2])[0] & 3 == 2, found.get(1, b"").decode(),
                )
            )  # fmt: skip
        at += size
    assert at == len(data)
    return walked


@given(
    st.lists(
        st.tuples(st.integers(1, 300), st.binary(max_size=70), st.integers(0, 10**15), st.text(max_size=9))
    )
)
def test_what_is_written_is_read(packets: list[tuple[int, bytes, int, str]]) -> None:
    file = io.BytesIO()
    capture = Capture(file, OFFSET)
    for port, data, now, words in packets:
        if words:
            capture.met(port, framed(data), now, words)
        else:
            capture.came(port, framed(data) + framed(data[::-1]), now)
    expected = [
        Packet(f"node {port}", now + OFFSET, one, bool(words), words)
        for port, data, now, words in packets
        for one in ([data] if words else [data, data[::-1]])
    ]
    walked = walk(file.getvalue())
    assert walked.packets == expected
    assert len(set(walked.interfaces)) == len(walked.interfaces)
    assert capture.packets == len(expected)


def test_beyond_the_limit_frames_are_counted_and_the_file_stays_whole() -> None:
    file = io.BytesIO()
    capture = Capture(file, 0, limit=1000)
    for _ in range(100):
        capture.came(1, framed(bytes(60)), 0)
    assert len(file.getvalue()) <= 1000
    assert len(walk(file.getvalue()).packets) == capture.packets == 100 - capture.left_out
    assert capture.packets > 0


def test_a_full_disk_stops_the_capture_and_nothing_else() -> None:
    file: IO[bytes]
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123 - a device
        capture = Capture(file, 0)
        capture.came(1, framed(bytes(60)), 0)
        capture.came(1, framed(bytes(60)), 0)
    assert capture.error is not None
    assert capture.packets == 0


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        (Faults(rules=(Rule("loss", 1.0),)), "dropped: loss"),
        (Faults(cuts=(Cut(edges=frozenset({(1, 2)})),)), "dropped: partition"),
        (Faults(rules=(Rule("duplicate", 1.0),)), "duplicated"),
        (Faults(rules=(Rule("corrupt", 1.0),)), "corrupted"),
        (Faults(rules=(Rule("delay", 0.002),)), "delayed 2.000 ms"),
        (Faults(rules=(Rule("reorder", 1.0, by=2),)), "held until 2 others have passed"),
    ],
)
def test_a_fault_is_told_where_it_happened(faults: Faults, words: str) -> None:
    file = io.BytesIO()
    switch = Switch(lambda _port, _frame: True)
    for number in (1, 2, 3):
        switch.add(Port(number))
    switch.capture = Capture(file, OFFSET)
    switch.apply(faults, 0)
    switch.receive(switch.ports[1], framed(frame(1, 2)), 5)
    sent, met = walk(file.getvalue()).packets
    assert sent == Packet("node 1", OFFSET + 5, frame(1, 2), outbound=False, comment="")
    assert (met.interface, met.outbound, met.comment) == ("node 2", True, words)
    assert (met.data != frame(1, 2)) == (words == "corrupted")


def test_a_healthy_network_has_each_frame_once() -> None:
    file = io.BytesIO()
    switch = Switch(lambda _port, _frame: True)
    for number in (1, 2, 3):
        switch.add(Port(number))
    switch.capture = Capture(file, OFFSET)
    switch.receive(switch.ports[3], framed(frame(3, BROADCAST)) + framed(frame(3, 1)), 5)
    assert [packet.interface for packet in walk(file.getvalue()).packets] == ["node 3", "node 3"]
