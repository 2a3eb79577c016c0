"""Frames that guests send into the switch, which forwards, drops, delays and captures them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.ethernet import FRAME_MAX, HEADER, HOST_MAC, LENGTH_MAX, framed, mac_of
from sistasks.cluster.switching.faults import Cut, Faults, Rule
from sistasks.cluster.switching.forwarding import ADDRESSES_MAX, EGRESS_MAX, FramingLost, Switch
from sistasks.cluster.switching.pcapng import Capture
from sistasks.cluster.switching.ports import Port

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORTS: Final = 3
_FAULTS: Final = (
    Faults(),
    Faults(cuts=(Cut(edges=frozenset({(1, 2)})),)),
    Faults(rules=(Rule("delay", 1e-6), Rule("reorder", 0.5), Rule("duplicate", 0.5))),
    Faults(rules=(Rule("loss", 0.5), Rule("corrupt", 0.5), Rule("rate", 1e6))),
)


def fuzz(data: bytes) -> None:
    """A byte says who sends, the next how much of what follows; what goes out is whole frames that came in."""
    heard: list[tuple[int, bytes]] = []

    def to_host(port: int, frame: bytes) -> bool:
        heard.append((port, frame))
        return len(heard) % 5 != 0

    file = io.BytesIO()
    switch = Switch(to_host)
    switch.capture = Capture(file, 0, 1 << 16)
    ports = {number: Port(number) for number in range(1, _PORTS + 1)}
    for port in ports.values():
        switch.add(port)
    sent, at, now = 0, 0, 0
    while at + 2 <= len(data):
        number, size, now = 1 + data[at] % _PORTS, data[at + 1], now + 700
        switch.release(now)
        if data[at] & 0x40:
            switch.apply(_FAULTS[size % len(_FAULTS)], now)
            at += 2
            continue
        chunk = data[at + 2 : at + 2 + size]
        at += 2 + size
        sent += len(chunk)
        _receive(switch, ports[number], chunk, now)
    switch.release(1 << 62)
    out = [frame for port in ports.values() for frame in _parted(b"".join(port.out))]
    assert all(HEADER <= len(frame) <= FRAME_MAX for frame in out)
    # each frame goes at most to all others, and twice over an edge that doubles them
    assert sum(map(len, out)) <= 2 * (_PORTS - 1) * sent
    assert all(HEADER <= len(frame) <= FRAME_MAX for _, frame in heard)
    _walk(file.getvalue())


def _receive(switch: Switch, port: Port, chunk: bytes, now: int) -> None:
    if port.gone:
        switch.restore(port)
    try:
        switch.receive(port, chunk, now)
    except FramingLost:
        switch.remove(port)
    for one in switch.ports.values():
        assert one.queued == sum(map(len, one.out)) <= EGRESS_MAX
        assert len(one.rest) <= 4 + LENGTH_MAX
        assert len(one.routes) <= ADDRESSES_MAX


def _parted(data: bytes) -> Iterable[bytes]:
    while data:
        length = int.from_bytes(data[:4], "big")
        assert len(data) >= 4 + length, "a frame was cut"
        yield data[4 : 4 + length]
        data = data[4 + length :]


def _walk(data: bytes) -> None:
    """The blocks of a pcapng file follow one another without a gap."""
    while data:
        length = int.from_bytes(data[4:8], "little")
        assert length >= 12
        assert length % 4 == 0
        assert data[length - 4 : length] == data[4:8], "a block's two lengths differ"
        data = data[length:]


def _sends(number: int, *frames: bytes) -> bytes:
    line = b"".join(map(framed, frames))
    return b"".join(
        bytes([number - 1, len(line[begin : begin + 200])]) + line[begin : begin + 200]
        for begin in range(0, len(line), 200)
    )


def seeds() -> Iterable[bytes]:
    """Frames to each other, to all, to the host, to nobody and to oneself; too short and too long ones."""
    one, two, three = (mac_of(number) for number in (1, 2, 3))
    kind = b"\x88\xb5payload"
    lines = (
        _sends(1, two + one + kind, b"\xff" * 6 + one + kind, HOST_MAC + one + kind),
        _sends(2, one + two + kind * 20, b"\2" * 6 + b"\4" * 6 + kind, two + two + kind),
        _sends(3, one + three + kind, b"short", b"", b"x" * 300),
        _sends(1, b"") + b"\0\x04\xff\xff\xff\xff" + _sends(1, two + one + kind),
    )
    yield from lines
    for faults in range(len(_FAULTS)):
        yield bytes([0x40, faults]) + b"".join(lines)
